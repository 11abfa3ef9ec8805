/* SPDX-License-Identifier: MIT
 *
 * heed/kit/flash/few.h: a block of keys for a tile of few rows, with keys and then channels in the
 * lanes, so that no lane is spent on rows that are not there. A part of kit/flash/flash.h.
 *
 *     S[row][key] = sum over d of Q[d][row] K^T[d][key]
 *     O[row][channel] += sum over keys of P[row][key] V[key][channel]
 *
 * K is turned once a block; V is read as it lies. The next block's K is fetched with the scores,
 * its V with the values. The chains are those of flash/many.h, link by link: the same bits.
 */
#ifndef KIT_HAS_FLASH_FEW
#define KIT_HAS_FLASH_FEW
#include <heed/kit/flash/scores.h>

/* Scores of n rows and FLASH_WIDE registers of keys. */
KIT_INLINE void KIT(flash_few_scores)(const int n, const float *Q, const float *KT, int64_t D,
                                      float *P, kit_flash_prefetch next)
{
    vr s[FLASH_N + 1][FLASH_WIDE];
    KIT_UNROLL for (int i = 0; i < n; i++)
        KIT_UNROLL for (int j = 0; j < FLASH_WIDE; j++) s[i][j] = vr_set(0.0f);
    KIT(flash_multiply_add)(n, FLASH_WIDE, FLASH_ALL, s, Q, 1, KIT_FLASH_ROWS, KT, KIT_FLASH_KEYS,
                            D, 1, 1, next);
    KIT_UNROLL for (int i = 0; i < n; i++)
        KIT_UNROLL for (int j = 0; j < FLASH_WIDE; j++)
            vr_store(P + i * KIT_FLASH_KEYS + j * VR_LANES, s[i][j]);
}

/* Sums of values: nv registers of channels of n rows, over `depth` keys. */
KIT_INLINE void KIT(flash_few_values)(const int n, const int nv, const int masked,
                                      const float *alpha, const float *V, int64_t ldv,
                                      const float *P, float *O, int64_t ldo, int depth,
                                      kit_flash_prefetch next)
{
    vr o[FLASH_N + 1][FLASH_WIDE];
    KIT_UNROLL for (int i = 0; i < n; i++)
        KIT_UNROLL for (int j = 0; j < nv; j++)
            o[i][j] = vr_mul(vr_set(alpha[i]), vr_load(O + i * ldo + j * VR_LANES));
    KIT(flash_multiply_add)(n, nv, masked ? FLASH_UNLESS_A : FLASH_ALL, o, P, KIT_FLASH_KEYS, 1, V,
                            ldv, depth, 0, 1, next);
    KIT_UNROLL for (int i = 0; i < n; i++)
        KIT_UNROLL for (int j = 0; j < nv; j++) vr_store(O + i * ldo + j * VR_LANES, o[i][j]);
}

#define FLASH_FEW_VALUES(n, nv, masked)                                                            \
    KIT_KERNEL void KIT(flash_few_values_##n##_##nv##_##masked)(                                   \
        const float *alpha, const float *V, int64_t ldv, const float *P, float *O, int64_t ldo,    \
        int depth, kit_flash_prefetch next)                                                        \
    {                                                                                              \
        KIT(flash_few_values)(n, nv, masked, alpha, V, ldv, P, O, ldo, depth, next);               \
    }
#define FLASH_FEW_BOTH(n, nv) FLASH_FEW_VALUES(n, nv, 0) FLASH_FEW_VALUES(n, nv, 1)
#if FLASH_WIDE == 3
#define FLASH_FEW_ALL(n) FLASH_FEW_BOTH(n, 1) FLASH_FEW_BOTH(n, 2) FLASH_FEW_BOTH(n, 3)
#define FLASH_FEW_ROW(n, masked)                                                                   \
    {                                                                                              \
        KIT(flash_few_values_##n##_1_##masked), KIT(flash_few_values_##n##_2_##masked),            \
            KIT(flash_few_values_##n##_3_##masked)                                                 \
    }
#else
#define FLASH_FEW_ALL(n) FLASH_FEW_BOTH(n, 1)
#define FLASH_FEW_ROW(n, masked) {KIT(flash_few_values_##n##_1_##masked)}
#endif
#define FLASH_FEW(n)                                                                               \
    KIT_KERNEL void KIT(flash_few_scores_##n)(const float *Q, const float *KT, int64_t D,          \
                                              float *P, kit_flash_prefetch next)                   \
    {                                                                                              \
        KIT(flash_few_scores)(n, Q, KT, D, P, next);                                               \
    }                                                                                              \
    FLASH_FEW_ALL(n)

typedef void KIT(flash_few_scorer)(const float *Q, const float *KT, int64_t D, float *P,
                                   kit_flash_prefetch next);
typedef void KIT(flash_few_valuer)(const float *alpha, const float *V, int64_t ldv, const float *P,
                                   float *O, int64_t ldo, int depth, kit_flash_prefetch next);
FLASH_FEW(4)
FLASH_FEW(2) FLASH_FEW(1)
#if FLASH_N == 8
    FLASH_FEW(8) FLASH_FEW(9) static KIT(flash_few_scorer) *const KIT(flash_few_scorers)[] = {
        KIT(flash_few_scores_9), KIT(flash_few_scores_8), KIT(flash_few_scores_4),
        KIT(flash_few_scores_2), KIT(flash_few_scores_1)};
static KIT(flash_few_valuer) *const KIT(flash_few_valuers)[2][5][FLASH_WIDE] = {
    {FLASH_FEW_ROW(9, 0), FLASH_FEW_ROW(8, 0), FLASH_FEW_ROW(4, 0), FLASH_FEW_ROW(2, 0),
     FLASH_FEW_ROW(1, 0)},
    {FLASH_FEW_ROW(9, 1), FLASH_FEW_ROW(8, 1), FLASH_FEW_ROW(4, 1), FLASH_FEW_ROW(2, 1),
     FLASH_FEW_ROW(1, 1)}};
#else
static KIT(flash_few_scorer) *const KIT(flash_few_scorers)[] = {
    KIT(flash_few_scores_4), KIT(flash_few_scores_2), KIT(flash_few_scores_1)};
static KIT(flash_few_valuer) *const KIT(flash_few_valuers)[2][3][FLASH_WIDE] = {
    {FLASH_FEW_ROW(4, 0), FLASH_FEW_ROW(2, 0), FLASH_FEW_ROW(1, 0)},
    {FLASH_FEW_ROW(4, 1), FLASH_FEW_ROW(2, 1), FLASH_FEW_ROW(1, 1)}};
#endif
/* How many rows go together, and which of these are next. 9 fill the registers as 8 do; 1 alone
 * takes nearly the time of 4. */
#if FLASH_N == 8
static const int KIT(flash_few_steps)[] = {9, 8, 4, 2, 1};
#else
static const int KIT(flash_few_steps)[] = {4, 2, 1};
#endif
KIT_INLINE int KIT(flash_few_step)(int row, int rows)
{
    const int left = rows - row;
    int c = FLASH_N == 8 && (left != 9 || row == 0)
                ? 1
                : 0; /* of 9 in all, more calls fetch more of the next block */
    while (KIT(flash_few_steps)[c] > left) c++;
    return c;
}
#undef FLASH_FEW
#undef FLASH_FEW_ALL
#undef FLASH_FEW_BOTH
#undef FLASH_FEW_ROW
#undef FLASH_FEW_VALUES

/* Makes masked scores of a row -inf in the cells [from, to) that are not unmasked as a whole, and
 * takes the block's maximum. */
static void KIT(flash_few_mask)(kit_flash_rows *r, int row, int from, int to, float *P)
{
    const kit_flash_cells *s = &r->cells[row / KIT_FLASH_CELL];
    vf max = v_set(-FLT_MAX);
    for (int k = from; k < to; k += KIT_FLASH_CELL) {
        vf x = v_load(P + row * KIT_FLASH_KEYS + k);
        if (!kit_flash_is_unmasked(s, k, k + KIT_FLASH_CELL)) {
            x = v_select(KIT(flash_keys_live)(r, row, k), x, v_set(-INFINITY));
            v_store(P + row * KIT_FLASH_KEYS + k, x);
        }
        max = v_max(max, x);
    }
    r->block_max[row] = v_hmax(max);
}

/* P = exp2(S - max) of a row, -1 where a key is masked, and the block's sum. */
static void KIT(flash_few_weights)(kit_flash_rows *r, int row, int from, int to, int masked,
                                   int holes, float *P)
{
    const vf max = v_set(r->max[row]);
    vf sum = v_set(0.0f);
    for (int k = from; k < to; k += KIT_FLASH_CELL) {
        float *p = P + row * KIT_FLASH_KEYS + k;
        vf x = v_load(p), e = KIT(flash_weight)(x, max), w = e;
        if (masked) {
            const vm dead = KIT(flash_is_masked)(x), live = KIT(flash_keys_live)(r, row, k);
            w = holes ? v_select(dead, v_set(-1.0f), e) : v_select(live, e, v_set(-1.0f));
            e = v_max(v_set(0.0f), w);
        }
        v_store(p, w);
        sum = v_add(sum, e);
    }
    r->block_sum[row] = v_sum(sum);
}

static void KIT(flash_few)(const kit_flash *f, kit_flash_rows *r, const KIT(flash_keys) *x,
                           float *P)
{
    const int holes = kit_flash_has_holes(f, r->batch),
              rescores = KIT(flash_changes_scores)(f, r, x->start, x->keys);
    const int64_t ldo = kit_lanes(f->E), registers = ldo / VR_LANES;
    int from = KIT_FLASH_KEYS, to = 0, masked = holes;
    for (int g = 0; g < r->groups; g++) {
        if (r->cells[g].begin < from) from = r->cells[g].begin;
        if (r->cells[g].end > to) to = r->cells[g].end;
    }
    for (int g = 0; g < r->groups; g++) masked |= !kit_flash_is_unmasked(&r->cells[g], from, to);
    if (masked) kit_flash_block_ranges(r, x->start);
    const int wide = FLASH_WIDE * VR_LANES, last = (to + wide - 1) / wide * wide;
    if (FLASH_FILLS(f))
        FLASH_FILL(f, r, x, P, 1, KIT_FLASH_KEYS, from, to < x->keys ? to : x->keys, 0, r->rows);
    int calls = 0;
    for (int k = from / wide * wide; !FLASH_FILLS(f) && k < last; k += wide)
        for (int row = 0, c; row < r->rows; row += KIT(flash_few_steps)[c], calls++) {
            c = KIT(flash_few_step)(row, r->rows);
            KIT(flash_few_scorers)[c](r->Q + row, x->K + k, f->D, P + row * KIT_FLASH_KEYS + k,
                                      kit_flash_prefetch_from(&x->next_K, calls * KIT_FLASH_CELL, 0,
                                                       calls >= KIT_FLASH_CELLS));
        }
    calls = 0;
    if (rescores)
        KIT(flash_change_scores)(f, r, P, 1, KIT_FLASH_KEYS, x->start, x->keys, KIT_FLASH_KEYS);
    for (int row = 0; row < r->rows; row++) KIT(flash_few_mask)(r, row, from, to, P);
    for (int row = r->rows; row < KIT_FLASH_CELL * r->groups; row++) r->block_max[row] = -FLT_MAX;
    KIT(flash_update_max)(r);
    for (int row = 0; row < r->rows; row++)
        KIT(flash_few_weights)(r, row, from, to, masked, holes, P);
    KIT(flash_update_sum)(r);
    for (int64_t j = 0; j < registers && from < to; j += FLASH_WIDE) {
        const int nv = registers - j < FLASH_WIDE ? (int)(registers - j) : FLASH_WIDE;
        for (int row = 0, c; row < r->rows; row += KIT(flash_few_steps)[c], calls++) {
            c = KIT(flash_few_step)(row, r->rows);
            KIT(flash_few_valuers)[masked][c][nv - 1](
                r->alpha + row, x->V + from * x->ldv + j * VR_LANES, x->ldv,
                P + row * KIT_FLASH_KEYS + from, r->O + row * ldo + j * VR_LANES, ldo, to - from,
                kit_flash_prefetch_from(&x->next_V, 0, calls, 0));
        }
    }
    FLASH_RELATE_VALUES(f, r, P, KIT_FLASH_KEYS, x->start);
}
#endif
