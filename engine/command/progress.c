/* SPDX-License-Identifier: MIT
 *
 * progress.c: the line about what is going on.
 */
#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

#include "command/clock.h"
#include "command/progress.h"
#include "command/table.h"

#define EVERY 0.1 /* seconds between two lines */
#define SOON 1.0  /* before that, nothing is said of the time that is left */

static double began, shown; /* 0: no line is there */

/* "1:02:03" or "4:05" */
static void time_text(char *text, size_t n, double seconds)
{
    long s = (long)(seconds + 0.5);
    if (s >= 3600) snprintf(text, n, "%ld:%02ld:%02ld", s / 3600, s / 60 % 60, s % 60);
    else snprintf(text, n, "%ld:%02ld", s / 60, s % 60);
}

void progress_show(double share, const char *format, ...)
{
    char what[512], left[32], all[640];
    va_list list;
    double now = clock_seconds();
    if (!isatty(STDERR_FILENO) || (shown > 0 && now - shown < EVERY)) return;
    if (!(began > 0)) began = now;
    shown = now;
    va_start(list, format);
    vsnprintf(what, sizeof what, format, list);
    va_end(list);
    *all = 0;
    if (share >= 0) snprintf(all, sizeof all, "%3.0f %%", 100 * share);
    if (share > 0 && now - began > SOON) {
        time_text(left, sizeof left, (now - began) / share * (1 - share));
        snprintf(all, sizeof all, "%3.0f %%, %s left", 100 * share, left);
    }
    /* the line must not be wrapped: only the last one can be taken away */
    int room = table_width(STDERR_FILENO) - 1 - (int)sizeof "100 %, 99:59:59 left  ";
    fprintf(stderr, "\r\033[K%s%s%.*s", all, *all ? "  " : "", room > 0 ? room : 0, what);
    fflush(stderr);
}

void progress_end(void)
{
    if (shown > 0) fputs("\r\033[K", stderr);
    began = shown = 0;
}
