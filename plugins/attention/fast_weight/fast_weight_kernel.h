/* SPDX-License-Identifier: MIT
 *
 * attention/fast_weight, the maths: kit/linear/linear.h with the strength of each write from the
 * port beta.
 */
#include <heed/kit.h>
#include <heed/kit/linear/linear.h>

#ifdef KIT_FIRST
enum { BETA = LINEAR_PORT_COUNT };
static kit_linear fast_weight_call(const void *instance, const heed_call *call)
{
    kit_linear l = kit_linear_call(instance, call);
    l.beta = call->tensor[BETA];
    return l;
}
#endif

static int32_t KIT(forward)(const void *instance, const heed_call *call)
{
    return KIT(linear_forward)(fast_weight_call(instance, call));
}

#include <heed/kit/next.h>
#ifdef KIT_AGAIN
#include __FILE_NAME__
#endif
