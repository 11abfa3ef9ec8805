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
#include <heed/kit/score/product.h>

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
static void KIT(tile)(const void *instance, const heed_score_tile *t)
{
    const kit_flash_op *self = instance;
    const double scale =
        self->scale != 0.0f ? (double)self->scale : 1 / sqrt((double)(t->width > 0 ? t->width : 1));
    const float cap = self->softcap * t->unit;
    const float factor = (float)(scale * (double)t->unit / (double)t->query_unit);
    KIT(score_product)(t, (kit_product){.width = t->width, .factor = factor});
    const int64_t lines = t->row_stride == 1 ? t->keys : t->rows,
                  width = t->row_stride == 1 ? t->rows : t->keys;
    for (int64_t i = 0; cap > 0 && i < lines; i++)
        for (int64_t l = 0; l < width; l += 16) {
            float *s = t->s + i * (t->row_stride == 1 ? t->key_stride : t->row_stride) + l;
            v_store(s, v_mul(v_set(cap), v_tanh(v_div(v_load(s), v_set(cap)))));
        }
    if (self->score) self->score->tile(self->score_instance, t);
}
static const void *KIT(extension)(const char *id)
{
    static const heed_score score = {sizeof score, 1, KIT(tile), softmax_fits};
    static const heed_grad grad = KIT_FLASH_GRAD;
    static const heed_partial partial = KIT_FLASH_PARTIAL;
    return strcmp(id, HEED_SCORE_ID) == 0     ? (const void *)&score
           : strcmp(id, HEED_GRAD_ID) == 0    ? (const void *)&grad
           : strcmp(id, HEED_PARTIAL_ID) == 0 ? (const void *)&partial
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
