/* SPDX-License-Identifier: MIT
 *
 * Calls parallel_for from inside a tile.
 */
#include "hostile.h"

ROW_SIN(call->host->parallel_for(call->host, 2, copy_row, arg))
HOSTILE_RUN((void)0)
