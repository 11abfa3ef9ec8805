/* SPDX-License-Identifier: MIT
 *
 * heed/kit/flash/flash.h: tiled attention of the softmax family, exact, with the scores in cache (online softmax,
 * arXiv 2205.14135). Include it in a kernel file; a variant sets hooks before (see "hooks").
 *
 *     for each tile of 48 rows, for each block of 96 keys:    S = Q K^T    P = exp2(S - max)    O = alpha O + P V
 *
 * A row is one query of one head; the heads that share keys and values lie side by side. Two algorithms give the same
 * bits, and which one takes a tile follows from its number of rows alone:
 *
 *     many rows (flash/many.h)   rows in the lanes; K and V are broadcast element by element, as they lie
 *     few rows (flash/few.h)     keys, then channels, in the lanes; rows are broadcast, and none are padded
 *
 * (flash/bf16.h is a third, for many rows on a path that gives other bits.)
 *
 * For in both a row's arithmetic is one sequence, whatever the vector width, the tile it is in, or its neighbours: a
 * score is one chain of fma over d, an output one chain over the keys, and a block's weights are summed as 16 chains
 * (key modulo 16), then by halves. A path only chooses what it holds in registers.
 *
 * What the equality of bits rests on besides: a masked score never enters a maximum; a masked weight is left out of the
 * sum, and its value is skipped by select, so that a NaN behind the mask stays there; exp2(0) is exactly 1 and maxima
 * start at -FLT_MAX, so that a block in which a row has no key changes no bit of that row.
 *
 * Masks are live ranges of keys per row (flash/mask.h). Work is cut into cells of 16 rows x 16 keys: a dead cell costs
 * nothing, and only a cell that is live in part is looked at key by key.
 *
 * Error against exact attention: that of float32 products of length D and sums of length S, plus 2 ulp of each weight.
 */
#include <heed/kit/flash/type.h>

/* ---- hooks: a variant defines these before it includes this file ---- */

/* Changes what a row sees, *x (kit_flash_live): the query t of sequence b, head h, at position `at`. What the documents
 * leave of that comes later, and what a pass picks of the keys. FLASH_PER_HEAD 1: heads that share keys may differ. */
#ifndef FLASH_RANGE
#define FLASH_RANGE(f, b, t, h, at, x) ((void)0)
#endif
#ifndef FLASH_PER_HEAD
#define FLASH_PER_HEAD 0
#endif

/* Adds the pairs of sequence b and group of heads g to the cost: where a variant makes several passes, of each. */
#ifndef FLASH_COST
#define FLASH_COST(f, b, g, pairs, cells) kit_flash_cost_pass(f, b, g, pairs, cells)
#endif

/* Changes the scores of a block, in log2 units, after soft cap and score op and before the mask: score (key, row) is
 * P[key * ks + row * rs], where (ks, rs) is (48, 1) or (1, 96); key 0 has position `start`. Of `keys` keys P has
 * `padded`. FLASH_CHANGES: whether it does so to any of this block; without, the block takes the way without a mask. */
#ifndef FLASH_SCORES
#define FLASH_SCORES(f, r, P, ks, rs, start, keys, padded) ((void)0)
#ifndef FLASH_CHANGES
#define FLASH_CHANGES(f, r, start, keys) 0
#endif
#endif
#ifndef FLASH_CHANGES
#define FLASH_CHANGES(f, r, start, keys) 1
#endif

/* Writes the scores of keys [from, to) of a block x for rows [row, row + rows), in log2 units, where FLASH_FILLS. Those
 * of masked keys may be anything. */
#ifndef FLASH_FILLS
#define FLASH_FILLS(f) ((f)->k == NULL)
#endif
#ifndef FLASH_FILL
#define FLASH_FILL(f, r, x, P, ks, rs, from, to, row, rows) KIT(flash_fill)(f, r, x, P, ks, rs, from, to, row, rows)
#endif

/* 1: a weight is relu(score)^2, the score in units of 1, not log2; there are no maxima and no sums, and what
 * FLASH_FACTORS writes for each row, inverse[16 r->groups], takes the place of 1 / sum. */
#ifndef FLASH_SQUARED_RELU
#define FLASH_SQUARED_RELU 0
#define FLASH_FACTORS(f, r, inverse) ((void)0)
#endif

/* Changes what comes out: y[l] is row i + l, channels [e, e + n). */
#ifndef FLASH_OUTPUT
#define FLASH_OUTPUT(f, r, i, e, y, n) ((void)0)
#endif

/* A tile of rows begins: r->Q is there, and may be changed; r->own is there, with anything in it. FLASH_BEGIN(f, r). */
#ifndef FLASH_BEGIN
#define FLASH_BEGIN(f, r) ((void)0)
#endif

/* Tables of a vector for each distance from a query back to a key: p of FLASH_RELATIVE, which may be NULL, adds q . p
 * to the scores before FLASH_SCORES does what it does (flash/relative.h), where FLASH_RELATIVE_QUERY is q, [D][48],
 * scaled; p of FLASH_RELATIVE_VALUES is added to the values (flash/relative_values.h). */
#ifdef FLASH_RELATIVE
#define FLASH_RELATIVES 1
static void KIT(flash_relative)(const kit_flash *f, const kit_flash_rows *r, float *P, int rs, int64_t start);
#define FLASH_RELATE(f, r, P, rs, start) KIT(flash_relative)(f, r, P, rs, start)
#else
#define FLASH_RELATIVES 0
#define FLASH_RELATIVE(f) NULL
#define FLASH_RELATE(f, r, P, rs, start) ((void)0)
#endif
#undef FLASH_KEEP /* floats of a tile for them */
#define FLASH_KEEP (FLASH_RELATIVES ? kit_lanes(sizeof(kit_flash_keep) / sizeof(float)) : 0)
#ifndef FLASH_RELATIVE_QUERY
#define FLASH_RELATIVE_QUERY(r) (r)->Q
#endif
#ifdef FLASH_RELATIVE_VALUES
#define FLASH_RELATIVES_OF_VALUES 1
static void KIT(flash_relative_values)(const kit_flash *f, const kit_flash_rows *r, const float *P, int rs,
                                       int64_t start);
#define FLASH_RELATE_VALUES(f, r, P, rs, start) KIT(flash_relative_values)(f, r, P, rs, start)
#else
#define FLASH_RELATIVES_OF_VALUES 0
#define FLASH_RELATE_VALUES(f, r, P, rs, start) ((void)0)
#endif

#include <heed/kit/flash/mask.h>

/* ---- what both algorithms share ---- */

/* The register tile: broadcasts x registers. */
#undef FLASH_N
#undef FLASH_WIDE
#undef FLASH_AT_ONCE /* registers whose exp2 run side by side */
#if defined KIT_AVX512
#define FLASH_N 8
#define FLASH_WIDE 3
#define FLASH_AT_ONCE 4
#elif defined KIT_AVX2
#define FLASH_N 4
#define FLASH_WIDE 3
#define FLASH_AT_ONCE 2
#else
#define FLASH_N 4
#define FLASH_WIDE 1
#define FLASH_AT_ONCE 2
#endif

/* Lines of the next block, asked for between the links of this one, one in `every` links: a core has no more misses
 * under way than it can bear, and each has ended before its line is read. Line i is that of key i, or, `across`, those
 * of a few keys in turn, then the line beside it. */
KIT_INLINE void KIT(flash_fetch)(const int across, const int every, kit_flash_ahead next, int64_t k)
{
    const int64_t i = k / every, keys = KIT_FLASH_CELL / every;
    if (k % every == 0 && next.pitch)
        __builtin_prefetch(next.at + (across ? i % keys * next.pitch + i / keys * 64 : i * next.pitch), 0, 2);
}

/* Below 0 where a weight stands for a masked key. A softmax's NaN is in its sum too; a squared ReLU has none. */
KIT_INLINE vr KIT(flash_none)(vr weight) { return FLASH_SQUARED_RELU ? vr_below_zero(weight) : weight; }

/* acc[n][nv] += a[i][k] b[k], over k in [0, depth). */
KIT_INLINE void KIT(flash_links)(const int n, const int nv, const int masked, vr (*acc)[FLASH_WIDE], const float *a,
                                 int64_t a_row, int64_t a_step, const float *b, int64_t b_step, int64_t depth,
                                 const int across, const int every, kit_flash_ahead next)
{
    KIT_UNROLL_4 for (int64_t k = 0; k < depth; k++) {
        KIT(flash_fetch)(across, every, next, k);
        vr x[FLASH_WIDE];
        KIT_UNROLL for (int j = 0; j < nv; j++) x[j] = vr_pin(vr_load(b + k * b_step + j * VR_LANES));
        KIT_UNROLL for (int i = 0; i < n; i++) {
            const vr s = vr_set(a[i * a_row + k * a_step]);
            KIT_UNROLL for (int j = 0; j < nv; j++)
                acc[i][j] = masked == FLASH_ALL ? vr_fma(s, x[j], acc[i][j])
                            : masked == FLASH_UNLESS_B ? vr_fma_unless(KIT(flash_none)(x[j]), s, x[j], acc[i][j])
                                                       : vr_fma_unless(KIT(flash_none)(s), s, x[j], acc[i][j]);
        }
    }
}

/* Weights of n registers of scores, the log2 unit's maximum being max, and of a vector. */
KIT_INLINE void KIT(flash_weight_each)(const int n, vr *w, vr max)
{
    if (FLASH_SQUARED_RELU) {
        KIT_UNROLL for (int i = 0; i < n; i++) w[i] = vr_max(vr_set(0.0f), w[i]); /* a NaN stays */
        KIT_UNROLL for (int i = 0; i < n; i++) w[i] = vr_mul(w[i], w[i]);
        return;
    }
    KIT_UNROLL for (int i = 0; i < n; i++) w[i] = vr_sub(w[i], max);
    vr_exp2_each(n, w, w);
}
KIT_INLINE vf KIT(flash_weight)(vf x, vf max)
{
    if (!FLASH_SQUARED_RELU) return v_exp2(v_sub(x, max));
    x = v_max(v_set(0.0f), x);
    return v_mul(x, x);
}

/* The rows' maxima after this block, and what the sums and outputs so far are worth. */
KIT_INLINE void KIT(flash_raise)(kit_flash_rows *r)
{
    for (int i = 0; i < KIT_FLASH_CELL * r->groups; i += 16) {
        const vf before = v_load(r->max + i), max = v_max(before, v_load(r->block_max + i));
        v_store(r->alpha + i, FLASH_SQUARED_RELU ? v_set(1.0f) : v_exp2(v_sub(before, max)));
        v_store(r->max + i, max);
    }
}
KIT_INLINE void KIT(flash_add)(kit_flash_rows *r)
{
    for (int i = 0; i < KIT_FLASH_CELL * r->groups; i += 16)
        v_store(r->sum + i, v_fma(v_load(r->sum + i), v_load(r->alpha + i), v_load(r->block_sum + i)));
}

/* One block of keys, as the algorithms get it. K and V have whole cells of rows. */
typedef struct KIT(flash_keys) {
    const float *K, *V;
    int64_t ldk, ldv;
    int64_t start; /* position of key 0 */
    int keys;
    kit_flash_next next_K, next_V;
} KIT(flash_keys);

#include <heed/kit/flash/scores.h>
#include <heed/kit/flash/many.h>
#include <heed/kit/flash/few.h>
#if FLASH_RELATIVES
#include <heed/kit/flash/relative.h>
#endif
#if FLASH_RELATIVES_OF_VALUES
#include <heed/kit/flash/relative_values.h>
#endif
#if defined FLASH_BF16 && (defined KIT_AVX512 || (defined KIT_NEON && !defined __clang__))
#include <heed/kit/flash/bf16.h>
#else /* f->bf16 is 0 */
KIT_INLINE void KIT(flash_bf16_queries)(kit_flash_rows *r, int64_t D, uint32_t *to) { (void)r, (void)D, (void)to; }
KIT_INLINE void KIT(flash_bf16_keys)(const kit_flash *f, KIT(flash_keys) *x, uint32_t *to)
{ (void)f, (void)x, (void)to; }
KIT_INLINE void KIT(flash_bf16)(const kit_flash *f, kit_flash_rows *r, const KIT(flash_keys) *x, float *P)
{ (void)f, (void)r, (void)x, (void)P; }
#endif
#include <heed/kit/flash/task.h>
#include <heed/kit/flash/cost.h>
#include <heed/kit/flash/op.h>
#undef FLASH_RANGE
#undef FLASH_COST
#undef FLASH_FILLS
#undef FLASH_FILL
#undef FLASH_SQUARED_RELU
#undef FLASH_FACTORS
#undef FLASH_OUTPUT
#undef FLASH_PER_HEAD
#undef FLASH_SCORES
#undef FLASH_CHANGES
#undef FLASH_BEGIN
#undef FLASH_RELATIVES
#undef FLASH_RELATIVE
#undef FLASH_RELATIVE_QUERY
#undef FLASH_RELATE
#undef FLASH_RELATIVES_OF_VALUES
#undef FLASH_RELATIVE_VALUES
#undef FLASH_RELATE_VALUES
