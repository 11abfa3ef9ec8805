/* SPDX-License-Identifier: MIT
 *
 * Has an op that another plugin has.
 */
#include "hostile.h"

HOSTILE(ops[1].id = "norm/rms")
