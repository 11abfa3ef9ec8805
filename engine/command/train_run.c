/* SPDX-License-Identifier: MIT
 *
 * train_run.c: a run of heed train: what is opened, its steps, and what it leaves.
 *
 * Steps and rates never follow the clock: --minutes becomes a number of steps before the first one,
 * and is recorded. So a run has the same bits on every machine, and whether it was interrupted or
 * not. What is needed to go on lies beside the model, in MODEL.training, until the run is over.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "command/clock.h"
#include "command/file.h"
#include "command/interrupt.h"
#include "command/model.h"
#include "command/progress.h"
#include "command/train.h"
#include "inspect.h"

#define WINDOWS 64  /* of each part, that a report measures */
#define UNSEEN 1.05 /* what a step takes beside its gradients, for --minutes */

/* ---- what a checkpoint says of the run ---- */

/* What the bits of a run follow from, beside the network and the recipe. */
static json_t *settings_of(const train_job *j)
{
    char hash[32];
    snprintf(hash, sizeof hash, "%016llx", (unsigned long long)j->data.hash);
    return json_pack("{s:I, s:I, s:I, s:I, s:I, s:f, s:s, s:f, s:f, s:f, s:f, s:f, s:s}", "steps",
                     (json_int_t)j->schedule.steps, "batch", (json_int_t)j->batch, "accumulate",
                     (json_int_t)j->accumulate, "context", (json_int_t)j->context, "every",
                     (json_int_t)j->every, "valid", j->valid, "schedule",
                     schedule_name(j->schedule.kind), "rate", j->schedule.rate, "warmup",
                     j->schedule.warmup, "floor", j->schedule.floor, "layer-decay", j->layer_decay,
                     "unfreeze", j->unfreeze, "data", hash);
}

static char *text_of(const json_t *value)
{
    return value ? json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT) : strdup("nothing");
}

/* The run must be the one that was interrupted. */
static int32_t compare(const train_job *j, const json_t *was, heed_error *error)
{
    json_t *own = settings_of(j);
    const char *key;
    json_t *value;
    int32_t failed = own ? HEED_OK : error_memory(error);
    json_object_foreach(own, key, value)
    {
        const json_t *before = json_object_get(was, key);
        if (failed || (before && json_equal(value, before))) continue;
        char *now = text_of(value), *then = text_of(before);
        if (!strcmp(key, "data"))
            failed = error_set(error, HEED_E_DATA, "%s: is not what the run in %s has learned",
                               j->data.path, j->checkpoint);
        else
            failed = error_set(error, HEED_E_DATA,
                               "%s: the run was begun with --%s %s, and can not go on with %s",
                               j->checkpoint, key, then ? then : "", now ? now : "");
        free(now), free(then);
    }
    json_decref(own);
    return failed;
}

/* Which steps there are and were; the reports so far. */
static int32_t read_note(train_job *j, heed_error *error)
{
    char *text = trainer_note(j->checkpoint, error);
    json_t *note = text ? json_loads(text, 0, NULL) : NULL;
    const json_t *settings = json_object_get(note, "settings");
    int32_t failed = text ? HEED_OK : error->code;
    free(text);
    if (!failed && !settings)
        failed =
            error_set(error, HEED_E_DATA, "%s: does not say of which run it is", j->checkpoint);
    const int64_t steps = json_integer_value(json_object_get(settings, "steps"));
    if (!failed && !j->steps) {
        const int64_t every = json_integer_value(json_object_get(settings, "every"));
        j->schedule.steps = steps;
        if (!j->every) j->every = every;
    }
    if (!failed) failed = compare(j, settings, error);
    if (!failed)
        failed = train_log_load(&j->log, json_object_get(note, "reports"), j->checkpoint, error);
    json_decref(note);
    return failed;
}

/* The checkpoint first: what it has is all that the other file has. */
static int32_t save(train_job *j, heed_error *error)
{
    json_t *note =
        json_pack("{s:o, s:o}", "settings", settings_of(j), "reports", train_log_save(&j->log));
    char *text = note ? json_dumps(note, JSON_COMPACT) : NULL;
    int32_t failed =
        text ? heed_trainer_save(j->trainer, j->checkpoint, text, error) : error_memory(error);
    free(text);
    json_decref(note);
    return failed ? failed : heed_trainer_export(j->trainer, j->out, j->dtype, error);
}

/* ---- before the first step ---- */

static int32_t open_network(train_job *j, heed_error *error)
{
    const int is_file = model_is_file(j->network);
    heed_weights *weights = is_file ? heed_weights_open(j->network, error) : NULL;
    if (is_file && !weights) return error->code;
    const char *tokens = weights ? heed_weights_metadata(weights, "heed.tokens") : NULL;
    const size_t n = strlen(j->data_path);
    int32_t failed = HEED_OK;
    if (tokens && !strcmp(tokens, "ids") && (n < 4 || strcmp(j->data_path + n - 4, ".npy")))
        failed = error_set(error, HEED_E_UNSUPPORTED,
                           "%s: tokens of this checkpoint are not bytes, so DATA must be a .npy "
                           "file of their numbers",
                           j->network);
    if (!failed && !(j->engine = heed_engine_new(&j->engine_options, error))) failed = error->code;
    if (!failed) {
        if (heed_lanes(j->engine) > 1) inspect_pin_caller(j->engine);
        j->trainer =
            heed_trainer_new(j->engine, weights ? NULL : j->network, weights, &j->recipe, error);
        if (!j->trainer) failed = error->code;
    }
    heed_weights_close(weights);
    return failed;
}

static int32_t prepare_network(train_job *j, heed_error *error)
{
    TRY(open_network(j, error));
    const heed_stack *stack = heed_trainer_stack(j->trainer);
    const int64_t limit = heed_stack_number(stack, "context");
    if (stack->ahead || stack->prefix)
        return error_set(
            error, HEED_E_DATA,
            "this is no language model: tokens of %s%s see those behind them, and with "
            "them what is to be predicted",
            stack->ahead ? stack->ahead : "the prefix",
            stack->ahead ? ", which is not causal," : "");
    if (limit >= 0 && j->context > limit)
        return error_set(error, HEED_E_ARGUMENT, "--context is %lld, but the network's is %lld",
                         (long long)j->context, (long long)limit);
    if (!j->context) j->context = limit >= 0 ? limit : 256;
    return HEED_OK;
}

static int32_t prepare_data(train_job *j, heed_error *error)
{
    const int64_t vocab = heed_stack_number(heed_trainer_stack(j->trainer), "vocab");
    const int64_t bos = heed_stack_number(heed_trainer_stack(j->trainer), "bos");
    TRY(train_data_open(&j->data, j->data_path, vocab, bos, error));
    TRY(train_data_split(&j->data, j->valid, j->context, error));
    j->log.unit = j->data.numbers ? "token" : "byte";
    train_measure *m = &j->measure;
    *m = (train_measure){.trainer = j->trainer,
                         .data = &j->data,
                         .batch = j->batch,
                         .context = j->context,
                         .bos = bos};
    const size_t tokens = (size_t)j->batch * (size_t)j->context;
    m->tokens = calloc(tokens, sizeof *m->tokens);
    m->targets = calloc(tokens, sizeof *m->targets);
    m->nll = calloc(tokens, sizeof *m->nll);
    return m->tokens && m->targets && m->nll ? HEED_OK : error_memory(error);
}

/* The group of a weight, from the input on: what stands before the layers, each layer, and what
 * stands behind them. */
static int64_t group_of(const char *name, int64_t layers)
{
    if (!strncmp(name, "layers.", 7)) return 1 + strtoll(name + 7, NULL, 10);
    return strncmp(name, "embed", 5) && strncmp(name, "position.", 9) ? layers + 1 : 0;
}

/* Discriminative rates and gradual unfreezing, arXiv 1801.06146, sections 3.2 and 3.3: what learns
 * in a step, and how fast. */
static int32_t scale_groups(train_job *j, int64_t step, heed_error *error)
{
    const heed_stack *stack = heed_trainer_stack(j->trainer);
    const int shared =
        strstr(heed_stack_spec(stack), "shared=true") != NULL; /* one layer's weights */
    const int64_t layers = shared ? 1 : heed_stack_number(stack, "layers");
    const double until = j->unfreeze * (double)j->schedule.steps;
    const double share = (double)step < until ? (double)step / until : 1;
    const int64_t learning = 1 + (int64_t)(share * (double)(layers + 1));
    const heed_weights *w = heed_trainer_weights(j->trainer);
    if (learning == j->learning) return HEED_OK;
    for (uint32_t i = 0; i < heed_weights_count(w); i++) {
        const int64_t above = layers + 1 - group_of(heed_weights_name(w, i), layers);
        double factor = above < learning;
        for (int64_t k = 0; k < above; k++) factor /= j->layer_decay;
        TRY(heed_trainer_scale(j->trainer, heed_weights_name(w, i), factor, error));
    }
    j->learning = learning;
    return HEED_OK;
}

#define SECOND 0.5 /* weight of the losses of all targets but the next token */

/* Al-Rfou et al., arXiv 1808.04444, section 3: of N layers, the l-th one's classifiers are there for
 * the first l / 2N of the steps; that of the last layer, for later tokens, in all of them. */
static int32_t weigh_auxiliary(train_job *j, int64_t step, heed_error *error)
{
    const heed_stack *stack = heed_trainer_stack(j->trainer);
    const int64_t layers = heed_stack_number(stack, "layers"),
                  targets = heed_stack_number(stack, "auxiliary");
    for (int64_t l = 0; l < layers && targets > 0; l++)
        for (int64_t target = 1 + (l + 1 == layers); target <= targets; target++) {
            const int there = l + 1 == layers || (double)step * 2 * (double)layers <
                                                     (double)(l + 1) * (double)j->schedule.steps;
            const double weight = !there ? 0 : target > 1 ? SECOND : 1;
            TRY(heed_trainer_weigh(j->trainer, l, target, weight, error));
        }
    return HEED_OK;
}

/* One step's gradients; the mean loss of its tokens. */
static int32_t learn(train_job *j, int64_t step, double *loss, heed_error *error)
{
    const double tokens = (double)(j->batch * j->context * j->accumulate);
    *loss = 0;
    for (int64_t k = 0; k < j->accumulate; k++) {
        double nats;
        train_data_windows(&j->data, j->recipe.seed, step, k, j->batch, j->context,
                           j->measure.tokens, j->measure.targets);
        TRY(heed_trainer_learn(j->trainer, j->measure.tokens, j->measure.targets, j->batch,
                               j->context, 1 / tokens, &nats, error));
        *loss += nats / tokens;
    }
    return HEED_OK;
}

/* --minutes as a number of steps: the least of some, since the first ones wait for memory. */
static int32_t count_steps(train_job *j, heed_error *error)
{
    double least = INFINITY, loss;
    for (int k = 0; k < 4 && !interrupt_seen; k++) {
        const double begin = clock_seconds();
        TRY(learn(j, k, &loss, error));
        least = fmin(least, clock_seconds() - begin);
        heed_trainer_forget(j->trainer);
    }
    const double steps = 60 * j->minutes / (UNSEEN * least);
    j->schedule.steps = steps < 1 ? 1 : steps > TRAIN_MOST ? TRAIN_MOST : (int64_t)steps;
    if (!j->json)
        printf("%g minutes are %lld steps here (--steps %lld)\n", j->minutes,
               (long long)j->schedule.steps, (long long)j->schedule.steps);
    fflush(stdout);
    return HEED_OK;
}

int32_t train_prepare(train_job *j, heed_error *error)
{
    if (asprintf(&j->checkpoint, "%s.training", j->out) < 0)
        return j->checkpoint = NULL, error_memory(error);
    TRY(file_check(j->out, error));
    TRY(file_check(j->checkpoint, error));
    if (j->svg) TRY(file_check(j->svg, error));
    TRY(prepare_network(j, error));
    TRY(prepare_data(j, error));
    j->schedule.steps = j->steps ? j->steps : 1000;
    if (j->resume && access(j->checkpoint, F_OK))
        return error_set(error, HEED_E_SYSTEM,
                         "%s: there is no such file, so no run to go on with: without --resume one "
                         "begins",
                         j->checkpoint);
    if (j->steps && !j->every) j->every = (j->steps + 19) / 20;
    if (j->resume) {
        TRY(read_note(j, error));
        TRY(heed_trainer_load(j->trainer, j->checkpoint, error));
    } else if (j->minutes > 0) {
        TRY(count_steps(j, error));
    }
    if (!j->every) j->every = (j->schedule.steps + 19) / 20;
    j->log.steps = j->schedule.steps;
    j->first = j->since = heed_trainer_steps(j->trainer);
    return HEED_OK;
}

/* ---- the steps ---- */

static double rate_of(const train_job *j, double *left)
{
    const double seconds = clock_seconds() - j->began;
    const int64_t done = heed_trainer_steps(j->trainer), here = done - j->first;
    *left = here ? seconds / (double)here * (double)(j->schedule.steps - done) : 0;
    return (double)(here * j->batch * j->accumulate * j->context) / seconds;
}

/* Measures both parts, tells, and saves. */
static int32_t report(train_job *j, heed_error *error)
{
    const train_data *d = &j->data;
    const int64_t step = heed_trainer_steps(j->trainer), learned = d->cut / j->context,
                  out = (d->n - d->cut) / j->context;
    train_report r = {.step = step, .valid = NAN};
    train_now now = {.rate = schedule_rate(&j->schedule, step - 1), .norm = j->norm};
    TRY(train_measure_bits(&j->measure, 0, d->cut, learned < WINDOWS ? learned : WINDOWS, &r.train,
                           error));
    if (out)
        TRY(train_measure_bits(&j->measure, d->cut, d->n, out < WINDOWS ? out : WINDOWS, &r.valid,
                               error));
    TRY(train_log_add(&j->log, r, error));
    TRY(save(j, error));
    now.seconds = clock_seconds() - j->began;
    now.tokens_per_second = rate_of(j, &now.left);
    now.loss = j->loss / (double)(step - j->since);
    j->loss = 0, j->since = step;
    progress_end();
    train_log_print(&j->log, &now);
    return HEED_OK;
}

int32_t train_run(train_job *j, heed_error *error)
{
    j->began = clock_seconds();
    for (int64_t step = j->first; step < j->schedule.steps && !interrupt_seen; step++) {
        double loss;
        TRY(scale_groups(j, step, error));
        TRY(weigh_auxiliary(j, step, error));
        TRY(learn(j, step, &loss, error));
        TRY(heed_trainer_step(j->trainer, schedule_rate(&j->schedule, step), &j->norm, error));
        j->loss += loss;
        progress_show((double)(step + 1) / (double)j->schedule.steps,
                      "step %lld, loss %.4f bits per %s", (long long)step + 1, loss / log(2),
                      j->log.unit);
        if ((step + 1) % j->every == 0 || step + 1 == j->schedule.steps) TRY(report(j, error));
    }
    progress_end();
    return interrupt_seen ? save(j, error) : HEED_OK;
}

/* ---- the end ---- */

int train_interrupted(const train_job *j)
{
    fflush(stdout);
    fprintf(stderr,
            "heed: interrupted behind step %lld of %lld, which %s has; the same command with "
            "--resume goes on\n",
            (long long)heed_trainer_steps(j->trainer), (long long)j->schedule.steps, j->checkpoint);
    return interrupt_status();
}

static int64_t parameters_of(const heed_trainer *t) { return t->optimiser.n; }

int32_t train_finish(train_job *j, heed_error *error)
{
    const train_data *d = &j->data;
    double bits = NAN;
    if (d->n > d->cut) TRY(train_measure_bits(&j->measure, d->cut, d->n, 0, &bits, error));
    const double seconds = clock_seconds() - j->began;
    const int64_t tokens = j->schedule.steps * j->batch * j->accumulate * j->context;
    char key[32];
    if (j->svg)
        TRY(train_log_picture(&j->log, heed_stack_spec(heed_trainer_stack(j->trainer)), j->svg,
                              error));
    unlink(j->checkpoint); /* there is nothing to go on with */
    snprintf(key, sizeof key, "bits_per_%s", j->log.unit);
    if (j->json) {
        json_t *all =
            json_pack("{s:s, s:I, s:I, s:I, s:I, s:o, s:f, s:s}", "model", j->out, "parameters",
                      (json_int_t)parameters_of(j->trainer), "steps", (json_int_t)j->schedule.steps,
                      "tokens", (json_int_t)tokens, "held_out", (json_int_t)(d->n - d->cut), key,
                      isfinite(bits) ? json_real(bits) : json_null(), "seconds", seconds, "path",
                      inspect_path(j->engine));
        if (!all || json_dumpf(all, stdout, JSON_COMPACT))
            return json_decref(all), error_memory(error);
        json_decref(all);
        putchar('\n');
        return HEED_OK;
    }
    printf("%s: %lld parameters, %lld steps, %lld tokens, %.1f minutes", j->out,
           (long long)parameters_of(j->trainer), (long long)j->schedule.steps, (long long)tokens,
           seconds / 60);
    if (isfinite(bits))
        printf("; %.8f bits per %s of all %lld that were held out", bits, j->log.unit,
               (long long)(d->n - d->cut));
    putchar('\n');
    train_log_spans(j->trainer);
    return HEED_OK;
}
