/* SPDX-License-Identifier: MIT
 *
 * stack_weights.h: tensors of the source to the ports of ops.
 */
#ifndef HEED_MODEL_STACK_WEIGHTS_H
#define HEED_MODEL_STACK_WEIGHTS_H

#include "model/stack_builder.h"

/* Opens an op with its weights, whose names start with `prefix`. `axis` is what is known, and
 * becomes what is known then. In the dry round *out is NULL. */
HEED_LOCAL int32_t stack_weights_open(stack_builder *b, const resolved *op, const char *prefix,
                                      int64_t *axis, heed_instance **out);
/* After the dry round: an error if a tensor is missing, or if there is one that nothing uses. */
HEED_LOCAL int32_t stack_weights_check(const stack_builder *b, const char *const *unused,
                                       uint32_t count);
/* "[128, F]": the sizes that are known, the letters of the others. */
HEED_LOCAL void stack_weights_shape(char *out, size_t size, const port_axes *axes,
                                    const int64_t *axis);

#endif
