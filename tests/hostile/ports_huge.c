/* SPDX-License-Identifier: MIT
 *
 * Has an op with four thousand million ports.
 */
#include "hostile.h"

HOSTILE(ops[1].ports.count = UINT32_MAX)
