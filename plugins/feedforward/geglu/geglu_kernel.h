/* SPDX-License-Identifier: MIT
 *
 * feedforward/geglu, the maths: kit/gemm/feedforward.h, gated, with gelu(z) = z phi(z), within 8 ulp of
 * the value.
 */
#include <heed/kit.h>

#ifdef KIT_FIRST
enum { HIDDEN, APPROXIMATE, WEIGHTS };
enum { APPROXIMATE_NONE, APPROXIMATE_TANH };
#endif

KIT_INLINE vf KIT(activate)(int64_t approximate, vf z)
{
    if (approximate == APPROXIMATE_NONE) return v_mul(z, v_phi(z));
    vf cube = v_mul(v_mul(z, z), v_mul(z, v_set(0.044715f)));
    vf t = v_tanh(v_mul(v_set(0.7978845608f), v_add(z, cube))); /* sqrt(2 / pi) */
    return v_mul(v_mul(v_set(0.5f), z), v_add(v_set(1.0f), t));
}

/* a'(z): phi(z) + z times the normal density; or that of the approximation. */
KIT_INLINE vf KIT(derive)(int64_t approximate, vf z)
{
    const vf one = v_set(1.0f);
    vf square = v_mul(z, z);
    if (approximate == APPROXIMATE_NONE) {
        const vf density = v_mul(v_set(0.3989422804f), v_exp(v_mul(v_set(-0.5f), square)));
        return v_fma(z, density, v_phi(z));
    }
    z = v_min(v_set(20.0f),
              v_max(v_set(-20.0f), z)); /* where it is flat, and no square overflows */
    square = v_mul(z, z);
    const vf t = v_tanh(v_mul(v_set(0.7978845608f), v_fma(v_mul(square, z), v_set(0.044715f), z)));
    const vf inner = v_mul(v_set(0.7978845608f), v_fma(square, v_set(0.134145f), one));
    const vf rise = v_mul(v_mul(z, inner), v_fma(v_sub(v_set(0.0f), t), t, one));
    return v_mul(v_set(0.5f), v_add(v_add(one, t), rise));
}

#define FEEDFORWARD_ACTIVATION(self, z) KIT(activate)((self)->choice, z)
#define FEEDFORWARD_DERIVATIVE(self, z) KIT(derive)((self)->choice, z)
#include <heed/kit/gemm/feedforward.h>
#include <heed/kit/gemm/feedforward_backward.h>

static int32_t KIT(forward)(const void *instance, const heed_call *call)
{
    return KIT(feedforward_run)(instance, call, call->tensor[GATED_OUT]);
}

KIT_BACKWARD_WITH(HEED_GRAD_ROWS, GATED_GIVES, KIT_PORT(GATED_OUT), 0,
                  kit_feedforward_measure_backward)

#include <heed/kit/next.h>
#ifdef KIT_AGAIN
#include __FILE_NAME__
#endif
