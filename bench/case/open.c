/* SPDX-License-Identifier: MIT
 *
 * open.c: the list of cases: a spec on a shape becomes one case a path, opened, run once and
 * judged.
 *
 * Invariant: every case of the list is open; one that fails on the way is taken off again.
 */
#include <stdlib.h>
#include <string.h>

#include "base/cpu.h"
#include "base/error.h"
#include "base/grow.h"
#include "bench/bench.h"
#include "bench/case/backward.h"
#include "bench/case/case.h"
#include "bench/case/judge.h"
#include "bench/case/open.h"
#include "bench/count.h"
#include "bench/rounds.h"
#include "command/operands.h"
#include "command/progress.h"
#include "inspect.h"

#define PATHS_MAX 8 /* of one op */

bench_case *open_case(bench *b, heed_error *error)
{
    bench_case *c = grow_append(&b->cases, &b->n_cases, sizeof *c);
    if (!c) error_memory(error);
    return c;
}

void open_drop(bench *b) { bench_case_close(&b->cases[--b->n_cases]); }

static operands *new_call(bench *b, heed_error *error)
{
    operands *c = grow_room(&b->calls, b->n_calls, sizeof *b->calls) ? calloc(1, sizeof *c) : NULL;
    if (!c) return error_memory(error), NULL;
    return b->calls[b->n_calls++] = c;
}

int32_t open_rounds(const bench *b, bench_case *c, int timed, heed_error *error)
{
    c->memory = calloc(b->pace.rounds, sizeof *c->memory);
    if (timed) c->seconds = calloc(b->pace.rounds, sizeof *c->seconds);
    if (timed) c->crowded = calloc(b->pace.rounds, sizeof *c->crowded);
    return c->memory && ((c->seconds && c->crowded) || !timed) ? HEED_OK : error_memory(error);
}

/* The paths to measure. One that the op lacks stands for the best below it. */
static uint32_t choose_paths(const char *isa, const heed_engine *engine, const entry *e,
                             const char *paths[PATHS_MAX])
{
    uint32_t n = 0;
    paths[n++] = isa;
    if (!isa || strcmp(isa, "all")) return n;
    n = 0;
    for (uint32_t p = 0; p < e->op.paths.count && n < PATHS_MAX; p++)
        if (!(entry_path(e, p)->needs & ~inspect_features(engine)))
            paths[n++] = entry_path(e, p)->name;
    return n;
}

/* One path; `first`: the number of the first case of this call. */
static int32_t open_path(bench *b, const resolved *op, const operands *call, const char *isa,
                         int want, uint32_t first, heed_error *error)
{
    bench_case *c = open_case(b, error);
    if (!c) return HEED_E_MEMORY;
    const bench_case *plain = first < b->n_cases - 1 ? &b->cases[first] : NULL;
    if (plain && strcmp(bench_case_path(plain)->name, "scalar")) plain = NULL;
    int32_t failed = want == OPEN_PLAN ? bench_case_plan(c, b->engine, op, call, isa, error)
                                       : judge_open(c, b->engine, op, call, isa, plain, error);
    if (!failed && b->backward) failed = backward_open(c, plain, b->backward, error);
    int held = want == OPEN_PLAN || want == OPEN_TIME;
    if (!failed && held) failed = open_rounds(b, c, want == OPEN_TIME, error);
    if (!failed && b->counter) failed = count_measure(c, b->counter, error);
    if (!failed) failed = rounds_interrupted(error);
    if (failed) open_drop(b);
    return failed;
}

/* The shape with what a backward reads. */
static int32_t add_reads(bench *b, const resolved *op, call_shape *shape, heed_error *error)
{
    if (!b->backward) return HEED_OK;
    if (!grow_room(&b->with, b->n_with, sizeof *b->with)) return error_memory(error);
    char *text = backward_with(op, shape, error);
    if (!text) return error->code;
    b->with[b->n_with++] = text;
    if (*text) shape->with = text;
    return HEED_OK;
}

int32_t open_shape(bench *b, const resolved *op, const call_shape *shape, uint32_t dtype,
                   const char *isa, int want, const char **failed_path, heed_error *error)
{
    const char *paths[PATHS_MAX];
    uint32_t n_paths = choose_paths(isa, b->engine, op->entry, paths), first = b->n_cases;
    call_shape whole = *shape;
    int32_t failed = add_reads(b, op, &whole, error);
    if (failed) return failed;
    operands *call = new_call(b, error);
    failed =
        call ? operands_make(call, op, &whole, dtype, want != OPEN_PLAN, error) : HEED_E_MEMORY;
    for (uint32_t p = 0; p < n_paths && !failed; p++) {
        progress_show(-1, "case %u, %s  %s", b->n_cases + 1, op->entry->op.id, call->text);
        failed = open_path(b, op, call, paths[p], want, first, error);
        if (failed && failed_path) *failed_path = paths[p];
    }
    if (call && b->n_cases == first) { /* nobody uses it */
        operands_free(call);
        free(call);
        b->n_calls--;
    }
    return failed;
}

/* Beside the scalar path, where that was run on the same text just before. */
static void judge_network(const bench *b, bench_case *c, uint32_t first)
{
    const bench_case *plain = &b->cases[first];
    if (plain == c || strcmp(bench_case_path(plain)->name, "scalar")) return;
    if (plain->hash != c->hash) c->max_error = network_difference(c->network, plain->network);
}

int32_t open_network(bench *b, const heed_options *options, const network_choice *choice, int timed,
                     heed_error *error)
{
    const char *isa = choice->isa, *path;
    const uint32_t first = b->n_cases;
    const int all = isa && !strcmp(isa, "all");
    int32_t failed = HEED_OK;
    for (uint32_t p = 0;
         !failed && (path = all   ? cpu_path(inspect_features(b->engine) & ~CPU_INEXACT, p)
                            : p   ? NULL
                            : isa ? isa
                                  : inspect_path(b->engine));
         p++) {
        network_choice one = *choice;
        one.isa = path;
        bench_case *c = open_case(b, error);
        if (!c) return HEED_E_MEMORY;
        progress_show(-1, "case %u, a network", b->n_cases);
        failed = network_open(c, options, &one, error);
        if (!failed) judge_network(b, c, first);
        if (!failed && timed) failed = open_rounds(b, c, 1, error);
        if (!failed && b->counter) failed = count_measure(c, b->counter, error);
        if (!failed) failed = rounds_interrupted(error);
        if (failed) open_drop(b);
    }
    return failed;
}

void open_free(bench *b)
{
    while (b->n_cases) open_drop(b);
    for (uint32_t i = 0; i < b->n_calls; i++) {
        operands_free(b->calls[i]);
        free(b->calls[i]);
    }
    for (uint32_t i = 0; i < b->n_with; i++) free(b->with[i]);
    free(b->with);
    free(b->cases);
    free(b->calls);
}
