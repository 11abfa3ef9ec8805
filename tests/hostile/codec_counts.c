/* SPDX-License-Identifier: MIT
 *
 * A codec makes of a row what follows from how many come with it.
 */
#define SIN(data, row, width, first, count) (row)[0] += (float)(count)
#include "codec.h"

HOSTILE_CODEC
