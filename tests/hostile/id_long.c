/* SPDX-License-Identifier: MIT
 *
 * Has an op whose id has no end within reason.
 */
#include "hostile.h"

HOSTILE(static char id[4096]; for (int i = 0; i < 4096; i++) id[i] = 'a'; id[4] = '/'; ops[1].id = id)
