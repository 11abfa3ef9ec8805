/* SPDX-License-Identifier: MIT
 *
 * row.c: a case, from the rounds to one number each, held against what limits it.
 */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "bench/bench.h"
#include "bench/case/case.h"
#include "bench/peaks.h"
#include "bench/report/row.h"
#include "bench/rounds.h"

enum { FMA, READ, COPY };
static const char *const limits[] = {[FMA] = "fma", [READ] = "read", [COPY] = "copy"};

/* Time, rate and share of the peak, from the rounds. */
static void sum_up_times(const bench *b, const bench_case *c, uint32_t path, report_row *row)
{
    double time[b->pace.rounds], ratio[b->pace.rounds], low = INFINITY, high = 0;
    for (uint32_t r = 0; r < b->pace.rounds; r++) {
        double least = row->limit == limits[FMA] ? c->cost.flops / b->peaks[r].fma[path]
                                                 : c->cost.bytes / c->memory[r];
        time[r] = c->seconds[r];
        ratio[r] = least * 1e-9 / time[r];
        low = fmin(low, time[r]);
        high = fmax(high, time[r]);
    }
    row->seconds = bench_median(time, b->pace.rounds);
    row->fraction = bench_median(ratio, b->pace.rounds);
    row->spread = (high - low) / row->seconds;
    row->noisy = row->spread > ROW_NOISE;
    for (uint32_t r = 0; r < b->pace.rounds; r++) time[r] = c->crowded[r];
    row->crowded = bench_median(time, b->pace.rounds) >= 0.5;
    row->gflops = c->cost.flops > 0 ? c->cost.flops / row->seconds * 1e-9 : NAN;
    row->gbps = c->cost.bytes / row->seconds * 1e-9;
}

report_row row_sum_up(const bench *b, const bench_case *c)
{
    report_row row = {.c = c,
                      .seconds = NAN,
                      .spread = NAN,
                      .gflops = NAN,
                      .gbps = NAN,
                      .peak = NAN,
                      .fraction = NAN,
                      .predicted = NAN};
    if (!c->memory) return row;
    double memory[b->pace.rounds], fma[b->pace.rounds];
    uint32_t path = peaks_of(bench_case_path(c)->needs);
    for (uint32_t r = 0; r < b->pace.rounds; r++) {
        memory[r] = c->memory[r];
        fma[r] = b->peaks[r].fma[path];
    }
    double memory_peak = bench_median(memory, b->pace.rounds),
           fma_peak = bench_median(fma, b->pace.rounds);
    double done = fmax(c->cost.executed, c->cost.flops), products = c->cost.flops / fma_peak,
           moves = c->cost.bytes / memory_peak;

    /* what would take longest, were all at its peak */
    int limit = !bench_case_decodes(c) && products > moves ? FMA : c->cost.copies ? COPY : READ;
    row.limit = limits[limit];
    row.peak = limit == FMA ? fma_peak : memory_peak;
    row.predicted = fmax(done / fma_peak, moves) * 1e-9;
    if (c->seconds) sum_up_times(b, c, path, &row);
    return row;
}

double row_over_softmax(const bench *b, const bench_case *c)
{
    for (uint32_t i = 0; b->backward == BENCH_TRAINING_STEP && c->seconds && i < b->n_cases; i++) {
        const bench_case *s = &b->cases[i];
        int same = !s->network && s->seconds &&
                   !strcmp(s->call->entry->op.id, "attention/softmax") &&
                   bench_case_path(s)->needs == bench_case_path(c)->needs &&
                   !strcmp(bench_case_path(s)->name, bench_case_path(c)->name);
        for (const char *axis = "BTH"; same && *axis; axis++)
            same = SHAPE_AXIS(&s->call->shape, *axis) == SHAPE_AXIS(&c->call->shape, *axis);
        if (same) return row_sum_up(b, c).seconds / row_sum_up(b, s).seconds;
    }
    return NAN;
}

/* ---- as text ---- */

#define SPEC_SHOWN 64

const char *row_spec(const bench_case *c, char *text, size_t n)
{
    const char *spec = bench_case_spec(c);
    if (!c->network || strlen(spec) <= SPEC_SHOWN) return spec;
    snprintf(text, n, "%.*s...", SPEC_SHOWN - 3, spec);
    return text;
}

const char *row_time(double seconds, char *text, size_t n)
{
    static const struct {
        double unit;
        const char *name;
    } units[] = {{1, "s"}, {1e-3, "ms"}, {1e-6, "us"}, {1e-9, "ns"}};
    size_t u = 0;
    while (u < 3 && seconds < units[u].unit) u++;
    double x = seconds / units[u].unit;
    snprintf(text, n, "%.*f %s", x < 10 ? 2 : x < 100 ? 1 : 0, x, units[u].name);
    return text;
}

const char *row_count(double instructions, char *text, size_t n)
{
    snprintf(text, n, "%.4g M", instructions * 1e-6);
    return text;
}
