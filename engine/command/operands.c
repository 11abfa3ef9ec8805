/* SPDX-License-Identifier: MIT
 *
 * operands.c: the tensors of an op for one shape, also of an op that nobody here has seen: all
 * follows from its ports and from the sizes given.
 *
 * Invariant: numbers depend on the port's name and their index alone, wherever they lie, and no
 * function of the C library takes part, so that they are the same on every machine.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/random.h"
#include "command/operands.h"
#include "command/shape.h"
#include "inspect.h"

#include <heed/kit/core/half.h>

/* ---- numbers ---- */

double operands_element(const heed_tensor *t, int64_t i)
{
    switch (t->dtype) {
    case HEED_F32: return ((const float *)t->data)[i];
    case HEED_F64: return ((const double *)t->data)[i];
    case HEED_F16: return kit_from_f16(((const uint16_t *)t->data)[i]);
    case HEED_BF16: return kit_from_bf16(((const uint16_t *)t->data)[i]);
    case HEED_I64: return (double)((const int64_t *)t->data)[i];
    case HEED_I32: return ((const int32_t *)t->data)[i];
    case HEED_I8: return ((const int8_t *)t->data)[i];
    default: return ((const uint8_t *)t->data)[i];
    }
}

static int is_index(const heed_tensor *t) { return t->dtype == HEED_I64 || t->dtype == HEED_I32; }

/* Of lists of blocks, each has as many as it can up to the block of its own number. */
static int64_t near_block(const call_shape *s, int64_t i)
{
    const int64_t most = SHAPE_AXIS(s, 'Y'), list = i / most % SHAPE_AXIS(s, 'I'),
                  first = list + 1 > most ? list + 1 - most : 0, block = first + i % most;
    return block <= list ? block : -1;
}

/* Element i of an input of indices; those that have no meaning known here are below V. */
static int64_t index_at(const call_shape *s, const char *port, int64_t i, uint64_t *state)
{
    int64_t keys = SHAPE_AXIS(s, 'S'), queries = SHAPE_AXIS(s, 'T');
    if (!strcmp(port, "key_lengths")) return s->key_lengths < keys ? s->key_lengths : keys;
    if (!strcmp(port, "documents")) return i % keys * s->documents / keys;
    if (!strcmp(port, "query_documents"))
        return i % queries * (s->documents ? s->documents : 1) / queries;
    if (!strcmp(port, "positions")) return i % queries;
    if (!strcmp(port, "key_blocks")) return near_block(s, i);
    return (int64_t)(random_next(state) % (uint64_t)SHAPE_AXIS(s, 'V'));
}

/* ---- where they lie ---- */

/* The axis of an input's tokens, behind which a row is dense; -1: it has none. */
static int token_axis(const operands *c, uint32_t port)
{
    const port_axes *a = &c->entry->axes[port];
    int leading = a->leading ? c->shape.n_leading : 0, rank = c->tensor[port].rank;
    for (int i = 0; i < a->count - 1; i++)
        if (a->letter[i] == 'T' || a->letter[i] == 'S') return leading + i;
    return leading && rank > leading ? leading - 1 : -1;
}

/* With pitch= the rows of an input are apart; the outer axes follow, so that rows have one
 * distance. */
static int pitched(const operands *c, uint32_t port)
{
    return c->shape.pitch && entry_port(c->entry, port)->role == HEED_INPUT &&
           !is_index(&c->tensor[port]) && token_axis(c, port) >= 0;
}

static int64_t row_length(const operands *c, uint32_t port)
{
    int64_t n = 1;
    for (int a = token_axis(c, port) + 1; a < c->tensor[port].rank; a++)
        n *= c->tensor[port].dim[a];
    return n;
}

/* Sets the strides; the tensor that is returned has the sizes of the memory. */
static heed_tensor lay_out(operands *c, uint32_t port)
{
    heed_tensor *t = &c->tensor[port];
    if (!pitched(c, port)) return *t;
    int64_t dim[HEED_MAX_RANK];
    int row = token_axis(c, port) + 1;
    memcpy(dim, t->dim, sizeof dim);
    dim[row] = c->shape.pitch / heed_dtype_bytes(t->dtype);
    heed_tensor memory = heed_tensor_of(NULL, t->dtype, row + 1, dim);
    for (int a = 0; a < row; a++) t->stride[a] = memory.stride[a];
    t->bytes = memory.bytes;
    return memory;
}

static int32_t check_layout(const operands *c, heed_error *error)
{
    int any = 0;
    for (uint32_t p = 0; p < c->entry->op.ports.count; p++) {
        if (c->tensor[p].rank < 0 || is_index(&c->tensor[p])) continue;
        const char *op = c->entry->op.id, *name = entry_port(c->entry, p)->name;
        int64_t width = heed_dtype_bytes(c->tensor[p].dtype), pitch = c->shape.pitch;
        if (c->shape.shift % width)
            return error_set(error, HEED_E_ARGUMENT,
                             "%s: shift=%lld is no multiple of an element of %s, %lld bytes", op,
                             (long long)c->shape.shift, name, (long long)width);
        if (!pitched(c, p)) continue;
        any = 1;
        if (pitch % width || pitch / width < row_length(c, p))
            return error_set(error, HEED_E_ARGUMENT,
                             "%s: pitch=%lld is no whole number of elements that holds a row of "
                             "%s, %lld of %lld bytes",
                             op, (long long)pitch, name, (long long)row_length(c, p),
                             (long long)width);
    }
    for (uint32_t p = 0; p < c->entry->op.ports.count; p++) {
        if (c->tensor[p].rank < 0 || !shape_gives(&c->shape, entry_port(c->entry, p))) continue;
        int64_t n = heed_tensor_elements(&c->tensor[p]), given = shape_values(&c->shape);
        if (n % given)
            return error_set(error, HEED_E_ARGUMENT,
                             "%s: values= has %lld numbers, and %s has %lld, which is no "
                             "multiple of that",
                             c->entry->op.id, (long long)given, entry_port(c->entry, p)->name,
                             (long long)n);
    }
    if (c->shape.pitch && !any)
        return error_set(error, HEED_E_ARGUMENT,
                         "%s has no input with rows for pitch=", c->entry->op.id);
    return HEED_OK;
}

/* ---- filling ---- */

/* Floats: what the shape gives; else normal, for a weight over the root of its last axis; "draw",
 * "span": uniform in [0, 1). */
static void fill(const operands *c, uint32_t port)
{
    const heed_tensor *t = &c->tensor[port];
    const heed_port *p = entry_port(c->entry, port);
    int64_t n = heed_tensor_elements(t), row = pitched(c, port) ? row_length(c, port)
                                               : n > 0          ? n
                                                                : 1;
    int64_t apart = pitched(c, port) ? c->shape.pitch / heed_dtype_bytes(t->dtype) : row;
    int uniform = !strcmp(p->name, "draw") || !strcmp(p->name, "span");
    int given = shape_gives(&c->shape, p);
    const char *number = NULL;
    float scale = p->role == HEED_WEIGHT && t->rank ? 1 / sqrtf((float)t->dim[t->rank - 1]) : 1;
    uint64_t state = random_hash(RANDOM_HASH, p->name, strlen(p->name));
    for (int64_t i = 0; i < n; i++) {
        int64_t at = i / row * apart + i % row;
        if (is_index(t)) {
            int64_t x = index_at(&c->shape, p->name, i, &state);
            if (t->dtype == HEED_I64) ((int64_t *)t->data)[at] = x;
            else ((int32_t *)t->data)[at] = (int32_t)x;
            continue;
        }
        float x = given     ? (float)shape_value(&c->shape, &number)
                  : uniform ? (float)random_unit(&state)
                            : scale * random_normal(&state);
        switch (t->dtype) {
        case HEED_F32: ((float *)t->data)[at] = x; break;
        case HEED_F64: ((double *)t->data)[at] = x; break;
        case HEED_F16: ((uint16_t *)t->data)[at] = kit_to_f16(x); break;
        case HEED_BF16: ((uint16_t *)t->data)[at] = kit_to_bf16(x); break;
        default: ((uint8_t *)t->data)[at] = (uint8_t)random_next(&state); break;
        }
    }
}

/* ---- weights of the ops inside ---- */

static void fill_inner(heed_tensor *t, const char *name)
{
    uint64_t state = random_hash(RANDOM_HASH, name, strlen(name));
    float scale = t->rank && t->dim[t->rank - 1] > 0 ? 1 / sqrtf((float)t->dim[t->rank - 1]) : 1;
    for (int64_t i = 0; i < heed_tensor_elements(t); i++)
        ((float *)t->data)[i] = scale * random_normal(&state);
}

/* Those that an op inside must have, float32, in sizes that its own settings and the shape tell. */
static int32_t make_inner(operands *c, const char *key, const resolved *op, heed_error *error)
{
    call_shape shape = c->shape;
    resolve_axes(op, shape.axis, 1);
    for (uint32_t p = 0; p < op->entry->op.ports.count && c->n_inner < PORT_MAX; p++) {
        const heed_port *port = entry_port(op->entry, p);
        const port_axes *axes = &op->entry->axes[p];
        int64_t dim[HEED_MAX_RANK];
        if (port->role != HEED_WEIGHT || port->flags & HEED_PORT_OPTIONAL) continue;
        for (int i = 0; i < axes->count; i++) dim[i] = SHAPE_AXIS(&shape, axes->letter[i]);
        heed_tensor *t = &c->inner[c->n_inner];
        *t = heed_tensor_of(NULL, HEED_F32, axes->count, dim);
        int32_t failed = heed_tensor_alloc(t, error);
        if (failed) return failed;
        snprintf(c->inner_name[c->n_inner], sizeof c->inner_name[0], "%s.%s", key, port->name);
        fill_inner(t, c->inner_name[c->n_inner++]);
    }
    return HEED_OK;
}

/* ---- tensors ---- */

static uint32_t choose_dtype(const heed_port *p, uint32_t asked)
{
    if (p->role != HEED_OUTPUT && p->dtypes & HEED_BIT(asked)) return asked;
    return (uint32_t)__builtin_ctz(p->dtypes); /* what heed_infer tells of an output */
}

static heed_tensor port_shape(const operands *c, uint32_t port)
{
    const port_axes *a = &c->entry->axes[port];
    int64_t dim[2 * HEED_MAX_RANK];
    int rank = 0;
    for (int i = 0; a->leading && i < c->shape.n_leading; i++) dim[rank++] = c->shape.leading[i];
    for (int i = 0; i < a->count; i++) dim[rank++] = SHAPE_AXIS(&c->shape, a->letter[i]);
    return heed_tensor_of(NULL, choose_dtype(entry_port(c->entry, port), c->dtype), rank, dim);
}

void operands_shapes(operands *c)
{
    c->n_in = c->n_weights = c->n_out = 0;
    for (uint32_t p = 0; p < c->entry->op.ports.count; p++) {
        const heed_port *port = entry_port(c->entry, p);
        c->tensor[p] = (heed_tensor){.rank = -1};
        if (!shape_takes(&c->shape, port)) continue;
        c->tensor[p] = port_shape(c, p);
        heed_binding b = {port->name, &c->tensor[p]};
        if (port->role == HEED_INPUT) c->in[c->n_in++] = b;
        else if (port->role == HEED_WEIGHT) c->weights[c->n_weights++] = b;
        else c->out[c->n_out++] = b;
    }
    for (uint32_t n = 0; n < c->n_inner; n++)
        c->weights[c->n_weights++] = (heed_binding){c->inner_name[n], &c->inner[n]};
    shape_print(c);
}

/* Strides of one tensor, and if it is needed its memory and content. */
static int32_t make_tensor(operands *c, uint32_t port, int needed, heed_error *error)
{
    heed_tensor *t = &c->tensor[port], memory = lay_out(c, port);
    uint64_t shift = is_index(t) ? 0 : (uint64_t)c->shape.shift, room = memory.bytes + shift + 64;
    int possible = heed_tensor_elements(&memory) >= 0 && room <= SIZE_MAX;
    if (possible && !needed) return HEED_OK;
    if (possible) c->memory[port] = aligned_alloc(64, (size_t)(room & ~(uint64_t)63));
    if (!c->memory[port])
        return error_set(error, HEED_E_MEMORY, "%s, %s: no memory for %s", c->entry->op.id, c->text,
                         entry_port(c->entry, port)->name);
    memset(c->memory[port], 0, (size_t)(room & ~(uint64_t)63));
    t->data = (char *)c->memory[port] + shift;
    if (entry_port(c->entry, port)->role != HEED_OUTPUT) fill(c, port);
    return HEED_OK;
}

int32_t operands_make(operands *c, const resolved *op, const call_shape *shape, uint32_t dtype,
                      int whole, heed_error *error)
{
    const heed_op *o = &op->entry->op;
    *c = (operands){.entry = op->entry, .shape = *shape, .dtype = dtype};
    if (op->entry->path && !op->entry->path->forward)
        return error_set(error, HEED_E_UNSUPPORTED,
                         "%s does nothing by itself; it is a setting of another op", o->id);
    int32_t failed = shape_check(shape, op->entry, error);
    if (failed) return failed;
    shape_fill(&c->shape, op);
    c->stateful = c->shape.decode && o->measure_state;
    for (uint32_t p = 0; p < o->params.count && !failed; p++)
        if (op->child[p])
            failed = make_inner(c, entry_param(op->entry, p)->key, op->child[p], error);
    if (failed) return failed;
    operands_shapes(c);
    failed = check_layout(c, error);
    for (uint32_t p = 0; p < o->ports.count && !failed; p++) {
        int needed =
            whole || entry_port(op->entry, p)->role == HEED_WEIGHT || is_index(&c->tensor[p]);
        if (c->tensor[p].rank >= 0) failed = make_tensor(c, p, needed, error);
    }
    return failed;
}

void operands_free(operands *c)
{
    for (uint32_t p = 0; p < PORT_MAX; p++) free(c->memory[p]);
    for (uint32_t n = 0; n < c->n_inner; n++) free(c->inner[n].data);
    *c = (operands){.entry = NULL};
}

heed_instance *operands_open(const operands *c, heed_engine *engine, const resolved *op,
                             const char *isa, heed_error *error)
{
    int64_t axes[HEED_AXES];
    for (int a = 0; a < HEED_AXES; a++) axes[a] = strchr("BST", 'A' + a) ? -1 : c->shape.axis[a];
    heed_opening opening = {.size = sizeof opening, .n_weights = c->n_weights,
                            .weights = c->weights, .axes = axes, .isa = isa};
    return inspect_open(engine, op, &opening, error);
}
