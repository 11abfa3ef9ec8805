/* SPDX-License-Identifier: MIT
 *
 * Needs a function that nobody has: linked without -Wl,-z,defs.
 */
#include "hostile.h"

void hostile_missing_function(void);

HOSTILE(hostile_missing_function())
