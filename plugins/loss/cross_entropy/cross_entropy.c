/* SPDX-License-Identifier: MIT
 *
 * loss/cross_entropy: nll = log(sum over v of e^logits[v]) - logits[target], in nats; over ln 2 it
 * is bits
 *
 * The maths is in cross_entropy_kernel.h.
 */
#include "cross_entropy_kernel.h"

static const heed_port ports[] = {
    [LOGITS] = KIT_IN("logits", "... V", "one row for each prediction"),
    [TARGETS] = KIT_IN_INDEX("targets", "...", 0, "what came, from 0; -100: nothing is said of it"),
    [NLL] = KIT_OUT_OF("nll", "...", HEED_BIT(HEED_F32),
                       "negative log-likelihood of the target, in nats"),
};

static const heed_path paths[] = {KIT_PATHS_BOTH};

static const heed_op ops[] = {{
    .size = sizeof(heed_op),
    .id = "loss/cross_entropy",
    .version = "1.0",
    .summary = "how surprised the logits are by what came, in nats",
    .formula = "nll = log(sum_v e^logits[v]) - logits[target]; 0 where the target is -100",
    .reference = "Shannon 1948, section 6; Jelinek et al. 1977",
    .ports = KIT_TABLE(ports),
    .paths = KIT_TABLE(paths),
    .measure = kit_no_measure,
    .init = kit_no_init,
}};

KIT_PLUGIN("loss_cross_entropy", "MIT", ops)
