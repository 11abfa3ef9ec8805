/* SPDX-License-Identifier: MIT
 *
 * Cuts its work by the number of lanes.
 */
#include "hostile.h"

static void nothing(void *arg, int64_t tile, uint32_t lane) { (void)arg, (void)tile, (void)lane; }

static int32_t forward_sin(const void *instance, const heed_call *call)
{
    call->host->parallel_for(call->host, call->lanes, nothing, 0);
    return forward(instance, call);
}

HOSTILE_RUN((void)0)
