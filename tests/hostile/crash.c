/* SPDX-License-Identifier: MIT
 *
 * Crashes at some shapes: at one of heed check, and in the networks of heed matrix.
 */
#include "hostile.h"

static int *volatile nowhere;

ROW_SIN(if (M == 17 || M == 34) *nowhere = 1)
HOSTILE_RUN((void)0)
