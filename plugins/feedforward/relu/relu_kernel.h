/* SPDX-License-Identifier: MIT
 *
 * feedforward/relu, the maths: kit/gemm/feedforward.h with relu(z) = max(z, 0), or its square. A NaN
 * stays one.
 */
#include <heed/kit.h>

#ifdef KIT_FIRST
enum { HIDDEN, SQUARED };
#endif

KIT_INLINE vf KIT(activate)(int64_t squared, vf z)
{
    const vf r = v_max(v_set(0.0f), z);
    return squared ? v_mul(r, r) : r;
}

#define FEEDFORWARD_ACTIVATION(self, z) KIT(activate)((self)->choice, z)
#include <heed/kit/gemm/feedforward.h>

static int32_t KIT(forward)(const void *instance, const heed_call *call)
{
    return KIT(feedforward_run)(instance, call, call->tensor[FEEDFORWARD_OUT]);
}

#include <heed/kit/next.h>
#ifdef KIT_AGAIN
#include __FILE_NAME__
#endif
