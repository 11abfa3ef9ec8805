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

/* Runs of the block: keys [from, to), which registers [first, last) of the tile see. */
typedef struct KIT(flash_runs) {
    struct { int from, to, first, last, masked; } at[KIT_FLASH_CELLS];
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
            runs->at[n].from = k, runs->at[n].first = first * per, runs->at[n].last = last * per;
            runs->at[n].masked = masked, runs->n++;
        }
        runs->at[runs->n - 1].to = k + KIT_FLASH_CELL;
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

/* Scores S, and their maxima in `max`, or S alone where it is filled. The keys of a register tile
 * stay in the first-level cache while the next strip passes. */
static void KIT(flash_compute_scores)(const kit_flash *f, kit_flash_rows *r,
                                      const KIT(flash_runs) *runs, const KIT(flash_keys) *x,
                                      float *P, float *max)
{
    for (int n = 0; FLASH_FILLS(f) && n < runs->n; n++)
        FLASH_FILL(f, r, x, P, KIT_FLASH_ROWS, 1, runs->at[n].from,
                   runs->at[n].to < x->keys ? runs->at[n].to : x->keys,
                   runs->at[n].first * VR_LANES, (runs->at[n].last - runs->at[n].first) * VR_LANES);
    for (int n = 0; !FLASH_FILLS(f) && n < runs->n; n++) {
        const KIT(flash_strips) s = KIT(flash_strips_between)(runs->at[n].first, runs->at[n].last);
        const float *K = x->K + runs->at[n].from * x->ldk;
        float *p = P + runs->at[n].from * KIT_FLASH_ROWS;
        for (int k = runs->at[n].from; k < runs->at[n].to;
             k += FLASH_N, K += FLASH_N * x->ldk, p += FLASH_N * KIT_FLASH_ROWS)
            for (int j = 0; j < s.n; j++) KIT(flash_scorers)
        [s.wide[j]](max + s.row[j], K, x->ldk, x->ldc, r->Q + s.row[j], f->D, p + s.row[j],
                    kit_flash_prefetch_from(&x->next_V, k, 0, j > 0));
    }
}

/* Makes masked scores of a group -inf, and takes its maxima, four chains at a time. */
static void KIT(flash_mask_group)(kit_flash_rows *r, int g, float *P)
{
    const kit_flash_cells *s = &r->cells[g];
    const int row = g * KIT_FLASH_CELL;
    vf max[4] = {v_set(-FLT_MAX), v_set(-FLT_MAX), v_set(-FLT_MAX), v_set(-FLT_MAX)};
    for (int k = s->begin; k < s->end; k += KIT_FLASH_CELL) {
        float *p = P + k * KIT_FLASH_ROWS + row;
        if (!kit_flash_is_unmasked(s, k, k + KIT_FLASH_CELL))
            for (int i = 0; i < KIT_FLASH_CELL; i++)
                v_store(p + i * KIT_FLASH_ROWS,
                        v_select(KIT(flash_rows_live)(r, row, k + i),
                                 v_load(p + i * KIT_FLASH_ROWS), v_set(-INFINITY)));
        KIT_UNROLL for (int i = 0; i < KIT_FLASH_CELL; i++)
            max[i % 4] = v_max(max[i % 4], v_load(p + i * KIT_FLASH_ROWS));
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
/* The same where keys are masked: those get the weight -1, and no part in a sum. */
static void KIT(flash_weights_masked)(const kit_flash_rows *r, int row, int holes, int from, int to,
                                      float *P, float (*sum)[KIT_FLASH_CELL])
{
    const vf max = v_load(r->max + row), none = v_set(-1.0f);
    for (int k = from; k < to; k++) {
        float *p = P + k * KIT_FLASH_ROWS, *total = sum[k % KIT_FLASH_CELL];
        const vf x = v_load(p), w = KIT(flash_weight)(x, max);
        const vf left = holes ? v_select(KIT(flash_is_masked)(x), none, w)
                              : v_select(KIT(flash_rows_live)(r, row, k), w, none);
        v_store(p, left);
        v_store(total, v_add(v_load(total), v_max(v_set(0.0f), left)));
    }
}

/* The weights of a group, and the block's sums: 16 chains a row, key modulo 16, then by halves. */
static void KIT(flash_group_weights)(kit_flash_rows *r, int g, int holes, float *P)
{
    const kit_flash_cells *s = &r->cells[g];
    const int row = g * KIT_FLASH_CELL;
    float sum[KIT_FLASH_CELL][KIT_FLASH_CELL] __attribute__((aligned(64))) = {{0}};
    for (int k = s->begin, to; k < s->end; k = to) { /* cells of one kind at a time */
        const int clean = !holes && kit_flash_is_unmasked(s, k, k + KIT_FLASH_CELL);
        for (to = k + KIT_FLASH_CELL; to < s->end; to += KIT_FLASH_CELL)
            if (clean != (!holes && kit_flash_is_unmasked(s, to, to + KIT_FLASH_CELL))) break;
        if (clean)
            KIT(flash_weights_unmasked)(KIT_FLASH_CELL, 0, k, to, P + row, r->max + row, sum[0]);
        else KIT(flash_weights_masked)(r, row, holes, k, to, P + row, sum);
    }
    for (int half = KIT_FLASH_CELL / 2; half > 0; half /= 2)
        for (int i = 0; i < half; i++)
            v_store(sum[i], v_add(v_load(sum[i]), v_load(sum[i + half])));
    v_store(r->block_sum + row, v_load(sum[0]));
}

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
    for (int n = 0; n < runs->n; n++) {
        const KIT(flash_strips) s = KIT(flash_strips_between)(runs->at[n].first, runs->at[n].last);
        const int from = runs->at[n].from, depth = runs->at[n].to - from;
        const float *V = x->V + from * x->ldv, *p = P + from * KIT_FLASH_ROWS;
        const float *alpha = runs->at[n].last > reached ? left : NULL;
        float *o = r->O;
        int64_t e = 0;
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
    int clean = !rescores && !FLASH_FILLS(f);
    float early[KIT_FLASH_ROWS]; /* maxima of no use: the mask, or what changes scores, makes
                                    others */
    for (int g = 0; g < r->groups; g++)
        clean &= kit_flash_is_unmasked(&r->cells[g], r->cells[g].begin, r->cells[g].end);
    if (clean && r->groups == KIT_FLASH_GROUPS && kit_flash_sees_all(r)) {
        KIT(flash_unmasked_block)(f, r, x, P);
        return;
    }
    if (!clean) kit_flash_block_ranges(r, x->start);
    for (int i = 0; i < KIT_FLASH_CELL * r->groups; i += 16)
        v_store(r->block_max + i, v_set(-FLT_MAX));
    KIT(flash_find_runs)(r, holes, &runs);
    KIT(flash_compute_scores)(f, r, &runs, x, P, clean ? r->block_max : early);
    if (rescores)
        KIT(flash_change_scores)(f, r, P, KIT_FLASH_ROWS, 1, x->start, x->keys, KIT_FLASH_KEYS);
    for (int g = 0; g < r->groups && !clean; g++) KIT(flash_mask_group)(r, g, P);
    KIT(flash_update_max)(r);
    for (int g = 0; g < r->groups; g++) KIT(flash_group_weights)(r, g, holes, P);
    KIT(flash_update_sum)(r);
    KIT(flash_accumulate_values)(f, r, &runs, x, P);
    FLASH_RELATE_VALUES(f, r, P, 1, x->start);
}
#endif
