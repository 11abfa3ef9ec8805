/* SPDX-License-Identifier: MIT
 *
 * train.c: heed train: a network learns a text.
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
#include "command/command.h"
#include "command/file.h"
#include "command/interrupt.h"
#include "command/model.h"
#include "command/options.h"
#include "command/origin.h"
#include "command/progress.h"
#include "command/train.h"
#include "inspect.h"

#define WINDOWS 64     /* of each part, that a report measures */
#define MOST (1 << 30) /* of a number of things */
#define UNSEEN 1.05    /* what a step takes beside its gradients, for --minutes */

static const char usage[] =
    "usage: heed train NETWORK DATA -o MODEL [OPTION ...]\n"
    "\n"
    "  NETWORK           the spec of a network that has learned nothing, or a safetensors file or "
    "a\n"
    "                    checkpoint's folder, whose weights it goes on from\n"
    "  DATA              what it learns to predict: a file's bytes, a folder of texts or a .jsonl "
    "file of them,\n"
    "                    or a .npy file of numbers of tokens\n"
    "  -o MODEL          the safetensors file that is made\n"
    "  --dtype TYPE      of its weights: f32 (the default), f16 or bf16\n"
    "  --task TASK       lm: the next token, which is all that there is yet\n"
    "  --steps N         of the optimiser; 1000 if neither this nor --minutes is given\n"
    "  --minutes M       in their place: some steps are timed, and as many are made as fit\n"
    "  --resume          goes on with a run of the same command that was interrupted\n"
    "  --batch N         texts at a time, from places of chance; 16\n"
    "  --accumulate N    batches of a step; 1\n"
    "  --context N       tokens of a text; the network's context, or 256\n"
    "  --valid SHARE     how much of the end of DATA is held out; 0.1\n"
    "  --every N         steps between two reports, which also save; a twentieth of all\n"
    "  --rate R          the highest learning rate; 0.003\n"
    "  --schedule S      cosine (the default), slanted or constant: how the rate changes\n"
    "  --warmup SHARE    of the steps, in which the rate rises; 0.02\n"
    "  --floor SHARE     of the rate, which is left at the end; 0.01\n"
    "  --layer-decay D   the rate of each layer is that of the next one divided by this; 1\n"
    "  --unfreeze SHARE  of the steps, in which the layers begin to learn, the last one first; 0\n"
    "  --decay D         of matrices, times the rate; 0.1\n"
    "  --span-penalty L  of how far heads look, where that is learned (adaptive_span); 0\n"
    "  --clip N          the largest norm of all gradients, 0: none; 1\n"
    "  --dropout P       share of elements that are left out by chance; 0.1\n"
    "  --beta1 B, --beta2 B   of AdamW; 0.9 and 0.98\n"
    "  --seed N          of the first weights, the places and dropout; 1\n"
    "  --json            each report, and the end, as a line of JSON\n"
    "  --svg FILE        the curves as a picture\n"
    "  --profile         where the time went\n" OPTIONS_ENGINE "\n"
    "The rest of DATA that is held out is measured as heed score does. Ctrl-C saves; the same "
    "command "
    "with\n"
    "--resume goes on to the same bits as without the interruption.\n";

typedef struct job {
    heed_options engine_options;
    const char *network, *data_path, *out, *svg;
    int64_t steps, batch, accumulate, context, every, seed;
    double minutes, valid, layer_decay, unfreeze;
    heed_recipe recipe;
    schedule schedule;
    int resume, json, profile;
    uint32_t dtype;

    heed_engine *engine;
    heed_trainer *trainer;
    train_data data;
    train_measure measure;
    train_log log;
    char *checkpoint; /* MODEL.training */
    double began, loss, norm;
    int64_t learning;     /* groups of weights that learn now; 0: it was not said yet */
    int64_t first, since; /* the step that this run began with, and that of the last report */
} job;

/* ---- options ---- */

static int read_word(void *command, const char *value)
{
    job *j = command;
    if (j->data_path) return options_usage(QUOTE " is one word too many", QUOTED(value));
    if (j->network) j->data_path = value;
    else j->network = value;
    return 0;
}

static int read_dtype(void *command, const char *value)
{
    return options_dtype(value, &((job *)command)->dtype);
}

static int read_task(void *command, const char *value)
{
    (void)command;
    return strcmp(value, "lm") ? options_usage("--task takes lm, not " QUOTE, QUOTED(value)) : 0;
}

static int read_schedule(void *command, const char *value)
{
    job *j = command;
    for (uint32_t kind = 0; kind < SCHEDULES; kind++)
        if (!strcmp(value, schedule_name(kind))) return j->schedule.kind = kind, 0;
    return options_usage("--schedule takes cosine, slanted or constant, not " QUOTE, QUOTED(value));
}

#define INTEGER(name, field, least, most)                                                          \
    static int read_##name(void *command, const char *value)                                       \
    {                                                                                              \
        return options_int("--" #name, value, least, most, &((job *)command)->field);              \
    }
#define NUMBER(name, field, least, most)                                                           \
    static int read_##name(void *command, const char *value)                                       \
    {                                                                                              \
        return options_float("--" #name, value, least, most, &((job *)command)->field);            \
    }
INTEGER(steps, steps, 1, MOST)
INTEGER(batch, batch, 1, MOST)
INTEGER(accumulate, accumulate, 1, 65535)
INTEGER(context, context, 1, MOST)
INTEGER(every, every, 1, MOST)
INTEGER(seed, seed, 0, INT64_MAX)
NUMBER(minutes, minutes, 1e-3, 1e6)
NUMBER(valid, valid, 0, 0.9)
NUMBER(rate, schedule.rate, 0, 100)
NUMBER(warmup, schedule.warmup, 0, 1)
NUMBER(floor, schedule.floor, 0, 1)
NUMBER(unfreeze, unfreeze, 0, 1)
NUMBER(decay, recipe.decay, 0, 100)
NUMBER(clip, recipe.clip, 0, 1e9)
NUMBER(dropout, recipe.dropout, 0, 0.99)
NUMBER(beta1, recipe.beta1, 0, 0.999999)
NUMBER(beta2, recipe.beta2, 0, 0.999999)
static int read_span_penalty(void *command, const char *value)
{
    return options_float("--span-penalty", value, 0, 1e6, &((job *)command)->recipe.span);
}

static int read_layer_decay(void *command, const char *value)
{
    return options_float("--layer-decay", value, 1, 100, &((job *)command)->layer_decay);
}

static const option options[] = {
    {"", 1, .read = read_word, .values = "FILE"},
    {"-o", 1, .at = offsetof(job, out), .values = "FILE"},
    {"--dtype", 1, .read = read_dtype, .values = "f32 f16 bf16"},
    {"--task", 1, .read = read_task, .values = "lm"},
    {"--steps", 1, .read = read_steps},
    {"--minutes", 1, .read = read_minutes},
    {"--resume", 0, .at = offsetof(job, resume)},
    {"--batch", 1, .read = read_batch},
    {"--accumulate", 1, .read = read_accumulate},
    {"--context", 1, .read = read_context},
    {"--valid", 1, .read = read_valid},
    {"--every", 1, .read = read_every},
    {"--rate", 1, .read = read_rate},
    {"--schedule", 1, .read = read_schedule, .values = "cosine slanted constant"},
    {"--warmup", 1, .read = read_warmup},
    {"--floor", 1, .read = read_floor},
    {"--layer-decay", 1, .read = read_layer_decay},
    {"--unfreeze", 1, .read = read_unfreeze},
    {"--decay", 1, .read = read_decay},
    {"--span-penalty", 1, .read = read_span_penalty},
    {"--clip", 1, .read = read_clip},
    {"--dropout", 1, .read = read_dropout},
    {"--beta1", 1, .read = read_beta1},
    {"--beta2", 1, .read = read_beta2},
    {"--seed", 1, .read = read_seed},
    {"--json", 0, .at = offsetof(job, json)},
    {"--svg", 1, .at = offsetof(job, svg), .values = "FILE"},
    {"--profile", 0, .at = offsetof(job, profile)},
    {0},
};

/* ---- what a checkpoint says of the run ---- */

/* What the bits of a run follow from, beside the network and the recipe. */
static json_t *settings_of(const job *j)
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
static int32_t compare(const job *j, const json_t *was, heed_error *error)
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
static int32_t read_note(job *j, heed_error *error)
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
static int32_t save(job *j, heed_error *error)
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

static int32_t open_network(job *j, heed_error *error)
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

static int32_t prepare_network(job *j, heed_error *error)
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

static int32_t prepare_data(job *j, heed_error *error)
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
static int32_t scale_groups(job *j, int64_t step, heed_error *error)
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
static int32_t weigh_auxiliary(job *j, int64_t step, heed_error *error)
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
static int32_t learn(job *j, int64_t step, double *loss, heed_error *error)
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
static int32_t count_steps(job *j, heed_error *error)
{
    double least = INFINITY, loss;
    for (int k = 0; k < 4 && !interrupt_seen; k++) {
        const double begin = clock_seconds();
        TRY(learn(j, k, &loss, error));
        least = fmin(least, clock_seconds() - begin);
        heed_trainer_forget(j->trainer);
    }
    const double steps = 60 * j->minutes / (UNSEEN * least);
    j->schedule.steps = steps < 1 ? 1 : steps > MOST ? MOST : (int64_t)steps;
    if (!j->json)
        printf("%g minutes are %lld steps here (--steps %lld)\n", j->minutes,
               (long long)j->schedule.steps, (long long)j->schedule.steps);
    fflush(stdout);
    return HEED_OK;
}

static int32_t prepare_run(job *j, heed_error *error)
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

static double rate_of(const job *j, double *left)
{
    const double seconds = clock_seconds() - j->began;
    const int64_t done = heed_trainer_steps(j->trainer), here = done - j->first;
    *left = here ? seconds / (double)here * (double)(j->schedule.steps - done) : 0;
    return (double)(here * j->batch * j->accumulate * j->context) / seconds;
}

/* Measures both parts, tells, and saves. */
static int32_t report(job *j, heed_error *error)
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

static int32_t run(job *j, heed_error *error)
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

static int tell_interrupted(const job *j)
{
    fflush(stdout);
    fprintf(stderr,
            "heed: interrupted behind step %lld of %lld, which %s has; the same command with "
            "--resume goes on\n",
            (long long)heed_trainer_steps(j->trainer), (long long)j->schedule.steps, j->checkpoint);
    return interrupt_status();
}

static int64_t parameters_of(const heed_trainer *t) { return t->optimiser.n; }

static int32_t finish(job *j, heed_error *error)
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

static void close_job(job *j)
{
    origin_tell(j->engine);
    free(j->measure.tokens), free(j->measure.targets), free(j->measure.nll);
    free(j->log.reports);
    free(j->checkpoint);
    train_data_close(&j->data);
    heed_trainer_free(j->trainer);
    heed_engine_free(j->engine);
}

int command_train(int argc, char **argv)
{
    job j = {.engine_options.size = sizeof j.engine_options,
             .batch = 16,
             .accumulate = 1,
             .seed = 1,
             .valid = 0.1,
             .dtype = HEED_F32,
             .layer_decay = 1,
             .recipe = {.size = sizeof j.recipe,
                        .dropout = 0.1,
                        .beta1 = 0.9,
                        .beta2 = 0.98,
                        .epsilon = 1e-8,
                        .decay = 0.1,
                        .clip = 1},
             .schedule = {.rate = 3e-3, .floor = 0.01, .warmup = 0.02}};
    heed_error error = {0};
    int status = options_parse(argc, argv, usage, options, &j, &j.engine_options);
    if (status) return status;
    if (j.steps && j.minutes > 0) return options_usage("--steps and --minutes exclude each other");
    if (!j.data_path || !j.out) return options_usage("a network, a file and -o MODEL are needed");
    j.recipe.seed = (uint64_t)j.seed, j.log.json = j.json;
    interrupt_catch();
    int32_t failed = prepare_run(&j, &error);
    if (!failed) failed = run(&j, &error);
    const int stopped = !failed && interrupt_seen;
    if (!failed && !stopped) failed = finish(&j, &error);
    if (!failed && j.profile)
        failed = train_log_profile(j.trainer, clock_seconds() - j.began, &error);
    status = failed ? command_fail(&error) : stopped ? tell_interrupted(&j) : 0;
    close_job(&j);
    return status;
}
