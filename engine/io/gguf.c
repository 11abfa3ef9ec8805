/* SPDX-License-Identifier: MIT
 *
 * gguf.c: the head of a GGUF file: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
 *
 *     "GGUF" | version | tensors | values | each value: key, type, value | each tensor: name, axes,
 *     sizes, type, offset | zeros up to the alignment | data
 *
 * Numbers are little-endian and stand without gaps; a text is its length and its bytes. Versions 2
 * and 3 are read, which differ in nothing but that 3 may be big-endian. The file is hostile: nothing
 * is read before it was compared with the bytes that are left, and no count is believed that these
 * could not hold.
 */
#include "io/gguf.h"

#include <inttypes.h>
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/error.h"
#include "base/grow.h"
#include "io/mapped.h"

/* The types of values. */
enum { U8, I8, U16, I16, U32, I32, F32, BOOL, TEXT, LIST, U64, I64, F64, VALUE_TYPES };
static const uint8_t widths[VALUE_TYPES] = {
    [U8] = 1,  [I8] = 1,  [U16] = 2,  [I16] = 2, [U32] = 4, [I32] = 4,
    [F32] = 4, [U64] = 8, [BOOL] = 1, [I64] = 8, [F64] = 8,
};

/* The types of tensors by their numbers; those that are read have a dtype. */
static const struct {
    const char *name;
    uint32_t dtype, is_read;
} tensor_types[] = {
    [0] = {"F32", HEED_F32, 1},   [1] = {"F16", HEED_F16, 1},    [2] = {"Q4_0", HEED_Q4_0, 1},
    [3] = {"Q4_1", 0, 0},         [6] = {"Q5_0", 0, 0},          [7] = {"Q5_1", 0, 0},
    [8] = {"Q8_0", HEED_Q8_0, 1}, [9] = {"Q8_1", 0, 0},          [10] = {"Q2_K", 0, 0},
    [11] = {"Q3_K", 0, 0},        [12] = {"Q4_K", 0, 0},         [13] = {"Q5_K", 0, 0},
    [14] = {"Q6_K", 0, 0},        [15] = {"Q8_K", 0, 0},         [16] = {"IQ2_XXS", 0, 0},
    [17] = {"IQ2_XS", 0, 0},      [18] = {"IQ3_XXS", 0, 0},      [19] = {"IQ1_S", 0, 0},
    [20] = {"IQ4_NL", 0, 0},      [21] = {"IQ3_S", 0, 0},        [22] = {"IQ2_S", 0, 0},
    [23] = {"IQ4_XS", 0, 0},      [24] = {"I8", 0, 0},           [25] = {"I16", 0, 0},
    [26] = {"I32", 0, 0},         [27] = {"I64", 0, 0},          [28] = {"F64", 0, 0},
    [29] = {"IQ1_M", 0, 0},       [30] = {"BF16", HEED_BF16, 1}, [34] = {"TQ1_0", 0, 0},
    [35] = {"TQ2_0", 0, 0},       [39] = {"MXFP4", 0, 0},
};
#define TENSOR_TYPES (sizeof tensor_types / sizeof *tensor_types)

#define KEY_MOST 65535
#define NAME_MOST 255
#define AXES_MOST 4
#define SHOWN 80 /* bytes of a name in a sentence */

int gguf_is(const char *path)
{
    const size_t n = strlen(path), end = strlen(".gguf");
    return n > end && !strcmp(path + n - end, ".gguf");
}

/* ---- bytes ---- */

typedef struct reader {
    gguf *g;
    const unsigned char *at, *end;
    int32_t failed;
} reader;

static uint64_t number(const unsigned char *at, int bytes)
{
    uint64_t x = 0;
    for (int i = bytes - 1; i >= 0; i--) x = x << 8 | at[i];
    return x;
}

/* The next n bytes; NULL: the file ends before. */
static const unsigned char *take(reader *r, uint64_t n, const char *what)
{
    const unsigned char *at = r->at;
    if (r->failed) return NULL;
    if (n > (uint64_t)(r->end - at)) {
        r->failed = error_set(r->g->error, HEED_E_DATA,
                              "%s: cut short, or damaged: %s takes %" PRIu64
                              " bytes from byte %td on, and %td are there",
                              r->g->path, what, n, at - r->g->map, r->end - at);
        return NULL;
    }
    r->at += n;
    return at;
}

static uint64_t take_number(reader *r, int bytes, const char *what)
{
    const unsigned char *at = take(r, (uint64_t)bytes, what);
    return at ? number(at, bytes) : 0;
}

/* A name of visible ASCII alone, as a new string; NULL after a failure. */
static char *take_name(reader *r, uint64_t most, const char *what)
{
    const uint64_t n = take_number(r, 8, what);
    const ptrdiff_t place = r->at - r->g->map;
    const unsigned char *at = take(r, n, what);
    if (!at) return NULL;
    int plain = n > 0 && n <= most;
    for (uint64_t i = 0; plain && i < n; i++) plain = at[i] > ' ' && at[i] < 0x7F;
    char *name = plain ? strndup((const char *)at, (size_t)n) : NULL;
    if (!plain)
        r->failed = error_set(r->g->error, HEED_E_DATA,
                              "%s: %s, at byte %td, is no name of 1 to %" PRIu64
                              " visible characters of ASCII",
                              r->g->path, what, place, most);
    else if (!name) r->failed = error_memory(r->g->error);
    return name;
}

/* ---- values ---- */

static void wrong_type(reader *r, const char *key, const char *what, uint64_t type)
{
    if (!r->failed)
        r->failed = error_set(r->g->error, HEED_E_DATA,
                              "%s: %.*s%s is of the type %" PRIu64 ", but those from 0 to %d are "
                              "known, and an array has no arrays in it",
                              r->g->path, SHOWN, key, what, type, VALUE_TYPES - 1);
}

/* Passes over `count` values one after another; 0: one is none. */
static void skip(reader *r, const char *key, uint32_t type, uint64_t count)
{
    if (type == TEXT) {
        for (uint64_t i = 0; i < count && !r->failed; i++) take(r, take_number(r, 8, key), key);
        return;
    }
    /* so many bytes are in no file */
    const unsigned char *at =
        take(r, count > UINT64_MAX / 8 ? UINT64_MAX : count * widths[type], key);
    for (uint64_t i = 0; at && type == BOOL && i < count; i++)
        if (at[i] > 1 && !r->failed)
            r->failed =
                error_set(r->g->error, HEED_E_DATA, "%s: %.*s is the byte %d, but a bool is 0 or 1",
                          r->g->path, SHOWN, key, at[i]);
}

static void read_value(reader *r)
{
    gguf_value *v = grow_append(&r->g->value, &r->g->n_values, sizeof *v);
    if (!v) {
        r->failed = error_memory(r->g->error);
        return;
    }
    if (!(v->key = take_name(r, KEY_MOST, "a key"))) return;
    v->type = (uint32_t)take_number(r, 4, v->key);
    if (v->type >= VALUE_TYPES) wrong_type(r, v->key, "", v->type);
    v->item = v->type, v->count = 1;
    if (v->type == LIST) {
        v->item = (uint32_t)take_number(r, 4, v->key);
        v->count = take_number(r, 8, v->key);
        if (v->item >= VALUE_TYPES || v->item == LIST)
            wrong_type(r, v->key, ", an array,", v->item);
    }
    if (v->type == TEXT) v->count = take_number(r, 8, v->key);
    if (r->failed) return;
    v->at = r->at;
    if (v->type == TEXT) take(r, v->count, v->key);
    else skip(r, v->key, v->item, v->count);
}

static int by_key(const void *a, const void *b)
{
    return strcmp(((const gguf_value *)a)->key, ((const gguf_value *)b)->key);
}

const gguf_value *gguf_find(const gguf *g, const char *key)
{
    const gguf_value wanted = {.key = (char *)(uintptr_t)key};
    return g->n_values ? bsearch(&wanted, g->value, g->n_values, sizeof wanted, by_key) : NULL;
}

int gguf_is_list(const gguf_value *v) { return v->type == LIST; }

/* ---- values as JSON ---- */

/* The shortest decimal that is this float32: 1e-05, not 9.9999997e-06. */
static double shortest(float x)
{
    char text[32];
    for (int digits = 1; digits <= 9; digits++) {
        snprintf(text, sizeof text, "%.*g", digits, (double)x);
        if (strtof(text, NULL) == x) return strtod(text, NULL);
    }
    return (double)x;
}

static json_t *real(double x) { return isfinite(x) ? json_real(x) : json_null(); }

/* The one at *at, which moves behind it. NULL: out of memory, or a text is no UTF-8. */
static json_t *json_at(uint32_t type, const unsigned char **at)
{
    const unsigned char *from = *at;
    float single;
    double twice;
    if (type == TEXT) {
        const uint64_t n = number(from, 8);
        *at = from + 8 + n;
        return json_stringn((const char *)from + 8, (size_t)n);
    }
    const uint64_t x = number(from, widths[type]);
    *at = from + widths[type];
    switch (type) {
    case I8: return json_integer((int8_t)x);
    case I16: return json_integer((int16_t)x);
    case I32: return json_integer((int32_t)x);
    case I64: return json_integer((int64_t)x);
    case U64: return x > INT64_MAX ? real((double)x) : json_integer((int64_t)x);
    case BOOL: return json_boolean(x);
    case F32: return memcpy(&single, from, sizeof single), real(shortest(single));
    case F64: return memcpy(&twice, from, sizeof twice), real(twice);
    default: return json_integer((int64_t)x);
    }
}

json_t *gguf_json(const gguf *g, const gguf_value *v)
{
    const unsigned char *at = v->at;
    json_t *made, *item = NULL;
    if (v->type == TEXT) made = item = json_stringn((const char *)at, (size_t)v->count);
    else if (v->type != LIST) made = item = json_at(v->type, &at);
    else made = json_array();
    for (uint64_t i = 0; v->type == LIST && made && i < v->count; i++) {
        item = json_at(v->item, &at);
        if (item && !json_array_append_new(made, item)) continue;
        json_decref(made);
        made = NULL;
    }
    if (made) return made;
    if (v->item == TEXT && !item)
        error_set(g->error, HEED_E_DATA, "%s: %.*s has a text that is no UTF-8", g->path, SHOWN,
                  v->key);
    else error_memory(g->error);
    return NULL;
}

/* ---- tensors ---- */

static void wrong_tensor(reader *r, const gguf_tensor *t, const char *rest)
{
    if (!r->failed)
        r->failed = error_set(r->g->error, HEED_E_DATA, "%s: tensor '%.*s' %s", r->g->path, SHOWN,
                              t->name, rest);
}

static void read_type(reader *r, gguf_tensor *t, uint32_t type)
{
    const char *name = type < TENSOR_TYPES ? tensor_types[type].name : NULL;
    if (r->failed) return;
    if (!name) wrong_tensor(r, t, "is of a type that is not known");
    else if (!tensor_types[type].is_read)
        r->failed =
            error_set(r->g->error, HEED_E_UNSUPPORTED,
                      "%s: tensor '%.*s' is of the type %s, which is not read; F32, F16, BF16, "
                      "Q8_0 and Q4_0 are",
                      r->g->path, SHOWN, t->name, name);
    else t->dtype = tensor_types[type].dtype;
}

static void read_tensor(reader *r, uint64_t alignment)
{
    char text[120];
    uint64_t size[AXES_MOST] = {0};
    gguf_tensor *t = grow_append(&r->g->tensor, &r->g->n_tensors, sizeof *t);
    if (!t) {
        r->failed = error_memory(r->g->error);
        return;
    }
    if (!(t->name = take_name(r, NAME_MOST, "the name of a tensor"))) return;
    const uint64_t rank = take_number(r, 4, t->name);
    if (rank < 1 || rank > AXES_MOST) wrong_tensor(r, t, "has no 1 to 4 axes");
    for (uint64_t i = 0; i < rank && !r->failed; i++) size[i] = take_number(r, 8, t->name);
    const uint64_t type = take_number(r, 4, t->name);
    t->begin = take_number(r, 8, t->name);
    read_type(r, t, (uint32_t)type);
    if (r->failed) return;
    t->rank = (int32_t)rank;
    /* theirs begins with the axis of neighbours */
    for (int i = 0; i < t->rank; i++) {
        t->dim[t->rank - 1 - i] = (int64_t)size[i];
        if (!size[i] || size[i] > INT64_MAX) wrong_tensor(r, t, "has an axis of no size");
    }
    const heed_tensor whole = heed_tensor_of(NULL, t->dtype, t->rank, t->dim);
    t->bytes = whole.bytes;
    if (!whole.bytes)
        wrong_tensor(r, t,
                     "has a shape that no memory can hold, or rows that are no whole blocks of 32");
    if (t->begin % alignment) {
        snprintf(text, sizeof text,
                 "begins at byte %" PRIu64 " of the data, which the alignment, %" PRIu64
                 ", does not divide",
                 t->begin, alignment);
        wrong_tensor(r, t, text);
    }
}

static int by_place(const void *a, const void *b)
{
    const gguf_tensor *x = a, *y = b;
    return x->begin != y->begin ? (x->begin < y->begin ? -1 : 1) : strcmp(x->name, y->name);
}

/* Each within the data, none over another. */
static void check_places(reader *r)
{
    gguf *g = r->g;
    const uint64_t room = g->size - g->data;
    char text[160];
    if (r->failed || !g->n_tensors) return;
    qsort(g->tensor, g->n_tensors, sizeof *g->tensor, by_place);
    for (uint32_t i = 0; i < g->n_tensors; i++) {
        const gguf_tensor *t = &g->tensor[i], *next = i + 1 < g->n_tensors ? t + 1 : NULL;
        if (t->begin > room || t->bytes > room - t->begin) {
            snprintf(text, sizeof text,
                     "takes %" PRIu64 " bytes from byte %" PRIu64
                     " of the data on, which has %" PRIu64 ": the file is cut short, or damaged",
                     t->bytes, t->begin, room);
            wrong_tensor(r, t, text);
        } else if (next && next->begin - t->begin < t->bytes) {
            snprintf(text, sizeof text, "overlaps tensor '%.*s'", SHOWN, next->name);
            wrong_tensor(r, t, text);
        }
    }
}

/* ---- the file ---- */

static void read_start(reader *r, uint64_t *tensors, uint64_t *values)
{
    const unsigned char *magic = take(r, 4, "the word GGUF");
    if (magic && memcmp(magic, "GGUF", 4))
        r->failed = error_set(r->g->error, HEED_E_DATA,
                              "%s: not a GGUF file: it does not begin with that word", r->g->path);
    const uint64_t version = take_number(r, 4, "the version");
    if (!r->failed && version != 2 && version != 3)
        r->failed =
            error_set(r->g->error, HEED_E_UNSUPPORTED,
                      "%s: its version is %" PRIu64 "%s, but 2 and 3 are read", r->g->path, version,
                      version && !(version & 0xFFFFFF) ? ", of a big-endian file" : "");
    *tensors = take_number(r, 8, "the number of tensors");
    *values = take_number(r, 8, "the number of keys");
    /* each takes so many bytes at least */
    const uint64_t left = (uint64_t)(r->end - r->at);
    if (!r->failed && (*tensors > left / 32 || *values > left / 13))
        r->failed = error_set(r->g->error, HEED_E_DATA,
                              "%s: cut short, or damaged: %" PRIu64 " tensors and %" PRIu64
                              " keys are said to be in %" PRIu64 " bytes",
                              r->g->path, *tensors, *values, left);
}

/* A power of two, so that each element's address is a multiple of its size. */
static uint64_t read_alignment(reader *r)
{
    const gguf_value *v = r->failed ? NULL : gguf_find(r->g, "general.alignment");
    const uint64_t n = !v ? 32 : v->type == U32 ? number(v->at, 4) : 0;
    if (!r->failed && (n < 8 || n > 1 << 20 || (n & (n - 1))))
        r->failed = error_set(r->g->error, HEED_E_DATA,
                              "%s: general.alignment is no power of two from 8 to %d of the type 4",
                              r->g->path, 1 << 20);
    return n;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const gguf_tensor *)a)->name, ((const gguf_tensor *)b)->name);
}

/* Both are sorted for that. */
static void check_names(reader *r)
{
    gguf *g = r->g;
    if (r->failed) return;
    if (g->n_tensors) qsort(g->tensor, g->n_tensors, sizeof *g->tensor, by_name);
    for (uint32_t i = 1; i < g->n_tensors; i++)
        if (!by_name(&g->tensor[i - 1], &g->tensor[i]))
            wrong_tensor(r, &g->tensor[i], "is there twice");
    for (uint32_t i = 1; i < g->n_values && !r->failed; i++)
        if (!by_key(&g->value[i - 1], &g->value[i]))
            r->failed = error_set(g->error, HEED_E_DATA, "%s: the key %.*s is there twice", g->path,
                                  SHOWN, g->value[i].key);
}

int32_t gguf_open(gguf *g, const char *path, heed_error *error)
{
    uint64_t tensors = 0, values = 0;
    *g = (gguf){.path = path, .error = error};
    TRY(mapped_open(path, "GGUF", &g->map, &g->size, error));
    reader r = {.g = g, .at = g->map, .end = g->map + g->size};
    read_start(&r, &tensors, &values);
    for (uint64_t i = 0; i < values && !r.failed; i++) read_value(&r);
    if (r.failed) return r.failed;
    if (g->n_values) qsort(g->value, g->n_values, sizeof *g->value, by_key);
    const uint64_t alignment = read_alignment(&r);
    for (uint64_t i = 0; i < tensors && !r.failed; i++) read_tensor(&r, alignment);
    if (r.failed) return r.failed;
    g->data = ((uint64_t)(r.at - g->map) + alignment - 1) & ~(alignment - 1);
    if (g->data > g->size) g->data = g->size;
    check_names(&r);
    check_places(&r);
    return r.failed;
}

void gguf_close(gguf *g)
{
    for (uint32_t i = 0; i < g->n_values; i++) free(g->value[i].key);
    for (uint32_t i = 0; i < g->n_tensors; i++) free(g->tensor[i].name);
    free(g->value);
    free(g->tensor);
    if (g->map) munmap(g->map, g->size);
    *g = (gguf){0};
}
