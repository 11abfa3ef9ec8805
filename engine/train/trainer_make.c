/* SPDX-License-Identifier: MIT
 *
 * trainer_make.c: a trainer before its first step: its weights, by chance or copied, and all that
 * learns with them.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <heed/kit/core/half.h>

#include "base/error.h"
#include "base/grow.h"
#include "op/instance.h"
#include "train/trainer.h"

/* ---- the weights that it begins with ---- */

static int ends_with(const char *name, const char *end)
{
    const size_t n = strlen(name), m = strlen(end);
    return n >= m && !strcmp(name + n - m, end);
}

/* Deviations as the embedded model has them: what heed_weights_random makes has that of 1 / sqrt of
 * a row; here matrices have half of it, and the embedding 0.02; those that write to the stream, of N
 * layers, are divided by the square root of 2 N (GPT-2's report, section 2.3), but with DeepNorm,
 * which has factors of its own. Square roots and products alone. */
static void scale_first(heed_trainer *t)
{
    const float layers = (float)heed_stack_number(t->stack, "layers");
    const int deep = strstr(heed_stack_spec(t->stack), "residual=deepnorm") != NULL;
    for (uint32_t i = 0; i < t->weights->count; i++) {
        const heed_tensor *w = &t->weights->items[i].tensor;
        const char *name = t->weights->items[i].name;
        if (w->rank < 2) continue;
        float factor = 0.5f;
        if (ends_with(name, "embed.table")) factor = 0.02f * sqrtf((float)w->dim[w->rank - 1]);
        else if (!deep && (ends_with(name, "o.weight") || ends_with(name, ".down")))
            factor /= sqrtf(2 * layers);
        for (int64_t k = 0; k < heed_tensor_elements(w); k++) ((float *)w->data)[k] *= factor;
    }
}

/* One element of a tensor of floats. */
static float element(const heed_tensor *t, int64_t at)
{
    const uint16_t *half = t->data;
    if (t->dtype == HEED_F16) return kit_from_f16(half[at]);
    return t->dtype == HEED_BF16 ? kit_from_bf16(half[at]) : ((const float *)t->data)[at];
}

/* Dense, as float32, whatever the type and strides of `from` are. */
static void copy_tensor(float *to, const heed_tensor *from)
{
    int64_t at[HEED_MAX_RANK] = {0};
    for (int64_t n = heed_tensor_elements(from), k = 0; k < n; k++) {
        int64_t where = 0;
        for (int32_t a = 0; a < from->rank; a++) where += at[a] * from->stride[a];
        to[k] = element(from, where);
        for (int32_t a = from->rank - 1; a >= 0 && ++at[a] == from->dim[a]; a--) at[a] = 0;
    }
}

static int32_t copy_weights(heed_trainer *t, const heed_weights *from, heed_error *error)
{
    if (!(t->weights = weights_new(error))) return HEED_E_MEMORY;
    for (uint32_t i = 0; i < from->count; i++) {
        const heed_tensor *w = &from->items[i].tensor;
        if (w->dtype != HEED_F32 && w->dtype != HEED_F16 && w->dtype != HEED_BF16)
            return error_set(error, HEED_E_DATA,
                             "the weights have the tensor \"%.96s\" of the type %s; only f32, f16 "
                             "and bf16 can be trained",
                             from->items[i].name, heed_dtype_name(w->dtype));
        const heed_tensor *to =
            weights_add(t->weights, from->items[i].name, w->rank, w->dim, error);
        if (!to) return HEED_E_MEMORY;
        copy_tensor(to->data, w);
    }
    return HEED_OK;
}

/* ---- making one ---- */

static int32_t check_recipe(const heed_recipe *r, heed_error *error)
{
    if (r->size < sizeof *r)
        return error_set(error, HEED_E_ARGUMENT, "the recipe's size is %u, not %u", r->size,
                         (unsigned)sizeof *r);
    if (!optimiser_name(r->optimiser))
        return error_set(error, HEED_E_ARGUMENT, "the recipe's optimiser is %u, but must be %s",
                         r->optimiser, "HEED_ADAMW or HEED_SGD");
    TRY(trainer_check(r->dropout, 0, 1, "dropout", error));
    TRY(trainer_check(r->beta1, 0, 1, "beta1", error));
    TRY(trainer_check(r->beta2, 0, 1, "beta2", error));
    if (r->optimiser == HEED_ADAMW) TRY(trainer_check(r->epsilon, 1e-30, 1, "epsilon", error));
    TRY(trainer_check(r->decay, 0, 1e6, "decay", error));
    TRY(trainer_check(r->span, 0, 1e6, "span", error));
    TRY(trainer_check(r->ponder, 0, 1e6, "ponder", error));
    return trainer_check(r->clip, 0, 1e30, "clip", error);
}

/* The flat arrays, and which part of them each tensor has. */
static int32_t make_optimiser(heed_trainer *t, heed_error *error)
{
    optimiser *a = &t->optimiser;
    a->kind = t->recipe.optimiser;
    a->count = t->weights->count;
    a->tensors = calloc((size_t)a->count + 1, sizeof *a->tensors);
    t->gradients = calloc((size_t)a->count + 1, sizeof *t->gradients);
    if (!a->tensors || !t->gradients) return error_memory(error);
    for (uint32_t i = 0; i < a->count; i++) {
        const heed_tensor *w = &t->weights->items[i].tensor;
        a->tensors[i] = (optimiser_tensor){.name = t->weights->items[i].name,
                                           .weight = w->data,
                                           .first = a->n,
                                           .n = heed_tensor_elements(w),
                                           .decays = w->rank >= 2,
                                           .factor = 1};
        a->n += a->tensors[i].n;
    }
    a->gradient = calloc((size_t)a->n + 1, sizeof *a->gradient);
    a->moment = calloc((size_t)a->n + 1, sizeof *a->moment);
    if (optimiser_moments(a->kind) > 1) a->square = calloc((size_t)a->n + 1, sizeof *a->square);
    a->sums = calloc((size_t)optimiser_sums(a) + 1, sizeof *a->sums);
    if (!a->gradient || !a->moment || !a->sums || (optimiser_moments(a->kind) > 1 && !a->square))
        return error_memory(error);
    for (uint32_t i = 0; i < a->count; i++) {
        const heed_tensor *w = &t->weights->items[i].tensor;
        t->gradients[i].weight = w;
        t->gradients[i].gradient =
            heed_tensor_of(a->gradient + a->tensors[i].first, HEED_F32, w->rank, w->dim);
    }
    return HEED_OK;
}

/* The classifiers that training alone has (auxiliary), which a network's steps do nothing with. */
static int32_t make_heads(heed_trainer *t, heed_error *error)
{
    const int64_t layers = heed_stack_number(t->stack, "layers"),
                  targets = heed_stack_number(t->stack, "auxiliary");
    for (uint32_t i = 0; i < t->weights->count && targets > 0; i++) {
        long long layer, target;
        int end = 0;
        if (sscanf(t->weights->items[i].name, "layers.%lld.auxiliary.%lld.weight%n", &layer,
                   &target, &end) != 2 ||
            !end || layer >= layers)
            continue;
        trainer_head *h = grow_append(&t->heads, &t->n_heads, sizeof *h);
        if (!h) return error_memory(error);
        h->layer = layer, h->target = target;
        const heed_binding weight = {"weight", &t->weights->items[i].tensor};
        h->projection = heed_instance_open(
            t->engine, "linear/projection",
            &(heed_opening){.size = sizeof(heed_opening), .n_weights = 1, .weights = &weight},
            error);
        if (!h->projection) return error->code;
        TRY(tape_add_head(t->tape, layer, h->projection, i, &h->number, error));
    }
    return HEED_OK;
}

/* The param `limit` of an op; 1 if it has none. */
static double limit_of(const heed_instance *i)
{
    for (uint32_t p = 0; p < i->entry->op.params.count; p++)
        if (!strcmp(entry_param(i->entry, p)->key, "limit")) return (double)i->value[p].i;
    return 1;
}

static int32_t make_spans(heed_trainer *t, heed_error *error)
{
    for (uint32_t k = 0; k < t->stack->n_instances; k++) {
        const heed_instance *i = t->stack->instances[k];
        for (uint32_t p = 0; p < i->entry->op.ports.count; p++) {
            uint32_t w = 0;
            if (!i->weight[p] || strcmp(entry_port(i->entry, p)->name, "span")) continue;
            while (w < t->weights->count && t->gradients[w].weight != i->weight[p]) w++;
            if (w == t->weights->count) continue; /* the tape has refused it */
            trainer_span *s = grow_append(&t->spans, &t->n_spans, sizeof *s);
            if (!s) return error_memory(error);
            *s = (trainer_span){w, limit_of(i)};
            t->optimiser.tensors[w].bounded = 1;
        }
    }
    return HEED_OK;
}

static int32_t make(heed_trainer *t, const char *spec, const heed_weights *from, heed_error *error)
{
    if (!spec && from) spec = heed_weights_metadata(from, "heed.spec");
    if (!spec) return error_set(error, HEED_E_ARGUMENT, "a trainer needs the spec of a network");
    if (from) TRY(copy_weights(t, from, error));
    else if (!(t->weights = heed_weights_random(t->engine, spec, t->recipe.seed, error)))
        return error->code;
    if (!(t->stack = heed_stack_open(t->engine, spec, t->weights, error))) return error->code;
    const char *output = strstr(heed_stack_spec(t->stack), "; output=");
    if (output && t->stack->number[STACK_CLASSES] < 0)
        return error_set(error, HEED_E_UNSUPPORTED,
                         "this network gives neither logits nor classes, which a trainer takes "
                         "(%.80s)",
                         output + 2);
    if (!from) {
        scale_first(t);
        TRY(trainer_rebind(t, error));
    }
    TRY(make_optimiser(t, error));
    t->loss = heed_instance_open(t->engine, "loss/cross_entropy", NULL, error);
    if (!t->loss) return error->code;
    t->tape = tape_new(t->stack, t->gradients, t->weights->count, t->recipe.dropout > 0, error);
    if (!t->tape) return error->code;
    TRY(make_spans(t, error));
    return make_heads(t, error);
}

heed_trainer *heed_trainer_new(heed_engine *engine, const char *spec, const heed_weights *weights,
                               const heed_recipe *recipe, heed_error *error)
{
    heed_error own;
    if (!error) error = &own;
    *error = (heed_error){0};
    if (!recipe) return error_set(error, HEED_E_ARGUMENT, "the recipe is NULL"), NULL;
    if (check_recipe(recipe, error)) return NULL;
    heed_trainer *t = calloc(1, sizeof *t);
    if (!t) return error_memory(error), NULL;
    t->engine = engine, t->recipe = *recipe;
    if (!make(t, spec, weights, error)) return t;
    heed_trainer_free(t);
    return NULL;
}

void heed_trainer_free(heed_trainer *t)
{
    if (!t) return;
    tape_free(t->tape);
    heed_instance_close(t->loss);
    heed_stack_close(t->stack);
    heed_weights_close(t->weights);
    free(t->gradients);
    free(t->optimiser.tensors), free(t->optimiser.gradient), free(t->optimiser.moment);
    free(t->optimiser.square), free(t->optimiser.sums);
    for (uint32_t i = 0; i < t->n_heads; i++) heed_instance_close(t->heads[i].projection);
    free(t->heads), free(t->spans);
    free(t->nll), free(t->later), free(t->first);
    free(t);
}
