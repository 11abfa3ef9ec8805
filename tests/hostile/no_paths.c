/* SPDX-License-Identifier: MIT
 *
 * Has an op without a path.
 */
#include "hostile.h"

HOSTILE(ops[1].paths.count = 0)
