/* SPDX-License-Identifier: MIT
 *
 * feedforward/gelu: out = W2 gelu(W1 x + b1) + b2                            GELU, arXiv 1606.08415
 *
 *     gelu(z) = z (1 + erf(z / sqrt 2)) / 2, or its approximation
 *               z (1 + tanh(sqrt(2/pi) (z + 0.044715 z^3))) / 2
 *
 * The maths is in gelu_kernel.h.
 */
#include "gelu_kernel.h"

static const heed_port ports[] = {FEEDFORWARD_PORTS};

static const heed_param params[] = {
    [HIDDEN] = FEEDFORWARD_HIDDEN,
    [APPROXIMATE] = KIT_CHOICE("approximate", APPROXIMATE_NONE, "none|tanh",
                               "none: exact, with erf; tanh: GPT-2's approximation"),
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
                         open->value[APPROXIMATE].i);
    return HEED_OK;
}

KIT_COST(get_extension, kit_feedforward_cost)

static const heed_path paths[] = {KIT_PATHS_BOTH};

static const heed_op ops[] = {{
    .size = sizeof(heed_op),
    .id = "feedforward/gelu",
    .version = "1.0",
    .summary = "two linear maps with a GELU between them",
    .formula = "out = W2 gelu(W1 x + b1) + b2",
    .reference = "arXiv 1606.08415",
    .ports = KIT_TABLE(ports),
    .params = KIT_TABLE(params),
    .paths = KIT_TABLE(paths),
    .measure = measure,
    .init = init,
    .measure_call = kit_feedforward_measure_call,
    .get_extension = get_extension,
}};

KIT_PLUGIN("feedforward_gelu", "MIT", ops)
