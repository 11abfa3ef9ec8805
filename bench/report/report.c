/* SPDX-License-Identifier: MIT
 *
 * report.c: what was measured, as a table for people and as a record of the schema "heed.bench/1"
 * for programs.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "bench/bench.h"
#include "bench/case/case.h"
#include "bench/case/network.h"
#include "bench/count.h"
#include "bench/machine.h"
#include "bench/peaks.h"
#include "bench/report/growth.h"
#include "bench/report/report.h"
#include "bench/report/row.h"
#include "bench/rounds.h"
#include "command/file.h"
#include "command/table.h"

/* The median over the rounds of the peak at an offset of `peaks`. */
static double peak(const bench *b, size_t at)
{
    double v[b->pace.rounds];
    for (uint32_t r = 0; r < b->pace.rounds; r++)
        memcpy(&v[r], (const char *)&b->peaks[r] + at, sizeof *v);
    return bench_median(v, b->pace.rounds);
}

#define PEAK(field) offsetof(peaks, field)

/* ---- for people ---- */

static void print_peaks(const bench *b)
{
    uint32_t lanes = heed_lanes(b->engine);
    char fma[32 * PEAKS_PATHS] = "", line[sizeof fma + 160];
    for (uint32_t i = 0; i < PEAKS_PATHS; i++) {
        double p = peak(b, PEAK(fma) + i * sizeof(double));
        size_t n = strlen(fma);
        if (p > 0) snprintf(fma + n, sizeof fma - n, "%s%s %.1f", n ? ", " : " ", peaks_path(i), p);
    }
    snprintf(
        line, sizeof line,
        "peaks, %u thread%s: multiply-adds%s GFLOP/s; reading %.1f, copying %.1f GB/s (of %llu "
        "MiB)",
        lanes, &"s"[lanes == 1], fma, peak(b, PEAK(read)), peak(b, PEAK(copy)),
        (unsigned long long)b -> buffer >> 20);
    table_prose(0, 2, line);
}

void report_head(const bench *b)
{
    char brand[128];
    printf("%s", machine_cpu(brand, sizeof brand));
    if (b->suite) printf(", suite \"%s\"", b->suite);
    if (b->counter) printf(", instructions of one call by %s", count_emulator());
    else if (!b->suite || b->peaks)
        printf(", %u round%s", b->pace.rounds, &"s"[b->pace.rounds == 1]);
    printf("\n");
    if (b->peaks) print_peaks(b);
}

/* What a row of each kind of table has. The peak that limits a case is more than its rate, which is
 * left out before it. */
static const table_column timed[] = {
    {"spec", 0, 18, 0},         {"shape", 0, 10, 0}, {"path", 0, 0, 0},
    {"threads", 1, 0, 1},       {"time", 1, 0, 0},   {"rate   ", 1, 0, 3},
    {"share of peak", 0, 0, 0}, {"spread", 1, 0, 2}, {"", 0, 8, 0},
};
static const table_column counted[] = {
    {"spec", 0, 18, 0},   {"shape", 0, 10, 0},       {"path", 0, 0, 0},
    {"threads", 1, 0, 1}, {"instructions", 1, 0, 0}, {"", 0, 8, 0},
};
#define COLUMNS_OF(columns) (sizeof columns / sizeof *columns)

/* "noisy", "crowded", and what its numbers are to those of the scalar path. */
static void add_notes(const bench *b, table *t, const bench_case *c, const report_row *r)
{
    char error[64] = "", steps[48] = "";
    const double over = row_over_softmax(b, c);
    int inexact = bench_case_path(c)->flags & HEED_PATH_INEXACT;
    if (c->max_error > 0)
        snprintf(error, sizeof error, "%s the scalar path by %.2g",
                 inexact ? "inexact, off" : "differs from", c->max_error);
    if (c->network && isfinite(network_steps(c->network)))
        snprintf(steps, sizeof steps, "%.2f steps a token  ", network_steps(c->network));
    if (isfinite(over)) snprintf(steps, sizeof steps, "%.2f x softmax  ", over);
    table_cell(t, "%s%s%s%s%s%s", steps, r->noisy ? "noisy" : "",
               r->noisy && r->crowded ? "  " : "", r->crowded ? "crowded" : "",
               (r->noisy || r->crowded) && *error ? "  " : "", error);
}

static void add_case(const bench *b, const bench_case *c, table *t)
{
    char time[80];
    report_row r = row_sum_up(b, c);
    if (!c->seconds && !(c->instructions > 0)) return;
    table_cell(t, "%s", row_spec(c, time, sizeof time));
    table_cell(t, "%s", bench_case_shape(c));
    table_cell(t, "%s", bench_case_path(c)->name);
    table_cell(t, "%u", heed_lanes(b->engine));
    if (c->seconds) {
        table_cell(t, "%s", row_time(r.seconds, time, sizeof time));
        if (!strcmp(r.limit, "fma")) table_cell(t, "%.1f GFLOP/s", r.gflops);
        else table_cell(t, "%.1f GB/s   ", r.gbps);
        table_cell(t, "%4.0f %% of %-4s", 100 * r.fraction, r.limit);
        table_cell(t, "%.0f %%", 100 * r.spread);
    } else {
        table_cell(t, "%s", row_count(c->instructions, time, sizeof time));
    }
    add_notes(b, t, c, &r);
}

/* How the time of a network is spread over its ops, in the fastest run with a trace. What is between
 * them is the rest of that same run: what a network costs beyond its ops, and what the trace does. */
static void print_parts(const bench_case *c)
{
    static const table_column columns[] = {
        {"part", 0, 0, 0},  {"op", 0, 10, 4},   {"calls", 1, 0, 1}, {"time", 1, 0, 0},
        {"share", 1, 0, 0}, {"flops", 1, 0, 3}, {"bytes", 1, 0, 2}, {"rate   ", 1, 0, 0},
    };
    table t = {.column = columns, .n_columns = COLUMNS_OF(columns)};
    char text[32];
    double sum = 0;
    for (uint32_t i = 0; i < c->by_op.count; i++) sum += c->by_op.row[i].seconds;
    const double all = c->traced;
    printf("\nby op, %s, %s:\n", bench_case_shape(c), bench_case_path(c)->name);
    for (uint32_t i = 0; i < c->by_op.count; i++) {
        const part_cost *p = &c->by_op.row[i];
        table_cell(&t, "%s", p->part);
        table_cell(&t, "%s", p->op);
        table_cell(&t, "%lld", (long long)p->calls);
        table_cell(&t, "%s", row_time(p->seconds, text, sizeof text));
        table_cell(&t, "%.1f %%", 100 * p->seconds / all);
        table_cell(&t, "%s", parts_amount(p->told ? p->flops : 0, text, sizeof text));
        table_cell(&t, "%s", parts_amount(p->bytes, text, sizeof text));
        if (p->flops > p->bytes) table_cell(&t, "%.1f GFLOP/s", 1e-9 * p->flops / p->seconds);
        else table_cell(&t, "%.1f GB/s   ", 1e-9 * p->bytes / p->seconds);
    }
    table_cell(&t, "between ops");
    for (int i = 0; i < 2; i++) table_cell(&t, "%s", "");
    table_cell(&t, "%s", row_time(all - sum, text, sizeof text));
    table_cell(&t, "%.1f %%", 100 * (all - sum) / all);
    for (int i = 0; i < 3; i++) table_cell(&t, "%s", "");
    table_print(&t);
}

/* The same op on the same shape gives one hash on all exact paths: how many do, and which do
 * not. */
static void print_hashes(const bench *b)
{
    uint32_t shapes = 0, agree = 0;
    for (uint32_t i = 0, n; i < b->n_cases; i += n, shapes++) {
        const bench_case *first = &b->cases[i];
        uint32_t differ = 0;
        for (n = 1; i + n < b->n_cases && b->cases[i + n].call == first->call &&
                    !strcmp(bench_case_shape(&b->cases[i + n]), bench_case_shape(first)); n++)
            differ += b->cases[i + n].hash != first->hash &&
                      !(bench_case_path(&b->cases[i + n])->flags & HEED_PATH_INEXACT);
        agree += !differ;
        if (differ)
            printf("%s  %s: other bits than %s on %u other path%s\n", bench_case_spec(first),
                   bench_case_shape(first), bench_case_path(first)->name, differ,
                   &"s"[differ == 1]);
    }
    printf("\n%u cases; %u of %u specs and shapes gave the same bits on all of their exact paths\n",
           b->n_cases, agree, shapes);
}

static void print_suite(const bench *b)
{
    uint32_t noisy = 0, crowded = 0;
    print_hashes(b);
    for (uint32_t i = 0; i < b->n_cases; i++) {
        report_row r = row_sum_up(b, &b->cases[i]);
        noisy += r.noisy != 0;
        crowded += r.crowded != 0;
    }
    if (noisy)
        printf("%u are noisy: their rounds lie more than %.0f %% apart\n", noisy, 100 * ROW_NOISE);
    if (crowded)
        printf("%u are crowded: other processes had the processor while they were timed\n",
               crowded);
    for (uint32_t i = 0; i < b->n_refused; i++)
        printf("not run: %s: %s\n", b->refused[i].what, b->refused[i].why);
}

void report_table(const bench *b)
{
    report_head(b);
    if (b->overhead) {
        double e = b->overhead->engine_ns, k = b->overhead->kernel_ns;
        printf("overhead of a call: %.0f ns (norm/rms on 16 numbers: %.0f ns through the engine, "
               "%.0f ns without)\n",
               e - k, e, k);
    }
    table t = {.column = b->counter ? counted : timed,
               .n_columns = b->counter ? COLUMNS_OF(counted) : COLUMNS_OF(timed)};
    if (b->n_cases && (b->peaks || b->counter)) printf("\n");
    for (uint32_t i = 0; i < b->n_cases; i++) add_case(b, &b->cases[i], &t);
    if (b->n_cases && (b->peaks || b->counter)) table_print(&t);
    growth_table(b);
    for (uint32_t i = 0; i < b->n_cases; i++)
        if (b->cases[i].by_op.count) print_parts(&b->cases[i]);
    if (b->suite) print_suite(b);
}

/* ---- for programs ---- */

#define LAYOUT (JSON_INDENT(2) | JSON_REAL_PRECISION(6))

static json_t *number(double x) { return isfinite(x) ? json_real(x) : json_null(); }

static json_t *json_peaks(const bench *b)
{
    if (!b->peaks) return json_null();
    json_t *fma = json_object();
    for (uint32_t i = 0; i < PEAKS_PATHS; i++) {
        double p = peak(b, PEAK(fma) + i * sizeof(double));
        if (p > 0) json_object_set_new(fma, peaks_path(i), number(p));
    }
    return json_pack("{s:o, s:o, s:o, s:I}", "fma_gflops", fma, "read_gbps",
                     number(peak(b, PEAK(read))), "copy_gbps", number(peak(b, PEAK(copy))),
                     "buffer_bytes", (json_int_t)b->buffer);
}

static json_t *json_parts(const bench_case *c)
{
    json_t *all = c->by_op.count ? json_array() : json_null();
    for (uint32_t i = 0; i < c->by_op.count; i++) {
        const part_cost *p = &c->by_op.row[i];
        json_array_append_new(
            all, json_pack("{s:s, s:s, s:I, s:o, s:o, s:o}", "part", p->part, "op", p->op, "calls",
                           (json_int_t)p->calls, "seconds", number(p->seconds), "flops",
                           number(p->told ? p->flops : NAN), "bytes", number(p->bytes)));
    }
    return all;
}

/* An exact path must give the scalar path's bits: its bound is 0. An inexact one has none that is
 * known here. */
static json_t *json_case(const bench *b, const bench_case *c)
{
    char hash[17];
    report_row r = row_sum_up(b, c);
    const heed_path *path = bench_case_path(c);
    snprintf(hash, sizeof hash, "%016llx", (unsigned long long)c->hash);
    json_t *j = json_pack("{s:s, s:s, s:s, s:i, s:s, s:s}", "spec", bench_case_spec(c), "version",
                          c->network ? machine_version() : c->call->entry->op.version, "path",
                          path->name, "threads", (int)heed_lanes(b->engine), "shape",
                          bench_case_shape(c), "dtype", bench_case_dtype(c));
    json_t *measured = json_pack(
        "{s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:s?, s:o, s:o}", "median_s", number(r.seconds),
        "spread", number(r.spread), "noisy", c->seconds ? json_boolean(r.noisy) : json_null(),
        "crowded", c->seconds ? json_boolean(r.crowded) : json_null(), "instructions",
        number(c->instructions > 0 ? c->instructions : NAN), "gflops", number(r.gflops), "gbps",
        number(r.gbps), "limit", r.limit, "peak", number(r.peak), "fraction", number(r.fraction));
    json_t *more = json_pack(
        "{s:s?, s:o, s:o, s:o, s:o, s:o, s:o, s:s?, s:s?}", "algorithm", c->cost.algorithm, "flops",
        number(c->cost.flops > 0 ? c->cost.flops : NAN), "executed_flops",
        number(c->cost.executed > 0 ? c->cost.executed : NAN), "bytes", number(c->cost.bytes),
        "predicted_s", number(r.predicted), "max_error", number(c->ran ? c->max_error : NAN),
        "bound", number(path->flags & HEED_PATH_INEXACT ? NAN : 0), "hash", c->ran ? hash : NULL,
        "judged_shape", c->ran ? c->judged : NULL);
    if (j) json_object_set_new(j, "by_op", json_parts(c));
    if (j && c->network && isfinite(network_steps(c->network)))
        json_object_set_new(j, "mean_steps", number(network_steps(c->network)));
    if (j && b->backward == BENCH_TRAINING_STEP)
        json_object_set_new(j, "over_softmax", number(row_over_softmax(b, c)));
    /* NULL fails */
    int failed = !j || json_object_update(j, measured) || json_object_update(j, more);
    json_decref(measured);
    json_decref(more);
    if (failed) json_decref(j);
    return failed ? NULL : j;
}

static json_t *json_overhead(const bench_overhead *o)
{
    if (!o) return json_null();
    return json_pack("{s:o, s:o, s:o}", "engine_ns", number(o->engine_ns), "kernel_ns",
                     number(o->kernel_ns), "difference_ns", number(o->engine_ns - o->kernel_ns));
}

static json_t *json_refused(const bench *b)
{
    if (!b->suite) return json_null();
    json_t *all = json_array();
    for (uint32_t i = 0; i < b->n_refused; i++)
        json_array_append_new(
            all, json_pack("{s:s, s:s}", "case", b->refused[i].what, "reason", b->refused[i].why));
    return all;
}

/* jansson passes a failed allocation on: NULL at the end, if anything failed. */
static json_t *json_bench(const bench *b)
{
    json_t *cases = json_array();
    for (uint32_t i = 0; i < b->n_cases; i++)
        if (json_array_append_new(cases, json_case(b, &b->cases[i]))) {
            json_decref(cases);
            return NULL;
        }
    return json_pack("{s:s, s:s?, s:s, s:o, s:i, s:o, s:o, s:o, s:o}", "schema", "heed.bench/1",
                     "suite", b->suite, "unit", b->counter ? "instructions" : "seconds", "machine",
                     machine_json(b), "rounds", (int)b->pace.rounds, "peaks", json_peaks(b),
                     "overhead", json_overhead(b->overhead), "cases", cases, "refused",
                     json_refused(b));
}

int32_t report_write(const bench *b, const char *path, heed_error *error)
{
    json_t *j = json_bench(b);
    char *text = j ? json_dumps(j, LAYOUT) : NULL, *line = NULL;
    int n = text ? asprintf(&line, "%s\n", text) : -1;
    int32_t failed = n < 0 ? error_memory(error) : file_write(path, line, (size_t)n, error);
    if (n >= 0) free(line);
    free(text);
    json_decref(j);
    return failed;
}
