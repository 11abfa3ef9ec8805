/* SPDX-License-Identifier: MIT
 *
 * train_text.c: what heed train learns as many documents: the files of a folder and those inside, in
 * the order of their names, and the lines of JSONL files, {"text": "..."} or "...". Between two of
 * them stands the token that texts begin with, if the network has one.
 */
#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/error.h"
#include "command/file.h"
#include "command/train.h"

#define DEPTH 32 /* of folders in folders */

typedef struct reader {
    train_data *data;
    int64_t bos, room, document_room;
    id_list ids; /* of one document */
    heed_error *error;
} reader;

/* Room for some elements more; 0: there is none. */
static int grow(void *array, int64_t *room, int64_t needed, size_t size)
{
    void *old, *larger;
    int64_t now = *room ? *room : 4096;
    if (needed <= *room) return 1;
    while (now < needed) now *= 2;
    memcpy(&old, array, sizeof old);
    if (!(larger = reallocarray(old, (size_t)now, size))) return 0;
    memcpy(array, &larger, sizeof larger);
    *room = now;
    return 1;
}

static int32_t add_document(reader *r, const char *path, const unsigned char *bytes, size_t n)
{
    train_data *d = r->data;
    if (d->tokens) {
        r->ids.n = 0;
        TRY(train_tokens_encode(d->tokens, path, bytes, n, 0, d->vocab, 0, &r->ids, r->error));
        n = r->ids.n;
    }
    if (!n) return HEED_OK;
    if (!grow(&d->ids, &r->room, d->n + (int64_t)n + 1, sizeof *d->ids) ||
        !grow(&d->documents, &r->document_room, d->n_documents + 1, sizeof *d->documents))
        return error_memory(r->error);
    if (d->n_documents && r->bos >= 0) d->ids[d->n++] = (int32_t)r->bos;
    d->documents[d->n_documents++] = d->n;
    for (size_t i = 0; i < n; i++) d->ids[d->n++] = d->tokens ? r->ids.at[i] : bytes[i];
    return HEED_OK;
}

static int ends_with(const char *path, const char *end)
{
    const size_t n = strlen(path), m = strlen(end);
    return n > m && !strcmp(path + n - m, end);
}

static int32_t read_line(reader *r, const char *path, int64_t number, const unsigned char *line,
                         size_t n)
{
    json_error_t why = {.text = "it is another kind of value"};
    json_t *value = json_loadb((const char *)line, n, JSON_DECODE_ANY, &why);
    const json_t *text = json_is_object(value) ? json_object_get(value, "text") : value;
    int32_t failed = HEED_OK;
    if (!json_is_string(text))
        failed = error_set(r->error, HEED_E_DATA,
                           "%s: line %lld has no text: {\"text\": \"...\"} or \"...\" is right%s%s",
                           path, (long long)number, value ? "" : "; ", value ? "" : why.text);
    else
        failed = add_document(r, path, (const unsigned char *)json_string_value(text),
                              json_string_length(text));
    json_decref(value);
    return failed;
}

static int32_t read_lines(reader *r, const char *path, const unsigned char *bytes, size_t n)
{
    int64_t number = 1;
    int32_t failed = HEED_OK;
    for (size_t from = 0, to; from < n && !failed; from = to + 1, number++) {
        for (to = from; to < n && bytes[to] != '\n';) to++;
        size_t first = from;
        while (first < to && strchr(" \t\r", bytes[first])) first++;
        if (first < to) failed = read_line(r, path, number, bytes + from, to - from);
    }
    return failed;
}

static int32_t read_file(reader *r, const char *path)
{
    unsigned char *bytes;
    size_t n;
    TRY(file_read(path, &bytes, &n, r->error));
    const int32_t failed =
        ends_with(path, ".jsonl") ? read_lines(r, path, bytes, n) : add_document(r, path, bytes, n);
    free(bytes);
    return failed;
}

static int by_name(const struct dirent **a, const struct dirent **b)
{
    return strcmp((*a)->d_name, (*b)->d_name); /* the same order in every locale */
}

static int is_shown(const struct dirent *item) { return item->d_name[0] != '.'; }

static int32_t read_folder(reader *r, const char *path, int depth)
{
    struct dirent **list;
    int32_t failed = HEED_OK;
    if (!depth)
        return error_set(r->error, HEED_E_DATA, "%.200s: more than %d folders inside each other",
                         path, DEPTH);
    const int n = scandir(path, &list, is_shown, by_name);
    if (n < 0) return error_set(r->error, HEED_E_SYSTEM, "%.200s: %s", path, strerror(errno));
    for (int i = 0; i < n; i++) {
        struct stat s;
        char *name = NULL;
        if (!failed && asprintf(&name, "%s/%s", path, list[i]->d_name) < 0)
            name = NULL, failed = error_memory(r->error);
        if (!failed && stat(name, &s))
            failed = error_set(r->error, HEED_E_SYSTEM, "%.200s: %s", name, strerror(errno));
        else if (!failed && S_ISDIR(s.st_mode)) failed = read_folder(r, name, depth - 1);
        else if (!failed && S_ISREG(s.st_mode)) failed = read_file(r, name);
        free(name), free(list[i]);
    }
    free(list);
    return failed;
}

int32_t train_text_read(train_data *d, int64_t bos, heed_error *error)
{
    struct stat s;
    reader r = {.data = d, .bos = bos, .error = error};
    const int folder = !stat(d->path, &s) && S_ISDIR(s.st_mode);
    int32_t failed = folder                         ? read_folder(&r, d->path, DEPTH)
                     : ends_with(d->path, ".jsonl") ? read_file(&r, d->path)
                                                    : HEED_OK;
    free(r.ids.at);
    if (!failed && folder && !d->documents)
        failed = error_set(error, HEED_E_DATA, "%.200s: no file in it has text", d->path);
    return failed;
}
