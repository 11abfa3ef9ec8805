/* SPDX-License-Identifier: MIT
 *
 * safetensors.c: named tensors from a safetensors file: https://huggingface.co/docs/safetensors,
 * "Format"
 *
 *     8 bytes: n, little-endian | n bytes: JSON {name: {dtype, shape, data_offsets: [begin, end]}}
 * | data
 *
 * Not for files in shards, which are a checkpoint's (checkpoint.c). Tensors are views of the mapped
 * file. It is hostile until opened: after that every tensor lies within the file, has as many bytes as
 * its shape says, overlaps no other and is aligned to its element.
 */
#include "base/error.h"
#include "base/saved.h"
#include "io/mapped.h"
#include "io/weights.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define HEADER_MAX 100000000 /* bytes; the limit of the safetensors library */
#define SHOWN 80             /* bytes of a name that an error shows */

static const char types[HEED_DTYPES][5] = {
    [HEED_F32] = "F32", [HEED_F16] = "F16", [HEED_BF16] = "BF16", [HEED_I8] = "I8",
    [HEED_U8] = "U8",   [HEED_I32] = "I32", [HEED_I64] = "I64",   [HEED_F64] = "F64",
};

const char *weights_type(uint32_t dtype)
{
    return dtype == HEED_Q8_0 ? "Q8_0" : dtype == HEED_Q4_0 ? "Q4_0" : types[dtype];
}

typedef struct reader {
    heed_weights *w;
    int64_t data, room;  /* offset and bytes of the data */
    const char *path;
    heed_error *error;
} reader;

/* Bytes of the control character (C0, DEL, C1) that the UTF-8 at p starts with; 0 if it is another
 * one. */
static size_t control(const char *p)
{
    const unsigned char *u = (const unsigned char *)p;
    if (u[0] < ' ' || u[0] == 0x7F) return 1;
    return u[0] == 0xC2 && u[1] >= 0x80 && u[1] < 0xA0 ? 2 : 0;
}

/* At most SHOWN bytes of a text in UTF-8, with '?' for what would trouble a terminal. */
static const char *show(char to[SHOWN + 4], const char *text)
{
    size_t n = strlen(text), keep = n > SHOWN ? SHOWN : n;
    /* not inside a character */
    while (keep < n && keep > 0 && ((unsigned char)text[keep] & 0xC0) == 0x80) keep--;
    memcpy(to, text, keep);
    strcpy(to + keep, keep < n ? "..." : "");
    for (char *p = to; *p; p++) memset(p, '?', control(p));
    return to;
}

static int32_t bad_tensor(const reader *r, int32_t code, const char *name, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

/* "PATH: tensor 'NAME' " and the rest of the sentence. */
static int32_t bad_tensor(const reader *r, int32_t code, const char *name, const char *format, ...)
{
    char shown[SHOWN + 4], rest[256];
    va_list args;
    va_start(args, format);
    vsnprintf(rest, sizeof rest, format, args);
    va_end(args);
    return error_set(r->error, code, "%s: tensor '%s' %s", r->path, show(shown, name), rest);
}

static int32_t read_dtype(const reader *r, const char *name, const json_t *info, uint32_t *dtype)
{
    char shown[SHOWN + 4];
    const char *type = json_string_value(json_object_get(info, "dtype"));
    if (!type) return bad_tensor(r, HEED_E_DATA, name, "has no dtype");
    for (*dtype = 0; *dtype < HEED_DTYPES; ++*dtype)
        if (!strcmp(type, types[*dtype])) return HEED_OK;
    return bad_tensor(
        r, HEED_E_UNSUPPORTED, name,
        "has dtype '%s', which is not read; F32, F16, BF16, F64, I8, U8, I32 and I64 are",
        show(shown, type));
}

/* An array of at most `max` integers that are not negative; how many, or -1. */
static int read_sizes(const json_t *array, int64_t *to, size_t max)
{
    size_t n = json_array_size(array);
    if (!json_is_array(array) || n > max) return -1;
    for (size_t i = 0; i < n; i++) {
        const json_t *number = json_array_get(array, i);
        to[i] = json_integer_value(number);
        if (!json_is_integer(number) || to[i] < 0) return -1;
    }
    return (int)n;
}

static int32_t read_item(const reader *r, const char *name, const json_t *info, weights_item *to)
{
    int64_t dim[HEED_MAX_RANK], at[2];
    uint32_t dtype;
    for (const char *p = name; *p; p++)
        if (control(p))
            return bad_tensor(r, HEED_E_DATA, name, "has control characters in its name");
    if (!json_is_object(info))
        return bad_tensor(r, HEED_E_DATA, name, "is no object with dtype, shape and data_offsets");
    int32_t failed = read_dtype(r, name, info, &dtype);
    if (failed) return failed;
    int rank = read_sizes(json_object_get(info, "shape"), dim, HEED_MAX_RANK);
    if (rank < 0)
        return bad_tensor(r, HEED_E_DATA, name, "has no shape, a list of up to %d sizes",
                          HEED_MAX_RANK);
    if (read_sizes(json_object_get(info, "data_offsets"), at, 2) != 2)
        return bad_tensor(r, HEED_E_DATA, name,
                          "has no data_offsets, the two numbers begin and end");
    *to = (weights_item){.name = name,
                         .tensor = heed_tensor_of(NULL, dtype, rank, dim),
                         .begin = at[0],
                         .end = at[1]};
    if (heed_tensor_elements(&to->tensor) < 0)
        return bad_tensor(r, HEED_E_DATA, name, "has a shape that no memory can hold");
    if (at[0] > at[1] || at[1] > r->room)
        return bad_tensor(r, HEED_E_DATA, name, "has data_offsets %" PRId64 " and %" PRId64
                          ", and the file has %" PRId64 " bytes of data", at[0], at[1], r->room);
    if (to->tensor.bytes != (uint64_t)(at[1] - at[0]))
        return bad_tensor(r, HEED_E_DATA, name,
                          "has a shape of %" PRIu64 " bytes, and data_offsets for %" PRId64,
                          to->tensor.bytes, at[1] - at[0]);
    return HEED_OK;
}

/* Points the tensor at its bytes in the file, or at an aligned copy of them. */
static int32_t place_item(const reader *r, weights_item *i)
{
    unsigned char *data = r->w->map + r->data + i->begin;
    if ((r->data + i->begin) % heed_dtype_bytes(i->tensor.dtype) == 0) {
        i->tensor.data = data;
        return HEED_OK;
    }
    int32_t failed = heed_tensor_alloc(&i->tensor, r->error);
    if (failed) return failed;
    i->copy = i->tensor.data;
    memcpy(i->copy, data, (size_t)i->tensor.bytes);
    return HEED_OK;
}

static int32_t check_metadata(const reader *r, json_t *metadata)
{
    const char *key;
    json_t *value;
    if (metadata && !json_is_object(metadata))
        return error_set(r->error, HEED_E_DATA, "%s: __metadata__ is no object", r->path);
    json_object_foreach(metadata, key, value)
        if (!json_is_string(value)) {
            char shown[SHOWN + 4];
            return error_set(r->error, HEED_E_DATA, "%s: __metadata__ entry '%s' is no string",
                             r->path, show(shown, key));
        }
    return HEED_OK;
}

static int by_place(const void *a, const void *b)
{
    const weights_item *x = a, *y = b;
    return x->begin != y->begin ? (x->begin < y->begin ? -1 : 1)
                                : (x->end > y->end) - (x->end < y->end);
}

static int32_t check_overlap(const reader *r)
{
    const heed_weights *w = r->w;
    const weights_item *last = NULL; /* the one before, tensors without bytes left out */
    if (w->count) qsort(w->items, w->count, sizeof *w->items, by_place);
    for (const weights_item *i = w->items; i < w->items + w->count; i++) {
        if (i->begin == i->end) continue;
        if (i->begin > (last ? last->end : 0))
            return bad_tensor(r, HEED_E_DATA, i->name,
                              "begins %" PRId64 " bytes behind what is before it; the tensors "
                              "must follow one another",
                              i->begin - (last ? last->end : 0));
        if (last && i->begin < last->end) {
            char shown[SHOWN + 4];
            return bad_tensor(r, HEED_E_DATA, i->name, "overlaps tensor '%s'",
                              show(shown, last->name));
        }
        last = i;
    }
    if (r->room > (last ? last->end : 0))
        return error_set(r->error, HEED_E_DATA,
                         "%s: the last %" PRId64 " of its bytes belong to no tensor", r->path,
                         r->room - (last ? last->end : 0));
    return HEED_OK;
}

static int32_t read_items(const reader *r)
{
    heed_weights *w = r->w;
    const char *name;
    json_t *info, *metadata = json_object_get(w->header, "__metadata__");
    int32_t failed = check_metadata(r, metadata);
    if (failed) return failed;
    size_t n = json_object_size(w->header) - (metadata != NULL);
    w->items = calloc(n + 1, sizeof *w->items);
    if (!w->items) return error_memory(r->error);
    json_object_foreach(w->header, name, info) {
        if (info == metadata) continue;
        failed = read_item(r, name, info, &w->items[w->count]);
        if (failed) return failed;
        w->count++;
    }
    /* before anything is copied: the copies are then no larger than the file */
    failed = check_overlap(r);
    for (uint32_t i = 0; !failed && i < w->count; i++) failed = place_item(r, &w->items[i]);
    if (failed) return failed;
    if (w->count) qsort(w->items, w->count, sizeof *w->items, weights_by_name);
    return HEED_OK;
}

static int32_t read_file(reader *r)
{
    heed_weights *w = r->w;
    uint64_t length = 0;
    if (w->size < 8)
        return error_set(r->error, HEED_E_DATA,
                         "%s: cut short, or not a safetensors file: the header's length takes "
                         "8 bytes, and %zu are there",
                         r->path, w->size);
    for (int i = 7; i >= 0; i--) length = length << 8 | w->map[i];
    if (length > w->size - 8)
        return error_set(r->error, HEED_E_DATA,
                         "%s: cut short, or not a safetensors file: the header should have "
                         "%" PRIu64 " bytes, and %zu are there",
                         r->path, length, w->size - 8);
    if (length > HEADER_MAX)
        return error_set(r->error, HEED_E_DATA,
                         "%s: a header of %" PRIu64 " bytes is longer than the %d allowed", r->path,
                         length, HEADER_MAX);
    r->data = 8 + (int64_t)length;
    r->room = (int64_t)w->size - r->data;
    json_error_t wrong;
    w->header =
        json_loadb((const char *)w->map + 8, (size_t)length, JSON_REJECT_DUPLICATES, &wrong);
    /* "": no memory */
    if (!w->header && (!wrong.text[0] || json_error_code(&wrong) == json_error_out_of_memory))
        return error_memory(r->error);
    if (!w->header) {
        char shown[SHOWN + 4];
        return error_set(r->error, HEED_E_DATA,
                         "%s: damaged, or not a safetensors file: JSON header, byte %d: %s",
                         r->path, wrong.position, show(shown, wrong.text));
    }
    if (!json_is_object(w->header))
        return error_set(r->error, HEED_E_DATA,
                         "%s: not a safetensors file: its JSON header is no object", r->path);
    return read_items(r);
}

heed_weights *safetensors_open(const char *path, heed_error *error)
{
    reader r = {.w = calloc(1, sizeof *r.w), .path = path, .error = error};
    if (!r.w) {
        error_memory(error);
        return NULL;
    }
    if (mapped_open(path, "safetensors", &r.w->map, &r.w->size, error) || read_file(&r)) {
        heed_weights_close(r.w);
        return NULL;
    }
    return r.w;
}
