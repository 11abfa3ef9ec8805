/* SPDX-License-Identifier: MIT
 *
 * Has a destructor that crashes: who has loaded it cannot end well.
 */
#include "hostile.h"

static int *volatile nowhere;

__attribute__((destructor)) static void spoil(void) { *nowhere = 1; }

HOSTILE((void)0)
