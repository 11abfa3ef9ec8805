/* SPDX-License-Identifier: MIT
 *
 * Crashes at some shapes.
 */
#include "hostile.h"

static int *volatile nowhere;

ROW_SIN(if (M == 17) *nowhere = 1)
HOSTILE_RUN((void)0)
