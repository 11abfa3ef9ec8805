/* SPDX-License-Identifier: MIT
 *
 * heed/kit/flash/relative.h: a vector for each distance from a query back to a key, whose product
 * with the query is a term of the score (Shaw, Transformer-XL):
 *
 *     score(query at i, key at j) += q_i . p[i - j]
 *
 * The obvious ways are slow: all products q . p first and then a lookup for each pair, or a matrix
 * that is shifted row by row. Here nothing is looked up and nothing is shifted. The table lies by
 * channels, with the distances side by side. Rows of a tile are consecutive positions in the lanes,
 * so for one key the distances of 16 rows are 16 neighbours of the table, which are one vector
 * load; and the next 16 rows have the same distances to the keys 16 further on. Those cells are a
 * diagonal:
 *
 *                    keys  0..15  16..31  32..47  48..63
 *       rows  0..15        [ A ]   [ B ]   [ C ]           cells with the same letter have the same
 *       rows 16..31            [ A ]   [ B ]   [ C ]        distances: one load of the table serves
 *       rows 32..47                        [ A ]   [ B ]        all cells of a diagonal
 *
 *     S[key + n][row + n] += sum over d of Q[d][row + n] p[d][i(row) - j(key)]        n = 0, 16, 32
 *
 * So this is the product with the keys over again, with loads where that has broadcasts. A diagonal
 * that leaves the block on the right is computed to its end, all registers full; what it has for
 * the first keys of the next block is carried over in the tile (kit_flash_carried).
 *
 * For a few rows (flash/few.h) the lanes hold distances: each row's products with a stretch of the
 * table are computed, and its scores read them backwards. Both are one chain of fma over d: the
 * same bits. Distances beyond an end of the table count as that end; where all of a cell are, the
 * term is one number a row.
 *
 * A part of kit/flash/flash.h, of variants that define FLASH_RELATIVE.
 */
#ifndef KIT_HAS_FLASH_RELATIVE
#define KIT_HAS_FLASH_RELATIVE
#include <heed/kit/flash/many.h>
#include <heed/kit/flash/few.h>

#ifndef HEED_KIT_FLASH_RELATIVE_ONCE
#define HEED_KIT_FLASH_RELATIVE_ONCE

enum {
    FLASH_TABLE_PADDING = 48
}; /* copies of an end entry beside it, for vector loads that go beyond */

/* Floats of the table of one head. */
KIT_INLINE int64_t kit_flash_table_floats(int64_t entries, int64_t width)
{
    return kit_lanes(width) * kit_flash_pitch(entries + 2 * FLASH_TABLE_PADDING);
}

/* A table in `room`, zeroed beforehand, without its numbers; and the copies of its ends. */
KIT_INLINE kit_flash_table kit_flash_table_in(float *room, int64_t first, int64_t entries,
                                              int64_t width)
{
    return (kit_flash_table){.first = first,
                             .entries = entries,
                             .width = width,
                             .columns = room + FLASH_TABLE_PADDING,
                             .apart = kit_flash_pitch(entries + 2 * FLASH_TABLE_PADDING)};
}
static __attribute__((unused)) void kit_flash_table_end(const kit_flash_table *t, int64_t head)
{
    for (int64_t d = 0; d < t->width; d++) {
        float *near = t->columns + head * t->head + d * t->apart, *far = near + t->entries - 1;
        for (int n = 1; n <= FLASH_TABLE_PADDING; n++) near[-n] = *near, far[n] = *far;
    }
}

/* One for all heads, of a tensor [entries, width], nearest first or, if `backwards`, last. */
static __attribute__((unused)) void kit_flash_table_pack(kit_flash_table *t,
                                                         const heed_tensor *from, int backwards)
{
    for (int64_t e = 0; e < t->entries; e++)
        for (int64_t d = 0; d < t->width; d++) {
            const int64_t at[2] = {backwards ? t->entries - 1 - e : e, d};
            kit_read_row_scalar(t->columns + d * t->apart + e, kit_at(from, at, 2), from->dtype, 1,
                                1);
        }
    kit_flash_table_end(t, 0);
}

/* Where entries [nearest, farthest] are all beyond one end: 0 for the near one, 1 for the far one;
 * -1 if they are not. */
KIT_INLINE int kit_flash_table_end_of(const kit_flash_table *t, int64_t nearest, int64_t farthest)
{
    return farthest <= 0 ? 0 : nearest >= t->entries - 1 ? 1 : -1;
}
#endif

/* ---- many rows: diagonals ---- */

/* Diagonal m of a block has, for each register of rows, the keys m VR_LANES further on than its
 * first row: the registers that see such keys below `end`, of this block or the next one, as
 * strips. */
enum {
    KIT(flash_first_diagonal) = 1 - KIT_FLASH_ROWS / VR_LANES,
    KIT(flash_diagonals) = KIT_FLASH_KEYS / VR_LANES
};
KIT_INLINE KIT(flash_strips) KIT(flash_diagonal)(const kit_flash_rows *r, int m, int64_t start,
                                                 int64_t end)
{
    int first = KIT_FLASH_ROWS, last = 0;
    for (int j = 0; j < KIT_FLASH_CELL / VR_LANES * r->groups; j++) {
        const int g = j * VR_LANES / KIT_FLASH_CELL, key = VR_LANES * (m + j);
        const int here = key >= r->cells[g].begin && key < r->cells[g].end;
        if (!here && (key < KIT_FLASH_KEYS || key >= end || start + key >= r->any[g].last))
            continue;
        if (j < first) first = j;
        last = j + 1;
    }
    return KIT(flash_strips_between)(first, last);
}

/* Adds to the scores at to[register] of FLASH_N keys of each register the products with the table;
 * key 0 of a register has the entry R[row]. */
KIT_INLINE void KIT(flash_diagonal_scores)(const int nv, const float *Q, const float *R,
                                           int64_t apart, int64_t D, float *const *to)
{
    vr s[FLASH_N][FLASH_WIDE];
    KIT_UNROLL for (int i = 0; i < FLASH_N; i++)
        KIT_UNROLL for (int j = 0; j < nv; j++) s[i][j] = vr_set(0.0f);
    KIT_UNROLL_4 for (int64_t d = 0; d < D; d++) {
        vr q[FLASH_WIDE];
        KIT_UNROLL for (int j = 0; j < nv; j++)
            q[j] = vr_pin(vr_load(Q + d * KIT_FLASH_ROWS + j * VR_LANES));
        KIT_UNROLL for (int i = 0; i < FLASH_N; i++) {
            const vr p = vr_pin(vr_load(R + d * apart - i));
            KIT_UNROLL for (int j = 0; j < nv; j++) s[i][j] = vr_fma(q[j], p, s[i][j]);
        }
    }
    KIT_UNROLL for (int i = 0; i < FLASH_N; i++)
        KIT_UNROLL for (int j = 0; j < nv; j++) {
            float *p = to[j] + i * KIT_FLASH_ROWS;
            vr_store(p, vr_add(vr_load(p), s[i][j]));
        }
}
#define FLASH_DIAGONAL(nv)                                                                         \
    KIT_KERNEL void KIT(flash_diagonal_scores_##nv)(const float *Q, const float *R, int64_t apart, \
                                                    int64_t D, float *const *to)                   \
    {                                                                                              \
        KIT(flash_diagonal_scores)(nv, Q, R, apart, D, to);                                        \
    }
FLASH_DIAGONAL(1)
#if FLASH_WIDE == 3
FLASH_DIAGONAL(2)
FLASH_DIAGONAL(3)
#endif
#undef FLASH_DIAGONAL
    typedef void KIT(flash_diagonal_kernel)(const float *Q, const float *R, int64_t apart,
                                            int64_t D, float *const *to);
static KIT(flash_diagonal_kernel) *const KIT(flash_diagonal_kernels)[FLASH_WIDE] = {
    KIT(flash_diagonal_scores_1),
#if FLASH_WIDE == 3
    KIT(flash_diagonal_scores_2), KIT(flash_diagonal_scores_3),
#endif
};

/* What an end adds to the scores of each row. */
KIT_INLINE void KIT(flash_relative_end)(const float *Q, const float *R, int64_t apart, int64_t D,
                                        float *to)
{
    vf s[KIT_FLASH_GROUPS];
    KIT_UNROLL for (int g = 0; g < KIT_FLASH_GROUPS; g++) s[g] = v_set(0.0f);
    for (int64_t d = 0; d < D; d++)
        KIT_UNROLL for (int g = 0; g < KIT_FLASH_GROUPS; g++)
            s[g] = v_fma(v_load(Q + d * KIT_FLASH_ROWS + g * KIT_FLASH_CELL), v_set(R[d * apart]),
                         s[g]);
    KIT_UNROLL for (int g = 0; g < KIT_FLASH_GROUPS; g++) v_store(to + g * KIT_FLASH_CELL, s[g]);
}

/* Adds what the block before has carried over for the first keys of this one; returns whether it
 * has. */
KIT_INLINE int KIT(flash_take_carried)(const kit_flash_rows *r, float *P, int64_t start)
{
    const int kept = r->carried->start == start;
    for (int row = VR_LANES; row < KIT_FLASH_ROWS; row += VR_LANES)
        for (int at = row; at < row * KIT_FLASH_ROWS; at += KIT_FLASH_ROWS) {
            if (kept) vr_store(P + at, vr_add(vr_load(P + at), vr_load(r->carried->S + at)));
            vr_store(r->carried->S + at, vr_set(0.0f));
        }
    r->carried->start = start + KIT_FLASH_KEYS;
    return kept;
}

static void KIT(flash_relative_many)(const kit_flash *f, const kit_flash_rows *r, const float *Q,
                                     float *P, int64_t start, const kit_flash_table *t)
{
    const float *R = t->columns + r->head[0] * t->head;
    float ends[2][KIT_FLASH_ROWS];
    int known[2] = {0, 0};
    for (int m = KIT(flash_take_carried)(r, P, start) ? 0 : KIT(flash_first_diagonal);
         m < KIT(flash_diagonals); m++) {
        const KIT(flash_strips) s =
            KIT(flash_diagonal)(r, m, start, KIT_FLASH_KEYS + KIT_FLASH_ROWS);
        const int64_t at = r->position[0] - start - m * VR_LANES -
                           t->first; /* entry of the first row and its key */
        const int side = kit_flash_table_end_of(t, at - VR_LANES + 1, at + VR_LANES - 1);
        if (s.n && side >= 0 && !known[side]++)
            KIT(flash_relative_end)(Q, R + side * (t->entries - 1), t->apart, f->D, ends[side]);
        for (int j = 0; j < s.n; j++) {
            float *to[FLASH_WIDE] = {0}; /* gcc 14 does not see that all that are taken are set */
            for (int n = 0; n <= s.wide[j]; n++) {
                const int row = s.row[j] + n * VR_LANES, key = m * VR_LANES + row;
                to[n] = (key < KIT_FLASH_KEYS ? P : r->carried->S) +
                        key % KIT_FLASH_KEYS * KIT_FLASH_ROWS + row;
                for (int i = 0; side >= 0 && i < VR_LANES; i++) {
                    float *p = to[n] + i * KIT_FLASH_ROWS;
                    vr_store(p, vr_add(vr_load(p), vr_load(ends[side] + row)));
                }
            }
            for (int i = 0; side < 0 && i < VR_LANES; i += FLASH_N) {
                KIT(flash_diagonal_kernels)[s.wide[j]](Q + s.row[j], R + at - i, t->apart, f->D,
                                                       to);
                for (int n = 0; n <= s.wide[j]; n++) to[n] += FLASH_N * KIT_FLASH_ROWS;
            }
        }
    }
}

/* ---- few rows: stretches ---- */

enum {
    KIT(flash_stretch_step) = FLASH_WIDE * VR_LANES,
    KIT(flash_stretch) = KIT_FLASH_KEYS + KIT(flash_stretch_step)
};

/* Products of n rows with as many entries as registers hold. */
KIT_INLINE void KIT(flash_stretches)(const int n, const float *Q, const float *R, int64_t apart,
                                     int64_t D, float *Z)
{
    vr s[FLASH_N][FLASH_WIDE];
    KIT_UNROLL for (int i = 0; i < n; i++)
        KIT_UNROLL for (int j = 0; j < FLASH_WIDE; j++) s[i][j] = vr_set(0.0f);
    KIT(flash_multiply_add)(n, FLASH_WIDE, FLASH_ALL, s, Q, 1, KIT_FLASH_ROWS, R, apart, D, 1, 1,
                            kit_flash_no_prefetch);
    KIT_UNROLL for (int i = 0; i < n; i++)
        KIT_UNROLL for (int j = 0; j < FLASH_WIDE; j++)
            vr_store(Z + i * KIT(flash_stretch) + j * VR_LANES, s[i][j]);
}
KIT_KERNEL void KIT(flash_stretch_1)(const float *Q, const float *R, int64_t apart, int64_t D,
                                     float *Z)
{ KIT(flash_stretches)(1, Q, R, apart, D, Z); }
KIT_KERNEL void KIT(flash_stretch_4)(const float *Q, const float *R, int64_t apart, int64_t D,
                                     float *Z)
{ KIT(flash_stretches)(4, Q, R, apart, D, Z); }

/* Four rows at a time; of one group of heads they may be, and at one position. */
static void KIT(flash_relative_few)(const kit_flash *f, const kit_flash_rows *r, const float *Q,
                                    float *P, int64_t start, const kit_flash_table *t)
{
    float Z[4 * KIT(flash_stretch)] __attribute__((aligned(64)));
    for (int row = 0; row < r->rows; row += 4) {
        const kit_flash_cells *s = &r->cells[row / KIT_FLASH_CELL];
        const float *R = t->columns + r->head[row] * t->head;
        const int n = r->rows - row == 1 ? 1 : 4;
        const int64_t low = r->position[row] - start - t->first - s->end + 1;
        const int64_t high = r->position[row + n - 1] - start - t->first - s->begin;
        const int side = kit_flash_table_end_of(t, low, high);
        for (int64_t e = low; e <= (side < 0 ? high : low) && s->begin < s->end;
             e += KIT(flash_stretch_step)) {
            const int64_t at = e < -FLASH_TABLE_PADDING ? -FLASH_TABLE_PADDING
                               : e > t->entries         ? t->entries
                                                        : e;
            (n == 1 ? KIT(flash_stretch_1) : KIT(flash_stretch_4))(Q + row, R + at, t->apart, f->D,
                                                                   Z + e - low);
        }
        for (int i = 0; i < n && row + i < r->rows; i++) {
            const float *z =
                Z + i * KIT(flash_stretch) + (r->position[row + i] - r->position[row] + s->end - 1);
            float *p = P + (row + i) * KIT_FLASH_KEYS;
            for (int k = s->begin; side < 0 && k < s->end; k++) p[k] += z[-k];
            for (int k = s->begin; side >= 0 && k < s->end; k++) p[k] += Z[i * KIT(flash_stretch)];
        }
    }
}

/* Adds the term to the scores of a block. */
static void KIT(flash_relative)(const kit_flash *f, const kit_flash_rows *r, float *P, int rs,
                                int64_t start)
{
    const kit_flash_table *t = FLASH_RELATIVE(f);
    if (!t) return;
    if (rs == 1) KIT(flash_relative_many)(f, r, FLASH_RELATIVE_QUERY(r), P, start, t);
    else KIT(flash_relative_few)(f, r, FLASH_RELATIVE_QUERY(r), P, start, t);
}
#endif
