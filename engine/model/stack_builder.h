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

typedef struct stack_builder {
    heed_stack *stack;
    heed_engine *engine;
    source *source;                /* of the weights */
    heed_error *error;
    stack_plan plan;
    resolved *fixed[STACK_OPS];
    heed_instance *add, *position; /* shared by all layers */
    /* where the position op does; HEED_ACTS_NOWHERE: there is none */
    uint32_t acts;
    int dry;
    char **absent;                 /* names that were asked for and are not there */
    uint32_t n_absent;
    char *missing;                 /* the first of them that is needed, and the sentence about it */
    heed_error why;
} stack_builder;

/* Reads the spec and goes through the dry round. The builder has engine, source, stack and error;
 * to be ended by stack_builder_free also after a failure. */
HEED_LOCAL int32_t stack_builder_read(stack_builder *b, const char *text);
HEED_LOCAL void stack_builder_free(stack_builder *b);

#endif
