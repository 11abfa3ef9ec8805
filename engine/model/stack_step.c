/* SPDX-License-Identifier: MIT
 *
 * stack_step.c: steps of a stack, one op on views of buffers each, and the few forms that most of
 * them have.
 *
 * Which op and which buffers is for stack.c and stack_position.c. Invariant: the op of a step that
 * was added takes its inputs' views and gives its output's, for any number of tokens.
 */
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/grow.h"
#include "model/stack.h"
#include "model/stack_builder.h"
#include "model/stack_step.h"
#include "model/stack_weights.h"
#include "op/registry.h"
#include "op/resolve.h"

int32_t stack_step_view(stack_builder *b, uint32_t buffer, int32_t rank, const int64_t *dim,
                        uint32_t *out)
{
    heed_stack *s = b->stack;
    const int32_t first = b->rows == STACK_ONE ? 1 : 2;
    stack_view v = {.buffer = buffer,
                    .rows = b->rows,
                    .rank = rank + first,
                    .dim = {1, 1},
                    .dtype = buffer == STACK_TOKENS || buffer == STACK_TYPES   ? HEED_I32
                             : buffer == STACK_POSITIONS || buffer == STACK_AT ? HEED_I64
                                                                               : HEED_F32};
    for (int i = 0; i < rank; i++) v.dim[i + first] = dim[i];
    for (*out = 0; *out < s->n_views; ++*out)
        if (!memcmp(&s->views[*out], &v, sizeof v)) return HEED_OK;
    stack_view *slot = grow_append(&s->views, &s->n_views, sizeof *slot);
    if (!slot) return error_memory(b->error);
    *slot = v;
    return HEED_OK;
}

int32_t stack_step_positions(stack_builder *b, uint32_t *out)
{
    const int some = b->rows == STACK_KEYED || b->rows == STACK_RUNNING;
    return stack_step_view(b, some ? STACK_AT : STACK_POSITIONS, 0, NULL, out);
}

int32_t stack_step_rows(stack_builder *b, uint32_t buffer, int64_t width, uint32_t *out)
{
    return stack_step_view(b, buffer, 1, &width, out);
}

static heed_tensor tensor_of(const stack_builder *b, uint32_t view)
{
    const stack_view *v = &b->stack->views[view];
    return heed_tensor_of(NULL, v->dtype, v->rank, v->dim);
}

/* What comes out of such inputs. */
static int32_t infer(const stack_builder *b, const heed_instance *i, const stack_use *in,
                     uint32_t n, const char *port, heed_tensor *given)
{
    heed_binding bound[PORT_MAX];
    heed_tensor *tensor = calloc(n + (size_t)1, sizeof *tensor);
    if (!tensor) return error_memory(b->error);
    for (uint32_t u = 0; u < n; u++) {
        tensor[u] = tensor_of(b, in[u].view);
        if (!b->encodes && b->stack->views[in[u].view].rows == STACK_SOURCE)
            tensor[u].dim[1] = 2, tensor[u].stride[0] *= 2, tensor[u].bytes *= 2;
        bound[u] = (heed_binding){in[u].port, &tensor[u]};
    }
    const int32_t failed = heed_infer(i, bound, n, port, given, b->error);
    free(tensor);
    return failed;
}

/* That the inputs fit, and that the output is what its view says: for one token, and so for any
 * number; where tokens meet an encoded text, for one and two. */
static int32_t check_step(const stack_builder *b, const heed_instance *i, const stack_use *in,
                          uint32_t n, stack_use out)
{
    heed_tensor given, right = tensor_of(b, out.view);
    const entry *e = i->entry;
    for (uint32_t p = 0; p < e->op.ports.count; p++) {
        const heed_port *port = entry_port(e, p);
        if (port->role == HEED_OUTPUT && !(port->flags & HEED_PORT_OPTIONAL) &&
            strcmp(port->name, out.port))
            return error_set(b->error, HEED_E_UNSUPPORTED,
                             "%s can not be in a stack: nothing takes its output %s", e->op.id,
                             port->name);
    }
    TRY(infer(b, i, in, n, out.port, &given));
    if (given.rank != right.rank ||
        memcmp(given.dim, right.dim, sizeof *given.dim * (size_t)given.rank)) {
        port_axes all = {.count = (int8_t)right.rank,
                         .letter = {'A', 'B', 'C', 'D', 'E', 'F', 'G', 'H'}};
        char is[24 * HEED_MAX_RANK + 8], needed[24 * HEED_MAX_RANK + 8];
        stack_weights_shape(needed, sizeof needed, &all, right.dim);
        all.count = (int8_t)given.rank;
        stack_weights_shape(is, sizeof is, &all, given.dim);
        return error_set(b->error, HEED_E_SHAPE,
                         "%s: its output %s is %s for a token, but the stack needs %s", e->op.id,
                         out.port, is, needed);
    }
    return HEED_OK;
}

/* At the end of the list; its uses are `in`, and then `out`. */
static int32_t append(stack_builder *b, const stack_step *one, const stack_use *in, stack_use out)
{
    heed_stack *s = b->stack;
    stack_step *step = b->encodes ? grow_append(&s->encode, &s->n_encode, sizeof *step)
                                  : grow_append(&s->steps, &s->n_steps, sizeof *step);
    if (!step) return error_memory(b->error);
    *step = *one;
    step->first = s->n_uses, step->layer = b->layer;
    step->part = b->rows == STACK_PICKED ? b->part : 1;
    for (uint32_t u = 0; u <= one->n_in; u++) {
        stack_use *use = grow_append(&s->uses, &s->n_uses, sizeof *use);
        if (!use) return error_memory(b->error);
        *use = u < one->n_in ? in[u] : out;
    }
    return HEED_OK;
}

int32_t stack_step_attend(stack_builder *b, const heed_instance *i, const stack_use *in, uint32_t n,
                          uint32_t to, int32_t memory, uint32_t flags)
{
    stack_use out = {"out", to};
    if (b->dry) return HEED_OK;
    TRY(check_step(b, i, in, n, out));
    const uint32_t what = flags & STEP_ALL_ROWS ? STEP_ATTEND : STEP_RUN;
    return append(
        b, &(stack_step){.instance = i, .what = what, .flags = flags, .n_in = n, .memory = memory},
        in, out);
}

int32_t stack_step_add(stack_builder *b, const heed_instance *i, const stack_use *in, uint32_t n,
                       uint32_t to, int32_t memory)
{
    return stack_step_attend(b, i, in, n, to, memory, 0);
}

int32_t stack_step_move(stack_builder *b, const stack_step *step, const uint32_t *views, uint32_t n)
{
    stack_use use[STACK_MOVED];
    stack_step one = *step;
    if (b->dry) return HEED_OK;
    for (uint32_t u = 0; u < n; u++) use[u] = (stack_use){"", views[u]};
    one.n_in = n - 1, one.memory = -1;
    return append(b, &one, use, use[n - 1]);
}

void stack_step_axes(int64_t *axis)
{
    for (int a = 0; a < HEED_AXES; a++) axis[a] = -1;
}

int32_t stack_step_map(stack_builder *b, const resolved *op, const char *prefix, uint32_t from,
                       uint32_t to)
{
    int64_t axis[HEED_AXES], width = b->stack->number[STACK_WIDTH];
    heed_instance *i;
    uint32_t in, out;
    stack_step_axes(axis);
    HEED_AXIS(axis, 'M') = width;
    TRY(stack_weights_open(b, op, prefix, axis, &i));
    TRY(stack_step_rows(b, from, width, &in));
    TRY(stack_step_rows(b, to, width, &out));
    return stack_step_add(b, i, &(stack_use){"x", in}, 1, out, -1);
}

int32_t stack_step_project(stack_builder *b, const char *prefix, uint32_t from, int64_t inputs,
                           uint32_t to, int64_t outputs)
{
    int64_t axis[HEED_AXES];
    heed_instance *i;
    uint32_t in, out;
    stack_step_axes(axis);
    HEED_AXIS(axis, 'M') = inputs;
    HEED_AXIS(axis, 'N') = outputs;
    TRY(stack_weights_open(b, b->fixed[STACK_OP_PROJECTION], prefix, axis, &i));
    TRY(stack_step_rows(b, from, inputs, &in));
    TRY(stack_step_rows(b, to, outputs, &out));
    return stack_step_add(b, i, &(stack_use){"x", in}, 1, out, -1);
}

int32_t stack_step_sum(stack_builder *b, const heed_instance *op, uint32_t x, uint32_t y,
                       uint32_t to)
{
    const int64_t width = b->stack->number[STACK_WIDTH];
    uint32_t vx, vy, out;
    TRY(stack_step_rows(b, x, width, &vx));
    TRY(stack_step_rows(b, y, width, &vy));
    TRY(stack_step_rows(b, to, width, &out));
    return stack_step_add(b, op, (stack_use[]){{"x", vx}, {"y", vy}}, 2, out, -1);
}

const heed_port *stack_step_port(const entry *e, const char *name, uint32_t role)
{
    for (uint32_t p = 0; p < e->op.ports.count; p++)
        if (entry_port(e, p)->role == role && !strcmp(entry_port(e, p)->name, name))
            return entry_port(e, p);
    return NULL;
}
