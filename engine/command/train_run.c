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
#include "command/ranks.h"
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
    return json_pack(
        "{s:s, s:f, s:I, s:I, s:I, s:I, s:I, s:I, s:f, s:s, s:f, s:f, s:f, s:f, s:f, s:s}", "task",
        train_task_name(j->task), "split", j->test, "segments", (json_int_t)j->segments, "steps",
        (json_int_t)j->schedule.steps, "batch", (json_int_t)j->batch, "accumulate",
        (json_int_t)j->accumulate, "context", (json_int_t)j->context, "every", (json_int_t)j->every,
        "valid", j->valid, "schedule", schedule_name(j->schedule.kind), "rate", j->schedule.rate,
        "warmup", j->schedule.warmup, "floor", j->schedule.floor, "layer-decay", j->layer_decay,
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

/* What a file of the model says besides its network: the names of classes, and which token ends what
 * is said of a source. */
static int32_t export(const train_job *j, heed_error *error)
{
    char begin[32], end[32], *classes = NULL;
    weights_note notes[2 + TRAIN_NOTES + 2] = {
        {"heed.spec", heed_stack_spec(heed_trainer_stack(j->trainer))}};
    uint32_t n = 1 + train_tokens_notes(&j->tokens, notes + 1);
    if (j->folder) return train_folder_write(j, error);
    if (j->task == TRAIN_CLASSIFY) {
        if (!(classes = train_examples_classes(&j->data.examples))) return error_memory(error);
        notes[n++] = (weights_note){"heed.classes", classes};
    }
    snprintf(begin, sizeof begin, "%lld", (long long)j->rows.begin);
    snprintf(end, sizeof end, "%lld", (long long)j->rows.end);
    if (j->task == TRAIN_PAIRS) { /* they count, whatever the tokens say */
        notes[n++] = (weights_note){"heed.end", end};
        notes[n++] = (weights_note){"heed.start", begin};
    }
    const trainer_file form = {NULL, notes, n};
    const int32_t failed = trainer_export(j->trainer, j->out, j->dtype, &form, error);
    free(classes);
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
    return failed ? failed : export(j, error);
}

/* Rank 0 writes; the others learn how that went. */
static int32_t save_by_one(train_job *j, heed_error *error)
{
    int none = 0;
    return ranks_any(j->group, &none, ranks_is_silent() ? HEED_OK : save(j, error), error);
}

/* ---- before the first step ---- */

static int32_t prepare_network(train_job *j, heed_error *error)
{
    TRY(train_network_open(j, error));
    const int64_t limit = heed_stack_number(heed_trainer_stack(j->trainer), "context");
    if (limit >= 0 && j->context > limit)
        return error_set(error, HEED_E_ARGUMENT, "--context is %lld, but the network's is %lld",
                         (long long)j->context, (long long)limit);
    if (!j->context) j->context = limit >= 0 ? limit : 256;
    return HEED_OK;
}

/* What no context has room for is cut, and told. */
static void note_shortened(train_job *j)
{
    train_examples *x = &j->data.examples;
    const int64_t room = j->context - (j->rows.bos >= 0);
    for (int64_t i = 0; i < x->n && !x->ids; i++)
        x->shortened += x->items[i].text.n > room || x->items[i].target.n > room;
    if (x->shortened)
        fprintf(stderr,
                "heed: %lld of %lld texts are longer than a context of %lld, and were cut\n",
                (long long)x->shortened, (long long)x->n, (long long)j->context);
}

/* Bytes, or tokens of a tokenizer, which has its own in front of a text and behind. */
static int32_t prepare_tokens(train_job *j, int64_t own, int64_t encoder, heed_error *error)
{
    const train_examples *x = &j->data.examples;
    const int64_t vocab = own < encoder ? own : encoder,
                  bos = heed_stack_number(heed_trainer_stack(j->trainer), "bos");
    j->rows = (train_rows){.task = j->task,
                           .batch = j->batch,
                           .context = j->context,
                           .bos = bos,
                           .begin = bos,
                           .end = bos};
    if (j->tokens.tokenizer) {
        const int64_t begin = train_tokens_number(&j->tokens, TRAIN_START),
                      end = train_tokens_number(&j->tokens, TRAIN_END);
        j->rows.bos = -1;
        if (begin >= 0) j->rows.begin = begin;
        if (end >= 0) j->rows.end = end;
        if (j->task == TRAIN_PAIRS &&
            (j->rows.begin < 0 || j->rows.end < 0 || j->rows.begin >= own || j->rows.end >= own))
            return error_set(error, HEED_E_DATA,
                             "%s: has no token that a target begins with (decoder_start_token_id) "
                             "or none that ends it (eos_token_id)",
                             j->network);
        return train_examples_encode(&j->data, j->task, &j->tokens, own, encoder, j->context,
                                     error);
    }
    for (int64_t i = 0; i < x->n_bytes; i++)
        if (x->bytes[i] >= vocab)
            return error_set(
                error, HEED_E_DATA,
                "%s: has the byte %d, but the network has those from 0 to %lld (vocab)",
                j->data.path, x->bytes[i], (long long)vocab - 1);
    return HEED_OK;
}

static int32_t prepare_examples(train_job *j, int64_t own, int64_t encoder, heed_error *error)
{
    TRY(prepare_tokens(j, own, encoder, error));
    TRY(train_examples_split(&j->data, j->task, j->valid, error));
    note_shortened(j);
    j->log.unit = j->task == TRAIN_PAIRS ? "token" : "text";
    j->log.examples = 1;
    j->which = calloc((size_t)j->accumulate * (size_t)j->batch, sizeof *j->which);
    return j->which ? train_rows_new(&j->rows, error) : error_memory(error);
}

static int32_t prepare_text(train_job *j, int64_t vocab, int64_t bos, heed_error *error)
{
    if (bos < 0 && j->tokens.tokenizer) { /* as heed score has it in front of a text */
        bos = train_tokens_number(&j->tokens, TRAIN_BEGIN);
        if (bos < 0) bos = train_tokens_number(&j->tokens, TRAIN_END);
        if (bos >= vocab) bos = -1;
    }
    TRY(train_data_open(&j->data, j->data_path, &j->tokens, vocab, bos, error));
    TRY(train_data_split(&j->data, j->valid, j->test, j->context, error));
    if (j->segments) {
        if ((j->data.cut - 1) / j->batch < j->context)
            return error_set(
                error, HEED_E_DATA,
                "%s: %lld tokens to be learned are no %lld streams of a segment of %lld: "
                "a smaller --batch is right, or a shorter --context",
                j->data.path, (long long)j->data.cut, (long long)j->batch, (long long)j->context);
        TRY(heed_trainer_remember(j->trainer, j->segments, error));
    }
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

static int32_t prepare_data(train_job *j, heed_error *error)
{
    const heed_stack *stack = heed_trainer_stack(j->trainer);
    const int64_t vocab = heed_stack_number(
        stack, heed_stack_number(stack, "encoder_vocab") > 0 ? "encoder_vocab" : "vocab");
    const int64_t bos = heed_stack_number(stack, "bos"), own = heed_stack_number(stack, "vocab");
    return j->task == TRAIN_LM ? prepare_text(j, own, bos, error)
                               : prepare_examples(j, own, vocab, error);
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

/* The same of examples, which count by their targets. */
static int32_t learn_examples(train_job *j, int64_t step, double *loss, heed_error *error)
{
    train_examples *x = &j->data.examples;
    const int64_t n = j->batch * j->accumulate;
    int64_t targets = 0;
    heed_batch batch;
    TRY(train_examples_draw(x, j->recipe.seed, step * n, n, j->which, error));
    for (int64_t k = 0; k < j->accumulate; k++)
        targets += train_examples_batch(x, &j->rows, j->which + k * j->batch, j->batch, &batch);
    for (int64_t k = 0; k < j->accumulate; k++) {
        double nats;
        train_examples_batch(x, &j->rows, j->which + k * j->batch, j->batch, &batch);
        TRY(heed_trainer_learn_batch(j->trainer, &batch, 1 / (double)targets, &nats, error));
        *loss += nats / (double)targets;
    }
    return HEED_OK;
}

/* A step's segment of each stream. */
static int32_t learn_segments(train_job *j, int64_t step, double *loss, heed_error *error)
{
    const double tokens = (double)(j->batch * j->context);
    heed_batch batch = {.size = sizeof batch,
                        .texts = j->batch,
                        .length = j->context,
                        .tokens = j->measure.tokens,
                        .targets = j->measure.targets};
    double nats;
    batch.follows = (uint32_t)train_data_segments(&j->data, step, j->batch, j->context,
                                                  j->measure.tokens, j->measure.targets);
    TRY(heed_trainer_learn_batch(j->trainer, &batch, 1 / tokens, &nats, error));
    *loss = nats / tokens;
    return HEED_OK;
}

static int32_t learn_text(train_job *j, int64_t step, double *loss, heed_error *error)
{
    const double tokens = (double)(j->batch * j->context * j->accumulate);
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

/* One step's gradients; the mean loss of its targets. */
static int32_t learn(train_job *j, int64_t step, double *loss, heed_error *error)
{
    *loss = 0;
    return (j->task != TRAIN_LM ? learn_examples
            : j->segments       ? learn_segments
                                : learn_text)(j, step, loss, error);
}

/* Whether a signal has come, to any of the ranks: then all stop behind the same step. */
static int32_t look(train_job *j, heed_error *error)
{
    j->stopped = interrupt_seen != 0;
    return ranks_any(j->group, &j->stopped, HEED_OK, error);
}

/* --minutes as a number of steps: the least of some, since the first ones wait for memory. */
static int32_t count_steps(train_job *j, heed_error *error)
{
    double least = INFINITY, loss;
    for (int k = 0; k < 4 && !j->stopped; k++) {
        const double begin = clock_seconds();
        TRY(learn(j, k, &loss, error));
        least = fmin(least, clock_seconds() - begin);
        heed_trainer_forget(j->trainer);
        TRY(look(j, error));
    }
    TRY(ranks_number(j->group, &least, error));
    const double steps = 60 * j->minutes / (UNSEEN * least);
    j->schedule.steps = steps < 1 ? 1 : steps > TRAIN_MOST ? TRAIN_MOST : (int64_t)steps;
    if (!j->json)
        printf("%g minutes are %lld steps here (--steps %lld)\n", j->minutes,
               (long long)j->schedule.steps, (long long)j->schedule.steps);
    fflush(stdout);
    return HEED_OK;
}

/* Ranks come together before anything may fail in one of them. */
static int32_t open_engine(train_job *j, heed_error *error)
{
    if (!(j->engine = heed_engine_new(&j->engine_options, error))) return error->code;
    if (!ranks_are_several()) return HEED_OK;
    j->group = ranks_join(j->engine, RANKS_SECONDS, error);
    return j->group ? HEED_OK : error->code;
}

static char *text_and_free(json_t *value)
{
    char *text = value ? json_dumps(value, JSON_COMPACT) : NULL;
    json_decref(value);
    return text;
}

/* What each rank does by itself. */
static int32_t prepare_alone(train_job *j, heed_error *error)
{
    size_t length = strlen(j->out);
    j->folder = train_folder_is(j->out);
    while (j->folder && length > 1 && j->out[length - 1] == '/') length--;
    if (asprintf(&j->checkpoint, "%.*s.training", (int)length, j->out) < 0)
        return j->checkpoint = NULL, error_memory(error);
    if (!j->folder) TRY(file_check(j->out, error));
    TRY(file_check(j->checkpoint, error));
    if (j->svg) TRY(file_check(j->svg, error));
    TRY(prepare_network(j, error));
    if (j->folder) TRY(train_folder_check(j, error));
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
    }
    return HEED_OK;
}

/* All ranks have the same network, recipe, weights, settings and data. */
static int32_t meet(train_job *j, int32_t failed, heed_error *error)
{
    char *settings = failed ? NULL : text_and_free(settings_of(j));
    if (!failed && !settings) failed = error_memory(error);
    if (!failed && j->group && j->batch < heed_group_ranks(j->group))
        failed = error_set(error, HEED_E_ARGUMENT,
                           "--batch is %lld, but of %u ranks each needs a text at least",
                           (long long)j->batch, heed_group_ranks(j->group));
    if (!failed && j->group && j->segments)
        failed =
            error_set(error, HEED_E_UNSUPPORTED,
                      "texts that follow one another (--segments) are learned on one rank, not "
                      "on %u",
                      heed_group_ranks(j->group));
    if (j->group)
        failed =
            heed_group_agree(j->group, settings, settings ? strlen(settings) : 0, failed, error);
    free(settings);
    return failed || !j->group ? failed : heed_group_train(j->group, j->trainer, error);
}

int32_t train_prepare(train_job *j, heed_error *error)
{
    TRY(open_engine(j, error));
    TRY(meet(j, prepare_alone(j, error), error));
    if (!j->resume && j->minutes > 0) TRY(count_steps(j, error));
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
    return (double)(here * j->batch * j->accumulate * (j->task == TRAIN_LM ? j->context : 1)) /
           seconds;
}

/* What is learned, what is held out, or the end of that, which is measured once. */
enum { LEARNED, HELD, TEST };

/* `most` windows or examples of a part, 0: all; NAN where there are none. */
static int32_t measure(train_job *j, int part, int64_t most, train_score *score, heed_error *error)
{
    const train_data *d = &j->data;
    const train_examples *x = &d->examples;
    const int64_t bounds[] = {0, d->cut, d->test, d->n}, texts[] = {0, x->learned, x->n, x->n},
                  *at = (j->task == TRAIN_LM ? bounds : texts) + part;
    *score = (train_score){NAN, NAN};
    if (j->task != TRAIN_LM)
        return at[0] < at[1] ? train_examples_measure(j->trainer, x, &j->rows, at[0], at[1], most,
                                                      score, error)
                             : HEED_OK;
    const int64_t windows = (at[1] - at[0]) / j->context;
    if (!windows) return HEED_OK;
    return train_measure_bits(&j->measure, at[0], at[1], windows < most ? windows : most,
                              &score->bits, error);
}

static int32_t add_and_save(train_job *j, train_report r, heed_error *error)
{
    TRY(train_log_add(&j->log, r, error));
    return save_by_one(j, error);
}

/* Measures both parts, tells, and saves. */
static int32_t report(train_job *j, heed_error *error)
{
    const int64_t step = heed_trainer_steps(j->trainer);
    train_score learned, held;
    train_now now = {.rate = schedule_rate(&j->schedule, step - 1), .norm = j->norm};
    TRY(measure(j, LEARNED, WINDOWS, &learned, error));
    TRY(measure(j, HELD, WINDOWS, &held, error));
    const train_report r = {step,          learned.bits, held.bits,
                            learned.right, held.right,   train_log_ponder(j->trainer)};
    double *spans = calloc((size_t)j->trainer->n_spans + 1, sizeof *spans);
    if (!spans) return error_memory(error);
    train_log_span_means(j->trainer, spans);
    now.spans = spans, now.n_spans = j->trainer->n_spans;
    const int32_t failed = add_and_save(j, r, error);
    now.seconds = clock_seconds() - j->began;
    now.tokens_per_second = rate_of(j, &now.left);
    now.loss = j->loss / (double)(step - j->since);
    j->loss = 0, j->since = step;
    progress_end();
    if (!failed) train_log_print(&j->log, &now);
    free(spans);
    return failed;
}

int32_t train_run(train_job *j, heed_error *error)
{
    j->began = clock_seconds();
    for (int64_t step = j->first; step < j->schedule.steps; step++) {
        double loss;
        TRY(look(j, error));
        if (j->stopped) break;
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
    return j->stopped ? save_by_one(j, error) : HEED_OK;
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

/* How many tokens or examples are held out. */
static int64_t held_out(const train_job *j)
{
    const train_examples *x = &j->data.examples;
    return j->task == TRAIN_LM ? j->data.test - j->data.cut : x->n - x->learned;
}

static int32_t finish_json(const train_job *j, const train_score *held, const train_score *test,
                           int64_t seen, double seconds, heed_error *error)
{
    char key[32], test_key[40];
    snprintf(key, sizeof key, "bits_per_%s", j->log.unit);
    snprintf(test_key, sizeof test_key, "test_%s", key);
    json_t *all = json_pack("{s:s, s:I, s:I, s:I, s:I, s:o, s:f, s:s}", "model", j->out,
                            "parameters", (json_int_t)parameters_of(j->trainer), "steps",
                            (json_int_t)j->schedule.steps, j->log.examples ? "examples" : "tokens",
                            (json_int_t)seen, "held_out", (json_int_t)held_out(j), key,
                            isfinite(held->bits) ? json_real(held->bits) : json_null(), "seconds",
                            seconds, "path", inspect_path(j->engine));
    if (all && isfinite(held->right)) json_object_set_new(all, "accuracy", json_real(held->right));
    if (all && isfinite(test->bits)) json_object_set_new(all, test_key, json_real(test->bits));
    if (!all || json_dumpf(all, stdout, JSON_COMPACT)) return json_decref(all), error_memory(error);
    json_decref(all);
    putchar('\n');
    return HEED_OK;
}

static void print_end(const train_job *j, const train_score *held, const train_score *test,
                      int64_t seen, double seconds)
{
    printf("%s: %lld parameters, %lld steps, %lld %s, %.1f minutes", j->out,
           (long long)parameters_of(j->trainer), (long long)j->schedule.steps, (long long)seen,
           j->log.examples ? "examples" : "tokens", seconds / 60);
    if (isfinite(held->bits)) printf("; %.8f bits per %s", held->bits, j->log.unit);
    if (isfinite(held->right)) printf(" and accuracy %.2f %%", 100 * held->right);
    if (isfinite(held->bits)) printf(" of all %lld that were held out", (long long)held_out(j));
    if (isfinite(test->bits))
        printf(", %.8f of the %lld behind them, the test", test->bits,
               (long long)(j->data.n - j->data.test));
    putchar('\n');
    train_log_spans(j->trainer);
}

int32_t train_finish(train_job *j, heed_error *error)
{
    train_score held, test;
    TRY(measure(j, HELD, 0, &held, error));
    TRY(measure(j, TEST, 0, &test, error));
    const double seconds = clock_seconds() - j->began;
    const int64_t seen =
        j->schedule.steps * j->batch * j->accumulate * (j->log.examples ? 1 : j->context);
    if (ranks_is_silent()) return HEED_OK;
    if (j->svg)
        TRY(train_log_picture(&j->log, heed_stack_spec(heed_trainer_stack(j->trainer)), j->svg,
                              error));
    unlink(j->checkpoint); /* there is nothing to go on with */
    if (j->json) return finish_json(j, &held, &test, seen, seconds, error);
    print_end(j, &held, &test, seen, seconds);
    return HEED_OK;
}
