/* SPDX-License-Identifier: MIT
 *
 * generate.c: heed generate: a text, and how a model goes on with it. Tokens are bytes, or those of
 * a checkpoint's tokenizer, or, with --ids, numbers.
 *
 * Invariant: standard output is the prompt and what follows it, byte for byte and no half character
 * of a tokenizer's, or the numbers of all tokens; everything else goes to standard error.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "base/random.h"
#include "command/clock.h"
#include "command/command.h"
#include "command/file.h"
#include "command/model.h"
#include "command/options.h"
#include "command/origin.h"
#include "command/tracing.h"
#include "inspect.h"
#include "model/stack.h"

static const char usage[] =
    "usage: heed generate MODEL [OPTION ...]\n"
    "\n"
    "  MODEL             a safetensors file with a byte model, or a checkpoint: a folder with a "
    "config.json\n"
    "                    and, to go on with texts, a tokenizer.json\n"
    "  --prompt TEXT     what comes first; nothing if not given\n"
    "  --prompt-file F   the same from a file; - is standard input\n"
    "  --ids FILE.npy    the same as numbers of tokens; all tokens are then printed as numbers\n"
    "  --tokens N        how many are made, 200 if not given\n"
    "  --temperature X   0 takes the most likely byte; 0.8 if not given\n"
    "  --seed N          another number, another text; 1 if not given\n"
    "  --spec SPEC       the network, if not what the model itself says\n"
    "  --random-weights  in the place of MODEL: a network that has learned nothing, from --spec "
    "and --seed\n" TRACING_USAGE OPTIONS_ENGINE "\n"
    "When the context of the model is full, it starts afresh with the last half of it, at position "
    "0.\n"
    "Draw n of a seed is the top 24 bits of the n-th output of splitmix64, divided by 2^24.\n";

typedef struct job {
    heed_options engine;
    const char *model_path, *prompt, *prompt_path, *ids_path, *spec;
    int64_t tokens, seed;
    int random;
    double temperature;
    tracing tracing;

    model model;
    int32_t *text;       /* all tokens so far: bos, the prompt, what was made */
    int64_t n, start, fed; /* of them: how many; where the session begins; how far it has come */
    float *logits;       /* after the last one */
    bytes made;          /* of a tokenizer's text, what is to be printed next */
} job;

/* ---- options ---- */

static int read_model(void *command, const char *value)
{
    job *j = command;
    if (j->model_path)
        return options_usage("only one model can be used, not also " QUOTE, QUOTED(value));
    j->model_path = value;
    return 0;
}

static int read_tokens(void *command, const char *value)
{
    return options_int("--tokens", value, 0, (int64_t)1 << 31, &((job *)command)->tokens);
}
static int read_seed(void *command, const char *value)
{
    return options_int("--seed", value, 0, INT64_MAX, &((job *)command)->seed);
}
static int read_temperature(void *command, const char *value)
{
    return options_float("--temperature", value, 0, 1e6, &((job *)command)->temperature);
}

static const option options[] = {
    {"", 1, .read = read_model, .values = "FILE"},
    {"--prompt", 1, .at = offsetof(job, prompt)},
    {"--prompt-file", 1, .at = offsetof(job, prompt_path), .values = "FILE"},
    {"--ids", 1, .at = offsetof(job, ids_path), .values = "FILE"},
    {"--tokens", 1, .read = read_tokens},
    {"--temperature", 1, .read = read_temperature},
    {"--seed", 1, .read = read_seed},
    {"--spec", 1, .at = offsetof(job, spec)},
    {"--random-weights", 0, .at = offsetof(job, random)},
    {"--trace", 1, .at = offsetof(job, tracing.path), .values = "FILE"},
    {0},
};

/* ---- the text ---- */

/* The prompt behind bos, as tokens. */
static int32_t read_bytes(const job *j, const unsigned char *prompt, size_t length, id_list *to,
                          heed_error *error)
{
    const int64_t bos = heed_stack_number(j->model.stack, "bos");
    if (bos < 0 && !length)
        return error_set(error, HEED_E_ARGUMENT,
                         "%s has no token to begin with (bos), so a prompt is needed",
                         j->model_path ? j->model_path : "the spec");
    if (length > SIZE_MAX / 8) return error_memory(error);
    if (bos >= 0) id_list_put(to, (int32_t)bos);
    for (size_t i = 0; i < length; i++) id_list_put(to, prompt[i]);
    return HEED_OK;
}

/* The same by a tokenizer, with what its models read around a text. */
static int32_t read_text(const job *j, const unsigned char *prompt, size_t length, id_list *to,
                         heed_error *error)
{
    const int64_t begin = model_token(&j->model, "heed.begin");
    TRY(tokenizer_encode(j->model.tokenizer, j->prompt_path ? j->prompt_path : "--prompt",
                         (const char *)prompt, length, 1, 0, to, error));
    if (!to->n && begin >= 0) id_list_put(to, (int32_t)begin);
    if (to->n || to->failed) return HEED_OK;
    return error_set(error, HEED_E_ARGUMENT,
                     "%s has no token to begin with (bos_token_id), so a prompt is needed",
                     j->model_path);
}

static int32_t read_numbers(const job *j, id_list *to, heed_error *error)
{
    int64_t n;
    TRY(model_read_ids(&j->model, j->ids_path, &to->at, &n, error));
    to->n = (size_t)n, to->room = to->n + 1;
    if (n) return HEED_OK;
    return error_set(error, HEED_E_DATA, "%s: has no token to begin with", j->ids_path);
}

/* What comes first, with room for what will be made. Numbers of tokens are all that there is. */
static int32_t start_text(job *j, const unsigned char *prompt, size_t length, heed_error *error)
{
    int64_t vocab = heed_stack_number(j->model.stack, "vocab");
    if (!j->ids_path && j->model_path) TRY(model_open_text(&j->model, j->model_path, error));
    if (j->model.stack->ahead)
        return error_set(error, HEED_E_DATA,
                         "%s is no language model: tokens of %s, which is not causal, see those behind them, and there "
                         "are none yet", j->model_path ? j->model_path : "the spec", j->model.stack->ahead);
    id_list list = {0};
    int32_t failed = j->ids_path          ? read_numbers(j, &list, error)
                     : j->model.tokenizer ? read_text(j, prompt, length, &list, error)
                                          : read_bytes(j, prompt, length, &list, error);
    if (!failed && list.failed) failed = error_memory(error);
    j->text = failed ? NULL : calloc(list.n + (size_t)j->tokens + 1, sizeof *j->text);
    j->logits = failed ? NULL : calloc((size_t)vocab, sizeof *j->logits);
    if (!failed && (!j->text || !j->logits)) failed = error_memory(error);
    if (!failed) memcpy(j->text, list.at, list.n * sizeof *list.at), j->n = (int64_t)list.n;
    free(list.at);
    return failed;
}

/* Brings the session to the end of the text. */
static int32_t catch_up(job *j, heed_error *error)
{
    int64_t context = heed_stack_number(j->model.stack, "context");
    int afresh = j->model.stack->forgets && j->fed > j->start;
    if (context >= 0 && j->n - j->start > context) {
        j->start = j->n - (context > 1 ? context / 2 : 1);
        afresh = 1;
    }
    if (afresh) {
        int32_t failed = heed_session_reset(j->model.session, error);
        if (failed) return failed;
        j->fed = j->start;
    }
    int32_t failed =
        heed_session_feed(j->model.session, j->text + j->fed, j->n - j->fed, j->logits, 1, error);
    if (!failed) j->fed = j->n;
    return failed;
}

static int32_t put(const void *bytes, size_t n, heed_error *error)
{
    if (!n || (fwrite(bytes, 1, n, stdout) == n && !fflush(stdout))) return HEED_OK;
    return error_set(error, HEED_E_SYSTEM, "standard output: %s", strerror(errno));
}

static int32_t put_id(int32_t id, const char *before, heed_error *error)
{
    char text[16];
    return put(text, (size_t)snprintf(text, sizeof text, "%s%d", before, id), error);
}

/* A token of those that were made. */
static int32_t put_token(job *j, int32_t token, heed_error *error)
{
    const unsigned char byte = (unsigned char)token;
    if (j->ids_path) return put_id(token, " ", error);
    if (!j->model.tokenizer) return token <= UINT8_MAX ? put(&byte, 1, error) : HEED_OK;
    j->made.n = 0;
    TRY(tokenizer_put(j->model.tokenizer, token, &j->made, error));
    return put(j->made.at, j->made.n, error);
}

/* The prompt, as it was given; what a tokenizer makes of tokens goes on with its text. */
static int32_t put_prompt(job *j, const unsigned char *prompt, size_t length, heed_error *error)
{
    if (!j->ids_path) TRY(put(prompt, length, error));
    for (int64_t i = 0; j->ids_path && i < j->n; i++)
        TRY(put_id(j->text[i], i ? " " : "", error));
    if (!j->model.tokenizer) return HEED_OK;
    tokenizer_begin(j->model.tokenizer);
    for (int64_t i = 0; i < j->n; i++)
        TRY(tokenizer_put(j->model.tokenizer, j->text[i], &j->made, error));
    return tokenizer_end(j->model.tokenizer, &j->made, error);
}

/* What waits for the rest of a character. */
static int32_t put_rest(job *j, heed_error *error)
{
    if (!j->model.tokenizer) return HEED_OK;
    j->made.n = 0;
    TRY(tokenizer_end(j->model.tokenizer, &j->made, error));
    return put(j->made.at, j->made.n, error);
}

/* Draws, prints and feeds until enough is made, or the model ends the text: with a token of
 * eos_token_id, or with bos, where that is no byte. */
static int32_t make(job *j, heed_error *error)
{
    uint64_t chance = (uint64_t)j->seed;
    int64_t bos = heed_stack_number(j->model.stack, "bos");
    for (int64_t i = 0; i < j->tokens; i++) {
        double draw = random_unit(&chance);
        int32_t token, failed = heed_session_sample(j->model.session, j->logits, j->temperature,
                                                    draw, &token, error);
        if (failed) return failed;
        if (!j->ids_path && !j->model.tokenizer && token > UINT8_MAX && token == bos) break;
        const int ends = j->model.weights && model_ends(&j->model, token);
        if (!ends || j->ids_path) TRY(put_token(j, token, error));
        j->text[j->n++] = token;
        if (ends) break;
        if (i + 1 < j->tokens && (failed = catch_up(j, error))) return failed;
    }
    return put_rest(j, error);
}

/* What goes to standard error now does not go on in the text's last line: at a terminal, and where
 * both go to one file. */
static void end_line(void)
{
    struct stat text, other;
    fflush(stdout);
    if (isatty(STDOUT_FILENO)) putchar('\n');
    else if (!fstat(STDOUT_FILENO, &text) && !fstat(STDERR_FILENO, &other) &&
             text.st_dev == other.st_dev && text.st_ino == other.st_ino)
        putc('\n', stderr);
}

static int32_t run(job *j, const unsigned char *prompt, size_t length, heed_error *error)
{
    int32_t failed =
        model_open(&j->model, &j->engine, j->model_path, j->spec, (uint64_t)j->seed, error);
    if (!failed) failed = start_text(j, prompt, length, error);
    if (!failed) failed = tracing_begin(&j->tracing, j->model.engine, error);
    if (!failed) failed = put_prompt(j, prompt, length, error);
    double begin = clock_seconds();
    if (!failed) failed = catch_up(j, error);
    double middle = clock_seconds();
    /* of a prompt beyond the context only the end is read */
    int64_t before = j->n, read = j->fed - j->start;
    if (!failed) failed = make(j, error);
    double end = clock_seconds();
    end_line();
    origin_tell(j->model.engine);
    if (failed) return failed;
    fprintf(stderr,
            "prompt: %lld tokens, %.0f tokens/s; generated: %lld tokens, %.0f tokens/s; %s, %s, %u "
            "thread%s\n",
            (long long)before, (double)read / (middle - begin), (long long)(j->n - before),
            (double)(j->n - before) / (end - middle),
            j->model_path ? j->model_path : "random weights", inspect_path(j->model.engine),
            heed_lanes(j->model.engine), heed_lanes(j->model.engine) == 1 ? "" : "s");
    return HEED_OK;
}

int command_generate(int argc, char **argv)
{
    job j = {.engine.size = sizeof j.engine, .tokens = 200, .seed = 1, .temperature = 0.8};
    heed_error error = {0};
    unsigned char *file = NULL;
    size_t length = 0;
    int status = options_parse(argc, argv, usage, options, &j, &j.engine);
    if (status) return status;
    if (j.random && j.model_path)
        return options_usage("a model and --random-weights exclude each other");
    if (j.random && !j.spec) return options_usage("--random-weights needs the network, --spec");
    if (!j.model_path && !j.random) return options_usage("a model is needed");
    if (j.prompt && j.prompt_path)
        return options_usage("--prompt and --prompt-file exclude each other");
    if (j.ids_path && (j.prompt || j.prompt_path))
        return options_usage("--ids and a prompt exclude each other");
    const unsigned char *prompt = (const unsigned char *)(j.prompt ? j.prompt : "");
    if (j.prompt) length = strlen(j.prompt);
    int32_t failed = j.prompt_path ? file_read(j.prompt_path, &file, &length, &error) : HEED_OK;
    if (!failed) failed = run(&j, file ? file : prompt, length, &error);
    failed = tracing_end(&j.tracing, failed, &error);
    model_close(&j.model);
    free(j.text);
    free(j.logits);
    free(j.made.at);
    free(file);
    return failed ? command_fail(&error) : 0;
}
