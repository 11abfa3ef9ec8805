/* SPDX-License-Identifier: MIT
 *
 * position/alibi: score(query i, key j) -= slope[head] |i - j|   ALiBi, arXiv 2108.12409, section 3
 *
 * With c = 2^floor(log2 H), slope[h] = 2^(-8 (h + 1) / c) for h < c; the other heads have every
 * second slope of 2 c heads, in order (the paper's code). The paper has causal attention, where a
 * key is never after its query and i - j is |i - j|. symmetric=false keeps the sign without a
 * causal mask too: a key after its query is then rewarded, and one far ahead would have nearly all
 * the weight, so it is for who asks for it.
 */
#include "alibi_kernel.h"

enum { SYMMETRIC };
static const heed_param params[] = {
    [SYMMETRIC] = KIT_BOOL(
        "symmetric", 1,
        "true: a key after its query is as far as one before it; false: such a key is rewarded. A "
        "causal mask leaves it out"),
};

static int32_t measure(const heed_open *open, uint64_t *bytes)
{
    int64_t heads = HEED_AXIS(open->axis, 'H');
    if (heads < 1 || heads > 1 << 20)
        return kit_fail(open->sink, HEED_E_ARGUMENT,
                        "position/alibi has a slope per head, and the number of heads (axis H) is "
                        "not known here (heed run --axis H=N, or heed_opening.axes)");
    *bytes = sizeof(alibi) + (uint64_t)heads * sizeof(float);
    return HEED_OK;
}

static int32_t init(void *memory, const heed_open *open)
{
    alibi *self = memory;
    self->heads = HEED_AXIS(open->axis, 'H');
    self->symmetric = open->value[SYMMETRIC].i;
    int64_t c = 1;
    while (2 * c <= self->heads) c *= 2;
    for (int64_t h = 0; h < self->heads; h++) {
        double exponent = h < c ? -8.0 * (double)(h + 1) / (double)c
                                : -8.0 * (double)(2 * (h - c) + 1) / (double)(2 * c);
        self->slope[h] = exp2f((float)exponent);
    }
    return HEED_OK;
}

static const heed_path paths[] = {KIT_PATHS_EXTENSION};

static const heed_op ops[] = {{
    .size = sizeof(heed_op),
    .acts = HEED_ACTS_SCORES,
    .id = "position/alibi",
    .version = "1.0",
    .summary =
        "attention with linear biases: a penalty that grows with the distance, a slope per head",
    .formula =
        "score[i, j] -= slope[h] * |i - j|, or with symmetric=false slope[h] * (i - j); c = "
        "2^floor(log2 H),\n"
        "slope[h] = 2^(-8 (h + 1) / c) for h < c, and 2^(-4 (2 (h - c) + 1) / c) for the others",
    .reference = "arXiv 2108.12409, section 3",
    .params = KIT_TABLE(params),
    .paths = KIT_TABLE(paths),
    .measure = measure,
    .init = init,
}};

KIT_PLUGIN("position_alibi", "MIT", ops)
