/* SPDX-License-Identifier: MIT
 *
 * stack.c: a network from a spec: which op follows which, on what, and the public functions.
 *
 *     pre   x = x + o(attention(norm x));  x = x + feedforward(norm x);  logits = output(norm x)
 *     post  x = norm(x + o(attention x));  x = norm(x + feedforward x);  logits = output x
 *
 * It runs nothing (session.c does) and knows no op of attention, norm, position or feed-forward by
 * name: what is made for an attention follows from its ports. Invariant: the network is put
 * together twice by the same code. The first round is dry: it asks for every tensor and opens
 * nothing, so that a missing or an unused one is known before any work is done. The spec and the
 * weights are hostile.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/grow.h"
#include "model/stack.h"
#include "model/stack_builder.h"
#include "model/stack_plan.h"
#include "model/stack_position.h"
#include "model/stack_step.h"
#include "model/stack_weights.h"
#include "op/engine.h"
#include "op/registry.h"
#include "op/resolve.h"
#include "op/sequence.h"
#include "op/spec.h"

/* What the stack uses by name. */
static const char *const fixed_ids[STACK_OPS] = {[STACK_OP_EMBED] = "embed/table",
                                                 [STACK_OP_PROJECTION] = "linear/projection",
                                                 [STACK_OP_ADD] = "residual/add"};

/* Inputs of an attention that are made from the layer's input, and the buffers they go to. */
static const char *const projected[STACK_PROJECTED] = {
    [STACK_Q] = "q", [STACK_K] = "k", [STACK_V] = "v", [STACK_BETA] = "beta", [STACK_GATE] = "gate",
};

/* ---- one layer ---- */

/* The view for an input of an attention, or *bound = 0 if it is left out. */
static int32_t attention_input(stack_builder *b, const char *prefix, const stack_part *t,
                               uint32_t item, uint32_t port, const int64_t *axis, uint32_t from,
                               uint32_t *view, int *bound)
{
    const entry *e = t->op[item]->entry;
    const heed_port *p = entry_port(e, port);
    const port_axes *a = &e->axes[port];
    int optional = p->flags & HEED_PORT_OPTIONAL;
    int over_time = !a->leading && a->count >= 2 && a->letter[0] == 'B' &&
                    (a->letter[1] == 'T' || a->letter[1] == 'S');
    int64_t dim[HEED_MAX_RANK], outputs = 1;
    uint32_t which = 0, buffer;
    char name[96];
    *bound = 1;
    if (over_time && a->count == 3 && a->letter[2] == 'M' && !strcmp(p->name, "x"))
        return stack_step_rows(b, from, 0, b->stack->number[STACK_WIDTH], view);
    if (over_time && a->count == 2 && !optional && !strcmp(p->name, "positions"))
        return stack_step_view(b, STACK_POSITIONS, 0, 0, NULL, view);
    while (which < STACK_PROJECTED && strcmp(p->name, projected[which])) which++;
    if (which < STACK_PROJECTED && over_time && a->count > 2) {
        snprintf(name, sizeof name, "%s%s.weight", prefix, p->name);
        /* an optional one is there where its weights are, and where weights are made */
        *bound = !optional || b->source->make || b->source->find(b->source, name);
        if (!*bound) return HEED_OK;
        for (int i = 2; i < a->count; i++) {
            dim[i - 2] = axis[a->letter[i] - 'A'];
            if (dim[i - 2] < 0 || __builtin_mul_overflow(outputs, dim[i - 2], &outputs))
                return spec_error(b->plan.s, t->node[item]->at, b->error,
                                  "%s has the input %s (%s), and the size of %c is not known",
                                  e->op.id, p->name, p->axes, a->letter[i]);
        }
        buffer = STACK_PROJECTIONS + which;
        snprintf(name, sizeof name, "%s%s.", prefix, p->name);
        TRY(stack_step_project(b, name, 0, from, b->stack->number[STACK_WIDTH], buffer, outputs));
        if (b->acts == HEED_ACTS_QK && (which == STACK_Q || which == STACK_K))
            TRY(stack_position_add(b, &buffer, STACK_ROTATED + which, a->count - 2, dim));
        return stack_step_view(b, buffer, 0, a->count - 2, dim, view);
    }
    *bound = 0;
    if (optional) return HEED_OK;
    return spec_error(b->plan.s, t->node[item]->at, b->error,
                      "%s needs the input %s (%s), which a stack can not make", e->op.id, p->name,
                      p->axes);
}

static int32_t remember(stack_builder *b, const heed_instance *i, int32_t *memory)
{
    *memory = -1;
    if (b->dry) return HEED_OK;
    if (!i->entry->op.measure_state) b->stack->forgets = i->entry->op.id;
    int causal = sequence_is_causal(i), ahead = !causal && !(i->mask.kinds & HEED_MASK_CAUSAL);
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

/* From `from` to STACK_Y. */
static int32_t build_attention(stack_builder *b, const char *prefix, int64_t layer, uint32_t from)
{
    const stack_part *t = &b->plan.parts[STACK_PART_ATTENTION];
    const int64_t *number = b->stack->number;
    uint32_t item = t->of_layer[layer], n = 0, to;
    const entry *e = t->op[item]->entry;
    int64_t axis[HEED_AXES], dim[HEED_MAX_RANK], outputs = 1;
    char name[96];
    heed_instance *i;
    stack_use in[PORT_MAX];
    int32_t memory;

    stack_step_axes(axis);
    HEED_AXIS(axis, 'M') = number[STACK_WIDTH];
    HEED_AXIS(axis, 'H') = number[STACK_HEADS];
    HEED_AXIS(axis, 'G') = number[STACK_KV_HEADS];
    HEED_AXIS(axis, 'D') = HEED_AXIS(axis, 'E') = number[STACK_HEAD_WIDTH];
    HEED_AXIS(axis, 'V') = number[STACK_VOCAB];
    if (b->source->make)
        HEED_AXIS(axis, 'C') = number[STACK_CONTEXT], HEED_AXIS(axis, 'W') = number[STACK_HEADS];
    snprintf(name, sizeof name, "%sattention.", prefix);
    TRY(stack_weights_open(b, t->op[item], name, axis, &i));
    TRY(remember(b, i, &memory));
    for (uint32_t p = 0; p < e->op.ports.count; p++) {
        int bound = 0;
        if (entry_port(e, p)->role != HEED_INPUT) continue;
        in[n].port = entry_port(e, p)->name;
        TRY(attention_input(b, prefix, t, item, p, axis, from, &in[n].view, &bound));
        n += bound != 0;
    }
    const heed_port *port = stack_step_port(e, "out", HEED_OUTPUT);
    if (!port)
        return spec_error(b->plan.s, t->node[item]->at, b->error, "%s has no output named out",
                          e->op.id);
    const port_axes *a = &e->axes[port - entry_port(e, 0)];
    for (int k = 2; k < a->count; k++) {
        dim[k - 2] = axis[a->letter[k] - 'A'];
        if (dim[k - 2] < 0 || __builtin_mul_overflow(outputs, dim[k - 2], &outputs))
            return spec_error(b->plan.s, t->node[item]->at, b->error,
                              "%s has the output out (%s), and the size of %c is not known",
                              e->op.id, port->axes, a->letter[k]);
    }
    /* "B T M" is the sum over the heads already */
    int mixed = !(a->count == 3 && a->letter[2] == 'M');
    if (a->leading || a->count < 3 || a->letter[0] != 'B' || a->letter[1] != 'T')
        return spec_error(b->plan.s, t->node[item]->at, b->error,
                          "%s has the output out (%s), which is no row for each token", e->op.id,
                          port->axes);
    TRY(stack_step_view(b, mixed ? STACK_MIXED : STACK_Y, 0, a->count - 2, dim, &to));
    TRY(stack_step_add(b, i, in, n, to, memory));
    snprintf(name, sizeof name, "%so.", prefix);
    return mixed
               ? stack_step_project(b, name, 0, STACK_MIXED, outputs, STACK_Y, number[STACK_WIDTH])
               : HEED_OK;
}

/* x and h are the buffers of those roles; with residual=post they swap after every norm. */
static int32_t build_layer(stack_builder *b, int64_t layer, uint32_t *x, uint32_t *h)
{
    const stack_part *norm = &b->plan.parts[STACK_PART_NORM],
                     *feedforward = &b->plan.parts[STACK_PART_FEEDFORWARD];
    int post = b->plan.choice[STACK_RESIDUAL];
    char prefix[32], name[64];
    snprintf(prefix, sizeof prefix, "layers.%lld.", (long long)layer);
    for (int half = 0; half < 2; half++) {
        uint32_t from = post ? *x : *h;
        snprintf(name, sizeof name, "%s%s_norm.", prefix, half ? "feedforward" : "attention");
        if (!post) TRY(stack_step_map(b, norm->op[0], name, 0, *x, *h));
        if (half) {
            char ff[64];
            snprintf(ff, sizeof ff, "%sfeedforward.", prefix);
            TRY(stack_step_map(b, feedforward->op[feedforward->of_layer[layer]], ff, 0, from,
                               STACK_Y));
        } else {
            TRY(build_attention(b, prefix, layer, from));
        }
        TRY(stack_step_sum(b, *x, STACK_Y));
        if (!post) continue;
        TRY(stack_step_map(b, norm->op[0], name, 0, *x, *h));
        from = *x, *x = *h, *h = from;
    }
    return HEED_OK;
}

/* ---- the whole ---- */

static int32_t build(stack_builder *b)
{
    heed_stack *s = b->stack;
    int64_t width = s->number[STACK_WIDTH], vocab = s->number[STACK_VOCAB], axis[HEED_AXES];
    uint32_t x = STACK_X, h = STACK_H, tokens, rows;
    heed_instance *embed;
    stack_step_axes(axis);
    HEED_AXIS(axis, 'M') = width;
    TRY(stack_weights_open(b, b->fixed[STACK_OP_ADD], "residual.", axis, &b->add));
    HEED_AXIS(axis, 'V') = vocab;
    TRY(stack_weights_open(b, b->fixed[STACK_OP_EMBED], "embed.", axis, &embed));
    TRY(stack_position_open(b));

    TRY(stack_step_view(b, STACK_TOKENS, 0, 0, NULL, &tokens));
    TRY(stack_step_rows(b, x, 0, width, &rows));
    TRY(stack_step_add(b, embed, &(stack_use){"tokens", tokens}, 1, rows, -1));
    if (b->acts == HEED_ACTS_INPUT) {
        TRY(stack_position_add(b, &x, STACK_H, 1, &width));
        h = x == STACK_X ? STACK_H : STACK_X;
    }
    for (int64_t layer = 0; layer < s->number[STACK_LAYERS]; layer++)
        TRY(build_layer(b, layer, &x, &h));
    s->tail = s->n_steps;
    if (!b->plan.choice[STACK_RESIDUAL]) {
        TRY(stack_step_map(b, b->plan.parts[STACK_PART_NORM].op[0], "final_norm.", 1, x, h));
        x = h;
    }
    return stack_step_project(b, "output.", 1, x, width, STACK_LOGITS, vocab);
}

static int32_t find_fixed(stack_builder *b)
{
    for (uint32_t i = 0; i < STACK_OPS; i++) {
        heed_error memory = {0};
        if (!registry_seek(&b->engine->registry, fixed_ids[i], &memory))
            return memory.code
                       ? error_memory(b->error)
                       : error_set(
                             b->error, HEED_E_UNSUPPORTED,
                             "every stack needs the op %s, and no plugin that is loaded has it",
                             fixed_ids[i]);
        b->fixed[i] = resolve_text(&b->engine->registry, fixed_ids[i], b->error);
        if (!b->fixed[i]) return b->error->code;
    }
    return HEED_OK;
}

int32_t stack_builder_read(stack_builder *b, const char *text)
{
    TRY(stack_plan_read(&b->plan, &b->engine->registry, text, b->error));
    memcpy(b->stack->number, b->plan.number, sizeof b->plan.number);
    if (!(b->stack->spec = stack_plan_print(&b->plan))) return error_memory(b->error);
    TRY(find_fixed(b));
    TRY(stack_position_place(b));
    b->dry = 1;
    return build(b);
}

void stack_builder_free(stack_builder *b)
{
    stack_plan_free(&b->plan);
    for (uint32_t i = 0; i < STACK_OPS; i++) resolve_free(b->fixed[i]);
    for (uint32_t i = 0; i < b->n_absent; i++) free(b->absent[i]);
    free(b->absent);
}

static int32_t build_twice(stack_builder *b, const char *text, const source_weights *from)
{
    uint32_t unused;
    TRY(stack_builder_read(b, text));
    const char **names = source_unused(from, &unused);
    int32_t failed = names ? stack_weights_check(b, names, unused) : error_memory(b->error);
    free(names);
    b->dry = 0;
    return failed ? failed : build(b);
}

heed_stack *heed_stack_open(heed_engine *engine, const char *text, const heed_weights *weights,
                            heed_error *error)
{
    heed_error own;
    if (!error) error = &own;
    *error = (heed_error){0};
    if (!weights)
        return error_set(error, HEED_E_ARGUMENT, "a stack needs weights, and none are given"), NULL;
    if (!text && !(text = heed_weights_metadata(weights, "heed.spec")))
        return error_set(error, HEED_E_DATA, "the weights have no spec (heed.spec), so one must be "
                         "given"), NULL;
    heed_stack *stack = calloc(1, sizeof *stack);
    if (!stack) return error_memory(error), NULL;
    stack->engine = engine;
    stack->weights = weights;
    source_weights from;
    stack_builder b = {.stack = stack, .engine = engine, .source = &from.source, .error = error};
    int32_t failed = source_open(&from, weights, error);
    if (!failed) failed = build_twice(&b, text, &from);
    stack_builder_free(&b);
    source_close(&from);
    if (!failed) return stack;
    heed_stack_close(stack);
    return NULL;
}

void heed_stack_close(heed_stack *s)
{
    if (!s) return;
    for (uint32_t i = 0; i < s->n_instances; i++) heed_instance_close(s->instances[i]);
    free(s->instances);
    free(s->views);
    free(s->uses);
    free(s->steps);
    free(s->memories);
    free(s->spec);
    free(s);
}

const char *heed_stack_spec(const heed_stack *s) { return s->spec; }

int64_t heed_stack_number(const heed_stack *s, const char *key)
{
    int32_t slot = stack_plan_slot(key);
    return slot < 0 ? -1 : s->number[slot];
}
