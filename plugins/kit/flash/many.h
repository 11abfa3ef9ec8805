/* SPDX-License-Identifier: MIT
 *
 * heed/kit/flash/many.h: a block of keys for a tile with rows in the lanes. A part of
 * kit/flash/flash.h.
 *
 *     S[key][row] = sum over d of K[key][d] Q[d][row]
 *     O[channel][row] += sum over keys of V[key][channel] P[key][row]
 *
 * Why rows in the lanes: a register holds one key's scores of VR_LANES rows, so maxima and sums of
 * a row need no step across lanes, and K and V are read as they lie, element by element, each
 * broadcast to all lanes. Only Q and O are transposed, once a tile.
 *
 * The work of a block goes by runs, strips and register tiles:
 *
 *                     48 rows
 *                  +----+----+----+
 *      keys  0..15 | ## | .. | .. |   run 1: rows 0..15    a run is neighbouring cells of keys that
 *           16..31 | ## | ## | .. | \ run 2: rows 0..31     the same groups of rows see, either all
 *           32..47 | ## | ## | .. | /                        unmasked or with a masked cell in it;
 *           48..63 | ## | ## | ## |   run 3: rows 0..47      a strip is as many rows of a run as a
 *                  +----+----+----+                          register tile is wide (FLASH_WIDE)
 *
 * A register tile is FLASH_N keys (for scores) or channels (for values) x a strip. While scores are
 * computed the next block's V is prefetched, and its K while values are summed: one line every
 * FLASH_EVERY steps.
 */
#ifndef KIT_HAS_FLASH_MANY
#define KIT_HAS_FLASH_MANY
#include <heed/kit/flash/scores.h>

#undef FLASH_EVERY
#define FLASH_EVERY (KIT_FLASH_CELL / FLASH_N)

/* Scores of FLASH_N keys for a strip of rows; `max` rises to the largest of each row. */
KIT_INLINE void KIT(flash_scores)(const int nv, float *max, const float *K, int64_t ldk,
                                  int64_t ldc, const float *Q, int64_t D, float *P,
                                  kit_flash_prefetch next)
{
    vr s[FLASH_N][FLASH_WIDE];
    KIT_UNROLL for (int i = 0; i < FLASH_N; i++)
        KIT_UNROLL for (int j = 0; j < nv; j++) s[i][j] = vr_set(0.0f);
    KIT(flash_multiply_add)
    (FLASH_N, nv, FLASH_ALL, s, K, ldk, ldc, Q, KIT_FLASH_ROWS, D, 1, FLASH_EVERY, next);
    KIT_UNROLL for (int j = 0; j < nv; j++) {
        vr m = vr_load(max + j * VR_LANES);
        KIT_UNROLL for (int i = 0; i < FLASH_N; i++) {
            m = vr_max(m, s[i][j]);
            vr_store(P + i * KIT_FLASH_ROWS + j * VR_LANES, s[i][j]);
        }
        vr_store(max + j * VR_LANES, m);
    }
}

/* Sums of values: n channels over `depth` keys. alpha NULL: what O has counts in full. */
KIT_INLINE void KIT(flash_values)(const int n, const int nv, const int masked, const float *alpha,
                                  const float *V, int64_t ldv, const float *P, float *O, int depth,
                                  kit_flash_prefetch next)
{
    vr o[FLASH_N][FLASH_WIDE];
    KIT_UNROLL for (int j = 0; j < nv; j++)
        KIT_UNROLL for (int i = 0; i < n; i++)
            o[i][j] = vr_load(O + i * KIT_FLASH_ROWS + j * VR_LANES);
    if (alpha)
        KIT_UNROLL for (int j = 0; j < nv; j++) {
            const vr a = vr_load(alpha + j * VR_LANES);
            KIT_UNROLL for (int i = 0; i < n; i++) o[i][j] = vr_mul(a, o[i][j]);
        }
    KIT(flash_multiply_add)(n, nv, masked ? FLASH_UNLESS_B : FLASH_ALL, o, V, 1, ldv, P,
                            KIT_FLASH_ROWS, depth, 0, FLASH_EVERY, next);
    KIT_UNROLL for (int i = 0; i < n; i++)
        KIT_UNROLL for (int j = 0; j < nv; j++)
            vr_store(O + i * KIT_FLASH_ROWS + j * VR_LANES, o[i][j]);
}

/* ---- the kernels: one for each shape of the register tile ---- */

#define FLASH_SCORER(nv)                                                                           \
    KIT_KERNEL void KIT(flash_scores_##nv)(float *max, const float *K, int64_t ldk, int64_t ldc,   \
                                           const float *Q, int64_t D, float *P,                    \
                                           kit_flash_prefetch next)                                \
    {                                                                                              \
        KIT(flash_scores)(nv, max, K, ldk, ldc, Q, D, P, next);                                    \
    }
#define FLASH_VALUES(n, nv, masked)                                                                \
    KIT_KERNEL void KIT(flash_values_##n##_##nv##_##masked)(const float *alpha, const float *V,    \
                                                            int64_t ldv, const float *P, float *O, \
                                                            int depth, kit_flash_prefetch next)    \
    {                                                                                              \
        KIT(flash_values)(n, nv, masked, alpha, V, ldv, P, O, depth, next);                        \
    }
#define FLASH_CHANNELS(nv, masked)                                                                 \
    FLASH_VALUES(4, nv, masked) FLASH_VALUES(2, nv, masked) FLASH_VALUES(1, nv, masked)
#if FLASH_N == 8
#define FLASH_EACH(nv)                                                                             \
    FLASH_SCORER(nv)                                                                               \
    FLASH_VALUES(8, nv, 0) FLASH_VALUES(8, nv, 1) FLASH_CHANNELS(nv, 0) FLASH_CHANNELS(nv, 1)
#define FLASH_ROW(nv, masked)                                                                      \
    {                                                                                              \
        KIT(flash_values_8_##nv##_##masked), KIT(flash_values_4_##nv##_##masked),                  \
            KIT(flash_values_2_##nv##_##masked), KIT(flash_values_1_##nv##_##masked)               \
    }
#else
#define FLASH_EACH(nv) FLASH_SCORER(nv) FLASH_CHANNELS(nv, 0) FLASH_CHANNELS(nv, 1)
#define FLASH_ROW(nv, masked)                                                                      \
    {                                                                                              \
        KIT(flash_values_4_##nv##_##masked), KIT(flash_values_2_##nv##_##masked),                  \
            KIT(flash_values_1_##nv##_##masked)                                                    \
    }
#endif
FLASH_EACH(1)
#if FLASH_WIDE == 3
FLASH_EACH(2)
FLASH_EACH(3)
#define FLASH_BOTH(masked) {FLASH_ROW(1, masked), FLASH_ROW(2, masked), FLASH_ROW(3, masked)}
#define FLASH_SCORERS {KIT(flash_scores_1), KIT(flash_scores_2), KIT(flash_scores_3)}
#else
#define FLASH_BOTH(masked) {FLASH_ROW(1, masked)}
#define FLASH_SCORERS {KIT(flash_scores_1)}
#endif

typedef void KIT(flash_scorer)(float *max, const float *K, int64_t ldk, int64_t ldc, const float *Q,
                               int64_t D, float *P, kit_flash_prefetch next);
typedef void KIT(flash_valuer)(const float *alpha, const float *V, int64_t ldv, const float *P,
                               float *O, int depth, kit_flash_prefetch next);
static KIT(flash_scorer) *const KIT(flash_scorers)[FLASH_WIDE] = FLASH_SCORERS;
static KIT(flash_valuer) *const KIT(flash_valuers)[2][FLASH_WIDE][FLASH_N == 8 ? 4 : 3] = {
    FLASH_BOTH(0), FLASH_BOTH(1)};
#undef FLASH_SCORER
#undef FLASH_VALUES
#undef FLASH_CHANNELS
#undef FLASH_EACH
#undef FLASH_ROW
#undef FLASH_BOTH
#undef FLASH_SCORERS

/* ---- runs ---- */

/* Runs of the block: keys [from, to), which registers [first, last) of the tile see. No row of these
 * sees a key outside of [low, high). */
typedef struct KIT(flash_runs) {
    struct {
        int from, to, first, last, masked, low, high;
    } at[KIT_FLASH_CELLS];
    int n;
} KIT(flash_runs);

/* Finds the runs. A cell that some groups of a run do not see is computed for them too, since its
 * neighbours are, and masked key by key. */
static void KIT(flash_find_runs)(kit_flash_rows *r, int all_masked, KIT(flash_runs) *runs)
{
    const int per = KIT_FLASH_CELL / VR_LANES;
    runs->n = 0;
    for (int k = 0; k < KIT_FLASH_KEYS; k += KIT_FLASH_CELL) {
        int first = KIT_FLASH_GROUPS, last = 0, masked = all_masked;
        for (int g = 0; g < r->groups; g++) {
            if (k < r->cells[g].begin || k >= r->cells[g].end) continue;
            if (g < first) first = g;
            last = g + 1;
            masked |= !kit_flash_is_unmasked(&r->cells[g], k, k + KIT_FLASH_CELL);
        }
        if (last == 0) continue;
        const int n = runs->n,
                  same = n && runs->at[n - 1].to == k && runs->at[n - 1].first == first * per &&
                         runs->at[n - 1].last == last * per && runs->at[n - 1].masked == masked;
        if (!same) {
            runs->at[n].from = runs->at[n].low = k, runs->at[n].first = first * per,
            runs->at[n].last = last * per;
            runs->at[n].masked = masked, runs->n++;
        }
        runs->at[runs->n - 1].to = runs->at[runs->n - 1].high = k + KIT_FLASH_CELL;
    }
}

/* Leaves dead keys at both ends of a run out, where there are no sinks in between. */
static void KIT(flash_trim_runs)(const kit_flash_rows *r, int64_t start, KIT(flash_runs) * runs)
{
    const int per = KIT_FLASH_CELL / VR_LANES;
    for (int n = 0; n < runs->n; n++) {
        int64_t low = KIT_FLASH_KEYS, high = 0;
        for (int g = runs->at[n].first / per; g < runs->at[n].last / per; g++) {
            const kit_flash_live *any = &r->any[g];
            const int64_t first = any->sink_last > start ? 0 : any->first - start,
                          last = any->last > any->sink_last ? any->last : any->sink_last;
            if (first < low) low = first;
            if (last - start > high) high = last - start;
        }
        runs->at[n].low = low > runs->at[n].from ? (int)low : runs->at[n].from;
        runs->at[n].high = high < runs->at[n].to ? (int)high : runs->at[n].to;
        if (runs->at[n].high < runs->at[n].low) runs->at[n].high = runs->at[n].low;
    }
}

/* The strips of a run: the first row of each, and its width in registers, less 1. */
typedef struct KIT(flash_strips) {
    int row[KIT_FLASH_ROWS / VR_LANES], wide[KIT_FLASH_ROWS / VR_LANES], n;
} KIT(flash_strips);
KIT_INLINE KIT(flash_strips) KIT(flash_strips_between)(int first, int last)
{
    KIT(flash_strips) s = {.n = 0};
    for (int j = first; j < last; s.n++) {
        const int end = (j / FLASH_WIDE + 1) * FLASH_WIDE, nv = (last < end ? last : end) - j;
        s.row[s.n] = j * VR_LANES, s.wide[s.n] = nv - 1, j += nv;
    }
    return s;
}

/* ---- the steps of a block ---- */

/* Scores S, and their maxima, or S alone where it is filled: `max` gets those of unmasked runs,
 * `early` those of runs that are still to be masked, which are of no use. The keys of a register
 * tile stay in the first-level cache while the next strip passes. */
static void KIT(flash_compute_scores)(const kit_flash *f, kit_flash_rows *r,
                                      const KIT(flash_runs) * runs, const KIT(flash_keys) * x,
                                      float *P, float *max, float *early)
{
    for (int n = 0; FLASH_FILLS(f) && n < runs->n; n++)
        FLASH_FILL(f, r, x, P, KIT_FLASH_ROWS, 1, runs->at[n].from,
                   runs->at[n].to < x->keys ? runs->at[n].to : x->keys,
                   runs->at[n].first * VR_LANES, (runs->at[n].last - runs->at[n].first) * VR_LANES);
    for (int n = 0; !FLASH_FILLS(f) && n < runs->n; n++) {
        const KIT(flash_strips) s = KIT(flash_strips_between)(runs->at[n].first, runs->at[n].last);
        const int from = runs->at[n].low / FLASH_N * FLASH_N;
        const float *K = x->K + from * x->ldk;
        float *p = P + from * KIT_FLASH_ROWS, *m = runs->at[n].masked ? early : max;
        for (int k = from; k < runs->at[n].high;
             k += FLASH_N, K += FLASH_N * x->ldk, p += FLASH_N * KIT_FLASH_ROWS)
            for (int j = 0; j < s.n; j++) KIT(flash_scorers)
        [s.wide[j]](m + s.row[j], K, x->ldk, x->ldc, r->Q + s.row[j], f->D, p + s.row[j],
                    kit_flash_prefetch_from(&x->next_V, k, 0, j > 0));
    }
}

/* The ranges of 16 rows, in registers. */
typedef struct KIT(flash_ranges) {
    vf low, high, sink_low, sink_high;
    int sinks;
} KIT(flash_ranges);
KIT_INLINE KIT(flash_ranges) KIT(flash_ranges_of)(const kit_flash_rows *r, int g)
{
    const int row = g * KIT_FLASH_CELL;
    return (KIT(flash_ranges)){v_load(r->low + row), v_load(r->high + row),
                               v_load(r->sink_low + row), v_load(r->sink_high + row),
                               r->lists || r->any[g].sink_last > 0};
}
KIT_INLINE vm KIT(flash_is_live)(const KIT(flash_ranges) * x, int key)
{
    const vf k = v_set((float)key);
    return x->sinks ? KIT(flash_in_ranges)(k, x->low, x->high, x->sink_low, x->sink_high)
                    : v_and(v_ge(k, x->low), v_lt(k, x->high));
}

/* Makes masked scores of a group -inf, and takes its maxima, four chains at a time: those of all
 * cells, or, where block_max has those of unmasked runs, of the others. */
static void KIT(flash_mask_group)(kit_flash_rows *r, int g, const KIT(flash_runs) * runs, int all,
                                  float *P)
{
    const kit_flash_cells *s = &r->cells[g];
    const KIT(flash_ranges) ranges = KIT(flash_ranges_of)(r, g);
    const int row = g * KIT_FLASH_CELL;
    const vf none = v_set(-FLT_MAX), masked = v_set(-INFINITY);
    vf max[4] = {all ? none : v_load(r->block_max + row), none, none, none};
    for (int k = s->begin, n = 0; k < s->end; k += KIT_FLASH_CELL) {
        float *p = P + k * KIT_FLASH_ROWS + row;
        const int clean = kit_flash_is_unmasked(s, k, k + KIT_FLASH_CELL);
        while (runs->at[n].to <= k) n++;
        if (!runs->at[n].masked && !all) continue;
        KIT_UNROLL_4 for (int i = 0; i < KIT_FLASH_CELL; i++)
        {
            vf x = v_load(p + i * KIT_FLASH_ROWS);
            if (!clean) {
                x = v_select(KIT(flash_is_live)(&ranges, k + i), x, masked);
                v_store(p + i * KIT_FLASH_ROWS, x);
            }
            max[i % 4] = v_max(max[i % 4], x);
        }
    }
    v_store(r->block_max + row, v_max(v_max(max[0], max[1]), v_max(max[2], max[3])));
}

/* Weights P = exp2(S - max) of keys [from, to) for some rows. Each is added to the sum of its key
 * modulo 16, or begins it (`first`); a few of these sums at a time are in registers. */
KIT_INLINE void KIT(flash_weights_unmasked)(const int rows, const int first, int from, int to,
                                            float *P, const float *max, float *sum)
{
    enum { N = FLASH_AT_ONCE };
    for (int row = 0; row < rows; row += VR_LANES) {
        const vr m = vr_load(max + row);
        for (int l = 0; l < KIT_FLASH_CELL; l += N) {
            vr total[N];
            KIT_UNROLL for (int i = 0; i < N; i++)
                total[i] = first ? vr_set(0.0f) : vr_load(sum + (l + i) * rows + row);
            for (int k = from; k < to; k += KIT_FLASH_CELL) {
                float *p = P + (k + l) * KIT_FLASH_ROWS + row;
                vr w[N];
                KIT_UNROLL for (int i = 0; i < N; i++) w[i] = vr_load(p + i * KIT_FLASH_ROWS);
                KIT(flash_weight_registers)(N, w, m);
                KIT_UNROLL for (int i = 0; i < N; i++) {
                    vr_store(p + i * KIT_FLASH_ROWS, w[i]);
                    if (!FLASH_SQUARED_RELU) total[i] = vr_add(total[i], w[i]);
                }
            }
            KIT_UNROLL for (int i = 0; i < N; i++) vr_store(sum + (l + i) * rows + row, total[i]);
        }
    }
}
/* The same of a group where keys are masked: those get the weight -1, and no part in a sum. */
static void KIT(flash_weights_masked)(const kit_flash_rows *r, int g, int holes, int first,
                                      int from, int to, float *P, float *sum)
{
    enum { N = FLASH_AT_ONCE };
    const KIT(flash_ranges) ranges = KIT(flash_ranges_of)(r, g);
    const vf max = v_load(r->max + g * KIT_FLASH_CELL), none = v_set(-1.0f), zero = v_set(0.0f);
    for (int l = 0; l < KIT_FLASH_CELL; l += N) {
        vf total[N];
        KIT_UNROLL for (int i = 0; i < N; i++) total[i] =
            first ? zero : v_load(sum + (l + i) * KIT_FLASH_CELL);
        for (int k = from + l; k < to; k += KIT_FLASH_CELL) {
            float *p = P + k * KIT_FLASH_ROWS;
            vf x[N], w[N];
            KIT_UNROLL for (int i = 0; i < N; i++) x[i] = v_load(p + i * KIT_FLASH_ROWS);
            KIT_UNROLL for (int i = 0; i < N; i++) w[i] = KIT(flash_weight)(x[i], max);
            KIT_UNROLL for (int i = 0; i < N; i++)
            {
                w[i] = holes ? v_select(KIT(flash_is_masked)(x[i]), none, w[i])
                             : v_select(KIT(flash_is_live)(&ranges, k + i), w[i], none);
                v_store(p + i * KIT_FLASH_ROWS, w[i]);
                total[i] = v_add(total[i], v_max(zero, w[i]));
            }
        }
        KIT_UNROLL for (int i = 0; i < N; i++) v_store(sum + (l + i) * KIT_FLASH_CELL, total[i]);
    }
}

/* The weights of a group, and the block's sums: 16 chains a row, key modulo 16, then by halves. */
static void KIT(flash_group_weights)(kit_flash_rows *r, int g, int holes, float *P)
{
    const kit_flash_cells *s = &r->cells[g];
    const int row = g * KIT_FLASH_CELL;
    float sum[KIT_FLASH_CELL][KIT_FLASH_CELL] __attribute__((aligned(64)));
    v_store(sum[0], v_set(0.0f));
    for (int k = s->begin, to, first = 1; k < s->end; k = to, first = 0) {
        /* cells of one kind at a time */
        const int clean = !holes && kit_flash_is_unmasked(s, k, k + KIT_FLASH_CELL);
        for (to = k + KIT_FLASH_CELL; to < s->end; to += KIT_FLASH_CELL)
            if (clean != (!holes && kit_flash_is_unmasked(s, to, to + KIT_FLASH_CELL))) break;
        if (clean) KIT(flash_weights_unmasked)
        (KIT_FLASH_CELL, first, k, to, P + row, r->max + row, sum[0]);
        else KIT(flash_weights_masked)(r, g, holes, first, k, to, P + row, sum[0]); }
    for (int half = s->begin < s->end ? KIT_FLASH_CELL / 2 : 0; half > 0; half /= 2)
        for (int i = 0; i < half; i++)
            v_store(sum[i], v_add(v_load(sum[i]), v_load(sum[i + half])));
    v_store(r->block_sum + row, v_load(sum[0]));
}

/* Sums of values of FLASH_N channels for a strip that begins at register `strip`, run by run: the
 * sums stay in registers, though fewer rows see the keys of one run than of another. A row that
 * sees none of them has an alpha of 1. */
KIT_INLINE void KIT(flash_stair)(const int first, const int last, const int masked,
                                 vr (*o)[FLASH_WIDE], const float *v, int64_t ldv, const float *p,
                                 int depth)
{
    KIT_UNROLL_4 for (int k = 0; k < depth; k++)
    {
        vr x[FLASH_WIDE];
        KIT_UNROLL for (int j = first; j < last; j++) x[j] =
            vr_pin(vr_load(p + k * KIT_FLASH_ROWS + j * VR_LANES));
        KIT_UNROLL for (int i = 0; i < FLASH_N; i++)
        {
            const vr s = vr_set(v[k * ldv + i]);
            KIT_UNROLL for (int j = first; j < last; j++) o[i][j] =
                masked ? vr_fma_unless(KIT(flash_mask_sign)(x[j]), s, x[j], o[i][j])
                       : vr_fma(s, x[j], o[i][j]);
        }
    }
}
#define FLASH_STAIR(first, last)                                                                   \
    case 8 * first + 2 * last: KIT(flash_stair)(first, last, 0, o, v, ldv, p, depth); break;       \
    case 8 * first + 2 * last + 1: KIT(flash_stair)(first, last, 1, o, v, ldv, p, depth); break
KIT_KERNEL void KIT(flash_values_stairs)(const KIT(flash_runs) * runs, int strip,
                                         const float *alpha, const float *V, int64_t ldv,
                                         const float *P, float *O)
{
    vr o[FLASH_N][FLASH_WIDE];
    KIT_UNROLL for (int j = 0; j < FLASH_WIDE; j++)
    {
        const vr a = vr_load(alpha + j * VR_LANES);
        KIT_UNROLL for (int i = 0; i < FLASH_N; i++) o[i][j] =
            vr_mul(a, vr_load(O + i * KIT_FLASH_ROWS + j * VR_LANES));
    }
    for (int n = 0; n < runs->n; n++) {
        const int first = runs->at[n].first > strip ? runs->at[n].first - strip : 0,
                  end = runs->at[n].last - strip, last = end < FLASH_WIDE ? end : FLASH_WIDE,
                  low = runs->at[n].low, depth = runs->at[n].high - low;
        const float *v = V + low * ldv, *p = P + low * KIT_FLASH_ROWS;
        switch (first < last ? 8 * first + 2 * last + runs->at[n].masked : 0) {
#if FLASH_WIDE == 3
            FLASH_STAIR(0, 3);
            FLASH_STAIR(0, 2);
            FLASH_STAIR(1, 2);
            FLASH_STAIR(1, 3);
            FLASH_STAIR(2, 3);
#endif
            FLASH_STAIR(0, 1);
        default: break; /* none of these registers is in it */
        }
    }
    KIT_UNROLL for (int j = 0; j < FLASH_WIDE; j++) KIT_UNROLL for (int i = 0; i < FLASH_N; i++)
        vr_store(O + i * KIT_FLASH_ROWS + j * VR_LANES, o[i][j]);
}
#undef FLASH_STAIR

/* O = alpha O + P V. The first run that a row is in applies alpha to it; a row that is in none
 * keeps what it has: its alpha is 1. */
static void KIT(flash_accumulate_values)(const kit_flash *f, kit_flash_rows *r,
                                         const KIT(flash_runs) *runs, const KIT(flash_keys) *x,
                                         const float *P)
{
    const int64_t E = f->E;
    float left[KIT_FLASH_ROWS]
        __attribute__((aligned(64))); /* alpha, or 1 where it has been applied */
    memcpy(left, r->alpha, sizeof left);
    int reached = 0; /* registers */
    int64_t begin = 0;
    for (; runs->n > 1 && begin + FLASH_N <= E; begin += FLASH_N)
        for (int j = 0; j < KIT_FLASH_GROUPS * KIT_FLASH_CELL / VR_LANES; j += FLASH_WIDE)
            KIT(flash_values_stairs)
    (runs, j, r->alpha + j * VR_LANES, x->V + begin, x->ldv, P + j * VR_LANES,
     r->O + begin * KIT_FLASH_ROWS + j * VR_LANES);
    for (int n = 0; n < runs->n && begin < E; n++) {
        const KIT(flash_strips) s = KIT(flash_strips_between)(runs->at[n].first, runs->at[n].last);
        const int from = runs->at[n].low, depth = runs->at[n].high - from;
        const float *V = x->V + from * x->ldv + begin, *p = P + from * KIT_FLASH_ROWS;
        const float *alpha = runs->at[n].last > reached ? left : NULL;
        float *o = r->O + begin * KIT_FLASH_ROWS;
        int64_t e = begin;
        for (int c = 0, wide = FLASH_N; wide > 0; c++, wide /= 2)
            for (; e + wide <= E; e += wide, V += wide, o += wide * KIT_FLASH_ROWS)
                for (int j = 0; j < s.n; j++) {
                    const kit_flash_prefetch next = kit_flash_prefetch_from(
                        &x->next_K, e / FLASH_N % FLASH_EVERY * (KIT_FLASH_KEYS / FLASH_EVERY),
                        e / KIT_FLASH_CELL, n + j > 0);
                    KIT(flash_valuers)[runs->at[n].masked][s.wide[j]][c](
                        alpha ? alpha + s.row[j] : NULL, V, x->ldv, p + s.row[j], o + s.row[j],
                        depth, next);
                }
        for (; reached < runs->at[n].last; reached++)
            memcpy(left + reached * VR_LANES, kit_flash_ones, sizeof(float) * VR_LANES);
    }
}

/* A block that all rows see in full: a strip goes from scores to weights while both are in the
 * first-level cache; then come the values. */
#undef FLASH_STRIP
#define FLASH_STRIP (FLASH_WIDE * VR_LANES)
static void KIT(flash_unmasked_block)(const kit_flash *f, kit_flash_rows *r,
                                      const KIT(flash_keys) *x, float *P)
{
    for (int row = 0; row < KIT_FLASH_ROWS; row += FLASH_STRIP) {
        float sum[KIT_FLASH_CELL * FLASH_STRIP] __attribute__((aligned(64)));
        for (int j = row; j < row + FLASH_STRIP; j += VR_LANES)
            vr_store(r->block_max + j, vr_set(-FLT_MAX));
        for (int k = 0; k < KIT_FLASH_KEYS; k += FLASH_N) KIT(flash_scorers)
        [FLASH_WIDE - 1](r->block_max + row, x->K + k * x->ldk, x->ldk, x->ldc, r->Q + row, f->D,
                         P + k * KIT_FLASH_ROWS + row,
                         kit_flash_prefetch_from(&x->next_V, k, 0, row > 0));
        for (int j = row; j < row + FLASH_STRIP; j += VR_LANES) {
            const vr before = vr_load(r->max + j);
            const vr max = vr_max(before, vr_add(vr_load(r->block_max + j), vr_load(r->lift + j)));
            vr alpha = vr_sub(before, max);
            if (FLASH_SQUARED_RELU) alpha = vr_set(1.0f);
            else vr_exp2_each(1, &alpha, &alpha);
            vr_store(r->alpha + j, alpha);
            vr_store(r->max + j, max);
        }
        KIT(flash_weights_unmasked)(FLASH_STRIP, 1, 0, KIT_FLASH_KEYS, P + row, r->max + row, sum);
        for (int half = KIT_FLASH_CELL / 2; half > 0; half /= 2)
            for (int i = 0; i < half * FLASH_STRIP; i += VR_LANES)
                vr_store(sum + i, vr_add(vr_load(sum + i), vr_load(sum + half * FLASH_STRIP + i)));
        memcpy(r->block_sum + row, sum, sizeof(float) * FLASH_STRIP);
    }
    KIT(flash_update_sum)(r);
    for (int row = 0; row < KIT_FLASH_ROWS; row += FLASH_STRIP) {
        const float *V = x->V;
        float *o = r->O + row;
        int64_t e = 0;
        for (int c = 0, wide = FLASH_N; wide > 0; c++, wide /= 2)
            for (; e + wide <= f->E; e += wide, V += wide, o += wide * KIT_FLASH_ROWS) {
                const kit_flash_prefetch next = kit_flash_prefetch_from(
                    &x->next_K, e / FLASH_N % FLASH_EVERY * (KIT_FLASH_KEYS / FLASH_EVERY),
                    e / KIT_FLASH_CELL, row > 0);
                KIT(flash_valuers)[0][FLASH_WIDE - 1][c](r->alpha + row, V, x->ldv, P + row, o,
                                                         KIT_FLASH_KEYS, next);
            }
    }
    FLASH_RELATE_VALUES(f, r, P, 1, x->start);
}

static void KIT(flash_many)(const kit_flash *f, kit_flash_rows *r, const KIT(flash_keys) *x,
                            float *P)
{
    const int holes = kit_flash_has_holes(f, r->batch),
              rescores = KIT(flash_changes_scores)(f, r, x->start, x->keys);
    KIT(flash_runs) runs;
    const int early = rescores || FLASH_FILLS(f); /* the maxima come before the final scores */
    int clean = !early;
    float unused[KIT_FLASH_ROWS];
    for (int g = 0; g < r->groups; g++)
        clean &= kit_flash_is_unmasked(&r->cells[g], r->cells[g].begin, r->cells[g].end);
    if (clean && r->groups == KIT_FLASH_GROUPS && kit_flash_sees_all(r)) {
        KIT(flash_unmasked_block)(f, r, x, P);
        return;
    }
    for (int g = 0; g < r->groups; g++)
        if (!kit_flash_is_unmasked(&r->cells[g], r->cells[g].begin, r->cells[g].end))
            kit_flash_group_block_ranges(r, g, x->start);
    for (int i = 0; i < KIT_FLASH_CELL * r->groups; i += 16)
        v_store(r->block_max + i, v_set(-FLT_MAX));
    KIT(flash_find_runs)(r, holes, &runs);
    KIT(flash_trim_runs)(r, x->start, &runs);
    KIT(flash_compute_scores)(f, r, &runs, x, P, early ? unused : r->block_max, unused);
    if (rescores)
        KIT(flash_change_scores)(f, r, P, KIT_FLASH_ROWS, 1, x->start, x->keys, KIT_FLASH_KEYS);
    for (int g = 0; g < r->groups && !clean; g++) KIT(flash_mask_group)(r, g, &runs, early, P);
    KIT(flash_update_max)(r);
    for (int g = 0; g < r->groups; g++) KIT(flash_group_weights)(r, g, holes, P);
    KIT(flash_update_sum)(r);
    KIT(flash_accumulate_values)(f, r, &runs, x, P);
    FLASH_RELATE_VALUES(f, r, P, 1, x->start);
}
#endif
