/* SPDX-License-Identifier: MIT
 *
 * A codec makes a finite number infinite.
 */
#define DECODED(x) ((x)*2)
#include "codec.h"

HOSTILE_CODEC
