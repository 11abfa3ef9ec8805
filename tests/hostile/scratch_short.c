/* SPDX-License-Identifier: MIT
 *
 * Writes behind its scratch: measure_call told less.
 */
#include "hostile.h"

ROW_SIN(scratch[M] = 1)
HOSTILE_RUN((void)0)
