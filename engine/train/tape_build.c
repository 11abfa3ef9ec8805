/* SPDX-License-Identifier: MIT
 *
 * tape_build.c: a tape of a network's steps: which value each one reads and writes, whose memory can
 * be written over, where dropout goes, and whether every op has a backward.
 *
 * Dropout stands where arXiv 1706.03762, section 5.4, has it: on what flows into the first layer,
 * and on what each sublayer adds to the stream.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/grow.h"
#include "op/instance.h"
#include "op/sequence.h"
#include "train/tape_inside.h"

typedef struct build {
    tape *t;
    tape_weight *weights;
    uint32_t count;
    int drops;
    uint32_t place;    /* of the next dropout */
    uint32_t text;     /* TAPE_SOURCE: the steps are those of the encoder */
    uint32_t *current; /* [stack->n_buffers] the value that is in a buffer */
    heed_error *error;
} build;

/* ---- values ---- */

/* Of whose tokens a view has rows. Where tokens halt, all of them are computed: which ones count is for
 * TAPE_SELECT. */
static uint32_t rows_of(const build *b, const stack_view *v)
{
    if (v->rows == STACK_ONE || v->rows == STACK_SOURCE) return v->rows;
    return b->text == TAPE_SOURCE ? STACK_SOURCE : STACK_ROWS;
}

static int64_t span_of(const stack_view *v)
{
    int64_t n = 1;
    for (int32_t i = v->rows == STACK_ONE ? 1 : 2; i < v->rank; i++) n *= v->dim[i];
    return n;
}

static int32_t add_value(build *b, uint32_t rows, int64_t span, uint32_t *value)
{
    tape *t = b->t;
    tape_value *v = grow_append(&t->values, &t->n_values, sizeof *v);
    if (!v) return error_memory(b->error);
    *value = t->n_values - 1;
    *v = (tape_value){.rows = rows, .span = span, .in = *value};
    return HEED_OK;
}

/* One that is the same for all texts. */
static int32_t add_constant(build *b, uint32_t rows, int64_t span, float fill, uint32_t *value)
{
    TRY(add_value(b, rows, span, value));
    b->t->values[*value].constant = 1, b->t->values[*value].fill = fill;
    return HEED_OK;
}

/* The value may be written where `old` is, which nothing reads but the step that writes. */
static void write_over(tape *t, uint32_t value, uint32_t old)
{
    if (t->values[old].readers == 1 && !t->values[old].kept && t->values[old].span > 0)
        t->values[value].in = t->values[old].in;
}

/* ---- what a step needs ---- */

static uint32_t time_of(const char *id)
{
    static const struct {
        const char *kind;
        uint32_t counts;
    } kinds[] = {{"attention/", TAPE_ATTENTION},
                 {"linear/", TAPE_PRODUCTS},
                 {"feedforward/", TAPE_PRODUCTS},
                 {"norm/", TAPE_NORMS}};
    for (size_t k = 0; k < sizeof kinds / sizeof *kinds; k++)
        if (!strncmp(id, kinds[k].kind, strlen(kinds[k].kind))) return kinds[k].counts;
    return TAPE_OTHERS;
}

static int32_t refuse(const build *b, const heed_instance *i, const char *what, const char *port)
{
    return error_set(b->error, HEED_E_UNSUPPORTED,
                     "%s: %s has no %s%s, so a network with it can not be trained",
                     i->part ? i->part : "a sum", i->entry->op.id, what, port);
}

/* Where the gradients of an op's weights are added up; of one inside of the step's op, whose param
 * `key` it is. */
static int32_t bind_ports(const build *b, tape_step *s, const heed_instance *i, uint32_t gives,
                          const char *key)
{
    const entry *e = i->entry;
    for (uint32_t p = 0; p < e->op.ports.count; p++) {
        if (!i->weight[p]) continue;
        const char *name = entry_port(e, p)->name;
        uint32_t w = 0;
        if (!(gives >> p & 1)) return refuse(b, i, "gradient of its weight ", name);
        while (w < b->count && b->weights[w].weight != i->weight[p]) w++;
        if (w == b->count)
            return error_set(b->error, HEED_E_ARGUMENT,
                             "%s of %s is bound to a tensor that is none of the trainer's", name,
                             e->op.id);
        tape_bound *bound = grow_append(&s->weights, &s->n_weights, sizeof *bound);
        if (!bound) return error_memory(b->error);
        bound->weight = w;
        if (snprintf(bound->port, sizeof bound->port, "%s%s%s", key, *key ? "." : "", name) >=
            (int)sizeof bound->port)
            return refuse(b, i, "name short enough for its weight ", name);
    }
    return HEED_OK;
}

/* The ops inside of the step's op have theirs by it; those inside of these have none. */
static int32_t bind_inside(const build *b, tape_step *s, const heed_instance *i, int outermost)
{
    for (uint32_t p = 0; p < i->entry->op.params.count; p++) {
        if (!i->children[p]) continue;
        TRY(bind_ports(b, s, i->children[p], outermost ? instance_gives(i, p) : 0,
                       entry_param(i->entry, p)->key));
        TRY(bind_inside(b, s, i->children[p], 0));
    }
    return HEED_OK;
}

/* That the op has the gradients that are needed; and which of its outputs its backward reads. */
static int32_t take_backward(const build *b, tape_step *s)
{
    const stack_use *use = b->t->stack->uses + s->of->first;
    const heed_instance *i = s->of->instance;
    const heed_grad *grad = heed_op_grad(&i->entry->op, i->path);
    if (!grad) return refuse(b, i, "backward", "");
    for (uint32_t p = 0; p < i->entry->op.ports.count; p++) {
        const heed_port *port = entry_port(i->entry, p);
        for (uint32_t k = 0; port->role == HEED_INPUT && k < s->of->n_in; k++)
            if (!strcmp(use[k].port, port->name) && !(grad->gives >> p & 1) &&
                b->t->use[s->of->first + k] >= TAPE_VALUES_GIVEN &&
                !b->t->values[b->t->use[s->of->first + k]].constant)
                return refuse(b, i, "gradient of its input ", port->name);
        if (!(grad->reads >> p & 1)) continue;
        if (!strcmp(port->name, use[s->of->n_in].port)) {
            s->reads_out = 1;
            continue;
        }
        tape_kept *kept = grow_append(&s->kept, &s->n_kept, sizeof *kept);
        if (!kept) return error_memory(b->error);
        kept->port = port->name;
    }
    TRY(tape_reach_find(b->t, s, b->error));
    TRY(bind_ports(b, s, i, grad->gives, ""));
    return bind_inside(b, s, i, 1);
}

/* x + y, whose gradient is that of both. */
static int is_sum(const heed_instance *i)
{
    return !strcmp(i->entry->op.id, "residual/add") && !strchr(heed_instance_spec(i), '(');
}

static int has_port(const heed_instance *i, const char *name)
{
    for (uint32_t p = 0; p < i->entry->op.ports.count; p++)
        if (!strcmp(entry_port(i->entry, p)->name, name)) return 1;
    return 0;
}

/* Whose lengths an op must know where texts of a batch have different ones: those of the rows that it
 * mixes. One that is causal needs none, for what fills up a text stands behind it. */
static void note_lengths(const build *b, tape_step *s)
{
    const heed_instance *i = s->of->instance;
    const int attends = !strncmp(i->entry->op.id, "attention/", 10),
              pools = !strncmp(i->entry->op.id, "pool/", 5);
    s->lengths = TAPE_TEXTS;
    if (!pools && (!attends || sequence_is_causal(i) ||
                   (i->mask.kinds & HEED_MASK_CAUSAL && !(i->mask.kinds & HEED_MASK_PREFIX))))
        return;
    if (i->mask.kinds & HEED_MASK_PREFIX || !has_port(i, "key_lengths")) {
        b->t->unequal = i->entry->op.id;
        return;
    }
    s->lengths = TAPE_TEXT;
    for (uint32_t k = 0; k < s->of->n_in; k++)
        if (b->t->values[b->t->use[s->of->first + k]].rows == STACK_SOURCE)
            s->lengths = TAPE_SOURCE;
}

/* ---- the list ---- */

static tape_step *new_step(build *b, uint32_t kind, uint32_t counts)
{
    tape_step *s = grow_append(&b->t->steps, &b->t->n_steps, sizeof *s);
    if (s) *s = (tape_step){.kind = kind, .counts = counts, .lengths = TAPE_TEXTS};
    else error_memory(b->error);
    return s;
}

static uint32_t buffer_of(const build *b, const stack_step *of, uint32_t use)
{
    const heed_stack *s = b->t->stack;
    return s->views[s->uses[of->first + use].view].buffer;
}

static int32_t add_op(build *b, const stack_step *of)
{
    tape *t = b->t;
    const stack_view *to = &t->stack->views[t->stack->uses[of->first + of->n_in].view];
    tape_step *s =
        new_step(b, is_sum(of->instance) ? TAPE_SUM : TAPE_OP, time_of(of->instance->entry->op.id));
    if (!s) return HEED_E_MEMORY;
    s->of = of;
    for (uint32_t k = 0; k < of->n_in; k++) {
        const uint32_t value = b->current[buffer_of(b, of, k)];
        t->use[of->first + k] = value;
        t->values[value].readers++;
    }
    TRY(take_backward(b, s));
    note_lengths(b, s);
    TRY(add_value(b, rows_of(b, to), span_of(to), &s->to));
    t->use[of->first + of->n_in] = s->to;
    t->values[s->to].kept = s->reads_out;
    b->current[to->buffer] = s->to;
    return HEED_OK;
}

/* Leaves out elements of what is in a buffer. */
static int32_t add_drop(build *b, uint32_t buffer)
{
    tape *t = b->t;
    const uint32_t from = b->current[buffer];
    tape_step *s = new_step(b, TAPE_DROP, TAPE_DROPOUT);
    if (!s) return HEED_E_MEMORY;
    s->place = b->place++, s->from = from;
    t->values[from].readers++;
    TRY(add_value(b, t->values[from].rows, t->values[from].span, &s->to));
    b->current[buffer] = s->to;
    return HEED_OK;
}

/* ---- tokens that halt ---- */

/* What a step moves is moved for all tokens, so that a buffer has the value of another one. */
static void pass_on(build *b, const stack_step *of, uint32_t first)
{
    for (uint32_t k = first; k < of->n_in; k += 2)
        b->current[buffer_of(b, of, k + 1)] = b->current[buffer_of(b, of, k)];
}

/* In the last layer all that is left of a token's weight goes to it. */
static int32_t begin_layer(build *b, const stack_step *of)
{
    const uint32_t rows = b->text == TAPE_SOURCE ? STACK_SOURCE : STACK_ROWS;
    uint32_t ones;
    pass_on(b, of, 0);
    if (!(of->flags & STEP_LAST)) return HEED_OK;
    TRY(add_constant(b, rows, 1, 1, &ones));
    b->current[STACK_AFTER] = ones;
    return HEED_OK;
}

/* A token that has halted keeps its state. */
static int32_t end_layer(build *b, const stack_step *of)
{
    tape *t = b->t;
    const uint32_t from = b->current[buffer_of(b, of, 0)], other = b->current[STACK_STATE],
                   before = b->current[STACK_BEFORE];
    tape_step *s = new_step(b, TAPE_SELECT, TAPE_OTHERS);
    tape_halting *h = s ? grow_append(&t->halting, &t->n_halting, sizeof *h) : NULL;
    if (!h) return error_memory(b->error);
    s->from = from, s->other = other, s->before = before;
    *h = (tape_halting){before, b->current[STACK_AFTER], b->text, of->layer};
    t->values[from].readers++, t->values[other].readers++, t->values[before].readers++;
    TRY(add_value(b, t->values[from].rows, t->values[from].span, &s->to));
    b->current[STACK_STATE] = s->to;
    pass_on(b, of, 2);
    return HEED_OK;
}

static int32_t add_step(build *b, const stack_step *of)
{
    const stack_view *view = &b->t->stack->views[b->t->stack->uses[of->first].view];
    uint32_t zeros;
    switch (of->what) {
    case STEP_RUN:
    case STEP_ATTEND: return add_op(b, of);
    case STEP_BEGIN: return begin_layer(b, of);
    case STEP_END: return end_layer(b, of);
    case STEP_TAKE:
    case STEP_PUT: pass_on(b, of, 0); return HEED_OK;
    case STEP_CLEAR:
        TRY(add_constant(b, rows_of(b, view), span_of(view), 0, &zeros));
        b->current[view->buffer] = zeros;
        return HEED_OK;
    case STEP_SPREAD:
        return error_set(b->error, HEED_E_UNSUPPORTED,
                         "heads of this network share projections of queries and keys (qk_repeat), "
                         "and such networks are not trained yet");
    default:
        return error_set(b->error, HEED_E_UNSUPPORTED,
                         "tokens of this network go to experts (router), and such networks are not "
                         "trained yet");
    }
}

/* ---- all of it ---- */

/* Whether a step adds to the stream what a sublayer has given, for the first time: the buffer that it
 * is in, or 0. */
static uint32_t added_buffer(const build *b, const stack_step *of, uint32_t step)
{
    if (!step || of->layer < 0 || !of->instance ||
        strcmp(of->instance->entry->op.id, "residual/add"))
        return 0;
    const stack_step *before = of - 1;
    const uint32_t buffer = buffer_of(b, of, 1);
    return buffer == buffer_of(b, before, before->n_in) ? buffer : 0;
}

/* Which values flow out of layers, before a step; with classifiers there they are read once more. */
static void note_flows(build *b, uint32_t step)
{
    const heed_stack *s = b->t->stack;
    if (s->n_flows && s->flows[0].steps == step)
        b->t->into = b->current[s->views[s->flows[0].view].buffer];
    for (uint32_t l = 0; l + 1 < s->n_flows; l++) {
        if (s->flows[l + 1].steps != step) continue;
        b->t->flow[l] = b->current[s->views[s->flows[l + 1].view].buffer];
        if (s->number[STACK_AUXILIARY] > 0) b->t->values[b->t->flow[l]].readers++;
    }
}

/* The buffer that flows into the first layer, before the first step of it; 0 before the others. */
static uint32_t first_flow(const build *b, const stack_step *of, uint32_t step)
{
    const heed_stack *s = b->t->stack;
    if (b->text == TAPE_TEXT)
        return s->n_flows && s->flows[0].steps == step ? s->views[s->flows[0].view].buffer : 0;
    return !b->place && step && !of->layer && of[-1].layer < 0 ? buffer_of(b, of - 1, of[-1].n_in)
                                                               : 0;
}

static int32_t add_list(build *b, uint32_t text, const stack_step *steps, uint32_t count)
{
    b->text = text;
    for (uint32_t given = 0; given < TAPE_VALUES_OF; given++) {
        static const uint32_t buffers[TAPE_VALUES_OF] = {STACK_TOKENS, STACK_POSITIONS,
                                                         STACK_TYPES};
        b->current[buffers[given]] = TAPE_VALUES_OF * text + given;
    }
    for (uint32_t k = 0; k < count; k++) {
        if (text == TAPE_TEXT) note_flows(b, k);
        const uint32_t first = b->drops ? first_flow(b, &steps[k], k) : 0,
                       added = b->drops ? added_buffer(b, &steps[k], k) : 0;
        if (first) TRY(add_drop(b, first));
        if (added) TRY(add_drop(b, added));
        TRY(add_step(b, &steps[k]));
    }
    return HEED_OK;
}

static int32_t add_all(build *b)
{
    const heed_stack *s = b->t->stack;
    TRY(add_list(b, TAPE_SOURCE, s->encode, s->n_encode));
    TRY(add_list(b, TAPE_TEXT, s->steps, s->n_steps));
    b->t->result = b->current[s->views[s->result].buffer];
    b->t->values[b->t->result].readers++;
    return HEED_OK;
}

/* Once all readers are known: which values are written where another was. */
static void share_memory(tape *t)
{
    for (uint32_t k = 0; k < t->n_steps; k++) {
        const tape_step *s = &t->steps[k];
        if (s->kind == TAPE_DROP) write_over(t, s->to, s->from);
        else if (s->kind == TAPE_SUM) write_over(t, s->to, t->use[s->of->first + 1]);
    }
}

static int32_t make(build *b)
{
    tape *t = b->t;
    uint32_t value;
    t->use = calloc((size_t)t->stack->n_uses + 1, sizeof *t->use);
    t->tensors = calloc((size_t)t->stack->n_uses + 1, sizeof *t->tensors);
    t->flow = calloc((size_t)t->stack->n_flows + 1, sizeof *t->flow);
    b->current = calloc(t->stack->n_buffers, sizeof *b->current);
    if (!t->use || !t->tensors || !t->flow || !b->current) return error_memory(b->error);
    for (uint32_t given = 0; given < TAPE_VALUES_GIVEN; given++)
        TRY(add_value(b, given < TAPE_VALUES_OF ? STACK_ROWS : STACK_SOURCE, 0, &value));
    TRY(add_all(b));
    share_memory(t);
    tape_refresh(t);
    t->add = heed_instance_open(t->stack->engine, "residual/add", NULL, b->error);
    return t->add ? HEED_OK : HEED_E_UNSUPPORTED;
}

tape *tape_new(heed_stack *stack, tape_weight *weights, uint32_t count, int drops,
               heed_error *error)
{
    tape *t = calloc(1, sizeof *t);
    if (!t) return error_memory(error), NULL;
    t->stack = stack, t->weights = weights;
    build b = {.t = t, .weights = weights, .count = count, .drops = drops, .error = error};
    const int32_t failed = make(&b);
    free(b.current);
    if (!failed) return t;
    tape_free(t);
    return NULL;
}
