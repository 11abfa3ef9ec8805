/* SPDX-License-Identifier: MIT
 *
 * Multiplies the other rows by 0, which a NaN survives.
 */
#include "hostile.h"

ROW_SIN(for (int64_t i = 0; i < rows_of(x); i++) *at(out, row * M) += 0 * *at(x, i * M))
HOSTILE_RUN((void)0)
