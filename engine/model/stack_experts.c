/* SPDX-License-Identifier: MIT
 *
 * stack_experts.c: a mixture of experts, arXiv 1701.06538: a feed-forward of which there are several,
 * and each token goes to some of them:
 *
 *     shares = router(router.weight x)                 0: the token does not go there
 *     y = sum of shared_expert(x) + sum over experts of share expert(x)
 *
 * With a gate of the shared experts, theirs are times shared_gate(shared_gate.weight x).
 *
 * Any feed-forward op serves as expert, and knows nothing of it: it gets the rows that go to it, and no
 * other is computed. Sums are in the order of the experts, so a token's bits depend on no other one.
 */
#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "model/stack.h"
#include "model/stack_experts.h"
#include "model/stack_plan.h"
#include "model/stack_step.h"
#include "model/stack_weights.h"
#include "op/registry.h"
#include "op/resolve.h"
#include "op/spec.h"

/* How many there are: the router says so, or its matrix. */
static int32_t count_experts(stack_builder *b, const stack_sublayer *s, const resolved *router,
                             int64_t *count)
{
    const spec_node *node = stack_plan_node(&b->plan, b->side, STACK_PART_ROUTER, s->layer);
    const char *id = router->entry->op.id;
    int64_t axis[HEED_AXES];
    char name[64];
    stack_step_axes(axis);
    resolve_axes(router, axis, 1);
    *count = HEED_AXIS(axis, 'N');
    snprintf(name, sizeof name, "%srouter.weight", s->prefix);
    const heed_tensor *weight = b->source->find(b->source, name);
    if (*count < 0 && weight && weight->rank == 2) *count = weight->dim[0];
    if (*count < 0)
        return spec_error(b->plan.s, node->at, b->error,
                          "%s: how many experts there are is not known; experts=N tells", id);
    if (*count >= 1 && *count <= 65536) return HEED_OK;
    return spec_error(b->plan.s, node->at, b->error,
                      "%s: the tensor %s is of %lld experts; 1 to 65536 is right", id, name,
                      (long long)*count);
}

/* Which part of the rows an expert gets, if all get as many. A router's setting `k` says to how many a
 * token goes. */
static float part_of(const resolved *router, int64_t count)
{
    for (uint32_t p = 0; p < router->entry->op.params.count; p++)
        if (!strcmp(entry_param(router->entry, p)->key, "k"))
            return (float)router->value[p].i / (float)count;
    return 1;
}

/* Each token's share of each expert. */
static int32_t route(stack_builder *b, const stack_sublayer *s, const resolved *router,
                     uint32_t from, int64_t count)
{
    int64_t axis[HEED_AXES];
    heed_instance *i;
    uint32_t logits, shares;
    char name[64];
    snprintf(name, sizeof name, "%srouter.", s->prefix);
    TRY(stack_step_project(b, name, from, b->stack->number[STACK_WIDTH], STACK_ROUTED, count));
    stack_step_axes(axis);
    HEED_AXIS(axis, 'N') = count;
    snprintf(name, sizeof name, "%srouter.op.", s->prefix);
    TRY(stack_weights_open(b, router, name, axis, &i));
    TRY(stack_step_rows(b, STACK_ROUTED, count, &logits));
    TRY(stack_step_rows(b, STACK_SHARES, count, &shares));
    return stack_step_add(b, i, &(stack_use){"x", logits}, 1, shares, -1);
}

/* A token's share of the shared experts. */
static int32_t gate_shared(stack_builder *b, const stack_sublayer *s, const resolved *gate,
                           uint32_t from, uint32_t *share)
{
    int64_t axis[HEED_AXES];
    heed_instance *i;
    uint32_t in;
    char name[64];
    if (!stack_step_port(gate->entry, "gate", HEED_INPUT))
        return spec_error(
            b->plan.s,
            stack_plan_node(&b->plan, STACK_DECODER, STACK_PART_SHARED_GATE, s->layer)->at,
            b->error, "shared_gate takes an op with an input gate, and %s has none",
            gate->entry->op.id);
    snprintf(name, sizeof name, "%sshared_gate.", s->prefix);
    TRY(stack_step_project(b, name, from, b->stack->number[STACK_WIDTH], STACK_ROUTED, 1));
    stack_step_axes(axis);
    snprintf(name, sizeof name, "%sshared_gate.op.", s->prefix);
    TRY(stack_weights_open(b, gate, name, axis, &i));
    TRY(stack_step_view(b, STACK_ROUTED, 0, NULL, &in));
    TRY(stack_step_view(b, STACK_EXPERT_SHARE, 0, NULL, share));
    return stack_step_add(b, i, &(stack_use){"gate", in}, 1, *share, -1);
}

/* What all tokens get: the sum of the shared experts, or zeros. */
static int32_t apply_shared(stack_builder *b, const stack_sublayer *s, const resolved *op,
                            uint32_t from)
{
    const resolved *own =
        stack_plan_decoder_op(&b->plan, b->side, STACK_PART_SHARED_FEEDFORWARD, s->layer);
    const resolved *gate =
        stack_plan_decoder_op(&b->plan, b->side, STACK_PART_SHARED_GATE, s->layer);
    const int64_t shared = b->stack->number[STACK_SHARED_EXPERTS],
                  width = b->stack->number[STACK_WIDTH];
    const uint32_t y = b->buffer[STACK_ROLE_Y];
    uint32_t sum, out, share;
    char name[96];
    TRY(stack_step_rows(b, y, width, &sum));
    if (gate || shared <= 0) TRY(stack_step_move(b, &(stack_step){.what = STEP_CLEAR}, &sum, 1));
    if (gate) TRY(gate_shared(b, s, gate, from, &share));
    for (int64_t e = 0; e < shared; e++) {
        const uint32_t to = e || gate ? (uint32_t)STACK_EXPERT_OUT : y;
        snprintf(name, sizeof name, "%sshared_experts.%lld.", s->prefix, (long long)e);
        TRY(stack_step_map(b, own ? own : op, name, from, to));
        TRY(stack_step_rows(b, to, width, &out));
        if (gate)
            TRY(stack_step_add(b, b->share, (stack_use[]){{"x", sum}, {"y", out}, {"share", share}},
                               3, sum, -1));
        else if (e) TRY(stack_step_sum(b, b->add, y, to, y));
    }
    return HEED_OK;
}

/* One expert, of the rows that go to it. */
static int32_t apply_expert(stack_builder *b, const stack_sublayer *s, const resolved *op,
                            int64_t expert, const uint32_t *all)
{
    const int64_t width = b->stack->number[STACK_WIDTH];
    const uint32_t rows = b->rows;
    uint32_t share, in, sum, out;
    char name[96];
    b->rows = STACK_PICKED;
    TRY(stack_step_view(b, STACK_EXPERT_SHARE, 0, NULL, &share));
    TRY(stack_step_rows(b, STACK_EXPERT_IN, width, &in));
    TRY(stack_step_rows(b, STACK_EXPERT_SUM, width, &sum));
    TRY(stack_step_rows(b, STACK_EXPERT_OUT, width, &out));
    TRY(stack_step_move(b, &(stack_step){.what = STEP_PICK, .expert = (int32_t)expert},
                        (uint32_t[]){all[0], share, all[1], in, all[2], sum}, 6));
    snprintf(name, sizeof name, "%sexperts.%lld.", s->prefix, (long long)expert);
    TRY(stack_step_map(b, op, name, STACK_EXPERT_IN, STACK_EXPERT_OUT));
    TRY(stack_step_add(b, b->share, (stack_use[]){{"x", sum}, {"y", out}, {"share", share}}, 3, sum,
                       -1));
    TRY(stack_step_move(b, &(stack_step){.what = STEP_PUT}, (uint32_t[]){sum, all[2]}, 2));
    b->rows = rows;
    return HEED_OK;
}

int32_t stack_experts_apply(stack_builder *b, const stack_sublayer *s, uint32_t from)
{
    const resolved *op = stack_plan_op(&b->plan, b->side, STACK_PART_FEEDFORWARD, s->layer),
                   *router = stack_plan_op(&b->plan, b->side, STACK_PART_ROUTER, s->layer);
    const int64_t width = b->stack->number[STACK_WIDTH];
    int64_t count;
    uint32_t all[3];
    TRY(count_experts(b, s, router, &count));
    TRY(route(b, s, router, from, count));
    TRY(apply_shared(b, s, op, from));
    b->part = part_of(router, count);
    TRY(stack_step_rows(b, STACK_SHARES, count, &all[0]));
    TRY(stack_step_rows(b, from, width, &all[1]));
    TRY(stack_step_rows(b, b->buffer[STACK_ROLE_Y], width, &all[2]));
    for (int64_t e = 0; e < count; e++) TRY(apply_expert(b, s, op, e, all));
    return HEED_OK;
}
