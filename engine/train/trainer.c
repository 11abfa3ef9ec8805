/* SPDX-License-Identifier: MIT
 *
 * trainer.c: heed_trainer: a network whose weights learn. It owns the weights, the sums of their
 * gradients and the optimiser's moments; who calls it owns the data and decides about rates.
 *
 * Invariant: between calls the network runs with the numbers that the weights have.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <heed/kit/core/half.h>

#include "base/error.h"
#include "base/grow.h"
#include "op/engine.h"
#include "op/instance.h"
#include "run/trace.h"
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

static int32_t check_number(double x, double least, double below, const char *name,
                            heed_error *error)
{
    if (x >= least && x < below) return HEED_OK;
    return error_set(error, HEED_E_ARGUMENT,
                     "the recipe's %s is %g, but must be from %g to less than %g", name, x, least,
                     below);
}

static int32_t check_recipe(const heed_recipe *r, heed_error *error)
{
    if (r->size < sizeof *r)
        return error_set(error, HEED_E_ARGUMENT, "the recipe's size is %u, not %u", r->size,
                         (unsigned)sizeof *r);
    TRY(check_number(r->dropout, 0, 1, "dropout", error));
    TRY(check_number(r->beta1, 0, 1, "beta1", error));
    TRY(check_number(r->beta2, 0, 1, "beta2", error));
    TRY(check_number(r->epsilon, 1e-30, 1, "epsilon", error));
    TRY(check_number(r->decay, 0, 1e6, "decay", error));
    TRY(check_number(r->span, 0, 1e6, "span", error));
    return check_number(r->clip, 0, 1e30, "clip", error);
}

/* The flat arrays, and which part of them each tensor has. */
static int32_t make_optimiser(heed_trainer *t, heed_error *error)
{
    adamw *a = &t->optimiser;
    a->count = t->weights->count;
    a->tensors = calloc((size_t)a->count + 1, sizeof *a->tensors);
    t->gradients = calloc((size_t)a->count + 1, sizeof *t->gradients);
    if (!a->tensors || !t->gradients) return error_memory(error);
    for (uint32_t i = 0; i < a->count; i++) {
        const heed_tensor *w = &t->weights->items[i].tensor;
        a->tensors[i] = (adamw_tensor){.name = t->weights->items[i].name,
                                       .weight = w->data,
                                       .first = a->n,
                                       .n = heed_tensor_elements(w),
                                       .decays = w->rank >= 2,
                                       .factor = 1};
        a->n += a->tensors[i].n;
    }
    a->gradient = calloc((size_t)a->n + 1, sizeof *a->gradient);
    a->moment = calloc((size_t)a->n + 1, sizeof *a->moment);
    a->square = calloc((size_t)a->n + 1, sizeof *a->square);
    a->sums = calloc((size_t)adamw_sums(a) + 1, sizeof *a->sums);
    if (!a->gradient || !a->moment || !a->square || !a->sums) return error_memory(error);
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
    if (output)
        return error_set(error, HEED_E_UNSUPPORTED,
                         "this network gives no logits, which a trainer takes (%.80s)", output + 2);
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
    free(t->nll), free(t->later);
    free(t);
}

/* ---- gradients ---- */

static int32_t check_batch(const heed_trainer *t, const int32_t *tokens, const int32_t *targets,
                           int64_t batch, int64_t length, heed_error *error)
{
    const int64_t context = heed_stack_number(t->stack, "context");
    if (!tokens || !targets)
        return error_set(error, HEED_E_ARGUMENT, "the %s are NULL", tokens ? "targets" : "tokens");
    if (batch < 1 || length < 1 || batch > ((int64_t)1 << 40) / length)
        return error_set(error, HEED_E_ARGUMENT,
                         "%lld sequences of %lld tokens; 1 and more is right", (long long)batch,
                         (long long)length);
    if (context >= 0 && length > context)
        return error_set(error, HEED_E_ARGUMENT,
                         "sequences of %lld tokens are more than the context of %lld",
                         (long long)length, (long long)context);
    return HEED_OK;
}

static int32_t make_room(heed_trainer *t, int64_t rows, heed_error *error)
{
    if (rows <= t->room) return HEED_OK;
    free(t->nll), free(t->later);
    t->room = 0;
    t->nll = calloc(2 * (size_t)rows, sizeof *t->nll);
    t->later = calloc((size_t)rows, sizeof *t->later);
    if (!t->nll || !t->later) return error_memory(error);
    t->room = rows;
    return HEED_OK;
}

/* The losses of a forward's results to `nll`. */
static int32_t run_loss(heed_trainer *t, heed_tensor *logits, heed_tensor *targets, float *nll,
                        heed_error *error)
{
    heed_tensor to = heed_tensor_of(nll, HEED_F32, 2, targets->dim);
    const heed_binding in[] = {{"logits", logits}, {"targets", targets}}, out = {"nll", &to};
    return heed_run(t->loss, in, 2, &out, 1, NULL, error);
}

int32_t heed_trainer_loss(heed_trainer *t, const int32_t *tokens, const int32_t *targets,
                          int64_t batch, int64_t length, float *nll, heed_error *error)
{
    const int64_t dim[] = {batch, length};
    heed_tensor logits, wanted = heed_tensor_of((void *)targets, HEED_I32, 2, dim);
    if (error) *error = (heed_error){0};
    TRY(check_batch(t, tokens, targets, batch, length, error));
    TRY(tape_forward(t->tape, tokens, batch, length, NULL, &logits, error));
    return run_loss(t, &logits, &wanted, nll, error);
}

static double sum_of(const heed_trainer *t, int64_t rows)
{
    double sum = 0;
    for (int64_t i = 0; i < rows; i++) sum += (double)t->nll[i];
    return sum;
}

/* The gradient of share times the sum of all losses, to that of the logits. */
static int32_t loss_backward(heed_trainer *t, heed_tensor *logits, heed_tensor *targets,
                             double share, heed_tensor *to, heed_error *error)
{
    const int64_t rows = heed_tensor_elements(targets);
    float *d = t->nll + rows;
    heed_tensor d_nll = heed_tensor_of(d, HEED_F32, 2, targets->dim);
    for (int64_t i = 0; i < rows; i++) d[i] = (float)share;
    const heed_binding in[] = {{"logits", logits}, {"targets", targets}},
                       gradients[] = {{"nll", &d_nll}, {"logits", to}};
    return heed_backward(t->loss, in, 2, NULL, 0, gradients, 2, error);
}

/* A classifier's part of the gradients. The target-th next token is that many places behind the next
 * one; of what lies beyond the text nothing is said. */
static int32_t learn_aside(heed_trainer *t, const trainer_head *h, const heed_tensor *targets,
                           double share, heed_error *error)
{
    const int64_t batch = targets->dim[0], length = targets->dim[1], ahead = h->target - 1;
    const int32_t *next = targets->data;
    heed_tensor logits, gradient, later = heed_tensor_of(t->later, HEED_I32, 2, targets->dim);
    for (int64_t i = 0; i < batch * length; i++)
        t->later[i] = i % length + ahead < length ? next[i + ahead] : -100;
    TRY(tape_head_forward(t->tape, h->number, &logits, &gradient, error));
    TRY(run_loss(t, &logits, &later, t->nll, error));
    t->aside += h->weight * sum_of(t, batch * length);
    TRY(loss_backward(t, &logits, &later, share * h->weight, &gradient, error));
    return tape_head_backward(t->tape, h->number, error);
}

int32_t heed_trainer_learn(heed_trainer *t, const int32_t *tokens, const int32_t *targets,
                           int64_t batch, int64_t length, double share, double *nats,
                           heed_error *error)
{
    const int64_t dim[] = {batch, length};
    const dropout d = {t->recipe.dropout, t->recipe.seed, t->steps, t->batches, 0},
                  *drop = t->recipe.dropout > 0 ? &d : NULL;
    heed_tensor logits, gradient, wanted = heed_tensor_of((void *)targets, HEED_I32, 2, dim);
    if (error) *error = (heed_error){0};
    TRY(check_batch(t, tokens, targets, batch, length, error));
    TRY(make_room(t, batch * length, error));
    TRY(tape_forward(t->tape, tokens, batch, length, drop, &logits, error));
    int64_t begin = trace_now();
    TRY(run_loss(t, &logits, &wanted, t->nll, error));
    *nats = sum_of(t, batch * length);
    TRY(tape_gradient(t->tape, &gradient, error));
    TRY(loss_backward(t, &logits, &wanted, share, &gradient, error));
    t->seconds[TRAINER_LOSS] += 1e-9 * (double)(trace_now() - begin);
    t->aside = 0;
    for (uint32_t i = 0; i < t->n_heads; i++)
        if (t->heads[i].weight > 0) TRY(learn_aside(t, &t->heads[i], &wanted, share, error));
    TRY(tape_backward(t->tape, drop, error));
    t->batches++;
    return HEED_OK;
}

/* ---- a step ---- */

int32_t trainer_rebind(heed_trainer *t, heed_error *error)
{
    t->stack->checksum = 0; /* of other numbers */
    for (uint32_t i = 0; i < t->stack->n_instances; i++) {
        heed_instance *at = t->stack->instances[i];
        uint32_t p = 0;
        while (p < at->entry->op.ports.count && !at->weight[p]) p++;
        if (p < at->entry->op.ports.count) TRY(heed_instance_rebind(at, NULL, 0, error));
    }
    for (uint32_t i = 0; i < t->n_heads; i++)
        TRY(heed_instance_rebind(t->heads[i].projection, NULL, 0, error));
    return HEED_OK;
}

static void forget(heed_trainer *t)
{
    memset(t->optimiser.gradient, 0, (size_t)t->optimiser.n * sizeof *t->optimiser.gradient);
    t->batches = 0;
}

/* The gradient of what spans cost: recipe.span times the mean over heads of limit times span, of all
 * layers (arXiv 1905.07799, section 2.1, as its code has it). */
static void add_spans(heed_trainer *t)
{
    for (uint32_t k = 0; k < t->n_spans; k++) {
        const adamw_tensor *of = &t->optimiser.tensors[t->spans[k].weight];
        const float more = (float)(t->recipe.span * t->spans[k].limit / (double)of->n);
        for (int64_t i = 0; i < of->n && of->factor > 0; i++)
            t->optimiser.gradient[of->first + i] += more;
    }
}

int32_t heed_trainer_step(heed_trainer *t, double rate, double *norm, heed_error *error)
{
    const heed_recipe *r = &t->recipe;
    const int64_t begin = trace_now();
    double length = 0;
    if (error) *error = (heed_error){0};
    TRY(check_number(rate, 0, 1e6, "rate", error));
    add_spans(t);
    TRY(adamw_norm(t->engine, &t->optimiser, &length, error));
    if (norm) *norm = length;
    if (!isfinite(length)) {
        const adamw_tensor *stray = adamw_stray(&t->optimiser);
        return error_set(error, HEED_E_DATA,
                         "step %lld: the gradient%s%s %s, so the weights stay as they were",
                         (long long)t->steps + 1, stray ? " of " : "s", stray ? stray->name : "",
                         stray ? "has a NaN or an infinity" : "are too large for their norm");
    }
    const adamw_rates rates = {rate,     r->beta1, r->beta2,    r->epsilon,
                               r->decay, r->clip,  t->steps + 1};
    TRY(adamw_step(t->engine, &t->optimiser, &rates, length, error));
    TRY(trainer_rebind(t, error));
    forget(t);
    t->steps++;
    t->seconds[TRAINER_OPTIMISER] += 1e-9 * (double)(trace_now() - begin);
    return HEED_OK;
}

int32_t heed_trainer_scale(heed_trainer *t, const char *name, double factor, heed_error *error)
{
    if (error) *error = (heed_error){0};
    TRY(check_number(factor, 0, 1e6, "factor of a rate", error));
    for (uint32_t i = 0; i < t->optimiser.count; i++) {
        adamw_tensor *of = &t->optimiser.tensors[i];
        if (strcmp(of->name, name)) continue;
        of->factor = factor;
        t->gradients[i].frozen = !(factor > 0);
        if (!(factor > 0)) /* what was added up before counts no more */
            memset(t->optimiser.gradient + of->first, 0, (size_t)of->n * sizeof(float));
        tape_refresh(t->tape);
        return HEED_OK;
    }
    return error_set(error, HEED_E_ARGUMENT, "the network has no weight \"%.96s\"", name);
}

int32_t heed_trainer_weigh(heed_trainer *t, int64_t layer, int64_t target, double weight,
                           heed_error *error)
{
    if (error) *error = (heed_error){0};
    TRY(check_number(weight, 0, 1e6, "weight of a loss", error));
    for (uint32_t i = 0; i < t->n_heads; i++)
        if (t->heads[i].layer == layer && t->heads[i].target == target)
            return t->heads[i].weight = weight, HEED_OK;
    return error_set(error, HEED_E_ARGUMENT,
                     "layer %lld has no classifier for the token %lld places on (auxiliary)",
                     (long long)layer, (long long)target);
}

void heed_trainer_forget(heed_trainer *t) { forget(t); }

/* ---- looking at it ---- */

int64_t heed_trainer_steps(const heed_trainer *t) { return t->steps; }
const heed_weights *heed_trainer_weights(const heed_trainer *t) { return t->weights; }
heed_stack *heed_trainer_stack(const heed_trainer *t) { return t->stack; }

const heed_tensor *heed_trainer_gradient(const heed_trainer *t, const char *name)
{
    for (uint32_t i = 0; i < t->weights->count; i++)
        if (!strcmp(t->weights->items[i].name, name)) return &t->gradients[i].gradient;
    return NULL;
}

void trainer_seconds(const heed_trainer *t, double *seconds)
{
    memcpy(seconds, t->seconds, sizeof t->seconds);
    memcpy(seconds, tape_seconds(t->tape), TAPE_TIMES * sizeof *seconds);
}
