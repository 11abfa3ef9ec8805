/* SPDX-License-Identifier: MIT
 *
 * No sin: that the others are refused for theirs alone.
 */
#include "hostile.h"

HOSTILE((void)0)
