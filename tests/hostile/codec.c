/* SPDX-License-Identifier: MIT
 *
 * No sin: a codec.
 */

#include "codec.h"

HOSTILE_CODEC
