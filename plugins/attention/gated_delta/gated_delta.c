/* SPDX-License-Identifier: MIT
 *
 * attention/gated_delta: the delta rule with a decay
 *                                               gated delta networks, arXiv 2412.06464, equation 10
 *
 *     S <- e^g S + beta k (v - e^g S^T k)^T,   out = scale q S
 *
 * Queries and keys are divided by sqrt(sum x^2 + 1e-6), without which the rule is stable only while
 * beta |k|^2 is between 0 and 2. beta in (1, 2), by beta=given, gives negative eigenvalues (arXiv
 * 2411.12537). A log decay of -inf drops all that was before its token, as at the beginning of a
 * document. A gate of 0 gives the bits of no gate.
 */
#include "gated_delta_kernel.h"

static const heed_port ports[] = {
    LINEAR_PORTS,
    [BETA] = LINEAR_BETA,
    [GATE] = KIT_IN_OPTIONAL(
        "gate", "B S G",
        "log decay before each token, at most 0, or what it is made of; 0 if absent"),
    [A_LOG] = KIT_WEIGHT_OPTIONAL("a_log", "G", HEED_INIT_NORMAL,
                                  "with gate=softplus: ln of the decay's factor"),
    [DT_BIAS] = KIT_WEIGHT_OPTIONAL("dt_bias", "G", HEED_INIT_NORMAL,
                                    "with gate=softplus: added to the gate"),
};

enum { NORMALISE_QK, SCALE, BETA_IS, GATE_IS };
static const heed_param params[] = {
    [NORMALISE_QK] =
        KIT_BOOL("normalise_qk", 1, "queries and keys are divided by sqrt(sum x^2 + 1e-6)"),
    [SCALE] = LINEAR_SCALE,
    [BETA_IS] = LINEAR_BETA_IS,
    [GATE_IS] = KIT_CHOICE(
        "gate", 0, "given|softplus",
        "given: the port has log decays; softplus: they are -e^a_log softplus(gate + dt_bias)"),
};

static int32_t measure(const heed_open *open, uint64_t *bytes)
{
    if (open->value[GATE_IS].i == 1 && (!open->weight[A_LOG] || !open->weight[DT_BIAS]))
        return kit_fail(open->sink, HEED_E_ARGUMENT, "gate=softplus needs the weight %s",
                        open->weight[A_LOG] ? "dt_bias" : "a_log");
    *bytes = kit_linear_bytes(sizeof(gated_delta));
    return kit_linear_factor(open, SCALE, "scale");
}

static int32_t init(void *memory, const heed_open *open)
{
    kit_linear_op *op = memory;
    op->beta = BETA, op->gate = GATE;
    op->map = LINEAR_IDENTITY;
    op->unit = (int)open->value[NORMALISE_QK].i;
    op->map_eps = 1e-6f;
    op->delta = op->by_width = 1;
    op->raw_beta = open->value[BETA_IS].i == 1;
    op->scale = open->value[SCALE].given ? (float)open->value[SCALE].f : 0.0f;
    if (open->value[GATE_IS].i == 1)
        *(gated_delta *)op->variant = (gated_delta){open->weight[A_LOG], open->weight[DT_BIAS]};
    return HEED_OK;
}

LINEAR_NETWORK(get_extension, {LINEAR_MADE, "beta", "beta", "sigmoid"},
               {LINEAR_MADE, "gate", "gate", "softplus"})

static const heed_path paths[] = {KIT_PATHS_BOTH};

static const heed_op ops[] = {{
    LINEAR_OP_WITH(get_extension),
    .id = "attention/gated_delta",
    .version = "1.0",
    .summary = "gated delta rule: writes replace what their key reads, and the past decays",
    .formula = "S <- e^g S + beta k (v - e^g S^T k)^T, out = scale q S, with q and k of length 1\n"
               "beta = sigmoid of the port, or the port; g = the port, or -e^a_log softplus(gate + "
               "dt_bias)",
    .reference = "arXiv 2412.06464, equation 10 and section 3.4",
}};

KIT_PLUGIN("attention_gated_delta", "MIT", ops)
