/* SPDX-License-Identifier: MIT
 *
 * stack_experts.h: a feed-forward of which there are several, and each token goes to some.
 */
#ifndef HEED_MODEL_STACK_EXPERTS_H
#define HEED_MODEL_STACK_EXPERTS_H

#include "model/stack_wiring.h"

/* Of a layer that has a router: to the role Y. */
HEED_LOCAL int32_t stack_experts_apply(stack_builder *b, const stack_sublayer *s, uint32_t from);

#endif
