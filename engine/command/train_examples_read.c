/* SPDX-License-Identifier: MIT
 *
 * train_examples_read.c: what heed train learns as examples, from a file or a folder:
 *
 *     classify    {"text": "...", "label": ...} a line, or FOLDER/CLASS/FILE
 *     pairs       {"source": "...", "target": "..."} a line, or source TAB target a line
 *
 * A class is what its label or its folder is called; classes are numbered in the order of their names.
 */
#include <dirent.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/error.h"
#include "base/grow.h"
#include "base/saved.h"
#include "command/file.h"
#include "command/train.h"

typedef struct reader {
    train_examples *x;
    uint32_t task;
    const char *path; /* of the file that is read */
    int64_t line;
    heed_error *error;
} reader;

/* "FILE: line 3 is ..." */
static int32_t __attribute__((format(printf, 2, 3))) wrong(const reader *r, const char *format, ...)
{
    char why[400];
    va_list list;
    va_start(list, format);
    vsnprintf(why, sizeof why, format, list);
    va_end(list);
    return error_set(r->error, HEED_E_DATA, "%.200s: line %lld %s", r->path, (long long)r->line,
                     why);
}

/* ---- what is kept ---- */

static int32_t keep_bytes(reader *r, const void *bytes, size_t n, train_bytes *kept)
{
    train_examples *x = r->x;
    int64_t room = x->bytes_room ? x->bytes_room : 65536;
    while (room < x->n_bytes + (int64_t)n) room *= 2;
    if (room != x->bytes_room) {
        unsigned char *larger = realloc(x->bytes, (size_t)room);
        if (!larger) return error_memory(r->error);
        x->bytes = larger, x->bytes_room = room;
    }
    *kept = (train_bytes){x->n_bytes, (int64_t)n};
    memcpy(x->bytes + x->n_bytes, bytes, n);
    x->n_bytes += (int64_t)n;
    return HEED_OK;
}

static int32_t keep_example(reader *r, train_example e)
{
    train_examples *x = r->x;
    if (x->n == x->room) {
        const int64_t room = x->room ? 2 * x->room : 1024;
        train_example *larger = reallocarray(x->items, (size_t)room, sizeof *larger);
        if (!larger) return error_memory(r->error);
        x->items = larger, x->room = room;
    }
    x->items[x->n++] = e;
    return HEED_OK;
}

/* The number of a class. */
static int32_t class_of(reader *r, const char *name, int64_t *label)
{
    train_examples *x = r->x;
    char *own, **slot;
    for (uint32_t c = 0; c < x->n_classes; c++)
        if (!strcmp(x->classes[c], name)) return *label = c, HEED_OK;
    if (x->fixed)
        return error_set(r->error, HEED_E_DATA,
                         "%.200s: the class \"%.64s\" is none of those that the network has",
                         r->path, name);
    if (!(own = strdup(name))) return error_memory(r->error);
    if (!(slot = grow_append(&x->classes, &x->n_classes, sizeof *slot)))
        return free(own), error_memory(r->error);
    *slot = own;
    *label = (int64_t)x->n_classes - 1;
    return HEED_OK;
}

/* ---- lines ---- */

/* A text of a line's object; what it must be called is in the sentence. */
static int32_t text_of(reader *r, const json_t *line, const char *key, train_bytes *kept)
{
    const json_t *text = json_object_get(line, key);
    if (!json_is_string(text))
        return wrong(r, "has no text \"%s\": %s is right", key,
                     r->task == TRAIN_PAIRS ? "{\"source\": \"...\", \"target\": \"...\"}"
                                            : "{\"text\": \"...\", \"label\": ...}");
    if (!json_string_length(text)) return wrong(r, "has an empty text \"%s\"", key);
    return keep_bytes(r, json_string_value(text), json_string_length(text), kept);
}

/* A word, or a whole number, which is the word of its digits. */
static int32_t label_of(reader *r, const json_t *line, int64_t *label)
{
    const json_t *value = json_object_get(line, "label");
    char number[32];
    if (json_is_string(value)) return class_of(r, json_string_value(value), label);
    if (!json_is_integer(value))
        return wrong(r, "has no \"label\", which is a word or a whole number");
    snprintf(number, sizeof number, "%lld", (long long)json_integer_value(value));
    return class_of(r, number, label);
}

static int32_t read_object(reader *r, const char *bytes, size_t n)
{
    json_error_t why = {.text = "it is another kind of value"};
    json_t *line = json_loadb(bytes, n, JSON_DECODE_ANY, &why);
    train_example e = {0};
    int32_t failed = HEED_OK;
    if (!json_is_object(line)) failed = wrong(r, "is no object of JSON: %s", why.text);
    else if (r->task == TRAIN_PAIRS) {
        failed = text_of(r, line, "source", &e.text);
        if (!failed) failed = text_of(r, line, "target", &e.target);
    } else {
        failed = text_of(r, line, "text", &e.text);
        if (!failed) failed = label_of(r, line, &e.label);
    }
    json_decref(line);
    return failed ? failed : keep_example(r, e);
}

static int32_t read_tabs(reader *r, const char *line, size_t n)
{
    const char *tab = memchr(line, '\t', n);
    train_example e = {0};
    if (n && line[n - 1] == '\r') n--;
    if (!tab || tab == line || tab + 1 >= line + n)
        return wrong(r, "is no pair: a source, a tab and a target are right");
    TRY(keep_bytes(r, line, (size_t)(tab - line), &e.text));
    TRY(keep_bytes(r, tab + 1, (size_t)(line + n - tab - 1), &e.target));
    return keep_example(r, e);
}

static int ends_with(const char *path, const char *end)
{
    const size_t n = strlen(path), m = strlen(end);
    return n > m && !strcmp(path + n - m, end);
}

static int32_t read_lines(reader *r)
{
    unsigned char *bytes;
    size_t n;
    int32_t failed = HEED_OK;
    const int objects = !ends_with(r->path, ".tsv");
    TRY(file_read(r->path, &bytes, &n, r->error));
    r->line = 0;
    for (size_t from = 0, to; from < n && !failed; from = to + 1) {
        for (to = from; to < n && bytes[to] != '\n';) to++;
        size_t first = from;
        while (first < to && strchr(" \t\r", bytes[first])) first++;
        r->line++;
        if (first < to)
            failed = (objects ? read_object : read_tabs)(r, (const char *)bytes + from, to - from);
    }
    free(bytes);
    return failed;
}

/* ---- folders ---- */

static int is_shown(const struct dirent *item) { return item->d_name[0] != '.'; }

static int by_name(const struct dirent **a, const struct dirent **b)
{
    return strcmp((*a)->d_name, (*b)->d_name); /* the same order in every locale */
}

/* Calls `each` for what is in a folder, by the order of the names. */
static int32_t each_in(reader *r, const char *folder,
                       int32_t (*each)(reader *r, const char *path, const char *name))
{
    struct dirent **list;
    int32_t failed = HEED_OK;
    const int n = scandir(folder, &list, is_shown, by_name);
    if (n < 0) return error_set(r->error, HEED_E_SYSTEM, "%.200s: %s", folder, strerror(errno));
    for (int i = 0; i < n; i++) {
        char *path = NULL;
        if (!failed && asprintf(&path, "%s/%s", folder, list[i]->d_name) < 0)
            path = NULL, failed = error_memory(r->error);
        if (!failed) failed = each(r, path, list[i]->d_name);
        free(path), free(list[i]);
    }
    free(list);
    return failed;
}

/* A file of a class; the reader's line has the number of the class. */
static int32_t read_document(reader *r, const char *path, const char *name)
{
    unsigned char *bytes;
    size_t n;
    train_example e = {.label = r->line};
    (void)name;
    TRY(file_read(path, &bytes, &n, r->error));
    int32_t failed = n ? keep_bytes(r, bytes, n, &e.text) : HEED_OK;
    free(bytes);
    return failed || !n ? failed : keep_example(r, e);
}

static int32_t read_class(reader *r, const char *path, const char *name)
{
    struct stat s;
    int64_t label;
    if (stat(path, &s))
        return error_set(r->error, HEED_E_SYSTEM, "%.200s: %s", path, strerror(errno));
    if (!S_ISDIR(s.st_mode))
        return error_set(
            r->error, HEED_E_DATA,
            "%.200s: is no folder; in a folder of classes each is one, and their texts "
            "are files in these",
            path);
    r->path = path;
    TRY(class_of(r, name, &label));
    r->line = label;
    return each_in(r, path, read_document);
}

/* ---- all of it ---- */

/* Numbers by their size, before words by their letters. */
static int by_class(const void *a, const void *b)
{
    const char *const *x = a, *const *y = b;
    char *x_end, *y_end;
    const long long m = strtoll(*x, &x_end, 10), n = strtoll(*y, &y_end, 10);
    const int x_is = **x && !*x_end, y_is = **y && !*y_end;
    if (x_is && y_is && m != n) return m < n ? -1 : 1;
    return x_is != y_is ? y_is - x_is : strcmp(*x, *y);
}

/* Classes in the order of their names, wherever each was met first. */
static int32_t sort_classes(train_examples *x, heed_error *error)
{
    char **were = calloc((size_t)x->n_classes + 1, sizeof *were);
    if (!were) return error_memory(error);
    memcpy(were, x->classes, x->n_classes * sizeof *were);
    qsort(x->classes, x->n_classes, sizeof *x->classes, by_class);
    for (int64_t i = 0; i < x->n; i++) {
        uint32_t c = 0;
        while (x->classes[c] != were[x->items[i].label]) c++;
        x->items[i].label = c;
    }
    free(were);
    return HEED_OK;
}

int32_t train_examples_read(train_data *d, uint32_t task, heed_error *error)
{
    train_examples *x = &d->examples;
    reader r = {.x = x, .task = task, .path = d->path, .error = error};
    struct stat s;
    if (!stat(d->path, &s) && S_ISDIR(s.st_mode)) {
        if (task == TRAIN_PAIRS)
            return error_set(error, HEED_E_DATA, "%s: is a folder; pairs are lines of a file",
                             d->path);
        TRY(each_in(&r, d->path, read_class));
    } else TRY(read_lines(&r));
    if (!x->n) return error_set(error, HEED_E_DATA, "%s: has no example", d->path);
    if (task == TRAIN_CLASSIFY && !x->fixed) {
        if (x->n_classes < 2)
            return error_set(error, HEED_E_DATA,
                             "%s: all texts are of the class \"%.64s\"; two and more are right",
                             d->path, x->classes[0]);
        TRY(sort_classes(x, error));
    }
    d->hash = saved_checksum(x->items, (uint64_t)x->n * sizeof *x->items, 0);
    d->hash = saved_checksum(x->bytes, (uint64_t)x->n_bytes, d->hash);
    return HEED_OK;
}

/* One text, in the place of its bytes. */
static int32_t encode_text(train_data *d, const train_tokens *tokens, const char *what,
                           int64_t number, int special, int64_t vocab, int64_t most,
                           train_bytes *text, id_list *ids, heed_error *error)
{
    char name[160];
    const int64_t from = (int64_t)ids->n;
    snprintf(name, sizeof name, "%.100s: %s of example %lld", d->path, what, (long long)number);
    TRY(train_tokens_encode(tokens, name, d->examples.bytes + text->from, (size_t)text->n, special,
                            vocab, 0, ids, error));
    if ((int64_t)ids->n - from > most) {
        d->examples.shortened++;
        ids->n = (size_t)from;
        TRY(train_tokens_encode(tokens, name, d->examples.bytes + text->from, (size_t)text->n,
                                special, vocab, most, ids, error));
    }
    *text = (train_bytes){from, (int64_t)ids->n - from};
    return text->n ? HEED_OK : error_set(error, HEED_E_DATA, "%s has no token", name);
}

int32_t train_examples_encode(train_data *d, uint32_t task, const train_tokens *tokens,
                              int64_t vocab, int64_t source_vocab, int64_t most, heed_error *error)
{
    train_examples *x = &d->examples;
    id_list ids = {0};
    int32_t failed = HEED_OK;
    for (int64_t i = 0; i < x->n && !failed; i++) {
        const int64_t shortened = x->shortened;
        failed = encode_text(d, tokens, task == TRAIN_PAIRS ? "the source" : "the text", i + 1, 1,
                             source_vocab, most, &x->items[i].text, &ids, error);
        if (!failed && task == TRAIN_PAIRS)
            failed = encode_text(d, tokens, "the target", i + 1, 0, vocab, most - 1,
                                 &x->items[i].target, &ids, error);
        if (x->shortened > shortened) x->shortened = shortened + 1; /* of a pair one */
    }
    x->ids = ids.at;
    if (failed) return failed;
    d->hash = saved_checksum(x->items, (uint64_t)x->n * sizeof *x->items, 0);
    d->hash = saved_checksum(x->ids, ids.n * sizeof *x->ids, d->hash);
    return HEED_OK;
}

void train_examples_free(train_examples *x)
{
    free(x->ids);
    for (uint32_t c = 0; c < x->n_classes; c++) free(x->classes[c]);
    free(x->classes), free(x->bytes), free(x->items), free(x->order);
}

char *train_examples_classes(const train_examples *x)
{
    json_t *all = json_array();
    for (uint32_t c = 0; c < x->n_classes; c++)
        json_array_append_new(all, json_string(x->classes[c]));
    char *text = all ? json_dumps(all, JSON_COMPACT) : NULL;
    json_decref(all);
    return text;
}

int32_t train_examples_know(train_examples *x, const char *classes, const char *path,
                            heed_error *error)
{
    json_t *all = json_loads(classes, 0, NULL);
    reader r = {.x = x, .path = path, .error = error};
    int32_t failed = HEED_OK;
    int64_t label;
    size_t i;
    json_t *name;
    if (!json_is_array(all) || !json_array_size(all))
        failed = error_set(error, HEED_E_DATA, "%s: heed.classes is no list of names", path);
    json_array_foreach(all, i, name) if (!failed) failed =
        json_is_string(name) ? class_of(&r, json_string_value(name), &label)
                             : error_set(error, HEED_E_DATA, "%s: class %zu has no name", path, i);
    json_decref(all);
    x->fixed = 1;
    return failed;
}
