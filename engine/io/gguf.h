/* SPDX-License-Identifier: MIT
 *
 * gguf.h: a file of the format GGUF, which llama.cpp reads: metadata and tensors in one file. For who
 * makes of it weights (checkpoint_gguf.c) and tokenizers (gguf_tokenizer.c).
 */
#ifndef HEED_IO_GGUF_H
#define HEED_IO_GGUF_H

#include <stddef.h>

#include "base/local.h"

struct json_t;

/* A value of the metadata, in the mapped file. */
typedef struct gguf_value {
    char *key;
    uint32_t type, item; /* item: the type of an array's */
    uint64_t count;      /* items of an array; bytes of a text */
    const unsigned char *at;
} gguf_value;

typedef struct gguf_tensor {
    char *name;
    uint32_t dtype; /* HEED_* */
    int32_t rank;
    int64_t dim[HEED_MAX_RANK]; /* the last one is that of neighbours, as everywhere here */
    uint64_t begin, bytes;      /* from the first byte of the data on */
} gguf_tensor;

typedef struct gguf {
    const char *path;
    heed_error *error;
    unsigned char *map;
    size_t size;
    gguf_value *value; /* sorted by key */
    gguf_tensor *tensor;
    uint32_t n_values, n_tensors;
    uint64_t data; /* where it begins in the file */
} gguf;

HEED_LOCAL int gguf_is(const char *path); /* its name ends in .gguf */

/* After it every key, value and tensor lies within the file, names are unique, and no two tensors
 * share a byte. To be closed also after a failure; `path` must outlive it. */
HEED_LOCAL int32_t gguf_open(gguf *g, const char *path, heed_error *error);
HEED_LOCAL void gguf_close(gguf *g);

/* NULL: there is none. */
HEED_LOCAL const gguf_value *gguf_find(const gguf *g, const char *key);
/* A new value of JSON; NULL: out of memory, or a text is no UTF-8, which `error` then says. Numbers
 * that JSON does not have are null. */
HEED_LOCAL struct json_t *gguf_json(const gguf *g, const gguf_value *v);
HEED_LOCAL int gguf_is_list(const gguf_value *v);

/* What tokenizer.json would have, of the file's metadata: an object for text/fields.c. */
HEED_LOCAL struct json_t *gguf_tokenizer(const char *path, heed_error *error);
/* What tokenizer_config.json would have of a chat: chat_template, bos_token and eos_token. */
HEED_LOCAL struct json_t *gguf_chat(const char *path, heed_error *error);

#endif
