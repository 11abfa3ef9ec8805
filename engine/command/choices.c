/* SPDX-License-Identifier: MIT
 *
 * choices.c: heed score --choices: each line of a file is a prompt and some texts to go on with it;
 * the log-likelihood of a text is the sum of ln p over its tokens.
 *
 * Prompt and choice are made into tokens as one text, and those behind the prompt's own are the
 * choice's: so a tokenizer may begin a token with the space between them. What all choices of a line
 * have in front is read once, where the network can be fed in parts. Invariant: no line has a part in
 * another's numbers.
 */
#include "command/choices.h"

#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "command/command.h"
#include "command/file.h"
#include "command/interrupt.h"
#include "command/progress.h"
#include "model/session.h"
#include "model/stack.h"

#define CHOICES_MOST 64

/* A choice: its tokens behind the prompt's, and how likely it is. */
typedef struct choice {
    id_list ids;   /* of the prompt and it */
    int64_t first; /* the first that is its own */
    double nats;   /* sum of ln p */
    size_t bytes;
} choice;

typedef struct job {
    model *m;
    const char *name, *path;
    heed_error *error;
    heed_session *prompt; /* what all choices of a line have in front */
    heed_instance *loss;
    int64_t line, answered, right, right_by_byte;
    choice choice[CHOICES_MOST];
    int n;
    json_t *told; /* NULL: it is printed */
} job;

static int32_t wrong(const job *j, const char *what)
{
    return error_set(j->error, HEED_E_DATA, "%.200s, line %lld: %s", j->path, (long long)j->line,
                     what);
}

/* ---- tokens ---- */

/* The tokens of a prompt and of what follows it, behind the one that texts begin with. */
static int32_t encode(job *j, const char *prompt, const char *text, id_list *to)
{
    const size_t before = strlen(prompt), n = before + strlen(text);
    const int64_t bos = heed_stack_number(j->m->stack, "bos");
    int64_t begin = j->m->tokenizer ? model_token(j->m, "heed.begin") : bos;
    if (begin < 0 && j->m->tokenizer) begin = model_token(j->m, "heed.end");
    if (begin < 0)
        return error_set(j->error, HEED_E_DATA,
                         "%s has no token to begin with (bos), so the first token of a prompt can "
                         "not be predicted",
                         j->name);
    char where[300], *whole = malloc(n + 1);
    if (!whole) return error_memory(j->error);
    memcpy(whole, prompt, before);
    strcpy(whole + before, text);
    snprintf(where, sizeof where, "%.200s, line %lld", j->path, (long long)j->line);
    to->n = 0;
    id_list_put(to, (int32_t)begin);
    int32_t failed = HEED_OK;
    if (j->m->tokenizer) failed = model_encode(j->m, where, whole, n, 0, 0, to, j->error);
    else
        for (size_t i = 0; i < n; i++) id_list_put(to, (unsigned char)whole[i]);
    free(whole);
    return failed ? failed : to->failed ? error_memory(j->error) : HEED_OK;
}

static int32_t read_choice(job *j, const char *prompt, size_t common, const json_t *text, choice *c)
{
    const char *word = json_string_value(text);
    const int64_t context = heed_stack_number(j->m->stack, "context");
    if (!word || !*word) return wrong(j, "each of \"choices\" is a text that is not empty");
    TRY(encode(j, prompt, word, &c->ids));
    c->first = (int64_t)common, c->bytes = strlen(word);
    if ((int64_t)c->ids.n - 1 <= c->first - 1)
        return wrong(j, "a choice adds no token to its prompt");
    if (context >= 0 && (int64_t)c->ids.n - 1 > context)
        return error_set(
            j->error, HEED_E_DATA,
            "%.200s, line %lld: a choice has %zu tokens with its prompt, but %s sees %lld", j->path,
            (long long)j->line, c->ids.n - 1, j->name, (long long)context);
    return HEED_OK;
}

/* {"prompt": "...", "choices": ["...", "..."], "answer": 0} */
static int32_t read_line(job *j, const json_t *line, int64_t *answer)
{
    const char *prompt = json_string_value(json_object_get(line, "prompt"));
    const json_t *choices = json_object_get(line, "choices"),
                 *right = json_object_get(line, "answer");
    const size_t n = json_array_size(choices);
    id_list ids = {0};
    if (!prompt) return wrong(j, "\"prompt\", a text, is missing");
    if (n < 2 || n > CHOICES_MOST) return wrong(j, "\"choices\" is no list of 2 to 64 texts");
    if (right && (!json_is_integer(right) || json_integer_value(right) < 0 ||
                  json_integer_value(right) >= (json_int_t)n))
        return wrong(j, "\"answer\" is none of the choices, which count from 0");
    *answer = right ? json_integer_value(right) : -1;
    int32_t failed = encode(j, prompt, "", &ids);
    const size_t common = ids.n;
    free(ids.at);
    j->n = (int)n;
    for (int i = 0; i < j->n && !failed; i++)
        failed = read_choice(j, prompt, common, json_array_get(choices, (size_t)i), &j->choice[i]);
    return failed;
}

/* ---- how likely ---- */

/* The sum of ln p of the tokens behind `from`, which the session has not read yet. */
static int32_t add_up(job *j, heed_session *s, choice *c, int64_t from)
{
    const int64_t n = (int64_t)c->ids.n - 1 - from, rows = (int64_t)c->ids.n - c->first,
                  vocab = heed_stack_number(j->m->stack, "vocab"), shape[] = {rows, vocab};
    float *logits = reallocarray(NULL, (size_t)rows, (size_t)(vocab + 1) * sizeof *logits);
    if (!logits) return error_memory(j->error);
    float *losses = logits + rows * vocab;
    heed_tensor scores = heed_tensor_of(logits, HEED_F32, 2, shape),
                targets = heed_tensor_of(c->ids.at + c->first, HEED_I32, 1, shape),
                nll = heed_tensor_of(losses, HEED_F32, 1, shape);
    heed_binding in[] = {{"logits", &scores}, {"targets", &targets}}, out = {"nll", &nll};
    int32_t failed = heed_session_feed(s, c->ids.at + from, n, logits, rows, j->error);
    if (!failed) failed = heed_run(j->loss, in, 2, &out, 1, NULL, j->error);
    c->nats = 0;
    for (int64_t i = 0; i < rows && !failed; i++) c->nats -= (double)losses[i];
    free(logits);
    return failed;
}

/* How many tokens all choices have in front of the first that is scored: so many but the last of
 * them can be read once. */
static int64_t shared(const job *j)
{
    int64_t same = j->choice[0].first - 1;
    for (int i = 1; i < j->n; i++)
        for (int64_t t = 0; t < same; t++)
            if (j->choice[i].ids.at[t] != j->choice[0].ids.at[t]) same = t;
    return same;
}

static int32_t score_line(job *j)
{
    const heed_stack *stack = j->m->stack;
    const int64_t same = stack->whole || stack->forgets ? 0 : shared(j);
    TRY(heed_session_reset(j->prompt, j->error));
    if (same) TRY(heed_session_feed(j->prompt, j->choice[0].ids.at, same, NULL, 0, j->error));
    for (int i = 0; i < j->n; i++) {
        TRY(heed_session_reset(j->m->session, j->error));
        if (same) TRY(session_take(j->m->session, j->prompt, j->error));
        TRY(add_up(j, j->m->session, &j->choice[i], same));
    }
    return HEED_OK;
}

/* ---- what is told ---- */

static int best_of(const job *j, int by_byte)
{
    int best = 0;
    double most = -INFINITY;
    for (int i = 0; i < j->n; i++) {
        const double x = j->choice[i].nats / (by_byte ? (double)j->choice[i].bytes : 1);
        if (x > most) most = x, best = i;
    }
    return best;
}

static void tell_line(job *j, int64_t answer)
{
    const int best = best_of(j, 0), by_byte = best_of(j, 1);
    j->answered += answer >= 0, j->right += best == answer, j->right_by_byte += by_byte == answer;
    if (!j->told) {
        printf("line %lld: %d", (long long)j->line, best);
        if (answer >= 0) printf(" %s", best == answer ? "right" : "wrong");
        for (int i = 0; i < j->n; i++) printf("%s%.4f", i ? ", " : "  (ln p: ", j->choice[i].nats);
        printf(")\n");
        return;
    }
    json_t *all = json_array();
    for (int i = 0; i < j->n; i++)
        json_array_append_new(all, isfinite(j->choice[i].nats) ? json_real(j->choice[i].nats)
                                                               : json_null());
    json_array_append_new(json_object_get(j->told, "lines"),
                          json_pack("{s:I, s:o, s:i, s:i, s:o}", "line", (json_int_t)j->line,
                                    "log_likelihoods", all, "best", best, "best_by_byte", by_byte,
                                    "answer", answer < 0 ? json_null() : json_integer(answer)));
}

static int32_t tell_all(job *j)
{
    const double n = (double)j->answered;
    if (j->told) {
        json_object_set_new(j->told, "answered", json_integer(j->answered));
        json_object_set_new(j->told, "accuracy",
                            n > 0 ? json_real((double)j->right / n) : json_null());
        json_object_set_new(j->told, "accuracy_by_byte",
                            n > 0 ? json_real((double)j->right_by_byte / n) : json_null());
        json_t *told = j->told;
        j->told = NULL;
        return command_json(told) ? error_set(j->error, HEED_E_SYSTEM, "it can not be printed")
                                  : HEED_OK;
    }
    if (n > 0)
        printf("accuracy %.4f, by byte %.4f  (%lld lines with an answer)\n", (double)j->right / n,
               (double)j->right_by_byte / n, (long long)j->answered);
    return HEED_OK;
}

/* ---- the file ---- */

static int32_t run_line(job *j, const char *text, size_t n)
{
    json_error_t why;
    int64_t answer = -1;
    json_t *line = json_loadb(text, n, JSON_REJECT_DUPLICATES, &why);
    if (!line) return wrong(j, why.text);
    int32_t failed = read_line(j, line, &answer);
    json_decref(line);
    if (!failed) failed = score_line(j);
    if (!failed) tell_line(j, answer);
    return failed;
}

static int32_t run_file(job *j, const char *text, size_t length)
{
    const char *end = text + length;
    for (const char *line = text, *next; line < end && !interrupt_seen; line = next) {
        const char *newline = memchr(line, '\n', (size_t)(end - line));
        const size_t n = (size_t)((newline ? newline : end) - line);
        next = newline ? newline + 1 : end;
        j->line++;
        if (strspn(line, " \t\r") < n) TRY(run_line(j, line, n));
        progress_show((double)(next - text) / (double)length, "%s", j->path);
    }
    if (!j->answered && !j->line)
        return error_set(j->error, HEED_E_DATA, "%.200s: there is no line in it", j->path);
    return tell_all(j);
}

int32_t choices_score(model *m, const char *name, const char *path, int json, heed_error *error)
{
    job j = {.m = m, .name = name, .path = path, .error = error};
    unsigned char *text = NULL;
    size_t length = 0;
    const heed_stack *stack = m->stack;
    if (stack->ahead || stack->prefix)
        return error_set(error, HEED_E_DATA,
                         "%s is no language model: its tokens see those behind them, and with them "
                         "what is to be predicted",
                         name);
    TRY(file_read(path, &text, &length, error));
    j.prompt = heed_session_new(m->stack, error);
    if (j.prompt) j.loss = heed_instance_open(m->engine, "loss/cross_entropy", NULL, error);
    if (json) j.told = json_pack("{s:s, s:[]}", "model", name, "lines");
    int32_t failed = !j.loss ? error->code : json && !j.told ? error_memory(error) : HEED_OK;
    interrupt_catch();
    if (!failed) failed = run_file(&j, (const char *)text, length);
    progress_end();
    for (int i = 0; i < CHOICES_MOST; i++) free(j.choice[i].ids.at);
    json_decref(j.told);
    heed_instance_close(j.loss);
    heed_session_free(j.prompt);
    free(text);
    return failed;
}
