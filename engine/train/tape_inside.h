/* SPDX-License-Identifier: MIT
 *
 * tape_inside.h: what a tape is made of, for tape.c and tape_build.c.
 */
#ifndef HEED_TRAIN_TAPE_INSIDE_H
#define HEED_TRAIN_TAPE_INSIDE_H

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

enum { TAPE_VALUE_TOKENS, TAPE_VALUE_POSITIONS, TAPE_VALUES_GIVEN };

/* What a step has written. */
typedef struct tape_value {
    const void *given; /* the caller's memory, or NULL */
    uint32_t rows;     /* as of a stack_view */
    int64_t span;      /* floats of a row */
    uint32_t in;       /* the value whose memory it is in: its own, or one that has gone */
    uint32_t readers;  /* steps */
    int kept;          /* a backward reads it as an output */
    int learns;        /* weights that it follows from do */
    tape_memory memory;
    tape_block *gradient;
} tape_value;

/* An output that no step takes, and that backward reads: the log-sum-exps of an attention. */
typedef struct tape_kept {
    const char *port;
    tape_memory memory;
    heed_tensor tensor;
} tape_kept;

/* A weight of a step, by its number among all. */
typedef struct tape_bound {
    char port[100]; /* "gain"; of an op inside "position.table" */
    uint32_t weight;
} tape_bound;

enum { TAPE_OP, TAPE_SUM /* x + y */ };

typedef struct tape_step {
    const stack_step *of; /* NULL: elements are left out, from `from` to `to` */
    uint32_t kind;
    uint32_t counts; /* TAPE_ATTENTION ...: what its time goes to */
    uint32_t place;  /* of dropout */
    uint32_t from, to;
    tape_memory keep; /* of dropout: which elements stay */
    int reads_out;    /* its backward reads the output that flows on */
    tape_kept *kept;
    uint32_t n_kept;
    tape_bound *weights;
    uint32_t n_weights;
} tape_step;

/* A classifier of what flows out of a layer. */
typedef struct tape_head {
    const heed_instance *projection;
    uint32_t value, weight;
} tape_head;

struct tape {
    heed_stack *stack;
    heed_instance *add; /* of gradients */
    tape_weight *weights;
    tape_value *values;
    uint32_t n_values;
    uint32_t *use;        /* [stack->n_uses] which value */
    heed_tensor *tensors; /* [stack->n_uses] */
    tape_step *steps;
    uint32_t n_steps;
    uint32_t result;
    uint32_t *flow; /* [layers] the value that flows out of each */
    tape_head *heads;
    uint32_t n_heads;
    tape_block *head_results, *head_gradient; /* of the one that runs */
    tape_block *blocks;
    int64_t batch, length; /* that the tensors are for; 0: none yet */
    double seconds[TAPE_TIMES];
};

#endif
