/* SPDX-License-Identifier: MIT
 *
 * stack_builder.h: a network while it is built, for the files that build it.
 */
#ifndef HEED_MODEL_STACK_BUILDER_H
#define HEED_MODEL_STACK_BUILDER_H

#include <stdlib.h>
#include <string.h>

#include "model/stack_plan.h"
#include "op/instance.h"

enum { STACK_OP_EMBED, STACK_OP_PROJECTION, STACK_OP_ADD, STACK_OPS }; /* what every stack uses */

typedef struct stack_builder {
    heed_stack *stack;
    heed_engine *engine;
    const heed_weights *weights;
    heed_weights *make;            /* they themselves, where what is asked for is made; the round is dry */
    uint64_t seed;
    heed_error *error;
    stack_plan plan;
    resolved *fixed[STACK_OPS];
    heed_instance *add, *position; /* shared by all layers */
    uint32_t acts;                 /* where the position op does; HEED_ACTS_NOWHERE: there is none */
    int dry;
    uint8_t *used;                 /* [tensors of the weights] */
    char **absent;                 /* names that were asked for and are not there */
    uint32_t n_absent;
    char *missing;                 /* the first of them that is needed, and the sentence about it */
    heed_error why;
} stack_builder;

#define TRY(call) do { int32_t code_ = (call); if (code_) return code_; } while (0)

/* Room for one more element, zeroed; capacities are powers of two. NULL if there is none. */
static inline void *stack_append(void *array, uint32_t *count, size_t size)
{
    void **a = array;
    if (!(*count & (*count - 1))) {
        void *larger = reallocarray(*a, *count ? 2 * (size_t)*count : 1, size);
        if (!larger) return NULL;
        *a = larger;
    }
    return memset((char *)*a + size * (*count)++, 0, size);
}



/* Reads the spec and goes through the dry round. The builder has engine, weights, stack and error; to be ended by
 * stack_builder_free also after a failure. */
HEED_LOCAL int32_t stack_builder_read(stack_builder *b, const char *text);
HEED_LOCAL void stack_builder_free(stack_builder *b);

#endif
