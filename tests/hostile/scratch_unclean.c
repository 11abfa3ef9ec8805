/* SPDX-License-Identifier: MIT
 *
 * Adds up in scratch that it has not cleared.
 */
#include "hostile.h"

static void tile(void *arg, int64_t row, uint32_t lane)
{
    const heed_call *call = arg;
    const int64_t M = HEED_AXIS(call->axis, 'M');
    const float before = M > 0 ? *(float *)(call->scratch + lane * call->scratch_stride) : 0;
    copy_row(arg, row, lane);
    if (M > 0) *at(call->tensor[1], row * M) += before;
}

static int32_t forward_sin(const void *instance, const heed_call *call) { return (void)instance, each_row(call, tile); }

HOSTILE_RUN((void)0)
