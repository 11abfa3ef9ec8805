/* SPDX-License-Identifier: MIT
 *
 * attention/softmax, the maths: kit/flash/flash.h as it is, with no hook set. A row's live keys
 * follow from the mask alone.
 */
#include <heed/kit.h>
#define FLASH_JOINS 1
#define FLASH_BF16 /* on avx512_bf16 and neon_bf16, which have no copy of their own: ways through  \
                      avx512 and neon */
#include <heed/kit/flash/flash.h>
#include <heed/kit/flash/backward.h>
#include <heed/kit/flash/partial.h>
#include <heed/kit/score/product_backward.h>

#ifdef KIT_FIRST
static int32_t softmax_fits(const void *instance, const heed_score_fit *x)
{
    if (((const kit_flash_op *)instance)->sink_logits)
        return kit_fail(x->sink, HEED_E_UNSUPPORTED,
                        "softmax with sink_logits can not be mixed: they are no scores of a key");
    if (x->query_width == 0 || x->key_width == 0)
        return kit_fail(x->sink, HEED_E_ARGUMENT, "softmax needs the input %s",
                        x->query_width == 0 ? "q" : "k");
    return HEED_OK;
}
#endif

/* Its scores for another attention: all but the mask and the sinks. */
KIT_INLINE kit_product KIT(product_of)(const kit_flash_op *self, const heed_score_tile *t)
{
    const double scale =
        self->scale != 0.0f ? (double)self->scale : 1 / sqrt((double)(t->width > 0 ? t->width : 1));
    return (kit_product){.width = t->width,
                         .factor = (float)(scale * (double)t->unit / (double)t->query_unit)};
}
static void KIT(tile)(const void *instance, const heed_score_tile *t)
{
    const kit_flash_op *self = instance;
    const float cap = self->softcap * t->unit;
    KIT(score_product)(t, KIT(product_of)(self, t));
    const int64_t lines = t->row_stride == 1 ? t->keys : t->rows,
                  width = t->row_stride == 1 ? t->rows : t->keys;
    for (int64_t i = 0; cap > 0 && i < lines; i++)
        for (int64_t l = 0; l < width; l += 16) {
            float *s = t->s + i * (t->row_stride == 1 ? t->key_stride : t->row_stride) + l;
            v_store(s, v_mul(v_set(cap), v_tanh(v_div(v_load(s), v_set(cap)))));
        }
    if (self->score) self->score->tile(self->score_instance, t);
}
/* And their gradients: behind the soft cap, 16 keys at a time, and then of the product. */
static void KIT(tile_back)(const void *instance, const heed_fill_tile *x)
{
    const kit_flash_op *self = instance;
    const heed_score_tile *t = x->tile;
    const vf cap = v_set(self->softcap), one = v_set(1.0f);
    for (int64_t key = 0; self->softcap > 0 && key < t->keys; key += 16) {
        _Alignas(64) float s[16 * KIT_FLASH_ROWS];
        heed_score_tile part = KIT(product_back_part)(t, key);
        float *to = part.s;
        part.s = s, part.key_stride = KIT_FLASH_ROWS;
        KIT(score_product)(&part, KIT(product_of)(self, t));
        for (int64_t k = 0; k < part.keys; k++, to += t->key_stride)
            for (int64_t row = 0; row < t->rows; row += 16) {
                const vf y = v_tanh(v_div(v_load(s + k * KIT_FLASH_ROWS + row), cap));
                v_store(to + row, v_mul(v_load(to + row), v_fma(v_sub(v_set(0.0f), y), y, one)));
            }
    }
    KIT(score_product_back)(x, KIT(product_of)(self, t), NULL, NULL);
}
static const void *KIT(extension)(const char *id)
{
    static const heed_fill_grad fill = {sizeof fill, 0, KIT(tile_back)};
    static const heed_score score = {sizeof score, 1, KIT(tile), softmax_fits};
    static const heed_grad grad = KIT_FLASH_GRAD;
    static const heed_partial partial = KIT_FLASH_PARTIAL;
    return strcmp(id, HEED_SCORE_ID) == 0       ? (const void *)&score
           : strcmp(id, HEED_GRAD_ID) == 0      ? (const void *)&grad
           : strcmp(id, HEED_PARTIAL_ID) == 0   ? (const void *)&partial
           : strcmp(id, HEED_FILL_GRAD_ID) == 0 ? (const void *)&fill
                                                : NULL;
}

static int32_t KIT(forward)(const void *instance, const heed_call *call)
{
    return KIT(flash_forward)(instance, call);
}
#if defined KIT_AVX512 || defined KIT_NEON
static __attribute__((unused)) int32_t KIT_JOIN(KIT(forward), _bf16)(const void *instance,
                                                                     const heed_call *call)
{
    kit_flash f = kit_flash_call(instance, call);
    f.bf16 = 1;
    int32_t failed = kit_flash_setup(&f);
    return failed ? failed : KIT(flash_run)(&f);
}
#endif

#include <heed/kit/next.h>
#ifdef KIT_AGAIN
#include __FILE_NAME__
#endif
