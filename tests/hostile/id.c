/* SPDX-License-Identifier: MIT
 *
 * Has an op whose id is not kind/name.
 */
#include "hostile.h"

HOSTILE(ops[1].id = "Norm/Hostile 2")
