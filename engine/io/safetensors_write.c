/* SPDX-License-Identifier: MIT
 *
 * safetensors_write.c: named tensors to a safetensors file, whose form safetensors.c tells.
 *
 * The tensors follow one another in the order of their names, and the header is filled up with
 * blanks so that the data begins on a multiple of 64 bytes. The tensors are dense.
 */
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "io/replace.h"
#include "io/weights.h"

#define ALIGNED 64

typedef struct document {
    const heed_weights *weights;
    char *header;
    size_t length; /* of the header, blanks included */
} document;

/* NULL: no memory, or a type that the format has no name for. */
static json_t *json_tensor(const heed_tensor *t, uint64_t *at)
{
    json_t *shape = json_array();
    for (int32_t i = 0; i < t->rank; i++) json_array_append_new(shape, json_integer(t->dim[i]));
    uint64_t begin = *at;
    *at += (uint64_t)heed_tensor_elements(t) * heed_dtype_bytes(t->dtype);
    return json_pack("{s:s, s:o, s:[I, I]}", "dtype", weights_type(t->dtype), "shape", shape,
                     "data_offsets", (json_int_t)begin, (json_int_t)*at);
}

static int32_t make_header(document *d, const weights_note *notes, uint32_t count,
                           heed_error *error)
{
    json_t *all = json_object(), *told = json_object();
    uint64_t at = 0;
    int failed = json_object_set_new(all, "__metadata__", told);
    for (uint32_t i = 0; i < count && !failed; i++)
        failed = json_object_set_new(told, notes[i].key, json_string(notes[i].text));
    for (uint32_t i = 0; i < d->weights->count && !failed; i++)
        failed = json_object_set_new(all, d->weights->items[i].name,
                                     json_tensor(&d->weights->items[i].tensor, &at));
    char *text = failed ? NULL : json_dumps(all, JSON_COMPACT);
    json_decref(all);
    if (!text) return error_memory(error);
    size_t n = strlen(text);
    d->length = (8 + n + ALIGNED - 1) / ALIGNED * ALIGNED - 8;
    if ((d->header = realloc(text, d->length))) memset(d->header + n, ' ', d->length - n);
    else free(text);
    return d->header ? HEED_OK : error_memory(error);
}

static int put(FILE *to, const void *arg)
{
    const document *d = arg;
    unsigned char length[8];
    for (int i = 0; i < 8; i++) length[i] = (unsigned char)((uint64_t)d->length >> 8 * i);
    int good = fwrite(length, 1, sizeof length, to) == sizeof length &&
               fwrite(d->header, 1, d->length, to) == d->length;
    for (uint32_t i = 0; i < d->weights->count && good; i++) {
        const heed_tensor *t = &d->weights->items[i].tensor;
        size_t bytes = (size_t)heed_tensor_elements(t) * heed_dtype_bytes(t->dtype);
        good = !bytes || fwrite(t->data, 1, bytes, to) == bytes;
    }
    return good;
}

int32_t weights_write_noted(const heed_weights *w, const weights_note *notes, uint32_t n,
                            const char *path, heed_error *error)
{
    document d = {.weights = w};
    int32_t failed = make_header(&d, notes, n, error);
    if (!failed) failed = replace_file(path, put, &d, error);
    free(d.header);
    return failed;
}

int32_t weights_write(const heed_weights *w, const char *spec, const char *path, heed_error *error)
{
    return weights_write_noted(w, &(weights_note){"heed.spec", spec}, 1, path, error);
}
