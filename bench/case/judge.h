/* SPDX-License-Identifier: MIT
 *
 * judge.h: a case against the scalar path.
 */
#ifndef HEED_BENCH_JUDGE_H
#define HEED_BENCH_JUDGE_H

#include "bench/case/case.h"

uint64_t judge_hash(const operands *c); /* of the outputs */
/* Opens an op on a path (NULL = the engine's choice), fills the sequences, runs it once, and puts
 * what it computed beside the scalar path: beside `plain`, if it is not NULL, an open case of the
 * same call on that path; else it is run, on a smaller shape where it would take long. */
int32_t judge_open(bench_case *c, heed_engine *engine, const resolved *op, const operands *call,
                   const char *isa, const bench_case *plain, heed_error *error);

#endif
