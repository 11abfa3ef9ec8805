/* SPDX-License-Identifier: MIT
 *
 * judge.h: a case against the scalar path.
 */
#ifndef HEED_BENCH_JUDGE_H
#define HEED_BENCH_JUDGE_H

#include "bench/case/case.h"

uint64_t judge_hash(const bench_call *c); /* of the outputs */
/* Runs the scalar path on what `c` has just computed, or, where that takes long, both paths on a smaller shape. Nothing
 * has to run if `before`, a case of the same call on the scalar path, gave the same bits. NULL: there is none. */
int32_t judge(bench_case *c, heed_engine *engine, const resolved *op, const char *isa, const bench_case *before,
              heed_error *error);

#endif
