/* SPDX-License-Identifier: MIT
 *
 * activation/gate: out = x sigmoid(gate), or x silu(gate)        gated attention, arXiv 2505.06708
 *
 * How much of each number is let through, by another of its place. Without x it is what a gate says.
 * The maths is in gate_kernel.h.
 */
#include "gate_kernel.h"

static const heed_port ports[] = {
    [X] = KIT_IN_OPTIONAL("x", "... M", "what goes through the gate; 1 if absent"),
    [GATE] = KIT_IN("gate", "... M", "before its function"),
    [OUT] = KIT_OUT_IN_PLACE("out", "... M", "what is let through"),
};

static const heed_param params[] = {
    [FUNCTION] = KIT_CHOICE("function", 0, "sigmoid|silu", "what the gate goes through"),
};

static int32_t measure(const heed_open *open, uint64_t *bytes)
{
    (void)open;
    *bytes = sizeof(gate);
    return HEED_OK;
}

static int32_t init(void *memory, const heed_open *open)
{
    ((gate *)memory)->silu = open->value[FUNCTION].i == 1;
    return HEED_OK;
}

static const heed_path paths[] = {KIT_PATHS_BOTH};

static const heed_op ops[] = {{
    .size = sizeof(heed_op),
    .id = "activation/gate",
    .version = "1.0",
    .summary = "numbers times the sigmoid, or the silu, of others",
    .formula = "out = x f(gate), f = sigmoid or silu; x = 1 if absent",
    .reference = "arXiv 2505.06708, section 2.2; arXiv 2412.06464, section 3.4",
    .ports = KIT_TABLE(ports),
    .params = KIT_TABLE(params),
    .paths = KIT_TABLE(paths),
    .measure = measure,
    .init = init,
}};

KIT_PLUGIN("activation_gate", "MIT", ops)
