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
#include <heed/kit/score/product.h>
#include <heed/kit/score/synthesizer.h>

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
SYNTHESIZER_EXTENSION(KIT(extension), KIT(tile))

static int32_t KIT(forward)(const void *instance, const heed_call *call)
{
    const dense *self = instance;
    kit_flash f = dense_call(self, call);
    int32_t failed = synthesizer_setup(&f, &self->common);
    return failed ? failed : KIT(flash_run)(&f);
}

#include <heed/kit/next.h>
#ifdef KIT_AGAIN
#include __FILE_NAME__
#endif
