/* SPDX-License-Identifier: MIT
 *
 * plot.h: that as a picture.
 */
#ifndef HEED_BENCH_PLOT_H
#define HEED_BENCH_PLOT_H

#include "bench/bench.h"

/* The picture as SVG, to be freed; `shape`: what was given, for the title. With b NULL it only looks whether there is a
 * gnuplot. */
int32_t plot_make(const bench *b, const char *shape, char **svg, size_t *n, heed_error *error);

#endif
