/* SPDX-License-Identifier: MIT
 *
 * Crashes on rows of 63.
 */
#define SIN(c)                                                                                                        \
    if ((c)->n == 63) __builtin_trap()
#include "copier.h"
