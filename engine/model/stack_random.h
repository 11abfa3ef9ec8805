/* SPDX-License-Identifier: MIT
 *
 * stack_random.h: weights of a network that has learned nothing.
 */
#ifndef HEED_MODEL_STACK_RANDOM_H
#define HEED_MODEL_STACK_RANDOM_H

#include "model/stack_builder.h"

/* Makes the tensor of a weight port whose sizes are known, as the port says. */
HEED_LOCAL heed_tensor *stack_random_make(stack_builder *b, const char *name, const entry *e, uint32_t p,
                                          const int64_t *axis);

#endif
