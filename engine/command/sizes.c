/* SPDX-License-Identifier: MIT
 *
 * sizes.c: how large an op is for a shape: its parameters, what it remembers, what a call costs.
 */
#include <stdio.h>
#include <stdlib.h>

#include "base/error.h"
#include "command/sizes.h"
#include "inspect.h"

/* The state is that of pages; the reach and the flops are what the op tells (heed.cost/1). */
static int32_t measure(op_sizes *s, const heed_instance *instance, const operands *call,
                       heed_error *error)
{
    heed_state_size state;
    for (uint32_t i = 0; i < call->n_weights; i++)
        s->parameters += heed_tensor_elements(call->weights[i].tensor);
    int32_t failed = cost_of_call(&s->cost, instance, call, NULL, error);
    if (failed || !call->entry->op.measure_state) return failed;
    failed = inspect_state(instance, call->shape.axis, &state, error);
    if (failed) return failed;
    if (!state.page_tokens) s->state_fixed = (double)state.page_bytes;
    else s->state = (double)state.page_bytes / (double)state.page_tokens;
    if (state.page_tokens && state.recent) s->keeps = state.recent + state.first;
    return HEED_OK;
}

int32_t sizes_of(heed_engine *engine, const char *text, const call_shape *shape, op_sizes *s,
                 heed_error *error)
{
    operands *call = calloc(1, sizeof *call);
    heed_instance *instance = NULL;
    *s = (op_sizes){.keeps = -1, .cost = {.flops = -1, .bytes = -1, .reach = -1}};
    if (!call) return error_memory(error);
    resolved *op = inspect_resolve(engine, text, error);
    int32_t failed = op ? operands_make(call, op, shape, HEED_F32, 0, error) : error->code;
    if (!failed) failed = shape_given(shape, &call, 1, error);
    if (!failed && !(instance = operands_open(call, engine, op, NULL, error))) failed = error->code;
    if (!failed) failed = measure(s, instance, call, error);
    if (!failed) s->op = op->entry->op.id;
    snprintf(s->shape, sizeof s->shape, "%s", call->text);
    heed_instance_close(instance);
    operands_free(call);
    free(call);
    resolve_free(op);
    return failed;
}
