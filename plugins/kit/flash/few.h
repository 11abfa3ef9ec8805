/* SPDX-License-Identifier: MIT
 *
 * heed/kit/flash/few.h: a block of keys for a tile of few rows, with keys and then channels in the
 * lanes, so that no lane is spent on rows that are not there. A part of kit/flash/flash.h.
 *
 *     S[row][key] = sum over d of Q[d][row] K^T[d][key]
 *     O[row][channel] += sum over keys of P[row][key] V[key][channel]
 *
 * K lies by channels, in the cache; other keys are turned once a block. V is read as it lies. So a
 * step of the first product reads a row of keys, one of the second a row of channels, and each
 * prefetches the same row of the next block: a decoded token reads the cache once, in order, at the
 * speed of memory. The chains are those of flash/many.h, link by link: the same bits.
 */
#ifndef KIT_HAS_FLASH_FEW
#define KIT_HAS_FLASH_FEW
#include <heed/kit/flash/scores.h>

/* Registers side by side, at most; and of few rows as many as one step of their chains can use. */
#define FLASH_FEW_MOST 8

/* Line j of what is read in step k is prefetched of the next block: next.at + k next.pitch. */
KIT_INLINE void KIT(flash_few_prefetch)(const int nv, kit_flash_prefetch next, int64_t k)
{
    KIT_UNROLL for (int j = 0; j < nv; j++) if (j * VR_LANES % 16 == 0)
        __builtin_prefetch(next.at + k * next.pitch + j * VR_LANES * (int)sizeof(float), 0, 2);
}

/* acc[i][j] += a[i][k] b[k][j], over k in [0, depth): flash_multiply_add for shapes that are wide
 * and low. Of one or two rows the elements of `a` are held, of more those of b. */
KIT_INLINE void KIT(flash_few_multiply_add)(const int n, const int nv, const int masked,
                                            vr (*acc)[FLASH_FEW_MOST], const float *a,
                                            int64_t a_row, int64_t a_step, const float *b,
                                            int64_t b_step, int64_t depth, kit_flash_prefetch next)
{
    KIT_UNROLL_4 for (int64_t k = 0; k < depth; k++)
    {
        KIT(flash_few_prefetch)(nv, next, k);
        vr s[2], x[FLASH_FEW_MOST];
        KIT_UNROLL for (int i = 0; i < n && n <= 2; i++) s[i] = vr_set(a[i * a_row + k * a_step]);
        KIT_UNROLL for (int j = 0; j < nv && n > 2; j++) x[j] =
            vr_pin(vr_load(b + k * b_step + j * VR_LANES));
        KIT_UNROLL for (int i = 0; i < n && n > 2; i++)
        {
            const vr t = vr_set(a[i * a_row + k * a_step]);
            KIT_UNROLL for (int j = 0; j < nv; j++) acc[i][j] =
                masked ? vr_fma_unless(KIT(flash_mask_sign)(t), t, x[j], acc[i][j])
                       : vr_fma(t, x[j], acc[i][j]);
        }
        KIT_UNROLL for (int j = 0; j < nv && n <= 2; j++)
        {
            const vr y = vr_load(b + k * b_step + j * VR_LANES);
            KIT_UNROLL for (int i = 0; i < n; i++) acc[i][j] =
                masked ? vr_fma_unless(KIT(flash_mask_sign)(s[i]), s[i], y, acc[i][j])
                       : vr_fma(s[i], y, acc[i][j]);
        }
    }
}

/* Scores of n rows and nv registers of keys. */
KIT_INLINE void KIT(flash_few_scores)(const int n, const int nv, const float *Q, const float *KT,
                                      int64_t D, float *P, kit_flash_prefetch next)
{
    vr s[FLASH_N + 1][FLASH_FEW_MOST];
    KIT_UNROLL for (int i = 0; i < n; i++) KIT_UNROLL for (int j = 0; j < nv; j++) s[i][j] =
        vr_set(0.0f);
    KIT(flash_few_multiply_add)(n, nv, 0, s, Q, 1, KIT_FLASH_ROWS, KT, KIT_FLASH_KEYS, D, next);
    KIT_UNROLL for (int i = 0; i < n; i++) KIT_UNROLL for (int j = 0; j < nv; j++)
        vr_store(P + i * KIT_FLASH_KEYS + j * VR_LANES, s[i][j]);
}

/* Sums of values: nv registers of channels of n rows, over `depth` keys. */
KIT_INLINE void KIT(flash_few_values)(const int n, const int nv, const int masked,
                                      const float *alpha, const float *V, int64_t ldv,
                                      const float *P, float *O, int64_t ldo, int depth,
                                      kit_flash_prefetch next)
{
    vr o[FLASH_N + 1][FLASH_FEW_MOST];
    KIT_UNROLL for (int i = 0; i < n; i++)
        KIT_UNROLL for (int j = 0; j < nv; j++)
            o[i][j] = vr_mul(vr_set(alpha[i]), vr_load(O + i * ldo + j * VR_LANES));
    KIT(flash_few_multiply_add)(n, nv, masked, o, P, KIT_FLASH_KEYS, 1, V, ldv, depth, next);
    KIT_UNROLL for (int i = 0; i < n; i++)
        KIT_UNROLL for (int j = 0; j < nv; j++) vr_store(O + i * ldo + j * VR_LANES, o[i][j]);
}

/* ---- the kernels: for each number of rows that go together, a width for scores, and three widths
 * for values ---- */

typedef void KIT(flash_few_scorer)(const float *Q, const float *KT, int64_t D, float *P,
                                   kit_flash_prefetch next);
typedef void KIT(flash_few_valuer)(const float *alpha, const float *V, int64_t ldv, const float *P,
                                   float *O, int64_t ldo, int depth, kit_flash_prefetch next);

#define FLASH_FEW_SCORES(n, nv)                                                                    \
    KIT_KERNEL void KIT(flash_few_scores_##n)(const float *Q, const float *KT, int64_t D,          \
                                              float *P, kit_flash_prefetch next)                   \
    {                                                                                              \
        KIT(flash_few_scores)(n, nv, Q, KT, D, P, next);                                           \
    }
#define FLASH_FEW_VALUES(n, nv, masked)                                                            \
    KIT_KERNEL void KIT(flash_few_values_##n##_##nv##_##masked)(                                   \
        const float *alpha, const float *V, int64_t ldv, const float *P, float *O, int64_t ldo,    \
        int depth, kit_flash_prefetch next)                                                        \
    {                                                                                              \
        KIT(flash_few_values)(n, nv, masked, alpha, V, ldv, P, O, ldo, depth, next);               \
    }
#define FLASH_FEW_BOTH(n, nv) FLASH_FEW_VALUES(n, nv, 0) FLASH_FEW_VALUES(n, nv, 1)
#define FLASH_FEW_OF(n, nv)                                                                        \
    {                                                                                              \
        nv, KIT(flash_few_values_##n##_##nv##_0), KIT(flash_few_values_##n##_##nv##_1)             \
    }
#define FLASH_FEW(n, keys, a, b)                                                                   \
    FLASH_FEW_SCORES(n, keys) FLASH_FEW_BOTH(n, a) FLASH_FEW_BOTH(n, b) FLASH_FEW_BOTH(n, 1)
#define FLASH_FEW_STEP(n, keys, a, b)                                                              \
    {                                                                                              \
        n, (keys)*VR_LANES, KIT(flash_few_scores_##n),                                             \
        {                                                                                          \
            FLASH_FEW_OF(n, a), FLASH_FEW_OF(n, b), FLASH_FEW_OF(n, 1)                             \
        }                                                                                          \
    }
#define FLASH_FEW_NARROW(n) FLASH_FEW_SCORES(n, 1) FLASH_FEW_BOTH(n, 1)

/* How many rows go together; how many keys, for scores; and registers of channels, for values. */
typedef struct KIT(flash_few_kernels) {
    int rows, keys;
    KIT(flash_few_scorer) * scores;
    struct {
        int wide;
        KIT(flash_few_valuer) * values, *masked;
    } at[3];
} KIT(flash_few_kernels);

/* 9 rows fill the registers as 8 do; 1 alone takes nearly the time of 4. */
/* clang-format off */
#if defined KIT_AVX512
FLASH_FEW(9, 3, 3, 2) FLASH_FEW(8, 3, 3, 2) FLASH_FEW(4, 6, 4, 2) FLASH_FEW(2, 6, 8, 4)
FLASH_FEW(1, 6, 8, 4)
static const KIT(flash_few_kernels) KIT(flash_few_steps)[] = {
    FLASH_FEW_STEP(9, 3, 3, 2), FLASH_FEW_STEP(8, 3, 3, 2), FLASH_FEW_STEP(4, 6, 4, 2),
    FLASH_FEW_STEP(2, 6, 8, 4), FLASH_FEW_STEP(1, 6, 8, 4)};
#elif defined KIT_AVX2
FLASH_FEW(4, 3, 3, 2) FLASH_FEW(2, 6, 6, 4) FLASH_FEW(1, 6, 8, 4)
static const KIT(flash_few_kernels) KIT(flash_few_steps)[] = {
    FLASH_FEW_STEP(4, 3, 3, 2), FLASH_FEW_STEP(2, 6, 6, 4), FLASH_FEW_STEP(1, 6, 8, 4)};
#else
FLASH_FEW_NARROW(4) FLASH_FEW_NARROW(2) FLASH_FEW_NARROW(1)
static const KIT(flash_few_kernels) KIT(flash_few_steps)[] = {
    FLASH_FEW_STEP(4, 1, 1, 1), FLASH_FEW_STEP(2, 1, 1, 1), FLASH_FEW_STEP(1, 1, 1, 1)};
#endif
/* clang-format on */
#undef FLASH_FEW
#undef FLASH_FEW_NARROW
#undef FLASH_FEW_STEP
#undef FLASH_FEW_OF
#undef FLASH_FEW_BOTH
#undef FLASH_FEW_SCORES
#undef FLASH_FEW_VALUES

/* Which of them take the rows from `row` on. */
KIT_INLINE const KIT(flash_few_kernels) * KIT(flash_few_step)(int row, int rows)
{
    const int left = rows - row;
    const KIT(flash_few_kernels) *x = KIT(flash_few_steps);
    if (FLASH_N == 8 && (left != 9 || row == 0)) x++; /* of 9 in all, more calls prefetch more */
    while (x->rows > left) x++;
    return x;
}

/* What a kernel prefetches while it reads b: from a row and a number of bytes on; where there is
 * nothing, what it reads. */
KIT_INLINE kit_flash_prefetch KIT(flash_few_next)(const kit_flash_prefetch *next, int64_t row,
                                                  int64_t floats, const float *b, int64_t step)
{
    const int64_t bytes = (int64_t)sizeof(float);
    if (next->pitch == 0) return (kit_flash_prefetch){(const char *)b, step * bytes};
    return (kit_flash_prefetch){next->at + row * next->pitch + floats * bytes, next->pitch};
}

/* The scores of all rows for keys [from, to), and what lies between these and whole registers. */
static void KIT(flash_few_score_rows)(const kit_flash *f, kit_flash_rows *r,
                                      const KIT(flash_keys) * x, int from, int to, float *P)
{
    const kit_flash_prefetch none = kit_flash_no_prefetch;
    for (int row = 0, end; row < r->rows; row = end) {
        const int wide = KIT(flash_few_step)(row, r->rows)->keys;
        for (end = row; end < r->rows; end += KIT(flash_few_step)(end, r->rows)->rows)
            if (KIT(flash_few_step)(end, r->rows)->keys != wide) break;
        for (int k = from / wide * wide; k < to; k += wide)
            for (int i = row; i < end; i += KIT(flash_few_step)(i, r->rows)->rows)
                KIT(flash_few_step)
        (i, r->rows)
            ->scores(r->Q + i, x->K + k, f->D, P + i * KIT_FLASH_KEYS + k,
                     KIT(flash_few_next)(i == 0 ? &x->next_turned : &none, 0, k, x->K + k,
                                         KIT_FLASH_KEYS));
    }
}

/* O = alpha O + P V of all rows, over keys [from, to). */
static void KIT(flash_few_sum_rows)(const kit_flash *f, kit_flash_rows *r,
                                    const KIT(flash_keys) * x, int from, int to, int masked,
                                    const float *P)
{
    const int64_t ldo = kit_lanes(f->E), registers = ldo / VR_LANES;
    const kit_flash_prefetch none = kit_flash_no_prefetch;
    for (int row = 0; row < r->rows && from < to; row += KIT(flash_few_step)(row, r->rows)->rows) {
        const KIT(flash_few_kernels) *step = KIT(flash_few_step)(row, r->rows);
        for (int64_t j = 0, wide; j < registers; j += wide) {
            int c = 0;
            while (step->at[c].wide > registers - j) c++;
            wide = step->at[c].wide;
            const float *V = x->V + from * x->ldv + j * VR_LANES;
            (masked ? step->at[c].masked : step->at[c].values)(
                r->alpha + row, V, x->ldv, P + row * KIT_FLASH_KEYS + from,
                r->O + row * ldo + j * VR_LANES, ldo, to - from,
                KIT(flash_few_next)(row == 0 ? &x->next_V.first : &none, from, j * VR_LANES, V,
                                    x->ldv));
        }
    }
}

/* The same two products by the codec that has the block, if it does not decode it. */
static void KIT(flash_few_score)(const kit_flash *f, kit_flash_rows *r, const KIT(flash_keys) * x,
                                 int from, int to, float *P)
{
    const heed_kv_rows rows = {.size = sizeof rows,
                               .block = &x->K_block,
                               .next = x->next_K_block,
                               .rows = r->rows,
                               .first = from,
                               .count = to - from,
                               .input = r->Q,
                               .input_step = KIT_FLASH_ROWS,
                               .out = P,
                               .out_step = KIT_FLASH_KEYS};
    if (x->K_block.data && to > from) f->k_codec.kv->scores(f->k_codec.instance, &rows);
    else if (!x->K_block.data) KIT(flash_few_score_rows)(f, r, x, from, to, P);
}
static void KIT(flash_few_sum)(const kit_flash *f, kit_flash_rows *r, const KIT(flash_keys) * x,
                               int from, int to, int masked, const float *P)
{
    const heed_kv_rows rows = {.size = sizeof rows,
                               .masked = (uint32_t)masked,
                               .block = &x->V_block,
                               .next = x->next_V_block,
                               .rows = r->rows,
                               .first = from,
                               .count = to - from,
                               .input = P,
                               .input_step = KIT_FLASH_KEYS,
                               .alpha = r->alpha,
                               .out = r->O,
                               .out_step = kit_lanes(f->E)};
    if (x->V_block.data && to > from) f->v_codec.kv->values(f->v_codec.instance, &rows);
    else if (!x->V_block.data) KIT(flash_few_sum_rows)(f, r, x, from, to, masked, P);
}

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
    int from = KIT_FLASH_KEYS, to = 0, masked = holes;
    for (int g = 0; g < r->groups; g++) {
        if (r->cells[g].begin < from) from = r->cells[g].begin;
        if (r->cells[g].end > to) to = r->cells[g].end;
    }
    for (int g = 0; g < r->groups; g++) masked |= !kit_flash_is_unmasked(&r->cells[g], from, to);
    if (masked) kit_flash_block_ranges(r, x->start);
    if (FLASH_FILLS(f))
        FLASH_FILL(f, r, x, P, 1, KIT_FLASH_KEYS, from, to < x->keys ? to : x->keys, 0, r->rows);
    else KIT(flash_few_score)(f, r, x, from, to, P);
    if (rescores)
        KIT(flash_change_scores)(f, r, P, 1, KIT_FLASH_KEYS, x->start, x->keys, KIT_FLASH_KEYS);
    for (int row = 0; row < r->rows; row++) KIT(flash_few_mask)(r, row, from, to, P);
    for (int row = r->rows; row < KIT_FLASH_CELL * r->groups; row++) r->block_max[row] = -FLT_MAX;
    KIT(flash_update_max)(r);
    for (int row = 0; row < r->rows; row++)
        KIT(flash_few_weights)(r, row, from, to, masked, holes, P);
    KIT(flash_update_sum)(r);
    KIT(flash_few_sum)(f, r, x, from, to, masked, P);
    FLASH_RELATE_VALUES(f, r, P, KIT_FLASH_KEYS, x->start);
}
#endif
