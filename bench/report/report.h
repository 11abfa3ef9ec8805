/* SPDX-License-Identifier: MIT
 *
 * report.h: the table and the JSON record.
 */
#ifndef HEED_BENCH_REPORT_H
#define HEED_BENCH_REPORT_H

#include "bench/bench.h"

/* A case, summed up over the rounds. NAN = not known, or not measured. */
typedef struct report_row {
    const bench_case *c;
    double seconds, spread, gflops, gbps;
    double peak, fraction; /* what it is held against, in the same unit as its rate */
    double predicted;      /* seconds of one call, were it at the peak */
    const char *limit;     /* "fma", "read", "copy"; NULL: it is held against nothing */
    int noisy;
    int crowded;           /* other processes had the processor in most rounds: it is no time of this machine */
} report_row;

#define REPORT_NOISE 0.05 /* the spread from which on a case is noisy */

report_row report_sum_up(const bench *b, const bench_case *c);
const char *report_time(double seconds, char *text, size_t n); /* "13.2 ms" */
const char *report_count(double instructions, char *text, size_t n); /* "13.2 M" */
void report_head(const bench *b); /* the machine and its peaks */
void report_widths(const bench *b, int width[3]); /* of the columns spec, shape, path */
void report_table(const bench *b);
int32_t report_write(const bench *b, const char *path, heed_error *error); /* the record */

#endif
