/* SPDX-License-Identifier: MIT
 *
 * stack_attention.h: an attention of a layer, with the inputs that its ports ask for.
 */
#ifndef HEED_MODEL_STACK_ATTENTION_H
#define HEED_MODEL_STACK_ATTENTION_H

#include "model/stack_wiring.h"

/* From the buffer `from` to the role Y: of the layer's own tokens, and of a decoder's tokens to the
 * text that was encoded, whose last layer's output is in the buffer `memory` of the builder. */
HEED_LOCAL int32_t stack_attention_self(stack_builder *b, const stack_sublayer *s, uint32_t from);
HEED_LOCAL int32_t stack_attention_cross(stack_builder *b, const stack_sublayer *s, uint32_t from);

#endif
