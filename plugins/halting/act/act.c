/* SPDX-License-Identifier: MIT
 *
 * halting/act: out = spent + sigmoid(x + offset), or 1 where that is 1 - epsilon or more
 *                                       adaptive computation time, arXiv 1603.08983, section 2
 *
 * A token gives each of its steps a share of the weight 1: the probability to halt there, and to the
 * step at which it halts all that is left. `spent` is the sum of its shares so far, and 1 says that it
 * has halted. What is done with the shares is the network's (docs/networks.md). The maths is in
 * act_kernel.h.
 */
#include "act_kernel.h"

static const heed_port ports[] = {
    [X] = KIT_IN("x", "...", "the logit of a token's probability to halt"),
    [SPENT] = KIT_IN("spent", "...", "what it has given to the steps before"),
    [OUT] = KIT_OUT("out", "...", "the same with this step's; 1: it halts here"),
};

static const heed_param params[] = {
    [EPSILON] =
        KIT_FLOAT("epsilon", 0.01, 0, 1, "so near to 1 it halts: the rest is not worth a step"),
    [OFFSET] =
        KIT_FLOAT("offset", 0, -1e6, 1e6, "added to x: tokens halt later where it is negative"),
};

static int32_t measure(const heed_open *open, uint64_t *bytes)
{
    (void)open;
    *bytes = sizeof(act);
    return HEED_OK;
}

static int32_t init(void *memory, const heed_open *open)
{
    *(act *)memory = (act){(float)(1 - open->value[EPSILON].f), (float)open->value[OFFSET].f};
    return HEED_OK;
}

static const heed_path paths[] = {KIT_PATHS_BOTH};

static const heed_op ops[] = {{
    .size = sizeof(heed_op),
    .id = "halting/act",
    .version = "1.0",
    .summary = "when a token has had enough steps, by adaptive computation time",
    .formula = "s = spent + sigmoid(x + offset); out = 1 if s >= 1 - epsilon, else s",
    .reference = "arXiv 1603.08983, section 2; arXiv 1807.03819, section 2.2",
    .ports = KIT_TABLE(ports),
    .params = KIT_TABLE(params),
    .paths = KIT_TABLE(paths),
    .measure = measure,
    .init = init,
}};

KIT_PLUGIN("halting_act", "MIT", ops)
