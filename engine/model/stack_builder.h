/* SPDX-License-Identifier: MIT
 *
 * stack_builder.h: a network while it is built, for the files that build it.
 */
#ifndef HEED_MODEL_STACK_BUILDER_H
#define HEED_MODEL_STACK_BUILDER_H

#include <stdlib.h>
#include <string.h>

#include "model/source.h"
#include "model/stack_plan.h"
#include "op/instance.h"

enum { STACK_OP_EMBED, STACK_OP_PROJECTION, STACK_OP_ADD, STACK_OPS }; /* what every stack uses */

/* An attention that has been given a position op as its setting. */
typedef struct stack_placed {
    const resolved *attention, *position;
    resolved *both;
} stack_placed;

typedef struct stack_builder {
    heed_stack *stack;
    heed_engine *engine;
    source *source; /* of the weights */
    heed_error *error;
    stack_plan plan;
    resolved *fixed[STACK_OPS];
    heed_instance *add, *scaled, *share; /* shared by all layers */
    const resolved *final_norm;
    stack_placed *placed;
    uint32_t n_placed;
    uint32_t side;      /* STACK_DECODER or STACK_ENCODER: whose layers are built */
    uint32_t rows;      /* of which tokens the views are */
    int halts;          /* tokens of this side halt, and `all_rows` are those that have not too */
    uint32_t all_rows;
    float part;         /* of the rows that an expert gets, if all get as many; else 1 */
    int encodes;        /* steps go to the list of the text that is encoded */
    double gain;        /* of the weights that are made: DeepNorm's beta */
    uint32_t buffer[4]; /* [STACK_ROLES] */
    uint32_t memory;    /* the buffer that an encoder has left its output in */
    /* the position op that is in force; `acts` HEED_ACTS_NOWHERE: there is none */
    uint32_t acts;
    const resolved *position_op;
    heed_instance *position;
    char position_prefix[48]; /* of its weights */
    int32_t layer;            /* that is being built; -1 = none */
    int dry;
    char unknown[480]; /* sizes that nobody tells, and the place of the first in the spec */
    size_t unknown_at;
    char **absent; /* names that were asked for and are not there */
    uint32_t n_absent;
    char *missing; /* the first of them that is needed, and the sentence about it */
    heed_error why;
} stack_builder;

/* Reads the spec and goes through the dry round. The builder has engine, source, stack and error;
 * to be ended by stack_builder_free also after a failure. */
HEED_LOCAL int32_t stack_builder_read(stack_builder *b, const char *text);
HEED_LOCAL void stack_builder_free(stack_builder *b);

#endif
