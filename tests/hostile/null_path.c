/* SPDX-License-Identifier: MIT
 *
 * Has a path without any function.
 */
#include "hostile.h"

HOSTILE(paths[0].forward = 0)
