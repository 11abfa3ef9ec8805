/* SPDX-License-Identifier: MIT
 *
 * stack_position.h: where the position op acts.
 */
#ifndef HEED_MODEL_STACK_POSITION_H
#define HEED_MODEL_STACK_POSITION_H

#include "model/stack_builder.h"

/* What the position op acts on, and whether the attentions have it. */
HEED_LOCAL int32_t stack_position_place(stack_builder *b);
/* One instance of a position op that has a step of its own. */
HEED_LOCAL int32_t stack_position_open(stack_builder *b);
/* Applies it to a buffer; *from becomes `elsewhere` if the op does not work in place. */
HEED_LOCAL int32_t stack_position_add(stack_builder *b, uint32_t *from, uint32_t elsewhere, int32_t rank,
                                      const int64_t *dim);

#endif
