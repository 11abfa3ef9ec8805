/* SPDX-License-Identifier: MIT
 *
 * Tells a cost below 0.
 */
#include "hostile.h"

#include <string.h>

static int32_t cost(const void *instance, const heed_call *call, heed_cost *to)
{
    (void)instance, (void)call;
    to->flops = -1;
    return HEED_OK;
}

static const void *extension(const char *id)
{
    static const heed_coster coster = {sizeof coster, 0, cost};
    return strcmp(id, HEED_COST_ID) ? 0 : &coster;
}

ROW_SIN((void)0)
HOSTILE_RUN(ops[0].get_extension = extension)
