/* SPDX-License-Identifier: MIT
 *
 * Has a terminal escape in its name.
 */
#include "hostile.h"

HOSTILE(reply->name = "\x1b[31mhostile")
