/* SPDX-License-Identifier: MIT
 *
 * tape_inside.h: what a tape is made of, for tape.c and tape_build.c.
 */
#ifndef HEED_TRAIN_TAPE_INSIDE_H
#define HEED_TRAIN_TAPE_INSIDE_H

#include <stdlib.h>

#include "base/error.h"
#include "train/tape.h"

typedef struct tape_memory {
    void *data;
    uint64_t bytes;
} tape_memory;

/* A gradient, and how many values it is of. */
typedef struct tape_block {
    struct tape_block *next;
    tape_memory memory;
    uint32_t owners;
} tape_block;

/* The texts of a batch: those that are predicted or told apart, and those that an encoder reads. */
enum { TAPE_TEXT, TAPE_SOURCE, TAPE_TEXTS };

/* Values that no step writes, of each of both: tokens, their positions, and zeros as their types. */
enum { TAPE_VALUE_TOKENS, TAPE_VALUE_POSITIONS, TAPE_VALUE_TYPES, TAPE_VALUES_OF };
enum { TAPE_VALUES_GIVEN = TAPE_VALUES_OF * TAPE_TEXTS };

/* What a step has written. */
typedef struct tape_value {
    const void *given; /* the caller's memory, or NULL */
    uint32_t rows;     /* STACK_ROWS, STACK_SOURCE or STACK_ONE */
    int64_t span;      /* floats of a row */
    int constant;      /* no step writes it: its floats are `fill` */
    float fill;
    uint32_t in;      /* the value whose memory it is in: its own, or one that has gone */
    uint32_t readers; /* steps */
    int kept;         /* a backward reads it as an output */
    int learns;       /* weights that it follows from do */
    tape_memory memory;
    tape_block *gradient;
} tape_value;

/* An output that no step takes, and that backward reads: the log-sum-exps of an attention. */
typedef struct tape_kept {
    const char *port;
    tape_memory memory;
    heed_tensor tensor;
} tape_kept;

/* How far tokens look, an output that costs, and its gradient. */
typedef struct tape_reaches {
    tape_memory told, costs;
    heed_tensor tensor, gradient;
} tape_reaches;

/* A weight of a step, by its number among all. */
typedef struct tape_bound {
    char port[100]; /* "gain"; of an op inside "position.table" */
    uint32_t weight;
} tape_bound;

enum {
    TAPE_OP,
    TAPE_SUM,  /* x + y */
    TAPE_DROP, /* elements of `from` are left out */
    TAPE_SELECT /* of each row: `from` if the token has not halted before, by `before`, else `other` */
};

typedef struct tape_step {
    const stack_step *of; /* of the first two kinds */
    uint32_t kind;
    uint32_t counts; /* TAPE_ATTENTION ...: what its time goes to */
    uint32_t place;  /* of dropout */
    uint32_t from, to;
    uint32_t other, before;
    uint32_t recall;  /* of what an attention remembers, from 1; 0: it remembers nothing */
    uint32_t lengths; /* the text whose lengths the op is told, or TAPE_TEXTS */
    tape_memory keep; /* of dropout: which elements stay */
    int reads_out;    /* its backward reads the output that flows on */
    tape_kept *kept;
    uint32_t n_kept;
    tape_reaches *reach; /* NULL: it has none */
    tape_bound *weights;
    uint32_t n_weights;
} tape_step;

/* A classifier of what flows out of a layer. */
typedef struct tape_head {
    const heed_instance *projection;
    uint32_t value, weight;
} tape_head;

/* A layer in which tokens may halt: what they have given to those before, and with it. */
typedef struct tape_halting {
    uint32_t before, after;
    uint32_t text;
    int64_t layer;
} tape_halting;

/* What an attention remembers of the segments before: its keys and its values. */
typedef struct tape_recall {
    heed_instance *later; /* the op, with its queries at the end of the keys */
    uint32_t at[2];       /* which of its inputs they are */
    tape_memory kept[2], all[2];
    heed_tensor kept_tensor[2], tensor[2];
} tape_recall;

/* A step, or a classifier, that runs backwards for the gradients of its weights alone. */
typedef struct tape_call {
    const heed_instance *instance;
    const heed_binding *in, *out;
    uint32_t n_in, n_out;
    heed_binding comes; /* the gradient of its output */
    const tape_bound *weights;
    uint32_t n_weights;
} tape_call;

typedef struct tape_ranks tape_ranks; /* tape_ranks.c */

struct tape {
    heed_stack *stack;
    tape_ranks *ranks;    /* NULL: there is one */
    int64_t texts_before; /* of other ranks, of a batch that is shared */
    heed_instance *add; /* of gradients */
    tape_weight *weights;
    tape_value *values;
    uint32_t n_values;
    uint32_t *use;        /* [stack->n_uses] which value */
    heed_tensor *tensors; /* [stack->n_uses] */
    tape_step *steps;
    uint32_t n_steps;
    uint32_t result;
    uint32_t into;  /* the value that flows into the first layer; 0: there is none */
    uint32_t *flow; /* [layers] the value that flows out of each */
    tape_see *see;
    void *see_to;
    tape_head *heads;
    uint32_t n_heads;
    tape_block *head_results, *head_gradient; /* of the one that runs */
    tape_block *blocks;
    tape_halting *halting;
    uint32_t n_halting;
    tape_recall *recalls;
    uint32_t n_recalls;
    int64_t memory, have, start; /* tokens that it may remember and does; of the segments before */
    int follows;                 /* what runs goes on where the last segment has ended */
    double reach_cost;           /* of the mean over heads of each token's reach */
    const char *unequal;         /* an op that can not be told how long texts are, or NULL */
    int64_t batch, length[TAPE_TEXTS]; /* that the tensors are for; 0: none yet */
    heed_tensor lengths[TAPE_TEXTS];   /* [batch], of texts that differ; data NULL: they do not */
    double seconds[TAPE_TIMES];
};

/* Room for so many bytes at least; what was there is lost. */
static inline int32_t tape_room(tape_memory *m, uint64_t bytes, heed_error *error)
{
    if (bytes <= m->bytes) return HEED_OK;
    free(m->data);
    m->bytes = 0;
    if (bytes > SIZE_MAX - 64 || !(m->data = aligned_alloc(64, (bytes + 63) & ~(uint64_t)63)))
        return m->data = NULL, error_memory(error);
    m->bytes = bytes;
    return HEED_OK;
}

/* tape_recall.c: keys and values with those remembered in front, as inputs; of such a gradient the
 * segment's own part; and what the next segment remembers. */
HEED_LOCAL int32_t tape_recall_bind(tape *t, const tape_step *s, heed_binding *in,
                                    heed_error *error);
HEED_LOCAL void tape_recall_cut(const tape *t, heed_tensor *gradient);
HEED_LOCAL int32_t tape_recall_keep(tape *t, heed_error *error);
HEED_LOCAL void tape_recall_free(tape *t);

/* tape_reach.c: whether a step has that output; its room; and its gradient, or NULL. */
HEED_LOCAL int32_t tape_reach_find(const tape *t, tape_step *s, heed_error *error);
HEED_LOCAL int32_t tape_reach_place(tape_step *s, const heed_binding *in, uint32_t n,
                                    heed_error *error);
HEED_LOCAL heed_tensor *tape_reach_cost(const tape *t, const tape_step *s);
HEED_LOCAL void tape_reach_free(tape_step *s);

/* tape_ranks.c: whether ranks share the batch; adds the gradients of a call's weights, of all ranks'
 * texts, to those that are kept, at once or in tape_ranks_end. Where the call's own backward may give
 * them as well, since this rank's texts are one node, it adds to a tensor of tape_ranks_gradient. */
HEED_LOCAL int tape_ranks_share(const tape *t);
HEED_LOCAL int32_t tape_ranks_weights(tape *t, const tape_call *c, heed_error *error);
HEED_LOCAL int tape_ranks_inside(const tape *t, const tape_call *c);
HEED_LOCAL int32_t tape_ranks_gradient(tape *t, const tape_call *c, uint32_t k, heed_tensor *to,
                                       heed_error *error);
HEED_LOCAL int32_t tape_ranks_end(tape *t, heed_error *error);
HEED_LOCAL void tape_ranks_free(tape *t);

#endif
