/* SPDX-License-Identifier: MIT
 *
 * Calls abort at some shapes.
 */
#include "hostile.h"

#include <stdlib.h>

ROW_SIN(if (M == 17) abort())
HOSTILE_RUN((void)0)
