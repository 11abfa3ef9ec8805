/* SPDX-License-Identifier: MIT
 *
 * Has an op that claims to be larger than its place in the table.
 */
#include "hostile.h"

HOSTILE(ops[1].size = 4000)
