/* SPDX-License-Identifier: MIT
 *
 * plan_json.c: a plan as JSON. What is not known, or lies outside of what a law was fitted on, is
 * null; a field without an end is "all".
 */
#include <stdlib.h>

#include <jansson.h>

#include "command/plan.h"

static json_t *json_tokens(int64_t n)
{
    return n == FIELD_ALL ? json_string("all") : json_integer(n);
}
static json_t *json_if(double x, int known) { return known ? json_real(x) : json_null(); }
static json_t *json_count(int64_t n) { return n ? json_integer(n) : json_null(); }

static json_t *json_field(const network_field *f)
{
    json_t *layers = json_array();
    for (int64_t l = 0; l < f->layers; l++) {
        const field_layer *x = &f->layer[l];
        json_array_append_new(
            layers, json_pack("{s:s, s:o, s:o, s:I, s:o, s:f, s:I, s:o, s:b}", "attention", x->op,
                              "back", json_tokens(x->back), "ahead", json_tokens(x->ahead), "first",
                              (json_int_t)x->first, "loose", json_count(x->loose), "keys_mean",
                              x->mean, "keys_most", (json_int_t)x->most, "reach",
                              json_count(x->reach), "bound", x->bound));
    }
    return json_pack("{s:I, s:I, s:o, s:o, s:o, s:o, s:b, s:o}", "tokens", (json_int_t)f->tokens,
                     "reach", (json_int_t)f->reach, "layers_needed", json_count(f->needed), "far",
                     json_tokens(f->far), "ahead", json_tokens(f->ahead), "loose",
                     json_count(f->loose), "bound", f->bound, "layers", layers);
}

static json_t *json_costs(const plan_cost *c)
{
    const int known = !*c->why, decodes = known && c->decodes;
    json_t *codecs = json_object();
    for (uint32_t k = 0; k < c->n_coded; k++)
        json_object_set_new(codecs, c->coded[k].id,
                            json_if(c->coded[k].growing, c->coded[k].growing > 0));
    return json_pack(
        "{s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:s?}", "prefill_flops",
        json_if(c->prefill_flops, known), "prefill_bytes", json_if(c->prefill_bytes, known),
        "token_flops", json_if(c->token_flops, decodes), "token_bytes",
        json_if(c->token_bytes, decodes), "training_step_flops",
        json_if(3 * c->prefill_flops, known), "state_bytes_per_token", json_if(c->growing, decodes),
        "state_bytes_by_codec", codecs, "state_bytes_bounded", json_if(c->bounded, decodes), "why",
        known ? NULL : c->why);
}

static json_t *json_predicted(const plan_network *n)
{
    return json_pack("{s:o, s:o, s:o}", "read", json_if(n->read, n->read > 0), "token",
                     json_if(n->token, n->token > 0), "training_step",
                     json_if(n->train, n->train > 0));
}

/* What fits by arXiv 2006.12467; null outside of its depths. */
static json_t *json_depth(const plan_network *n)
{
    double width, fits = law_depth((double)n->plan.number[STACK_WIDTH]),
                  layers = law_shape((double)(n->parameters - n->tables), &width);
    return json_pack("{s:o, s:o, s:o}", "layers_for_width", json_if(fits, fits > 0),
                     "layers_for_size", json_if(layers, layers > 0), "width_for_size",
                     json_if(width, layers > 0));
}

static json_t *json_laws(const plan_network *n, const plan_text *text)
{
    json_t *all = json_array();
    for (int i = 0; i < LAWS && text->unique > 0; i++) {
        const law *l = &laws[i];
        const double N = (double)n->parameters;
        const char *outside = law_outside(l, N, text->unique, text->epochs);
        json_array_append_new(
            all, json_pack("{s:s, s:s, s:o, s:s?}", "law", l->name, "source", l->source, "loss",
                           json_if(law_loss(l, N, text->unique, text->epochs), !outside), "outside",
                           outside));
    }
    return all;
}

static json_t *json_shapes(const plan_network *n, int suggest)
{
    json_t *all = suggest ? json_array() : json_null();
    plan_shape shape[PLAN_SHAPES];
    const uint32_t found = suggest ? plan_suggest(n, shape) : 0;
    for (uint32_t i = 0; i < found; i++)
        json_array_append_new(
            all, json_pack("{s:I, s:I, s:I, s:f}", "layers", (json_int_t)shape[i].layers, "heads",
                           (json_int_t)shape[i].heads, "width", (json_int_t)shape[i].width,
                           "parameters_without_tables", shape[i].body));
    return all;
}

static json_t *json_times(const plan_network *n)
{
    return json_pack("{s:o, s:o, s:o}", "read", json_if(n->least_read, n->least_read > 0), "token",
                     json_if(n->least_token, n->least_token > 0), "training_step",
                     json_if(n->least_train, n->least_train > 0));
}

/* null without a record of one */
static json_t *json_machine(const plan_machine *m)
{
    return *m->cpu ? json_pack("{s:s, s:s, s:f, s:f}", "cpu", m->cpu, "path", m->path, "gflops",
                               m->gflops, "read_gbps", m->gbps)
                   : json_null();
}

static json_t *json_network(const plan_network *n, const plan_text *text)
{
    const int64_t *number = n->plan.number;
    return json_pack("{s:s, s:s, s:s, s:I, s:I, s:I, s:I, s:I, s:I, s:o, s:o, s:o, s:o, s:o, s:o}",
                     "name", n->name, "given", n->given, "taken", n->taken, "layers",
                     (json_int_t)number[STACK_LAYERS], "heads", (json_int_t)number[STACK_HEADS],
                     "head_width", (json_int_t)number[STACK_HEAD_WIDTH], "width",
                     (json_int_t)number[STACK_WIDTH], "parameters", (json_int_t)n->parameters,
                     "parameters_without_tables", (json_int_t)(n->parameters - n->tables), "field",
                     json_field(&n->field), "cost", json_costs(&n->cost), "predicted_seconds",
                     json_predicted(n), "least_seconds", json_times(n), "depth", json_depth(n),
                     "laws", json_laws(n, text));
}

static json_t *json_ranks(const plan_network *n)
{
    json_t *all = json_array();
    for (uint32_t i = 0; i < n->n_ranks; i++) {
        const plan_ring_time *t = &n->ranks[i];
        json_array_append_new(all,
                              json_pack("{s:I, s:f, s:f, s:f, s:f}", "ranks", (json_int_t)t->ranks,
                                        "seconds", t->seconds, "efficiency", t->efficiency, "waits",
                                        t->waits, "hidden", t->hidden));
    }
    return all;
}

json_t *plan_json(const plan_network *n, uint32_t count, const plan_other *other,
                  const plan_text *text, int suggest)
{
    json_t *all = json_array();
    char *verdict = plan_verdict(n, count, text);
    for (uint32_t i = 0; i < count; i++) {
        json_t *one = json_network(&n[i], text), *others = json_array();
        for (int k = 0; k < 2 && n[i].guessed_width; k++)
            json_array_append_new(others, json_network(other[i].at[k], text));
        json_object_set_new(one, "with_other_heads", others);
        if (n[i].n_ranks) json_object_set_new(one, "simulated_ranks", json_ranks(&n[i]));
        json_object_set_new(one, "suggestions", json_shapes(&n[i], suggest));
        json_array_append_new(all, one);
    }
    json_t *object =
        json_pack("{s:I, s:o, s:f, s:o, s:o, s:s?}", "tokens", (json_int_t)text->tokens,
                  "data_tokens", json_if(text->unique, text->unique > 0), "epochs", text->epochs,
                  "machine", json_machine(text->machine), "networks", all, "verdict", verdict);
    free(verdict);
    return object;
}
