/* SPDX-License-Identifier: MIT
 *
 * rounds.h: cases timed, in turns; statistics.
 */
#ifndef HEED_BENCH_ROUNDS_H
#define HEED_BENCH_ROUNDS_H

#include "bench/bench.h"

/* Of n numbers; they are sorted. */
double bench_median(double *v, uint32_t n);
/* Ctrl-C before there is something to tell. */
int32_t rounds_interrupted(heed_error *error);
/* Ctrl-C ends it behind the last round that is whole, and b->pace.rounds is then how many are. */
int32_t rounds_measure(bench *b, peaks_meter *meter, heed_error *error);
int32_t rounds_overhead(const bench_case *c, bench_overhead *out, heed_error *error);

#endif
