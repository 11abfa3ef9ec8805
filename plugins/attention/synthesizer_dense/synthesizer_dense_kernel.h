/* SPDX-License-Identifier: MIT
 *
 * attention/synthesizer_dense, the maths: kit/flash/flash.h with relu(q) for queries and the rows
 * of W2 for keys, by position. b2 is added to a block's scores before the mask.
 */
#include <heed/kit.h>
#include <heed/kit/flash/type.h>

#define FLASH_BEGIN(f, r) KIT(rectify)(f, r)
#define FLASH_CHANGES(f, r, start, keys) ((f)->variant != NULL)
#define FLASH_SCORES(f, r, P, ks, rs, start, keys, padded)                                         \
    KIT(add_offset)((f)->variant, (r)->head[0], (float)KIT_LOG2E, (r)->rows, P, ks, rs, start, keys)

/* A NaN stays. */
static void KIT(rectify)(const kit_flash *f, kit_flash_rows *r)
{
    for (int64_t i = 0; i < KIT_FLASH_ROWS * f->D; i += 16)
        v_store(r->Q + i, v_max(v_set(0.0f), v_load(r->Q + i)));
}

/* Scores P of so many rows, all of one head, and keys from position `start` on; b is b2 [heads, C],
 * or NULL: none. */
static void KIT(add_offset)(const heed_tensor *b, int64_t head, float unit, int64_t rows, float *P,
                            int64_t ks, int64_t rs, int64_t start, int64_t keys)
{
    for (int64_t k = 0; b && k < keys; k += 16) {
        const int64_t at[2] = {b->dim[0] == 1 ? 0 : head, start + k};
        const int n = keys - k < 16 ? (int)(keys - k) : 16;
        float x[16];
        v_store(x, v_in_units(v_read(kit_at(b, at, 2), b->dtype, b->stride[1], n), unit));
        for (int64_t row = 0; rs != 1 && row < rows; row++)
            v_store(P + row * rs + k, v_add(v_load(P + row * rs + k), v_load(x)));
        for (int l = 0; rs == 1 && l < n; l++)
            for (float *p = P + (k + l) * ks, *end = p + rows; p < end; p += 16)
                v_store(p, v_add(v_load(p), v_set(x[l])));
    }
}

#include <heed/kit/flash/flash.h>
#include <heed/kit/score/product_backward.h>
#include <heed/kit/score/synthesizer.h>
#define FLASH_BACK_BEGIN(w, t) KIT(rectify_back)(w, t)
struct kit_flash_backward;
struct kit_flash_back_rows;
static void KIT(rectify_back)(const struct kit_flash_backward *w, struct kit_flash_back_rows *t);
#include <heed/kit/score/synthesizer_backward.h>

#ifdef KIT_FIRST
enum { Q = SYNTHESIZER_FIRST, MATRIX, OFFSET };
enum { LONGEST = SYNTHESIZER_OWN, MATRICES };
typedef struct dense {
    synthesizer common;
    heed_tensor rows; /* W2 [1, C, heads, D], by position */
    const heed_tensor *offset;
} dense;

static kit_flash dense_call(const dense *self, const heed_call *call)
{
    kit_flash f = synthesizer_call(&self->common, call);
    f.q = call->tensor[Q], f.k = &self->rows, f.variant = self->offset;
    f.k_by_position = f.per_head = 1;
    return f;
}

static int32_t measure_backward(const void *instance, const heed_grad_call *g, heed_call_size *size)
{
    return synthesizer_backward_size(dense_call(instance, g->call), size);
}
#endif

/* For another attention. */
static void KIT(tile)(const void *instance, const heed_score_tile *t)
{
    const dense *self = instance;
    const float factor = t->unit / t->query_unit;
    KIT(score_product)(
        t, (kit_product){.k = &self->rows, .width = t->width, .rectified = 1, .factor = factor});
    KIT(add_offset)(self->offset, t->head[0], t->unit, t->rows, t->s, t->key_stride, t->row_stride,
                    t->first_key, t->keys);
    synthesizer_position(instance, t);
}

static int32_t KIT(forward)(const void *instance, const heed_call *call)
{
    const dense *self = instance;
    kit_flash f = dense_call(self, call);
    int32_t failed = synthesizer_setup(&f, &self->common);
    return failed ? failed : KIT(flash_run)(&f);
}

/* ---- backward ---- */

static void KIT(rectify_back)(const kit_flash_backward *w, kit_flash_back_rows *t)
{
    KIT(rectify)(&w->f, &t->r);
    for (int64_t i = 0; i < t->r.rows * w->width_q; i += 16)
        v_store(t->queries + i, v_max(v_set(0.0f), v_load(t->queries + i)));
}

static int32_t KIT(backward)(const void *instance, const heed_grad_call *g)
{
    const dense *self = instance;
    const heed_tensor *matrix = g->gradient[MATRIX];
    kit_flash_backward w = synthesizer_backward_call(dense_call(self, g->call), g);
    heed_tensor rows;
    if (matrix) rows = synthesizer_rows(matrix), w.d_k = &rows;
    w.d_q = g->gradient[Q], w.d_keys = g->gradient[OFFSET];
    w.adds_k = 1, w.one_head = self->common.heads < 0;
    const int32_t failed = KIT(synthesizer_backward)(&w, &self->common, g);
    if (failed || !w.d_q) return failed;
    return KIT(synthesizer_rectified_back)(g->call, g->call->tensor[Q], w.d_q, 1);
}

/* For another attention. */
static void KIT(tile_back)(const void *instance, const heed_fill_tile *x)
{
    const dense *self = instance;
    const heed_score_tile *t = x->tile;
    const heed_tensor *matrix = x->gradient ? x->gradient[MATRIX] : NULL,
                      *offset = x->gradient ? x->gradient[OFFSET] : NULL;
    heed_tensor rows;
    if (matrix) rows = synthesizer_rows(matrix);
    const kit_product p = {
        .k = &self->rows, .width = t->width, .rectified = 1, .factor = 1 / t->query_unit};
    KIT(score_product_back)(x, p, NULL, matrix ? &rows : NULL);
    for (int64_t k = 0; offset && k < t->keys; k++) {
        const int64_t at[2] = {offset->dim[0] == 1 ? 0 : t->head[0], t->first_key + k};
        float *to = (float *)(void *)kit_at(offset, at, 2), sum = *to;
        for (int64_t i = k * t->key_stride, end = i + t->rows; i < end; i++)
            if (!(x->weight[i] < 0.0f)) sum += t->s[i];
        *to = sum;
    }
}
SYNTHESIZER_EXTENSIONS(KIT(extension), KIT(tile), KIT(tile_back),
                       KIT_PORT(Q) | KIT_PORT(MATRIX) | KIT_PORT(OFFSET), measure_backward,
                       KIT(backward))

#include <heed/kit/next.h>
#ifdef KIT_AGAIN
#include __FILE_NAME__
#endif
