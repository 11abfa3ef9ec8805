/* SPDX-License-Identifier: MIT
 *
 * feedforward/swiglu, the maths: two products (kit/gemm/gemm.h). Gate and up are packed as one
 * weight, panels in turn, so that both halves of silu(g) * u leave the first product together; the
 * middle layer lies in the workspace, float32, some rows at a time.
 *
 * Error: kit/gemm/gemm.h's of the second product, over middle values with those of the first and 8
 * ulp of their own.
 */
#include <heed/kit.h>
#include <heed/kit/gemm/gemm.h>

#ifdef KIT_FIRST
enum { X, GATE, UP, DOWN, OUT };
enum { HIDDEN };
typedef struct swiglu {
    kit_weights both, down; /* both: panel 2 p of the gate, 2 p + 1 of up */
    float data[] __attribute__((aligned(64)));
} swiglu;
#endif

static void KIT(finish)(const void *arg, char *to, int64_t panel, int64_t panels, const float *sums)
{
    (void)arg;
    float *middle = (float *)to + 8 * panel;
    for (int64_t i = 0; i < 8 * panels; i += 16) {
        vf g = v_load(sums + 2 * i), u = v_load(sums + 2 * i + 16);
        v_store(middle + i, v_mul(v_mul(g, v_sigmoid(g)), u));
    }
}

static int32_t KIT(forward)(const void *instance, const heed_call *call)
{
    const swiglu *self = instance;
    return KIT(kit_gemm_two)(call, call->tensor[X], &self->both, KIT(finish), NULL, &self->down,
                             call->tensor[OUT]);
}

#include <heed/kit/next.h>
#ifdef KIT_AGAIN
#include __FILE_NAME__
#endif
