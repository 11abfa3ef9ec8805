/* SPDX-License-Identifier: MIT
 *
 * attention/fast_weight: a network whose weights W another one writes, token by token
 *                                                                           fast weight programmers
 *
 *     rule=sum     W <- W + eta beta v phi(k)^T                  Schmidhuber 1991, FKI-147-91; 1992
 *     rule=delta   W <- W + eta beta (v - W phi(k)) phi(k)^T          Schlag 2021, arXiv 2102.11174
 *     out = scale W phi(q)
 *
 * The paper of 1992 reads before it writes (read=before), the one of 2021 after. Beta is the first
 * one's gate, and the second one's write strength, from the layer's input by a sigmoid; without it
 * each write has strength 1. Features of 2021 are divided by their sum, without which training
 * diverges: the delta rule is stable while eta beta |phi(k)|^2 is between 0 and 2.
 * features=identity may be negative, and has no such division.
 */
#include "fast_weight_kernel.h"

static const heed_port ports[] = {LINEAR_PORTS, [BETA] = LINEAR_BETA};

enum { RULE, FEATURES, NU, SUM_NORMALISE, EPS, READ, ETA, BETA_IS, SCALE };
static const int maps[] = {LINEAR_IDENTITY, LINEAR_ELU, LINEAR_RELU, LINEAR_DPFP};
static const heed_param params[] = {
    [RULE] = KIT_CHOICE("rule", 1, "sum|delta",
                        "delta: what the key reads is taken off its value first"),
    [FEATURES] = KIT_CHOICE("features", 3, "identity|elu|relu|dpfp", "phi: elu is elu(x) + 1"),
    [NU] = KIT_INT("nu", 1, 1, 8, "of dpfp: it makes 2 nu D features"),
    [SUM_NORMALISE] =
        {sizeof(heed_param), HEED_PARAM_BOOL, HEED_PARAM_AUTO, 0, 0, 1, 0, "sum_normalise", NULL,
         "features are divided by their sum + eps; if not given, all but features=identity are"},
    [EPS] = KIT_FLOAT("eps", 1e-6, 0, 1, "added to that sum"),
    [READ] = KIT_CHOICE("read", 0, "after|before",
                        "whether a query reads after its own token's write, or before"),
    [ETA] = KIT_FLOAT("eta", 1, -1e6, 1e6, "factor of every write"),
    [BETA_IS] = LINEAR_BETA_IS,
    [SCALE] = KIT_FLOAT("scale", 1, -1e6, 1e6, "factor of the outputs"),
};

static int32_t measure(const heed_open *open, uint64_t *bytes)
{
    const heed_value *value = open->value;
    const int map = maps[value[FEATURES].i];
    if (value[NU].given && map != LINEAR_DPFP)
        return kit_fail(open->sink, HEED_E_ARGUMENT, "nu is of features=dpfp alone");
    if (value[SUM_NORMALISE].given && value[SUM_NORMALISE].i && map == LINEAR_IDENTITY)
        return kit_fail(
            open->sink, HEED_E_ARGUMENT,
            "features=identity may sum to 0, so sum_normalise=true needs elu, relu or dpfp");
    *bytes = kit_linear_bytes(0);
    const int32_t failed = kit_linear_factor(open, ETA, "eta");
    return failed ? failed : kit_linear_factor(open, SCALE, "scale");
}

static int32_t init(void *memory, const heed_open *open)
{
    const heed_value *value = open->value;
    kit_linear_op *op = memory;
    op->beta = BETA;
    op->map = maps[value[FEATURES].i];
    op->nu = value[NU].i;
    op->sum_normalise =
        value[SUM_NORMALISE].given ? (int)value[SUM_NORMALISE].i : op->map != LINEAR_IDENTITY;
    op->map_eps = (float)value[EPS].f;
    op->delta = value[RULE].i == 1;
    op->before = value[READ].i == 1;
    op->eta = (float)value[ETA].f;
    op->raw_beta = value[BETA_IS].i == 1;
    op->scale = (float)value[SCALE].f;
    return HEED_OK;
}

LINEAR_NETWORK(get_extension, {LINEAR_MADE, "beta", "beta", "sigmoid"})

static const heed_path paths[] = {KIT_PATHS_BOTH};

static const heed_op ops[] = {{
    LINEAR_OP_WITH(get_extension),
    .id = "attention/fast_weight",
    .version = "1.0",
    .summary = "fast weight programmer: sum or delta rule, gated writes, a state of constant size",
    .formula = "rule=delta: W <- W + eta beta (v - W phi(k)) phi(k)^T; rule=sum: W <- W + eta beta "
               "v phi(k)^T\n"
               "out = scale W phi(q), after the token's own write or before it\n"
               "beta = sigmoid of the port, or the port; phi is divided by its sum + eps",
    .reference =
        "arXiv 2102.11174, sections 4.2 and 5.3; Schmidhuber, Neural Computation 4(1), 1992",
}};

KIT_PLUGIN("attention_fast_weight", "MIT", ops)
