/* SPDX-License-Identifier: MIT
 *
 * Has an op that has not stated its size.
 */
#include "hostile.h"

HOSTILE(ops[1].size = 0)
