/* SPDX-License-Identifier: MIT
 *
 * tensors.c: the tensors of an op for one shape, also of an op that nobody here has seen: all follows from its ports
 * and from the sizes given.
 *
 * Invariant: numbers depend on the port's name and their index alone, wherever they lie, and no function of the C
 * library takes part, so that they are the same on every machine.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "op/registry.h"
#include "op/resolve.h"
#include "bench/case/shape.h"
#include "bench/case/tensors.h"

#include <heed/kit/core/half.h>

/* ---- numbers ---- */

uint64_t bench_hash(uint64_t hash, const void *bytes, uint64_t n)
{
    for (const unsigned char *b = bytes; n > 0; n--, b++) hash = (hash ^ *b) * 0x100000001b3u;
    return hash;
}

static uint64_t draw(uint64_t *state) /* splitmix64 */
{
    uint64_t z = *state += 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

/* Mean 0, variance 1, nearly normal: the sum of twelve uniform numbers of 16 bits, which is exact. */
static float normal(uint64_t *state)
{
    int64_t sum = 0;
    for (int i = 0; i < 3; i++) {
        uint64_t z = draw(state);
        sum += (int64_t)((z & 0xffff) + (z >> 16 & 0xffff) + (z >> 32 & 0xffff) + (z >> 48));
    }
    return (float)(sum - 6 * 0xffff) * 0x1p-16f;
}

double bench_element(const heed_tensor *t, int64_t i)
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

/* Element i of an input of indices; those that have no meaning known here are below V. */
static int64_t index_at(const bench_shape *s, const char *port, int64_t i, uint64_t *state)
{
    int64_t keys = BENCH_AXIS(s, 'S'), queries = BENCH_AXIS(s, 'T');
    if (!strcmp(port, "key_lengths")) return s->key_lengths < keys ? s->key_lengths : keys;
    if (!strcmp(port, "documents")) return i % keys * s->documents / keys;
    if (!strcmp(port, "query_documents")) return i % queries * (s->documents ? s->documents : 1) / queries;
    if (!strcmp(port, "positions")) return i % queries;
    return (int64_t)(draw(state) % (uint64_t)BENCH_AXIS(s, 'V'));
}

/* ---- where they lie ---- */

/* The axis of an input's tokens, behind which a row is dense; -1: it has none. */
static int token_axis(const bench_call *c, uint32_t port)
{
    const port_axes *a = &c->entry->axes[port];
    int leading = a->leading ? c->shape.n_leading : 0, rank = c->tensor[port].rank;
    for (int i = 0; i < a->count - 1; i++)
        if (a->letter[i] == 'T' || a->letter[i] == 'S') return leading + i;
    return leading && rank > leading ? leading - 1 : -1;
}

/* With pitch= the rows of an input are apart; the outer axes follow, so that rows have one distance. */
static int pitched(const bench_call *c, uint32_t port)
{
    return c->shape.pitch && entry_port(c->entry, port)->role == HEED_INPUT && !is_index(&c->tensor[port]) &&
           token_axis(c, port) >= 0;
}

static int64_t row_length(const bench_call *c, uint32_t port)
{
    int64_t n = 1;
    for (int a = token_axis(c, port) + 1; a < c->tensor[port].rank; a++) n *= c->tensor[port].dim[a];
    return n;
}

/* Sets the strides; the tensor that is returned has the sizes of the memory. */
static heed_tensor lay_out(bench_call *c, uint32_t port)
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

static int32_t check_layout(const bench_call *c, heed_error *error)
{
    int any = 0;
    for (uint32_t p = 0; p < c->entry->op.ports.count; p++) {
        if (c->tensor[p].rank < 0 || is_index(&c->tensor[p])) continue;
        const char *op = c->entry->op.id, *name = entry_port(c->entry, p)->name;
        int64_t width = heed_dtype_bytes(c->tensor[p].dtype), pitch = c->shape.pitch;
        if (c->shape.shift % width)
            return error_set(error, HEED_E_ARGUMENT, "%s: shift=%lld is no multiple of an element of %s, %lld bytes",
                             op, (long long)c->shape.shift, name, (long long)width);
        if (!pitched(c, p)) continue;
        any = 1;
        if (pitch % width || pitch / width < row_length(c, p))
            return error_set(error, HEED_E_ARGUMENT,
                             "%s: pitch=%lld is no whole number of elements that holds a row of %s, %lld of %lld bytes",
                             op, (long long)pitch, name, (long long)row_length(c, p), (long long)width);
    }
    for (uint32_t p = 0; p < c->entry->op.ports.count; p++) {
        if (c->tensor[p].rank < 0 || !bench_shape_gives(&c->shape, entry_port(c->entry, p))) continue;
        int64_t n = heed_tensor_elements(&c->tensor[p]), given = bench_shape_values(&c->shape);
        if (n % given)
            return error_set(error, HEED_E_ARGUMENT, "%s: values= has %lld numbers, and %s has %lld, which is no "
                             "multiple of that", c->entry->op.id, (long long)given, entry_port(c->entry, p)->name,
                             (long long)n);
    }
    if (c->shape.pitch && !any)
        return error_set(error, HEED_E_ARGUMENT, "%s has no input with rows for pitch=", c->entry->op.id);
    return HEED_OK;
}

/* ---- filling ---- */

/* Floats: what the shape gives; else normal, for a weight over the root of its last axis; "draw", "span": uniform in
 * [0, 1). */
static void fill(const bench_call *c, uint32_t port)
{
    const heed_tensor *t = &c->tensor[port];
    const heed_port *p = entry_port(c->entry, port);
    int64_t n = heed_tensor_elements(t), row = pitched(c, port) ? row_length(c, port) : n > 0 ? n : 1;
    int64_t apart = pitched(c, port) ? c->shape.pitch / heed_dtype_bytes(t->dtype) : row;
    int uniform = !strcmp(p->name, "draw") || !strcmp(p->name, "span");
    int given = bench_shape_gives(&c->shape, p);
    const char *number = NULL;
    float scale = p->role == HEED_WEIGHT && t->rank ? 1 / sqrtf((float)t->dim[t->rank - 1]) : 1;
    uint64_t state = bench_hash(BENCH_HASH_START, p->name, strlen(p->name));
    for (int64_t i = 0; i < n; i++) {
        int64_t at = i / row * apart + i % row;
        if (is_index(t)) {
            int64_t x = index_at(&c->shape, p->name, i, &state);
            if (t->dtype == HEED_I64) ((int64_t *)t->data)[at] = x;
            else ((int32_t *)t->data)[at] = (int32_t)x;
            continue;
        }
        float x = given     ? (float)bench_shape_value(&c->shape, &number)
                  : uniform ? (float)(draw(&state) >> 40) * 0x1p-24f
                            : scale * normal(&state);
        switch (t->dtype) {
        case HEED_F32: ((float *)t->data)[at] = x; break;
        case HEED_F64: ((double *)t->data)[at] = x; break;
        case HEED_F16: ((uint16_t *)t->data)[at] = kit_to_f16(x); break;
        case HEED_BF16: ((uint16_t *)t->data)[at] = kit_to_bf16(x); break;
        default: ((uint8_t *)t->data)[at] = (uint8_t)draw(&state); break;
        }
    }
}

/* ---- weights of the ops inside ---- */

static void fill_inner(heed_tensor *t, const char *name)
{
    uint64_t state = bench_hash(BENCH_HASH_START, name, strlen(name));
    float scale = t->rank && t->dim[t->rank - 1] > 0 ? 1 / sqrtf((float)t->dim[t->rank - 1]) : 1;
    for (int64_t i = 0; i < heed_tensor_elements(t); i++) ((float *)t->data)[i] = scale * normal(&state);
}

/* Those that an op inside must have, float32, in sizes that its own settings and the shape tell. */
static int32_t make_inner(bench_call *c, const char *key, const resolved *op, heed_error *error)
{
    bench_shape shape = c->shape;
    bench_shape_params(&shape, op, 1);
    for (uint32_t p = 0; p < op->entry->op.ports.count && c->n_inner < PORT_MAX; p++) {
        const heed_port *port = entry_port(op->entry, p);
        const port_axes *axes = &op->entry->axes[p];
        int64_t dim[HEED_MAX_RANK];
        if (port->role != HEED_WEIGHT || port->flags & HEED_PORT_OPTIONAL) continue;
        for (int i = 0; i < axes->count; i++) dim[i] = BENCH_AXIS(&shape, axes->letter[i]);
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

static heed_tensor port_shape(const bench_call *c, uint32_t port)
{
    const port_axes *a = &c->entry->axes[port];
    int64_t dim[2 * HEED_MAX_RANK];
    int rank = 0;
    for (int i = 0; a->leading && i < c->shape.n_leading; i++) dim[rank++] = c->shape.leading[i];
    for (int i = 0; i < a->count; i++) dim[rank++] = BENCH_AXIS(&c->shape, a->letter[i]);
    return heed_tensor_of(NULL, choose_dtype(entry_port(c->entry, port), c->dtype), rank, dim);
}

void bench_call_shapes(bench_call *c)
{
    c->n_in = c->n_weights = c->n_out = 0;
    for (uint32_t p = 0; p < c->entry->op.ports.count; p++) {
        const heed_port *port = entry_port(c->entry, p);
        c->tensor[p] = (heed_tensor){.rank = -1};
        if (!bench_shape_takes(&c->shape, port)) continue;
        c->tensor[p] = port_shape(c, p);
        heed_binding b = {port->name, &c->tensor[p]};
        if (port->role == HEED_INPUT) c->in[c->n_in++] = b;
        else if (port->role == HEED_WEIGHT) c->weights[c->n_weights++] = b;
        else c->out[c->n_out++] = b;
    }
    for (uint32_t n = 0; n < c->n_inner; n++)
        c->weights[c->n_weights++] = (heed_binding){c->inner_name[n], &c->inner[n]};
    bench_shape_print(c);
}

/* Strides of one tensor, and if it is needed its memory and content. */
static int32_t make_tensor(bench_call *c, uint32_t port, int needed, heed_error *error)
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

int32_t bench_call_make(bench_call *c, const resolved *op, const bench_shape *shape, uint32_t dtype, int whole,
                        heed_error *error)
{
    const heed_op *o = &op->entry->op;
    *c = (bench_call){.entry = op->entry, .shape = *shape, .dtype = dtype};
    if (op->entry->path && !op->entry->path->forward)
        return error_set(error, HEED_E_UNSUPPORTED, "%s does nothing by itself; it is a setting of another op", o->id);
    int32_t failed = bench_shape_check(shape, op->entry, error);
    if (failed) return failed;
    bench_shape_fill(&c->shape, op);
    c->stateful = c->shape.decode && o->measure_state;
    for (uint32_t p = 0; p < o->params.count && !failed; p++)
        if (op->child[p]) failed = make_inner(c, entry_param(op->entry, p)->key, op->child[p], error);
    if (failed) return failed;
    bench_call_shapes(c);
    failed = check_layout(c, error);
    for (uint32_t p = 0; p < o->ports.count && !failed; p++) {
        int needed = whole || entry_port(op->entry, p)->role == HEED_WEIGHT || is_index(&c->tensor[p]);
        if (c->tensor[p].rank >= 0) failed = make_tensor(c, p, needed, error);
    }
    return failed;
}

void bench_call_free(bench_call *c)
{
    for (uint32_t p = 0; p < PORT_MAX; p++) free(c->memory[p]);
    for (uint32_t n = 0; n < c->n_inner; n++) free(c->inner[n].data);
    *c = (bench_call){.entry = NULL};
}
