/* SPDX-License-Identifier: MIT
 *
 * harness.h: call.h for a cmocka program.
 */
#ifndef HEED_HARNESS_H
#define HEED_HARNESS_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include "call.h"

/* One case: the oracle's bound on the first path; its bits on every path, at 1, 2, 3 and 7 threads, and in each layout
 * at one of these counts. How many runs were compared with the first. */
int harness_sweep(const call_case *how);
/* The same with one thread count for each path and layout, by turns of the seed: for many cases. */
int harness_glance(const call_case *how);

#endif
