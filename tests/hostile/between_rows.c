/* SPDX-License-Identifier: MIT
 *
 * Writes between the rows of a strided output.
 */
#include "hostile.h"

ROW_SIN(if (row == 0 && out->stride[out->rank - 1] > 1) ((float *)out->data)[1] = 0)
HOSTILE_RUN((void)0)
