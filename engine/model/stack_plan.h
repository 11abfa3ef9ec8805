/* SPDX-License-Identifier: MIT
 *
 * stack_plan.h: the spec of a network, read: keys to numbers and ops, and back.
 */
#ifndef HEED_MODEL_STACK_PLAN_H
#define HEED_MODEL_STACK_PLAN_H

#include "model/stack.h"
#include "op/registry.h"
#include "op/resolve.h"
#include "op/spec.h"

enum {
    STACK_RESIDUAL,
    STACK_SHARED,
    STACK_TIED,
    STACK_BIASES,
    STACK_POOLER,
    STACK_STORED, /* weights: the place of a word that ops with a param of that name take */
    STACK_CHOICES
}; /* 0 is the default: pre, false */
enum { STACK_EMBED_SCALE, STACK_SOFTCAP, STACK_REALS };
enum { STACK_DECODER, STACK_ENCODER }; /* sides; a network without an encoder has the first alone */
enum {
    STACK_PART_NORM,
    STACK_PART_ATTENTION,
    STACK_PART_POSITION,
    STACK_PART_FEEDFORWARD,
    STACK_PART_QK_NORM,
    STACK_PART_FINAL_NORM,
    STACK_PART_HALTING,
    STACK_PART_ROUTER,
    STACK_SIDE_PARTS, /* those above are there for the encoder too, from here on */
    STACK_PART_CROSS = 2 * STACK_SIDE_PARTS,
    STACK_PART_EMBED_NORM,
    STACK_PART_CONVOLUTION,
    STACK_PART_HEAD_NORM,
    STACK_PART_OUTPUT_GATE,
    STACK_PART_SHARED_FEEDFORWARD,
    STACK_PART_SHARED_GATE,
    STACK_PART_OUTPUT,
    STACK_PARTS
};

/* The op or ops of one key. */
typedef struct stack_part {
    resolved **op;          /* [count], each item of a list once; NULL: the word "none" */
    char **text;            /* [count], canonical */
    const spec_node **node; /* [count], of the spec */
    uint32_t count;         /* 0: none */
    uint32_t listed;        /* it was written as a list */
    uint32_t inherited;     /* of the encoder: it is the decoder's */
    uint32_t *of_layer;     /* [layers], NULL where the key takes no list */
} stack_part;

typedef struct stack_plan {
    spec *s;
    int64_t number[STACK_NUMBERS];
    int64_t
        *by_layer[STACK_NUMBERS]; /* [layers] of the decoder, of the numbers of heads; else NULL */
    double real[STACK_REALS]; /* NaN: not given */
    int choice[STACK_CHOICES];
    int hidden; /* output=hidden */
    stack_part parts[STACK_PARTS];
} stack_plan;

/* Into a zeroed plan, which must be freed even after an error: a sentence with a caret under the
 * place. */
HEED_LOCAL int32_t stack_plan_read(stack_plan *p, const registry *r, const char *text,
                                   heed_error *error);
HEED_LOCAL void stack_plan_free(stack_plan *p);
/* Canonical: keys in table order, without those that have the default or follow from others.
 * malloc'ed, NULL if there is no memory. */
HEED_LOCAL char *stack_plan_print(const stack_plan *p);
/* The word of the key weights. */
HEED_LOCAL const char *stack_plan_stored(const stack_plan *p);
/* Which of the numbers a key is; -1 = none. */
HEED_LOCAL int32_t stack_plan_slot(const char *key);

/* One of the numbers of heads, in a layer. */
HEED_LOCAL int64_t stack_plan_number(const stack_plan *p, uint32_t side, uint32_t slot,
                                     int64_t layer);
/* The first of the numbers of heads that is not the same in all layers, by its key; NULL: none. */
HEED_LOCAL const char *stack_plan_uneven(const stack_plan *p);

/* The layer whose tensors a layer has: its own, or, with shared=true, the first. */
HEED_LOCAL int64_t stack_plan_weights(const stack_plan *p, int64_t layer);
/* What tensors' names of a side begin with: "" or "encoder.". */
HEED_LOCAL const char *stack_plan_prefix(uint32_t side);
HEED_LOCAL int64_t stack_plan_layers(const stack_plan *p, uint32_t side);
/* One of the first STACK_SIDE_PARTS parts, of a side. */
HEED_LOCAL const stack_part *stack_plan_part(const stack_plan *p, uint32_t side, uint32_t part);
/* Its op in a layer, NULL if there is none; and the place in the spec. */
HEED_LOCAL resolved *stack_plan_op(const stack_plan *p, uint32_t side, uint32_t part,
                                   int64_t layer);
/* The op that a part has in a layer, for parts that only a decoder's layers have (a convolution, a
 * norm of each head, a gate); NULL in an encoder. */
HEED_LOCAL resolved *stack_plan_decoder_op(const stack_plan *p, uint32_t side, uint32_t part,
                                           int64_t layer);
HEED_LOCAL const spec_node *stack_plan_node(const stack_plan *p, uint32_t side, uint32_t part,
                                            int64_t layer);

#endif
