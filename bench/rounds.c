/* SPDX-License-Identifier: MIT
 *
 * rounds.c: the rounds of a measurement. In each the machine's peaks are taken, then every case. A
 * number is the median over the rounds of the round's best, which a neighbour who comes and goes
 * moves little, and a case is put beside the peaks of its own round.
 */
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <time.h>

#include "base/error.h"
#include "bench/bench.h"
#include "bench/case/case.h"
#include "bench/peaks.h"
#include "bench/rounds.h"
#include "command/clock.h"
#include "command/cost.h"
#include "command/interrupt.h"
#include "command/progress.h"
#include "inspect.h"

#define BATCH 50e-6 /* seconds that are timed at once: the clock costs some 20 ns */

/* ---- statistics ---- */

static int ascending(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

double bench_median(double *v, uint32_t n)
{
    qsort(v, n, sizeof *v, ascending);
    return n % 2 ? v[n / 2] : (v[n / 2 - 1] + v[n / 2]) / 2;
}

int32_t rounds_interrupted(heed_error *error)
{
    return interrupt_seen ? error_set(error, HEED_E_CANCELLED, "interrupted; nothing was written")
                          : HEED_OK;
}

/* ---- one case in one round ---- */

/* Seconds of one call and, if it is asked for, whether other processes had the processor meanwhile.
 * A best of many short runs does not show that, but where every run is longer than a time slice
 * they all have it in them, and lie as close together as on an idle machine. With one lane all work
 * is the calling thread's, so its CPU time must equal the clock. Several lanes wait for one
 * another, so there it goes by how often the kernel took a processor away: some times a second on
 * an idle machine, once a time slice (3 to 10 ms) on a crowded one. */
#define CROWDED_SHARE 0.97   /* of the clock */
#define CROWDED_SWITCHES 50. /* a second */

static double cpu_seconds(void)
{
    struct timespec t;
    return clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t) ? NAN
                                                      : (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static double switches(void)
{
    struct rusage used;
    return getrusage(RUSAGE_SELF, &used) ? NAN : (double)used.ru_nivcsw;
}

static int32_t time_batch(const bench_case *c, int64_t runs, uint32_t lanes, double *seconds,
                          int *crowded, heed_error *error)
{
    int32_t failed = HEED_OK;
    double cpu = cpu_seconds(), taken = switches(), start = clock_seconds();
    for (int64_t i = 0; i < runs && !failed; i++) failed = bench_case_run(c, error);
    double clock = clock_seconds() - start;
    *seconds = clock / (double)runs;
    if (crowded)
        *crowded = lanes == 1 ? cpu_seconds() - cpu < CROWDED_SHARE * clock
                              : switches() - taken > 1 + CROWDED_SWITCHES * clock;
    return failed ? failed : rounds_interrupted(error);
}

/* As many calls at once as the clock needs. */
static int32_t choose_batch(bench_case *c, heed_error *error)
{
    double seconds = 0;
    int32_t failed = HEED_OK;
    for (c->batch = 1; !failed && c->batch < 1 << 20; c->batch *= 2) {
        failed = time_batch(c, c->batch, 1, &seconds, NULL, error);
        if (seconds * (double)c->batch >= BATCH) break;
    }
    return failed;
}

static int32_t measure_case(bench_case *c, uint32_t round, const bench_pace *p, uint32_t lanes,
                            heed_error *error)
{
    double best = INFINITY, seconds, start = clock_seconds(), spent = 0;
    int crowded;
    int32_t failed = c->batch ? HEED_OK : choose_batch(c, error);
    for (int runs = 0;
         !failed && (runs < p->runs || spent < p->seconds) && (!runs || spent < p->longest);
         runs++) {
        failed = time_batch(c, c->batch, lanes, &seconds, &crowded, error);
        if (seconds < best) {
            best = seconds;
            c->crowded[round] = crowded;
        }
        spent = clock_seconds() - start;
    }
    c->seconds[round] = best;
    return failed;
}

/* What there is, shared out: the fewer cases, the longer each. */
static void share(bench_pace *p, uint32_t n_cases)
{
    if (!(p->all > 0)) return;
    p->seconds =
        fmin(4 * p->seconds, fmax(p->seconds, p->all / p->rounds / (n_cases ? n_cases : 1)));
    p->longest = 2 * p->seconds;
}

int32_t rounds_measure(bench *b, peaks_meter *meter, heed_error *error)
{
    uint32_t timed = 0;
    for (uint32_t i = 0; i < b->n_cases; i++) timed += b->cases[i].seconds != NULL;
    share(&b->pace, timed);
    int32_t failed = HEED_OK;
    uint32_t whole = 0;
    for (uint32_t r = 0; r < b->pace.rounds && !failed; r++) {
        peaks_measure(meter, &b->peaks[r]);
        failed = rounds_interrupted(error);
        for (uint32_t i = 0; i < b->n_cases && !failed; i++) {
            bench_case *c = &b->cases[i];
            progress_show((r + (double)i / b->n_cases) / b->pace.rounds, "round %u of %u, %s  %s",
                          r + 1, b->pace.rounds, bench_case_spec(c), bench_case_shape(c));
            if (c->memory)
                c->memory[r] = peaks_memory(meter, c->footprint > 0 ? c->footprint : c->cost.bytes,
                                            c->cost.copies);
            failed = c->seconds ? measure_case(c, r, &b->pace, heed_lanes(b->engine), error)
                                : rounds_interrupted(error);
        }
        if (!failed) whole++;
    }
    progress_end();
    if (interrupt_seen != SIGINT || !whole) return failed; /* who sends SIGTERM wants nothing */
    *error = (heed_error){0};
    b->asked = b->pace.rounds;
    b->pace.rounds = whole;
    return HEED_OK;
}

/* ---- the engine's own share ---- */

#define OVERHEAD_SAMPLES 401
#define OVERHEAD_CALLS 500 /* of a sample: some 50 us */

int32_t rounds_overhead(const bench_case *c, bench_overhead *out, heed_error *error)
{
    double engine[OVERHEAD_SAMPLES], kernel[OVERHEAD_SAMPLES];
    const heed_path *path = heed_instance_path(c->instance);
    const void *memory = inspect_memory(c->instance);
    direct_call d;
    int32_t failed = direct_make(&d, c->instance, c->call, c->sequences, error);
    for (int s = 0; s < OVERHEAD_SAMPLES && !failed; s++) {
        failed = time_batch(c, OVERHEAD_CALLS, 1, &engine[s], NULL, error);
        double start = clock_seconds();
        for (int n = 0; n < OVERHEAD_CALLS && !failed; n++) failed = path->forward(memory, d.call);
        kernel[s] = (clock_seconds() - start) / OVERHEAD_CALLS;
    }
    direct_free(&d);
    if (failed) return failed;
    out->engine_ns = 1e9 * bench_median(engine, OVERHEAD_SAMPLES);
    out->kernel_ns = 1e9 * bench_median(kernel, OVERHEAD_SAMPLES);
    return HEED_OK;
}
