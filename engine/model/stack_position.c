/* SPDX-License-Identifier: MIT
 *
 * stack_position.c: where a stack's position op goes: what it acts on says so. On scores it becomes
 * a setting of each attention; on the input, or on queries and keys, it is an instance with steps of
 * its own. One op is shared by all layers, and acts on the input before the first; of a list each
 * layer has its own, which acts on the input before that layer.
 */
#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "base/grow.h"
#include "model/stack.h"
#include "model/stack_builder.h"
#include "model/stack_plan.h"
#include "model/stack_position.h"
#include "model/stack_step.h"
#include "model/stack_weights.h"
#include "model/stack_wiring.h"
#include "op/engine.h"
#include "op/registry.h"
#include "op/resolve.h"
#include "op/spec.h"

/* The text of the spec that an error about the position op shows. */
static const spec_node *place_of(const stack_builder *b)
{
    const stack_part *t = stack_plan_part(&b->plan, b->side, STACK_PART_POSITION);
    for (uint32_t i = 0; i < t->count; i++)
        if (t->op[i] == b->position_op) return t->node[i];
    return NULL;
}

/* A copy of the attention with the position op as its setting. */
static int32_t place_in_scores(stack_builder *b, const spec_node *node, resolved **op)
{
    const char *id = (*op)->entry->op.id, *name = b->position_op->entry->op.id;
    const spec_node *at = place_of(b);
    uint32_t p = 0, params = (*op)->entry->op.params.count;
    for (uint32_t i = 0; i < b->n_placed; i++)
        if (b->placed[i].attention == *op && b->placed[i].position == b->position_op)
            return *op = b->placed[i].both, HEED_OK;
    for (; p < params; p++) {
        const heed_param *param = entry_param((*op)->entry, p);
        if (param->type == HEED_PARAM_OP && !strcmp(param->choices, "position")) break;
    }
    if (p == params)
        return spec_error(b->plan.s, at->at, b->error,
                          "%s acts on scores, and %s has no setting for a position op", name, id);
    if ((*op)->child[p])
        return spec_error(b->plan.s, at->at, b->error, "%s has a position op of its own already",
                          id);
    stack_placed *slot = grow_append(&b->placed, &b->n_placed, sizeof *slot);
    if (!slot) return error_memory(b->error);
    *slot = (stack_placed){*op, b->position_op, NULL};
    const registry *r = &b->engine->registry;
    if (!(slot->both = resolve(r, b->plan.s, node, "attention", b->error)) ||
        !(slot->both->child[p] = resolve(r, b->plan.s, at, "position", b->error)))
        return b->error->code;
    slot->both->value[p].given = 1;
    *op = slot->both;
    return HEED_OK;
}

int32_t stack_position_place(stack_builder *b, const spec_node *node, resolved **op)
{
    const entry *e = (*op)->entry;
    if (b->acts == HEED_ACTS_SCORES) return place_in_scores(b, node, op);
    if (b->acts == HEED_ACTS_QK &&
        (!stack_step_port(e, "q", HEED_INPUT) || !stack_step_port(e, "k", HEED_INPUT)))
        return spec_error(b->plan.s, place_of(b)->at, b->error,
                          "%s acts on queries and keys, and %s takes none",
                          b->position_op->entry->op.id, e->op.id);
    return HEED_OK;
}

int32_t stack_position_begin(stack_builder *b, int64_t layer)
{
    const stack_part *t = stack_plan_part(&b->plan, b->side, STACK_PART_POSITION);
    const int64_t width = b->stack->number[STACK_WIDTH];
    int64_t axis[HEED_AXES];
    if (t->listed ? layer < 0 : layer >= 0) return HEED_OK;
    b->position_op = stack_plan_op(&b->plan, b->side, STACK_PART_POSITION, layer < 0 ? 0 : layer);
    b->acts = b->position_op ? b->position_op->entry->op.acts : HEED_ACTS_NOWHERE;
    b->position = NULL;
    if (!b->position_op) return HEED_OK;
    if (b->acts == HEED_ACTS_NOWHERE)
        return spec_error(b->plan.s, place_of(b)->at, b->error,
                          "%s does not say where it acts, so a stack can not use it",
                          b->position_op->entry->op.id);
    const char *prefix = stack_plan_prefix(b->side);
    if (layer < 0) snprintf(b->position_prefix, sizeof b->position_prefix, "%sposition.", prefix);
    else
        snprintf(b->position_prefix, sizeof b->position_prefix, "%slayers.%lld.position.", prefix,
                 (long long)layer);
    if (b->acts == HEED_ACTS_SCORES) return HEED_OK;
    const char *uneven = stack_plan_uneven(&b->plan);
    if (b->acts == HEED_ACTS_QK && layer < 0 && uneven && !strcmp(uneven, "head_width"))
        return spec_error(b->plan.s, place_of(b)->at, b->error,
                          "%s acts on queries and keys, whose head_width is not the same in all "
                          "layers: a list, position=[%s], is right here",
                          b->position_op->entry->op.id, b->position_op->entry->op.id);
    stack_step_axes(axis);
    if (b->acts == HEED_ACTS_INPUT) HEED_AXIS(axis, 'M') = width;
    else HEED_AXIS(axis, 'D') = stack_plan_number(&b->plan, b->side, STACK_HEAD_WIDTH, layer);
    if (b->source->make) HEED_AXIS(axis, 'C') = b->stack->number[STACK_CONTEXT];
    TRY(stack_weights_open(b, b->position_op, b->position_prefix, axis, &b->position));
    if (b->acts != HEED_ACTS_INPUT) return HEED_OK;
    uint32_t *x = &b->buffer[STACK_ROLE_X], *h = &b->buffer[STACK_ROLE_H];
    const uint32_t from = *x;
    TRY(stack_position_add(b, x, *h, 1, &width));
    if (*x != from) *h = from;
    return HEED_OK;
}

int32_t stack_position_add(stack_builder *b, uint32_t *from, uint32_t elsewhere, int32_t rank,
                           const int64_t *dim)
{
    const entry *e = b->position_op->entry;
    const heed_port *out = stack_step_port(e, "out", HEED_OUTPUT);
    int in_place = out && out->flags & HEED_PORT_IN_PLACE;
    stack_use in[2] = {{"x", 0}, {"positions", 0}};
    uint32_t to;
    TRY(stack_step_view(b, *from, rank, dim, &in[0].view));
    TRY(stack_step_positions(b, &in[1].view));
    if (!in_place) *from = elsewhere;
    TRY(stack_step_view(b, *from, rank, dim, &to));
    return stack_step_add(b, b->position, in, stack_step_port(e, "positions", HEED_INPUT) ? 2 : 1,
                          to, -1);
}
