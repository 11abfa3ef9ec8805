/* SPDX-License-Identifier: MIT
 *
 * attention/retention: S <- gamma S + k v^T, out = scale q S    retentive network, arXiv 2307.08621
 *
 * gamma is 1 - 2^(-5 - g) for head g of the keys, or one number for all, or, with a gate, e^gate of
 * each token: scalar decays as in Mamba-2 (arXiv 2405.21060). gate=sigmoid makes the decay of any
 * number, sigmoid(gate)^(1 / tau), as gated retention does (arXiv 2405.05254, section 3.2). The
 * paper's rotation of queries and keys is a position op in front, its norm of each head's output
 * one behind.
 */
#include "retention_kernel.h"

static const heed_port ports[] = {
    LINEAR_PORTS,
    [GATE] = KIT_IN_OPTIONAL("gate", "B S G",
                             "log decay at each token, at most 0, in place of the head's; or what "
                             "it is made of"),
};

enum { DECAY, SCALE, GATE_IS, TAU };
static const heed_param params[] = {
    [DECAY] = KIT_FLOAT_AUTO("decay", 1e-6, 1,
                             "gamma of all heads; 1 - 2^(-5 - g) for head g if not given"),
    [SCALE] = LINEAR_SCALE,
    [GATE_IS] = {sizeof(heed_param), HEED_PARAM_CHOICE, HEED_PARAM_AUTO, 0, 0, 0, 0, "gate",
                 "given|sigmoid",
                 "what the port has: the log decay, also if not given; or a number of which "
                 "ln(sigmoid) / tau is it"},
    [TAU] = KIT_FLOAT("tau", 16, 1e-3, 1e6, "with gate=sigmoid: the larger, the slower the decay"),
};

static int is_sigmoid(const heed_open *open)
{
    return open->value[GATE_IS].given && open->value[GATE_IS].i == 1;
}

static int32_t measure(const heed_open *open, uint64_t *bytes)
{
    if (open->value[TAU].given && !is_sigmoid(open))
        return kit_fail(open->sink, HEED_E_ARGUMENT, "tau is of gate=sigmoid alone");
    *bytes = kit_linear_bytes(sizeof(retention));
    return kit_linear_factor(open, SCALE, "scale");
}

static int32_t init(void *memory, const heed_open *open)
{
    kit_linear_op *op = memory;
    op->gate = GATE;
    op->map = LINEAR_IDENTITY;
    op->decays = op->by_width = 1;
    op->scale = open->value[SCALE].given ? (float)open->value[SCALE].f : 0.0f;
    *(retention *)op->variant = (retention){open->value[DECAY].given ? open->value[DECAY].f : 0,
                                            is_sigmoid(open) ? open->value[TAU].f : 0};
    return HEED_OK;
}

/* Without the key gate each head has its own decay in a network. */
LINEAR_NETWORK(get_extension, {LINEAR_MADE, "gate", "gate", "sigmoid"})

static const heed_path paths[] = {KIT_PATHS_BOTH};

static const heed_op ops[] = {{
    LINEAR_OP_WITH(get_extension),
    .id = "attention/retention",
    .version = "1.0",
    .summary = "linear attention whose past decays by a number for each head, or for each token",
    .formula = "S <- gamma S + k v^T, out = scale q S\n"
               "gamma = 1 - 2^(-5 - g) for head g, or decay, or of the token: e^gate, or "
               "sigmoid(gate)^(1 / tau)",
    .reference =
        "arXiv 2307.08621, section 2.2; a decay from the input: arXiv 2405.21060, section 5, "
        "arXiv 2405.05254, section 3.2",
}};

KIT_PLUGIN("attention_retention", "MIT", ops)
