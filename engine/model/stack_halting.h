/* SPDX-License-Identifier: MIT
 *
 * stack_halting.h: what stands around a layer where tokens halt.
 */
#ifndef HEED_MODEL_STACK_HALTING_H
#define HEED_MODEL_STACK_HALTING_H

#include "model/stack_builder.h"

/* Of the side that is built; nothing if no token of it halts. Before its first layer: what is in the
 * role X flows into it. */
HEED_LOCAL int32_t stack_halting_start(stack_builder *b);
/* Takes the rows of the layer together, before its positions; then who halts in it; and its end. */
HEED_LOCAL int32_t stack_halting_begin(stack_builder *b, int64_t layer);
HEED_LOCAL int32_t stack_halting_decide(stack_builder *b, int64_t layer);
HEED_LOCAL int32_t stack_halting_end(stack_builder *b);
/* Behind its last one: the role X is the mean of each token's states. */
HEED_LOCAL void stack_halting_stop(stack_builder *b);

#endif
