/* SPDX-License-Identifier: MIT
 *
 * sizes.c: how large an op is for a shape, for heed describe: its parameters, what it remembers, what a call costs. It
 * is opened with weights of the benchmark, and not run.
 */
#include <stdio.h>

#include "op/registry.h"
#include "op/resolve.h"
#include "op/sequence.h"
#include "op/spec.h"
#include "bench/case/case.h"
#include "bench/case/open.h"
#include "bench/case/shape.h"
#include "bench/case/sizes.h"
#include "bench/case/tensors.h"

/* The state is that of pages; the reach and the flops are what the op tells (heed.cost/1). */
static int32_t measure(bench_sizes *s, const bench_case *c, heed_error *error)
{
    heed_state_size state;
    for (uint32_t i = 0; i < c->call->n_weights; i++) s->parameters += heed_tensor_elements(c->call->weights[i].tensor);
    s->flops = c->flops, s->executed = c->executed, s->bytes = c->bytes, s->reach = c->reach;
    if (!c->call->entry->op.measure_state) return HEED_OK;
    int32_t failed = sequence_measure(c->instance, c->call->shape.axis, &state, error);
    if (failed) return failed;
    if (!state.page_tokens) s->state_fixed = (double)state.page_bytes;
    else s->state = (double)state.page_bytes / (double)state.page_tokens;
    if (state.page_tokens && state.recent) s->keeps = state.recent + state.first;
    return HEED_OK;
}

int32_t bench_sizes_of(heed_engine *engine, const char *text, const bench_shape *shape, bench_sizes *s,
                       heed_error *error)
{
    spec *tree = NULL;
    bench_call call = {.entry = NULL};
    bench_case c = {.call = NULL};
    *s = (bench_sizes){.keeps = -1, .flops = -1, .bytes = -1, .reach = -1};
    resolved *op = open_spec(engine, text, &tree, error);
    int32_t failed = op ? bench_call_make(&call, op, shape, HEED_F32, 0, error) : error->code;
    if (!failed) failed = bench_shape_given(shape, &(bench_call *){&call}, 1, error);
    if (!failed) failed = bench_case_plan(&c, engine, op, &call, NULL, error);
    if (!failed) failed = measure(s, &c, error);
    if (!failed) s->op = op->entry->op.id;
    snprintf(s->shape, sizeof s->shape, "%s", call.text);
    if (c.call) bench_case_close(&c);
    bench_call_free(&call);
    resolve_free(op);
    spec_free(tree);
    return failed;
}
