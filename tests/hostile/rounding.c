/* SPDX-License-Identifier: MIT
 *
 * Changes the floating-point mode when it is loaded, as an object linked with gcc -ffast-math does. It is no reason to
 * refuse it: the engine puts the mode back.
 */
#include "hostile.h"

#include <fenv.h>

__attribute__((constructor)) static void spoil(void) { fesetround(FE_UPWARD); }

HOSTILE((void)0)
