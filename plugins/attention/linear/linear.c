/* SPDX-License-Identifier: MIT
 *
 * attention/linear: out[i] = phi(q_i) S_i / (phi(q_i) . z_i + eps)
 *                                                              linear transformer, arXiv 2006.16236
 *
 *     S_i = sum over the keys that i sees of phi(k_j) v_j^T,   z_i = sum of phi(k_j)
 *
 * phi is elu + 1 in the paper, on queries and keys as they are: there is no 1 / sqrt(D). A query
 * reads after its own token has been written. No mask but the causal one and key lengths can be had
 * in linear time.
 *
 * The divisor is a sum of products of features. Where none is negative its relative error is that
 * of a product of rows; features=identity may cancel to anything near 0, where no bound of the error
 * of a quotient holds, and so is not divided.
 */
#include "linear_kernel.h"

static const heed_port ports[] = {LINEAR_PORTS};

enum { FEATURES, NU, NORMALISE, EPS };
static const heed_param params[] = {
    [FEATURES] = KIT_CHOICE("features", LINEAR_ELU, LINEAR_FEATURE_WORDS, "phi: elu is elu(x) + 1"),
    [NU] = KIT_INT("nu", 1, 1, 8, "of dpfp: it makes 2 nu D features"),
    [NORMALISE] = KIT_BOOL("normalise", 1, "false: the sums of values are not divided"),
    [EPS] = KIT_FLOAT("eps", 1e-6, 0, 1, "added to the divisor"),
};

static int32_t measure(const heed_open *open, uint64_t *bytes)
{
    if (open->value[NU].given && open->value[FEATURES].i != LINEAR_DPFP)
        return kit_fail(open->sink, HEED_E_ARGUMENT, "nu is of features=dpfp alone");
    if (open->value[NORMALISE].i && open->value[FEATURES].i == LINEAR_IDENTITY)
        return kit_fail(
            open->sink, HEED_E_ARGUMENT,
            "features=identity may sum to 0, so it needs normalise=false, or elu, relu or dpfp");
    *bytes = kit_linear_bytes(0);
    return HEED_OK;
}

static int32_t init(void *memory, const heed_open *open)
{
    kit_linear_op *op = memory;
    op->map = (int)open->value[FEATURES].i;
    op->nu = open->value[NU].i;
    op->normalise = (int)open->value[NORMALISE].i;
    op->eps = (float)open->value[EPS].f;
    return HEED_OK;
}

static const heed_path paths[] = {KIT_PATHS_BOTH};

static const heed_op ops[] = {{
    LINEAR_OP,
    .id = "attention/linear",
    .version = "1.0",
    .summary = "linear attention: a feature map in place of softmax, and a state of constant size",
    .formula =
        "out[i] = phi(q_i) S_i / (phi(q_i) . z_i + eps), S_i = sum_j phi(k_j) v_j^T, z_i = "
        "sum_j phi(k_j)\n"
        "features=elu: phi(x) = elu(x) + 1; normalise=false: phi(q_i) S_i alone, as identity needs",
    .reference = "arXiv 2006.16236, section 3.2; dpfp arXiv 2102.11174, section 5.3",
}};

KIT_PLUGIN("attention_linear", "MIT", ops)
