/* SPDX-License-Identifier: MIT
 *
 * Measures a call that it has measured before otherwise.
 */
#include "hostile.h"

static int32_t measure_sin(const void *instance, const heed_call *call, heed_call_size *size)
{
    static uint64_t calls;
    int32_t code = measure_call(instance, call, size);
    size->workspace += 64 * calls++;
    return code;
}

ROW_SIN((void)0)
HOSTILE_RUN(ops[0].measure_call = measure_sin)
