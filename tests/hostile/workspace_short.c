/* SPDX-License-Identifier: MIT
 *
 * Writes behind its workspace: measure_call told less.
 */
#include "hostile.h"

ROW_SIN(((char *)call->workspace)[64] = 1)
HOSTILE_RUN((void)0)
