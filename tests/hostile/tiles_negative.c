/* SPDX-License-Identifier: MIT
 *
 * Asks for -1 tiles.
 */
#include "hostile.h"

static int32_t forward_sin(const void *instance, const heed_call *call)
{
    call->host->parallel_for(call->host, -1, copy_row, (void *)call);
    return forward(instance, call);
}

HOSTILE_RUN((void)0)
