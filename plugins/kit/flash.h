/* SPDX-License-Identifier: MIT
 *
 * heed/kit/flash.h: tiled attention of the softmax family, exact, with the scores in cache (online softmax,
 * arXiv 2205.14135). Include it in a kernel file; a variant sets hooks before (see "hooks").
 *
 *     for each tile of 48 rows, for each block of 96 keys:    S = Q K^T    P = exp2(S - max)    O = alpha O + P V
 *
 * A row is one query of one head; the heads that share keys and values lie side by side. Two algorithms give the same
 * bits, and which one takes a tile follows from its number of rows alone:
 *
 *     many rows (flash_many.h)   rows in the lanes; K and V are broadcast element by element, as they lie
 *     few rows (flash_few.h)     keys, then channels, in the lanes; rows are broadcast, and none are padded
 *
 * (flash_bf16.h is a third, for many rows on a path that gives other bits.)
 *
 * For in both a row's arithmetic is one sequence, whatever the vector width, the tile it is in, or its neighbours: a score
 * is one chain of fma over d, an output one chain over the keys, and a block's weights are summed as 16 chains (key modulo
 * 16), then by halves. A path only chooses what it holds in registers.
 *
 * What the equality of bits rests on besides: a masked score never enters a maximum; a masked weight is left out of the
 * sum, and its value is skipped by select, so that a NaN behind the mask stays there; exp2(0) is exactly 1 and maxima
 * start at -FLT_MAX, so that a block in which a row has no key changes no bit of that row.
 *
 * Masks are live ranges of keys per row (flash_mask.h). Work is cut into cells of 16 rows x 16 keys: a dead cell costs
 * nothing, and only a cell that is live in part is looked at key by key.
 *
 * Error against exact attention: that of float32 products of length D and sums of length S, plus 2 ulp of each weight.
 */
#ifndef HEED_KIT_FLASH_ONCE
#define HEED_KIT_FLASH_ONCE

#define KIT_FLASH_ROWS 48  /* of a tile */
#define KIT_FLASH_KEYS 96  /* of a block, and tokens of a page of the cache: weights and values share the first cache */
#define KIT_FLASH_TILES 16 /* of a task, at most: keys and values that have to be packed are packed once for them */
#define KIT_FLASH_CELL 16  /* rows and keys of a cell */
#define KIT_FLASH_GROUPS (KIT_FLASH_ROWS / KIT_FLASH_CELL)
#define KIT_FLASH_CELLS (KIT_FLASH_KEYS / KIT_FLASH_CELL)
#define KIT_LOG2E 1.44269504088896341
#define KIT_LN2 0.693147180559945309

/* One call, set up by kit_flash_setup; read-only while tiles run. */
typedef struct kit_flash {
    const heed_call *call;
    const heed_tensor *q, *k, *v, *out, *lse;                /* lse may be NULL, and so may the following */
    const heed_tensor *key_lengths;                          /* [B] */
    const heed_tensor *documents, *query_documents;          /* [B, S], [B, T] */
    const heed_tensor *bias;                                 /* [B, H, T, S], added to the scores */
    const heed_tensor *sink_logits;                          /* [H], each a key without a value */
    const heed_score *score;                                 /* changes the scores, or NULL */
    const void *score_instance;
    const void *variant;                                     /* for hooks */
    float scale;                                             /* of q k, without log2 e */
    float softcap;                                           /* 0 = none */
    int64_t B, T, S, H, G, D, E;
    int64_t group;          /* H / G: query heads that share keys and values; row n = query n / group, head n % group */
    int64_t rows;           /* T group: of a group of heads */
    int64_t tiles, few;     /* whole tiles and the rest that has many rows; rows left for flash_few */
    int64_t tasks, per_task; /* of a group of heads: tiles so many at a time, and the few rows at last */
    int bf16;               /* tiles go to flash_bf16.h, in a kernel that has it */
    const uint8_t *sorted;  /* of the sequences from batch0 on: its documents come in rising order */
    int64_t batch0;
} kit_flash;

/* Live keys of one row: [first, last), and before them the sinks, [sink_first, sink_last); either may be empty. */
typedef struct kit_flash_live { int64_t first, last, sink_first, sink_last; } kit_flash_live;

/* Keys of this block, counted from its start, that rows of one group (16 rows) see: some row sees [begin, end), all see
 * [clean, dirty); multiples of 16. */
typedef struct kit_flash_span { int begin, end, clean, dirty; } kit_flash_span;

/* What is read next: a line at `at`, and `pitch` bytes from key to key. Pitch 0: nothing is. */
typedef struct kit_flash_ahead { const char *at; int64_t pitch; } kit_flash_ahead;

/* Rows that go through the registers together. Arrays are padded with copies of the last row, whose results are dropped. */
typedef struct kit_flash_rows {
    float max[KIT_FLASH_ROWS], sum[KIT_FLASH_ROWS];        /* running, over the blocks so far (maximum in log2 units) */
    float block_max[KIT_FLASH_ROWS], block_sum[KIT_FLASH_ROWS], alpha[KIT_FLASH_ROWS];
    float low[KIT_FLASH_ROWS], high[KIT_FLASH_ROWS];       /* `live`, from the start of a block that is live in part */
    float sink_low[KIT_FLASH_ROWS], sink_high[KIT_FLASH_ROWS];
    kit_flash_live live[KIT_FLASH_ROWS];
    kit_flash_live any[KIT_FLASH_GROUPS], all[KIT_FLASH_GROUPS]; /* that some row, and that all rows of a group see */
    kit_flash_span span[KIT_FLASH_GROUPS];
    int64_t query[KIT_FLASH_ROWS], position[KIT_FLASH_ROWS];
    int32_t head[KIT_FLASH_ROWS];
    float *Q, *O;       /* Q [D][48], scaled; O [E][48], or [row][E padded] if few */
    uint32_t *pairs;    /* Q for flash_bf16.h */
    int64_t row0, batch;
    int rows, groups, few;
} __attribute__((aligned(64))) kit_flash_rows;

/* Weights < 0 stand for masked keys, which a sum skips: there are none, or those of b (a lane's), or those of a. */
enum { FLASH_ALL, FLASH_UNLESS_B, FLASH_UNLESS_A };

/* Floats between packed rows of this width: an odd number of lines, so that rows never meet in a few sets of a cache. */
KIT_INLINE int64_t kit_flash_pitch(int64_t width) { return 16 * (kit_lanes(width) / 16 | 1); }

/* Tiles of a task at most, so that their Q and O, 768 KiB, stay in a second cache of 1 MiB: keys and values come from
 * further away once for all of them. */
KIT_INLINE int64_t kit_flash_most(int64_t D, int64_t E)
{
    const int64_t most = KIT_FLASH_TILES * 256 / (D + E + 1);
    return most < 2 ? 2 : most < KIT_FLASH_TILES ? most : KIT_FLASH_TILES;
}

/* Pairs of bfloat16 in the K and V of a block, and in a tile's Q. */
KIT_INLINE int64_t kit_flash_block_pairs(int64_t D, int64_t E) { return KIT_FLASH_KEYS / 2 * (kit_lanes(D) + kit_lanes(E)); }
KIT_INLINE int64_t kit_flash_query_pairs(int64_t D) { return KIT_FLASH_ROWS / 2 * kit_lanes(D); }

/* A lane's scratch: one block of weights, one of K and V packed, Q and O of a task; and K, V and Q in pairs. */
KIT_INLINE uint64_t kit_flash_scratch(int64_t D, int64_t E)
{
    return sizeof(float) *
           (uint64_t)(KIT_FLASH_ROWS * KIT_FLASH_KEYS + KIT_FLASH_KEYS * (kit_flash_pitch(D) + kit_flash_pitch(E)) +
                      kit_flash_most(D, E) * KIT_FLASH_ROWS * (kit_lanes(D) + kit_lanes(E)) +
                      kit_flash_block_pairs(D, E) + kit_flash_most(D, E) * kit_flash_query_pairs(D));
}

/* A call's workspace. */
KIT_INLINE uint64_t kit_flash_workspace(const heed_tensor *documents, int64_t B) { return documents ? (uint64_t)B : 0; }

/* A page of the cache: K [G][96][D], then V [G][96][E], float32. 0 if a size is not known, or none that memory can hold. */
KIT_INLINE uint64_t kit_flash_page(int64_t G, int64_t D, int64_t E)
{
    int64_t bytes;
    if (G < 0 || D < 0 || E < 0 || __builtin_add_overflow(D, E, &bytes) || __builtin_mul_overflow(bytes, G, &bytes) ||
        __builtin_mul_overflow(bytes, (int64_t)(KIT_FLASH_KEYS * sizeof(float)), &bytes))
        return 0;
    return (uint64_t)bytes;
}
#endif

/* ---- hooks: a variant defines these before it includes this file ---- */

/* Narrows the live keys [lo, hi) of a row whose query is at position `at`: FLASH_RANGE(f, at, lo, hi). */
#ifndef FLASH_RANGE
#define FLASH_RANGE(f, at, lo, hi) ((void)0)
#endif

#include <heed/kit/flash_mask.h>

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

/* Lines of the next block, asked for between the links of this one, one in `every` links: a core has no more misses under
 * way than it can bear, and each has ended before its line is read. Line i is that of key i, or, `across`, those of a
 * few keys in turn, then the line beside it. */
KIT_INLINE void KIT(flash_fetch)(const int across, const int every, kit_flash_ahead next, int64_t k)
{
    const int64_t i = k / every, keys = KIT_FLASH_CELL / every;
    if (k % every == 0) __builtin_prefetch(next.at + (across ? i % keys * next.pitch + i / keys * 64 : i * next.pitch), 0, 2);
}

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
                                                : vr_fma_unless(masked == FLASH_UNLESS_B ? x[j] : s, s, x[j], acc[i][j]);
        }
    }
}

/* The rows' maxima after this block, and what the sums and outputs so far are worth. */
KIT_INLINE void KIT(flash_raise)(kit_flash_rows *r)
{
    for (int i = 0; i < KIT_FLASH_CELL * r->groups; i += 16) {
        const vf before = v_load(r->max + i), max = v_max(before, v_load(r->block_max + i));
        v_store(r->alpha + i, v_exp2(v_sub(before, max)));
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
    kit_flash_ahead next_K, next_V; /* of the next block */
} KIT(flash_keys);

#include <heed/kit/flash_scores.h>
#include <heed/kit/flash_many.h>
#include <heed/kit/flash_few.h>
#if defined FLASH_BF16 && defined KIT_AVX512
#include <heed/kit/flash_bf16.h>
#else /* f->bf16 is 0 */
KIT_INLINE void KIT(flash_bf16_queries)(kit_flash_rows *r, int64_t D, uint32_t *to) { (void)r, (void)D, (void)to; }
KIT_INLINE void KIT(flash_bf16_keys)(const kit_flash *f, KIT(flash_keys) *x, uint32_t *to) { (void)f, (void)x, (void)to; }
KIT_INLINE void KIT(flash_bf16)(const kit_flash *f, kit_flash_rows *r, const KIT(flash_keys) *x, float *P)
{ (void)f, (void)r, (void)x, (void)P; }
#endif
#include <heed/kit/flash_task.h>
#include <heed/kit/flash_cost.h>
#undef FLASH_RANGE
