/* SPDX-License-Identifier: MIT
 *
 * judge.c: a case against the scalar path, so that nobody times nonsense. Truth itself is the
 * tests' affair.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/random.h"
#include "bench/case/case.h"
#include "bench/case/judge.h"
#include "command/cost.h"
#include "command/operands.h"

#define WORK_MAX 1e8 /* flops, more or less, that the scalar path is given */

static int is_output(const operands *c, uint32_t port)
{
    return c->tensor[port].rank >= 0 && entry_port(c->entry, port)->role == HEED_OUTPUT;
}

uint64_t judge_hash(const operands *c)
{
    uint64_t hash = RANDOM_HASH;
    for (uint32_t p = 0; p < c->entry->op.ports.count; p++)
        if (is_output(c, p)) hash = random_hash(hash, c->tensor[p].data, c->tensor[p].bytes);
    return hash;
}

/* The largest difference of two calls' outputs; infinite where one has a NaN and the other has
 * not. */
static double difference(const operands *a, const operands *b)
{
    double largest = 0;
    for (uint32_t p = 0; p < a->entry->op.ports.count; p++) {
        if (!is_output(a, p)) continue;
        int64_t n = heed_tensor_elements(&a->tensor[p]);
        for (int64_t i = 0; i < n; i++) {
            double x = operands_element(&a->tensor[p], i), y = operands_element(&b->tensor[p], i),
                   d = fabs(x - y);
            if (x == y || (isnan(x) && isnan(y))) continue;
            largest = isnan(d) ? INFINITY : fmax(largest, d);
        }
    }
    return largest;
}

/* Halves the largest size that is not one of a weight; 0 if all are 1. */
static int halve(const entry *e, call_shape *s)
{
    int64_t *sizes[HEED_MAX_RANK + 4], largest = 1;
    int n = 0;
    for (const char *a = "BTS"; *a; a++) {
        int of_weight = 0;
        for (uint32_t p = 0; p < e->op.ports.count; p++)
            of_weight |= entry_port(e, p)->role == HEED_WEIGHT && entry_has_axis(e, p, *a);
        if (!of_weight) sizes[n++] = &SHAPE_AXIS(s, *a);
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
    double once = c->cost.flops > 4 * c->cost.bytes ? c->cost.flops : 4 * c->cost.bytes;
    return c->call->stateful ? once * (double)(c->call->shape.decode / BENCH_CHUNK + 1) : once;
}

/* Makes the shape smaller, until the scalar path is done in a moment. Tensors have no data. */
static int32_t reduce(operands *shapes, const bench_case *c, heed_error *error)
{
    bench_case smaller = *c;
    int32_t failed = HEED_OK;
    *shapes = *c->call;
    smaller.call = shapes;
    while (!failed && work(&smaller) > WORK_MAX && halve(shapes->entry, &shapes->shape)) {
        operands_shapes(shapes);
        if (shapes->stateful) { /* its sequences are those of the full shape */
            double share = (double)(shapes->shape.decode * SHAPE_AXIS(&shapes->shape, 'B')) /
                           (double)(c->call->shape.decode * SHAPE_AXIS(&c->call->shape, 'B'));
            smaller.cost.flops = c->cost.flops * share;
            smaller.cost.bytes = c->cost.bytes * share;
        } else {
            failed = cost_of_call(&smaller.cost, smaller.instance, shapes, NULL, error);
        }
    }
    return failed;
}

/* One run on a path, on tensors of its own. */
static int32_t run_once(operands *call, heed_engine *engine, const resolved *op,
                        const call_shape *shape, uint32_t dtype, const char *isa, heed_error *error)
{
    bench_case c = {.call = NULL};
    int32_t failed = operands_make(call, op, shape, dtype, 1, error);
    if (!failed) failed = bench_case_start(&c, engine, op, call, isa, error);
    if (!failed) failed = bench_case_run(&c, error);
    if (c.call) bench_case_close(&c);
    return failed;
}

/* `room`: of the reduced shapes, of this path's run on them and of the scalar one's. */
static int32_t judge_in(operands room[3], bench_case *c, heed_engine *engine, const resolved *op,
                        const char *isa, heed_error *error)
{
    const operands *full = c->call;
    operands *shapes = &room[0], *ours = &room[1], *plain = &room[2];
    int32_t failed = reduce(shapes, c, error);
    if (failed) return failed;
    snprintf(c->judged, sizeof c->judged, "%s", shapes->text);
    int reduced = strcmp(shapes->text, full->text) != 0;
    if (!strcmp(heed_instance_path(c->instance)->name, "scalar")) return HEED_OK;
    if (reduced) failed = run_once(ours, engine, op, &shapes->shape, full->dtype, isa, error);
    if (!failed) failed = run_once(plain, engine, op, &shapes->shape, full->dtype, "scalar", error);
    if (!failed) {
        const operands *mine = reduced ? ours : full;
        c->max_error = judge_hash(mine) == judge_hash(plain) ? 0 : difference(mine, plain);
    }
    operands_free(ours);
    operands_free(plain);
    return failed;
}

static int32_t judge(bench_case *c, heed_engine *engine, const resolved *op, const char *isa,
                     const bench_case *before, heed_error *error)
{
    snprintf(c->judged, sizeof c->judged, "%s", c->call->text);
    if (before && before->hash == c->hash) return HEED_OK;
    operands *room = calloc(3, sizeof *room);
    if (!room) return error_memory(error);
    const int32_t failed = judge_in(room, c, engine, op, isa, error);
    free(room);
    return failed;
}

int32_t judge_open(bench_case *c, heed_engine *engine, const resolved *op, const operands *call,
                   const char *isa, const bench_case *plain, heed_error *error)
{
    int32_t failed = bench_case_start(c, engine, op, call, isa, error);
    if (!failed) failed = bench_case_run(c, error);
    if (failed) return failed;
    c->ran = 1;
    c->hash = judge_hash(call);
    failed = cost_of_call(&c->cost, c->instance, c->call, c->sequences, error);
    return failed ? failed : judge(c, engine, op, isa, plain, error);
}
