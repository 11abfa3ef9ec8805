/* SPDX-License-Identifier: MIT
 *
 * stack_step.h: steps, and the views that they work on.
 */
#ifndef HEED_MODEL_STACK_STEP_H
#define HEED_MODEL_STACK_STEP_H

#include "model/stack_builder.h"

/* The index of the view [1, T, dim...] of a buffer, T being those tokens that the builder's `rows`
 * says; equal ones are shared. */
HEED_LOCAL int32_t stack_step_view(stack_builder *b, uint32_t buffer, int32_t rank,
                                   const int64_t *dim, uint32_t *out);
HEED_LOCAL int32_t stack_step_rows(stack_builder *b, uint32_t buffer, int64_t width, uint32_t *out);
/* One op on n views, its output "out" to the view `to`. Nothing in the dry round. */
HEED_LOCAL int32_t stack_step_add(stack_builder *b, const heed_instance *i, const stack_use *in,
                                  uint32_t n, uint32_t to, int32_t memory);
/* The same for an attention where tokens halt, with its flags. */
HEED_LOCAL int32_t stack_step_attend(stack_builder *b, const heed_instance *i, const stack_use *in,
                                     uint32_t n, uint32_t to, int32_t memory, uint32_t flags);
/* A step that moves rows: what it does, and its views, STACK_MOVED at most. */
HEED_LOCAL int32_t stack_step_move(stack_builder *b, const stack_step *step, const uint32_t *views,
                                   uint32_t n);
/* The view of the positions of the builder's rows. */
HEED_LOCAL int32_t stack_step_positions(stack_builder *b, uint32_t *out);
/* An op from rows of one width to rows of the same width: x -> out. */
HEED_LOCAL int32_t stack_step_map(stack_builder *b, const resolved *op, const char *prefix,
                                  uint32_t from, uint32_t to);
/* linear/projection from rows of one width to rows of another. */
HEED_LOCAL int32_t stack_step_project(stack_builder *b, const char *prefix, uint32_t from,
                                      int64_t inputs, uint32_t to, int64_t outputs);
/* to = x + y, or what `op` of x and y gives; to may be x. */
HEED_LOCAL int32_t stack_step_sum(stack_builder *b, const heed_instance *op, uint32_t x, uint32_t y,
                                  uint32_t to);
/* Sets all sizes to unknown. */
HEED_LOCAL void stack_step_axes(int64_t *axis);
/* An op's port of that name and role, or NULL. */
HEED_LOCAL const heed_port *stack_step_port(const entry *e, const char *name, uint32_t role);

#endif
