/* SPDX-License-Identifier: MIT
 *
 * checkpoint.h: a checkpoint while it is opened: the folder that transformers writes, config.json
 * and files of safetensors, or a GGUF file, which is read as such a folder under other names. For
 * the files that open one:
 *
 *     checkpoint.c          the folder, its files, and what it becomes
 *     checkpoint_gguf.c     a GGUF file: its metadata as config.json, its tensors as theirs
 *     checkpoint_types.c    for each model_type the spec, and the table of names; checkpoint_t5.c
 *                           and checkpoint_qwen3_next.c likewise
 *     checkpoint_rope.c     rotary positions, whose settings all types write alike
 *     checkpoint_tensors.c  the rows of a table, as tensors
 *     checkpoint_write.c    the same tables the other way: a network of ours as such a folder
 */
#ifndef HEED_IO_CHECKPOINT_H
#define HEED_IO_CHECKPOINT_H

#include <stdio.h>

#include "io/config.h"
#include "io/weights.h"

/* What is done to one of their tensors. Without a copy: */
enum {
    CHECKPOINT_TRANSPOSE = 1, /* its two axes change places */
    CHECKPOINT_FLAT = 8,      /* the middle one of its three axes, of size 1, is left out */
    /* and with one: */
    CHECKPOINT_INTERLEAVE = 2, /* rows of each head are taken out of those of all */
    CHECKPOINT_DIVIDE = 4,     /* float32, divided by the root of the size M */
};

/* One tensor, or one of each layer. In names '*' is the number of the layer, '#' that of an expert, and
 * '~' what the names of this checkpoint begin with. */
typedef struct checkpoint_row {
    const char *ours, *theirs;
    const char *shape; /* of theirs: a letter of `size` for each axis */
    uint32_t form;
    const char *take; /* of the rows, after it was transposed: how many; NULL: all */
    const char *skip; /* those before them, letters that are added up */
    char heads;       /* whose rows are taken: a letter of `size`; 0: those of `heads` */
    uint8_t of;       /* what a layer must be to have it; 0: all have */
    uint32_t when;    /* what must be so */
    /* another of theirs, and its shape, whose first row is added to each row: a copy of float32 */
    const char *plus, *plus_shape;
} checkpoint_row;

/* For `when`; 0 is always. */
enum {
    CHECKPOINT_UNTIED = 1,
    CHECKPOINT_BIAS_QKV = 2,
    CHECKPOINT_BIAS_O = 4,
    CHECKPOINT_BIAS_MLP = 8,
    CHECKPOINT_QK_NORM = 16,
    CHECKPOINT_AFFINE = 32, /* norms have weights */
    CHECKPOINT_FINAL_NORM = 64,
    CHECKPOINT_GATED = 128,
    CHECKPOINT_PLAIN = 256,
    CHECKPOINT_SCALED = 512, /* what the output reads is */
    CHECKPOINT_UNSCALED = 1024,
    CHECKPOINT_LISTED = 2048,  /* each pair of a rotary position has a factor, a tensor */
    CHECKPOINT_CLASSES = 4096, /* it tells texts apart */
};

/* A row of such a table: our name, theirs, the shape, and whatever else it has, as in
 * CHECKPOINT_ROW("final_norm.gain", "~norm.weight", "M", .when = ...). */
#define CHECKPOINT_ROW(a, b, ...)                                                                  \
    {                                                                                              \
        .ours = a, .theirs = b, .shape = __VA_ARGS__                                               \
    }

/* A key of config.json, objects in objects with dots between them, and what it says of a network that
 * is written: "width", or, behind '=', JSON as it is. */
typedef struct checkpoint_key {
    const char *path, *says;
} checkpoint_key;

/* What stands for the beginning of `theirs` in a GGUF file. */
typedef struct checkpoint_name {
    const char *theirs, *name;
} checkpoint_name;

typedef struct checkpoint checkpoint;

typedef struct checkpoint_type {
    const char *name;            /* model_type */
    void (*read)(checkpoint *k); /* config.json to sizes, `when` and the spec */
    const checkpoint_row *rows;
    uint32_t n_rows;
    const char *prefixes[4]; /* of which one is '~': the first that fits; "" if none is listed */
    /* tensors that are not read: a part of their names if it ends with a dot, else their end */
    const char *ignored[6];
    const char *model, *head;   /* class of transformers: "Llama", and "ForCausalLM" for logits */
    const checkpoint_key *keys; /* up to one without a path; NULL: it is not written by itself */
} checkpoint_type;

#define CHECKPOINT_SIZE(k, letter) ((k)->size[(letter) - 'A'])

struct checkpoint {
    const char *folder;
    heed_error *error;
    config config;
    const checkpoint_type *type;
    int64_t size[26];    /* by letter */
    const char *key[26]; /* of config.json, that says so, or NULL */
    int64_t layers, heads, encoder_layers; /* the last: of rows that begin with "encoder." */
    int64_t experts;
    uint8_t *layer_is; /* [layers], what each of them is, where a type has several; else NULL */
    uint32_t when;
    int64_t classes; /* 0: it gives logits or hidden states */
    FILE *spec;      /* what is written there becomes the spec */
    char *text;
    size_t length;
    const struct json_t *factors[2]; /* longrope's, short and long, or NULL */
    heed_weights *made;              /* what it becomes */
    char **files;                    /* paths of its shards */
    uint32_t n_files;
    /* of a GGUF file; else NULL, and "half", which channels turn together */
    const checkpoint_name *names; /* up to one without `theirs` */
    const char *pairs;
};

/* Opens a GGUF file as config and shard. */
HEED_LOCAL int32_t checkpoint_gguf(checkpoint *k);
HEED_LOCAL extern const checkpoint_type checkpoint_t5; /* checkpoint_t5.c */
HEED_LOCAL extern const checkpoint_type checkpoint_qwen3_next; /* checkpoint_qwen3_next.c */
HEED_LOCAL const checkpoint_type *checkpoint_type_of(const char *name); /* NULL: there is none */
HEED_LOCAL void checkpoint_type_names(char *out, size_t size);          /* "llama, mistral, ..." */
HEED_LOCAL const checkpoint_type *checkpoint_type_at(size_t i);         /* NULL behind the last */
/* Notes a size that a key of config.json says, and returns it. `usual` counts where there is no such
 * key; CONFIG_MUST refuses that. */
static inline int64_t checkpoint_size(checkpoint *k, char letter, const char *key, int64_t usual)
{
    k->key[letter - 'A'] = key;
    return CHECKPOINT_SIZE(k, letter) = config_int(&k->config, key, 1, INT32_MAX, usual);
}
/* config.json, by the type of it, to sizes, `when` and the spec. */
HEED_LOCAL int32_t checkpoint_spec(checkpoint *k);
/* The word for an activation, of "gelu(approximate=tanh)" or the like; NULL: they have none. */
HEED_LOCAL const char *checkpoint_activation(const char *op);

/* Writes the position op of layers of a type ("full_attention", of those that have settings of their
 * own; else NULL). `theta` and `part`, the share of channels that turn, are what counts if the file
 * does not say; theta_key and part_key are where older files have them. */
typedef struct checkpoint_rope {
    const char *layers;
    const char *theta_key, *part_key;
    double theta, part;
    int scaled; /* settings of older files, rope_scaling, are of these layers */
} checkpoint_rope;
HEED_LOCAL void checkpoint_rope_write(checkpoint *k, const checkpoint_rope *r);

/* The tensors of the shards of `made`, which are sorted by name, as those of the network. */
HEED_LOCAL int32_t checkpoint_tensors(checkpoint *k);
/* A row's name, of a layer and an expert and with a prefix. */
#define CHECKPOINT_NAME 160 /* bytes that it has at most */
HEED_LOCAL const char *checkpoint_name_of(char out[CHECKPOINT_NAME], const char *pattern,
                                          const char *prefix, int64_t layer, int64_t expert);
HEED_LOCAL int64_t checkpoint_sum(const checkpoint *k, const char *letters); /* of these sizes */
HEED_LOCAL int64_t checkpoint_layers(const checkpoint *k, const checkpoint_row *r);

/* ---- the other way, checkpoint_write.c ---- */

/* What there is to say of a network, a new value; NULL: nothing. */
typedef struct json_t *(*checkpoint_says)(void *network, const char *what);
/* config.json of a network of that type; NULL: no memory. */
HEED_LOCAL struct json_t *checkpoint_config(const checkpoint_type *type, checkpoint_says says,
                                            void *network);
/* Reads a config, which it keeps, as that of a folder; checkpoint_close also after a failure. */
HEED_LOCAL int32_t checkpoint_of_config(checkpoint *k, struct json_t *config, heed_error *error);
HEED_LOCAL void checkpoint_close(checkpoint *k);
/* The tensors of a network of ours as such a folder has them, of float32: NULL if they are not those
 * that the type has. */
HEED_LOCAL heed_weights *checkpoint_back(const checkpoint *k, const heed_weights *ours,
                                         heed_error *error);

#endif
