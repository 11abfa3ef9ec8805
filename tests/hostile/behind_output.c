/* SPDX-License-Identifier: MIT
 *
 * Writes one element behind the last of its output, as a loop over whole vectors does.
 */
#include "hostile.h"

ROW_SIN(*(at(out, row * M + M - 1) + out->stride[out->rank - 1]) = 0)
HOSTILE_RUN((void)0)
