/* SPDX-License-Identifier: MIT
 *
 * stack.c: a network from a spec: which parts follow which, and the public functions.
 *
 *     x = embed tokens; for each layer: x = wiring(x, attention), [x = wiring(x, cross-attention),]
 *     x = wiring(x, feedforward); logits = output(x)
 *
 * An encoder is a stack of the same kind in front, over another text. It runs nothing (session.c
 * does) and knows no op of attention, norm, position or feed-forward by name; the wirings are the
 * table of stack_wiring.c. Invariant: the network is put together twice by the same code. The first
 * round is dry: it asks for every tensor and opens nothing, so that a missing or an unused one is
 * known before any work is done. The spec and the weights are hostile.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/grow.h"
#include "model/stack.h"
#include "model/stack_attention.h"
#include "model/stack_builder.h"
#include "model/stack_experts.h"
#include "model/stack_halting.h"
#include "model/stack_plan.h"
#include "model/stack_position.h"
#include "model/stack_sizes.h"
#include "model/stack_step.h"
#include "model/stack_weights.h"
#include "model/stack_wiring.h"
#include "op/engine.h"
#include "op/registry.h"
#include "op/resolve.h"
#include "op/sequence.h"
#include "op/spec.h"

/* What the stack uses by name. */
static const char *const fixed_ids[STACK_OPS] = {[STACK_OP_EMBED] = "embed/table",
                                                 [STACK_OP_PROJECTION] = "linear/projection",
                                                 [STACK_OP_ADD] = "residual/add"};

/* ---- layers ---- */

static int32_t apply_feedforward(stack_builder *b, const stack_sublayer *s, uint32_t from)
{
    const resolved *op = stack_plan_op(&b->plan, b->side, STACK_PART_FEEDFORWARD, s->layer);
    char name[64];
    if (stack_plan_op(&b->plan, b->side, STACK_PART_ROUTER, s->layer))
        return stack_experts_apply(b, s, from);
    snprintf(name, sizeof name, "%sfeedforward.", s->prefix);
    return stack_step_map(b, op, name, from, b->buffer[STACK_ROLE_Y]);
}

static int32_t build_layer(stack_builder *b, int64_t layer)
{
    const int crosses = b->side == STACK_DECODER && b->plan.parts[STACK_PART_CROSS].count;
    char prefix[48];
    snprintf(prefix, sizeof prefix, "%slayers.%lld.", stack_plan_prefix(b->side),
             (long long)stack_plan_weights(&b->plan, layer));
    stack_sublayer s = {.prefix = prefix,
                        .name = "attention",
                        .norm = stack_plan_op(&b->plan, b->side, STACK_PART_NORM, layer),
                        .first = !layer,
                        .apply = stack_attention_self,
                        .layer = layer};
    const double gain = b->gain;
    b->gain = 1;
    TRY(stack_halting_begin(b, layer));
    TRY(stack_position_begin(b, layer));
    TRY(stack_halting_decide(b, layer));
    b->gain = gain;
    TRY(stack_wiring_sublayer(b, &s));
    s.first = 0;
    if (crosses) {
        s.number++, s.name = "cross", s.apply = stack_attention_cross;
        TRY(stack_wiring_sublayer(b, &s));
    }
    if (stack_plan_op(&b->plan, b->side, STACK_PART_FEEDFORWARD, layer)) {
        s.number++, s.name = "feedforward", s.apply = apply_feedforward;
        TRY(stack_wiring_sublayer(b, &s));
    }
    TRY(stack_wiring_end_layer(b));
    return stack_halting_end(b);
}

/* ---- one side ---- */

/* Rows of the table, times a factor if there is one. */
static int32_t embed(stack_builder *b, const char *prefix, int64_t vocab)
{
    int64_t axis[HEED_AXES], width = b->stack->number[STACK_WIDTH];
    char number[32], spec[64];
    heed_instance *i;
    uint32_t tokens, rows;
    resolved *scaled = NULL;
    stack_step_axes(axis);
    HEED_AXIS(axis, 'M') = width;
    HEED_AXIS(axis, 'V') = vocab;
    if (!isnan(b->plan.real[STACK_EMBED_SCALE])) {
        spec_number(number, b->plan.real[STACK_EMBED_SCALE]);
        snprintf(spec, sizeof spec, "embed/table(scale=%s)", number);
        scaled = resolve_text(&b->engine->registry, spec, b->error);
        if (!scaled) return b->error->code;
    }
    const int32_t failed =
        stack_weights_open(b, scaled ? scaled : b->fixed[STACK_OP_EMBED], prefix, axis, &i);
    resolve_free(scaled);
    if (failed) return failed;
    TRY(stack_step_view(b, STACK_TOKENS, 0, NULL, &tokens));
    TRY(stack_step_rows(b, b->buffer[STACK_ROLE_X], width, &rows));
    return stack_step_add(b, i, &(stack_use){"tokens", tokens}, 1, rows, -1);
}

/* Adds the vector of each token's type. */
static int32_t add_types(stack_builder *b)
{
    const int64_t width = b->stack->number[STACK_WIDTH],
                  types = b->stack->number[STACK_TYPES_COUNT];
    const uint32_t x = b->buffer[STACK_ROLE_X], y = b->buffer[STACK_ROLE_Y];
    int64_t axis[HEED_AXES];
    heed_instance *i;
    uint32_t of, rows;
    if (types < 0) return HEED_OK;
    b->stack->typed = 1;
    stack_step_axes(axis);
    HEED_AXIS(axis, 'M') = width;
    HEED_AXIS(axis, 'V') = types;
    TRY(stack_weights_open(b, b->fixed[STACK_OP_EMBED], "types.", axis, &i));
    TRY(stack_step_view(b, STACK_TYPES, 0, NULL, &of));
    TRY(stack_step_rows(b, y, width, &rows));
    TRY(stack_step_add(b, i, &(stack_use){"tokens", of}, 1, rows, -1));
    return stack_step_sum(b, b->add, x, y, x);
}

static int32_t normalise_embedding(stack_builder *b)
{
    const resolved *norm = stack_plan_op(&b->plan, b->side, STACK_PART_EMBED_NORM, 0);
    char name[32];
    if (!norm) return HEED_OK;
    uint32_t *x = &b->buffer[STACK_ROLE_X], *h = &b->buffer[STACK_ROLE_H], from = *x;
    snprintf(name, sizeof name, "%sembed_norm.", stack_plan_prefix(b->side));
    TRY(stack_step_map(b, norm, name, *x, *h));
    *x = *h, *h = from;
    return HEED_OK;
}

/* Notes where what flows on is, for who looks at it. */
static int32_t note_flow(stack_builder *b)
{
    heed_stack *s = b->stack;
    uint32_t view;
    if (b->dry || b->side != STACK_DECODER) return HEED_OK;
    TRY(stack_step_rows(b, b->buffer[STACK_ROLE_X], s->number[STACK_WIDTH], &view));
    stack_flow *flow = grow_append(&s->flows, &s->n_flows, sizeof *flow);
    if (!flow) return error_memory(b->error);
    *flow = (stack_flow){view, s->n_steps};
    return HEED_OK;
}

/* From tokens to what flows out of the last layer, in the role X. */
static int32_t build_layers(stack_builder *b, uint32_t side)
{
    const int64_t *number = b->stack->number, layers = stack_plan_layers(&b->plan, side);
    const int own = side == STACK_ENCODER && number[STACK_ENCODER_VOCAB] >= 0;
    static const uint32_t buffers[STACK_ROLES] = {STACK_X, STACK_H, STACK_Y, STACK_R};
    memcpy(b->buffer, buffers, sizeof buffers);
    b->side = side;
    TRY(stack_wiring_begin(b, layers));
    const double gain = b->gain;
    b->gain = 1;
    TRY(embed(b, own ? "encoder.embed." : "embed.",
              number[own ? STACK_ENCODER_VOCAB : STACK_VOCAB]));
    TRY(add_types(b));
    TRY(stack_position_begin(b, -1));
    TRY(normalise_embedding(b));
    b->gain = gain;
    TRY(stack_halting_start(b));
    TRY(note_flow(b));
    for (int64_t layer = 0; layer < layers; layer++) {
        b->layer = (int32_t)layer;
        TRY(build_layer(b, layer));
        TRY(note_flow(b));
    }
    stack_halting_stop(b);
    b->layer = -1;
    b->gain = 1;
    return HEED_OK;
}

static int32_t build_encoder(stack_builder *b)
{
    b->rows = STACK_SOURCE, b->encodes = 1;
    TRY(build_layers(b, STACK_ENCODER));
    TRY(stack_wiring_end(b));
    b->rows = STACK_ROWS, b->encodes = 0;
    b->memory = b->buffer[STACK_ROLE_X];
    return HEED_OK;
}

/* ---- the output ---- */

/* Rows of that width become cap tanh(row / cap). */
static int32_t cap_rows(stack_builder *b, double cap, uint32_t buffer, int64_t width)
{
    int64_t axis[HEED_AXES];
    char number[32], spec[64];
    heed_instance *i;
    uint32_t rows;
    spec_number(number, cap);
    snprintf(spec, sizeof spec, "activation/softcap(cap=%s)", number);
    resolved *op = resolve_text(&b->engine->registry, spec, b->error);
    if (!op) return b->error->code;
    stack_step_axes(axis);
    HEED_AXIS(axis, 'M') = width;
    const int32_t failed = stack_weights_open(b, op, "softcap.", axis, &i);
    resolve_free(op);
    if (failed) return failed;
    TRY(stack_step_rows(b, buffer, width, &rows));
    return stack_step_add(b, i, &(stack_use){"x", rows}, 1, rows, -1);
}

/* One row of all tokens, from which on there is no other; how wide it is. */
static int32_t pool_rows(stack_builder *b, const resolved *op, uint32_t to, int64_t *pooled)
{
    const int64_t width = b->stack->number[STACK_WIDTH];
    const heed_port *port = stack_step_port(op->entry, "out", HEED_OUTPUT);
    int64_t axis[HEED_AXES], dim[HEED_MAX_RANK];
    heed_instance *i;
    uint32_t in, out;
    if (!port)
        return error_set(b->error, HEED_E_UNSUPPORTED, "%s has no output named out",
                         op->entry->op.id);
    const port_axes *axes = &op->entry->axes[port - entry_port(op->entry, 0)];
    stack_step_axes(axis);
    HEED_AXIS(axis, 'M') = width;
    TRY(stack_weights_open(b, op, "output.", axis, &i));
    *pooled = 1;
    for (int k = 1; k < axes->count; k++) {
        dim[k - 1] = axis[axes->letter[k] - 'A'];
        if (dim[k - 1] >= 1 && !__builtin_mul_overflow(*pooled, dim[k - 1], pooled)) continue;
        return error_set(b->error, HEED_E_UNSUPPORTED,
                         "%s has the output out (%s), whose sizes do not follow from the network",
                         op->entry->op.id, port->axes);
    }
    TRY(stack_step_rows(b, b->buffer[STACK_ROLE_X], width, &in));
    b->rows = STACK_ONE;
    TRY(stack_step_view(b, to, axes->count - 1, dim, &out));
    b->stack->whole = 1;
    b->stack->pools = op->entry->op.id;
    return stack_step_add(b, i, &(stack_use){"x", in}, 1, out, -1);
}

/* What is made of hidden states, or of one row of them all: that row, tanh of its projection, and
 * the scores of classes, each if the network has it. */
static int32_t build_head(stack_builder *b, const resolved *op)
{
    heed_stack *s = b->stack;
    const int64_t width = s->number[STACK_WIDTH], classes = s->number[STACK_CLASSES];
    const int pooler = b->plan.choice[STACK_POOLER];
    uint32_t x = b->buffer[STACK_ROLE_X];
    s->outputs = width;
    if (op) {
        const uint32_t to =
            pooler || classes >= 0 ? b->buffer[STACK_ROLE_H] : (uint32_t)STACK_LOGITS;
        TRY(pool_rows(b, op, to, &s->outputs));
        x = to;
    }
    if (pooler) {
        const uint32_t to = classes >= 0 ? b->buffer[STACK_ROLE_Y] : (uint32_t)STACK_LOGITS;
        TRY(stack_step_project(b, "pooler.", x, s->outputs, to, width));
        TRY(cap_rows(b, 1, to, width));
        x = to, s->outputs = width;
    }
    if (classes >= 0) {
        TRY(stack_step_project(b, "output.", x, s->outputs, STACK_LOGITS, classes));
        x = STACK_LOGITS, s->outputs = classes;
    }
    return stack_step_rows(b, x, s->outputs, &s->result);
}

/* The output's projection is opened before all others: while its weights are laid out anew, the file's
 * are in memory too, and there is nothing else yet. If these are the embedding's, which is then read
 * row by row, the session gives the file's pages back. */
static int32_t open_output(stack_builder *b)
{
    enum { LARGE = 1 << 25 };
    heed_stack *s = b->stack;
    int64_t axis[HEED_AXES];
    heed_instance *i;
    if (b->dry || b->plan.hidden || b->plan.parts[STACK_PART_OUTPUT].count) return HEED_OK;
    stack_step_axes(axis);
    HEED_AXIS(axis, 'M') = s->number[STACK_WIDTH];
    HEED_AXIS(axis, 'N') = s->number[STACK_VOCAB];
    TRY(stack_weights_open(b, b->fixed[STACK_OP_PROJECTION], "output.", axis, &i));
    const heed_tensor *table =
        b->plan.choice[STACK_TIED] ? b->source->find(b->source, "embed.table") : NULL;
    const int copied = table && table->bytes >= LARGE && instance_bytes(i) > table->bytes / 8;
    s->copied = copied ? table : NULL;
    return HEED_OK;
}

static int32_t build_output(stack_builder *b)
{
    heed_stack *s = b->stack;
    const int64_t width = s->number[STACK_WIDTH], vocab = s->number[STACK_VOCAB];
    const resolved *op = stack_plan_op(&b->plan, STACK_DECODER, STACK_PART_OUTPUT, 0);
    if (!op) s->tail = s->n_steps, b->rows = STACK_TAIL;
    TRY(stack_wiring_end(b));
    if (op) s->tail = s->n_steps;
    if (op || b->plan.hidden) return build_head(b, op);
    s->outputs = vocab;
    TRY(stack_step_project(b, "output.", b->buffer[STACK_ROLE_X], width, STACK_LOGITS, vocab));
    TRY(stack_step_rows(b, STACK_LOGITS, vocab, &s->result));
    if (isnan(b->plan.real[STACK_SOFTCAP])) return HEED_OK;
    return cap_rows(b, b->plan.real[STACK_SOFTCAP], STACK_LOGITS, vocab);
}

/* The classifiers that training alone has, arXiv 1808.04444, section 3: of each layer for each target,
 * but of the last layer for the next token, which is the output. Their tensors are asked for, and
 * nothing is done with them. */
static int32_t claim_auxiliary(stack_builder *b)
{
    const int64_t *number = b->stack->number, last = number[STACK_LAYERS] - 1;
    for (int64_t l = 0; b->dry && l <= last; l++)
        for (int64_t target = l == last; target < number[STACK_AUXILIARY]; target++) {
            int64_t axis[HEED_AXES];
            heed_instance *none;
            char name[64];
            stack_step_axes(axis);
            HEED_AXIS(axis, 'M') = number[STACK_WIDTH];
            HEED_AXIS(axis, 'N') = number[STACK_VOCAB];
            snprintf(name, sizeof name, "layers.%lld.auxiliary.%lld.", (long long)l,
                     (long long)target + 1);
            TRY(stack_weights_open(b, b->fixed[STACK_OP_PROJECTION], name, axis, &none));
        }
    return HEED_OK;
}

/* ---- the whole ---- */

/* What adds a share of rows, where tokens halt or go to experts. */
static int32_t open_share(stack_builder *b, int64_t *axis)
{
    const stack_part *parts = b->plan.parts;
    int asked = 0;
    for (uint32_t side = 0; side < 2; side++)
        asked |= parts[STACK_PART_HALTING + side * STACK_SIDE_PARTS].count ||
                 parts[STACK_PART_ROUTER + side * STACK_SIDE_PARTS].count;
    if (!asked) return HEED_OK;
    resolved *op = resolve_text(&b->engine->registry, "residual/share", b->error);
    if (!op) return b->error->code;
    const int32_t failed = stack_weights_open(b, op, "share.", axis, &b->share);
    resolve_free(op);
    return failed;
}

static int32_t build(stack_builder *b)
{
    heed_stack *s = b->stack;
    int64_t axis[HEED_AXES];
    const int encoder = s->number[STACK_ENCODER_LAYERS] >= 0;
    b->layer = -1;
    stack_step_axes(axis);
    HEED_AXIS(axis, 'M') = s->number[STACK_WIDTH];
    b->rows = STACK_ROWS, b->gain = 1, b->side = STACK_DECODER;
    s->n_buffers = STACK_BUFFERS + (encoder ? 2 * (uint32_t)s->number[STACK_LAYERS] : 0);
    TRY(stack_weights_open(b, b->fixed[STACK_OP_ADD], "residual.", axis, &b->add));
    TRY(open_share(b, axis));
    TRY(open_output(b));
    if (encoder) TRY(build_encoder(b));
    TRY(build_layers(b, STACK_DECODER));
    TRY(claim_auxiliary(b));
    return build_output(b);
}

static int32_t find_fixed(stack_builder *b)
{
    for (uint32_t i = 0; i < STACK_OPS; i++) {
        heed_error memory = {0};
        char refused[REFUSED_TEXT];
        if (!registry_seek(&b->engine->registry, fixed_ids[i], &memory)) {
            if (memory.code) return error_memory(b->error);
            registry_refused(&b->engine->registry, fixed_ids[i], refused);
            return error_set(b->error, HEED_E_UNSUPPORTED,
                             "every stack needs the op %s, and no plugin that is loaded has it%s",
                             fixed_ids[i], refused);
        }
        b->fixed[i] = resolve_text(&b->engine->registry, fixed_ids[i], b->error);
        if (!b->fixed[i]) return b->error->code;
    }
    return HEED_OK;
}

/* Sets the param `weights` of an op that has one with this word, and does not say itself. */
static void store_as(resolved *op, const char *word)
{
    for (uint32_t p = 0; op && p < op->entry->op.params.count; p++) {
        const heed_param *param = entry_param(op->entry, p);
        const char *at;
        size_t length;
        if (strcmp(param->key, "weights") || param->type != HEED_PARAM_CHOICE || op->value[p].given)
            continue;
        for (int64_t n = 0; (at = resolve_choice(param->choices, n, &length)); n++)
            if (length == strlen(word) && !strncmp(at, word, length))
                op->value[p].i = n, op->value[p].given = 1;
    }
}

/* The key weights, which is of projections and feed-forwards. */
static void store_weights(stack_builder *b)
{
    const char *word = stack_plan_stored(&b->plan);
    if (!b->plan.choice[STACK_STORED]) return;
    store_as(b->fixed[STACK_OP_PROJECTION], word);
    for (int side = 0; side < 2; side++) {
        const stack_part *t =
            &b->plan.parts[STACK_PART_FEEDFORWARD + (side ? STACK_SIDE_PARTS : 0)];
        for (uint32_t i = 0; i < t->count; i++) store_as(t->op[i], word);
    }
    const stack_part *shared = &b->plan.parts[STACK_PART_SHARED_FEEDFORWARD];
    for (uint32_t i = 0; i < shared->count; i++) store_as(shared->op[i], word);
}

int32_t stack_builder_read(stack_builder *b, const char *text)
{
    TRY(stack_plan_read(&b->plan, &b->engine->registry, text, b->error));
    memcpy(b->stack->number, b->plan.number, sizeof b->plan.number);
    if (!(b->stack->spec = stack_plan_print(&b->plan))) return error_memory(b->error);
    TRY(find_fixed(b));
    store_weights(b);
    b->dry = 1;
    TRY(build(b));
    return stack_sizes_told(b);
}

void stack_builder_free(stack_builder *b)
{
    stack_plan_free(&b->plan);
    for (uint32_t i = 0; i < STACK_OPS; i++) resolve_free(b->fixed[i]);
    for (uint32_t i = 0; i < b->n_placed; i++) resolve_free(b->placed[i].both);
    free(b->placed);
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
        return error_set(error, HEED_E_DATA,
                         "the weights have no spec (heed.spec), so one must be "
                         "given"),
               NULL;
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
    free(s->encode);
    free(s->flows);
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

int64_t heed_stack_outputs(const heed_stack *s) { return s->outputs; }
