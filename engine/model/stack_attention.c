/* SPDX-License-Identifier: MIT
 *
 * stack_attention.c: an attention inside a stack: a projection for each input that its ports ask
 * for, the position op and the norms of queries and keys, and the projection of what it gives.
 *
 * It knows no attention by name. As cross-attention any op serves that takes queries, keys and
 * values and needs nothing else; keys and values are then projections of the encoded text, made by
 * steps that run when that text is encoded. Invariant: what it can not make is refused with the
 * op's name, the port and the reason.
 */
#include <stdio.h>
#include <string.h>

#include <heed/abi/network.h>

#include "base/error.h"
#include "base/grow.h"
#include "model/stack.h"
#include "model/stack_attention.h"
#include "model/stack_builder.h"
#include "model/stack_plan.h"
#include "model/stack_position.h"
#include "model/stack_sizes.h"
#include "model/stack_step.h"
#include "model/stack_weights.h"
#include "op/registry.h"
#include "op/resolve.h"
#include "op/sequence.h"
#include "op/spec.h"

/* Inputs of an attention that are made from the layer's input, and the buffers they go to. */
static const char *const projected[STACK_PROJECTED] = {
    [STACK_Q] = "q", [STACK_K] = "k", [STACK_V] = "v", [STACK_BETA] = "beta", [STACK_GATE] = "gate",
};

/* An attention that is built. */
typedef struct attention {
    resolved *op;
    const spec_node *node;
    char prefix[48]; /* "layers.3." or "layers.3.cross." */
    int64_t layer;
    int cross;
    int kept; /* tokens halt: what it takes and gives is of all of them */
    uint32_t from;
    int64_t axis[HEED_AXES];
} attention;

#define FAIL(b, a, ...) return spec_error((b)->plan.s, (a)->node->at, (b)->error, __VA_ARGS__)

/* ---- what is asked for ---- */

/* Whether one of the words in "a|b|c" is the first `length` bytes of `word`. */
static int is_among(const char *words, const char *word, size_t length)
{
    for (const char *at = words; *at; at += strcspn(at, "|"), at += *at == '|')
        if (strcspn(at, "|") == length && !strncmp(at, word, length)) return 1;
    return 0;
}

static const heed_network_input *told_input(const entry *e, const char *port)
{
    const heed_network *n = e->op.get_extension ? e->op.get_extension(HEED_NETWORK_ID) : NULL;
    for (uint32_t i = 0; n && i < n->inputs.count; i++) {
        const heed_network_input *input =
            (const void *)((const char *)n->inputs.data + (size_t)i * n->inputs.stride);
        if (!strcmp(input->port, port)) return input;
    }
    return NULL;
}

/* Whether a projection may make the optional input, by the op's heed.network/1. */
static int32_t may_project(stack_builder *b, const attention *a, const char *port, int *may)
{
    const entry *e = a->op->entry;
    const heed_network_input *input = told_input(e, port);
    uint32_t p = 0;
    *may = 1;
    while (input && p < e->op.params.count && strcmp(entry_param(e, p)->key, input->param)) p++;
    if (!input || p == e->op.params.count || entry_param(e, p)->type != HEED_PARAM_CHOICE)
        return HEED_OK;
    const heed_param *param = entry_param(e, p);
    const heed_value *value = &a->op->value[p];
    *may = 0;
    if (param->flags & HEED_PARAM_AUTO && !value->given) return HEED_OK;
    size_t length;
    const char *word = resolve_choice(param->choices, value->i, &length);
    *may = is_among(input->choices, word, length);
    if (*may) return HEED_OK;
    FAIL(b, a,
         "%s(%s=%.*s) takes its input %s as it is, and a network makes it by a projection, "
         "which gives any number: %s=%s is right here",
         e->op.id, param->key, (int)length, word, port, param->key, input->choices);
}

/* ---- inputs ---- */

/* The other of the two buffers that queries, keys or values may be in. */
static uint32_t other(uint32_t buffer, uint32_t which)
{
    return buffer == STACK_ROTATED + which ? STACK_PROJECTIONS + which : STACK_ROTATED + which;
}

/* The norm of each head's queries or keys. */
static int32_t add_qk_norm(stack_builder *b, const attention *a, uint32_t which, int rank,
                           const int64_t *dim, uint32_t *buffer)
{
    const resolved *norm = stack_plan_op(&b->plan, b->side, STACK_PART_QK_NORM, a->layer);
    int64_t axis[HEED_AXES];
    char name[96];
    heed_instance *i;
    uint32_t in, out;
    if (!norm || (which != STACK_Q && which != STACK_K)) return HEED_OK;
    const heed_port *port = stack_step_port(norm->entry, "out", HEED_OUTPUT);
    const int in_place = port && port->flags & HEED_PORT_IN_PLACE;
    stack_step_axes(axis);
    HEED_AXIS(axis, 'M') = dim[rank - 1];
    snprintf(name, sizeof name, "%s%s_norm.", a->prefix, projected[which]);
    TRY(stack_weights_open(b, norm, name, axis, &i));
    TRY(stack_step_view(b, *buffer, rank, dim, &in));
    if (!in_place) *buffer = other(*buffer, which);
    TRY(stack_step_view(b, *buffer, rank, dim, &out));
    return stack_step_add(b, i, &(stack_use){"x", in}, 1, out, -1);
}

static int32_t remember(stack_builder *b, const attention *a, const heed_instance *i,
                        int32_t *memory);

/* The convolution over time of what was projected, which remembers the last rows. */
static int32_t convolve(stack_builder *b, const attention *a, uint32_t which, int64_t outputs,
                        uint32_t *buffer)
{
    const resolved *op = stack_plan_decoder_op(&b->plan, b->side, STACK_PART_CONVOLUTION, a->layer);
    int64_t axis[HEED_AXES];
    char name[96];
    heed_instance *i;
    uint32_t in, out;
    int32_t memory;
    if (!op || a->cross || which > STACK_V) return HEED_OK;
    if (a->kept)
        FAIL(b, a, "%s goes over the rows of all tokens, and tokens of this network halt",
             op->entry->op.id);
    stack_step_axes(axis);
    HEED_AXIS(axis, 'N') = outputs;
    snprintf(name, sizeof name, "%sconvolution.%s.", a->prefix, projected[which]);
    TRY(stack_weights_open(b, op, name, axis, &i));
    TRY(remember(b, a, i, &memory));
    TRY(stack_step_rows(b, *buffer, outputs, &in));
    *buffer = other(*buffer, which);
    TRY(stack_step_rows(b, *buffer, outputs, &out));
    return stack_step_add(b, i, &(stack_use){"x", in}, 1, out, memory);
}

/* Heads of queries or keys, once for each of the heads that share them. */
static int32_t spread(stack_builder *b, uint32_t which, const int64_t *few, const int64_t *dim,
                      uint32_t *buffer)
{
    uint32_t move[2];
    TRY(stack_step_view(b, *buffer, 2, few, &move[0]));
    *buffer = other(*buffer, which);
    TRY(stack_step_view(b, *buffer, 2, dim, &move[1]));
    return stack_step_move(b, &(stack_step){.what = STEP_SPREAD}, move, 2);
}

/* Where tokens halt: what was computed for some rows goes to its place among those of all, which keeps
 * what it had of the others. */
static int32_t keep(stack_builder *b, uint32_t which, int rank, const int64_t *dim, uint32_t *view)
{
    const uint32_t rows = b->rows;
    const uint32_t some = *view;
    b->rows = b->all_rows;
    TRY(stack_step_view(b, STACK_KEPT + which, rank, dim, view));
    b->rows = rows;
    return stack_step_move(b, &(stack_step){.what = STEP_PUT}, (uint32_t[]){some, *view}, 2);
}

static int32_t project_rows(stack_builder *b, const attention *a, uint32_t port, uint32_t which,
                            uint32_t *view)
{
    const int rank = a->op->entry->axes[port].count - 2;
    const int64_t width = b->stack->number[STACK_WIDTH];
    const int64_t repeat = a->cross || which > STACK_K
                               ? 1
                               : stack_plan_number(&b->plan, b->side, STACK_QK_REPEAT, a->layer);
    int64_t dim[HEED_MAX_RANK], few[HEED_MAX_RANK], outputs;
    uint32_t buffer = STACK_PROJECTIONS + which;
    char name[96];
    const double gain = b->gain;
    TRY(stack_sizes_of(b, a->op, port, a->axis, dim, &outputs));
    memcpy(few, dim, sizeof few);
    if (repeat > 1 && (rank != 2 || dim[0] % repeat))
        FAIL(b, a, "%s has no heads of %s that %lld could share (qk_repeat)", a->op->entry->op.id,
             projected[which], (long long)repeat);
    few[0] /= repeat, outputs /= repeat;
    snprintf(name, sizeof name, "%s%s.", a->prefix, projected[which]);
    b->gain = which == STACK_V ? gain : 1;
    const int32_t failed = stack_step_project(b, name, a->from, width, buffer, outputs);
    b->gain = gain;
    if (failed) return failed;
    TRY(convolve(b, a, which, outputs, &buffer));
    if (repeat > 1) TRY(spread(b, which, few, dim, &buffer));
    TRY(add_qk_norm(b, a, which, rank, dim, &buffer));
    if (b->acts == HEED_ACTS_QK && (which == STACK_Q || which == STACK_K))
        TRY(stack_position_add(b, &buffer, other(buffer, which), rank, dim));
    TRY(stack_step_view(b, buffer, rank, dim, view));
    return a->kept ? keep(b, which, rank, dim, view) : HEED_OK;
}

/* Queries are of the tokens that run, and all else of those whose keys are to be made. */
static int32_t project(stack_builder *b, const attention *a, uint32_t port, uint32_t which,
                       uint32_t *view)
{
    const uint32_t rows = b->rows;
    if (a->kept && which == STACK_Q) b->rows = STACK_RUNNING;
    const int32_t failed = project_rows(b, a, port, which, view);
    b->rows = rows;
    return failed;
}

/* The view for an input of an attention, or *bound = 0 if it is left out. */
static int32_t self_input(stack_builder *b, const attention *a, uint32_t port, uint32_t *view,
                          int *bound)
{
    const entry *e = a->op->entry;
    const heed_port *p = entry_port(e, port);
    const port_axes *axes = &e->axes[port];
    const int optional = p->flags & HEED_PORT_OPTIONAL;
    const int over_time = !axes->leading && axes->count >= 2 && axes->letter[0] == 'B' &&
                          (axes->letter[1] == 'T' || axes->letter[1] == 'S');
    uint32_t which = 0;
    char name[96];
    *bound = 1;
    if (a->kept && over_time && !strcmp(p->name, "x"))
        FAIL(
            b, a,
            "%s takes its layer's input itself, and where tokens halt that is of some of them; one "
            "that takes queries, keys and values is right here",
            e->op.id);
    if (over_time && axes->count == 3 && axes->letter[2] == 'M' && !strcmp(p->name, "x"))
        return stack_step_rows(b, a->from, b->stack->number[STACK_WIDTH], view);
    if (over_time && axes->count == 2 && !optional && !strcmp(p->name, "positions"))
        return stack_step_positions(b, view);
    while (which < STACK_PROJECTED && strcmp(p->name, projected[which])) which++;
    if (which < STACK_PROJECTED && over_time && axes->count > 2) {
        if (!optional) return project(b, a, port, which, view);
        /* it is there where its weights are, and where weights are made */
        TRY(may_project(b, a, p->name, bound));
        snprintf(name, sizeof name, "%s%s.weight", a->prefix, p->name);
        *bound = *bound && (b->source->make || b->source->find(b->source, name));
        return *bound ? project(b, a, port, which, view) : HEED_OK;
    }
    *bound = 0;
    if (optional) return HEED_OK;
    FAIL(b, a, "%s needs the input %s (%s), which a stack can not make", e->op.id, p->name,
         p->axes);
}

/* Keys and values are views that stay, of the encoded text; their steps run when it is encoded. */
static int32_t project_memory(stack_builder *b, const attention *a, uint32_t port, uint32_t which,
                              uint32_t *view)
{
    const int64_t width = b->stack->number[STACK_WIDTH];
    const uint32_t stays = STACK_BUFFERS + 2 * (uint32_t)a->layer + (which == STACK_V);
    int64_t dim[HEED_MAX_RANK], outputs;
    const double gain = b->gain;
    const uint32_t rows = b->rows;
    char name[96];
    TRY(stack_sizes_of(b, a->op, port, a->axis, dim, &outputs));
    snprintf(name, sizeof name, "%s%s.", a->prefix, projected[which]);
    b->gain = which == STACK_V ? gain : 1;
    b->encodes = 1, b->rows = STACK_SOURCE;
    int32_t failed = stack_step_project(b, name, b->memory, width, stays, outputs);
    if (!failed) failed = stack_step_view(b, stays, a->op->entry->axes[port].count - 2, dim, view);
    b->encodes = 0, b->rows = rows, b->gain = gain;
    return failed;
}

static int32_t cross_input(stack_builder *b, const attention *a, uint32_t port, uint32_t *view,
                           int *bound)
{
    static const char *const axes_of[] = {[STACK_Q] = "BT", [STACK_K] = "BS", [STACK_V] = "BS"};
    const entry *e = a->op->entry;
    const heed_port *p = entry_port(e, port);
    const port_axes *axes = &e->axes[port];
    uint32_t which = 0;
    while (which <= STACK_V && strcmp(p->name, projected[which])) which++;
    *bound = which <= STACK_V;
    if (!*bound && p->flags & HEED_PORT_OPTIONAL) return HEED_OK;
    if (!*bound)
        FAIL(b, a,
             "%s needs the input %s (%s), which cross-attention does not have: it has "
             "queries of the text, and keys and values of the encoded one",
             e->op.id, p->name, p->axes);
    if (axes->leading || axes->count < 3 || memcmp(axes->letter, axes_of[which], 2))
        FAIL(b, a,
             "%s takes %s as %s: its queries and keys are of one text, so it can not be "
             "cross-attention",
             e->op.id, p->name, p->axes);
    return which == STACK_Q ? project(b, a, port, which, view)
                            : project_memory(b, a, port, which, view);
}

/* Whether scores go by positions: the op's own, or those of an op inside. */
static int goes_by_positions(const resolved *op)
{
    if (op->entry->op.acts == HEED_ACTS_SCORES) return 1;
    for (uint32_t p = 0; p < op->entry->op.params.count; p++)
        if (op->child[p] && goes_by_positions(op->child[p])) return 1;
    return 0;
}

static int32_t check_cross(stack_builder *b, const attention *a)
{
    for (uint32_t which = STACK_Q; which <= STACK_V; which++)
        if (!stack_step_port(a->op->entry, projected[which], HEED_INPUT))
            FAIL(b, a,
                 "%s has no input %s, so it can not be cross-attention, which takes queries, "
                 "keys and values",
                 a->op->entry->op.id, projected[which]);
    if (a->op->mask.kinds)
        FAIL(b, a, "cross-attention sees the whole encoded text, so %s takes no mask here",
             a->op->entry->op.id);
    if (goes_by_positions(a->op))
        FAIL(b, a,
             "the scores of %s go by how far a key is from its query, which two texts do not "
             "know, so it can not be cross-attention",
             a->op->entry->op.id);
    return HEED_OK;
}

/* ---- what it remembers ---- */

static int32_t remember(stack_builder *b, const attention *a, const heed_instance *i,
                        int32_t *memory)
{
    *memory = -1;
    if (b->dry) return HEED_OK;
    const int causal = sequence_is_causal(i),
              ahead = !causal && !(i->mask.kinds & HEED_MASK_CAUSAL);
    if ((a->cross || b->side == STACK_ENCODER) && causal)
        FAIL(b, a, "%s sees no token behind its own, whatever the mask, so it can not be %s",
             i->entry->op.id, a->cross ? "cross-attention" : "in an encoder");
    if (a->cross || b->side == STACK_ENCODER) return HEED_OK;
    if (!i->entry->op.measure_state) b->stack->forgets = i->entry->op.id;
    int64_t prefix = !causal && i->mask.kinds & HEED_MASK_PREFIX ? i->mask.prefix : 0;
    if (ahead) b->stack->ahead = heed_instance_spec(i);
    if (prefix > b->stack->prefix) b->stack->prefix = prefix;
    if (!i->entry->op.measure_state || ahead || prefix) b->stack->whole = 1;
    if (!i->entry->op.measure_state) return HEED_OK;
    const heed_instance **slot =
        grow_append(&b->stack->memories, &b->stack->n_memories, sizeof *slot);
    if (!slot) return error_memory(b->error);
    *slot = i;
    *memory = (int32_t)b->stack->n_memories - 1;
    return HEED_OK;
}

/* ---- the whole ---- */

/* Whether a call may have the queries of the last new tokens alone: those of a causal op with a state, whose
 * other inputs are of keys. */
static int goes_late(const stack_builder *b, const heed_instance *i, const stack_use *in,
                     uint32_t n, int32_t memory)
{
    if (b->dry || memory < 0 || b->stack->whole) return 0;
    for (uint32_t u = 0; u < n; u++) {
        const heed_port *port = stack_step_port(i->entry, in[u].port, HEED_INPUT);
        const port_axes *axes = &i->entry->axes[port - entry_port(i->entry, 0)];
        if (strcmp(in[u].port, "q") && axes->letter[1] == 'T') return 0;
    }
    return 1;
}

/* Where tokens halt: the op is called for all of them, and the rows of those that run are taken from
 * what it gives. */
static int32_t attend_all(stack_builder *b, const heed_instance *i, const stack_use *in, uint32_t n,
                          uint32_t some, int32_t memory)
{
    const uint32_t rows = b->rows;
    const stack_view *v = &b->stack->views[some];
    int64_t dim[HEED_MAX_RANK];
    uint32_t all;
    const int32_t rank = v->rank - 2;
    memcpy(dim, v->dim + 2, sizeof *dim * (size_t)rank);
    b->rows = b->all_rows;
    TRY(stack_step_view(b, STACK_MIXED_ALL, rank, dim, &all));
    b->rows = rows;
    TRY(stack_step_attend(b, i, in, n, all, memory,
                          STEP_ALL_ROWS | (goes_late(b, i, in, n, memory) ? STEP_LATE : 0)));
    return stack_step_move(b, &(stack_step){.what = STEP_TAKE}, (uint32_t[]){all, some}, 2);
}

/* Where what it gives is, of each head. */
typedef struct mixed {
    uint32_t buffer;
    int rank;
    int64_t dim[HEED_MAX_RANK], outputs;
} mixed;

/* The norm of each head of what it gives. */
static int32_t add_head_norm(stack_builder *b, const attention *a, mixed *m)
{
    const resolved *norm = stack_plan_decoder_op(&b->plan, b->side, STACK_PART_HEAD_NORM, a->layer);
    int64_t axis[HEED_AXES];
    char name[96];
    heed_instance *i;
    uint32_t in, out;
    if (!norm || a->cross) return HEED_OK;
    const heed_port *port = stack_step_port(norm->entry, "out", HEED_OUTPUT);
    stack_step_axes(axis);
    HEED_AXIS(axis, 'M') = m->dim[m->rank - 1];
    snprintf(name, sizeof name, "%shead_norm.", a->prefix);
    TRY(stack_weights_open(b, norm, name, axis, &i));
    TRY(stack_step_view(b, m->buffer, m->rank, m->dim, &in));
    /* queries have been used */
    if (!port || !(port->flags & HEED_PORT_IN_PLACE)) m->buffer = STACK_PROJECTIONS + STACK_Q;
    TRY(stack_step_view(b, m->buffer, m->rank, m->dim, &out));
    return stack_step_add(b, i, &(stack_use){"x", in}, 1, out, -1);
}

/* How much of each channel is let through, by a projection of the layer's input. */
static int32_t add_output_gate(stack_builder *b, const attention *a, mixed *m)
{
    const resolved *op = stack_plan_decoder_op(&b->plan, b->side, STACK_PART_OUTPUT_GATE, a->layer);
    int64_t axis[HEED_AXES];
    char name[96];
    heed_instance *i;
    uint32_t x, gate;
    if (!op || a->cross) return HEED_OK;
    if (!stack_step_port(op->entry, "gate", HEED_INPUT))
        FAIL(b, a, "output_gate takes an op with an input gate, and %s has none", op->entry->op.id);
    snprintf(name, sizeof name, "%soutput_gate.", a->prefix);
    TRY(stack_step_project(b, name, a->from, b->stack->number[STACK_WIDTH], STACK_OUTPUT_GATE,
                           m->outputs));
    stack_step_axes(axis);
    HEED_AXIS(axis, 'M') = m->outputs;
    snprintf(name, sizeof name, "%soutput_gate.op.", a->prefix);
    TRY(stack_weights_open(b, op, name, axis, &i));
    TRY(stack_step_rows(b, m->buffer, m->outputs, &x));
    TRY(stack_step_rows(b, STACK_OUTPUT_GATE, m->outputs, &gate));
    return stack_step_add(b, i, (stack_use[]){{"x", x}, {"gate", gate}}, 2, x, -1);
}

/* Of an op whose output is the sum over its heads there is nothing to be normalised or gated. */
static int32_t check_whole(stack_builder *b, const attention *a)
{
    static const uint32_t parts[] = {STACK_PART_HEAD_NORM, STACK_PART_OUTPUT_GATE};
    for (int i = 0; i < 2 && !a->cross; i++)
        if (stack_plan_decoder_op(&b->plan, b->side, parts[i], a->layer))
            FAIL(b, a, "%s gives a row for each token, and %s is of heads", a->op->entry->op.id,
                 i ? "output_gate" : "head_norm");
    return HEED_OK;
}

/* Its output to the role Y, by a projection but where it is the sum over the heads already, "B T
 * M". */
static int32_t add_output(stack_builder *b, const attention *a, const heed_instance *i,
                          const stack_use *in, uint32_t n, int32_t memory)
{
    const entry *e = a->op->entry;
    const heed_port *port = stack_step_port(e, "out", HEED_OUTPUT);
    mixed m = {.buffer = STACK_MIXED};
    uint32_t to;
    char name[96];
    if (!port) FAIL(b, a, "%s has no output named out", e->op.id);
    const port_axes *axes = &e->axes[port - entry_port(e, 0)];
    TRY(stack_sizes_of(b, a->op, (uint32_t)(port - entry_port(e, 0)), a->axis, m.dim, &m.outputs));
    const int heads = !(axes->count == 3 && axes->letter[2] == 'M');
    if (axes->leading || axes->count < 3 || axes->letter[0] != 'B' || axes->letter[1] != 'T')
        FAIL(b, a, "%s has the output out (%s), which is no row for each token", e->op.id,
             port->axes);
    const uint32_t y = b->buffer[STACK_ROLE_Y];
    if (a->kept) b->rows = STACK_RUNNING;
    m.rank = axes->count - 2;
    TRY(stack_step_view(b, heads ? m.buffer : y, m.rank, m.dim, &to));
    TRY((a->kept ? attend_all : stack_step_add)(b, i, in, n, to, memory));
    if (!heads) return check_whole(b, a);
    TRY(add_head_norm(b, a, &m));
    TRY(add_output_gate(b, a, &m));
    snprintf(name, sizeof name, "%so.", a->prefix);
    return stack_step_project(b, name, m.buffer, m.outputs, y, b->stack->number[STACK_WIDTH]);
}

static void known_sizes(const stack_builder *b, const attention *a, int64_t *axis)
{
    static const struct {
        char letter;
        uint32_t slot;
    } of_heads[] = {{'H', STACK_HEADS},
                    {'G', STACK_KV_HEADS},
                    {'D', STACK_HEAD_WIDTH},
                    {'E', STACK_VALUE_WIDTH}};
    const int64_t *number = b->stack->number;
    stack_step_axes(axis);
    for (size_t i = 0; i < sizeof of_heads / sizeof *of_heads; i++)
        HEED_AXIS(axis, of_heads[i].letter) =
            stack_plan_number(&b->plan, b->side, of_heads[i].slot, a->layer);
    HEED_AXIS(axis, 'M') = number[STACK_WIDTH];
    HEED_AXIS(axis, 'V') = number[STACK_VOCAB];
    if (b->source->make)
        HEED_AXIS(axis, 'C') = number[STACK_CONTEXT], HEED_AXIS(axis, 'W') = HEED_AXIS(axis, 'H');
}

static int32_t build(stack_builder *b, attention *a)
{
    char name[96];
    heed_instance *i;
    stack_use in[PORT_MAX];
    uint32_t n = 0;
    int32_t memory;
    const double gain = b->gain;
    known_sizes(b, a, a->axis);
    snprintf(name, sizeof name, "%sattention.", a->prefix);
    b->gain = 1;
    TRY(stack_weights_open(b, a->op, name, a->axis, &i));
    b->gain = gain;
    TRY(remember(b, a, i, &memory));
    for (uint32_t p = 0; p < a->op->entry->op.ports.count; p++) {
        int bound = 0;
        if (entry_port(a->op->entry, p)->role != HEED_INPUT) continue;
        in[n].port = entry_port(a->op->entry, p)->name;
        TRY((a->cross ? cross_input : self_input)(b, a, p, &in[n].view, &bound));
        n += bound != 0;
    }
    return add_output(b, a, i, in, n, memory);
}

/* A convolution is over projections. */
static int32_t check_convolution(stack_builder *b, const attention *a)
{
    const resolved *op = stack_plan_decoder_op(&b->plan, b->side, STACK_PART_CONVOLUTION, a->layer);
    if (op && !stack_step_port(a->op->entry, "v", HEED_INPUT))
        FAIL(b, a, "%s has no input v, and %s is over queries, keys and values",
             a->op->entry->op.id, op->entry->op.id);
    return HEED_OK;
}

int32_t stack_attention_self(stack_builder *b, const stack_sublayer *s, uint32_t from)
{
    attention a = {.op = stack_plan_op(&b->plan, b->side, STACK_PART_ATTENTION, s->layer),
                   .node = stack_plan_node(&b->plan, b->side, STACK_PART_ATTENTION, s->layer),
                   .layer = s->layer,
                   .kept = b->halts,
                   .from = from};
    snprintf(a.prefix, sizeof a.prefix, "%s", s->prefix);
    TRY(stack_position_place(b, a.node, &a.op));
    TRY(check_convolution(b, &a));
    return build(b, &a);
}

int32_t stack_attention_cross(stack_builder *b, const stack_sublayer *s, uint32_t from)
{
    attention a = {.op = stack_plan_op(&b->plan, b->side, STACK_PART_CROSS, s->layer),
                   .node = stack_plan_node(&b->plan, b->side, STACK_PART_CROSS, s->layer),
                   .layer = s->layer,
                   .cross = 1,
                   .from = from};
    const uint32_t acts = b->acts;
    snprintf(a.prefix, sizeof a.prefix, "%scross.", s->prefix);
    TRY(check_cross(b, &a));
    b->acts = HEED_ACTS_NOWHERE; /* positions of two texts have nothing to do with one another */
    TRY(build(b, &a));
    b->acts = acts;
    return HEED_OK;
}
