/* SPDX-License-Identifier: MIT
 *
 * stack_position.c: where a stack's position op goes: what it acts on says so. On scores it becomes
 * a setting of each attention; on the input, or on queries and keys, it is one instance with steps
 * of its own.
 */
#include <string.h>

#include "base/error.h"
#include "model/stack.h"
#include "model/stack_builder.h"
#include "model/stack_plan.h"
#include "model/stack_position.h"
#include "model/stack_step.h"
#include "model/stack_weights.h"
#include "op/engine.h"
#include "op/registry.h"
#include "op/resolve.h"
#include "op/spec.h"

/* Puts the position op into the attention as its setting. */
static int32_t place_in_scores(stack_builder *b, uint32_t item)
{
    const stack_part *attention = &b->plan.parts[STACK_PART_ATTENTION],
                     *position = &b->plan.parts[STACK_PART_POSITION];
    resolved *op = attention->op[item];
    const char *id = op->entry->op.id, *name = position->op[0]->entry->op.id;
    uint32_t p = 0, params = op->entry->op.params.count;
    for (; p < params; p++) {
        const heed_param *param = entry_param(op->entry, p);
        if (param->type == HEED_PARAM_OP && !strcmp(param->choices, "position")) break;
    }
    if (p == params)
        return spec_error(b->plan.s, position->node[0]->at, b->error,
                          "%s acts on scores, and %s has no setting for a position op", name, id);
    if (op->child[p])
        return spec_error(b->plan.s, position->node[0]->at, b->error,
                          "%s has a position op of its own already", id);
    op->child[p] =
        resolve(&b->engine->registry, b->plan.s, position->node[0], "position", b->error);
    if (!op->child[p]) return b->error->code;
    op->value[p].given = 1;
    return HEED_OK;
}

int32_t stack_position_place(stack_builder *b)
{
    const stack_part *attention = &b->plan.parts[STACK_PART_ATTENTION],
                     *position = &b->plan.parts[STACK_PART_POSITION];
    if (!position->count) return HEED_OK;
    const char *name = position->op[0]->entry->op.id;
    b->acts = position->op[0]->entry->op.acts;
    if (b->acts == HEED_ACTS_NOWHERE)
        return spec_error(b->plan.s, position->node[0]->at, b->error,
                          "%s does not say where it acts, so a stack can not use it", name);
    for (uint32_t i = 0; i < attention->count; i++) {
        const entry *e = attention->op[i]->entry;
        if (b->acts == HEED_ACTS_SCORES) TRY(place_in_scores(b, i));
        if (b->acts == HEED_ACTS_QK &&
            (!stack_step_port(e, "q", HEED_INPUT) || !stack_step_port(e, "k", HEED_INPUT)))
            return spec_error(b->plan.s, position->node[0]->at, b->error,
                              "%s acts on queries and keys, and %s takes none", name, e->op.id);
    }
    return HEED_OK;
}

int32_t stack_position_open(stack_builder *b)
{
    int64_t axis[HEED_AXES];
    if (b->acts != HEED_ACTS_INPUT && b->acts != HEED_ACTS_QK) return HEED_OK;
    stack_step_axes(axis);
    if (b->acts == HEED_ACTS_INPUT) HEED_AXIS(axis, 'M') = b->stack->number[STACK_WIDTH];
    else HEED_AXIS(axis, 'D') = b->stack->number[STACK_HEAD_WIDTH];
    return stack_weights_open(b, b->plan.parts[STACK_PART_POSITION].op[0], "position.", axis,
                              &b->position);
}

int32_t stack_position_add(stack_builder *b, uint32_t *from, uint32_t elsewhere, int32_t rank,
                           const int64_t *dim)
{
    const entry *e = b->plan.parts[STACK_PART_POSITION].op[0]->entry;
    const heed_port *out = stack_step_port(e, "out", HEED_OUTPUT);
    int in_place = out && out->flags & HEED_PORT_IN_PLACE;
    stack_use in[2] = {{"x", 0}, {"positions", 0}};
    uint32_t to;
    TRY(stack_step_view(b, *from, 0, rank, dim, &in[0].view));
    TRY(stack_step_view(b, STACK_POSITIONS, 0, 0, NULL, &in[1].view));
    if (!in_place) *from = elsewhere;
    TRY(stack_step_view(b, *from, 0, rank, dim, &to));
    return stack_step_add(b, b->position, in, stack_step_port(e, "positions", HEED_INPUT) ? 2 : 1,
                          to, -1);
}
