/* SPDX-License-Identifier: MIT
 *
 * rounds.h: cases timed, in turns; statistics.
 */
#ifndef HEED_BENCH_ROUNDS_H
#define HEED_BENCH_ROUNDS_H

#include "bench/bench.h"

/* Of n numbers; they are sorted. */
double bench_median(double *v, uint32_t n);
/* The first signal ends the work in order, a second one at once. */
void rounds_catch_signals(void);
int32_t rounds_interrupted(heed_error *error);
void rounds_progress(const char *doing, uint32_t at, uint32_t of); /* NULL: ends the line. of 0: not known */
int32_t rounds_measure(bench *b, peaks_meter *meter, heed_error *error);
int32_t rounds_overhead(const bench_case *c, bench_overhead *out, heed_error *error);

#endif
