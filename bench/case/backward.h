/* SPDX-License-Identifier: MIT
 *
 * backward.h: the backward of a case, which is run in the place of its forward, or behind it.
 */
#ifndef HEED_BENCH_BACKWARD_H
#define HEED_BENCH_BACKWARD_H

#include "bench/case/case.h"

/* Of the forward's multiply-adds, those of a backward: an attention's five products for its two. */
#define BACKWARD_FLOPS 2.5

/* The optional ports of a shape, and those outputs that the op's backward reads: a text for
 * call_shape.with, to be freed. NULL: the op has no backward, or no memory. */
char *backward_with(const resolved *op, const call_shape *shape, heed_error *error);
/* Of a case whose forward has been run: run once, hashed, and its cost; and beside that of the
 * scalar path, if there is one. `what`: BENCH_BACKWARD, or BENCH_TRAINING_STEP, which runs the forward
 * each time too. */
int32_t backward_open(bench_case *c, const bench_case *plain, int what, heed_error *error);
int32_t backward_run(const bench_case *c, heed_error *error);
const char *backward_spec(const bench_case *c);
void backward_close(bench_backward *b);

#endif
