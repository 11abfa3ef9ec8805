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

#endif
