/* SPDX-License-Identifier: MIT
 *
 * feedforward/gelu, the maths: two products (kit/gemm/gemm.h). The activation is applied to the
 * first one's sums while they are in cache; the middle layer lies in the workspace, float32, some
 * rows at a time.
 *
 * gelu(z) = z phi(z), phi from the kit without cancellation on the left: within 8 ulp of the value
 * everywhere. Error: kit/gemm/gemm.h's of the second product, over middle values with that of the
 * first.
 */
#include <heed/kit.h>
#include <heed/kit/gemm/gemm.h>

#ifdef KIT_FIRST
enum { X, UP, UP_BIAS, DOWN, DOWN_BIAS, OUT };
enum { HIDDEN, APPROXIMATE };
enum { APPROXIMATE_NONE, APPROXIMATE_TANH };
typedef struct gelu {
    kit_weights up, down;
    int64_t approximate;
    float data[] __attribute__((aligned(64)));
} gelu;
#endif

KIT_INLINE vf KIT(activate)(vf z, int64_t approximate)
{
    if (approximate == APPROXIMATE_NONE) return v_mul(z, v_phi(z));
    vf cube = v_mul(v_mul(z, z), v_mul(z, v_set(0.044715f)));
    vf t = v_tanh(v_mul(v_set(0.7978845608f), v_add(z, cube))); /* sqrt(2 / pi) */
    return v_mul(v_mul(v_set(0.5f), z), v_add(v_set(1.0f), t));
}

static void KIT(finish)(const void *arg, char *to, int64_t panel, int64_t panels, const float *sums)
{
    const gelu *self = arg;
    float *middle = (float *)to + 16 * panel;
    for (int64_t i = 0; i < 16 * panels; i += 16)
        v_store(middle + i, KIT(activate)(v_load(sums + i), self->approximate));
}

static int32_t KIT(forward)(const void *instance, const heed_call *call)
{
    const gelu *self = instance;
    return KIT(kit_gemm_two)(call, call->tensor[X], &self->up, KIT(finish), self, &self->down,
                             call->tensor[OUT]);
}

#include <heed/kit/next.h>
#ifdef KIT_AGAIN
#include __FILE_NAME__
#endif
