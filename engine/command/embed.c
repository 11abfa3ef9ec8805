/* SPDX-License-Identifier: MIT
 *
 * embed.c: heed embed: a vector for each line of a file, by an encoder from a checkpoint.
 *
 * Lines are sorted by their numbers of tokens, the longest first, and several of them are fed in one
 * call: a product then reads its weights once for the tokens of all these lines. Invariant: row n of
 * the result belongs to line n, and its bits are those that the line gets alone.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/grow.h"
#include "command/clock.h"
#include "command/command.h"
#include "command/file.h"
#include "command/model.h"
#include "command/options.h"
#include "command/origin.h"
#include "command/progress.h"
#include "text/sentence.h"
#include "inspect.h"
#include "io/weights.h"

static const char usage[] =
    "usage: heed embed MODEL FILE -o OUT.npy [OPTION ...]\n"
    "\n"
    "  MODEL             a folder with the config.json, the weights and the tokenizer.json of an "
    "encoder\n"
    "  FILE              texts, one a line; - is standard input\n"
    "  -o OUT.npy        a vector for each line, [lines, width]\n"
    "  --pooling HOW     mean, first, last or max of a line's tokens; what the folder's "
    "modules.json "
    "says\n"
    "                    if not given, or mean if there is none\n"
    "  --l2 YES          true: each vector is divided by its length; as --pooling, or "
    "false\n" OPTIONS_ENGINE "\n"
    "A line of more tokens than the folder's sentence_bert_config.json or the network takes is "
    "cut, "
    "as\n"
    "sentence-transformers does.\n";

/* Lines that are fed at a time: of so many tokens in all, each with a state of its own. */
enum { TOKENS_MOST = 512, LINES_MOST = 32 };

typedef struct line {
    id_list ids;
    int64_t at; /* its row */
} line;

typedef struct job {
    heed_options engine;
    const char *model_path, *file_path, *out_path, *pooling, *l2;

    model model;
    sentence how;
    unsigned char *text;
    size_t length;
    line *line;  /* [lines] */
    float *rows; /* [lines, width] */
    uint32_t lines;
    int64_t width, tokens, cut;
    heed_session *sessions[LINES_MOST]; /* as many as have been needed */
} job;

static int read_word(void *command, const char *value)
{
    job *j = command;
    if (j->file_path) return options_usage(QUOTE " is one word too many", QUOTED(value));
    if (j->model_path) j->file_path = value;
    else j->model_path = value;
    return 0;
}

static int read_pooling(void *command, const char *value)
{
    static const char *const known[] = {"mean", "first", "last", "max"};
    for (size_t i = 0; i < 4; i++)
        if (!strcmp(value, known[i])) return ((job *)command)->pooling = known[i], 0;
    return options_usage("--pooling takes mean, first, last or max, not " QUOTE, QUOTED(value));
}

static int read_l2(void *command, const char *value)
{
    if (strcmp(value, "true") && strcmp(value, "false"))
        return options_usage("--l2 takes true or false, not " QUOTE, QUOTED(value));
    ((job *)command)->l2 = value;
    return 0;
}

static const option options[] = {
    {"", 1, .read = read_word, .values = "FILE"},
    {"-o", 1, .at = offsetof(job, out_path), .values = "FILE"},
    {"--pooling", 1, .read = read_pooling, .values = "mean first last max"},
    {"--l2", 1, .read = read_l2, .values = "true false"},
    {0},
};

static int32_t open_model(job *j, heed_error *error)
{
    model *m = &j->model;
    if (!(m->weights = heed_weights_open(j->model_path, error))) return error->code;
    TRY(sentence_read(&j->how, j->model_path, error));
    sentence_change(&j->how, j->pooling, j->l2 ? !strcmp(j->l2, "true") : -1);
    char *spec = sentence_spec(&j->how, m->weights, j->model_path, error);
    if (!spec) return error->code;
    if ((m->engine = heed_engine_new(&j->engine, error)) && heed_lanes(m->engine) > 1)
        inspect_pin_caller(m->engine);
    if (m->engine) m->stack = heed_stack_open(m->engine, spec, m->weights, error);
    free(spec);
    if (!m->stack) return error->code;
    j->width = heed_stack_outputs(m->stack);
    const int64_t context = heed_stack_number(m->stack, "context");
    if (context > 0 && (!j->how.most || j->how.most > context)) j->how.most = context;
    return model_open_text(m, j->model_path, error);
}

static int32_t read_line(job *j, const char *text, size_t n, heed_error *error)
{
    line *l = grow_append(&j->line, &j->lines, sizeof *l);
    char name[120];
    if (!l) return error_memory(error);
    l->at = j->lines - 1;
    snprintf(name, sizeof name, "%.80s, line %u", j->file_path, j->lines);
    TRY(model_encode(&j->model, name, text, n, 1, 0, &l->ids, error));
    const size_t most = (size_t)j->how.most;
    if (most && l->ids.n > most) {
        l->ids.n = 0;
        j->cut++;
        TRY(model_encode(&j->model, name, text, n, 1, most, &l->ids, error));
    }
    j->tokens += (int64_t)l->ids.n;
    return HEED_OK;
}

static int32_t read_lines(job *j, heed_error *error)
{
    const char *text = (const char *)j->text, *end = text + j->length;
    for (const char *at = text, *next; at < end; at = next) {
        const char *newline = memchr(at, '\n', (size_t)(end - at));
        next = newline ? newline + 1 : end;
        TRY(read_line(j, at, (size_t)((newline ? newline : end) - at), error));
    }
    return HEED_OK;
}

static int longest_first(const void *one, const void *other)
{
    const line *a = one, *b = other;
    return a->ids.n != b->ids.n ? (a->ids.n < b->ids.n) - (a->ids.n > b->ids.n)
                                : (a->at > b->at) - (a->at < b->at);
}

/* The lines from `first` on that are fed at a time; how many they are. */
static int32_t embed_some(job *j, uint32_t first, uint32_t *count, heed_error *error)
{
    const int32_t *tokens[LINES_MOST];
    int64_t n[LINES_MOST], all = 0;
    float *rows[LINES_MOST];
    for (*count = 0; *count < LINES_MOST && first + *count < j->lines; ++*count) {
        const uint32_t i = *count;
        const line *l = &j->line[first + i];
        tokens[i] = l->ids.at, n[i] = (int64_t)l->ids.n, rows[i] = j->rows + l->at * j->width;
        if (i && all + n[i] > TOKENS_MOST) break;
        all += n[i];
        if (!j->sessions[i] && !(j->sessions[i] = heed_session_new(j->model.stack, error)))
            return error->code;
        TRY(heed_session_reset(j->sessions[i], error));
    }
    return heed_session_feed_many(j->sessions, *count, tokens, n, rows, error);
}

static int32_t embed(job *j, heed_error *error)
{
    int64_t done = 0;
    TRY(read_lines(j, error));
    if (j->lines) qsort(j->line, j->lines, sizeof *j->line, longest_first);
    if (!(j->rows = calloc((size_t)j->lines + 1, (size_t)j->width * sizeof *j->rows)))
        return error_memory(error);
    for (uint32_t first = 0, count; first < j->lines; first += count) {
        TRY(embed_some(j, first, &count, error));
        for (uint32_t i = first; i < first + count; i++) done += (int64_t)j->line[i].ids.n;
        progress_show(j->tokens ? (double)done / (double)j->tokens : 1, "%s", j->file_path);
    }
    return HEED_OK;
}

static int32_t run(job *j, heed_error *error)
{
    TRY(file_check(j->out_path, error));
    TRY(file_read(j->file_path, &j->text, &j->length, error));
    TRY(open_model(j, error));
    const double begin = clock_seconds();
    const int32_t failed = embed(j, error);
    const double seconds = clock_seconds() - begin;
    progress_end();
    origin_tell(j->model.engine);
    if (failed) return failed;
    const int64_t shape[] = {j->lines, j->width};
    const heed_tensor out = heed_tensor_of(j->rows, HEED_F32, 2, shape);
    TRY(heed_npy_write(j->out_path, &out, error));
    fprintf(stderr, "%u lines, %lld tokens, %.0f lines/s; pooling %s, l2 %s; ", j->lines,
            (long long)j->tokens, (double)j->lines / seconds, j->how.by,
            j->how.l2 ? "true" : "false");
    if (j->cut)
        fprintf(stderr, "%lld were cut to %lld tokens; ", (long long)j->cut,
                (long long)j->how.most);
    model_tell(&j->model, j->model_path);
    return HEED_OK;
}

int command_embed(int argc, char **argv)
{
    job j = {.engine.size = sizeof j.engine};
    heed_error error = {0};
    const int status = options_parse(argc, argv, usage, options, &j, &j.engine);
    if (status) return status;
    if (!j.model_path || !j.file_path) return options_usage("a model and a file are needed");
    if (!j.out_path) return options_usage("-o OUT.npy is needed");
    const int32_t failed = run(&j, &error);
    for (uint32_t i = 0; i < LINES_MOST; i++) heed_session_free(j.sessions[i]);
    model_close(&j.model);
    for (uint32_t i = 0; i < j.lines; i++) free(j.line[i].ids.at);
    free(j.line);
    free(j.text);
    free(j.rows);
    return failed ? command_fail(&error) : 0;
}
