/* SPDX-License-Identifier: MIT
 *
 * Counts its calls in its instance, which any number of threads may use at once.
 */
#include "hostile.h"

static int32_t forward_sin(const void *instance, const heed_call *call)
{
    ++*(int *)instance;
    return forward(instance, call);
}

HOSTILE_RUN((void)0)
