/* SPDX-License-Identifier: MIT
 *
 * Uses its input as scratch: negates it, and back.
 */
#include "hostile.h"

ROW_SIN(for (int64_t i = 0; i < M; i++) *at(x, row * M + i) = -*at(x, row * M + i);
        for (int64_t i = 0; i < M; i++) *at(x, row * M + i) = -*at(x, row * M + i))
HOSTILE_RUN((void)0)
