/* SPDX-License-Identifier: MIT
 *
 * train.c: heed train: a network learns a text. Its command line; train_run.c does the rest.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "command/clock.h"
#include "command/command.h"
#include "command/interrupt.h"
#include "command/options.h"
#include "command/origin.h"
#include "command/ranks.h"
#include "command/train.h"

static const char usage[] =
    "usage: heed train NETWORK DATA -o MODEL [OPTION ...]\n"
    "\n"
    "  NETWORK           the spec of a network that has learned nothing, or a safetensors file or "
    "a\n"
    "                    checkpoint's folder, whose weights it goes on from\n"
    "  DATA              what it learns to predict: a file's bytes, a folder of texts or a .jsonl "
    "file of them,\n"
    "                    or a .npy file of numbers of tokens; of classify lines {\"text\": ..., "
    "\"label\": ...},\n"
    "                    or a folder with one a class; of pairs lines {\"source\": ..., "
    "\"target\": ...}, or a .tsv\n"
    "  -o MODEL          the safetensors file that is made; MODEL/: a folder for transformers, if "
    "one of its\n"
    "                    models computes the same\n"
    "  --tokenizer DIR   makes tokens of texts: a folder with a tokenizer.json, in the place of "
    "NETWORK's own\n"
    "  --dtype TYPE      of its weights: f32 (the default), f16 or bf16\n"
    "  --task TASK       lm: the next token (the default); classify: which class a text is of; "
    "pairs: what a\n"
    "                    network with an encoder says of what that reads\n"
    "  --pooling HOW     of classify, unless the network says it: concat (the default), mean, "
    "first, last, max,\n"
    "                    or pooler: BERT's, the first with a layer and tanh; of a folder pooler or "
    "last\n"
    "  --steps N         of the optimiser; 1000 if neither this nor --minutes is given\n"
    "  --minutes M       in their place: some steps are timed, and as many are made as fit\n"
    "  --resume          goes on with a run of the same command that was interrupted\n"
    "  --batch N         texts at a time, from places of chance; 16\n"
    "  --accumulate N    batches of a step; 1\n"
    "  --context N       tokens of a text; the network's context, or 256\n"
    "  --segments N      texts follow one another, and attentions see N tokens of those before as "
    "well; 0\n"
    "  --valid SHARE     how much of the end of DATA is held out; 0.1\n"
    "  --split A/B/C     in its place: so many hundredths are learned, held out, and measured at "
    "the "
    "end alone\n"
    "  --every N         steps between two reports, which also save; a twentieth of all\n"
    "  --rate R          the highest learning rate; 0.003\n"
    "  --schedule S      cosine (the default), slanted or constant: how the rate changes\n"
    "  --warmup SHARE    of the steps, in which the rate rises; 0.02\n"
    "  --floor SHARE     of the rate, which is left at the end; 0.01\n"
    "  --layer-decay D   the rate of each layer is that of the next one divided by this; 1\n"
    "  --unfreeze SHARE  of the steps, in which the layers begin to learn, the last one first; 0\n"
    "  --decay D         of matrices, times the rate; 0.1\n"
    "  --ponder L        of the layers that tokens run through, where they halt (halting=act); 0\n"
    "  --span-penalty L  of how far heads look, where that is learned (adaptive_span); 0\n"
    "  --clip N          the largest norm of all gradients, 0: none; 1\n"
    "  --dropout P       share of elements that are left out by chance; 0.1\n"
    "  --optimizer NAME  adamw (the default), or sgd: gradient descent with momentum\n"
    "  --beta1 B, --beta2 B   of adamw; 0.9 and 0.98\n"
    "  --momentum M      of sgd; 0.9\n"
    "  --seed N          of the first weights, the places and dropout; 1\n"
    "  --json            each report, and the end, as a line of JSON\n"
    "  --svg FILE        the curves as a picture\n"
    "  --profile         where the time went\n" OPTIONS_ENGINE "\n"
    "Under mpirun ranks share each batch, and the files are those of one process: docs/ranks.md.\n"
    "The rest of DATA that is held out is measured as heed score does. Ctrl-C saves; the same "
    "command "
    "with\n"
    "--resume goes on to the same bits as without the interruption.\n";

/* ---- options ---- */

static int read_word(void *command, const char *value)
{
    train_job *j = command;
    if (j->data_path) return options_usage(QUOTE " is one word too many", QUOTED(value));
    if (j->network) j->data_path = value;
    else j->network = value;
    return 0;
}

static int read_dtype(void *command, const char *value)
{
    return options_dtype(value, &((train_job *)command)->dtype);
}

static int read_task(void *command, const char *value)
{
    train_job *j = command;
    for (uint32_t task = 0; task < TRAIN_TASKS; task++)
        if (!strcmp(value, train_task_name(task))) return j->task = task, 0;
    return options_usage("--task takes lm, classify or pairs, not " QUOTE, QUOTED(value));
}

static int read_pooling(void *command, const char *value)
{
    static const char *const known[] = {"concat", "mean", "first", "last", "max", "pooler"};
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (!strcmp(value, known[i])) return ((train_job *)command)->pooling = known[i], 0;
    return options_usage("--pooling takes concat, mean, first, last, max or pooler, not " QUOTE,
                         QUOTED(value));
}

/* "90/5/5": hundredths, which are all. */
static int read_split(void *command, const char *value)
{
    train_job *j = command;
    int a, b, c, end = 0;
    if (sscanf(value, "%d/%d/%d%n", &a, &b, &c, &end) != 3 || value[end] || a < 1 || b < 1 ||
        c < 1 || a + b + c != 100)
        return options_usage("--split takes three numbers whose sum is 100, as 90/5/5, not " QUOTE,
                             QUOTED(value));
    j->valid = (b + c) / 100.0, j->test = c / 100.0;
    return 0;
}

static int read_optimizer(void *command, const char *value)
{
    heed_recipe *r = &((train_job *)command)->recipe;
    for (r->optimiser = 0; optimiser_name(r->optimiser); r->optimiser++)
        if (!strcmp(value, optimiser_name(r->optimiser))) return 0;
    return options_usage("--optimizer takes adamw or sgd, not " QUOTE, QUOTED(value));
}

static int read_schedule(void *command, const char *value)
{
    train_job *j = command;
    for (uint32_t kind = 0; kind < SCHEDULES; kind++)
        if (!strcmp(value, schedule_name(kind))) return j->schedule.kind = kind, 0;
    return options_usage("--schedule takes cosine, slanted or constant, not " QUOTE, QUOTED(value));
}

#define INTEGER(name, field, least, most)                                                          \
    static int read_##name(void *command, const char *value)                                       \
    {                                                                                              \
        return options_int("--" #name, value, least, most, &((train_job *)command)->field);        \
    }
#define NUMBER(name, field, least, most)                                                           \
    static int read_##name(void *command, const char *value)                                       \
    {                                                                                              \
        return options_float("--" #name, value, least, most, &((train_job *)command)->field);      \
    }
INTEGER(steps, steps, 1, TRAIN_MOST)
INTEGER(batch, batch, 1, TRAIN_MOST)
INTEGER(accumulate, accumulate, 1, 65535)
INTEGER(context, context, 1, TRAIN_MOST)
INTEGER(every, every, 1, TRAIN_MOST)
INTEGER(segments, segments, 1, TRAIN_MOST)
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
NUMBER(ponder, recipe.ponder, 0, 1e6)
NUMBER(beta1, beta1, 0, 0.999999)
NUMBER(beta2, beta2, 0, 0.999999)
NUMBER(momentum, momentum, 0, 0.999999)
static int read_span_penalty(void *command, const char *value)
{
    return options_float("--span-penalty", value, 0, 1e6, &((train_job *)command)->recipe.span);
}

static int read_layer_decay(void *command, const char *value)
{
    return options_float("--layer-decay", value, 1, 100, &((train_job *)command)->layer_decay);
}

static const option options[] = {
    {"", 1, .read = read_word, .values = "FILE"},
    {"-o", 1, .at = offsetof(train_job, out), .values = "FILE"},
    {"--dtype", 1, .read = read_dtype, .values = "f32 f16 bf16"},
    {"--task", 1, .read = read_task, .values = "lm classify pairs"},
    {"--pooling", 1, .read = read_pooling, .values = "concat mean first last max pooler"},
    {"--tokenizer", 1, .at = offsetof(train_job, tokenizer), .values = "FILE"},
    {"--steps", 1, .read = read_steps},
    {"--minutes", 1, .read = read_minutes},
    {"--resume", 0, .at = offsetof(train_job, resume)},
    {"--batch", 1, .read = read_batch},
    {"--accumulate", 1, .read = read_accumulate},
    {"--context", 1, .read = read_context},
    {"--segments", 1, .read = read_segments},
    {"--valid", 1, .read = read_valid},
    {"--split", 1, .read = read_split},
    {"--every", 1, .read = read_every},
    {"--rate", 1, .read = read_rate},
    {"--schedule", 1, .read = read_schedule, .values = "cosine slanted constant"},
    {"--warmup", 1, .read = read_warmup},
    {"--floor", 1, .read = read_floor},
    {"--layer-decay", 1, .read = read_layer_decay},
    {"--unfreeze", 1, .read = read_unfreeze},
    {"--decay", 1, .read = read_decay},
    {"--ponder", 1, .read = read_ponder},
    {"--span-penalty", 1, .read = read_span_penalty},
    {"--clip", 1, .read = read_clip},
    {"--dropout", 1, .read = read_dropout},
    {"--optimizer", 1, .read = read_optimizer, .values = "adamw sgd"},
    {"--beta1", 1, .read = read_beta1},
    {"--beta2", 1, .read = read_beta2},
    {"--momentum", 1, .read = read_momentum},
    {"--seed", 1, .read = read_seed},
    {"--json", 0, .at = offsetof(train_job, json)},
    {"--svg", 1, .at = offsetof(train_job, svg), .values = "FILE"},
    {"--profile", 0, .at = offsetof(train_job, profile)},
    {0},
};

/* What was said of the optimiser that there is; nonzero: of the other one. */
static int set_moments(train_job *j)
{
    const int sgd = j->recipe.optimiser == HEED_SGD;
    if (sgd && (j->beta1 >= 0 || j->beta2 >= 0))
        return options_usage("--beta1 and --beta2 are of --optimizer adamw; sgd has --momentum");
    if (!sgd && j->momentum >= 0) return options_usage("--momentum is of --optimizer sgd");
    const double first = sgd ? j->momentum : j->beta1;
    j->recipe.beta1 = first >= 0 ? first : 0.9;
    j->recipe.beta2 = sgd ? 0 : j->beta2 >= 0 ? j->beta2 : 0.98;
    return 0;
}

/* What options say of each other; nonzero: wrong. */
static int check_options(train_job *j)
{
    if (j->steps && j->minutes > 0)
        return options_usage("--steps and --minutes exclude each other");
    if (j->pooling && j->task != TRAIN_CLASSIFY)
        return options_usage("--pooling is of --task classify");
    if (j->segments && (j->task != TRAIN_LM || j->accumulate > 1))
        return options_usage("--segments is of --task lm, one batch a step");
    if (j->test > 0 && j->task != TRAIN_LM)
        return options_usage("--split is of --task lm; --valid SHARE holds examples out");
    if (!j->data_path || !j->out) return options_usage("a network, a file and -o MODEL are needed");
    return set_moments(j);
}

static void close_job(train_job *j)
{
    origin_tell(j->engine);
    free(j->measure.tokens), free(j->measure.targets), free(j->measure.nll);
    free(j->log.reports);
    free(j->checkpoint), free(j->which);
    train_rows_free(&j->rows);
    train_data_close(&j->data);
    train_tokens_close(&j->tokens);
    heed_trainer_free(j->trainer);
    heed_group_free(j->group);
    heed_engine_free(j->engine);
}

int command_train(int argc, char **argv)
{
    train_job j = {.engine_options.size = sizeof j.engine_options,
                   .batch = 16,
                   .accumulate = 1,
                   .seed = 1,
                   .valid = 0.1,
                   .dtype = HEED_F32,
                   .layer_decay = 1,
                   .beta1 = -1,
                   .beta2 = -1,
                   .momentum = -1,
                   .recipe = {.size = sizeof j.recipe,
                              .dropout = 0.1,
                              .epsilon = 1e-8,
                              .decay = 0.1,
                              .clip = 1},
                   .schedule = {.rate = 3e-3, .floor = 0.01, .warmup = 0.02}};
    heed_error error = {0};
    ranks_begin();
    int status = options_parse(argc, argv, usage, options, &j, &j.engine_options);
    if (status || (status = check_options(&j))) return status;
    j.recipe.seed = (uint64_t)j.seed, j.log.json = j.json;
    interrupt_catch();
    int32_t failed = train_prepare(&j, &error);
    if (!failed) failed = train_run(&j, &error);
    const int stopped = !failed && j.stopped;
    if (!failed && !stopped) failed = train_finish(&j, &error);
    if (j.group) failed = heed_group_agree(j.group, NULL, 0, failed, &error);
    if (!failed && j.profile)
        failed = train_log_profile(j.trainer, clock_seconds() - j.began, &error);
    status = failed ? command_fail(&error) : stopped ? train_interrupted(&j) : 0;
    close_job(&j);
    return status;
}
