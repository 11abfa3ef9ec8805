/* SPDX-License-Identifier: MIT
 *
 * score.c: heed score: how well a byte model predicts a file, in bits per byte.
 *
 * The model sees y = bos, x_0, x_1, ...; y_j predicts x_j. Windows of C tokens begin at 0, S, 2 S,
 * ...; positions restart with each. Invariant: every byte of the file is counted once, by the first
 * window that has it.
 *
 * No more of the file is there at a time than one window, so that it may be a pipe, or longer than
 * memory.
 */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "command/stored.h"
#include "command/choices.h"
#include "command/clock.h"
#include "command/command.h"
#include "command/interrupt.h"
#include "command/model.h"
#include "command/options.h"
#include "command/origin.h"
#include "command/progress.h"
#include "command/ranks.h"
#include "command/tracing.h"
#include "inspect.h"
#include "model/stack.h"

#define PIECE 512 /* tokens whose logits are there at a time */

static const char usage[] =
    "usage: heed score MODEL FILE [OPTION ...]\n"
    "       heed score MODEL --choices FILE.jsonl [OPTION ...]\n"
    "\n"
    "  MODEL             a safetensors file with a byte model, or a checkpoint: a folder with a "
    "config.json\n"
    "                    and, to be scored on texts, a tokenizer.json\n"
    "  FILE              what is to be predicted; - is standard input\n"
    "  --ids FILE.npy    in its place: numbers of tokens; the first is given, and the result is in "
    "bits a token\n"
    "  --choices FILE.jsonl  in its place: lines such as\n"
    "                    {\"prompt\": \"The sky is\", \"choices\": [\" blue\", \" green\"], "
    "\"answer\": 0};\n"
    "                    of each choice the sum of ln p of its tokens, and how often the right one "
    "is "
    "the\n"
    "                    likeliest, by that sum and by that sum over the choice's bytes\n"
    "  --context N       tokens that the model sees at a time; what it was made for if not given\n"
    "  --stride N        how far the next window moves; half the context if not given\n"
    "  --spec SPEC       the network, if not what the model itself says\n" STORED_USAGE
    "                    what these cost is told beside the model's own result: bits, and how far "
    "the\n"
    "                    predictions are apart (Kullback-Leibler divergence)\n"
    "  --json            {bits_per_byte, bytes, seconds, tokens_per_second, model, path, "
    "threads}, and where it is\n"
    "                    compared {plain_bits_per_byte, divergence_nats}; mean_steps and "
    "ponder_cost "
    "where "
    "tokens halt\n" TRACING_USAGE OPTIONS_ENGINE "\n"
    "The result is the mean of -log2 p over all bytes of the file. Each byte is counted once; "
    "tokens/s counts all\n"
    "tokens that the model has read, in overlapping windows again. Ctrl-C prints the result for "
    "what "
    "was read so far.\n";

typedef struct job {
    heed_options engine;
    const char *model_path, *file_path, *ids_path, *choices_path, *spec;
    stored_change change;
    int64_t context, stride; /* 0: not given */
    int json;
    tracing tracing;

    model model;
    model plain;          /* with --cache or --weights the same network without; else all NULL */
    char *stored_spec;
    heed_instance *loss;
    FILE *file;
    /* of the file, those from `first` on, as many as `have`; there is room for `room` */
    unsigned char *bytes;
    /* in its place, or of it: all tokens, of which the first is given; NULL: they are bytes */
    int32_t *ids;
    int64_t n_ids, n_bytes; /* and of how many bytes of text they are; 0: of none */
    int64_t first, have, room;
    int ended;               /* there are no more */
    int64_t piece;           /* tokens that are fed at a time */
    int32_t *tokens, *targets;
    float *logits, *nll;     /* [piece, vocab] and [piece] */
    float *plain_logits;     /* those of `plain` */

    double nats, seconds;
    double plain_nats, divergence; /* sums over all that was counted */
    int64_t counted, fed;
} job;

/* ---- options ---- */

static int read_word(void *command, const char *value)
{
    job *j = command;
    if (j->file_path) return options_usage(QUOTE " is one word too many", QUOTED(value));
    if (j->model_path) j->file_path = value;
    else j->model_path = value;
    return 0;
}

static int read_context(void *command, const char *value)
{
    return options_int("--context", value, 1, (int64_t)1 << 40, &((job *)command)->context);
}
static int read_stride(void *command, const char *value)
{
    return options_int("--stride", value, 1, (int64_t)1 << 40, &((job *)command)->stride);
}

static const option options[] = {
    {"", 1, .read = read_word, .values = "FILE"},
    {"--ids", 1, .at = offsetof(job, ids_path), .values = "FILE"},
    {"--choices", 1, .at = offsetof(job, choices_path), .values = "FILE"},
    {"--context", 1, .read = read_context},
    {"--spec", 1, .at = offsetof(job, spec)},
    STORED_OPTIONS(job, change),
    {"--stride", 1, .read = read_stride},
    {"--json", 0, .at = offsetof(job, json)},
    {"--trace", 1, .at = offsetof(job, tracing.path), .values = "FILE"},
    {0},
};

/* ---- the work ---- */

/* bytes of a file that must be there whole, for want of a context */
#define WHOLE ((int64_t)1 << 30)

/* What is predicted: a byte of the file, or a token. */
static int32_t wanted(const job *j, int64_t i)
{
    return j->ids ? j->ids[i + 1] : j->bytes[i - j->first];
}

/* What stands before all of it. */
static int64_t begins_with(const job *j)
{
    return j->ids ? j->ids[0] : heed_stack_number(j->model.stack, "bos");
}

/* The bytes from `from` on, and `n` of them or all that there are. */
static int32_t read_window(job *j, int64_t from, int64_t n, heed_error *error)
{
    if (j->ids) {
        j->first = from, j->have = j->n_ids - 1 - from, j->ended = 1;
        return HEED_OK;
    }
    j->have -= from - j->first;
    if (j->have) memmove(j->bytes, j->bytes + (from - j->first), (size_t)j->have);
    j->first = from;
    while (j->have < n && !j->ended) {
        if (j->have == j->room) { /* its size is not asked for: a pipe has none */
            int64_t room = j->room ? 2 * j->room : 1 << 16;
            unsigned char *larger = realloc(j->bytes, (size_t)room);
            if (!larger) return error_memory(error);
            j->bytes = larger, j->room = room;
        }
        int64_t want = n < j->room ? n - j->have : j->room - j->have;
        j->have += (int64_t)fread(j->bytes + j->have, 1, (size_t)want, j->file);
        if (ferror(j->file))
            return error_set(error, HEED_E_SYSTEM, "%s: %s", j->file_path, strerror(errno));
        j->ended = feof(j->file);
    }
    return HEED_OK;
}

/* The whole file as tokens, behind the one that the checkpoint's texts begin with. */
static int32_t read_text(job *j, heed_error *error)
{
    id_list list = {0};
    int64_t begin = model_token(&j->model, "heed.begin");
    if (begin < 0) begin = model_token(&j->model, "heed.end");
    if (begin < 0)
        return error_set(error, HEED_E_DATA,
                         "%s: config.json has no bos_token_id and no eos_token_id, so the first "
                         "token can not be predicted",
                         j->model_path);
    TRY(read_window(j, 0, WHOLE, error));
    if (!j->ended)
        return error_set(error, HEED_E_DATA, "%s: it has %lld MiB or more, or no end", j->file_path,
                         (long long)(WHOLE >> 20));
    id_list_put(&list, (int32_t)begin);
    const int32_t failed = model_encode(&j->model, j->file_path, (const char *)j->bytes,
                                        (size_t)j->have, 0, 0, &list, error);
    j->ids = list.at, j->n_ids = (int64_t)list.n, j->n_bytes = j->have;
    return failed ? failed : list.failed ? error_memory(error) : HEED_OK;
}

static int32_t read_tokens(job *j, heed_error *error)
{
    if (!j->ids_path) TRY(model_open_text(&j->model, j->model_path, error));
    if (j->model.tokenizer) return read_text(j, error);
    if (!j->ids_path) return HEED_OK;
    TRY(model_read_ids(&j->model, j->ids_path, &j->ids, &j->n_ids, error));
    if (j->n_ids > 1) return HEED_OK;
    return error_set(error, HEED_E_DATA,
                     "%s: has %lld tokens, but the first is given and another one is needed to be "
                     "predicted",
                     j->ids_path, (long long)j->n_ids);
}

/* Context and stride, from the options, the model and the file; and memory. */
static int32_t prepare(job *j, heed_error *error)
{
    const heed_stack *stack = j->model.stack;
    int64_t limit = heed_stack_number(stack, "context"), vocab = heed_stack_number(stack, "vocab");
    TRY(read_tokens(j, error));
    if (begins_with(j) < 0)
        return error_set(error, HEED_E_DATA,
                         "%s has no token to begin with (bos), so the first byte can not be predicted", j->model_path);
    if (stack->ahead || stack->prefix)
        return error_set(error, HEED_E_DATA,
                         "%s is no language model: tokens of %s%s see those behind them, and with them what is to be "
                         "predicted", j->model_path, stack->ahead ? stack->ahead : "the prefix",
                         stack->ahead ? ", which is not causal," : "");
    if (limit >= 0 && j->context > limit)
        return error_set(error, HEED_E_ARGUMENT, "--context is %lld, but %s was made for %lld",
                         (long long)j->context, j->model_path, (long long)limit);
    if (!j->context && limit >= 0) j->context = limit;
    int32_t failed = read_window(j, 0, j->context ? j->context : WHOLE, error);
    if (failed) return failed;
    if (!j->have)
        return error_set(error, HEED_E_DATA,
                         "%s: the file is empty, so there is nothing to predict", j->file_path);
    if (!j->context && !j->ended)
        return error_set(
            error, HEED_E_DATA,
            "%s: it has %lld MiB or more, or no end, and %s has no context: --context N "
            "says how much is to be seen at a time",
            j->file_path, (long long)(WHOLE >> 20), j->model_path);
    if (!j->context) j->context = j->have;
    if (!j->stride) j->stride = j->context > 1 ? j->context / 2 : 1;
    if (j->stride > j->context)
        return error_set(error, HEED_E_ARGUMENT,
                         "--stride is %lld, which leaves out bytes with a context of %lld",
                         (long long)j->stride, (long long)j->context);
    int64_t window = j->context < j->have ? j->context : j->have;
    j->piece = window < PIECE || stack->whole ? window : PIECE;
    j->tokens = calloc((size_t)j->piece, sizeof *j->tokens);
    j->targets = calloc((size_t)j->piece, sizeof *j->targets);
    j->nll = calloc((size_t)j->piece, sizeof *j->nll);
    j->logits = reallocarray(NULL, (size_t)j->piece, (size_t)vocab * sizeof *j->logits);
    if (j->plain.session)
        j->plain_logits = reallocarray(NULL, (size_t)j->piece, (size_t)vocab * sizeof *j->logits);
    if (j->plain.session && !j->plain_logits) return error_memory(error);
    if (!j->tokens || !j->targets || !j->nll || !j->logits) return error_memory(error);
    j->loss = heed_instance_open(j->model.engine, "loss/cross_entropy", NULL, error);
    return j->loss ? HEED_OK : error->code;
}

/* The sum of -log p of the targets over `rows` rows of logits. */
static int32_t add_loss(job *j, float *from, int64_t rows, double *nats, heed_error *error)
{
    int64_t shape[] = {rows, heed_stack_number(j->model.stack, "vocab")};
    heed_tensor logits = heed_tensor_of(from, HEED_F32, 2, shape),
                targets = heed_tensor_of(j->targets, HEED_I32, 1, shape),
                nll = heed_tensor_of(j->nll, HEED_F32, 1, shape);
    heed_binding in[] = {{"logits", &logits}, {"targets", &targets}}, out = {"nll", &nll};
    TRY(heed_run(j->loss, in, 2, &out, 1, NULL, error));
    for (int64_t i = 0; i < rows; i++) *nats += (double)j->nll[i];
    return HEED_OK;
}

/* log of the sum of e^x. */
static double log_sum(const float *x, int64_t n)
{
    double most = -INFINITY, sum = 0;
    for (int64_t i = 0; i < n; i++)
        if ((double)x[i] > most) most = (double)x[i]; /* fmax breaks gcc 12 for arm64 here */
    for (int64_t i = 0; i < n; i++) sum += exp((double)x[i] - most);
    return most + log(sum);
}

/* sum p log(p / q), p from the plain network's logits and q from those of the one that is stored otherwise.
 * A token whose share is 0 adds nothing, though its logarithm is not finite. */
static double divergence(const float *plain, const float *cached, int64_t vocab)
{
    const double of_plain = log_sum(plain, vocab), of_cached = log_sum(cached, vocab);
    double sum = 0;
    for (int64_t i = 0; i < vocab; i++) {
        const double p = (double)plain[i] - of_plain, q = (double)cached[i] - of_cached;
        const double share = exp(p);
        if (share > 0) sum += share * (p - q);
    }
    return sum;
}

/* Feeds y[from .. from + n) and counts the predictions of its last `rows` tokens. */
static int32_t feed(job *j, int64_t from, int64_t n, int64_t rows, heed_error *error)
{
    const int64_t vocab = heed_stack_number(j->model.stack, "vocab");
    for (int64_t i = 0; i < n; i++)
        j->tokens[i] = from + i ? wanted(j, from + i - 1) : (int32_t)begins_with(j);
    for (int64_t i = 0; i < rows; i++) j->targets[i] = wanted(j, from + n - rows + i);
    TRY(heed_session_feed(j->model.session, j->tokens, n, j->logits, rows, error));
    if (j->plain.session)
        TRY(heed_session_feed(j->plain.session, j->tokens, n, j->plain_logits, rows, error));
    j->fed += n;
    if (!rows) return HEED_OK;
    TRY(add_loss(j, j->logits, rows, &j->nats, error));
    if (j->plain.session) TRY(add_loss(j, j->plain_logits, rows, &j->plain_nats, error));
    for (int64_t i = 0; j->plain.session && i < rows; i++)
        j->divergence += divergence(j->plain_logits + i * vocab, j->logits + i * vocab, vocab);
    j->counted += rows;
    return HEED_OK;
}

/* Of a file; how much a pipe still has nobody knows. */
static void show_progress(const job *j)
{
    struct stat s;
    if (j->ids)
        progress_show((double)j->counted / (double)(j->n_ids - 1), "%s",
                      j->ids_path ? j->ids_path : j->file_path);
    else if (!fstat(fileno(j->file), &s) && S_ISREG(s.st_mode) && s.st_size > 0)
        progress_show((double)j->counted / (double)s.st_size, "%s", j->file_path);
    else progress_show(-1, "%s, %.1f MB", j->file_path, 1e-6 * (double)j->counted);
}

/* Whether Ctrl-C has ended it, and there is something to tell. */
static int stopped(const job *j) { return interrupt_seen && j->counted > 0; }

static int32_t score(job *j, heed_error *error)
{
    double begin = clock_seconds();
    int32_t failed = HEED_OK;
    for (int64_t start = 0;
         !failed && !interrupt_seen && !(j->ended && j->counted == j->first + j->have);
         start += j->stride) {
        int64_t from = start ? start - 1 : 0, now; /* token `start` is the byte before */
        failed = read_window(j, from, start - from + j->context, error);
        int64_t all = j->first + j->have, end = all - start < j->context ? all : start + j->context;
        if (failed || j->counted == all) break; /* it ended with the window before */
        failed = heed_session_reset(j->model.session, error);
        if (!failed && j->plain.session) failed = heed_session_reset(j->plain.session, error);
        for (int64_t at = start; at < end && !failed && !interrupt_seen; at += now) {
            now = end - at < j->piece ? end - at : j->piece;
            int64_t old = j->counted - at; /* counted already: no logits are needed */
            if (!j->model.stack->whole && old > 0 && now > old) now = old;
            int64_t rows = at + now - (at > j->counted ? at : j->counted);
            failed = feed(j, at, now, rows > 0 ? rows : 0, error);
            show_progress(j);
        }
    }
    j->seconds = clock_seconds() - begin;
    progress_end();
    if (stopped(j)) return HEED_OK; /* whatever was cut off */
    return interrupt_seen
               ? error_set(error, HEED_E_CANCELLED, "interrupted before there was a result")
               : failed;
}

static int print(const job *j)
{
    /* of a text that was not read to its end nobody knows how many bytes the tokens are */
    const int of_text = j->n_bytes && !stopped(j), by_bytes = !j->ids || of_text;
    const int64_t units = of_text ? j->n_bytes : j->counted;
    double bits = j->nats / log(2) / (double)units, rate = (double)j->fed / j->seconds;
    uint32_t threads = heed_lanes(j->model.engine);
    const double plain = j->plain_nats / log(2) / (double)units,
                 apart = j->divergence / (double)j->counted;
    const char *unit = by_bytes ? "byte" : "token";
    double steps, cost;
    if (j->json) {
        json_t *all =
            json_pack("{s:o, s:I, s:f, s:f, s:s, s:s, s:i, s:b}",
                      by_bytes ? "bits_per_byte" : "bits_per_token",
                      isfinite(bits) ? json_real(bits) : json_null(), by_bytes ? "bytes" : "tokens",
                      (json_int_t)units, "seconds", j->seconds, "tokens_per_second", rate, "model",
                      j->model_path, "path", inspect_path(j->model.engine), "threads", (int)threads,
                      "interrupted", interrupt_seen != 0);
        if (of_text) json_object_set_new(all, "tokens", json_integer(j->counted));
        if (j->plain.session) {
            json_object_set_new(all, by_bytes ? "plain_bits_per_byte" : "plain_bits_per_token",
                                isfinite(plain) ? json_real(plain) : json_null());
            json_object_set_new(all, "divergence_nats",
                                isfinite(apart) ? json_real(apart) : json_null());
        }
        if (model_ponder(&j->model, &steps, &cost)) {
            json_object_set_new(all, "mean_steps", json_real(steps));
            json_object_set_new(all, "ponder_cost", json_real(cost));
        }
        return command_json(all);
    }
    printf("%.8f bits per %s  (%lld %ss, ", bits, unit, (long long)units, unit);
    if (of_text) printf("%lld tokens, ", (long long)j->counted);
    printf("%.0f tokens/s)\n", rate);
    if (j->plain.session)
        printf("%+.8f beside the model's own (%.8f); divergence %.3g nats a token\n",
               bits - plain, plain, apart);
    if (model_ponder(&j->model, &steps, &cost))
        printf("%.3f steps a token of %lld, ponder cost %.3f\n", steps,
               (long long)heed_stack_number(j->model.stack, "layers"), cost);
    return 0;
}

/* The network, and, where another way to store it is asked for, the plain one beside it. */
static int32_t open_models(job *j, int32_t failed, heed_error *error)
{
    const int compares = stored_is_asked(&j->change);
    model *own = compares ? &j->plain : &j->model;
    if (compares && !failed && ranks_are_several())
        failed = error_set(error, HEED_E_UNSUPPORTED,
                           "--cache and --weights compare two networks, which several ranks do not: "
                           "start one");
    TRY(model_open_shared(own, &j->engine, j->model_path, j->spec, 0, failed, error));
    if (!compares) return HEED_OK;
    j->stored_spec = stored_spec(heed_stack_spec(own->stack), &j->change, error);
    if (!j->stored_spec) return error->code;
    return model_open(&j->model, &j->engine, j->model_path, j->stored_spec, 0, error);
}

/* --choices, which is a work of its own. */
static int score_choices(job *j)
{
    heed_error error = {0};
    if (j->file_path || j->ids_path)
        return options_usage("--choices and a file or --ids exclude each other");
    if (j->context || j->stride || j->tracing.path || stored_is_asked(&j->change))
        return options_usage("--choices takes no --context, --stride, --cache, --weights or --trace");
    int32_t failed = model_open(&j->model, &j->engine, j->model_path, j->spec, 0, &error);
    if (!failed) failed = model_open_text(&j->model, j->model_path, &error);
    if (!failed) failed = choices_score(&j->model, j->model_path, j->choices_path, j->json, &error);
    if (j->model.engine) origin_tell(j->model.engine);
    model_close(&j->model);
    if (failed) return command_fail(&error);
    if (interrupt_seen) fprintf(stderr, "heed: interrupted: that is of the first lines alone\n");
    return interrupt_seen ? interrupt_status() : 0;
}

int command_score(int argc, char **argv)
{
    job j = {.engine.size = sizeof j.engine};
    heed_error error = {0};
    ranks_begin();
    int status = options_parse(argc, argv, usage, options, &j, &j.engine);
    if (status) return status;
    if (ranks_is_silent()) j.tracing.path = NULL; /* one of them writes it */
    if (j.choices_path && j.model_path) return score_choices(&j);
    if (j.ids_path && j.file_path) return options_usage("--ids and a file exclude each other");
    if (!j.model_path || (!j.file_path && !j.ids_path))
        return options_usage("a model and a file are needed");
    int32_t failed = ranks_check_file(j.file_path, &error);
    if (failed) j.file = NULL;
    else if (j.file_path && !strcmp(j.file_path, "-")) j.file = stdin, j.file_path = "standard input";
    else if (j.file_path && !(j.file = fopen(j.file_path, "rb")))
        failed = error_set(&error, HEED_E_SYSTEM, "%s: %s", j.file_path, strerror(errno));
    failed = open_models(&j, failed, &error);
    if (!failed) failed = prepare(&j, &error);
    interrupt_catch();
    if (!failed) failed = tracing_begin(&j.tracing, j.model.engine, &error);
    if (!failed) failed = score(&j, &error);
    failed = tracing_end(&j.tracing, failed, &error);
    failed = model_agree(&j.model, failed, &error);
    origin_tell(j.model.engine);
    status = failed ? command_fail(&error) : print(&j);
    if (!failed) model_tell_ranks(&j.model);
    if (!status && stopped(&j)) {
        fprintf(stderr, "heed: interrupted: that is of the first %lld %s alone\n",
                (long long)j.counted, j.ids ? "tokens" : "bytes");
        status = interrupt_status();
    }
    heed_instance_close(j.loss);
    model_close(&j.model);
    model_close(&j.plain);
    free(j.stored_spec);
    free(j.plain_logits);
    free(j.tokens);
    free(j.targets);
    free(j.logits);
    free(j.nll);
    free(j.bytes);
    free(j.ids);
    if (j.file) fclose(j.file);
    return status;
}
