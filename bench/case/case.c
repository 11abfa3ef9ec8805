/* SPDX-License-Identifier: MIT
 *
 * case.c: one op, one shape, one path: opened, its sequences filled, run, and what a call costs.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "op/bind.h"
#include "op/engine.h"
#include "op/instance.h"
#include "op/registry.h"
#include "op/resolve.h"
#include "op/sequence.h"
#include "bench/case/case.h"
#include "bench/case/judge.h"
#include "bench/case/network.h"
#include "bench/case/shape.h"
#include "bench/case/tensors.h"

/* ---- what it is called ---- */

const char *bench_case_spec(const bench_case *c)
{
    return c->network ? network_spec(c->network) : heed_instance_spec(c->instance);
}
const char *bench_case_shape(const bench_case *c) { return c->network ? network_shape(c->network) : c->call->text; }
const char *bench_case_dtype(const bench_case *c) { return heed_dtype_name(c->network ? HEED_F32 : c->call->dtype); }
const heed_path *bench_case_path(const bench_case *c)
{
    return c->network ? network_path(c->network) : heed_instance_path(c->instance);
}
int bench_case_decodes(const bench_case *c) { return c->network ? network_steps(c->network) : c->call->stateful; }

/* ---- a run ---- */

int32_t bench_case_run(const bench_case *c, heed_error *error)
{
    if (c->network) return network_run(c->network, error);
    const bench_call *k = c->call;
    int32_t failed = heed_run(c->instance, k->in, k->n_in, k->out, k->n_out, c->sequences, error);
    for (int64_t b = 0; c->truncates && b < BENCH_AXIS(&k->shape, 'B') && !failed; b++)
        failed = heed_sequence_truncate(c->sequences[b], k->shape.decode - 1, error);
    return failed;
}

/* Brings the sequences to one key less than a call is to see. Where an op has axis S, chunks of keys come with one
 * query: what the queries give is not wanted. */
static int32_t fill_sequences(bench_case *c, const resolved *op, heed_error *error)
{
    const bench_call *call = c->call;
    int64_t batch = BENCH_AXIS(&call->shape, 'B'), left = call->shape.decode - 1;
    int own_keys = 0;
    if (!(c->sequences = calloc((size_t)batch, sizeof *c->sequences))) return error_memory(error);
    for (int64_t b = 0; b < batch; b++)
        if (!(c->sequences[b] = heed_sequence_new(c->instance, call->shape.axis, error))) return error->code;
    for (uint32_t p = 0; p < call->entry->op.ports.count; p++) own_keys |= bench_has_axis(call->entry, p, 'S');
    bench_call chunk = {.entry = NULL};
    int32_t failed = HEED_OK;
    for (int64_t n; left > 0 && !failed; left -= n) {
        n = left < BENCH_CHUNK ? left : BENCH_CHUNK;
        if (chunk.entry && BENCH_AXIS(&chunk.shape, 'S') == n) {
            failed = heed_run(c->instance, chunk.in, chunk.n_in, chunk.out, chunk.n_out, c->sequences, error);
            continue;
        }
        bench_shape shape = call->shape;
        shape.decode = 0;
        BENCH_AXIS(&shape, 'T') = own_keys ? 1 : n;
        BENCH_AXIS(&shape, 'S') = n;
        bench_call_free(&chunk);
        failed = bench_call_make(&chunk, op, &shape, call->dtype, 1, error);
        if (!failed) failed = heed_run(c->instance, chunk.in, chunk.n_in, chunk.out, chunk.n_out, c->sequences, error);
    }
    bench_call_free(&chunk);
    return failed;
}

/* T, B and S may differ from call to call, so the instance is not told. */
static int32_t open_instance(bench_case *c, heed_engine *engine, const resolved *op, const bench_call *call,
                             const char *isa, heed_error *error)
{
    int64_t axes[HEED_AXES];
    for (int a = 0; a < HEED_AXES; a++) axes[a] = strchr("BST", 'A' + a) ? -1 : call->shape.axis[a];
    heed_opening opening = {.size = sizeof opening, .n_weights = call->n_weights, .weights = call->weights,
                            .axes = axes, .isa = isa};
    *c = (bench_case){.call = call, .flops = -1, .reach = -1};
    return (c->instance = instance_make(engine, op, &opening, error)) ? HEED_OK : error->code;
}

int32_t bench_case_start(bench_case *c, heed_engine *engine, const resolved *op, const bench_call *call,
                         const char *isa, heed_error *error)
{
    int32_t failed = open_instance(c, engine, op, call, isa, error);
    if (!failed && call->stateful) failed = fill_sequences(c, op, error);
    if (failed || !call->stateful) return failed;
    /* A recurrent state can not be put back. It need not be: a call costs the same, however many came before. */
    failed = heed_run(c->instance, call->in, call->n_in, call->out, call->n_out, c->sequences, error);
    c->truncates = !failed;
    for (int64_t b = 0; c->truncates && b < BENCH_AXIS(&call->shape, 'B'); b++) {
        int32_t refused = heed_sequence_truncate(c->sequences[b], call->shape.decode - 1, error);
        if (refused) c->truncates = 0;
        if (refused && refused != HEED_E_UNSUPPORTED) failed = refused;
    }
    return failed;
}

void bench_case_close(bench_case *c)
{
    for (int64_t b = 0; c->sequences && b < BENCH_AXIS(&c->call->shape, 'B'); b++) heed_sequence_free(c->sequences[b]);
    network_close(c->network);
    free(c->sequences);
    free(c->seconds);
    free(c->crowded);
    free(c->memory);
    heed_instance_close(c->instance);
    *c = (bench_case){.call = NULL};
}

/* ---- what a call costs ---- */

/* The kind of mask that a port brings along. */
static uint32_t mask_of(const char *port)
{
    return !strcmp(port, "key_lengths") ? HEED_MASK_KEY_LENGTHS : !strcmp(port, "documents") ? HEED_MASK_DOCUMENTS : 0;
}

int32_t bench_direct_make(bench_direct *d, const bench_case *c, heed_error *error)
{
    const heed_instance *i = c->instance;
    const bench_call *k = c->call;
    int64_t batch = BENCH_AXIS(&k->shape, 'B');
    *d = (bench_direct){.mask = i->mask};
    bind_start(&d->set, i->entry, i->axis);
    int32_t failed = bind_role(&d->set, HEED_INPUT, k->in, k->n_in, 0, error);
    if (!failed) failed = bind_role(&d->set, HEED_OUTPUT, k->out, k->n_out, 0, error);
    if (failed) return failed;
    if (k->stateful && !(d->states = calloc((size_t)batch, sizeof *d->states))) return error_memory(error);
    d->planned = (heed_state){.size = sizeof d->planned, .length = k->shape.decode - 1};
    for (int64_t b = 0; d->states && b < batch; b++)
        d->states[b] = c->sequences ? sequence_view(c->sequences[b]) : &d->planned;
    d->mask.size = sizeof d->mask;
    for (uint32_t p = 0; p < i->entry->op.ports.count; p++)
        if (d->set.tensor[p]) d->mask.kinds |= mask_of(entry_port(i->entry, p)->name) & i->entry->op.masks;
    d->sink = (heed_sink){sizeof d->sink, sizeof d->text, d->text};
    d->call = (heed_call){.size = sizeof d->call, .lanes = heed_lanes(i->engine), .tensor = d->set.tensor,
                          .axis = d->set.axis, .value = i->value, .mask = &d->mask, .state = d->states,
                          .host = i->engine->host, .sink = &d->sink};
    heed_call_size size = {.size = sizeof size};
    failed = i->entry->op.measure_call ? i->entry->op.measure_call(i->memory, &d->call, &size) : HEED_OK;
    if (failed) return error_set(error, failed, "%s: %s", i->entry->op.id, d->text);
    uint64_t shared = (size.workspace + 63) & ~(uint64_t)63, stride = ((size.scratch + 4095) & ~(uint64_t)4095) + 64;
    if (!(d->memory = aligned_alloc(64, shared + stride * d->call.lanes + 64))) return error_memory(error);
    d->call.workspace = d->memory;
    d->call.scratch = (char *)d->memory + shared;
    d->call.scratch_stride = stride;
    return HEED_OK;
}

void bench_direct_free(bench_direct *d)
{
    free(d->states);
    free(d->memory);
    d->states = NULL;
    d->memory = NULL;
}

/* Bytes of the states that one decoding call finds: of a recurrent one its page, else those of the tokens that are
 * still kept. */
static int32_t add_state_bytes(bench_case *c, heed_error *error)
{
    heed_state_size state;
    int32_t failed = sequence_measure(c->instance, c->call->shape.axis, &state, error);
    if (failed) return failed;
    double tokens = (double)(c->call->shape.decode - 1), pages = 1;
    if (state.recent) tokens = fmin(tokens, (double)(state.recent + state.first));
    if (state.page_tokens) pages = tokens / (double)state.page_tokens;
    c->bytes += (double)BENCH_AXIS(&c->call->shape, 'B') * pages * (double)state.page_bytes;
    return HEED_OK;
}

/* By the op's heed.cost/1; without it, all tensors touched once, and the states read once. */
int32_t bench_case_cost(bench_case *c, heed_error *error)
{
    const bench_call *k = c->call;
    const heed_op *op = &k->entry->op;
    double touched = 0, written = 0;
    for (uint32_t p = 0; p < op->ports.count; p++) {
        if (k->tensor[p].rank < 0) continue;
        double bytes = (double)heed_tensor_elements(&k->tensor[p]) * heed_dtype_bytes(k->tensor[p].dtype);
        touched += bytes;
        if (entry_port(k->entry, p)->role == HEED_OUTPUT) written += bytes;
    }
    const heed_coster *coster = op->get_extension ? op->get_extension(HEED_COST_ID) : NULL;
    c->flops = -1;
    c->bytes = touched;
    int32_t failed = k->stateful ? add_state_bytes(c, error) : HEED_OK;
    if (failed) return failed;
    c->copies = !k->stateful && 4 * written >= c->bytes;
    if (!coster) return HEED_OK;
    bench_direct d;
    heed_cost cost = {.size = sizeof cost};
    failed = bench_direct_make(&d, c, error);
    if (!failed && (failed = coster->cost(c->instance->memory, &d.call, &cost)))
        error_set(error, failed, "%s: %s", op->id, d.text);
    bench_direct_free(&d);
    if (failed) return failed;
    c->flops = cost.flops;
    c->executed = cost.executed;
    c->reach = cost.receptive_field;
    c->algorithm = cost.algorithm;
    if (cost.bytes > 0) c->bytes = cost.bytes;
    c->copies = !k->stateful && 4 * written >= c->bytes;
    return HEED_OK;
}

int32_t bench_case_open(bench_case *c, heed_engine *engine, const resolved *op, const bench_call *call, const char *isa,
                        const bench_case *plain, heed_error *error)
{
    int32_t failed = bench_case_start(c, engine, op, call, isa, error);
    if (!failed) failed = bench_case_run(c, error);
    if (failed) return failed;
    c->ran = 1;
    c->hash = judge_hash(call);
    failed = bench_case_cost(c, error);
    return failed ? failed : judge(c, engine, op, isa, plain, error);
}

int32_t bench_case_plan(bench_case *c, heed_engine *engine, const resolved *op, const bench_call *call, const char *isa,
                        heed_error *error)
{
    int32_t failed = open_instance(c, engine, op, call, isa, error);
    return failed ? failed : bench_case_cost(c, error);
}
