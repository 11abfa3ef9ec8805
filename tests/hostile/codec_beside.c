/* SPDX-License-Identifier: MIT
 *
 * A codec writes in front of its block.
 */
#define SIN(data, row, width, first, count) (data)[-1] = 1
#include "codec.h"

HOSTILE_CODEC
