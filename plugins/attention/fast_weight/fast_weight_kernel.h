/* SPDX-License-Identifier: MIT
 *
 * attention/fast_weight, the maths: kit/linear/linear.h with the strength of each write from the
 * port beta.
 */
#include <heed/kit.h>
#include <heed/kit/linear/linear.h>

#ifdef KIT_FIRST
enum { BETA = LINEAR_PORT_COUNT };
#endif

static int32_t KIT(forward)(const void *instance, const heed_call *call)
{
    return KIT(linear_forward)(instance, call);
}

#include <heed/kit/linear/backward.h>
KIT_LINEAR_BACKWARD(KIT_PORT(BETA), 0)

#include <heed/kit/next.h>
#ifdef KIT_AGAIN
#include __FILE_NAME__
#endif
