/* SPDX-License-Identifier: MIT
 *
 * explain.h: the table of what is predicted.
 */
#ifndef HEED_BENCH_EXPLAIN_H
#define HEED_BENCH_EXPLAIN_H

#include "bench/bench.h"

void explain_table(const bench *b);

#endif
