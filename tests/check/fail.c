/* SPDX-License-Identifier: MIT
 *
 * fail.c: how a check fails: lib/call.h leaves that to who links it.
 */
#include <stdarg.h>
#include <stdio.h>

#include "check/fail.h"
#include "lib/call.h"

sigjmp_buf fail_place;
char fail_sentence[2048];

void harness_fail(const char *format, ...)
{
    va_list list;
    va_start(list, format);
    vsnprintf(fail_sentence, sizeof fail_sentence, format, list);
    va_end(list);
    siglongjmp(fail_place, 1);
}
