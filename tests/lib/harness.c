/* SPDX-License-Identifier: MIT
 *
 * harness.c: the calls of call.h in a cmocka program: what goes wrong there fails the test.
 */
#include "harness.h"

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
