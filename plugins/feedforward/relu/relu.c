/* SPDX-License-Identifier: MIT
 *
 * feedforward/relu: out = W2 relu(W1 x + b1) + b2       arXiv 1706.03762, section 3.3; squared: 2109.08668
 *
 * The maths is in relu_kernel.h.
 */
#include "relu_kernel.h"

static const heed_port ports[] = {FEEDFORWARD_PORTS};

static const heed_param params[] = {
    [HIDDEN] = FEEDFORWARD_HIDDEN,
    [SQUARED] = KIT_BOOL("squared", 0, "relu(z)^2, as in Primer"),
    [WEIGHTS] = KIT_WEIGHTS_PARAM,
};

static int32_t measure(const heed_open *open, uint64_t *bytes)
{
    *bytes = kit_feedforward_bytes(kit_plain_weights(open), open->value[WEIGHTS].i);
    return HEED_OK;
}

static int32_t init(void *memory, const heed_open *open)
{
    kit_feedforward_init(memory, kit_plain_weights(open), open->value[WEIGHTS].i,
                         open->value[SQUARED].i);
    return HEED_OK;
}

KIT_COST(get_extension, kit_feedforward_cost)

static const heed_path paths[] = {KIT_PATHS_BOTH};

static const heed_op ops[] = {{
    .size = sizeof(heed_op),
    .id = "feedforward/relu",
    .version = "1.0",
    .summary = "two linear maps with a ReLU between them, or its square",
    .formula = "out = W2 relu(W1 x + b1) + b2; squared: relu(z)^2",
    .reference = "arXiv 1706.03762, section 3.3; squared: arXiv 2109.08668, section 3",
    .ports = KIT_TABLE(ports),
    .params = KIT_TABLE(params),
    .paths = KIT_TABLE(paths),
    .measure = measure,
    .init = init,
    .measure_call = kit_feedforward_measure_call,
    .get_extension = get_extension,
}};

KIT_PLUGIN("feedforward_relu", "MIT", ops)
