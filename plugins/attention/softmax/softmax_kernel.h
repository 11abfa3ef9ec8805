/* SPDX-License-Identifier: MIT
 *
 * attention/softmax, the maths: kit/flash.h as it is, with no hook set. A row's live keys follow from the mask alone.
 */
#include <heed/kit.h>
#define FLASH_BF16 /* on avx512_bf16, which has no copy of its own: it is a way through that of avx512 */
#include <heed/kit/flash.h>

#ifdef KIT_FIRST
enum { Q, K, V, KEY_LENGTHS, DOCUMENTS, QUERY_DOCUMENTS, BIAS, SINK_LOGITS, OUT, LSE };
enum { SCALE, SOFTCAP, POSITION };
typedef struct softmax {
    float scale; /* 0: 1 / sqrt(D) */
    float softcap;
    const heed_score *score;
    const void *score_instance;
    const heed_tensor *sink_logits;
} softmax;

static kit_flash softmax_call(const softmax *self, const heed_call *call)
{
    const heed_tensor *const *t = call->tensor;
    const int64_t D = HEED_AXIS(call->axis, 'D');
    return (kit_flash){.call = call,
                       .q = t[Q],
                       .k = t[K],
                       .v = t[V],
                       .out = t[OUT],
                       .lse = t[LSE],
                       .key_lengths = t[KEY_LENGTHS],
                       .documents = t[DOCUMENTS],
                       .query_documents = t[QUERY_DOCUMENTS],
                       .bias = t[BIAS],
                       .sink_logits = self->sink_logits,
                       .score = self->score,
                       .score_instance = self->score_instance,
                       .softcap = self->softcap,
                       .scale = self->scale != 0.0f ? self->scale : (float)(1 / sqrt((double)(D > 0 ? D : 1)))};
}
#endif

static int32_t KIT(run)(const void *instance, const heed_call *call, int bf16)
{
    kit_flash f = softmax_call(instance, call);
    f.bf16 = bf16;
    int32_t failed = kit_flash_setup(&f);
    return failed ? failed : KIT(flash_run)(&f);
}

static int32_t KIT(forward)(const void *instance, const heed_call *call) { return KIT(run)(instance, call, 0); }
#if defined KIT_AVX512
static int32_t forward_avx512_bf16(const void *instance, const heed_call *call) { return KIT(run)(instance, call, 1); }
#endif

#include <heed/kit/next.h>
#ifdef KIT_AGAIN
#include __FILE_NAME__
#endif
