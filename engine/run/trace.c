/* SPDX-License-Identifier: MIT
 *
 * trace.c: calls and tiles with their times. It stands between the calls and the host that runs
 * their tiles, as a host of its own, so that no op and no pool knows of it.
 *
 * A lane writes only to its own list, and two tiles of one lane never run at once, so there is no
 * lock. What does not fit, or finds no memory, is counted: a trace never makes a call fail.
 */
#include <stdatomic.h>
#include <stdlib.h>
#include <time.h>

#include "base/error.h"
#include "base/grow.h"
#include "run/trace.h"

typedef struct lane {
    _Alignas(64) trace_tile *tiles;
    uint32_t n;
    uint64_t lost;
} lane;

struct trace {
    heed_host table;
    const heed_host *own;
    const volatile sig_atomic_t *stop;
    trace_call *calls;
    uint32_t n_calls, n_lanes;
    uint64_t lost; /* of the calls */
    int64_t layer;
    lane *lanes;
};

int64_t trace_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

/* ---- the host ---- */

typedef struct job {
    trace *trace;
    heed_tile_fn fn;
    void *arg;
} job;

static void tile(void *arg, int64_t i, uint32_t number)
{
    const job *j = arg;
    const trace *t = j->trace;
    int64_t begin = trace_now();
    j->fn(j->arg, i, number);
    int64_t end = trace_now();
    if (number >= t->n_lanes) return;
    lane *l = &t->lanes[number];
    trace_tile *slot =
        l->n < TRACE_MOST / t->n_lanes ? grow_append(&l->tiles, &l->n, sizeof *slot) : NULL;
    if (slot) *slot = (trace_tile){begin, end, i, t->n_calls};
    else l->lost++;
}

static trace *trace_of(const heed_host *table) { return table->self; }

static int32_t parallel_for(const heed_host *table, int64_t tiles, heed_tile_fn fn, void *arg)
{
    trace *t = trace_of(table);
    job j = {t, fn, arg};
    return t->own->parallel_for(t->own, tiles, tile, &j);
}

static void log_line(const heed_host *table, uint32_t level, const char *text)
{
    const heed_host *own = trace_of(table)->own;
    own->log(own, level, text);
}

static int32_t cancelled(const heed_host *table)
{
    const trace *t = trace_of(table);
    return (t->stop && *t->stop) || t->own->cancelled(t->own);
}

static const void *extension(const heed_host *table, const char *id)
{
    const heed_host *own = trace_of(table)->own;
    return own->get_extension(own, id);
}

/* ---- the trace ---- */

trace *trace_new(const heed_host *host, uint32_t lanes, const volatile sig_atomic_t *stop,
                 heed_error *error)
{
    trace *t = calloc(1, sizeof *t);
    lane *all = t ? aligned_alloc(_Alignof(lane), lanes * sizeof *all) : NULL;
    if (!all) {
        free(t);
        error_memory(error);
        return NULL;
    }
    for (uint32_t i = 0; i < lanes; i++) all[i] = (lane){.n = 0};
    *t = (trace){.own = host, .stop = stop, .n_lanes = lanes, .layer = -1, .lanes = all};
    t->table = (heed_host){sizeof t->table, 0, t, parallel_for, log_line, cancelled, extension};
    return t;
}

void trace_free(trace *t)
{
    if (!t) return;
    for (uint32_t i = 0; i < t->n_lanes; i++) free(t->lanes[i].tiles);
    free(t->lanes);
    free(t->calls);
    free(t);
}

const heed_host *trace_host(const trace *t) { return &t->table; }
const heed_host *trace_former(const trace *t) { return t->own; }

void trace_clear(trace *t)
{
    t->n_calls = 0, t->lost = 0, t->layer = -1;
    for (uint32_t i = 0; i < t->n_lanes; i++) t->lanes[i].n = 0, t->lanes[i].lost = 0;
}

void trace_layer(trace *t, int64_t layer) { t->layer = layer; }

void trace_add(trace *t, trace_call call)
{
    call.layer = t->layer;
    trace_call *slot =
        t->n_calls < TRACE_MOST ? grow_append(&t->calls, &t->n_calls, sizeof *slot) : NULL;
    if (slot) *slot = call;
    else t->lost++;
}

const trace_call *trace_calls(const trace *t, uint32_t *n) { return *n = t->n_calls, t->calls; }

const trace_tile *trace_tiles(const trace *t, uint32_t lane, uint32_t *n)
{
    return *n = t->lanes[lane].n, t->lanes[lane].tiles;
}

uint32_t trace_lanes(const trace *t) { return t->n_lanes; }

uint64_t trace_lost(const trace *t)
{
    uint64_t lost = t->lost;
    for (uint32_t i = 0; i < t->n_lanes; i++) lost += t->lanes[i].lost;
    return lost;
}
