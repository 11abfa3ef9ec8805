/* SPDX-License-Identifier: MIT
 *
 * stack_wiring.h: the steps of a wiring.
 */
#ifndef HEED_MODEL_STACK_WIRING_H
#define HEED_MODEL_STACK_WIRING_H

#include "model/stack_builder.h"
#include "model/stack_wirings.h"

/* Attention, cross-attention or feed-forward of one layer: the norms of "attention" are
 * "<prefix>attention_norm." and, behind it, "<prefix>attention_out_norm.". */
typedef struct stack_sublayer {
    const char *prefix, *name;
    const resolved *norm;
    uint32_t number; /* in its layer */
    int first;       /* of the whole stack */
    int32_t (*apply)(stack_builder *b, const struct stack_sublayer *s, uint32_t from);
    int64_t layer;
} stack_sublayer;

/* The norm behind the last layer of a side; NULL: there is none. */
HEED_LOCAL const resolved *stack_wiring_final(const stack_plan *p, uint32_t side);
HEED_LOCAL int32_t stack_wiring_begin(stack_builder *b, int64_t layers);
HEED_LOCAL int32_t stack_wiring_sublayer(stack_builder *b, const stack_sublayer *s);
HEED_LOCAL int32_t stack_wiring_end_layer(stack_builder *b);
/* Behind the last layer: what flows on is then in the role X. */
HEED_LOCAL int32_t stack_wiring_end(stack_builder *b);

#endif
