/* SPDX-License-Identifier: MIT
 *
 * Does not end at one shape.
 */
#include "hostile.h"

ROW_SIN(for (volatile int go = M == 17; go;) continue)
HOSTILE_RUN((void)0)
