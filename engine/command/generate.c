/* SPDX-License-Identifier: MIT
 *
 * generate.c: heed generate: a text, and how a model goes on with it. Tokens are bytes, or those of
 * a checkpoint's tokenizer, or, with --ids, numbers.
 *
 * Invariant: standard output is the prompt and what follows it, byte for byte and no half character
 * of a tokenizer's, or the numbers of all tokens; everything else goes to standard error.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "command/clock.h"
#include "command/command.h"
#include "command/file.h"
#include "command/generate.h"
#include "command/options.h"
#include "command/origin.h"
#include "command/ranks.h"
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
    "  --chat            the prompt is a message of a conversation, in the form of the "
    "checkpoint's\n"
    "                    chat_template; the answer alone is printed\n"
    "  --system TEXT     with --chat: what the system says first\n"
    "  --tokens N        how many are made, 200 if not given\n"
    "  --temperature X   0 takes the most likely token; 0.8 if not given\n"
    "  --top-k N         only the N most likely; all if not given\n"
    "  --top-p X         then only the fewest of the most likely whose sum is X or more\n"
    "  --min-p X         then only those at least X times as likely as the most likely one\n"
    "  --repetition-penalty X  logits of tokens that were there are divided by X, or multiplied if "
    "they are\n"
    "                    below 0; 1 if not given\n"
    "  --stop TEXT       ends before this text; up to 16 times\n"
    "  --ignore-eos      goes on behind a token that ends a checkpoint's text\n"
    "  --parallel N      N texts of the seeds from --seed on, made at once: each is the one that "
    "its "
    "seed makes\n"
    "                    alone with these weights. They are printed one after the other behind "
    "lines\n"
    "                    \"==> seed 3 <==\"\n"
    "  --seed N          another number, another text; 1 if not given\n"
    "  --spec SPEC       the network, if not what the model itself says\n" STORED_USAGE
    "  --random-weights  in the place of MODEL: a network that has learned nothing, from --spec "
    "and --seed\n" TRACING_USAGE OPTIONS_ENGINE "\n"
    "When the context of the model is full, it starts afresh with the last half of it, at position "
    "0.\n"
    "A model with an encoder (t5) reads the prompt there; what it makes is printed alone.\n"
    "Draw n of a seed is the top 24 bits of the n-th output of splitmix64, divided by 2^24.\n";

/* ---- options ---- */

static int read_model(void *command, const char *value)
{
    generate_job *j = command;
    if (j->model_path)
        return options_usage("only one model can be used, not also " QUOTE, QUOTED(value));
    j->model_path = value;
    return 0;
}

static int read_tokens(void *command, const char *value)
{
    return options_int("--tokens", value, 0, (int64_t)1 << 31, &((generate_job *)command)->tokens);
}
static int read_parallel(void *command, const char *value)
{
    return options_int("--parallel", value, 1, 256, &((generate_job *)command)->parallel);
}
static int read_seed(void *command, const char *value)
{
    return options_int("--seed", value, 0, INT64_MAX, &((generate_job *)command)->seed);
}
static int read_temperature(void *command, const char *value)
{
    return options_float("--temperature", value, 0, 1e6, &((generate_job *)command)->temperature);
}

static int read_top_k(void *command, const char *value)
{
    return options_int("--top-k", value, 0, INT32_MAX, &((generate_job *)command)->top_k);
}
static int read_top_p(void *command, const char *value)
{
    return options_float("--top-p", value, 0, 1, &((generate_job *)command)->top_p);
}
static int read_min_p(void *command, const char *value)
{
    return options_float("--min-p", value, 0, 1, &((generate_job *)command)->min_p);
}
static int read_penalty(void *command, const char *value)
{
    return options_float("--repetition-penalty", value, 1e-3, 1e3,
                         &((generate_job *)command)->penalty);
}
static int read_stop(void *command, const char *value)
{
    stops *s = &((generate_job *)command)->stops;
    if (!*value) return options_usage("--stop takes a text, not \"\"");
    if (s->n == STOPS_MOST) return options_usage("--stop can be given %d times", STOPS_MOST);
    s->word[s->n++] = value;
    return 0;
}

static const option options[] = {
    {"", 1, .read = read_model, .values = "FILE"},
    {"--prompt", 1, .at = offsetof(generate_job, prompt)},
    {"--prompt-file", 1, .at = offsetof(generate_job, prompt_path), .values = "FILE"},
    {"--ids", 1, .at = offsetof(generate_job, ids_path), .values = "FILE"},
    {"--chat", 0, .at = offsetof(generate_job, chat)},
    {"--system", 1, .at = offsetof(generate_job, system)},
    {"--tokens", 1, .read = read_tokens},
    {"--temperature", 1, .read = read_temperature},
    {"--top-k", 1, .read = read_top_k},
    {"--top-p", 1, .read = read_top_p},
    {"--min-p", 1, .read = read_min_p},
    {"--repetition-penalty", 1, .read = read_penalty},
    {"--stop", 1, .read = read_stop},
    {"--ignore-eos", 0, .at = offsetof(generate_job, ignore_eos)},
    {"--parallel", 1, .read = read_parallel},
    {"--seed", 1, .read = read_seed},
    {"--spec", 1, .at = offsetof(generate_job, spec)},
    STORED_OPTIONS(generate_job, change),
    {"--random-weights", 0, .at = offsetof(generate_job, random)},
    {"--trace", 1, .at = offsetof(generate_job, tracing.path), .values = "FILE"},
    {0},
};

/* What goes to standard error now does not go on in the text's last line: at a terminal, and where
 * both go to one file. */
static void end_line(void)
{
    struct stat text, other;
    fflush(stdout);
    if (ranks_are_several()) return; /* mpirun gives a terminal that nobody has asked for */
    if (isatty(STDOUT_FILENO)) putchar('\n');
    else if (!fstat(STDOUT_FILENO, &text) && !fstat(STDERR_FILENO, &other) &&
             text.st_dev == other.st_dev && text.st_ino == other.st_ino)
        putc('\n', stderr);
}

static int32_t run(generate_job *j, const unsigned char *prompt, size_t length, int32_t failed,
                   heed_error *error)
{
    if (ranks_are_several())
        failed = model_open_shared(&j->model, &j->engine, j->model_path, j->spec, (uint64_t)j->seed,
                                   failed, error);
    else if (!failed)
        failed = model_open_both(&j->model, &j->engine, j->model_path, j->spec, (uint64_t)j->seed,
                                 error);
    if (!failed) failed = generate_start(j, prompt, length, error);
    if (!failed) failed = tracing_begin(&j->tracing, j->model.engine, error);
    const int many = j->parallel > 1;
    if (!failed && !many) failed = generate_put_prompt(j, prompt, length, error);
    double begin = clock_seconds();
    if (!failed && j->source.n)
        failed = heed_session_encode(j->model.session, j->source.at, (int64_t)j->source.n, error);
    if (!failed) failed = generate_catch_up(j, 1, error);
    double middle = clock_seconds();
    /* of a prompt beyond the context only the end is read */
    int64_t read = failed        ? 0
                   : j->source.n ? (int64_t)j->source.n
                                 : j->stories[0].fed - j->stories[0].start,
            made = 0;
    if (!failed) failed = many ? generate_make_many(j, error) : generate_make(j, error);
    double end = clock_seconds();
    for (int64_t i = 0; many && !failed && i < j->parallel; i++)
        failed = generate_put_story(j, i, prompt, length, error);
    end_line();
    origin_tell(j->model.engine);
    if (failed) return failed;
    for (int64_t i = 0; i < j->parallel; i++) made += j->stories[i].n - j->read;
    fprintf(stderr, "prompt: %lld tokens, %.0f tokens/s; generated: %lld tokens, %.0f tokens/s; ",
            (long long)(j->source.n ? (int64_t)j->source.n : j->read),
            (double)read / (middle - begin), (long long)made, (double)made / (end - middle));
    model_tell(&j->model, j->model_path ? j->model_path : "random weights");
    double steps, cost;
    if (model_ponder(&j->model, &steps, &cost))
        fprintf(stderr, "%.3f steps a token of %lld, ponder cost %.3f\n", steps,
                (long long)heed_stack_number(j->model.stack, "layers"), cost);
    model_tell_ranks(&j->model);
    return HEED_OK;
}

int command_generate(int argc, char **argv)
{
    generate_job j = {.engine.size = sizeof j.engine,
                      .tokens = 200,
                      .parallel = 1,
                      .seed = 1,
                      .temperature = 0.8,
                      .top_p = 1,
                      .penalty = 1};
    heed_error error = {0};
    unsigned char *file = NULL;
    size_t length = 0;
    ranks_begin();
    int status = options_parse(argc, argv, usage, options, &j, &j.engine);
    if (status) return status;
    if (ranks_is_silent()) j.tracing.path = NULL; /* one of them writes it */
    if (j.random && j.model_path)
        return options_usage("a model and --random-weights exclude each other");
    if (j.random && !j.spec) return options_usage("--random-weights needs the network, --spec");
    if (!j.model_path && !j.random) return options_usage("a model is needed");
    if (j.prompt && j.prompt_path)
        return options_usage("--prompt and --prompt-file exclude each other");
    if (j.ids_path && (j.prompt || j.prompt_path))
        return options_usage("--ids and a prompt exclude each other");
    if (j.ids_path && j.chat) return options_usage("--ids and --chat exclude each other");
    if (j.system && !j.chat) return options_usage("--system needs --chat");
    if (j.ids_path && j.stops.n) return options_usage("--ids and --stop exclude each other");
    const unsigned char *prompt = (const unsigned char *)(j.prompt ? j.prompt : "");
    if (j.prompt) length = strlen(j.prompt);
    int32_t failed = ranks_check_file(j.prompt_path, &error);
    if (!failed && j.prompt_path) failed = file_read(j.prompt_path, &file, &length, &error);
    if (!failed) failed = stored_spec_of(j.model_path, j.spec, &j.change, &j.changed, &error);
    if (j.changed) j.spec = j.changed;
    failed = run(&j, file ? file : prompt, length, failed, &error);
    failed = tracing_end(&j.tracing, failed, &error);
    failed = model_agree(&j.model, failed, &error);
    generate_close(&j);
    free(j.source.at);
    free(j.made.at);
    free(j.shown.at);
    free(j.stops.held.at);
    free(file);
    free(j.changed);
    status = failed ? command_fail(&error) : 0;
    model_close(&j.model);
    return status;
}
