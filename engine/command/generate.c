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
#include "command/stored.h"
#include "command/clock.h"
#include "command/command.h"
#include "command/file.h"
#include "command/model.h"
#include "command/options.h"
#include "command/origin.h"
#include "command/ranks.h"
#include "command/stops.h"
#include "command/tracing.h"
#include "inspect.h"
#include "model/stack.h"
#include "text/chat.h"

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

/* One of the texts that are made. */
typedef struct story {
    heed_session *session; /* the first has the model's */
    int32_t *text;         /* all tokens so far: bos, the prompt, what was made */
    int64_t n, start, fed; /* of them: how many; where the session begins; how far it has come */
    float *logits;         /* after the last one */
    unsigned char *seen;   /* of each token, whether it was there */
    uint64_t chance;
    int ended;
} story;

typedef struct job {
    heed_options engine;
    const char *model_path, *prompt, *prompt_path, *ids_path, *spec, *system;
    int64_t tokens, seed;
    int random, ignore_eos, chat;
    double temperature, top_p, min_p, penalty;
    int64_t top_k;
    stops stops;
    tracing tracing;
    stored_change change;
    char *changed; /* the spec with it */

    model model;
    int64_t read; /* tokens of the prompt */
    id_list source; /* what an encoder reads, if there is one */
    int64_t parallel;
    story *stories; /* [parallel] */
    /* what comes of tokens: their text, and what of it is to be printed next */
    bytes made, shown;
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
static int read_parallel(void *command, const char *value)
{
    return options_int("--parallel", value, 1, 256, &((job *)command)->parallel);
}
static int read_seed(void *command, const char *value)
{
    return options_int("--seed", value, 0, INT64_MAX, &((job *)command)->seed);
}
static int read_temperature(void *command, const char *value)
{
    return options_float("--temperature", value, 0, 1e6, &((job *)command)->temperature);
}

static int read_top_k(void *command, const char *value)
{
    return options_int("--top-k", value, 0, INT32_MAX, &((job *)command)->top_k);
}
static int read_top_p(void *command, const char *value)
{
    return options_float("--top-p", value, 0, 1, &((job *)command)->top_p);
}
static int read_min_p(void *command, const char *value)
{
    return options_float("--min-p", value, 0, 1, &((job *)command)->min_p);
}
static int read_penalty(void *command, const char *value)
{
    return options_float("--repetition-penalty", value, 1e-3, 1e3, &((job *)command)->penalty);
}
static int read_stop(void *command, const char *value)
{
    stops *s = &((job *)command)->stops;
    if (!*value) return options_usage("--stop takes a text, not \"\"");
    if (s->n == STOPS_MOST) return options_usage("--stop can be given %d times", STOPS_MOST);
    s->word[s->n++] = value;
    return 0;
}

static const option options[] = {
    {"", 1, .read = read_model, .values = "FILE"},
    {"--prompt", 1, .at = offsetof(job, prompt)},
    {"--prompt-file", 1, .at = offsetof(job, prompt_path), .values = "FILE"},
    {"--ids", 1, .at = offsetof(job, ids_path), .values = "FILE"},
    {"--chat", 0, .at = offsetof(job, chat)},
    {"--system", 1, .at = offsetof(job, system)},
    {"--tokens", 1, .read = read_tokens},
    {"--temperature", 1, .read = read_temperature},
    {"--top-k", 1, .read = read_top_k},
    {"--top-p", 1, .read = read_top_p},
    {"--min-p", 1, .read = read_min_p},
    {"--repetition-penalty", 1, .read = read_penalty},
    {"--stop", 1, .read = read_stop},
    {"--ignore-eos", 0, .at = offsetof(job, ignore_eos)},
    {"--parallel", 1, .read = read_parallel},
    {"--seed", 1, .read = read_seed},
    {"--spec", 1, .at = offsetof(job, spec)},
    STORED_OPTIONS(job, change),
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
    const char *name = j->prompt_path ? j->prompt_path : "--prompt", *text = (const char *)prompt;
    bytes message = {0};
    int32_t failed = HEED_OK;
    if (j->chat) failed = chat_prompt(j->model_path, j->system, text, length, &message, error);
    if (!failed && j->chat) text = message.at, length = message.n;
    if (!failed) failed = model_encode(&j->model, name, text, length, !j->chat, 0, to, error);
    free(message.at);
    if (failed) return failed;
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

/* A story that has its beginning, and room for what will be made. */
static int32_t start_story(job *j, int64_t i, const id_list *list, heed_error *error)
{
    const int64_t vocab = heed_stack_number(j->model.stack, "vocab");
    story *s = &j->stories[i];
    *s = (story){.session = i ? NULL : j->model.session,
                 .text = calloc(list->n + (size_t)j->tokens + 1, sizeof *s->text),
                 .logits = calloc((size_t)vocab, sizeof *s->logits),
                 .seen = calloc((size_t)vocab, 1),
                 .n = (int64_t)list->n,
                 .chance = (uint64_t)j->seed + (uint64_t)i};
    if (!s->text || !s->logits || !s->seen) return error_memory(error);
    memcpy(s->text, list->at, list->n * sizeof *list->at);
    for (size_t t = 0; t < list->n; t++) s->seen[list->at[t]] = 1;
    return HEED_OK;
}

static int has_encoder(const job *j)
{
    return heed_stack_number(j->model.stack, "encoder_layers") > 0;
}

/* Of a network with an encoder: that is what reads the prompt, and what is made begins with a token
 * of its own. */
static int32_t start_source(job *j, id_list *list, heed_error *error)
{
    int64_t first = model_token(&j->model, "heed.start");
    if (first < 0) first = heed_stack_number(j->model.stack, "bos");
    if (first < 0)
        return error_set(error, HEED_E_ARGUMENT,
                         "%s has no token that what is made begins with (decoder_start_token_id, or "
                         "bos)",
                         j->model_path ? j->model_path : "the spec");
    j->source = *list;
    *list = (id_list){0};
    id_list_put(list, (int32_t)first);
    return HEED_OK;
}

/* What comes first. Numbers of tokens are all that there is. */
static int32_t start_text(job *j, const unsigned char *prompt, size_t length, heed_error *error)
{
    j->stories = calloc((size_t)j->parallel, sizeof *j->stories);
    if (!j->stories) return error_memory(error);
    if (!j->ids_path && j->model_path) TRY(model_open_text(&j->model, j->model_path, error));
    if (j->chat && !j->model.tokenizer)
        return error_set(error, HEED_E_UNSUPPORTED,
                         "%s: --chat needs a checkpoint with a tokenizer.json and a chat_template",
                         j->model_path ? j->model_path : "the spec");
    if (j->model.stack->ahead)
        return error_set(error, HEED_E_DATA,
                         "%s is no language model: tokens of %s, which is not causal, see those behind them, and there "
                         "are none yet", j->model_path ? j->model_path : "the spec", j->model.stack->ahead);
    id_list list = {0};
    int32_t failed = j->ids_path          ? read_numbers(j, &list, error)
                     : j->model.tokenizer ? read_text(j, prompt, length, &list, error)
                                          : read_bytes(j, prompt, length, &list, error);
    if (!failed && has_encoder(j)) failed = start_source(j, &list, error);
    if (!failed && (list.failed || j->source.failed)) failed = error_memory(error);
    j->read = (int64_t)list.n;
    for (int64_t i = 0; !failed && i < j->parallel; i++) failed = start_story(j, i, &list, error);
    free(list.at);
    return failed;
}

/* Where a full context begins anew: the session forgets all and reads its last half. */
static int32_t make_place(const job *j, story *s, heed_error *error)
{
    int64_t context = heed_stack_number(j->model.stack, "context");
    int afresh = j->model.stack->forgets && s->fed > s->start;
    if (context >= 0 && s->n - s->start > context) {
        s->start = s->n - (context > 1 ? context / 2 : 1);
        afresh = 1;
    }
    if (!afresh) return HEED_OK;
    TRY(heed_session_reset(s->session, error));
    s->fed = s->start;
    return HEED_OK;
}

/* Brings the sessions of all texts that go on to their ends. */
static int32_t catch_up(job *j, int64_t count, heed_error *error)
{
    heed_session *sessions[count];
    const int32_t *tokens[count];
    int64_t n[count];
    float *logits[count];
    uint32_t going = 0;
    for (int64_t i = 0; i < count; i++) {
        story *s = &j->stories[i];
        if (s->ended) continue;
        TRY(make_place(j, s, error));
        sessions[going] = s->session, tokens[going] = s->text + s->fed, n[going] = s->n - s->fed;
        logits[going++] = s->logits;
        s->fed = s->n;
    }
    if (going == 0) return HEED_OK;
    if (going == 1) return heed_session_feed(sessions[0], tokens[0], n[0], logits[0], 1, error);
    return heed_session_feed_many(sessions, going, tokens, n, logits, error);
}

/* A session for a story, that has read what the first one has. Without a state that can be forked, it
 * reads that anew when it is fed. */
static int32_t fork_story(job *j, const story *first, story *s, heed_error *error)
{
    const int again = j->source.n || j->model.stack->forgets;
    s->session = again ? heed_session_new(j->model.stack, error)
                       : heed_session_fork(first->session, error);
    if (!s->session) return error->code;
    s->start = first->start, s->fed = again ? first->start : first->fed;
    memcpy(s->logits, first->logits,
           (size_t)heed_stack_number(j->model.stack, "vocab") * sizeof *first->logits);
    if (!j->source.n) return HEED_OK;
    return heed_session_encode(s->session, j->source.at, (int64_t)j->source.n, error);
}

static int32_t fork_stories(job *j, heed_error *error)
{
    for (int64_t i = 1; i < j->parallel; i++)
        TRY(fork_story(j, &j->stories[0], &j->stories[i], error));
    return HEED_OK;
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

/* Prints what has come of tokens, up to a text that ends it; *ends: there was one. */
static int32_t put_made(job *j, int all, int *ends, heed_error *error)
{
    j->shown.n = 0;
    *ends |= stops_put(&j->stops, j->made.at, j->made.n, all, &j->shown);
    if (j->stops.held.failed || j->shown.failed || j->made.failed) return error_memory(error);
    return put(j->shown.at, j->shown.n, error);
}

/* A token of those that were made. */
static int32_t put_token(job *j, int32_t token, int *ends, heed_error *error)
{
    const char byte = (char)token;
    if (j->ids_path) return put_id(token, " ", error);
    j->made.n = 0;
    if (j->model.tokenizer) TRY(tokenizer_put(j->model.tokenizer, token, &j->made, error));
    else if (token <= UINT8_MAX) bytes_put(&j->made, &byte, 1);
    return put_made(j, 0, ends, error);
}

/* The prompt, as it was given; what a tokenizer makes of tokens goes on with its text. */
static int32_t put_prompt(job *j, const unsigned char *prompt, size_t length, heed_error *error)
{
    if (!j->ids_path && !j->chat && !has_encoder(j)) TRY(put(prompt, length, error));
    const story *s = &j->stories[0]; /* they all begin alike */
    const int64_t n = j->read;
    for (int64_t i = 0; j->ids_path && i < n; i++) TRY(put_id(s->text[i], i ? " " : "", error));
    if (!j->model.tokenizer) return HEED_OK;
    tokenizer_begin(j->model.tokenizer);
    for (int64_t i = 0; i < n; i++)
        TRY(tokenizer_put(j->model.tokenizer, s->text[i], &j->made, error));
    return tokenizer_end(j->model.tokenizer, &j->made, error);
}

/* What waits for the rest of a character, or of a text that would have ended it. */
static int32_t put_rest(job *j, heed_error *error)
{
    int ends = 0;
    if (j->ids_path) return HEED_OK;
    j->made.n = 0;
    if (j->model.tokenizer) TRY(tokenizer_end(j->model.tokenizer, &j->made, error));
    return put_made(j, 1, &ends, error);
}

/* Less likely are tokens that were there already (CTRL, arXiv 1909.05858, section 4.1). */
static void punish(const job *j, story *s)
{
    const int64_t vocab = heed_stack_number(j->model.stack, "vocab");
    const float penalty = (float)j->penalty;
    for (int64_t i = 0; penalty != 1 && i < vocab; i++)
        if (s->seen[i])
            s->logits[i] = s->logits[i] > 0 ? s->logits[i] / penalty : s->logits[i] * penalty;
}

static int32_t draw_token(const job *j, story *s, int32_t *token, heed_error *error)
{
    char settings[160];
    snprintf(settings, sizeof settings, "temperature=%.17g, top_k=%lld, top_p=%.17g, min_p=%.17g",
             j->temperature, (long long)j->top_k, j->top_p, j->min_p);
    punish(j, s);
    TRY(heed_session_draw(s->session, s->logits, settings, random_unit(&s->chance), token, error));
    s->seen[*token] = 1;
    return HEED_OK;
}

/* Whether a token ends its text: one of eos_token_id, or bos where that is no byte. */
static int ends_text(const job *j, int32_t token)
{
    const int64_t bos = heed_stack_number(j->model.stack, "bos");
    if (!j->ids_path && !j->model.tokenizer && token > UINT8_MAX && token == bos) return 1;
    return !j->ignore_eos && model_ends(&j->model, token);
}

/* Draws the next token of a story; *shown: it is a part of the text. */
static int32_t add_token(const job *j, story *s, int32_t *token, int *shown, heed_error *error)
{
    TRY(draw_token(j, s, token, error));
    s->ended = ends_text(j, *token);
    *shown = !s->ended || (j->ids_path && model_ends(&j->model, *token));
    if (*shown) s->text[s->n++] = *token;
    return HEED_OK;
}

/* Draws, prints and feeds until enough is made, or the model ends the text. */
static int32_t make(job *j, heed_error *error)
{
    story *s = &j->stories[0];
    for (int64_t i = 0; i < j->tokens && !s->ended; i++) {
        int32_t token;
        int shown, ends = 0;
        TRY(add_token(j, s, &token, &shown, error));
        if (shown) TRY(put_token(j, token, &ends, error));
        s->ended |= ends;
        if (i + 1 < j->tokens && !s->ended) TRY(catch_up(j, 1, error));
    }
    return put_rest(j, error);
}

/* All texts at once: nothing is printed before the last one is done. */
static int32_t make_many(job *j, heed_error *error)
{
    int64_t going = j->parallel;
    TRY(fork_stories(j, error));
    for (int64_t n = 0; n < j->tokens && going; n++) {
        going = 0;
        for (int64_t i = 0; i < j->parallel; i++) {
            int32_t token;
            int shown;
            if (j->stories[i].ended) continue;
            TRY(add_token(j, &j->stories[i], &token, &shown, error));
            going += !j->stories[i].ended;
        }
        if (n + 1 < j->tokens && going) TRY(catch_up(j, j->parallel, error));
    }
    return HEED_OK;
}

static int32_t put_story(job *j, int64_t i, const unsigned char *prompt, size_t length,
                         heed_error *error)
{
    const story *s = &j->stories[i];
    char title[64];
    const int n = snprintf(title, sizeof title, "%s==> seed %lld <==\n", i ? "\n" : "",
                           (long long)j->seed + (long long)i);
    int ends = 0;
    TRY(put(title, (size_t)n, error));
    TRY(put_prompt(j, prompt, length, error));
    for (int64_t t = j->read; t < s->n && !ends; t++) TRY(put_token(j, s->text[t], &ends, error));
    return put_rest(j, error);
}

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

static int32_t run(job *j, const unsigned char *prompt, size_t length, int32_t failed,
                   heed_error *error)
{
    if (ranks_are_several())
        failed = model_open_shared(&j->model, &j->engine, j->model_path, j->spec,
                                   (uint64_t)j->seed, failed, error);
    else if (!failed)
        failed = model_open_both(&j->model, &j->engine, j->model_path, j->spec, (uint64_t)j->seed,
                                 error);
    if (!failed) failed = start_text(j, prompt, length, error);
    if (!failed) failed = tracing_begin(&j->tracing, j->model.engine, error);
    const int many = j->parallel > 1;
    if (!failed && !many) failed = put_prompt(j, prompt, length, error);
    double begin = clock_seconds();
    if (!failed && j->source.n)
        failed = heed_session_encode(j->model.session, j->source.at, (int64_t)j->source.n, error);
    if (!failed) failed = catch_up(j, 1, error);
    double middle = clock_seconds();
    /* of a prompt beyond the context only the end is read */
    int64_t read = failed        ? 0
                   : j->source.n ? (int64_t)j->source.n
                                 : j->stories[0].fed - j->stories[0].start,
            made = 0;
    if (!failed) failed = many ? make_many(j, error) : make(j, error);
    double end = clock_seconds();
    for (int64_t i = 0; many && !failed && i < j->parallel; i++)
        failed = put_story(j, i, prompt, length, error);
    end_line();
    origin_tell(j->model.engine);
    if (failed) return failed;
    for (int64_t i = 0; i < j->parallel; i++) made += j->stories[i].n - j->read;
    fprintf(stderr,
            "prompt: %lld tokens, %.0f tokens/s; generated: %lld tokens, %.0f tokens/s; %s, %s, %u "
            "thread%s\n",
            (long long)(j->source.n ? (int64_t)j->source.n : j->read), (double)read / (middle - begin), (long long)made,
            (double)made / (end - middle),
            j->model_path ? j->model_path : "random weights", inspect_path(j->model.engine),
            heed_lanes(j->model.engine), heed_lanes(j->model.engine) == 1 ? "" : "s");
    double steps, cost;
    if (model_ponder(&j->model, &steps, &cost))
        fprintf(stderr, "%.3f steps a token of %lld, ponder cost %.3f\n", steps,
                (long long)heed_stack_number(j->model.stack, "layers"), cost);
    model_tell_ranks(&j->model);
    return HEED_OK;
}

/* The sessions are closed before their network is. */
static void close_stories(job *j)
{
    for (int64_t i = 0; j->stories && i < j->parallel; i++) {
        story *s = &j->stories[i];
        if (i) heed_session_free(s->session);
        free(s->text);
        free(s->logits);
        free(s->seen);
    }
    free(j->stories);
}

int command_generate(int argc, char **argv)
{
    job j = {.engine.size = sizeof j.engine,
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
    close_stories(&j);
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
