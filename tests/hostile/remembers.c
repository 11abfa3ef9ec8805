/* SPDX-License-Identifier: MIT
 *
 * Remembers in a writable variable how often it was called.
 */
#include "hostile.h"

static int calls;

ROW_SIN(if (row == 0) *at(out, 0) += (float)++calls)
HOSTILE_RUN((void)0)
