/* SPDX-License-Identifier: MIT
 *
 * Does not end on rows of 33.
 */
#define SIN(c)                                                                                                        \
    while ((c)->n == 33) *(volatile int *)&(c)->lane = 0
#include "copier.h"
