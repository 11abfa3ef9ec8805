/* SPDX-License-Identifier: MIT
 *
 * Keeps a tile on its caller's stack, whose size nobody knows.
 */
#include "hostile.h"

static float last(volatile float *big, int64_t n)
{
    for (int64_t i = 0; i < n; i++) big[i] = (float)i;
    return big[n - 1];
}
ROW_SIN(volatile float tile[48 * 96]; scratch[0] += 0 * last(tile, 48 * 96))
HOSTILE_RUN((void)0)
