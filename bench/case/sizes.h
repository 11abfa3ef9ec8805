/* SPDX-License-Identifier: MIT
 *
 * sizes.h: how large an op is: heed describe --shape.
 */
#ifndef HEED_BENCH_SIZES_H
#define HEED_BENCH_SIZES_H

#include "bench/case/shape.h"

typedef struct bench_sizes {
    const char *op;                       /* its id */
    char shape[BENCH_TEXT];
    int64_t parameters;
    double state, state_fixed;            /* bytes a token; bytes of a state that does not grow */
    int64_t keeps;                        /* the state is of so many tokens; -1: of all */
    double flops, executed, bytes, reach; /* of one call, and keys of one query; -1 = not told */
} bench_sizes;

int32_t bench_sizes_of(heed_engine *engine, const char *text, const bench_shape *shape, bench_sizes *s,
                       heed_error *error);

#endif
