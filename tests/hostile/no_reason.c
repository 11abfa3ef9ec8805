/* SPDX-License-Identifier: MIT
 *
 * Refuses a shape, and does not say why.
 */
#include "hostile.h"

static int32_t forward_sin(const void *instance, const heed_call *call)
{
    return HEED_AXIS(call->axis, 'M') % 2 ? HEED_E_SHAPE : forward(instance, call);
}

HOSTILE_RUN((void)0)
