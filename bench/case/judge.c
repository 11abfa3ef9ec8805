/* SPDX-License-Identifier: MIT
 *
 * judge.c: a case against the scalar path, so that nobody times nonsense. Truth itself is the tests' affair.
 */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "op/registry.h"
#include "op/resolve.h"
#include "bench/case/case.h"
#include "bench/case/judge.h"
#include "bench/case/shape.h"
#include "bench/case/tensors.h"

#define WORK_MAX 1e8 /* flops, more or less, that the scalar path is given */

static int is_output(const bench_call *c, uint32_t port)
{
    return c->tensor[port].rank >= 0 && entry_port(c->entry, port)->role == HEED_OUTPUT;
}

uint64_t judge_hash(const bench_call *c)
{
    uint64_t hash = BENCH_HASH_START;
    for (uint32_t p = 0; p < c->entry->op.ports.count; p++)
        if (is_output(c, p)) hash = bench_hash(hash, c->tensor[p].data, c->tensor[p].bytes);
    return hash;
}

/* The largest difference of two calls' outputs; infinite where one has a NaN and the other has not. */
static double difference(const bench_call *a, const bench_call *b)
{
    double largest = 0;
    for (uint32_t p = 0; p < a->entry->op.ports.count; p++) {
        if (!is_output(a, p)) continue;
        int64_t n = heed_tensor_elements(&a->tensor[p]);
        for (int64_t i = 0; i < n; i++) {
            double x = bench_element(&a->tensor[p], i), y = bench_element(&b->tensor[p], i), d = fabs(x - y);
            if (x == y || (isnan(x) && isnan(y))) continue;
            largest = isnan(d) ? INFINITY : fmax(largest, d);
        }
    }
    return largest;
}

/* Halves the largest size that is not one of a weight; 0 if all are 1. */
static int halve(const entry *e, bench_shape *s)
{
    int64_t *sizes[HEED_MAX_RANK + 4], largest = 1;
    int n = 0;
    for (const char *a = "BTS"; *a; a++) {
        int of_weight = 0;
        for (uint32_t p = 0; p < e->op.ports.count; p++)
            of_weight |= entry_port(e, p)->role == HEED_WEIGHT && bench_has_axis(e, p, *a);
        if (!of_weight) sizes[n++] = &BENCH_AXIS(s, *a);
    }
    for (int i = 0; i < s->n_leading; i++) sizes[n++] = &s->leading[i];
    sizes[n++] = &s->decode;
    for (int i = 0; i < n; i++)
        if (*sizes[i] > largest) largest = *sizes[i];
    for (int i = 0; i < n; i++)
        if (*sizes[i] == largest) *sizes[i] = largest / 2;
    return largest > 1;
}

/* What a path is given to do, the filling of sequences included. */
static double work(const bench_case *c)
{
    double once = c->flops > 4 * c->bytes ? c->flops : 4 * c->bytes;
    return c->call->stateful ? once * (double)(c->call->shape.decode / BENCH_CHUNK + 1) : once;
}

/* Makes the shape smaller, until the scalar path is done in a moment. Tensors have no data. */
static int32_t reduce(bench_call *shapes, const bench_case *c, heed_error *error)
{
    bench_case smaller = *c;
    int32_t failed = HEED_OK;
    *shapes = *c->call;
    smaller.call = shapes;
    while (!failed && work(&smaller) > WORK_MAX && halve(shapes->entry, &shapes->shape)) {
        bench_call_shapes(shapes);
        if (shapes->stateful) { /* its sequences are those of the full shape */
            double share = (double)(shapes->shape.decode * BENCH_AXIS(&shapes->shape, 'B')) /
                           (double)(c->call->shape.decode * BENCH_AXIS(&c->call->shape, 'B'));
            smaller.flops = c->flops * share;
            smaller.bytes = c->bytes * share;
        } else {
            failed = bench_case_cost(&smaller, error);
        }
    }
    return failed;
}

/* One run on a path, on tensors of its own. */
static int32_t run_once(bench_call *call, heed_engine *engine, const resolved *op, const bench_shape *shape,
                        uint32_t dtype, const char *isa, heed_error *error)
{
    bench_case c = {.call = NULL};
    int32_t failed = bench_call_make(call, op, shape, dtype, 1, error);
    if (!failed) failed = bench_case_start(&c, engine, op, call, isa, error);
    if (!failed) failed = bench_case_run(&c, error);
    if (c.call) bench_case_close(&c);
    return failed;
}

int32_t judge(bench_case *c, heed_engine *engine, const resolved *op, const char *isa, const bench_case *before,
              heed_error *error)
{
    const bench_call *full = c->call;
    bench_call shapes, ours = {.entry = NULL}, plain = {.entry = NULL};
    snprintf(c->judged, sizeof c->judged, "%s", full->text);
    if (before && before->hash == c->hash) return HEED_OK;
    int32_t failed = reduce(&shapes, c, error);
    if (failed) return failed;
    snprintf(c->judged, sizeof c->judged, "%s", shapes.text);
    int reduced = strcmp(shapes.text, full->text) != 0;
    if (!strcmp(heed_instance_path(c->instance)->name, "scalar")) return HEED_OK;
    if (reduced) failed = run_once(&ours, engine, op, &shapes.shape, full->dtype, isa, error);
    if (!failed) failed = run_once(&plain, engine, op, &shapes.shape, full->dtype, "scalar", error);
    if (!failed) {
        const bench_call *mine = reduced ? &ours : full;
        c->max_error = judge_hash(mine) == judge_hash(&plain) ? 0 : difference(mine, &plain);
    }
    bench_call_free(&ours);
    bench_call_free(&plain);
    return failed;
}
