/* SPDX-License-Identifier: MIT
 *
 * heed/kit/flash/relative_values.h: a vector for each distance from a query back to a key, that is
 * a part of the value:
 *
 *     out(query at i) += sum over keys j of weight(i, j) p[i - j]
 *
 * Along the diagonals of kit/flash/relative.h, between the ends of the table; by rows of it for a
 * few rows. The keys beyond an end, which includes it, are one key more, whose weight is the sum of
 * theirs: 16 chains a row, key modulo 16, then by halves, as that of all weights. What the table
 * has for a distance does not reach a row that sees no key there.
 *
 * A part of kit/flash/flash.h, of variants that define FLASH_RELATIVE_VALUES; a table without rows
 * adds nothing.
 */
#ifndef KIT_HAS_FLASH_RELATIVE_VALUES
#define KIT_HAS_FLASH_RELATIVE_VALUES
#include <heed/kit/flash/relative.h>

#ifndef HEED_KIT_FLASH_RELATIVE_VALUES_ONCE
#define HEED_KIT_FLASH_RELATIVE_VALUES_ONCE

/* Floats of a table with rows, and one packed. */
KIT_INLINE int64_t kit_flash_table_value_floats(int64_t entries, int64_t width)
{
    return kit_flash_table_floats(entries, width) + entries * kit_lanes(width);
}
static __attribute__((unused)) void
kit_flash_table_value_pack(kit_flash_table *t, const heed_tensor *from, int backwards)
{
    float *rows = t->columns - FLASH_TABLE_PADDING + kit_flash_table_floats(t->entries, t->width);
    kit_flash_table_pack(t, from, backwards);
    for (int64_t e = 0; e < t->entries; e++)
        for (int64_t d = 0; d < t->width; d++)
            rows[e * kit_lanes(t->width) + d] = t->columns[d * t->apart + e];
    t->rows = rows;
}
#endif

/* FLASH_N channels and the VR_LANES keys of each register, whose weights W has side by side. */
KIT_INLINE void KIT(flash_diagonal_values)(const int nv, const float *W, const float *R,
                                           int64_t apart, float *O)
{
    vr o[FLASH_N][FLASH_WIDE];
    KIT_UNROLL for (int c = 0; c < FLASH_N; c++)
        KIT_UNROLL for (int j = 0; j < nv; j++)
            o[c][j] = vr_load(O + c * KIT_FLASH_ROWS + j * VR_LANES);
    for (int i = 0; i < VR_LANES; i++) {
        vr w[FLASH_WIDE];
        KIT_UNROLL for (int j = 0; j < nv; j++)
            w[j] = vr_pin(vr_load(W + i * KIT_FLASH_ROWS + j * VR_LANES));
        KIT_UNROLL for (int c = 0; c < FLASH_N; c++) {
            const vr p = vr_pin(vr_load(R + c * apart - i));
            KIT_UNROLL for (int j = 0; j < nv; j++) o[c][j] = vr_fma_unless(w[j], w[j], p, o[c][j]);
        }
    }
    KIT_UNROLL for (int c = 0; c < FLASH_N; c++)
        KIT_UNROLL for (int j = 0; j < nv; j++)
            vr_store(O + c * KIT_FLASH_ROWS + j * VR_LANES, o[c][j]);
}
#define FLASH_DIAGONAL_VALUES(nv)                                                                  \
    KIT_KERNEL void KIT(flash_diagonal_values_##nv)(const float *W, const float *R, int64_t apart, \
                                                    float *O)                                      \
    {                                                                                              \
        KIT(flash_diagonal_values)(nv, W, R, apart, O);                                            \
    }
FLASH_DIAGONAL_VALUES(1)
#if FLASH_WIDE == 3
FLASH_DIAGONAL_VALUES(2)
FLASH_DIAGONAL_VALUES(3)
#endif
#undef FLASH_DIAGONAL_VALUES
    typedef void KIT(flash_diagonal_value_kernel)(const float *W, const float *R, int64_t apart,
                                                  float *O);
static KIT(flash_diagonal_value_kernel) *const KIT(flash_diagonal_value_kernels)[FLASH_WIDE] = {
    KIT(flash_diagonal_values_1),
#if FLASH_WIDE == 3
    KIT(flash_diagonal_values_2), KIT(flash_diagonal_values_3),
#endif
};

/* Many rows: diagonals that lie, in part, between the ends. Weights of other pairs are pushed below
 * 0. */
static void KIT(flash_values_between_many)(const kit_flash *f, const kit_flash_rows *r,
                                           const float *P, int64_t start, const kit_flash_table *t)
{
    float W[VR_LANES * KIT_FLASH_ROWS] __attribute__((aligned(64))), inside[2 * VR_LANES];
    for (int m = KIT(flash_first_diagonal); m < KIT(flash_diagonals); m++) {
        const KIT(flash_strips) s = KIT(flash_diagonal)(r, m, start, KIT_FLASH_KEYS);
        const int64_t at = r->position[0] - start - m * VR_LANES - t->first;
        if (!s.n || kit_flash_table_end_of(t, at - VR_LANES + 1, at + VR_LANES - 1) >= 0) continue;
        for (int n = 0; n < 2 * VR_LANES; n++) {
            const int64_t e = at - VR_LANES + 1 + n;
            inside[n] = e > 0 && e < t->entries - 1 ? 0.0f : -2.0f;
        }
        for (int row = s.row[0]; row <= s.row[s.n - 1] + s.wide[s.n - 1] * VR_LANES;
             row += VR_LANES) {
            const kit_flash_cells *span = &r->cells[row / KIT_FLASH_CELL];
            const int key = m * VR_LANES + row, seen = key >= span->begin && key < span->end;
            for (int i = 0; i < VR_LANES; i++) {
                const float *p = P + (key + i) * KIT_FLASH_ROWS + row,
                            *push = inside + VR_LANES - 1 - i;
                vr_store(W + i * KIT_FLASH_ROWS + row,
                         seen ? vr_add(vr_load(p), vr_load(push)) : vr_set(-1.0f));
            }
        }
        for (int64_t e = 0; e < f->E; e += FLASH_N)
            for (int j = 0; j < s.n; j++)
                KIT(flash_diagonal_value_kernels)[s.wide[j]](
                    W + s.row[j], t->columns + e * t->apart + at, t->apart,
                    r->O + e * KIT_FLASH_ROWS + s.row[j]);
    }
}

/* Few rows, one by one. */
static void KIT(flash_values_between_few)(const kit_flash *f, const kit_flash_rows *r,
                                          const float *P, int64_t start, const kit_flash_table *t)
{
    const int64_t ld = kit_lanes(f->E);
    for (int row = 0; row < r->rows; row++) {
        const kit_flash_cells *s = &r->cells[row / KIT_FLASH_CELL];
        const int64_t own = r->position[row] - start - t->first,
                      last = own - t->entries + 1; /* keys of the ends */
        const int64_t from = last + 1 > s->begin ? last + 1 : s->begin,
                      to = own < s->end ? own : s->end;
        for (int64_t x = 0; x < ld && from < to; x += 16) {
            vf o = v_load(r->O + row * ld + x);
            for (int64_t k = from; k < to; k++) {
                const float w = P[row * KIT_FLASH_KEYS + k];
                if (!(w < 0)) o = v_fma(v_set(w), v_load(t->rows + (own - k) * ld + x), o);
            }
            v_store(r->O + row * ld + x, o);
        }
    }
}

/* The weights of keys beyond one end, summed for the rows of group g; -1 where there is none. */
static void KIT(flash_end_weights)(const kit_flash *f, const kit_flash_rows *r, int g,
                                   const float *P, int rs, int64_t start, const kit_flash_table *t,
                                   int side, float *to)
{
    static const float order[16] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
    const kit_flash_cells *s = &r->cells[g];
    const int first = g * KIT_FLASH_CELL;
    const int64_t *at = r->position + first, nearest = at[0] - start - t->first - s->end + 1;
    const int64_t farthest = at[KIT_FLASH_CELL - 1] - start - t->first - s->begin;
    const vf none = v_set(-1.0f), zero = v_set(0.0f), last = v_set((float)(t->entries - 1));
    float apart[KIT_FLASH_CELL];
    vf sum[KIT_FLASH_CELL], most[KIT_FLASH_CELL];
    v_store(to, none);
    if (s->begin >= s->end || (side ? farthest < t->entries - 1 : nearest > 0)) return;
    if (kit_flash_table_end_of(t, nearest, farthest) == side &&
        kit_flash_is_unmasked(s, s->begin, s->end) && !kit_flash_has_holes(f, r->batch)) {
        v_store(to, v_load(r->block_sum + first));
        return;
    }
    for (int l = 0; l < KIT_FLASH_CELL; l++)
        sum[l] = zero, most[l] = none, apart[l] = (float)(at[l] - at[0]);
    for (int k = s->begin; k < s->end; k += KIT_FLASH_CELL)
        for (int l = 0; l < KIT_FLASH_CELL && (rs == 1 || first + l < r->rows); l++) {
            const int64_t own = at[rs == 1 ? 0 : l] - start - t->first - k - (rs == 1 ? l : 0);
            const vf e =
                v_add(v_set((float)own), rs == 1 ? v_load(apart) : v_sub(zero, v_load(order)));
            const vf w =
                v_load(rs == 1 ? P + (k + l) * KIT_FLASH_ROWS + first : P + (first + l) * rs + k);
            const vf x = v_select(side ? v_ge(e, last) : v_ge(zero, e), w, none);
            sum[l] = v_add(sum[l], v_max(zero, x)), most[l] = v_max(most[l], x);
        }
    if (rs != 1) v_transpose(sum), v_transpose(most);
    for (int half = KIT_FLASH_CELL / 2; half > 0; half /= 2)
        for (int l = 0; l < half; l++)
            sum[l] = v_add(sum[l], sum[l + half]), most[l] = v_max(most[l], most[l + half]);
    v_store(to, v_select(v_lt(most[0], zero), none, sum[0]));
}

/* An end's vector, as if it were the value of one key. */
static void KIT(flash_values_end)(const kit_flash *f, const kit_flash_rows *r, const float *w,
                                  int64_t end, const kit_flash_table *t)
{
    const int64_t ld = kit_lanes(f->E);
    for (int64_t e = 0; !r->few && e < f->E; e++)
        for (int row = 0; row < KIT_FLASH_CELL * r->groups; row += VR_LANES) {
            float *o = r->O + e * KIT_FLASH_ROWS + row;
            const vr x = vr_load(w + row);
            vr_store(o, vr_fma_unless(x, x, vr_set(t->columns[e * t->apart + end]), vr_load(o)));
        }
    for (int row = 0; r->few && row < r->rows; row++)
        for (int64_t x = 0; x < ld && !(w[row] < 0); x += 16) {
            float *o = r->O + row * ld + x;
            v_store(o, v_fma(v_set(w[row]), v_load(t->rows + end * ld + x), v_load(o)));
        }
}

/* Adds the sum of a block to the outputs. */
static void KIT(flash_relative_values)(const kit_flash *f, const kit_flash_rows *r, const float *P,
                                       int rs, int64_t start)
{
    const kit_flash_table *t = FLASH_RELATIVE_VALUES(f);
    float w[KIT_FLASH_ROWS];
    if (!t->rows) return;
    if (rs == 1) KIT(flash_values_between_many)(f, r, P, start, t);
    else KIT(flash_values_between_few)(f, r, P, start, t);
    for (int side = 1; side >= 0; side--) {
        for (int g = 0; g < r->groups; g++)
            KIT(flash_end_weights)(f, r, g, P, rs, start, t, side, w + g * KIT_FLASH_CELL);
        KIT(flash_values_end)(f, r, w, side * (t->entries - 1), t);
    }
}
#endif
