/* SPDX-License-Identifier: MIT
 *
 * Has a constructor that crashes: nobody can load it and live.
 */
#include "hostile.h"

static int *volatile nowhere;

__attribute__((constructor)) static void spoil(void) { *nowhere = 1; }

HOSTILE((void)0)
