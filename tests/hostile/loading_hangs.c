/* SPDX-License-Identifier: MIT
 *
 * Has an entry that never returns.
 */
#include "hostile.h"

HOSTILE(for (volatile int go = 1; go;) continue)
