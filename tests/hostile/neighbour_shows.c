/* SPDX-License-Identifier: MIT
 *
 * A row depends on the one before it.
 */
#include "hostile.h"

ROW_SIN(if (row) *at(out, row * M) += 1e-3f * *at(x, (row - 1) * M))
HOSTILE_RUN((void)0)
