/* SPDX-License-Identifier: MIT
 *
 * Has an op with a count of paths and no table.
 */
#include "hostile.h"

HOSTILE(ops[1].paths.data = 0)
