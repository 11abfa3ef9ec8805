/* SPDX-License-Identifier: MIT
 *
 * cost.h: what one call of an op costs, by what the op tells or by the tensors that it touches; and
 * the call as its path gets it, made without the engine.
 */
#ifndef HEED_COMMAND_COST_H
#define HEED_COMMAND_COST_H

#include "command/operands.h"

typedef struct call_cost {
    double flops, bytes;   /* flops -1 = not known */
    double executed;       /* flops that the algorithm does, tiles rounded up; 0 = not known */
    double reach;          /* keys that one query can reach; -1 = not known */
    const char *algorithm; /* or NULL */
    int copies;            /* writes much of the bytes */
} call_cost;

/* By the op's heed.cost/1; without it, all tensors are touched once, and the states read once.
 * `sequences`, one a batch row, hold what a stateful call has seen; NULL: as if they did. */
int32_t cost_of_call(call_cost *cost, const heed_instance *instance, const operands *call,
                     heed_sequence *const *sequences, heed_error *error);

/* What heed_run hands to a path, with a workspace: to call the path by hand. Not to be moved. */
typedef struct direct_call {
    heed_call *call;
    const heed_state **states;
    /* a state of the asked length without pages, where there are no sequences */
    heed_state planned;
    void *memory;
} direct_call;

int32_t direct_make(direct_call *d, const heed_instance *instance, const operands *call,
                    heed_sequence *const *sequences, heed_error *error);
void direct_free(direct_call *d);

#endif
