/* SPDX-License-Identifier: MIT
 *
 * Says that all went well where its host skipped tiles.
 */
#include "hostile.h"

static int32_t forward_sin(const void *instance, const heed_call *call)
{
    (void)instance;
    each_row(call, copy_row);
    return HEED_OK;
}
HOSTILE_RUN((void)0)
