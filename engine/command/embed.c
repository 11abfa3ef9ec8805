/* SPDX-License-Identifier: MIT
 *
 * embed.c: heed embed: a vector for each line of a file, by an encoder from a checkpoint.
 *
 * Invariant: row n of the result is of line n, and no other line has a part in it.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
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

typedef struct job {
    heed_options engine;
    const char *model_path, *file_path, *out_path, *pooling, *l2;

    model model;
    sentence how;
    unsigned char *text;
    size_t length;
    float *rows; /* [lines, width] */
    int64_t lines, width, tokens, cut;
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
    if (m->stack) m->session = heed_session_new(m->stack, error);
    free(spec);
    if (!m->session) return error->code;
    j->width = heed_stack_outputs(m->stack);
    const int64_t context = heed_stack_number(m->stack, "context");
    if (context > 0 && (!j->how.most || j->how.most > context)) j->how.most = context;
    return model_open_text(m, j->model_path, error);
}

static int32_t embed_line(job *j, const char *line, size_t n, float *row, heed_error *error)
{
    id_list ids = {0}, all = {0};
    char name[120];
    snprintf(name, sizeof name, "%.80s, line %lld", j->file_path, (long long)j->lines + 1);
    int32_t failed = model_encode(&j->model, name, line, n, 1, 0, &all, error);
    const size_t most = (size_t)j->how.most;
    if (!failed && most && all.n > most)
        failed = model_encode(&j->model, name, line, n, 1, most, &ids, error);
    const id_list *fed = ids.n ? &ids : &all;
    j->cut += fed == &ids;
    j->tokens += (int64_t)fed->n;
    if (!failed) failed = heed_session_reset(j->model.session, error);
    if (!failed)
        failed =
            heed_session_feed(j->model.session, fed->at, (int64_t)fed->n, row, fed->n > 0, error);
    free(ids.at);
    free(all.at);
    return failed;
}

static int32_t embed(job *j, heed_error *error)
{
    const char *text = (const char *)j->text, *end = text + j->length;
    int64_t room = 0;
    for (const char *line = text, *next; line < end; line = next) {
        const char *newline = memchr(line, '\n', (size_t)(end - line));
        next = newline ? newline + 1 : end;
        if (j->lines == room) {
            room = room ? 2 * room : 64;
            float *larger = reallocarray(j->rows, (size_t)room, (size_t)j->width * sizeof *larger);
            if (!larger) return error_memory(error);
            j->rows = larger;
        }
        float *row = j->rows + j->lines * j->width;
        memset(row, 0, (size_t)j->width * sizeof *row);
        TRY(embed_line(j, line, (size_t)((newline ? newline : end) - line), row, error));
        j->lines++;
        progress_show((double)(next - text) / (double)j->length, "%s", j->file_path);
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
    fprintf(stderr, "%lld lines, %lld tokens, %.0f lines/s; pooling %s, l2 %s; ",
            (long long)j->lines, (long long)j->tokens, (double)j->lines / seconds, j->how.by,
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
    model_close(&j.model);
    free(j.text);
    free(j.rows);
    return failed ? command_fail(&error) : 0;
}
