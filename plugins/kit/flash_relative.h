/* SPDX-License-Identifier: MIT
 *
 * heed/kit/flash_relative.h: a learned vector for each distance, whose product with the query is a term of the score:
 *
 *     score(query at i, key at j) += scale q_i . p[i - j]
 *
 * without p being looked up pair by pair: the table is a second matrix of keys. With rows in the lanes, its product
 * with a tile is Z[entry][row], and a row's stretch of entries is turned twice to lie at the row's keys; with keys in
 * the lanes, a row reads its stretch of the table's columns. Both are one chain of fma over d, so they give the same
 * bits. The table is kept twice, by rows and by columns, from far to near: entry e belongs to the key `entries - e`
 * before the query's own. Include it after kit/flash.h, and flash_type.h before that.
 */
#ifndef HEED_KIT_FLASH_RELATIVE_ONCE
#define HEED_KIT_FLASH_RELATIVE_ONCE

/* Entries that a tile and a block meet, 96 + 47 + 7, and room beside them. */
enum { FLASH_STRETCH = 160, FLASH_BESIDE = 16 };

/* Floats of a table that is packed. */
KIT_INLINE uint64_t kit_flash_table_floats(int64_t entries, int64_t width)
{
    return (uint64_t)((entries + FLASH_BESIDE) * kit_lanes(width) + width * kit_lanes(entries + 2 * FLASH_BESIDE));
}

/* The floats of an op's table, 0 without one; and what it can not go with. */
static __attribute__((unused)) int32_t kit_flash_table_measure(const heed_open *open, const heed_tensor *table, int self,
                                                               uint64_t *floats)
{
    *floats = table ? kit_flash_table_floats(table->dim[0], table->dim[1]) : 0;
    if (table && self)
        return kit_fail(open->sink, HEED_E_UNSUPPORTED,
                        "self=true: distance_table begins at the key before, and has no vector for its own");
    if (table && open->value[FLASH_SOFTCAP].f > 0)
        return kit_fail(open->sink, HEED_E_UNSUPPORTED,
                        "distance_table can not go with softcap, which would cap q k alone");
    return HEED_OK;
}

/* A table [entries, width], row 0 of the nearest key, packed into `room`. */
static __attribute__((unused)) void kit_flash_table_pack(kit_flash_table *t, const heed_tensor *from, float *room)
{
    const int64_t entries = from->dim[0], width = from->dim[1];
    const int64_t apart = kit_lanes(entries + 2 * FLASH_BESIDE), ld = kit_lanes(width);
    float *rows = room, *columns = rows + (entries + FLASH_BESIDE) * ld;
    *t = (kit_flash_table){.entries = entries, .ld = ld, .apart = apart, .rows = rows, .columns = columns + FLASH_BESIDE};
    for (int64_t e = 0; e < entries; e++) {
        const int64_t at = entries - 1 - e;
        kit_read_row_scalar(rows + e * ld, kit_at(from, &at, 1), from->dtype, from->stride[1], width);
        for (int64_t d = 0; d < width; d++) columns[d * apart + FLASH_BESIDE + e] = rows[e * ld + d];
    }
}
#endif

/* Six cells of a row at once; what lies outside of the table belongs to keys that the row does not see. */
static __attribute__((unused)) void KIT(flash_relative_row)(const kit_flash *f, const kit_flash_rows *r, int row, float *P,
                                                            int64_t start, const kit_flash_table *t)
{
    const kit_flash_span *span = &r->span[row / KIT_FLASH_CELL];
    const float *from[KIT_FLASH_CELLS];
    vf sum[KIT_FLASH_CELLS];
    for (int c = 0; c < KIT_FLASH_CELLS; c++) {
        const int64_t e = t->entries - r->position[row] + start + c * KIT_FLASH_CELL;
        from[c] = t->columns + (e < -FLASH_BESIDE ? -FLASH_BESIDE : e > t->entries ? t->entries : e);
        sum[c] = v_set(0.0f);
    }
    for (int64_t d = 0; d < f->D; d++) {
        const vf q = v_set(r->Q[d * KIT_FLASH_ROWS + row]);
        KIT_UNROLL for (int c = 0; c < KIT_FLASH_CELLS; c++) sum[c] = v_fma(q, v_load(from[c] + d * t->apart), sum[c]);
    }
    for (int k = span->begin; k < span->end; k += KIT_FLASH_CELL)
        v_store(P + k, v_add(v_load(P + k), sum[k / KIT_FLASH_CELL]));
}

/* Z of a tile and the entries from `low` on, for the groups that meet them: [from[g], to[g]). */
static __attribute__((unused)) void KIT(flash_relative_product)(const kit_flash *f, const kit_flash_rows *r,
                                                                const kit_flash_table *t, int64_t low, const int64_t *from,
                                                                const int64_t *to, float *Z)
{
    float max[KIT_FLASH_ROWS] = {0}; /* of no use here */
    const int per = KIT_FLASH_CELL / VR_LANES;
    int64_t end = low;
    for (int g = 0; g < r->groups; g++) end = from[g] < to[g] && to[g] > end ? to[g] : end;
    for (int64_t e = low; e < end; e += FLASH_N) {
        int first = KIT_FLASH_GROUPS, last = 0;
        for (int g = 0; g < r->groups; g++) {
            if (from[g] >= to[g] || from[g] >= e + FLASH_N || to[g] <= e) continue;
            if (g < first) first = g;
            last = g + 1;
        }
        if (last == 0) continue;
        const KIT(flash_strips) s = KIT(flash_strips_of)(first * per, last * per);
        for (int j = 0; j < s.n; j++)
            KIT(flash_scorers)[s.wide[j]](max + s.row[j], t->rows + e * t->ld, t->ld, r->Q + s.row[j], f->D,
                                          Z + (e - low) * KIT_FLASH_ROWS + s.row[j], kit_flash_nothing);
    }
}

static __attribute__((unused)) void KIT(flash_relative)(const kit_flash *f, const kit_flash_rows *r, float *P, int ks, int rs,
                                                        int64_t start, const kit_flash_table *t)
{
    enum { WIDE = FLASH_STRETCH + 2 * FLASH_BESIDE };
    float Z[FLASH_STRETCH * KIT_FLASH_ROWS] __attribute__((aligned(64)));
    float W[KIT_FLASH_CELL * WIDE] __attribute__((aligned(64)));
    int64_t from[KIT_FLASH_GROUPS], to[KIT_FLASH_GROUPS], low = INT64_MAX;
    for (int row = 0; rs != 1 && row < r->rows; row++) KIT(flash_relative_row)(f, r, row, P + row * rs, start, t);
    for (int g = 0; g < r->groups; g++) {
        const int64_t *at = r->position + g * KIT_FLASH_CELL;
        from[g] = t->entries - at[KIT_FLASH_CELL - 1] + start + r->span[g].begin;
        to[g] = t->entries - at[0] + start + r->span[g].end;
        if (from[g] < 0) from[g] = 0;
        if (to[g] > t->entries) to[g] = t->entries;
        if (from[g] < to[g] && from[g] < low) low = from[g];
    }
    if (rs != 1 || low == INT64_MAX) return;
    KIT(flash_relative_product)(f, r, t, low, from, to, Z);
    for (int g = 0; g < r->groups; g++) {
        const kit_flash_span *span = &r->span[g];
        vf x[16];
        for (int64_t e = (from[g] - low) / 16 * 16; e < to[g] - low; e += 16) {
            for (int l = 0; l < 16; l++) x[l] = v_load(Z + (e + l) * KIT_FLASH_ROWS + g * KIT_FLASH_CELL);
            v_transpose(x);
            for (int l = 0; l < 16; l++) v_store(W + l * WIDE + FLASH_BESIDE + e, x[l]);
        }
        for (int k = span->begin; from[g] < to[g] && k < span->end; k += KIT_FLASH_CELL) {
            for (int l = 0; l < 16; l++) {
                int64_t e = t->entries - r->position[g * KIT_FLASH_CELL + l] + start + k - low;
                e = e < -FLASH_BESIDE ? -FLASH_BESIDE : e > FLASH_STRETCH ? FLASH_STRETCH : e;
                x[l] = v_load(W + l * WIDE + FLASH_BESIDE + e);
            }
            v_transpose(x);
            for (int i = 0; i < 16; i++) {
                float *p = P + (k + i) * ks + g * KIT_FLASH_CELL;
                v_store(p, v_add(v_load(p), x[i]));
            }
        }
    }
}
