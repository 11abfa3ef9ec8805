/* SPDX-License-Identifier: MIT
 *
 * trainer.c: heed_trainer: a network whose weights learn. It owns the weights, the sums of their
 * gradients and the optimiser's moments; who calls it owns the data and decides about rates.
 * trainer_make.c makes one, trainer_saved.c writes and reads one.
 *
 * Invariant: between calls the network runs with the numbers that the weights have.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "op/instance.h"
#include "run/trace.h"
#include "train/trainer.h"

int32_t trainer_check(double x, double least, double below, const char *name, heed_error *error)
{
    if (x >= least && x < below) return HEED_OK;
    return error_set(error, HEED_E_ARGUMENT,
                     "the recipe's %s is %g, but must be from %g to less than %g", name, x, least,
                     below);
}

/* ---- gradients ---- */

/* A text of a batch: tokens that are there, and no more of them than the network has places for. */
static int32_t check_text(const heed_trainer *t, const int32_t *tokens, int64_t batch,
                          int64_t length, heed_error *error)
{
    const int64_t context = heed_stack_number(t->stack, "context");
    if (!tokens) return error_set(error, HEED_E_ARGUMENT, "the tokens are NULL");
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

int32_t trainer_check_batch(const heed_trainer *t, const heed_batch *b, heed_error *error)
{
    if (!b || b->size < sizeof *b)
        return error_set(error, HEED_E_ARGUMENT, "the batch's size is %u, not %u", b ? b->size : 0,
                         (unsigned)sizeof *b);
    TRY(check_text(t, b->tokens, b->texts, b->length, error));
    if (!b->targets) return error_set(error, HEED_E_ARGUMENT, "the targets are NULL");
    if (t->stack->n_encode && !b->source)
        return error_set(error, HEED_E_ARGUMENT,
                         "this network has an encoder, and the batch has no texts for it (source)");
    if (!t->stack->n_encode && (b->source || b->source_length))
        return error_set(error, HEED_E_ARGUMENT,
                         "the batch has texts for an encoder, and this network has none");
    return b->source ? check_text(t, b->source, b->texts, b->source_length, error) : HEED_OK;
}

/* As many as there are rows of results. */
static int64_t targets_of(const heed_trainer *t, const heed_batch *b)
{
    return t->stack->pools ? b->texts : b->texts * b->length;
}

static heed_tensor target_tensor(const heed_trainer *t, const heed_batch *b)
{
    return heed_tensor_of((void *)b->targets, HEED_I32, t->stack->pools ? 1 : 2,
                          (int64_t[]){b->texts, b->length});
}

static int32_t make_room(heed_trainer *t, int64_t rows, heed_error *error)
{
    if (rows <= t->room) return HEED_OK;
    free(t->nll), free(t->later);
    t->room = 0;
    const size_t shared = t->group ? 2 * (size_t)heed_group_ranks(t->group) : 0;
    t->nll = calloc((2 + shared) * (size_t)rows, sizeof *t->nll);
    t->later = calloc((size_t)rows, sizeof *t->later);
    if (!t->nll || !t->later) return error_memory(error);
    t->room = rows;
    return HEED_OK;
}

/* The losses of a forward's results to `nll`. */
static int32_t run_loss(heed_trainer *t, heed_tensor *logits, heed_tensor *targets, float *nll,
                        heed_error *error)
{
    heed_tensor to = heed_tensor_of(nll, HEED_F32, targets->rank, targets->dim);
    const heed_binding in[] = {{"logits", logits}, {"targets", targets}}, out = {"nll", &to};
    return heed_run(t->loss, in, 2, &out, 1, NULL, error);
}

int32_t trainer_loss(heed_trainer *t, const heed_batch *batch, float *nll, float *results,
                     heed_error *error)
{
    heed_tensor logits;
    heed_tensor wanted = target_tensor(t, batch);
    TRY(tape_forward(t->tape, batch, NULL, 0, &logits, error));
    if (results)
        memcpy(results, logits.data, (size_t)heed_tensor_elements(&logits) * sizeof *results);
    return run_loss(t, &logits, &wanted, nll, error);
}

/* The sum of the losses of all texts, of which so many rows are this rank's. */
static int32_t sum_of(heed_trainer *t, int64_t texts, int64_t rows, double *sum, heed_error *error)
{
    const float *nll = t->nll;
    int64_t n = rows;
    *sum = 0;
    if (t->group) {
        const int64_t of_text = rows / texts;
        float *all = t->nll + 2 * rows;
        memcpy(all + t->first[heed_group_rank(t->group)] * of_text, t->nll,
               (size_t)rows * sizeof *all);
        TRY(trainer_ranks_gather(t, all, (uint64_t)of_text * sizeof *all, error));
        nll = all, n = t->first[heed_group_ranks(t->group)] * of_text;
    }
    for (int64_t i = 0; i < n; i++) *sum += (double)nll[i];
    return HEED_OK;
}

/* The gradient of share times the sum of all losses, to that of the logits. */
static int32_t loss_backward(heed_trainer *t, heed_tensor *logits, heed_tensor *targets,
                             double share, heed_tensor *to, heed_error *error)
{
    const int64_t rows = heed_tensor_elements(targets);
    float *d = t->nll + rows;
    heed_tensor d_nll = heed_tensor_of(d, HEED_F32, targets->rank, targets->dim);
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
    double sum;
    heed_tensor logits, gradient, later = heed_tensor_of(t->later, HEED_I32, 2, targets->dim);
    for (int64_t i = 0; i < batch * length; i++)
        t->later[i] = i % length + ahead < length ? next[i + ahead] : -100;
    TRY(tape_head_forward(t->tape, h->number, &logits, &gradient, error));
    TRY(run_loss(t, &logits, &later, t->nll, error));
    TRY(sum_of(t, batch, batch * length, &sum, error));
    t->aside += h->weight * sum;
    TRY(loss_backward(t, &logits, &later, share * h->weight, &gradient, error));
    return tape_head_backward(t->tape, h->number, error);
}

/* The loss itself, and what else is to be small: its value to *nats, and the gradients. */
static int32_t learn_results(heed_trainer *t, const heed_batch *batch, heed_tensor *logits,
                             double share, double *nats, heed_error *error)
{
    const int64_t begin = trace_now();
    heed_tensor gradient, wanted = target_tensor(t, batch);
    TRY(run_loss(t, logits, &wanted, t->nll, error));
    TRY(sum_of(t, batch->texts, targets_of(t, batch), nats, error));
    TRY(tape_gradient(t->tape, &gradient, error));
    TRY(loss_backward(t, logits, &wanted, share, &gradient, error));
    tape_reach_weigh(t->tape, share * t->recipe.span);
    if (t->recipe.ponder > 0) TRY(tape_ponder_backward(t->tape, share * t->recipe.ponder, error));
    t->seconds[TRAINER_LOSS] += 1e-9 * (double)(trace_now() - begin);
    t->aside = 0;
    for (uint32_t i = 0; i < t->n_heads; i++)
        if (t->heads[i].weight > 0) TRY(learn_aside(t, &t->heads[i], &wanted, share, error));
    return HEED_OK;
}

int32_t trainer_learn(heed_trainer *t, const heed_batch *batch, double share, double *nats,
                      heed_error *error)
{
    const dropout d = {t->recipe.dropout, t->recipe.seed, t->steps, t->batches, 0, 0},
                  *drop = t->recipe.dropout > 0 ? &d : NULL;
    heed_tensor logits;
    double own;
    TRY(make_room(t, targets_of(t, batch), error));
    TRY(tape_forward(t->tape, batch, drop, 1, &logits, error));
    TRY(learn_results(t, batch, &logits, share, nats ? nats : &own, error));
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
    return t->tape ? tape_rebind(t->tape, error) : HEED_OK;
}

int32_t heed_trainer_remember(heed_trainer *t, int64_t tokens, heed_error *error)
{
    if (error) *error = (heed_error){0};
    if (t->group)
        return error_set(error, HEED_E_UNSUPPORTED,
                         "texts that follow one another in segments are not shared by ranks; they "
                         "are learned on one");
    if (tokens >= 1 && tokens <= (int64_t)1 << 30) return tape_remember(t->tape, tokens, error);
    return error_set(error, HEED_E_ARGUMENT,
                     "%lld tokens are to be remembered; 1 and more is right", (long long)tokens);
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
        const optimiser_tensor *of = &t->optimiser.tensors[t->spans[k].weight];
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
    TRY(trainer_check(rate, 0, 1e6, "rate", error));
    add_spans(t);
    TRY(optimiser_norm(t->engine, &t->optimiser, &length, error));
    if (norm) *norm = length;
    if (!isfinite(length)) {
        const optimiser_tensor *stray = optimiser_stray(&t->optimiser);
        return error_set(error, HEED_E_DATA,
                         "step %lld: the gradient%s%s %s, so the weights stay as they were",
                         (long long)t->steps + 1, stray ? " of " : "s", stray ? stray->name : "",
                         stray ? "has a NaN or an infinity" : "are too large for their norm");
    }
    const optimiser_rates rates = {rate,     r->beta1, r->beta2,    r->epsilon,
                                   r->decay, r->clip,  t->steps + 1};
    TRY(optimiser_step(t->engine, &t->optimiser, &rates, length, error));
    TRY(trainer_rebind(t, error));
    forget(t);
    t->steps++;
    t->seconds[TRAINER_OPTIMISER] += 1e-9 * (double)(trace_now() - begin);
    return HEED_OK;
}

int32_t heed_trainer_scale(heed_trainer *t, const char *name, double factor, heed_error *error)
{
    if (error) *error = (heed_error){0};
    TRY(trainer_check(factor, 0, 1e6, "factor of a rate", error));
    for (uint32_t i = 0; i < t->optimiser.count; i++) {
        optimiser_tensor *of = &t->optimiser.tensors[i];
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
    TRY(trainer_check(weight, 0, 1e6, "weight of a loss", error));
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
