/* SPDX-License-Identifier: MIT
 *
 * network.h: a whole network as a case.
 */
#ifndef HEED_BENCH_NETWORK_H
#define HEED_BENCH_NETWORK_H

#include "bench/case/case.h"

/* A network that reads `tokens` tokens at once, or one after the other (`steps`), on the path `isa`. It is run once.
 * bench_case_close also after a failure. */
int32_t network_open(bench_case *c, const heed_options *options, const char *isa, const char *file, int64_t tokens,
                     int steps, heed_error *error);
int32_t network_run(const bench_network *n, heed_error *error);
void network_close(bench_network *n);
const char *network_spec(const bench_network *n);
const char *network_shape(const bench_network *n);
const heed_path *network_path(const bench_network *n);
int network_steps(const bench_network *n);

#endif
