/* SPDX-License-Identifier: MIT
 *
 * growth.h: how the time grows with a size.
 */
#ifndef HEED_BENCH_GROWTH_H
#define HEED_BENCH_GROWTH_H

#include "bench/bench.h"

/* A line of a plot: the cases of one spec on one path. */
int growth_same(const bench_case *a, const bench_case *b);
int growth_first(const bench *b, uint32_t i);           /* whether case i is the first of a line */
double growth_size(const bench *b, const bench_case *c); /* the size that differs */
double growth_exponent(const bench *b, uint32_t first);
void growth_table(const bench *b);

#endif
