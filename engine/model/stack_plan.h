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

enum { STACK_RESIDUAL, STACK_TIED, STACK_CHOICES }; /* 0 is the default: pre, false */
enum {
    STACK_PART_NORM,
    STACK_PART_ATTENTION,
    STACK_PART_POSITION,
    STACK_PART_FEEDFORWARD,
    STACK_PARTS
};

/* The op or ops of one key. */
typedef struct stack_part {
    resolved **op;          /* [count], each item of a list once */
    char **text;            /* [count], canonical */
    const spec_node **node; /* [count], of the spec */
    uint32_t count;         /* 0: none */
    uint32_t *of_layer;     /* [layers], NULL where the key takes no list */
} stack_part;

typedef struct stack_plan {
    spec *s;
    int64_t number[STACK_NUMBERS];
    int choice[STACK_CHOICES];
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
/* Which of the numbers a key is; -1 = none. */
HEED_LOCAL int32_t stack_plan_slot(const char *key);

#endif
