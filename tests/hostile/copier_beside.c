/* SPDX-License-Identifier: MIT
 *
 * Writes whole vectors of 4, beyond the end of a row.
 */
#define SIN(c)                                                                                                        \
    for (int64_t i = (c)->n; i % 4; i++) (c)->y[i * (c)->y_stride] = 0
#include "copier.h"
