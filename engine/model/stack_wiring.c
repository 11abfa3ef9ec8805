/* SPDX-License-Identifier: MIT
 *
 * stack_wiring.c: what the table of wirings says, as steps around a sublayer, at the end of a layer
 * and behind the last one.
 *
 * It knows neither what a sublayer does nor whose layer it is in. Invariant: what flows on is in the
 * role X, whichever buffer that is.
 */
#include <math.h>
#include <stdio.h>

#include "base/error.h"
#include "model/stack.h"
#include "model/stack_plan.h"
#include "model/stack_step.h"
#include "model/stack_weights.h"
#include "model/stack_wiring.h"
#include "op/engine.h"
#include "op/resolve.h"
#include "op/spec.h"

enum { X = STACK_ROLE_X, H = STACK_ROLE_H };

const resolved *stack_wiring_final(const stack_plan *p, uint32_t side)
{
    const stack_part *given = stack_plan_part(p, side, STACK_PART_FINAL_NORM);
    if (given->count) return given->op[0];
    return stack_wires_at((uint32_t)p->choice[STACK_RESIDUAL])->end[0].what == WIRE_END
               ? NULL
               : stack_plan_op(p, side, STACK_PART_NORM, stack_plan_layers(p, side) - 1);
}

static const stack_wires *wiring_of(const stack_builder *b)
{
    return stack_wires_at((uint32_t)b->plan.choice[STACK_RESIDUAL]);
}

/* arXiv 2203.00555, table 2, of N layers; with an encoder of N layers and a decoder of M. By square
 * roots alone, which every C library rounds alike. */
static void deepnorm_numbers(const stack_builder *b, double layers, double *alpha, double *beta)
{
    const double M = (double)b->stack->number[STACK_LAYERS], N = layers;
    if (b->stack->number[STACK_ENCODER_LAYERS] < 0) {
        *alpha = sqrt(sqrt(2 * N)), *beta = 1 / sqrt(sqrt(8 * N));
    } else if (b->side) {
        const double root = sqrt(sqrt(sqrt(sqrt(N * N * N * N * M))));
        *alpha = 0.81 * root, *beta = 0.87 / root;
    } else {
        *alpha = sqrt(sqrt(3 * M)), *beta = 1 / sqrt(sqrt(12 * M));
    }
}

static int32_t open_scaled(stack_builder *b, double alpha)
{
    char number[32], spec[64];
    int64_t axis[HEED_AXES];
    spec_number(number, alpha);
    snprintf(spec, sizeof spec, "residual/add(alpha=%s)", number);
    resolved *op = resolve_text(&b->engine->registry, spec, b->error);
    if (!op) return b->error->code;
    stack_step_axes(axis);
    HEED_AXIS(axis, 'M') = b->stack->number[STACK_WIDTH];
    const int32_t failed = stack_weights_open(b, op, "residual.", axis, &b->scaled);
    resolve_free(op);
    return failed;
}

int32_t stack_wiring_begin(stack_builder *b, int64_t layers)
{
    double alpha;
    b->gain = 1;
    if (wiring_of(b)->rest[1].what != WIRE_ADD_SCALED) return HEED_OK;
    deepnorm_numbers(b, (double)layers, &alpha, &b->gain);
    return open_scaled(b, alpha);
}

static void swap(stack_builder *b, uint32_t one, uint32_t other)
{
    const uint32_t buffer = b->buffer[one];
    b->buffer[one] = b->buffer[other], b->buffer[other] = buffer;
}

/* An op that is not known to work in place goes by way of H. */
static int32_t add_norm(stack_builder *b, const resolved *norm, const char *name,
                        const stack_wire *w)
{
    const uint32_t to = w->from == w->to ? (uint32_t)H : w->to;
    TRY(stack_step_map(b, norm, name, b->buffer[w->from], b->buffer[to]));
    if (to != w->to) swap(b, to, w->to);
    return HEED_OK;
}

static int32_t add_wires(stack_builder *b, const stack_wire *wires, uint32_t count,
                         const stack_sublayer *s, const char *final)
{
    char name[96];
    for (const stack_wire *w = wires; w < wires + count && w->what != WIRE_END; w++) {
        const uint32_t *at = b->buffer;
        if (s)
            snprintf(name, sizeof name, "%s%s%s.", s->prefix, s->name,
                     w->what == WIRE_OUT_NORM ? "_out_norm" : "_norm");
        switch (w->what) {
        case WIRE_NORM:
        case WIRE_OUT_NORM:
            TRY(add_norm(b, s ? s->norm : b->final_norm, s ? name : final, w));
            break;
        case WIRE_APPLY: TRY(s->apply(b, s, at[w->from])); break;
        case WIRE_ADD: TRY(stack_step_sum(b, b->add, at[w->from], at[w->with], at[w->to])); break;
        case WIRE_ADD_SCALED:
            TRY(stack_step_sum(b, b->scaled, at[w->from], at[w->with], at[w->to]));
            break;
        default: swap(b, w->from, w->to);
        }
    }
    return HEED_OK;
}

#define COUNT(array) (sizeof(array) / sizeof *(array))

int32_t stack_wiring_sublayer(stack_builder *b, const stack_sublayer *s)
{
    const stack_wires *w = wiring_of(b);
    const int first =
        w->first_is == WIRED_OF_LAYER ? !s->number : w->first_is == WIRED_OF_STACK && s->first;
    return add_wires(b, first ? w->first : w->rest, COUNT(w->rest), s, NULL);
}

int32_t stack_wiring_end_layer(stack_builder *b)
{
    const stack_wires *w = wiring_of(b);
    return add_wires(b, w->layer_end, COUNT(w->layer_end), NULL, NULL);
}

int32_t stack_wiring_end(stack_builder *b)
{
    static const stack_wire one[] = {{WIRE_NORM, X, 0, X}};
    const stack_wires *w = wiring_of(b);
    const int usual = w->end[0].what != WIRE_END;
    char name[32];
    if (!(b->final_norm = stack_wiring_final(&b->plan, b->side))) return HEED_OK;
    snprintf(name, sizeof name, "%sfinal_norm.", stack_plan_prefix(b->side));
    return add_wires(b, usual ? w->end : one, usual ? COUNT(w->end) : 1, NULL, name);
}
