/* SPDX-License-Identifier: MIT
 *
 * heed/kit/score/product.h: scores of a tile as products of two vectors, for ops that fill the
 * scores of another attention (heed.score/1 with fills = 1). Include it in a kernel file.
 *
 * A cell is 16 rows x 16 keys, in registers, whichever of the two lie together in memory; a score
 * is one chain of fma over the channels. An attention that fills its own scores has faster ways:
 * kit/flash/flash.h.
 */
#ifndef KIT_HAS_PRODUCT
#define KIT_HAS_PRODUCT
#include <heed/kit.h>

#ifndef HEED_KIT_SCORE_PRODUCT_ONCE
#define HEED_KIT_SCORE_PRODUCT_ONCE

/* score = factor * query . key. */
typedef struct kit_product {
    const heed_tensor *q, *k; /* rows by position, [1, n, heads, width]; NULL: the tile's */
    int64_t width;
    int64_t divide,
        modulo; /* the key at position j is row j / divide % modulo of k; modulo 0: row j */
    int rectified;            /* the tile's query behind a relu */
    int times;                /* what is there is multiplied, not replaced */
    float factor;
} kit_product;
#endif

KIT_INLINE const char *KIT(product_key)(const heed_score_tile *t, const kit_product *p, int64_t key,
                                        int64_t d)
{
    const int64_t j = t->first_key + key, n = j / p->divide;
    const int64_t at[4] = {0, p->modulo ? n % p->modulo : n, t->head[0], d};
    return p->k ? kit_at(p->k, at, 4) : (const char *)(t->key + key * t->key_row + d * t->key_step);
}

/* Channels [d, d + m) of 16 rows, rows in the lanes. */
KIT_INLINE void KIT(product_query)(const heed_score_tile *t, const kit_product *p, int64_t row,
                                   int64_t d, int m, vf *x)
{
    for (int l = 0; l < 16; l++) x[l] = v_set(0.0f);
    if (!p->q) {
        for (int l = 0; l < m; l++) x[l] = v_load(t->query + (d + l) * t->query_stride + row);
        for (int l = 0; l < m && p->rectified; l++)
            x[l] = v_max(v_set(0.0f), x[l]); /* a NaN stays */
        return;
    }
    for (int l = 0; l < 16; l++) {
        const int64_t at[4] = {0, t->position[row + l < t->rows ? row + l : t->rows - 1],
                               t->head[0], d};
        x[l] = v_read(kit_at(p->q, at, 4), p->q->dtype, p->q->stride[3], m);
    }
    v_transpose(x);
}

static void KIT(product_cell)(const heed_score_tile *t, const kit_product *p, int64_t row,
                              int64_t key)
{
    const int64_t keys = t->keys - key < 16 ? t->keys - key : 16,
                  rows = t->rows - row < 16 ? t->rows - row : 16;
    const uint32_t dtype = p->k ? p->k->dtype : HEED_F32;
    const int64_t step = p->k ? p->k->stride[3] : t->key_step;
    vf sum[16], q[16];
    for (int i = 0; i < 16; i++) sum[i] = v_set(0.0f);
    for (int64_t d = 0; d < p->width; d += 16) {
        const int m = p->width - d < 16 ? (int)(p->width - d) : 16;
        float k[16][16];
        for (int i = 0; i < 16; i++)
            v_store(k[i],
                    v_read(KIT(product_key)(t, p, key + (i < keys ? i : 0), d), dtype, step, m));
        KIT(product_query)(t, p, row, d, m, q);
        for (int l = 0; l < m; l++)
            for (int i = 0; i < 16; i++) sum[i] = v_fma(v_set(k[i][l]), q[l], sum[i]);
    }
    if (t->row_stride != 1) v_transpose(sum);
    for (int i = 0; i < (t->row_stride == 1 ? keys : rows); i++) {
        float *s = t->row_stride == 1 ? t->s + (key + i) * t->key_stride + row
                                      : t->s + (row + i) * t->row_stride + key;
        const vf x = v_mul(v_set(p->factor), sum[i]);
        v_store(s, p->times ? v_mul(v_load(s), x) : x);
    }
}

KIT_KERNEL void KIT(score_product)(const heed_score_tile *t, kit_product p)
{
    if (!p.divide) p.divide = 1;
    for (int64_t row = 0; row < t->rows; row += 16)
        for (int64_t key = 0; key < t->keys; key += 16) KIT(product_cell)(t, &p, row, key);
}
#endif
