/* SPDX-License-Identifier: MIT
 *
 * feedforward/swiglu, the maths: kit/gemm/feedforward.h, gated, with silu(z) = z / (1 + e^-z), within 8
 * ulp of the value.
 */
#include <heed/kit.h>

#ifdef KIT_FIRST
enum { HIDDEN };
#endif

KIT_INLINE vf KIT(activate)(int64_t choice, vf z)
{
    (void)choice;
    return v_mul(z, v_sigmoid(z));
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
