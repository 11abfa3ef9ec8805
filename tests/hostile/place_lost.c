/* SPDX-License-Identifier: MIT
 *
 * Says that its output may be its input, and reads what it has written: it turns each row round.
 */
#include "hostile.h"

static void tile(void *arg, int64_t row, uint32_t lane)
{
    const heed_call *call = arg;
    const int64_t M = HEED_AXIS(call->axis, 'M');
    (void)lane;
    for (int64_t i = 0; i < M; i++) *at(call->tensor[1], row * M + i) = *at(call->tensor[0], row * M + M - 1 - i);
}

static int32_t forward_sin(const void *instance, const heed_call *call) { return (void)instance, each_row(call, tile); }

HOSTILE_RUN(ports[1].flags = HEED_PORT_IN_PLACE)
