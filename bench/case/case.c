/* SPDX-License-Identifier: MIT
 *
 * case.c: one op, one shape, one path: opened, its sequences filled, run, and what a call costs.
 */
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "bench/case/backward.h"
#include "bench/case/case.h"
#include "bench/case/network.h"
#include "command/operands.h"

/* ---- what it is called ---- */

const char *bench_case_spec(const bench_case *c)
{
    return c->network    ? network_spec(c->network)
           : c->backward ? backward_spec(c)
                         : heed_instance_spec(c->instance);
}
const char *bench_case_shape(const bench_case *c)
{
    return c->network ? network_shape(c->network) : c->call->text;
}
const char *bench_case_dtype(const bench_case *c)
{
    return heed_dtype_name(c->network ? HEED_F32 : c->call->dtype);
}
const heed_path *bench_case_path(const bench_case *c)
{
    return c->network ? network_path(c->network) : heed_instance_path(c->instance);
}
int bench_case_decodes(const bench_case *c)
{
    return c->network ? network_decodes(c->network) : c->call->stateful;
}

/* ---- a run ---- */

int32_t bench_case_run(const bench_case *c, heed_error *error)
{
    if (c->network) return network_run(c->network, error);
    if (c->backward) return backward_run(c, error);
    const operands *k = c->call;
    int32_t failed = heed_run(c->instance, k->in, k->n_in, k->out, k->n_out, c->sequences, error);
    for (int64_t b = 0; c->truncates && b < SHAPE_AXIS(&k->shape, 'B') && !failed; b++)
        failed = heed_sequence_truncate(c->sequences[b], shape_before(&k->shape), error);
    return failed;
}

/* Brings the sequences to what a call finds remembered: all that it is to see but its own. Where an
 * op has axis S, chunks of keys come with one query: what the queries give is not wanted. Forks are
 * made of the first sequence, which is filled alone. */
static int32_t fill_sequences(bench_case *c, const resolved *op, heed_error *error)
{
    const operands *call = c->call;
    const int64_t batch = SHAPE_AXIS(&call->shape, 'B'), filled = call->shape.forks ? 1 : batch;
    int64_t left = shape_before(&call->shape);
    int own_keys = 0;
    if (!(c->sequences = calloc((size_t)batch, sizeof *c->sequences))) return error_memory(error);
    for (int64_t b = 0; b < filled; b++)
        if (!(c->sequences[b] = heed_sequence_new(c->instance, call->shape.axis, error)))
            return error->code;
    for (uint32_t p = 0; p < call->entry->op.ports.count; p++)
        own_keys |= entry_has_axis(call->entry, p, 'S');
    operands *chunk = calloc(1, sizeof *chunk);
    int32_t failed = chunk ? HEED_OK : error_memory(error);
    for (int64_t n; left > 0 && !failed; left -= n) {
        n = left < BENCH_CHUNK ? left : BENCH_CHUNK;
        if (chunk->entry && SHAPE_AXIS(&chunk->shape, 'S') == n) {
            failed = heed_run(c->instance, chunk->in, chunk->n_in, chunk->out, chunk->n_out,
                              c->sequences, error);
            continue;
        }
        call_shape shape = call->shape;
        shape.decode = shape.fresh = shape.forks = 0;
        SHAPE_AXIS(&shape, 'B') = filled;
        SHAPE_AXIS(&shape, 'T') = own_keys ? 1 : n;
        SHAPE_AXIS(&shape, 'S') = n;
        operands_free(chunk);
        failed = operands_make(chunk, op, &shape, call->dtype, 1, error);
        if (!failed)
            failed = heed_run(c->instance, chunk->in, chunk->n_in, chunk->out, chunk->n_out,
                              c->sequences, error);
    }
    if (chunk) operands_free(chunk);
    free(chunk);
    for (int64_t b = filled; b < batch && !failed; b++)
        if (!(c->sequences[b] = heed_sequence_fork(c->sequences[0], error))) failed = error->code;
    return failed;
}

static int32_t open_instance(bench_case *c, heed_engine *engine, const resolved *op,
                             const operands *call, const char *isa, heed_error *error)
{
    *c = (bench_case){.call = call, .cost = {.flops = -1, .reach = -1}};
    c->instance = operands_open(call, engine, op, isa, error);
    return c->instance ? HEED_OK : error->code;
}

int32_t bench_case_start(bench_case *c, heed_engine *engine, const resolved *op,
                         const operands *call, const char *isa, heed_error *error)
{
    int32_t failed = open_instance(c, engine, op, call, isa, error);
    if (!failed && call->stateful) failed = fill_sequences(c, op, error);
    if (failed || !call->stateful) return failed;
    /* A recurrent state can not be put back. It need not be: a call costs the same, however many
     * came before. */
    failed =
        heed_run(c->instance, call->in, call->n_in, call->out, call->n_out, c->sequences, error);
    c->truncates = !failed;
    for (int64_t b = 0; c->truncates && b < SHAPE_AXIS(&call->shape, 'B'); b++) {
        int32_t refused =
            heed_sequence_truncate(c->sequences[b], shape_before(&call->shape), error);
        if (refused) c->truncates = 0;
        if (refused && refused != HEED_E_UNSUPPORTED) failed = refused;
    }
    return failed;
}

void bench_case_close(bench_case *c)
{
    for (int64_t b = 0; c->sequences && b < SHAPE_AXIS(&c->call->shape, 'B'); b++)
        heed_sequence_free(c->sequences[b]);
    network_close(c->network);
    backward_close(c->backward);
    free(c->sequences);
    free(c->seconds);
    free(c->crowded);
    free(c->memory);
    parts_free(&c->by_op);
    heed_instance_close(c->instance);
    *c = (bench_case){.call = NULL};
}

int32_t bench_case_plan(bench_case *c, heed_engine *engine, const resolved *op,
                        const operands *call, const char *isa, heed_error *error)
{
    int32_t failed = open_instance(c, engine, op, call, isa, error);
    return failed ? failed : cost_of_call(&c->cost, c->instance, c->call, c->sequences, error);
}
