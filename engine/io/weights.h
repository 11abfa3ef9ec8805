/* SPDX-License-Identifier: MIT
 *
 * weights.h: named tensors, from inside: for safetensors.c, which reads them from a file,
 * safetensors_write.c, and for who makes some that are in none.
 */
#ifndef HEED_IO_WEIGHTS_H
#define HEED_IO_WEIGHTS_H

#include <stddef.h>

#include "base/local.h"

struct json_t;

typedef struct weights_item {
    const char *name;   /* belongs to the header, or is `own` */
    char *own;          /* of a tensor that was made, else NULL */
    heed_tensor tensor;
    int64_t begin, end; /* from the first byte of a file's data on */
    void *copy;         /* of a tensor that is misaligned in the file, or was made; else NULL */
    char *origin;       /* of a checkpoint's: its name there, and what was done to it; else NULL */
} weights_item;

struct heed_weights {
    unsigned char *map;    /* the file; NULL: they are in none */
    size_t size;           /* of the file */
    struct json_t *header; /* its own, or NULL */
    weights_item *items;   /* sorted by name */
    uint32_t count;
    /* of a checkpoint: the files that its tensors are views of; and what there is to tell about it */
    heed_weights **shards;
    uint32_t n_shards;
    struct json_t *told; /* {model_type, unused: {key: value}, ignored: [tensor]}, or NULL */
};

/* A file of safetensors alone; heed_weights_open opens folders as well (checkpoint.c). */
HEED_LOCAL heed_weights *safetensors_open(const char *path, heed_error *error);
HEED_LOCAL int checkpoint_is(const char *path); /* a folder with a config.json, or a .gguf */
HEED_LOCAL int weights_by_name(const void *a, const void *b); /* of items, for qsort and bsearch */
HEED_LOCAL heed_weights *weights_new(heed_error *error);      /* none yet */
/* One more of float32, zeroed; tensors found before may move. The name must be new, and the weights
 * must not be those of a file. */
HEED_LOCAL heed_tensor *weights_add(heed_weights *w, const char *name, int32_t rank,
                                    const int64_t *dim, heed_error *error);
/* The same without numbers: its data is NULL. */
HEED_LOCAL heed_tensor *weights_add_shape(heed_weights *w, const char *name, int32_t rank,
                                          const int64_t *dim, heed_error *error);
/* Takes the mapped files out of this process's memory, for who has copied what it needs: what is read again
 * comes back from the system's cache of files. */
HEED_LOCAL void weights_give_back(const heed_weights *w);
/* The same of one tensor, but for pages that others have a part of. */
HEED_LOCAL void weights_give_back_tensor(const heed_weights *w, const heed_tensor *t);
/* Of names, types, shapes and numbers, in the order of the names. */
HEED_LOCAL uint64_t weights_checksum(const heed_weights *w);
/* All of them as a file of safetensors, with the network's spec as its metadata "heed.spec": whole,
 * or what was there stays. */
HEED_LOCAL int32_t weights_write(const heed_weights *w, const char *spec, const char *path,
                                 heed_error *error);
/* The same with other metadata. */
typedef struct weights_note {
    const char *key, *text;
} weights_note;
HEED_LOCAL int32_t weights_write_noted(const heed_weights *w, const weights_note *notes, uint32_t n,
                                       const char *path, heed_error *error);
HEED_LOCAL const char *weights_type(uint32_t dtype); /* "F32", as safetensors has it */

#endif
