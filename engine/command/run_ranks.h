/* SPDX-License-Identifier: MIT
 *
 * run_ranks.h: one call of several ranks, each of which has the whole inputs, as files and benchmarks
 * do: the shares of them, and the outputs together.
 */
#ifndef HEED_COMMAND_RUN_RANKS_H
#define HEED_COMMAND_RUN_RANKS_H

#include "base/local.h"

typedef struct run_ranks {
    heed_group *group;
    const heed_instance *instance;
    heed_binding *given, *bound; /* whole, and what this rank has: inputs, then outputs */
    heed_tensor *part;
    int *axis; /* that is shared; -1: none */
    uint32_t n_in, n_out;
    int64_t queries, keys;
} run_ranks;

/* Takes this rank's shares; tensors are contiguous. run_ranks_free also after a failure. */
int32_t run_ranks_take(run_ranks *r, heed_group *group, const heed_instance *instance,
                       const heed_binding *in, uint32_t n_in, const heed_binding *out,
                       uint32_t n_out, heed_error *error);
int32_t run_ranks_call(const run_ranks *r, heed_error *error);
/* Rank 0 gets the whole outputs. */
int32_t run_ranks_collect(const run_ranks *r, heed_error *error);
void run_ranks_free(run_ranks *r);

/* All of it. `failed`: what came before has failed here, and perhaps not elsewhere. */
int32_t run_ranks_whole(heed_group *group, const heed_instance *instance, const heed_binding *in,
                        uint32_t n_in, const heed_binding *out, uint32_t n_out, int32_t failed,
                        heed_error *error);

#endif
