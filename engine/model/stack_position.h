/* SPDX-License-Identifier: MIT
 *
 * stack_position.h: where the position op acts.
 */
#ifndef HEED_MODEL_STACK_POSITION_H
#define HEED_MODEL_STACK_POSITION_H

#include "model/stack_builder.h"

/* Puts the position op of a side in force: before its first layer the one that all layers share
 * (layer -1), or, of a list, before each layer its own. One that acts on the input is applied to
 * the role X. */
HEED_LOCAL int32_t stack_position_begin(stack_builder *b, int64_t layer);
/* Whether an attention can have the position op in force; on scores it becomes a setting of it, and
 * *op another. */
HEED_LOCAL int32_t stack_position_place(stack_builder *b, const spec_node *node, resolved **op);
/* Applies the op in force to a buffer; *from becomes `elsewhere` if it does not work in place. */
HEED_LOCAL int32_t stack_position_add(stack_builder *b, uint32_t *from, uint32_t elsewhere,
                                      int32_t rank, const int64_t *dim);

#endif
