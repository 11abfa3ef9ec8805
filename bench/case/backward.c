/* SPDX-License-Identifier: MIT
 *
 * backward.c: the backward of a case: gradients of whatever the op has some of, from those of its
 * outputs that are not optional. Gradients of weights add up from run to run, which takes no more
 * time.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/random.h"
#include "bench/bench.h"
#include "bench/case/backward.h"

struct bench_backward {
    heed_tensor tensor[PORT_MAX]; /* data NULL: not bound */
    heed_binding binding[PORT_MAX];
    uint32_t n;
    int what; /* BENCH_BACKWARD or BENCH_TRAINING_STEP */
    char *spec;
};

static const heed_grad *grad_of(const entry *e) { return heed_op_grad(&e->op, entry_path(e, 0)); }

char *backward_with(const resolved *op, const call_shape *shape, heed_error *error)
{
    const entry *e = op->entry;
    const heed_grad *grad = grad_of(e);
    const size_t said = shape->with ? strcspn(shape->with, ",") : 0;
    char *text = malloc(said + 1024), *end = text;
    if (!grad)
        error_set(error, HEED_E_UNSUPPORTED, "%s has no backward, which would be timed", e->op.id);
    else if (!text) error_memory(error);
    if (!grad || !text) return free(text), NULL;
    end += sprintf(end, "%.*s", (int)said, said ? shape->with : "");
    for (uint32_t p = 0; p < e->op.ports.count; p++) {
        const heed_port *port = entry_port(e, p);
        if (!(grad->reads >> p & 1) || !(port->flags & HEED_PORT_OPTIONAL) ||
            shape_takes(shape, port))
            continue;
        end += sprintf(end, "%s%.63s", end > text ? "+" : "", port->name);
    }
    return text;
}

static void free_tensors(bench_backward *b)
{
    for (uint32_t p = 0; p < PORT_MAX; p++) free(b->tensor[p].data);
}

void backward_close(bench_backward *b)
{
    if (!b) return;
    free_tensors(b);
    free(b->spec);
    free(b);
}

/* One gradient: zeros, or, of an output, numbers between -1 and 1. */
static int32_t bind(bench_backward *b, const operands *call, uint32_t p, heed_error *error)
{
    const heed_tensor *like = &call->tensor[p];
    heed_tensor *t = &b->tensor[p];
    *t = heed_tensor_of(NULL, HEED_F32, like->rank, like->dim);
    const int32_t failed = heed_tensor_alloc(t, error);
    if (failed) return failed;
    const int comes = entry_port(call->entry, p)->role == HEED_OUTPUT;
    for (int64_t i = 0, n = heed_tensor_elements(t); i < n; i++)
        ((float *)t->data)[i] = comes ? (float)(i * 7919 % 2048) / 1024 - 1 : 0.0f;
    b->binding[b->n++] = (heed_binding){entry_port(call->entry, p)->name, t};
    return HEED_OK;
}

static double bytes_of(const heed_tensor *t)
{
    return t->data ? (double)heed_tensor_elements(t) * (double)heed_dtype_bytes(t->dtype) : 0;
}

/* All that it reads and writes, once. */
static void set_cost(bench_case *c, const heed_grad *grad)
{
    const operands *call = c->call;
    double bytes = 0;
    for (uint32_t p = 0; p < call->entry->op.ports.count; p++) {
        const int out = entry_port(call->entry, p)->role == HEED_OUTPUT;
        bytes += bytes_of(&c->backward->tensor[p]);
        if (call->tensor[p].rank >= 0 && (!out || grad->reads >> p & 1))
            bytes += bytes_of(&call->tensor[p]);
    }
    const int step = c->backward->what == BENCH_TRAINING_STEP;
    if (c->cost.flops > 0) c->cost.flops *= BACKWARD_FLOPS + step;
    c->cost.bytes = bytes + (step ? c->cost.bytes : 0);
    c->cost.executed = 0;
    c->cost.algorithm = step ? "training step" : "backward";
}

/* Its hash, and the largest difference from another case's gradients. */
static void judge(bench_case *c, const bench_case *plain)
{
    const bench_backward *b = c->backward;
    c->hash = RANDOM_HASH;
    c->max_error = 0;
    for (uint32_t p = 0; p < c->call->entry->op.ports.count; p++) {
        const int comes = entry_port(c->call->entry, p)->role == HEED_OUTPUT;
        const heed_tensor *t = &b->tensor[p];
        if (!t->data || comes) continue;
        c->hash = random_hash(c->hash, t->data, t->bytes);
        for (int64_t i = 0; plain && plain->backward && i < heed_tensor_elements(t); i++) {
            const double x = (double)((const float *)t->data)[i],
                         y = (double)((const float *)plain->backward->tensor[p].data)[i];
            if (x != y && !(isnan(x) && isnan(y)))
                c->max_error = isnan(x - y) ? INFINITY : fmax(c->max_error, fabs(x - y));
        }
    }
}

int32_t backward_open(bench_case *c, const bench_case *plain, int what, heed_error *error)
{
    const operands *call = c->call;
    const heed_grad *grad = grad_of(call->entry);
    const char *spec = heed_instance_spec(c->instance);
    bench_backward *b = c->backward = calloc(1, sizeof *b);
    int32_t failed = HEED_OK;
    if (call->stateful)
        return error_set(error, HEED_E_UNSUPPORTED,
                         "%s: a call with a sequence has no backward; leave decode= out", spec);
    if (!b || !(b->spec = malloc(strlen(spec) + 16))) return error_memory(error);
    b->what = what;
    for (uint32_t p = 0; p < call->entry->op.ports.count && !failed; p++) {
        const heed_port *port = entry_port(call->entry, p);
        const int optional = port->role == HEED_OUTPUT && port->flags & HEED_PORT_OPTIONAL;
        if (call->tensor[p].rank >= 0 && (grad->gives | grad->takes) >> p & 1 && !optional)
            failed = bind(b, call, p, error);
    }
    if (!failed) failed = backward_run(c, error);
    if (failed) return failed;
    sprintf(b->spec, "%s %s", spec, what == BENCH_TRAINING_STEP ? "training step" : "backward");
    set_cost(c, grad);
    judge(c, plain);
    return HEED_OK;
}

int32_t backward_run(const bench_case *c, heed_error *error)
{
    const operands *k = c->call;
    const int32_t failed =
        c->backward->what == BENCH_TRAINING_STEP
            ? heed_run(c->instance, k->in, k->n_in, k->out, k->n_out, NULL, error)
            : HEED_OK;
    if (failed) return failed;
    return heed_backward(c->instance, k->in, k->n_in, k->out, k->n_out, c->backward->binding,
                         c->backward->n, error);
}

const char *backward_spec(const bench_case *c) { return c->backward->spec; }
