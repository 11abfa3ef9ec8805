/* SPDX-License-Identifier: MIT
 *
 * field.h: the receptive field of a network, from its spec alone: on which tokens of a text the
 * network's result at one of them can depend.
 *
 * What an attention looks at is told by the op (heed.field/1) and by its mask; nothing here knows an
 * op by name. A layer adds its own token, for the residual path keeps it. Norms with the statistics
 * of a batch mix tokens besides, and are not counted.
 */
#ifndef HEED_MODEL_FIELD_H
#define HEED_MODEL_FIELD_H

#include "model/stack_plan.h"

#define FIELD_ALL (-1)

/* What one layer adds, and what the last token of the text sees through it and those below. */
typedef struct field_layer {
    const char *op; /* the attention's text, the plan's */
    int64_t back,
        ahead;     /* tokens before and behind its own that a query of a long text can look at;
                          * FIELD_ALL: however many there are */
    int64_t first; /* the first tokens, seen from everywhere */
    int64_t loose; /* what papers count for a layer; 0: nothing */
    int64_t most;  /* keys that some query of this text touches */
    double mean;   /* keys of all of its queries, divided by their number */
    int bound;     /* weights may leave some out */
    int64_t reach; /* tokens of the text, its own among them; 0: not computed */
} field_layer;

typedef struct network_field {
    int64_t tokens, layers; /* of the text, cut to the network's context */
    field_layer *layer;
    int64_t reach; /* tokens of the text that its last one depends on, its own among them */
    int64_t
        needed;    /* layers, from the first on, through which that is the whole text; 0: too few */
    int64_t far;   /* the same of any text, however long; FIELD_ALL: the field has no end */
    int64_t ahead; /* tokens behind a token that it depends on; FIELD_ALL: all */
    int64_t loose; /* the papers' rule: the sum over the layers; 0: they have none */
    int bound;
} network_field;

/* Of the decoder, for a text of so many tokens; to be freed also after an error. */
HEED_LOCAL int32_t field_of_network(network_field *f, const stack_plan *plan, int64_t tokens,
                                    heed_error *error);
HEED_LOCAL void field_free(network_field *f);
/* Which of the tokens of a text the last of them depends on, 1 or 0. */
HEED_LOCAL int32_t field_reached(const stack_plan *plan, int64_t tokens, uint8_t *reached,
                                 heed_error *error);
/* Tokens that one call may have, in every layer; 0: any number. */
HEED_LOCAL int32_t field_longest(const stack_plan *plan, int64_t *longest, heed_error *error);

#endif
