/* SPDX-License-Identifier: MIT
 *
 * residual/share: out = x + (share - less) y
 *
 * A sum to which each token adds with a weight of its own: an expert's part (arXiv 1701.06538), or that
 * of a step (arXiv 1603.08983), which is the difference of what was given before and after. The maths
 * is in share_kernel.h.
 */
#include "share_kernel.h"

static const heed_port ports[] = {
    [X] = KIT_IN("x", "... M", "the sum so far"),
    [Y] = KIT_IN("y", "... M", "what is added to it"),
    [SHARE] = KIT_IN("share", "...", "each row's weight"),
    [LESS] = KIT_IN_OPTIONAL("less", "...", "what is taken off the weight; 0 if absent"),
    [OUT] = KIT_OUT_IN_PLACE("out", "... M", "the sum"),
};

static const heed_path paths[] = {KIT_PATHS_BOTH};

static const heed_op ops[] = {{
    .size = sizeof(heed_op),
    .id = "residual/share",
    .version = "1.0",
    .summary = "the sum of a stream and a share of what is added to it",
    .formula = "out = x + (share - less) y",
    .reference = "arXiv 1701.06538, section 2; arXiv 1603.08983, section 2",
    .ports = KIT_TABLE(ports),
    .paths = KIT_TABLE(paths),
    .measure = kit_no_measure,
    .init = kit_no_init,
}};

KIT_PLUGIN("residual_share", "MIT", ops)
