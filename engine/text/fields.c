/* SPDX-License-Identifier: MIT
 *
 * fields.c: tokenizer.json, key by key, or what a GGUF file or a file of safetensors has in its place.
 *
 * Invariant: the file is hostile; every number is bounded by who asks.
 */
#include "text/fields.h"

#include <errno.h>
#include <jansson.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "io/gguf.h"

#define SHOWN 60 /* bytes of a value in a sentence */

/* Of a file that heed train has made: its metadata has the text of the tokenizer.json. */
static json_t *inside_file(const char *path, heed_error *error)
{
    json_error_t wrong = {.text = "it has no tokenizer (heed.tokenizer): its tokens are bytes"};
    heed_weights *w = heed_weights_open(path, error);
    const char *text = w ? heed_weights_metadata(w, "heed.tokenizer") : NULL;
    json_t *root = text ? json_loads(text, JSON_ALLOW_NUL, &wrong) : NULL;
    if (w && !json_is_object(root)) {
        json_decref(root), root = NULL;
        error_set(error, HEED_E_DATA, "%s: %.120s", path, wrong.text);
    }
    heed_weights_close(w);
    return root;
}

static int is_safetensors(const char *path)
{
    const size_t n = strlen(path), end = strlen(".safetensors");
    return n > end && !strcmp(path + n - end, ".safetensors");
}

int32_t fields_open(fields *f, const char *folder, heed_error *error)
{
    json_error_t wrong;
    *f = (fields){.error = error};
    if (is_safetensors(folder)) {
        if (!(f->path = strdup(folder))) return f->failed = error_memory(error);
        f->root = inside_file(folder, error);
        return f->root ? HEED_OK : (f->failed = error->code);
    }
    if (gguf_is(folder)) {
        if (!(f->path = strdup(folder))) return f->failed = error_memory(error);
        f->root = gguf_tokenizer(folder, error);
        return f->root ? HEED_OK : (f->failed = error->code);
    }
    if (asprintf(&f->path, "%s/tokenizer.json", folder) < 0)
        return f->path = NULL, f->failed = error_memory(error);
    FILE *file = fopen(f->path, "rb");
    if (!file)
        return f->failed = error_set(error, HEED_E_SYSTEM, "%s: cannot be opened: %s", f->path,
                                     strerror(errno));
    f->root = json_loadf(file, JSON_ALLOW_NUL, &wrong);
    fclose(file);
    if (!f->root)
        return f->failed = error_set(error, HEED_E_DATA, "%s: line %d: %.120s", f->path, wrong.line,
                                     wrong.text);
    if (json_is_object(f->root)) return HEED_OK;
    return f->failed = error_set(error, HEED_E_DATA, "%s: is no object of keys", f->path);
}

void fields_close(fields *f)
{
    json_decref(f->root);
    free(f->path);
}

field field_root(fields *f) { return (field){.of = f, .value = f->root}; }

field field_key(const field *in, const char *key)
{
    field f = {.of = in->of, .value = json_object_get(in->value, key)};
    if (json_is_null(f.value)) f.value = NULL;
    snprintf(f.where, sizeof f.where, "%.70s%s%.24s", in->where, *in->where ? "." : "", key);
    return f;
}

field field_item(const field *in, size_t index)
{
    field f = {.of = in->of, .value = json_array_get(in->value, index)};
    snprintf(f.where, sizeof f.where, "%.70s[%zu]", in->where, index);
    return f;
}

size_t field_count(const field *in) { return json_array_size(in->value); }

size_t field_list(const field *in)
{
    if (!json_is_array(in->value)) field_wrong(in, "a list is right");
    return in->of->failed ? 0 : json_array_size(in->value);
}

void field_wrong(const field *f, const char *format, ...)
{
    char right[256];
    va_list args;
    if (f->of->failed) return;
    va_start(args, format);
    vsnprintf(right, sizeof right, format, args);
    va_end(args);
    char *text = f->value ? json_dumps(f->value, JSON_ENCODE_ANY | JSON_COMPACT | JSON_ENSURE_ASCII)
                          : strdup("absent");
    f->of->failed =
        !text ? error_memory(f->of->error)
              : error_set(f->of->error, HEED_E_DATA, "%s: \"%s\" is %.*s%s, but %s", f->of->path,
                          f->where, SHOWN, text, strlen(text) > SHOWN ? "..." : "", right);
    free(text);
}

void field_no_memory(const field *f)
{
    if (!f->of->failed) f->of->failed = error_memory(f->of->error);
}

const char *field_as_text(const field *f, size_t *n)
{
    if (!json_is_string(f->value)) field_wrong(f, "a text is right");
    *n = f->of->failed ? 0 : json_string_length(f->value);
    return f->of->failed ? "" : json_string_value(f->value);
}

int64_t field_as_int(const field *f, int64_t min, int64_t max)
{
    const json_int_t x = json_integer_value(f->value);
    if (!json_is_integer(f->value) || x < min || x > max)
        field_wrong(f, "a whole number from %lld to %lld is right", (long long)min, (long long)max);
    return f->of->failed ? min : x;
}

double field_as_real(const field *f)
{
    if (!json_is_number(f->value)) field_wrong(f, "a number is right");
    return f->of->failed ? 0 : json_number_value(f->value);
}

const char *field_text(const field *in, const char *key, const char *usual, size_t *n)
{
    const field f = field_key(in, key);
    if (f.value || !usual) return field_as_text(&f, n);
    *n = strlen(usual);
    return usual;
}

const char *field_word(const field *in, const char *key, const char *usual)
{
    size_t n;
    return field_text(in, key, usual, &n);
}

int field_flag(const field *in, const char *key, int usual)
{
    const field f = field_key(in, key);
    if (f.value && !json_is_boolean(f.value)) field_wrong(&f, "true or false is right");
    return f.value && !in->of->failed ? json_is_true(f.value) : usual;
}

int64_t field_int(const field *in, const char *key, int64_t min, int64_t max, int64_t usual)
{
    const field f = field_key(in, key);
    return f.value ? field_as_int(&f, min, max) : usual;
}

int field_choice(const field *in, const char *key, const char *usual, const char *right)
{
    const char *word = field_word(in, key, usual);
    const size_t length = strlen(word);
    int which = 0;
    for (const char *at = right; *at; which++) {
        const size_t n = strcspn(at, ",");
        if (n == length && !memcmp(at, word, n)) return which;
        at += n + strspn(at + n, ", ");
    }
    const field f = field_key(in, key);
    field_wrong(&f, "what is read is %s", right);
    return 0;
}
