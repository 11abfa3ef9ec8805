/* SPDX-License-Identifier: MIT
 *
 * weights.c: named tensors, wherever they come from: found, counted, made, summed up.
 *
 * Invariant: names are unique and sorted.
 */
#include <jansson.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/error.h"
#include "base/grow.h"
#include "base/saved.h"
#include "io/weights.h"

int weights_by_name(const void *a, const void *b)
{
    return strcmp(((const weights_item *)a)->name, ((const weights_item *)b)->name);
}

/* ---- tensors that are in no file ---- */

heed_weights *weights_new(heed_error *error)
{
    heed_weights *w = calloc(1, sizeof *w);
    if (!w) error_memory(error);
    return w;
}

/* A new item, among the sorted; NULL: no memory. */
static weights_item *add(heed_weights *w, const char *name, int32_t rank, const int64_t *dim,
                         heed_error *error)
{
    weights_item new = {.own = strdup(name), .tensor = heed_tensor_of(NULL, HEED_F32, rank, dim)};
    if (!new.own || !grow_room(&w->items, w->count, sizeof new)) {
        free(new.own);
        error_memory(error);
        return NULL;
    }
    new.name = new.own;
    uint32_t at = w->count++;
    for (; at > 0 && strcmp(w->items[at - 1].name, name) > 0; at--) w->items[at] = w->items[at - 1];
    w->items[at] = new;
    return &w->items[at];
}

heed_tensor *weights_add_shape(heed_weights *w, const char *name, int32_t rank, const int64_t *dim,
                               heed_error *error)
{
    weights_item *item = add(w, name, rank, dim, error);
    return item ? &item->tensor : NULL;
}

heed_tensor *weights_add(heed_weights *w, const char *name, int32_t rank, const int64_t *dim,
                         heed_error *error)
{
    heed_tensor t = heed_tensor_of(NULL, HEED_F32, rank, dim);
    if (heed_tensor_alloc(&t, NULL)) {
        error_memory(error);
        return NULL;
    }
    weights_item *item = add(w, name, rank, dim, error);
    if (!item) {
        free(t.data);
        return NULL;
    }
    item->tensor = t, item->copy = t.data;
    return &item->tensor;
}

/* ---- all of them ---- */

void weights_give_back(const heed_weights *w)
{
    if (w->map) madvise(w->map, w->size, MADV_DONTNEED);
    for (uint32_t i = 0; i < w->n_shards; i++) weights_give_back(w->shards[i]);
}

void weights_give_back_tensor(const heed_weights *w, const heed_tensor *t)
{
    const uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE), from = (uintptr_t)t->data,
                    first = (from + page - 1) / page * page, end = (from + t->bytes) / page * page;
    const uintptr_t map = (uintptr_t)w->map;
    if (w->map && from >= map && from + t->bytes <= map + w->size && first < end)
        madvise(w->map + (first - map), end - first, MADV_DONTNEED);
    for (uint32_t i = 0; i < w->n_shards; i++) weights_give_back_tensor(w->shards[i], t);
}

/* Of the numbers in the order of the axes, wherever they are. */
static uint64_t checksum_of(const heed_tensor *t, uint64_t sum)
{
    const uint64_t width = heed_dtype_bytes(t->dtype);
    const heed_tensor whole = heed_tensor_of(NULL, t->dtype, t->rank, t->dim);
    if (!memcmp(whole.stride, t->stride, sizeof *t->stride * (size_t)t->rank))
        return saved_checksum(t->data, whole.bytes, sum);
    /* a checkpoint's view: a transposed matrix */
    for (int64_t i = 0; i < t->dim[0]; i++)
        for (int64_t j = 0; j < t->dim[1]; j++)
            sum = saved_checksum((const char *)t->data +
                                     (i * t->stride[0] + j * t->stride[1]) * (int64_t)width,
                                 width, sum);
    return sum;
}

uint64_t weights_checksum(const heed_weights *w)
{
    uint64_t sum = 0;
    for (uint32_t i = 0; i < w->count; i++) {
        const heed_tensor *t = &w->items[i].tensor;
        sum = saved_checksum(w->items[i].name, strlen(w->items[i].name), sum);
        sum = saved_checksum(&t->dtype, sizeof t->dtype, sum);
        sum = saved_checksum(t->dim, sizeof *t->dim * (size_t)t->rank, sum);
        sum = checksum_of(t, sum);
    }
    return sum;
}

void heed_weights_close(heed_weights *weights)
{
    if (!weights) return;
    for (uint32_t i = 0; i < weights->count; i++) {
        free(weights->items[i].copy);
        free(weights->items[i].own);
        free(weights->items[i].origin);
    }
    free(weights->items);
    json_decref(weights->header);
    json_decref(weights->told);
    for (uint32_t i = 0; i < weights->n_shards; i++) heed_weights_close(weights->shards[i]);
    free(weights->shards);
    if (weights->map) munmap(weights->map, weights->size);
    free(weights);
}

uint32_t heed_weights_count(const heed_weights *weights) { return weights->count; }

const char *heed_weights_name(const heed_weights *weights, uint32_t index)
{
    return index < weights->count ? weights->items[index].name : NULL;
}

heed_tensor *heed_weights_find(const heed_weights *weights, const char *name)
{
    weights_item key = {.name = name};
    weights_item *found = weights->count ? bsearch(&key, weights->items, weights->count, sizeof key,
                                                   weights_by_name) : NULL;
    return found ? &found->tensor : NULL;
}

const char *heed_weights_metadata(const heed_weights *weights, const char *key)
{
    const json_t *all = json_object_get(weights->header, "__metadata__");
    return json_string_value(json_object_get(all, key));
}
