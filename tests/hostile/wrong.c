/* SPDX-License-Identifier: MIT
 *
 * Is off by a millionth; hostile/wrong_oracle.c has the formula.
 */
#include "hostile.h"

ROW_SIN(for (int64_t i = 0; i < M; i++) *at(out, row * M + i) *= 1.000001f)
HOSTILE_RUN((void)0)
