/* SPDX-License-Identifier: MIT
 *
 * ranks.h: heed bench of a command that mpirun has started several times.
 */
#ifndef HEED_BENCH_RANKS_H
#define HEED_BENCH_RANKS_H

#include "command/shape.h"

/* Each op on each shape, on one rank and on all of them; returns the exit status. */
typedef struct ranks_choice {
    const heed_options *engine;
    const char *const *specs;
    const call_shape *shapes;
    uint32_t n_specs, n_shapes, dtype;
    int64_t rounds;
    const char *isa;
} ranks_choice;
int ranks_bench(const ranks_choice *choice);

#endif
