/* SPDX-License-Identifier: MIT
 *
 * row.h: a case, summed up over the rounds.
 */
#ifndef HEED_BENCH_ROW_H
#define HEED_BENCH_ROW_H

#include "bench/bench.h"

/* NAN = not known, or not measured. */
typedef struct report_row {
    const bench_case *c;
    double seconds, spread, gflops, gbps;
    double peak, fraction; /* what it is held against, in the same unit as its rate */
    double predicted;      /* seconds of one call, were it at the peak */
    const char *limit;     /* "fma", "read", "copy"; NULL: it is held against nothing */
    int noisy;
    /* other processes had the processor in most rounds: it is no time of this machine */
    int crowded;
} report_row;

#define ROW_NOISE 0.05 /* the spread from which on a case is noisy */

report_row row_sum_up(const bench *b, const bench_case *c);
/* A training step's time over that of attention/softmax on the same path, on a shape with the same
 * sequences, tokens and heads; NAN: there is none. */
double row_over_softmax(const bench *b, const bench_case *c);
/* The spec; of a network no more than fits a table, for the record has it all. */
const char *row_spec(const bench_case *c, char *text, size_t n);
const char *row_time(double seconds, char *text, size_t n); /* "13.2 ms" */
const char *row_count(double instructions, char *text, size_t n); /* "13.2 M" */

#endif
