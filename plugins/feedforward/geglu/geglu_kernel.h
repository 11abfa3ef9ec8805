/* SPDX-License-Identifier: MIT
 *
 * feedforward/geglu, the maths: kit/gemm/feedforward.h, gated, with gelu(z) = z phi(z), within 8 ulp of
 * the value.
 */
#include <heed/kit.h>

#ifdef KIT_FIRST
enum { HIDDEN, APPROXIMATE };
enum { APPROXIMATE_NONE, APPROXIMATE_TANH };
#endif

KIT_INLINE vf KIT(activate)(int64_t approximate, vf z)
{
    if (approximate == APPROXIMATE_NONE) return v_mul(z, v_phi(z));
    vf cube = v_mul(v_mul(z, z), v_mul(z, v_set(0.044715f)));
    vf t = v_tanh(v_mul(v_set(0.7978845608f), v_add(z, cube))); /* sqrt(2 / pi) */
    return v_mul(v_mul(v_set(0.5f), z), v_add(v_set(1.0f), t));
}

#define FEEDFORWARD_ACTIVATION(self, z) KIT(activate)((self)->choice, z)
#include <heed/kit/gemm/feedforward.h>

static int32_t KIT(forward)(const void *instance, const heed_call *call)
{
    return KIT(feedforward_run)(instance, call, call->tensor[GATED_OUT]);
}

#include <heed/kit/next.h>
#ifdef KIT_AGAIN
#include __FILE_NAME__
#endif
