/* SPDX-License-Identifier: MIT
 *
 * attention/linear, the maths: kit/linear/linear.h as it is, with no hook set: the sum rule.
 */
#include <heed/kit.h>
#include <heed/kit/linear/linear.h>

static int32_t KIT(forward)(const void *instance, const heed_call *call)
{
    return KIT(linear_forward)(instance, call);
}

#include <heed/kit/linear/backward.h>
KIT_LINEAR_BACKWARD(0, KIT_PORT(LINEAR_OUT))

#include <heed/kit/next.h>
#ifdef KIT_AGAIN
#include __FILE_NAME__
#endif
