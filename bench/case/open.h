/* SPDX-License-Identifier: MIT
 *
 * open.h: the list of cases.
 */
#ifndef HEED_BENCH_OPEN_H
#define HEED_BENCH_OPEN_H

#include "bench/bench.h"
#include "bench/case/network.h"

/* only asked for its cost; run once; run once and timed later */
enum { OPEN_PLAN, OPEN_RUN, OPEN_TIME };

/* Adds an op on one shape, on the path `isa`: "all" = each that it has here, NULL = the engine's
 * choice. Those before one that fails stay; *failed_path becomes the name of that one, if it is not
 * NULL. */
int32_t open_shape(bench *b, const resolved *op, const call_shape *shape, uint32_t dtype,
                   const char *isa, int want, const char **failed_path, heed_error *error);
/* Adds a network, on the path `isa` as above; timed = also in the rounds. */
int32_t open_network(bench *b, const heed_options *options, const network_choice *choice, int timed,
                     heed_error *error);
/* Room for one more case, the last one; and back. */
bench_case *open_case(bench *b, heed_error *error);
void open_drop(bench *b);
/* Memory for what the rounds measure. */
int32_t open_rounds(const bench *b, bench_case *c, int timed, heed_error *error);
void open_free(bench *b); /* all calls and cases */

#endif
