/* SPDX-License-Identifier: MIT
 *
 * Its numbers depend on the lane that a tile runs on.
 */
#include "hostile.h"

ROW_SIN(*at(out, row * M) += (float)lane)
HOSTILE_RUN((void)0)
