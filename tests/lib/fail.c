/* SPDX-License-Identifier: MIT
 *
 * fail.c: a failure of call.h in a cmocka program fails the test.
 */
#include "lib/harness.h"

void harness_fail(const char *format, ...)
{
    char text[2048];
    va_list list;
    va_start(list, format);
    vsnprintf(text, sizeof text, format, list);
    va_end(list);
    fail_msg("%s", text);
    abort(); /* fail_msg does not return, but does not say so */
}
