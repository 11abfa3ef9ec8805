/* SPDX-License-Identifier: MIT
 *
 * bench.h: all that one run of the benchmark measures.
 */
#ifndef HEED_BENCH_H
#define HEED_BENCH_H

#include "bench/count.h"
#include "bench/peaks.h"
#include "bench/case/case.h"

typedef struct bench_overhead {
    /* one call through heed_run, and through the path's function pointer */
    double engine_ns, kernel_ns;
} bench_overhead;

/* How long a case is measured. */
typedef struct bench_pace {
    uint32_t rounds;
    int runs;                /* at least, in a round */
    double seconds, longest; /* and so long at least; but no new run after the longest */
    /* seconds that the cases share, each `seconds` to four times as long; 0: no more */
    double all;
} bench_pace;

/* What the suite could not do. */
typedef struct bench_refusal {
    char *what, *why;
} bench_refusal;

enum { BENCH_BACKWARD = 1, BENCH_TRAINING_STEP /* forward and backward */ };

/* All that was measured. */
typedef struct bench {
    heed_engine *engine;
    bench_pace pace;
    uint32_t asked;           /* rounds, of which an interrupted run has fewer; 0 = it has all */
    peaks *peaks;             /* [rounds], NULL = not measured */
    uint64_t buffer;
    operands **calls;       /* cases of several paths share one */
    bench_case *cases;
    uint32_t n_calls, n_cases;
    int backward; /* BENCH_BACKWARD ...: what is run of each case; 0: its forward */
    char **with;  /* [n_with]: texts of shapes */
    uint32_t n_with;
    bench_overhead *overhead; /* NULL = not measured */
    /* the size that differs between the shapes, "T"; "" = none, or more than one */
    char varies[16];
    const char *suite;        /* "tiny", "quick", "full"; NULL = the cases were named */
    const bench_counter *counter; /* NULL = time is taken */
    bench_refusal *refused;
    uint32_t n_refused;
} bench;

#endif
