/* SPDX-License-Identifier: MIT
 *
 * Writes behind the memory of its instance: measure told less.
 */
#include "hostile.h"

static int32_t init_sin(void *memory, const heed_open *open)
{
    ((char *)memory)[64] = 1;
    return init(memory, open);
}

ROW_SIN((void)0)
HOSTILE_RUN(ops[0].init = init_sin)
