/* SPDX-License-Identifier: MIT
 *
 * Writes in front of its output.
 */
#include "hostile.h"

ROW_SIN(if (row == 0) ((float *)out->data)[-1] = 0)
HOSTILE_RUN((void)0)
