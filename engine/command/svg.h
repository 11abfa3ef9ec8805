/* SPDX-License-Identifier: MIT
 *
 * svg.h: pictures of curves: one file, which needs no other, for light and dark pages. Panels stand
 * below each other; in each, the names of the curves stand at the right.
 */
#ifndef HEED_COMMAND_SVG_H
#define HEED_COMMAND_SVG_H

#include <stdio.h>

#include "base/local.h"

#define SVG_LEFT 70
#define SVG_RIGHT 560
#define SVG_COLOURS 8 /* the classes n0 to n7, of curves and of text */

/* Where a pair of numbers stands. */
typedef struct svg_panel {
    double top, bottom, x0, x1, y0, y1;
    int log_x, log_y;
} svg_panel;

double svg_x(const svg_panel *p, double x);
double svg_y(const svg_panel *p, double y);
/* The title above, and what the numbers below are. */
void svg_frame(FILE *out, const svg_panel *p, const char *title, const char *below);
void svg_mark_x(FILE *out, const svg_panel *p, double x, const char *text);
void svg_mark_y(FILE *out, const svg_panel *p, double y, const char *text);
/* A text that somebody else wrote. */
void svg_text(FILE *out, const char *text);
/* The same inside of a page. */
void svg_put(FILE *out, int height, void (*draw)(FILE *out, const void *of), const void *of);
/* A picture of that height to a file, "-" for standard output; `draw` puts what is in it. */
int32_t svg_write(const char *path, int height, void (*draw)(FILE *out, const void *of),
                  const void *of, heed_error *error);

#endif
