/* SPDX-License-Identifier: MIT
 *
 * feedforward/relu, the maths: kit/gemm/feedforward.h with relu(z) = max(z, 0), or its square. A NaN
 * stays one.
 */
#include <heed/kit.h>

#ifdef KIT_FIRST
enum { HIDDEN, SQUARED, WEIGHTS };
#endif

KIT_INLINE vf KIT(activate)(int64_t squared, vf z)
{
    const vf r = v_max(v_set(0.0f), z);
    return squared ? v_mul(r, r) : r;
}

/* a'(z): 1 where z > 0, else 0; or 2 relu(z). A NaN stays one. */
KIT_INLINE vf KIT(derive)(int64_t squared, vf z)
{
    const vf r = v_max(v_set(0.0f), z), zero = v_sub(z, z);
    if (squared) return v_add(r, r);
    return v_select(v_lt(v_set(0.0f), z), v_set(1.0f), v_select(v_eq(z, z), v_set(0.0f), zero));
}

#define FEEDFORWARD_ACTIVATION(self, z) KIT(activate)((self)->choice, z)
#define FEEDFORWARD_DERIVATIVE(self, z) KIT(derive)((self)->choice, z)
#include <heed/kit/gemm/feedforward.h>
#include <heed/kit/gemm/feedforward_backward.h>

static int32_t KIT(forward)(const void *instance, const heed_call *call)
{
    return KIT(feedforward_run)(instance, call, call->tensor[FEEDFORWARD_OUT]);
}

KIT_BACKWARD_WITH(HEED_GRAD_ROWS, FEEDFORWARD_GIVES, KIT_PORT(FEEDFORWARD_OUT), 0,
                  kit_feedforward_measure_backward)

#include <heed/kit/next.h>
#ifdef KIT_AGAIN
#include __FILE_NAME__
#endif
