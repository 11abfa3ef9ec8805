/* SPDX-License-Identifier: MIT
 *
 * source.h: where the weights of a network come from: a file, or a seed. It is asked for one tensor
 * after the other, by the names that this project has for them.
 */
#ifndef HEED_MODEL_SOURCE_H
#define HEED_MODEL_SOURCE_H

#include "op/entry.h"
#include "op/resolve.h"

/* What a weight port of an op asks for. */
typedef struct source_want {
    const char *name; /* "layers.3.q.weight" */
    const resolved *op;
    uint32_t port;
    const int64_t *axis; /* sizes that are known, -1: not */
    double gain;         /* of the deviation that the port asks for */
    int needed;          /* an optional one that the spec asks for */
} source_want;

typedef struct source source;
struct source {
    /* The tensor of that name, or NULL. It is used from now on. */
    heed_tensor *(*find)(source *s, const char *name);
    /* Makes one that was not found, into *made; NULL there: it goes without. The function NULL: a
     * tensor that is not found is missing. */
    int32_t (*make)(source *s, const source_want *want, heed_tensor **made, heed_error *error);
    /* After an op was opened: it has copied what it wanted to. NULL: that frees nothing. */
    void (*opened)(source *s);
};

/* Whether weights that are made have this one. */
HEED_LOCAL int source_makes(const resolved *op, uint32_t port);

/* The tensors of a file, or of other weights that are there. */
typedef struct source_weights {
    source source;
    const heed_weights *weights;
    uint8_t *used; /* [their number] */
} source_weights;

/* Views of `weights`; to be closed. */
HEED_LOCAL int32_t source_open(source_weights *s, const heed_weights *weights, heed_error *error);
HEED_LOCAL void source_close(source_weights *s);
/* The names that nothing has asked for, in order, malloc'ed; NULL: no memory. */
HEED_LOCAL const char **source_unused(const source_weights *s, uint32_t *count);

/* Names and shapes of the weights that a network needs, without numbers: as small as it is large. */
HEED_LOCAL heed_weights *source_sketch(heed_engine *engine, const char *spec, heed_error *error);
/* The weights of chance that a network needs beside those of `have`, of which those that are lacked do
 * not count. */
HEED_LOCAL heed_weights *source_rest(heed_engine *engine, const char *spec,
                                     const heed_weights *have, int (*lacks)(const char *name),
                                     uint64_t seed, heed_error *error);

#endif
