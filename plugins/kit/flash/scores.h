/* SPDX-License-Identifier: MIT
 *
 * heed/kit/flash/scores.h: what happens to the scores of a block between the two products: soft
 * cap, a bias, a score op, and the mask. A part of kit/flash/flash.h.
 *
 * Score (key, row) of a block is P[key * ks + row * rs]: many rows have ks = 48, rs = 1, few rows
 * ks = 1, rs = 96. A masked score becomes -inf here, and a weight of -1 in the next step.
 */
#ifndef KIT_HAS_FLASH_SCORES
#define KIT_HAS_FLASH_SCORES
#include <heed/kit/flash/block.h>

/* Lanes whose key is in one of the two ranges. */
KIT_INLINE vm KIT(flash_in_ranges)(vf key, vf low, vf high, vf sink_low, vf sink_high)
{
    return v_or(v_and(v_ge(key, low), v_lt(key, high)),
                v_and(v_ge(key, sink_low), v_lt(key, sink_high)));
}
/* The same for 16 rows and one key, and for one row and 16 keys. */
KIT_INLINE vm KIT(flash_rows_live)(const kit_flash_rows *r, int row, int key)
{
    return KIT(flash_in_ranges)(v_set((float)key), v_load(r->low + row), v_load(r->high + row),
                                v_load(r->sink_low + row), v_load(r->sink_high + row));
}
KIT_INLINE vm KIT(flash_keys_live)(const kit_flash_rows *r, int row, int key)
{
    static const float order[16] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
    return KIT(flash_in_ranges)(v_add(v_load(order), v_set((float)key)), v_set(r->low[row]),
                                v_set(r->high[row]), v_set(r->sink_low[row]),
                                v_set(r->sink_high[row]));
}

/* Where there are holes: lanes whose key is masked, whatever masks it. */
KIT_INLINE vm KIT(flash_is_masked)(vf score) { return v_lt(score, v_set(-FLT_MAX)); }

/* Whether anything changes the scores of a block. */
KIT_INLINE int KIT(flash_changes_scores)(const kit_flash *f, const kit_flash_rows *r, int64_t start,
                                         int keys)
{
    const kit_flash_table *relative = FLASH_RELATIVE(f);
    (void)start, (void)keys;
    return f->softcap > 0 || f->score != NULL || relative != NULL ||
           kit_flash_has_holes(f, r->batch) || FLASH_CHANGES(f, r, start, keys);
}

/* Adds bias[b, head, query, start + key ...], a cell at a time; it is read with the keys in the
 * lanes. */
static void KIT(flash_add_bias)(const kit_flash *f, const kit_flash_rows *r, float *P, int ks,
                                int rs, int64_t start, int keys)
{
    const heed_tensor *t = f->bias;
    for (int i = 0; i < r->rows; i += 16)
        for (int k = 0; k < keys; k += 16) {
            const int n = keys - k < 16 ? keys - k : 16;
            vf x[16];
            for (int l = 0; l < 16; l++) {
                const int64_t at[4] = {r->batch, r->head[i + l], r->query[i + l], start + k};
                x[l] = v_in_units(v_read(kit_at(t, at, 4), t->dtype, t->stride[3], n),
                                  (float)KIT_LOG2E);
            }
            if (rs == 1) v_transpose(x);
            for (int l = 0; l < (rs == 1 ? n : r->rows - i < 16 ? r->rows - i : 16); l++) {
                float *p = rs == 1 ? P + (k + l) * ks + i : P + (i + l) * rs + k;
                const vf s = v_load(p); /* a masked key stays masked, whatever the bias is */
                v_store(p, v_select(KIT(flash_is_masked)(x[l]), x[l],
                                    v_select(KIT(flash_is_masked)(s), s, v_add(s, x[l]))));
            }
        }
}

/* Masks keys of other documents than the row's, where documents do not come in order. */
static void KIT(flash_mask_other_documents)(const kit_flash *f, const kit_flash_rows *r, float *P,
                                            int ks, int rs, int64_t start, int keys)
{
    for (int i = 0; i < r->rows; i++) {
        int64_t id = 0;
        const int any = kit_flash_query_document(f, r->batch, r->query[i], r->position[i], &id);
        for (int k = 0; k < keys; k++)
            if (!any || kit_flash_document(f->documents, r->batch,
                                           kit_flash_picked_position(&f->pick, start + k)) != id)
                P[k * ks + i * rs] = -INFINITY;
    }
}

/* What a score op gets: keys [from, to) of a block and rows [row, row + rows). */
KIT_INLINE heed_score_tile KIT(flash_tile)(const kit_flash *f, const kit_flash_rows *r,
                                           const KIT(flash_keys) *x, float *P, int ks, int rs,
                                           int from, int to, int row, int rows)
{
    return (heed_score_tile){.size = sizeof(heed_score_tile),
                             .flags = kit_flash_tile_flags(f),
                             .s = P + from * ks + row * rs,
                             .key_stride = ks,
                             .row_stride = rs,
                             .keys = to - from,
                             .rows = r->rows - row < rows ? r->rows - row : rows,
                             .first_key = x->start + from,
                             .position = r->position + row,
                             .head = r->head + row,
                             .query = r->given + row,
                             .query_stride = KIT_FLASH_ROWS,
                             .batch = r->batch,
                             .unit = (float)KIT_LOG2E,
                             .query_unit = (float)((double)f->scale * KIT_LOG2E),
                             .key = f->k ? x->K + from * x->ldk : NULL,
                             .key_row = x->ldk,
                             .key_step = x->ldc,
                             .width = f->D};
}

/* Their scores, by f->fill. */
static __attribute__((unused)) void KIT(flash_fill)(const kit_flash *f, const kit_flash_rows *r,
                                                    const KIT(flash_keys) *x, float *P, int ks,
                                                    int rs, int from, int to, int row, int rows)
{
    const heed_score_tile tile = KIT(flash_tile)(f, r, x, P, ks, rs, from, to, row, rows);
    f->fill->tile(f->fill_instance, &tile);
}

/* Changes that depend on positions, for keys that follow each other. */
static void KIT(flash_change_run)(const kit_flash *f, const kit_flash_rows *r, float *P, int ks,
                                  int rs, int64_t start, int keys, int padded)
{
    if (f->score) {
        heed_score_tile tile = {.size = sizeof tile,
                                .flags = kit_flash_tile_flags(f),
                                .s = P,
                                .key_stride = ks,
                                .row_stride = rs,
                                .keys = keys,
                                .rows = r->rows,
                                .first_key = start,
                                .position = r->position,
                                .head = r->head,
                                .query = r->given,
                                .query_stride = KIT_FLASH_ROWS,
                                .batch = r->batch,
                                .unit = (float)KIT_LOG2E,
                                .query_unit = (float)((double)f->scale * KIT_LOG2E),
                                .width = f->D};
        f->score->tile(f->score_instance, &tile);
    }
    (void)padded;
    FLASH_RELATE(f, r, P, rs, start);
    FLASH_SCORES(f, r, P, ks, rs, start, keys, padded);
    if (f->bias) KIT(flash_add_bias)(f, r, P, ks, rs, start, keys);
}

/* The same for picked keys, run by run; each run is copied to where its keys lie by rows. */
static void KIT(flash_change_picked)(const kit_flash *f, const kit_flash_rows *r, float *P, int ks,
                                     int rs, int64_t start, int keys)
{
    float *run = r->spare;
    for (int k = 0, n; k < keys; k += n) {
        const int64_t place = kit_flash_picked_position(&f->pick, start + k),
                      left = f->pick.run - (start + k) % f->pick.run;
        n = left < keys - k ? (int)left : keys - k;
        for (int i = 0; i < n * KIT_FLASH_ROWS; i++)
            run[i] = i % KIT_FLASH_ROWS < r->rows
                         ? P[(k + i / KIT_FLASH_ROWS) * ks + i % KIT_FLASH_ROWS * rs]
                         : 0;
        KIT(flash_change_run)(f, r, run, KIT_FLASH_ROWS, 1, place, n, n);
        for (int i = 0; i < n * KIT_FLASH_ROWS; i++)
            if (i % KIT_FLASH_ROWS < r->rows)
                P[(k + i / KIT_FLASH_ROWS) * ks + i % KIT_FLASH_ROWS * rs] = run[i];
    }
}

/* All that changes the scores of a block of `keys` keys, of which P has `padded`. */
static void KIT(flash_change_scores)(const kit_flash *f, const kit_flash_rows *r, float *P, int ks,
                                     int rs, int64_t start, int keys, int padded)
{
    const int outer = rs == 1 ? padded : r->rows,
              inner = rs == 1 ? KIT_FLASH_CELL * r->groups : padded;
    if (f->softcap > 0) {
        const vf cap = v_set(f->softcap * (float)KIT_LOG2E),
                 inverse = v_set((float)(1 / ((double)f->softcap * KIT_LOG2E)));
        for (int i = 0; i < outer; i++)
            for (int j = 0; j < inner; j += 16) {
                float *p = P + i * (rs == 1 ? ks : rs) + j;
                v_store(p, v_mul(cap, v_tanh(v_mul(v_load(p), inverse))));
            }
    }
    if (f->pick.step == 0) KIT(flash_change_run)(f, r, P, ks, rs, start, keys, padded);
    else if (f->score || f->bias) KIT(flash_change_picked)(f, r, P, ks, rs, start, keys);
    if (f->documents && !kit_flash_sorted(f, r->batch))
        KIT(flash_mask_other_documents)(f, r, P, ks, rs, start, keys);
}
#endif
