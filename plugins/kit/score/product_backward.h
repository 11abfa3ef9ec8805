/* SPDX-License-Identifier: MIT
 *
 * heed/kit/score/product_backward.h: the backward of kit/score/product.h, for fillers
 * (heed.fill_grad/1). From the gradients g of a tile's scores, factor * query . key:
 *
 *     d query += factor sum over keys of g key      d key += factor sum over rows of g query
 *
 * Each sum is one chain in the order of keys, or of rows, that goes on from what is there; a masked
 * pair is skipped by select, so that a NaN in its vectors stays there. Include it once in a kernel
 * file.
 */
#include <heed/abi/grad.h>
#include <heed/kit/score/product.h>

/* 16 rows from `row` on of a tensor of float32 by position, those that are there, as channels of
 * rows in the lanes; and back. */
KIT_INLINE char *KIT(product_back_place)(const heed_score_tile *t, const heed_tensor *to,
                                         int64_t row, int64_t d)
{
    const int64_t at[4] = {0, t->position[row < t->rows ? row : t->rows - 1], t->head[0], d};
    return kit_at(to, at, 4);
}
KIT_INLINE void KIT(product_back_get)(const heed_score_tile *t, const heed_tensor *from,
                                      int64_t row, int64_t d, int m, vf *x)
{
    for (int l = 0; l < 16; l++)
        x[l] = v_read(KIT(product_back_place)(t, from, row + l, d), HEED_F32, from->stride[3], m);
    v_transpose(x);
}
KIT_INLINE void KIT(product_back_put)(const heed_score_tile *t, const heed_tensor *to, int64_t row,
                                      int64_t d, int m, vf *x)
{
    for (int l = m; l < 16; l++) x[l] = v_set(0.0f);
    v_transpose(x);
    for (int l = 0; l < 16 && row + l < t->rows; l++)
        v_write(KIT(product_back_place)(t, to, row + l, d), HEED_F32, to->stride[3], x[l], m);
}

/* Channels [d, d + 16) of 16 queries: the tile's, or rows of `to`. */
static void KIT(product_back_queries)(const heed_fill_tile *x, const kit_product *p,
                                      const heed_tensor *to, int64_t row, int64_t d)
{
    const heed_score_tile *t = x->tile;
    const int m = p->width - d < 16 ? (int)(p->width - d) : 16;
    const uint32_t dtype = p->k ? p->k->dtype : HEED_F32;
    const int64_t step = p->k ? p->k->stride[3] : t->key_step;
    const vf zero = v_set(0.0f), factor = v_set(p->q ? p->factor : p->factor * t->query_unit);
    vf sum[16];
    if (p->q) KIT(product_back_get)(t, to, row, d, m, sum);
    for (int l = 0; !p->q && l < m; l++)
        sum[l] = v_load(x->query + (d + l) * t->query_stride + row);
    for (int64_t key = 0; key < t->keys; key++) {
        const int64_t at = key * t->key_stride + row;
        const vm masked = v_lt(v_load(x->weight + at), zero);
        const vf g = v_mul(v_load(t->s + at), factor);
        float k[16];
        v_store(k, v_read(KIT(product_key)(t, p, key, d), dtype, step, m));
        for (int l = 0; l < m; l++)
            sum[l] = v_select(masked, sum[l], v_fma(v_set(k[l]), g, sum[l]));
    }
    if (p->q) KIT(product_back_put)(t, to, row, d, m, sum);
    for (int l = 0; !p->q && l < m; l++) {
        float *at = x->query + (d + l) * t->query_stride + row;
        const vf q = v_load(t->query + (d + l) * t->query_stride + row);
        if (p->rectified) /* a NaN stays */
            sum[l] = v_select(v_lt(zero, q), sum[l], v_select(v_eq(q, q), v_load(at), q));
        v_store(at, sum[l]);
    }
}

/* The same channels of all keys: the tile's, or rows of `to`. */
static void KIT(product_back_keys)(const heed_fill_tile *x, const kit_product *p,
                                   const heed_tensor *to, int64_t row, int64_t d)
{
    const heed_score_tile *t = x->tile;
    const int m = p->width - d < 16 ? (int)(p->width - d) : 16,
              rows = t->rows - row < 16 ? (int)(t->rows - row) : 16;
    vf q[16];
    KIT(product_query)(t, p, row, d, m, q);
    v_transpose(q);
    for (int64_t key = 0; key < t->keys; key++) {
        const int64_t at = key * t->key_stride + row, j = (t->first_key + key) / p->divide,
                      place[4] = {0, p->modulo ? j % p->modulo : j, t->head[0], d};
        char *k = to ? kit_at(to, place, 4) : (char *)(x->key + key * x->key_row + d);
        const int64_t stride = to ? to->stride[3] : 1;
        vf sum = v_read(k, HEED_F32, stride, m);
        for (int l = 0; l < rows; l++)
            if (!(x->weight[at + l] < 0.0f)) sum = v_fma(v_set(p->factor * t->s[at + l]), q[l], sum);
        v_write(k, HEED_F32, stride, sum, m);
    }
}

/* The same tile, of 16 keys from `key` on. */
static __attribute__((unused)) heed_score_tile KIT(product_back_part)(const heed_score_tile *t,
                                                                      int64_t key)
{
    heed_score_tile part = *t;
    part.s += key * t->key_stride, part.first_key += key;
    part.keys = t->keys - key < 16 ? t->keys - key : 16;
    if (t->key) part.key += key * t->key_row;
    return part;
}

/* d_q and d_k: of p.q and p.k, by position, or NULL: not wanted; of the tile's own the gradients go to
 * the tile. */
KIT_KERNEL void KIT(score_product_back)(const heed_fill_tile *x, kit_product p,
                                        const heed_tensor *d_q, const heed_tensor *d_k)
{
    const int queries = p.q ? d_q != NULL : x->query != NULL,
              keys = p.k ? d_k != NULL : x->key != NULL;
    if (!p.divide) p.divide = 1;
    for (int64_t d = 0; d < p.width; d += 16)
        for (int64_t row = 0; row < x->tile->rows; row += 16) {
            if (queries) KIT(product_back_queries)(x, &p, d_q, row, d);
            if (keys) KIT(product_back_keys)(x, &p, p.k ? d_k : NULL, row, d);
        }
}
