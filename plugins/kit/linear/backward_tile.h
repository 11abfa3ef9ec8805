/* SPDX-License-Identifier: MIT
 *
 * heed/kit/linear/backward_tile.h: the products of a chunk's backward in registers. A part of
 * kit/linear/backward.h.
 *
 * As in tile.h a tile of rows x registers is held while the links pass by, each sum is one chain of
 * fma, and which rows lie in one tile changes no bit. A row has up to two chains, one behind the
 * other:
 *
 *     x y      a matrix, or its transpose, times lines
 *     triangle     rows of a chunk that see one another: row r takes up the lines of the rows before it
 *                  (lower), or of those behind it (upper), so nothing that is not seen is touched
 *
 *     solve    t_j = dU_j - sum over i > j of A[i][j] b_i t_i, from the last row upwards
 */
#ifndef KIT_HAS_LINEAR_BACKWARD_TILE
#define KIT_HAS_LINEAR_BACKWARD_TILE
#include <heed/kit/linear/tile.h>

#ifndef HEED_KIT_LINEAR_BACKWARD_TILE_ONCE
#define HEED_KIT_LINEAR_BACKWARD_TILE_ONCE
enum { KIT_LINEAR_ALONE, KIT_LINEAR_LOWER, KIT_LINEAR_UPPER };

/* Rows [row, end) of `to`, `columns` wide, in whole vectors. */
typedef struct kit_linear_sums {
    float *to;
    int64_t pitch, row, end, columns;
    int more;           /* they go on from what is there */
    int below;          /* row r is wanted up to column r alone; 16 at a time are left out */
    const float *x, *y; /* row r adds x[r down + i across] times line y + i line, i in [0, n) */
    int64_t down, across, line, n; /* x NULL: none of it */
    const float *factor;           /* of row r, of what is there then; NULL: 1 */
    int triangle, strict;          /* strict: a row takes up no line of its own */
    const float *p, *t; /* [32][32]: of row i for row j at p + 32 i + j; lines t + i t_line */
    int64_t t_line, first, last; /* of the lines: those before and behind are not seen */
    kit_linear_ahead *ahead;
} kit_linear_sums;

/* Forward has taken the values' past from dU; b NULL: 1. */
typedef struct kit_linear_solution {
    float *t, *n; /* [32][line]: dU at first, t then; and -b t */
    int64_t line, columns;
    const float *a, *b;
    int64_t first, last; /* rows */
    kit_linear_ahead *ahead;
} kit_linear_solution;
#endif

KIT_INLINE void KIT(linear_lower)(const int rows, const int wide, vr *a, const kit_linear_sums *c,
                                  int64_t row, int64_t e)
{
    const int64_t C = KIT_LINEAR_CHUNK;
    KIT(linear_links)
    (rows, wide, a, c->p + row * C + c->first, C, 1, c->t + c->first * c->t_line + e, c->t_line,
     row - c->first);
    KIT_UNROLL for (int j = 0; j < rows; j++)
    {
        const float *p = c->p + row * C + row + j;
        KIT_UNROLL for (int w = 0; w < wide; w++)
        {
            const vr t = vr_load(c->t + (row + j) * c->t_line + e + w * VR_LANES);
            if (!c->strict) a[j * wide + w] = vr_fma(vr_set(p[j * C]), t, a[j * wide + w]);
            KIT_UNROLL for (int i = j + 1; i < rows; i++) a[i * wide + w] =
                vr_fma(vr_set(p[i * C]), t, a[i * wide + w]);
        }
    }
}

KIT_INLINE void KIT(linear_upper)(const int rows, const int wide, vr *a, const kit_linear_sums *c,
                                  int64_t row, int64_t e)
{
    const int64_t C = KIT_LINEAR_CHUNK, from = row + rows > c->first ? row + rows : c->first;
    KIT_UNROLL for (int i = 0; i < rows; i++)
    {
        const float *p = c->p + (row + i) * C + row;
        if (row + i < c->first || row + i >= c->last) continue;
        KIT_UNROLL for (int w = 0; w < wide; w++)
        {
            const vr t = vr_load(c->t + (row + i) * c->t_line + e + w * VR_LANES);
            KIT_UNROLL for (int j = 0; j < i; j++) a[j * wide + w] =
                vr_fma(vr_set(p[j]), t, a[j * wide + w]);
            if (!c->strict) a[i * wide + w] = vr_fma(vr_set(p[i]), t, a[i * wide + w]);
        }
    }
    if (from < c->last) KIT(linear_links)
    (rows, wide, a, c->p + from * C + row, 1, C, c->t + from * c->t_line + e, c->t_line,
     c->last - from);
}

KIT_INLINE void KIT(linear_sums_tile)(const int rows, const int wide, const kit_linear_sums *c,
                                      int64_t row, int64_t e)
{
    vr a[16];
    KIT_UNROLL for (int r = 0; r < rows; r++) KIT_UNROLL for (int w = 0; w < wide; w++)
        a[r * wide + w] =
            c->more ? vr_load(c->to + (row + r) * c->pitch + e + w * VR_LANES) : vr_set(0.0f);
    if (c->x) KIT(linear_links)
    (rows, wide, a, c->x + row * c->down, c->down, c->across, c->y + e, c->line, c->n);
    if (c->factor)
        KIT_UNROLL for (int r = 0; r < rows; r++) KIT_UNROLL for (int w = 0; w < wide; w++)
            a[r * wide + w] = vr_mul(a[r * wide + w], vr_set(c->factor[row + r]));
    if (c->triangle == KIT_LINEAR_LOWER) KIT(linear_lower)(rows, wide, a, c, row, e);
    if (c->triangle == KIT_LINEAR_UPPER) KIT(linear_upper)(rows, wide, a, c, row, e);
    KIT_UNROLL for (int r = 0; r < rows; r++) KIT_UNROLL for (int w = 0; w < wide; w++)
        vr_store(c->to + (row + r) * c->pitch + e + w * VR_LANES, a[r * wide + w]);
}

KIT_KERNEL void KIT(linear_all_sums)(const kit_linear_sums *c)
{
#define LINEAR_CASE(R, W)                                                                          \
    case R * 16 + W: KIT(linear_sums_tile)(R, W, c, row, e); break;
    for (int64_t row = c->row, tall; row < c->end; row += tall) {
        tall = KIT(linear_tall)(c->end - row);
        const int64_t wanted = kit_lanes(row + tall),
                      columns = c->below && wanted < c->columns ? wanted : c->columns;
        for (int64_t e = 0, wide; e < columns; e += wide * VR_LANES) {
            wide = KIT(linear_wide)((int)tall, columns - e);
            KIT(linear_look_ahead)(c->ahead);
            LINEAR_SWITCH(tall, wide, LINEAR_CASE)
        }
    }
#undef LINEAR_CASE
}

/* Back substitution: each row is final before the rows above it take it up. */
KIT_INLINE void KIT(linear_solve_tile)(const int rows, const int wide, const kit_linear_solution *c,
                                       int64_t row, int64_t e)
{
    const int64_t C = KIT_LINEAR_CHUNK, end = c->last - 1;
    vr a[16];
    KIT_UNROLL for (int i = 0; i < rows * wide; i++) a[i] = vr_set(0.0f);
    KIT(linear_links)
    (rows, wide, a, c->a + end * C + row, 1, -C, c->n + end * c->line + e, -c->line,
     c->last - row - rows);
    KIT_UNROLL for (int j = rows - 1; j >= 0; j--)
    {
        const float *p = c->a + (row + j) * C + row;
        const float b = c->b ? c->b[row + j] : 1.0f;
        KIT_UNROLL for (int w = 0; w < wide; w++)
        {
            const int64_t at = (row + j) * c->line + e + w * VR_LANES;
            const vr t = vr_add(vr_load(c->t + at), a[j * wide + w]), n = vr_mul(vr_set(-b), t);
            vr_store(c->t + at, t), vr_store(c->n + at, n);
            KIT_UNROLL for (int i = 0; i < j; i++) a[i * wide + w] =
                vr_fma(vr_set(p[i]), n, a[i * wide + w]);
        }
    }
}

KIT_KERNEL void KIT(linear_solve)(const kit_linear_solution *c)
{
#define LINEAR_CASE(R, W)                                                                          \
    case R * 16 + W: KIT(linear_solve_tile)(R, W, c, end - R, e); break;
    for (int64_t end = c->last, tall; end > c->first; end -= tall) {
        tall = KIT(linear_tall)(end - c->first);
        for (int64_t e = 0, wide; e < c->columns; e += wide * VR_LANES) {
            wide = KIT(linear_wide)((int)tall, c->columns - e);
            KIT(linear_look_ahead)(c->ahead);
            LINEAR_SWITCH(tall, wide, LINEAR_CASE)
        }
    }
#undef LINEAR_CASE
}

#endif
