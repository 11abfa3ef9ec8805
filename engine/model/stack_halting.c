/* SPDX-License-Identifier: MIT
 *
 * stack_halting.c: what stands around a layer where tokens halt: adaptive computation time, arXiv
 * 1603.08983, position by position as the Universal Transformer has it, arXiv 1807.03819, section 2.2:
 *
 *     spent = 0, mean = 0, state = what flows in
 *     for each layer, for the tokens that run:
 *         x = state, with the layer's position            before = spent
 *         spent = halting(halting.weight x + halting.bias, before); in the last layer 1
 *         state = layer(x)
 *         mean = mean + (spent - before) state            spent = 1: it runs no more
 *
 * A token that has halted keeps its state, and the others attend to that: its keys and values are made
 * once more, of its last state, and then stay. Where layers are not the same to them, by weights or by
 * positions of their own, they are made in each.
 *
 * It knows no op of the kind `halting` by name. Invariant: between layers the role X is STACK_STATE, of
 * all tokens; within, the other roles have the rows of STACK_KEYED up to the attention and those of
 * STACK_RUNNING from there on.
 */
#include <stdio.h>

#include "base/error.h"
#include "model/stack.h"
#include "model/stack_halting.h"
#include "model/stack_plan.h"
#include "model/stack_step.h"
#include "model/stack_weights.h"
#include "model/stack_wirings.h"
#include "op/resolve.h"
#include "op/spec.h"

static const resolved *halting_of(const stack_builder *b)
{
    return stack_plan_op(&b->plan, b->side, STACK_PART_HALTING, 0);
}

/* A view of a buffer on rows, `width` wide, or with one number a row if that is 0. */
static int32_t view_of(stack_builder *b, uint32_t rows, uint32_t buffer, int64_t width,
                       uint32_t *out)
{
    const uint32_t were = b->rows;
    b->rows = rows;
    const int32_t failed =
        width ? stack_step_rows(b, buffer, width, out) : stack_step_view(b, buffer, 0, NULL, out);
    b->rows = were;
    return failed;
}

/* Whether the wiring has another stream that goes from layer to layer. */
static int32_t check(stack_builder *b)
{
    const stack_part *t = stack_plan_part(&b->plan, b->side, STACK_PART_HALTING);
    if (stack_plan_layers(&b->plan, b->side) < 2)
        return spec_error(b->plan.s, t->node[0]->at, b->error,
                          "halting is between layers, and there is one");
    if (stack_wires_at((uint32_t)b->plan.choice[STACK_RESIDUAL])->first_is == WIRED_OF_STACK)
        return spec_error(
            b->plan.s, t->node[0]->at, b->error,
            "a token has one state to keep when it halts, and residual=%s has two streams",
            stack_wires_name((uint32_t)b->plan.choice[STACK_RESIDUAL]));
    return HEED_OK;
}

int32_t stack_halting_start(stack_builder *b)
{
    const int64_t width = b->stack->number[STACK_WIDTH];
    uint32_t move[2], mean, spent;
    if (!(b->halts = halting_of(b) != NULL)) return HEED_OK;
    TRY(check(b));
    *(b->side == STACK_ENCODER ? &b->stack->encoder_halts : &b->stack->halts) = 1;
    b->all_rows = b->rows;
    TRY(stack_step_rows(b, b->buffer[STACK_ROLE_X], width, &move[0]));
    TRY(stack_step_rows(b, STACK_STATE, width, &move[1]));
    TRY(stack_step_rows(b, STACK_MEAN, width, &mean));
    TRY(stack_step_view(b, STACK_SPENT, 0, NULL, &spent));
    TRY(stack_step_move(b, &(stack_step){.what = STEP_TAKE}, move, 2));
    TRY(stack_step_move(b, &(stack_step){.what = STEP_CLEAR}, &mean, 1));
    TRY(stack_step_move(b, &(stack_step){.what = STEP_CLEAR}, &spent, 1));
    b->buffer[STACK_ROLE_X] = STACK_STATE;
    return HEED_OK;
}

int32_t stack_halting_begin(stack_builder *b, int64_t layer)
{
    const int64_t width = b->stack->number[STACK_WIDTH];
    const int last = layer + 1 == stack_plan_layers(&b->plan, b->side),
              apart = !b->plan.choice[STACK_SHARED] ||
                      stack_plan_part(&b->plan, b->side, STACK_PART_POSITION)->listed;
    uint32_t move[8];
    if (!b->halts) return HEED_OK;
    TRY(view_of(b, b->all_rows, STACK_STATE, width, &move[0]));
    TRY(view_of(b, STACK_KEYED, STACK_X, width, &move[1]));
    TRY(view_of(b, b->all_rows, STACK_POSITIONS, 0, &move[2]));
    TRY(view_of(b, STACK_KEYED, STACK_AT, 0, &move[3]));
    TRY(view_of(b, b->all_rows, STACK_MEAN, width, &move[4]));
    TRY(view_of(b, STACK_RUNNING, STACK_SUM, width, &move[5]));
    TRY(view_of(b, b->all_rows, STACK_SPENT, 0, &move[6]));
    TRY(view_of(b, STACK_RUNNING, STACK_BEFORE, 0, &move[7]));
    b->buffer[STACK_ROLE_X] = STACK_X, b->buffer[STACK_ROLE_H] = STACK_H;
    b->buffer[STACK_ROLE_Y] = STACK_Y, b->buffer[STACK_ROLE_R] = STACK_R;
    b->rows = STACK_KEYED;
    return stack_step_move(
        b,
        &(stack_step){.what = STEP_BEGIN,
                      .flags = (last ? STEP_LAST : 0) | (apart ? STEP_KEYS_ALL : 0)},
        move, 8);
}

int32_t stack_halting_decide(stack_builder *b, int64_t layer)
{
    const char *side = stack_plan_prefix(b->side);
    int64_t axis[HEED_AXES];
    heed_instance *i;
    uint32_t logit, before, after;
    char name[48];
    if (!b->halts) return HEED_OK;
    TRY(view_of(b, STACK_RUNNING, STACK_AFTER, 0, &after));
    if (layer + 1 == stack_plan_layers(&b->plan, b->side)) return HEED_OK;
    TRY(view_of(b, STACK_RUNNING, STACK_PONDERED, 0, &logit));
    TRY(view_of(b, STACK_RUNNING, STACK_BEFORE, 0, &before));
    b->rows = STACK_RUNNING;
    snprintf(name, sizeof name, "%shalting.", side);
    TRY(stack_step_project(b, name, b->buffer[STACK_ROLE_X], b->stack->number[STACK_WIDTH],
                           STACK_PONDERED, 1));
    stack_step_axes(axis);
    snprintf(name, sizeof name, "%shalting.op.", side);
    TRY(stack_weights_open(b, halting_of(b), name, axis, &i));
    TRY(stack_step_add(b, i, (stack_use[]){{"x", logit}, {"spent", before}}, 2, after, -1));
    b->rows = STACK_KEYED;
    return HEED_OK;
}

int32_t stack_halting_end(stack_builder *b)
{
    const int64_t width = b->stack->number[STACK_WIDTH];
    uint32_t move[6], before;
    if (!b->halts) return HEED_OK;
    TRY(view_of(b, STACK_RUNNING, b->buffer[STACK_ROLE_X], width, &move[0]));
    TRY(view_of(b, b->all_rows, STACK_STATE, width, &move[1]));
    TRY(view_of(b, STACK_RUNNING, STACK_SUM, width, &move[2]));
    TRY(view_of(b, b->all_rows, STACK_MEAN, width, &move[3]));
    TRY(view_of(b, STACK_RUNNING, STACK_AFTER, 0, &move[4]));
    TRY(view_of(b, b->all_rows, STACK_SPENT, 0, &move[5]));
    TRY(view_of(b, STACK_RUNNING, STACK_BEFORE, 0, &before));
    TRY(stack_step_add(
        b, b->share,
        (stack_use[]){{"x", move[2]}, {"y", move[0]}, {"share", move[4]}, {"less", before}}, 4,
        move[2], -1));
    TRY(stack_step_move(b, &(stack_step){.what = STEP_END}, move, 6));
    b->buffer[STACK_ROLE_X] = STACK_STATE;
    b->rows = b->all_rows;
    return HEED_OK;
}

void stack_halting_stop(stack_builder *b)
{
    if (b->halts) b->buffer[STACK_ROLE_X] = STACK_MEAN, b->buffer[STACK_ROLE_H] = STACK_H;
    b->halts = 0;
}
