/* SPDX-License-Identifier: MIT
 *
 * stack_sizes.h: sizes of a network's ops that nobody tells.
 */
#ifndef HEED_MODEL_STACK_SIZES_H
#define HEED_MODEL_STACK_SIZES_H

#include "model/stack_builder.h"

/* Where weights are made, in the dry round: notes the sizes of an op's weights that are not known,
 * and takes 1 for them, so that the round goes on to the next ones. */
HEED_LOCAL void stack_sizes_note(stack_builder *b, const resolved *op, int64_t *axis);
/* The sizes of a port behind its first two axes, and their product. One that is not known is noted
 * where weights are made, and an error where they are from a file. */
HEED_LOCAL int32_t stack_sizes_of(stack_builder *b, const resolved *op, uint32_t port,
                                  const int64_t *axis, int64_t *dim, int64_t *product);
/* The error about all that was noted: the caret is under the first op. */
HEED_LOCAL int32_t stack_sizes_told(const stack_builder *b);

#endif
