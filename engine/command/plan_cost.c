/* SPDX-License-Identifier: MIT
 *
 * plan_cost.c: what a network costs, without its weights.
 *
 * A projection or a feed-forward multiplies each token with all of its matrices: 2 flops an element,
 * as the shapes tell. What an attention does between its projections only the op knows; so a small
 * network is opened that has each of the attentions once, with heads of their real number and width
 * and hardly anything else, and is asked. What a head has learned, a span, is taken at its most.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "command/plan.h"
#include "inspect.h"
#include "io/weights.h"
#include "model/source.h"
#include "model/stack.h"
#include "op/instance.h"
#include "op/sequence.h"

#define NARROW 2                       /* the width of what only flows between the layers */
#define OPENED_MOST ((int64_t)1 << 27) /* numbers that the small network may have */

/* A small network, and how many of it a layer is. Attentions that have weights of their own are opened
 * for one group of heads, where these are no more than as many times as many for all groups. */
typedef struct specimen {
    heed_weights *weights;
    heed_stack *stack;
    int64_t times;
} specimen;

static int takes_x(const entry *e)
{
    for (uint32_t p = 0; p < e->op.ports.count; p++)
        if (entry_port(e, p)->role == HEED_INPUT && entry_has_axis(e, p, 'M')) return 1;
    return 0;
}

/* Whether an attention takes a codec, and names none. */
static int takes_codec(const stack_part *a, uint32_t i)
{
    const entry *e = a->op[i]->entry;
    for (uint32_t p = 0; p < e->op.params.count; p++)
        if (!strcmp(entry_param(e, p)->key, "cache")) return !strstr(a->text[i], "cache=");
    return 0;
}

/* An attention as the spec has it, but with that codec, if it takes one. */
static void put_attention(FILE *out, const stack_part *a, uint32_t i, const char *codec)
{
    const char *text = a->text[i], *open = strchr(text, '(');
    if (!codec || !takes_codec(a, i)) fputs(text, out);
    else if (!open) fprintf(out, "%s(cache=%s)", text, codec);
    else fprintf(out, "%.*s(cache=%s, %s", (int)(open - text), text, codec, open + 1);
}

static char *small_spec(const plan_network *n, int64_t heads, int64_t kv_heads, const char *codec)
{
    const stack_part *a = &n->plan.parts[STACK_PART_ATTENTION];
    const int64_t *number = n->plan.number;
    int64_t width = NARROW;
    char *text = NULL;
    size_t length;
    FILE *out = open_memstream(&text, &length);
    if (!out) return NULL;
    for (uint32_t i = 0; i < a->count; i++)
        if (takes_x(a->op[i]->entry)) width = number[STACK_WIDTH];
    fprintf(out, "vocab=1; width=%lld; layers=%u; heads=%lld; kv_heads=%lld; head_width=%lld; ",
            (long long)width, a->count, (long long)heads, (long long)kv_heads,
            (long long)number[STACK_HEAD_WIDTH]);
    if (number[STACK_CONTEXT] > 0) fprintf(out, "context=%lld; ", (long long)number[STACK_CONTEXT]);
    fprintf(out, "norm=rms; attention=[");
    for (uint32_t i = 0; i < a->count; i++) {
        fputs(i ? ", " : "", out);
        put_attention(out, a, i, codec);
    }
    fprintf(out, "]; feedforward=none; output=hidden");
    const int failed = ferror(out);
    if (fclose(out) || failed) free(text), text = NULL;
    return text;
}

/* Numbers of all its weights, and of those that attentions have themselves. */
static int32_t count_small(heed_engine *engine, const char *spec, int64_t *all, int64_t *own,
                           heed_error *error)
{
    heed_weights *w = source_sketch(engine, spec, error);
    *all = *own = 0;
    if (!w) return error->code;
    for (uint32_t i = 0; i < heed_weights_count(w); i++) {
        const char *name = heed_weights_name(w, i);
        const int64_t n = heed_tensor_elements(heed_weights_find(w, name));
        *all += n;
        if (strstr(name, ".attention.")) *own += n;
    }
    heed_weights_close(w);
    return HEED_OK;
}

/* Ones: a span of 1 is the whole limit. */
static void fill_ones(heed_weights *w)
{
    for (uint32_t i = 0; i < heed_weights_count(w); i++) {
        if (!strstr(heed_weights_name(w, i), ".attention.")) continue;
        heed_tensor *t = heed_weights_find(w, heed_weights_name(w, i));
        for (int64_t k = 0; k < heed_tensor_elements(t); k++) ((float *)t->data)[k] = 1;
    }
}

static int32_t open_small(specimen *s, const plan_network *n, heed_engine *engine,
                          const char *codec, heed_error *error)
{
    const int64_t heads = n->plan.number[STACK_HEADS], groups = n->plan.number[STACK_KV_HEADS];
    int64_t all, own, all_of_group, own_of_group;
    char *spec = small_spec(n, heads, groups, codec),
         *group = small_spec(n, heads / groups, 1, codec);
    int32_t failed = spec && group ? HEED_OK : error_memory(error);
    if (!failed) failed = count_small(engine, spec, &all, &own, error);
    if (!failed && own) failed = count_small(engine, group, &all_of_group, &own_of_group, error);
    if (!failed && own && own <= own_of_group * groups) {
        char *whole = spec;
        spec = group, group = whole;
        s->times = groups, all = all_of_group;
    }
    if (!failed && all > OPENED_MOST)
        failed = error_set(error, HEED_E_UNSUPPORTED,
                           "its attention alone has %lld numbers, too many to be opened for a plan",
                           (long long)all);
    if (!failed && !(s->weights = heed_weights_random(engine, spec, 1, error)))
        failed = error->code;
    if (!failed) {
        fill_ones(s->weights);
        s->stack = heed_stack_open(engine, spec, s->weights, error);
        if (!s->stack) failed = error->code;
    }
    free(spec);
    free(group);
    return failed;
}

static int is_attention(const inspect_step *step)
{
    const char *dot = strrchr(step->part, '.');
    return dot && !strcmp(dot, ".attention");
}

/* Layers of the network whose attention is that item of the list. */
static double layers_of(const plan_network *n, int64_t item)
{
    const stack_part *a = &n->plan.parts[STACK_PART_ATTENTION];
    double layers = 0;
    for (int64_t l = 0; l < n->plan.number[STACK_LAYERS]; l++) layers += a->of_layer[l] == item;
    return layers;
}

/* A kind of calls; those that are alike become more. */
static void add_part(plan_cost *c, const char *op, double calls, const double *flops,
                     const double *bytes)
{
    plan_part *p = NULL;
    for (uint32_t i = 0; i < c->n_parts && !p; i++)
        if (!strcmp(c->parts[i].op, op) && !memcmp(c->parts[i].flops, flops, sizeof p->flops) &&
            !memcmp(c->parts[i].bytes, bytes, sizeof p->bytes))
            p = &c->parts[i];
    if (!p && c->n_parts < PLAN_PARTS) {
        p = &c->parts[c->n_parts++];
        *p = (plan_part){.op = op};
        memcpy(p->flops, flops, sizeof p->flops), memcpy(p->bytes, bytes, sizeof p->bytes);
    }
    if (p) p->calls += calls;
    else c->untold = 1;
}

/* Adds what the attentions cost for so many tokens behind so many; `token`: it is the last one. What
 * a call takes is told by what the op really does, tiles rounded up. */
static int32_t add_attention(plan_network *n, const specimen *s, int64_t tokens, int64_t before,
                             int token, double *flops, double *bytes, heed_error *error)
{
    inspect_step step;
    for (uint32_t i = 0; inspect_stack_step(s->stack, i, tokens, before, &step); i++) {
        if (!is_attention(&step)) continue;
        if (!step.told)
            return error_set(error, HEED_E_UNSUPPORTED, "%s does not tell what it costs", step.op);
        const double times = (double)s->times * layers_of(n, step.layer);
        const double done = step.cost.executed > 0 ? step.cost.executed : step.cost.flops;
        double part_flops[2] = {0}, part_bytes[2] = {0};
        part_flops[token] = (double)s->times * done;
        part_bytes[token] = (double)s->times * step.cost.bytes;
        add_part(&n->cost, step.op, layers_of(n, step.layer), part_flops, part_bytes);
        *flops += times * step.cost.flops;
        *bytes += times * step.cost.bytes;
    }
    return HEED_OK;
}

static int32_t add_states(const plan_network *n, const specimen *s, double *growing,
                          double *bounded, heed_error *error)
{
    const stack_part *a = &n->plan.parts[STACK_PART_ATTENTION];
    uint32_t at = 0;
    for (uint32_t i = 0; i < a->count; i++) {
        heed_state_size size;
        if (!a->op[i]->entry->op.measure_state) continue;
        const heed_instance *memory = s->stack->memories[at++];
        TRY(sequence_measure(memory, memory->axis, &size, error));
        const double bytes = (double)s->times * layers_of(n, i) * (double)size.page_bytes;
        if (!size.page_tokens) *bounded += bytes;
        else if (size.recent)
            *bounded += bytes / (double)size.page_tokens * (double)(size.recent + size.first);
        else *growing += bytes / (double)size.page_tokens;
    }
    return HEED_OK;
}

static void close_small(specimen *s)
{
    heed_stack_close(s->stack);
    heed_weights_close(s->weights);
}

/* The state with each codec that the engine has. */
static int32_t add_codecs(plan_network *n, heed_engine *engine, heed_error *error)
{
    const stack_part *a = &n->plan.parts[STACK_PART_ATTENTION];
    plan_cost *c = &n->cost;
    int takes = 0;
    for (uint32_t i = 0; i < a->count; i++) takes |= takes_codec(a, i);
    for (uint32_t k = 0; k < heed_op_count(engine) && c->n_coded < PLAN_CODECS; k++) {
        plan_coded *coded = &c->coded[c->n_coded];
        specimen s = {.times = 1};
        double bounded = 0;
        coded->id = heed_op_at(engine, k)->id;
        if (strncmp(coded->id, "cache/", 6)) continue;
        c->n_coded++;
        int32_t failed = takes ? open_small(&s, n, engine, coded->id, error) : HEED_OK;
        if (!failed && takes) failed = add_states(n, &s, &coded->growing, &bounded, error);
        close_small(&s);
        if (failed == HEED_E_MEMORY) return failed;
        if (failed) coded->growing = 0; /* this attention refuses this codec */
    }
    return HEED_OK;
}

/* The matrices: every token is multiplied with them, and they are read once. */
static void add_matrices(const plan_network *n, double tokens, double *flops, double *bytes)
{
    *flops += 2 * tokens * n->matrices;
    *bytes += 4 * n->matrices + 4 * tokens * n->moved;
}

/* The same, and norms and sums, as calls. */
static void add_products(plan_network *n)
{
    const double tokens = (double)n->field.tokens, width = (double)n->plan.number[STACK_WIDTH],
                 layers = (double)n->plan.number[STACK_LAYERS];
    const stack_part *norm = &n->plan.parts[STACK_PART_NORM];
    const double none[2] = {0}, through[2] = {8 * tokens * width, 8 * width},
                 both[2] = {12 * tokens * width, 12 * width};
    for (uint32_t i = 0; i < n->n_products; i++) {
        const plan_product *p = &n->products[i];
        const double flops[2] = {2 * tokens * p->elements, 2 * p->elements},
                     bytes[2] = {4 * (p->elements + tokens * p->ends), 4 * (p->elements + p->ends)};
        add_part(&n->cost, p->op, p->calls, flops, bytes);
    }
    if (norm->count && norm->op[0])
        add_part(&n->cost, norm->op[0]->entry->op.id, 2 * layers + 1, none, through);
    add_part(&n->cost, "residual/add", 2 * layers, none, both);
    if (n->plan.parts[STACK_PART_ROUTER].count) n->cost.untold = 1;
}

static int32_t add_all(plan_network *n, const specimen *s, heed_error *error)
{
    plan_cost *c = &n->cost;
    const int64_t tokens = n->field.tokens;
    int64_t longest;
    TRY(field_longest(&n->plan, &longest, error));
    if (!longest || longest > tokens) longest = tokens;
    for (int64_t at = 0; at < tokens; at += longest)
        TRY(add_attention(n, s, at + longest < tokens ? longest : tokens - at, at, 0,
                          &c->prefill_flops, &c->prefill_bytes, error));
    add_matrices(n, (double)tokens, &c->prefill_flops, &c->prefill_bytes);
    add_products(n);
    c->decodes = !n->field.ahead;
    if (!c->decodes) return HEED_OK;
    TRY(add_attention(n, s, 1, tokens - 1, 1, &c->token_flops, &c->token_bytes, error));
    add_matrices(n, 1, &c->token_flops, &c->token_bytes);
    return add_states(n, s, &c->growing, &c->bounded, error);
}

int32_t plan_costs(plan_network *n, heed_engine *engine, heed_error *error)
{
    heed_error why = {0};
    specimen s = {.times = 1};
    if (n->plan.number[STACK_ENCODER_LAYERS] >= 0) {
        snprintf(n->cost.why, sizeof n->cost.why,
                 "it has an encoder, and no plan says how long the text is that it encodes");
        return HEED_OK;
    }
    int32_t failed = open_small(&s, n, engine, NULL, &why);
    if (!failed) failed = add_all(n, &s, &why);
    close_small(&s);
    if (!failed && n->cost.decodes) failed = add_codecs(n, engine, &why);
    if (failed == HEED_E_MEMORY) return error_memory(error);
    if (failed) {
        n->cost = (plan_cost){0};
        snprintf(n->cost.why, sizeof n->cost.why, "%.310s", why.text);
    }
    return HEED_OK;
}
