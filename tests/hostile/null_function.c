/* SPDX-License-Identifier: MIT
 *
 * Has an op without init.
 */
#include "hostile.h"

HOSTILE(ops[1].init = 0)
