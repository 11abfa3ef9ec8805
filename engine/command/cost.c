/* SPDX-License-Identifier: MIT
 *
 * cost.c: what one call of an op costs, and the call as its path gets it.
 */
#include <math.h>
#include <stdlib.h>

#include "base/error.h"
#include "command/cost.h"
#include "inspect.h"

/* ---- a call by hand ---- */

static int32_t add_states(direct_call *d, const operands *call, heed_sequence *const *sequences,
                          heed_error *error)
{
    int64_t batch = SHAPE_AXIS(&call->shape, 'B');
    if (!call->stateful) return HEED_OK;
    if (!(d->states = calloc((size_t)batch, sizeof *d->states))) return error_memory(error);
    d->planned = (heed_state){.size = sizeof d->planned, .length = shape_before(&call->shape)};
    for (int64_t b = 0; b < batch; b++)
        d->states[b] = sequences ? inspect_sequence(sequences[b]) : &d->planned;
    d->call->state = d->states;
    return HEED_OK;
}

static int32_t add_workspace(direct_call *d, const heed_instance *instance, const heed_op *op,
                             heed_error *error)
{
    heed_call_size size = {.size = sizeof size};
    int32_t failed = HEED_OK;
    if (op->measure_call) failed = op->measure_call(inspect_memory(instance), d->call, &size);
    if (failed) return error_set(error, failed, "%s: %s", op->id, d->call->sink->text);
    uint64_t shared = (size.workspace + 63) & ~(uint64_t)63;
    uint64_t stride = ((size.scratch + 4095) & ~(uint64_t)4095) + 64;
    d->memory = aligned_alloc(64, shared + stride * d->call->lanes + 64);
    if (!d->memory) return error_memory(error);
    d->call->workspace = d->memory;
    d->call->scratch = (char *)d->memory + shared;
    d->call->scratch_stride = stride;
    return HEED_OK;
}

int32_t direct_make(direct_call *d, const heed_instance *instance, const operands *call,
                    heed_sequence *const *sequences, heed_error *error)
{
    *d = (direct_call){.call = inspect_call(instance, call->in, call->n_in, call->out, call->n_out,
                                            error)};
    if (!d->call) return error->code;
    int32_t failed = add_states(d, call, sequences, error);
    return failed ? failed : add_workspace(d, instance, &call->entry->op, error);
}

void direct_free(direct_call *d)
{
    inspect_call_free(d->call);
    free(d->states);
    free(d->memory);
    *d = (direct_call){.call = NULL};
}

/* ---- cost ---- */

/* All tensors once. */
static double touched(const operands *call, double *written)
{
    double all = 0;
    *written = 0;
    for (uint32_t p = 0; p < call->entry->op.ports.count; p++) {
        const heed_tensor *t = &call->tensor[p];
        if (t->rank < 0) continue;
        double bytes = (double)heed_tensor_elements(t) * heed_dtype_bytes(t->dtype);
        all += bytes;
        if (entry_port(call->entry, p)->role == HEED_OUTPUT) *written += bytes;
    }
    return all;
}

/* Bytes of the states that one decoding call finds: of a recurrent one its page, else those of the
 * tokens that are still kept. */
static int32_t add_states_read(call_cost *cost, const heed_instance *instance, const operands *call,
                               heed_error *error)
{
    heed_state_size state;
    int32_t failed = inspect_state(instance, call->shape.axis, &state, error);
    if (failed) return failed;
    double tokens = (double)(shape_before(&call->shape)), pages = 1;
    if (state.recent) tokens = fmin(tokens, (double)(state.recent + state.first));
    if (state.page_tokens) pages = tokens / (double)state.page_tokens;
    cost->bytes += (double)SHAPE_AXIS(&call->shape, 'B') * pages * (double)state.page_bytes;
    return HEED_OK;
}

int32_t cost_of_call(call_cost *cost, const heed_instance *instance, const operands *call,
                     heed_sequence *const *sequences, heed_error *error)
{
    const heed_op *op = &call->entry->op;
    const heed_coster *coster = op->get_extension ? op->get_extension(HEED_COST_ID) : NULL;
    heed_cost told = {.size = sizeof told};
    double written;
    direct_call d;
    *cost = (call_cost){.flops = -1, .reach = -1, .bytes = touched(call, &written)};
    int32_t failed = call->stateful ? add_states_read(cost, instance, call, error) : HEED_OK;
    if (failed) return failed;
    cost->copies = !call->stateful && 4 * written >= cost->bytes;
    if (!coster) return HEED_OK;
    failed = direct_make(&d, instance, call, sequences, error);
    if (!failed && (failed = coster->cost(inspect_memory(instance), d.call, &told)))
        error_set(error, failed, "%s: %s", op->id, d.call->sink->text);
    direct_free(&d);
    if (failed) return failed;
    cost->flops = told.flops;
    cost->executed = told.executed;
    cost->reach = told.receptive_field;
    cost->algorithm = told.algorithm;
    if (told.bytes > 0) cost->bytes = told.bytes;
    cost->copies = !call->stateful && 4 * written >= cost->bytes;
    return HEED_OK;
}
