/* SPDX-License-Identifier: MIT
 *
 * heed/kit/flash/bf16.h: a block of keys for a tile with rows in the lanes, with both products on a
 * bfloat16 dot instruction (two products a lane, where FMA has one). It takes the place of
 * flash/many.h on a path that is inexact by name, avx512_bf16 or neon_bf16; few rows stay float32.
 * A part of kit/flash/flash.h, in the copy of a kernel with FLASH_BF16 whose instructions are those
 * of that path but for these; vec_bf16.h has them.
 *
 *     keys     [keys / N][D / 2][N]   pairs along D      scores   [key][rows]       float32
 *     queries  [D / 2][rows]
 *                      pairs along D      weights  [key / 2][rows]   pairs of keys, over the scores
 *     values   [E / N][keys / 2][N]   pairs of keys      output   [E][rows]         float32
 *
 * A lane takes a pair of queries or weights; one of keys or values is broadcast. Panels of keys and
 * values are N = BF16_PANEL wide and padded with zeros, and so is an odd D.
 *
 * Error: q (scaled), k, v and the weights are rounded to bfloat16, by up to 2^-8 of each; sums are
 * float32, and what divides them is the sum of the rounded weights. So for inputs that bfloat16
 * holds, out is off by no more than 2^-8 sum(w |v - out|), and lse by 2^-8; for others, each score
 * moves by up to 2^-7 sum |q k| first. The largest seen in 20 rows of normal inputs with D = 128
 * and 2304 keys was 4.4e-4, where out has 0.03. Subnormals are taken as 0. Masks are as tight as
 * elsewhere.
 */
#ifndef KIT_SUFFIX /* read alone: as the copy of the path that has these instructions */
#define KIT_DID_SCALAR
#define KIT_DID_AVX2
#define FLASH_BF16
#endif
#ifndef KIT_HAS_FLASH_BF16
#define KIT_HAS_FLASH_BF16
#include <heed/kit/flash/many.h>

#if !defined FLASH_BF16 ||                                                                         \
    (!defined KIT_AVX512 && (!defined KIT_NEON || defined __clang__)) /* f->bf16 is 0 */
KIT_INLINE void KIT(flash_bf16_queries)(kit_flash_rows *r, int64_t D, uint32_t *to)
{
    (void)r, (void)D, (void)to;
}
KIT_INLINE void KIT(flash_bf16_keys)(const kit_flash *f, KIT(flash_keys) *x, uint32_t *to)
{ (void)f, (void)x, (void)to; }
KIT_INLINE void KIT(flash_bf16)(const kit_flash *f, kit_flash_rows *r, const KIT(flash_keys) *x,
                                float *P)
{ (void)f, (void)r, (void)x, (void)P; }
#else
#include <heed/kit/core/vec_bf16.h>

#define BF16_KERNEL KIT_KERNEL BF16_TARGET
#define BF16(name) KIT_JOIN(KIT(name), _bf16) /* what has these instructions is called so */

enum { BF16_PAIRS = KIT_FLASH_KEYS / 2 }; /* pairs of keys of a block */

/* A dead half of a pair of weights is -0, which no weight is. */
#define BF16_DEAD 0x8000u
BF16_INLINE vm bf16_live(vp pairs, int high)
{
    return vp_differs(pairs, high ? 0xffff0000u : 0xffffu, high ? BF16_DEAD << 16 : BF16_DEAD);
}

/* ---- packing ---- */

/* n floats, 16 at most, the rest is 0. */
BF16_INLINE vf bf16_row(const float *p, int64_t n)
{
    return n >= 16 ? v_load(p) : n > 0 ? v_load_n(p, (int)n) : v_set(0.0f);
}

BF16_KERNEL void BF16(flash_pack_keys)(uint32_t *to, const float *K, int64_t ld, int keys,
                                       int64_t D)
{
    const int64_t pairs = (D + 1) / 2, size = pairs * BF16_PANEL;
    for (int64_t k = 0; k < keys; k += 16)
        for (int64_t d = 0; d < D; d += 32) {
            vf x[16];
            KIT_UNROLL for (int i = 0; i < 16; i++) {
                const float *row = K + (k + i) * ld + d;
                x[i] = v_set(0.0f);
                if (k + i >= keys) continue;
                x[i] = vp_narrow(bf16_row(row, D - d), bf16_row(row + 16, D - d - 16));
            }
            v_transpose(x);
            for (int i = 0; i < 16 && d / 2 + i < pairs; i++)
                vp_store_panels(to + k / BF16_PANEL * size + (d / 2 + i) * BF16_PANEL, size,
                                vp_bits(x[i]));
        }
}

/* The same of keys that lie by channels. */
BF16_KERNEL void BF16(flash_pack_turned)(uint32_t *to, const float *K, int64_t ldc, int keys,
                                         int64_t D)
{
    const int64_t pairs = (D + 1) / 2, size = pairs * BF16_PANEL;
    for (int64_t k = 0; k < keys; k += 16)
        for (int64_t d = 0; d < D; d += 2) {
            const float *row = K + d * ldc + k;
            const vf next = d + 1 < D ? v_load(row + ldc) : v_set(0.0f);
            vp_store_panels(to + k / BF16_PANEL * size + d / 2 * BF16_PANEL, size,
                            vp_zip(v_load(row), next));
        }
}

BF16_KERNEL void BF16(flash_pack_values)(uint32_t *to, const float *V, int64_t ld, int keys,
                                         int64_t E)
{
    const int64_t size = BF16_PAIRS * BF16_PANEL;
    for (int64_t k = 0; k < kit_lanes(keys); k += 2)
        for (int64_t e = 0; e < E; e += 16) {
            const float *row = V + k * ld + e;
            const vf a = k < keys ? bf16_row(row, E - e) : v_set(0.0f);
            const vf b = k + 1 < keys ? bf16_row(row + ld, E - e) : v_set(0.0f);
            vp_store_panels(to + e / BF16_PANEL * size + k / 2 * BF16_PANEL, size, vp_zip(a, b));
        }
}

/* A tile's Q, of which the float32 form stays, for a score op. */
BF16_KERNEL void BF16(flash_pack_queries)(uint32_t *to, const float *Q, int64_t D)
{
    for (int64_t d = 0; d < D; d += 2)
        for (int i = 0; i < KIT_FLASH_ROWS; i += 16) {
            const float *q = Q + d * KIT_FLASH_ROWS + i;
            const vf next = d + 1 < D ? v_load(q + KIT_FLASH_ROWS) : v_set(0.0f);
            vp_store(to + d / 2 * KIT_FLASH_ROWS + i, vp_zip(v_load(q), next));
        }
}

static void KIT(flash_bf16_queries)(kit_flash_rows *r, int64_t D, uint32_t *to)
{
    BF16(flash_pack_queries)(to, r->Q, D);
    r->pairs = to;
}

/* A block's K and V: x then has those. */
static void KIT(flash_bf16_keys)(const kit_flash *f, KIT(flash_keys) *x, uint32_t *to)
{
    uint32_t *values = to + KIT_FLASH_KEYS * ((f->D + 1) / 2);
    if (x->turned) BF16(flash_pack_turned)(to, x->K, x->ldc, x->keys, f->D);
    else BF16(flash_pack_keys)(to, x->K, x->ldk, x->keys, f->D);
    BF16(flash_pack_values)(values, x->V, x->ldv, x->keys, f->E);
    x->K = (const float *)to, x->V = (const float *)values;
}

/* ---- the register tile ---- */

/* acc[8][nv] += a[k][i] b[k], over the pairs k; masked: dead halves of b are skipped. */
BF16_INLINE void bf16_links(const int nv, const int masked, vf (*acc)[BF16_WIDE], const uint32_t *a,
                            const uint32_t *b, int64_t pairs)
{
    for (int64_t k = 0; k < pairs; k++) {
        vp x[BF16_WIDE];
        KIT_UNROLL for (int j = 0; j < nv; j++) x[j] = vp_load(b + k * KIT_FLASH_ROWS + 16 * j);
        KIT_UNROLL for (int i = 0; i < BF16_PANEL; i++) {
            const uint32_t pair = a[k * BF16_PANEL + i];
            KIT_UNROLL for (int j = 0; j < nv; j++) {
                vf *c = &acc[i][j];
                if (!masked) *c = vp_dot(x[j], vp_set(pair), *c);
                else for (int high = 0; high < 2; high++)
                        *c = v_select(
                            bf16_live(x[j], high),
                            vp_dot(x[j], vp_set(pair & (high ? 0xffff0000u : 0xffffu)), *c), *c);
            }
        }
    }
}

/* Scores of a panel of keys, and maxima that they raise. */
BF16_INLINE void bf16_scores(const int nv, float *max, const uint32_t *K, const uint32_t *Q,
                             int64_t pairs, float *P)
{
    vf s[BF16_PANEL][BF16_WIDE];
    KIT_UNROLL for (int i = 0; i < BF16_PANEL; i++)
        KIT_UNROLL for (int j = 0; j < nv; j++) s[i][j] = v_set(0.0f);
    bf16_links(nv, 0, s, K, Q, pairs);
    KIT_UNROLL for (int j = 0; j < nv; j++) {
        vf m = v_load(max + 16 * j);
        KIT_UNROLL for (int i = 0; i < BF16_PANEL; i++) {
            m = v_max(m, s[i][j]);
            v_store(P + i * KIT_FLASH_ROWS + 16 * j, s[i][j]);
        }
        v_store(max + 16 * j, m);
    }
}

/* A panel of channels; alpha NULL: O stands as it is. */
BF16_INLINE void bf16_values(const int nv, const int masked, const float *alpha, const uint32_t *V,
                             const uint32_t *P, float *O, int64_t pairs)
{
    vf o[BF16_PANEL][BF16_WIDE];
    KIT_UNROLL for (int j = 0; j < nv; j++) {
        const vf a = alpha ? v_load(alpha + 16 * j) : v_set(1.0f);
        KIT_UNROLL for (int i = 0; i < BF16_PANEL; i++)
            o[i][j] = v_mul(a, v_load(O + i * KIT_FLASH_ROWS + 16 * j));
    }
    bf16_links(nv, masked, o, V, P, pairs);
    KIT_UNROLL for (int i = 0; i < BF16_PANEL; i++)
        KIT_UNROLL for (int j = 0; j < nv; j++) v_store(O + i * KIT_FLASH_ROWS + 16 * j, o[i][j]);
}

typedef void BF16(flash_scorer)(float *max, const uint32_t *K, const uint32_t *Q, int64_t pairs,
                                float *P);
typedef void BF16(flash_valuer)(const float *alpha, const uint32_t *V, const uint32_t *P, float *O,
                                int64_t pairs);

#define BF16_SCORES(nv)                                                                            \
    BF16_KERNEL void BF16(flash_scores_##nv)(float *max, const uint32_t *K, const uint32_t *Q,     \
                                             int64_t pairs, float *P)                              \
    {                                                                                              \
        bf16_scores(nv, max, K, Q, pairs, P);                                                      \
    }
#define BF16_VALUES(nv, masked)                                                                    \
    BF16_KERNEL void BF16(flash_values_##nv##_##masked)(                                           \
        const float *alpha, const uint32_t *V, const uint32_t *P, float *O, int64_t pairs)         \
    {                                                                                              \
        bf16_values(nv, masked, alpha, V, P, O, pairs);                                            \
    }
BF16_SCORES(1)
BF16_VALUES(1, 0) BF16_VALUES(1, 1)
#if BF16_WIDE == 3
    BF16_SCORES(2) BF16_SCORES(3) BF16_VALUES(2, 0) BF16_VALUES(3, 0) BF16_VALUES(2,
                                                                                  1) BF16_VALUES(3,
                                                                                                 1)
#define BF16_ALL(name, ending)                                                                     \
    {                                                                                              \
        BF16(name##_1##ending), BF16(name##_2##ending), BF16(name##_3##ending)                     \
    }
#else
#define BF16_ALL(name, ending) {BF16(name##_1##ending)}
#endif
        static BF16(flash_scorer) *const BF16(flash_scorers)[BF16_WIDE] = BF16_ALL(flash_scores, );
static BF16(flash_valuer) *const BF16(flash_valuers)[2][BF16_WIDE] = {BF16_ALL(flash_values, _0),
                                                                      BF16_ALL(flash_values, _1)};
#undef BF16_SCORES
#undef BF16_VALUES
#undef BF16_ALL

/* ---- the weights ---- */

/* 2^x for x <= 0 within 2^-13, and half a unit of bfloat16 more: so the high 16 bits are rounded. 0
 * for -inf. */
BF16_INLINE vp bf16_exp2(vf x)
{
    const vf r = vp_fraction(x); /* [0, 1) */
    vf p = v_fma(v_set(0x1.3f96a4p-4f), r, v_set(0x1.cefc4cp-3f));
    p = v_fma(p, r, v_set(0x1.64444cp-1f));
    p = v_fma(p, r, v_set(0x1.fff632p-1f + 0x1p-8f));
    return vp_bits(vp_scale(p, x));
}

/* exp2(S - max) of the keys k and k + 1 of 16 rows. */
BF16_INLINE vp bf16_weigh_pair(const int masked, int holes, const kit_flash_rows *r, const float *P,
                               int row, int k, vf max)
{
    const float *s = P + k * KIT_FLASH_ROWS + row;
    const vf x = v_load(s), y = v_load(s + KIT_FLASH_ROWS);
    vp pair = vp_uppers(bf16_exp2(v_sub(x, max)), bf16_exp2(v_sub(y, max)));
    if (masked) {
        const vm live_x = holes ? vp_not(KIT(flash_is_masked)(x)) : KIT(flash_rows_live)(r, row, k);
        const vm live_y =
            holes ? vp_not(KIT(flash_is_masked)(y)) : KIT(flash_rows_live)(r, row, k + 1);
        pair = vp_mark(vp_mark(pair, live_x, BF16_DEAD), live_y, BF16_DEAD << 16);
    }
    return pair;
}

/* The weights of a group, over the scores of the first half of the keys, and the block's sums. */
BF16_KERNEL void BF16(flash_group_weights)(kit_flash_rows *r, int g, int holes, float *P)
{
    const kit_flash_cells *span = &r->cells[g];
    const int row = g * KIT_FLASH_CELL;
    const vf max = v_load(r->max + row);
    vf sum = v_set(0.0f);
    for (int cell = span->begin; cell < span->end; cell += KIT_FLASH_CELL) {
        const int masked = holes || !kit_flash_is_unmasked(span, cell, cell + KIT_FLASH_CELL);
        for (int k = cell; k < cell + KIT_FLASH_CELL; k += 2) {
            const vp pair = masked ? bf16_weigh_pair(1, holes, r, P, row, k, max)
                                   : bf16_weigh_pair(0, 0, r, P, row, k, max);
            sum = vp_dot(pair, vp_ones(), sum);
            vp_store((uint32_t *)P + k / 2 * KIT_FLASH_ROWS + row, pair);
        }
    }
    v_store(r->block_sum + row, sum);
}

/* ---- a block ---- */

static void KIT(flash_bf16)(const kit_flash *f, kit_flash_rows *r, const KIT(flash_keys) *x,
                            float *P)
{
    const int holes = kit_flash_has_holes(f, r->batch),
              rescores = KIT(flash_changes_scores)(f, r, x->start, x->keys);
    const int64_t D = (f->D + 1) / 2;
    const uint32_t *K = (const uint32_t *)x->K, *V = (const uint32_t *)x->V,
                   *W = (const uint32_t *)P;
    KIT(flash_runs) runs;
    int clean = !rescores;
    float early[KIT_FLASH_ROWS]; /* maxima that the mask, or what else changes the scores, makes
                                    void */
    for (int g = 0; g < r->groups; g++)
        clean &= kit_flash_is_unmasked(&r->cells[g], r->cells[g].begin, r->cells[g].end);
    if (!clean) kit_flash_block_ranges(r, x->start);
    for (int i = 0; i < KIT_FLASH_ROWS; i += 16) v_store(r->block_max + i, v_set(-FLT_MAX));
    KIT(flash_find_runs)(r, holes, &runs);
    for (int n = 0; n < runs.n; n++)
        for (int g = runs.at[n].first, nv; g < runs.at[n].last; g += nv) {
            nv = runs.at[n].last - g < BF16_WIDE ? runs.at[n].last - g : BF16_WIDE;
            for (int k = runs.at[n].from; k < runs.at[n].to; k += BF16_PANEL)
                BF16(flash_scorers)[nv - 1]((clean ? r->block_max : early) + 16 * g, K + k * D,
                                            r->pairs + 16 * g, D, P + k * KIT_FLASH_ROWS + 16 * g);
        }
    if (rescores)
        KIT(flash_change_scores)(f, r, P, KIT_FLASH_ROWS, 1, x->start, x->keys, KIT_FLASH_KEYS);
    for (int g = 0; g < r->groups && !clean; g++) KIT(flash_mask_group)(r, g, &runs, 1, P);
    KIT(flash_update_max)(r);
    for (int g = 0; g < r->groups; g++) BF16(flash_group_weights)(r, g, holes, P);
    KIT(flash_update_sum)(r);
    for (int n = 0; n < runs.n; n++) {
        const int pair = runs.at[n].from / 2, pairs = (runs.at[n].to - runs.at[n].from) / 2;
        for (int i = 16 * runs.at[n].last; n == 0 && i < KIT_FLASH_ROWS;
             i += 16) /* they see keys later in the block */
            for (int64_t e = 0; e < f->E; e++) {
                float *o = r->O + e * KIT_FLASH_ROWS + i;
                v_store(o, v_mul(v_load(r->alpha + i), v_load(o)));
            }
        for (int g = runs.at[n].first, nv; g < runs.at[n].last; g += nv) {
            nv = runs.at[n].last - g < BF16_WIDE ? runs.at[n].last - g : BF16_WIDE;
            BF16(flash_valuer) *const kernel = BF16(flash_valuers)[runs.at[n].masked][nv - 1];
            for (int64_t e = 0; e < f->E; e += BF16_PANEL)
                kernel(n ? NULL : r->alpha + 16 * g, V + e * BF16_PAIRS + pair * BF16_PANEL,
                       W + pair * KIT_FLASH_ROWS + 16 * g, r->O + e * KIT_FLASH_ROWS + 16 * g,
                       pairs);
        }
    }
}
#undef BF16
#undef BF16_DEAD
#undef BF16_KERNEL
#undef BF16_INLINE
#undef BF16_TARGET
#undef BF16_PANEL
#undef BF16_WIDE
#endif
#endif
