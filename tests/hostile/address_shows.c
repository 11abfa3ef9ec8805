/* SPDX-License-Identifier: MIT
 *
 * Takes another way, with other bits, where a row is not aligned.
 */
#include "hostile.h"

#include <stdint.h>

ROW_SIN(if ((uintptr_t)at(x, row * M) % 64) *at(out, row * M) *= 1.0000001f)
HOSTILE_RUN((void)0)
