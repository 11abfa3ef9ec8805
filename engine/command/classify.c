/* SPDX-License-Identifier: MIT
 *
 * classify.c: heed classify: which class each line of a file is of, by a network with classes.
 *
 * Invariant: line n of the output is of line n of the file, and no other line has a part in it.
 */
#include <math.h>
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
#include "model/stack.h"

static const char usage[] =
    "usage: heed classify MODEL FILE [OPTION ...]\n"
    "\n"
    "  MODEL             a file or a folder with a network of classes, as heed train --task "
    "classify "
    "makes it,\n"
    "                    or one of transformers (...ForSequenceClassification)\n"
    "  FILE              texts, one a line; of a .jsonl file the \"text\" of each line; - is "
    "standard "
    "input\n"
    "  --all             the probabilities of all classes, not of the likeliest one alone\n"
    "  --json            each line as one of JSON\n" OPTIONS_ENGINE "\n"
    "Each line becomes its class, a tab and its probability. A text that is longer than the "
    "network's\n"
    "context is cut. Where lines of a .jsonl file have a \"label\", how many of them were found is "
    "told\n"
    "on standard error.\n";

typedef struct job {
    heed_options engine;
    const char *model_path, *file_path;
    int all, json;

    model model;
    json_t *names; /* of the classes */
    int64_t classes;
    float *scores;
    double *chance; /* [classes] */
    int64_t lines, cut, labelled, right;
} job;

static int read_word(void *command, const char *value)
{
    job *j = command;
    if (j->file_path) return options_usage(QUOTE " is one word too many", QUOTED(value));
    if (j->model_path) j->file_path = value;
    else j->model_path = value;
    return 0;
}

static const option options[] = {
    {"", 1, .read = read_word, .values = "FILE"},
    {"--all", 0, .at = offsetof(job, all)},
    {"--json", 0, .at = offsetof(job, json)},
    {0},
};

/* ---- the model ---- */

/* The names of the classes; without any they are numbers. */
static int32_t open_names(job *j, heed_error *error)
{
    const char *known = heed_weights_metadata(j->model.weights, "heed.classes");
    j->names = known ? json_loads(known, 0, NULL) : json_array();
    for (int64_t c = 0; !known && c < j->classes; c++) {
        char number[32];
        snprintf(number, sizeof number, "%lld", (long long)c);
        json_array_append_new(j->names, json_string(number));
    }
    int good = json_array_size(j->names) == (size_t)j->classes;
    for (size_t c = 0; c < json_array_size(j->names); c++)
        good = good && json_is_string(json_array_get(j->names, c));
    if (good) return HEED_OK;
    return error_set(error, HEED_E_DATA, "%s: heed.classes is no list of %lld names", j->model_path,
                     (long long)j->classes);
}

static int32_t open_model(job *j, heed_error *error)
{
    model *m = &j->model;
    TRY(model_open_any(m, &j->engine, j->model_path, NULL, 0, error));
    j->classes = heed_stack_number(m->stack, "classes");
    if (j->classes < 0 || !m->stack->pools)
        return error_set(error, HEED_E_DATA,
                         "%s: is no network that tells texts apart (output=concat or tokens, and "
                         "classes=N), as heed train --task classify makes it",
                         j->model_path);
    TRY(model_open_text(m, j->model_path, error));
    TRY(open_names(j, error));
    j->scores = calloc((size_t)j->classes, sizeof *j->scores);
    j->chance = calloc((size_t)j->classes, sizeof *j->chance);
    return j->scores && j->chance ? HEED_OK : error_memory(error);
}

/* ---- a text ---- */

/* Tokens of a text, as many as fit. */
static int32_t encode(job *j, const char *text, size_t n, id_list *ids, heed_error *error)
{
    const int64_t bos = heed_stack_number(j->model.stack, "bos"),
                  vocab = heed_stack_number(j->model.stack, "vocab"),
                  context = heed_stack_number(j->model.stack, "context");
    char name[120];
    snprintf(name, sizeof name, "%.80s, line %lld", j->file_path, (long long)j->lines + 1);
    if (j->model.tokenizer) {
        TRY(model_encode(&j->model, name, text, n, 1, 0, ids, error));
        if (context > 0 && ids->n > (size_t)context) { /* once more, with what ends a text */
            ids->n = 0, j->cut++;
            TRY(model_encode(&j->model, name, text, n, 1, (size_t)context, ids, error));
        }
    } else {
        if (bos >= 0) id_list_put(ids, (int32_t)bos);
        for (size_t i = 0; i < n; i++) {
            const unsigned char byte = (unsigned char)text[i];
            if (byte >= vocab)
                return error_set(error, HEED_E_DATA,
                                 "%s: has the byte %d, but the network has those from 0 to %lld",
                                 name, byte, (long long)vocab - 1);
            id_list_put(ids, byte);
        }
    }
    if (ids->failed) return error_memory(error);
    if (!ids->n) return error_set(error, HEED_E_DATA, "%s: is empty", name);
    if (context > 0 && ids->n > (size_t)context) ids->n = (size_t)context, j->cut++;
    return HEED_OK;
}

static int64_t likeliest(const job *j)
{
    int64_t best = 0;
    for (int64_t c = 1; c < j->classes; c++)
        if (j->scores[c] > j->scores[best]) best = c;
    return best;
}

/* Softmax of the scores. */
static void find_chances(job *j)
{
    const double most = (double)j->scores[likeliest(j)];
    double sum = 0;
    for (int64_t c = 0; c < j->classes; c++) sum += j->chance[c] = exp((double)j->scores[c] - most);
    for (int64_t c = 0; c < j->classes; c++) j->chance[c] /= sum;
}

static const char *name_of(const job *j, int64_t c)
{
    return json_string_value(json_array_get(j->names, (size_t)c));
}

static void print(const job *j)
{
    const int64_t best = likeliest(j);
    if (j->json) {
        json_t *line = json_pack("{s:s, s:f}", "class", name_of(j, best), "probability",
                                 j->chance[best]),
               *all = json_object();
        for (int64_t c = 0; c < j->classes; c++)
            json_object_set_new(all, name_of(j, c), json_real(j->chance[c]));
        if (j->all) json_object_set(line, "probabilities", all);
        json_dumpf(line, stdout, JSON_COMPACT);
        json_decref(line), json_decref(all);
    } else {
        printf("%s\t%.4f", name_of(j, best), j->chance[best]);
        for (int64_t c = 0; j->all && c < j->classes; c++)
            printf("\t%s %.4f", name_of(j, c), j->chance[c]);
    }
    putchar('\n');
}

static int32_t classify(job *j, const char *text, size_t n, heed_error *error)
{
    id_list ids = {0};
    int32_t failed = encode(j, text, n, &ids, error);
    if (!failed) failed = heed_session_reset(j->model.session, error);
    if (!failed)
        failed = heed_session_feed(j->model.session, ids.at, (int64_t)ids.n, j->scores, 1, error);
    free(ids.at);
    if (failed) return failed;
    find_chances(j);
    print(j);
    return HEED_OK;
}

/* ---- lines ---- */

/* Whether the label of a line is the class that was found. */
static void compare(job *j, const json_t *label)
{
    const char *found = name_of(j, likeliest(j));
    char number[32];
    if (!json_is_string(label) && !json_is_integer(label)) return;
    snprintf(number, sizeof number, "%lld", (long long)json_integer_value(label));
    j->labelled++;
    j->right += !strcmp(found, json_is_string(label) ? json_string_value(label) : number);
}

static int32_t classify_object(job *j, const char *line, size_t n, heed_error *error)
{
    json_t *all = json_loadb(line, n, JSON_DECODE_ANY, NULL);
    const json_t *text = json_is_object(all) ? json_object_get(all, "text") : all;
    int32_t failed = HEED_OK;
    if (!json_is_string(text))
        failed = error_set(error, HEED_E_DATA,
                           "%s: line %lld has no text: {\"text\": \"...\"} or \"...\" is right",
                           j->file_path, (long long)j->lines + 1);
    else failed = classify(j, json_string_value(text), json_string_length(text), error);
    if (!failed && json_is_object(all)) compare(j, json_object_get(all, "label"));
    json_decref(all);
    return failed;
}

static int32_t run(job *j, heed_error *error)
{
    const size_t n = strlen(j->file_path);
    const int objects = n > 6 && !strcmp(j->file_path + n - 6, ".jsonl");
    unsigned char *bytes = NULL;
    size_t length;
    int32_t failed = file_read(j->file_path, &bytes, &length, error);
    if (!failed) failed = open_model(j, error);
    const char *text = (const char *)bytes, *end = bytes ? text + length : text;
    const double begin = clock_seconds();
    for (const char *line = text, *next; !failed && line < end; line = next, j->lines++) {
        const char *newline = memchr(line, '\n', (size_t)(end - line));
        next = newline ? newline + 1 : end;
        const size_t of_line = (size_t)((newline ? newline : end) - line);
        failed = (objects ? classify_object : classify)(j, line, of_line, error);
        progress_show((double)(next - text) / (double)length, "%s", j->file_path);
    }
    progress_end();
    free(bytes);
    if (failed) return failed;
    fflush(stdout);
    fprintf(stderr, "%lld lines, %.0f lines/s", (long long)j->lines,
            (double)j->lines / (clock_seconds() - begin));
    if (j->cut) fprintf(stderr, "; %lld were cut to the context", (long long)j->cut);
    if (j->labelled)
        fprintf(stderr, "; %lld of %lld labels found, accuracy %.2f %%", (long long)j->right,
                (long long)j->labelled, 100 * (double)j->right / (double)j->labelled);
    fputs("; ", stderr);
    model_tell(&j->model, j->model_path);
    return HEED_OK;
}

int command_classify(int argc, char **argv)
{
    job j = {.engine.size = sizeof j.engine};
    heed_error error = {0};
    const int status = options_parse(argc, argv, usage, options, &j, &j.engine);
    if (status) return status;
    if (!j.model_path || !j.file_path) return options_usage("a model and a file are needed");
    const int32_t failed = run(&j, &error);
    if (j.model.engine) origin_tell(j.model.engine);
    model_close(&j.model);
    json_decref(j.names);
    free(j.scores), free(j.chance);
    return failed ? command_fail(&error) : 0;
}
