/* SPDX-License-Identifier: MIT
 *
 * feedforward/swiglu, the maths: kit/gemm/feedforward.h, gated, with silu(z) = z / (1 + e^-z), within 8
 * ulp of the value.
 */
#include <heed/kit.h>

#ifdef KIT_FIRST
enum { HIDDEN, WEIGHTS };
#endif

KIT_INLINE vf KIT(activate)(int64_t choice, vf z)
{
    (void)choice;
    return v_mul(z, v_sigmoid(z));
}

/* a'(z) = s (1 + z (1 - s)), s the sigmoid. */
KIT_INLINE vf KIT(derive)(int64_t choice, vf z)
{
    const vf s = v_sigmoid(z), one = v_set(1.0f);
    (void)choice;
    return v_mul(s, v_fma(z, v_sub(one, s), one));
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
