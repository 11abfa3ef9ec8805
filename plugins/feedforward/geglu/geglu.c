/* SPDX-License-Identifier: MIT
 *
 * feedforward/geglu: out = W_down (gelu(W_gate x) * W_up x)               GEGLU, arXiv 2002.05202
 *
 * with biases where they are there; gelu as in feedforward/gelu.
 *
 * The maths is in geglu_kernel.h.
 */
#include "geglu_kernel.h"

static const heed_port ports[] = {GATED_PORTS};

static const heed_param params[] = {
    [HIDDEN] = FEEDFORWARD_HIDDEN,
    [APPROXIMATE] = KIT_CHOICE("approximate", APPROXIMATE_NONE, "none|tanh",
                               "none: exact, with erf; tanh: GPT-2's approximation"),
    [WEIGHTS] = KIT_WEIGHTS_PARAM,
};

static int32_t measure(const heed_open *open, uint64_t *bytes)
{
    *bytes = kit_feedforward_bytes(kit_gated_weights(open), open->value[WEIGHTS].i);
    return HEED_OK;
}

static int32_t init(void *memory, const heed_open *open)
{
    kit_feedforward_init(memory, kit_gated_weights(open), open->value[WEIGHTS].i,
                         open->value[APPROXIMATE].i);
    return HEED_OK;
}

KIT_COST(get_extension, kit_feedforward_cost)

static const heed_path paths[] = {KIT_PATHS_BOTH};

static const heed_op ops[] = {{
    .size = sizeof(heed_op),
    .id = "feedforward/geglu",
    .version = "1.0",
    .summary = "a gated feed-forward net: the gate goes through a GELU",
    .formula = "out = W_down (gelu(W_gate x) * W_up x)",
    .reference = "arXiv 2002.05202",
    .ports = KIT_TABLE(ports),
    .params = KIT_TABLE(params),
    .paths = KIT_TABLE(paths),
    .measure = measure,
    .init = init,
    .measure_call = kit_feedforward_measure_call,
    .get_extension = get_extension,
}};

KIT_PLUGIN("feedforward_geglu", "MIT", ops)
