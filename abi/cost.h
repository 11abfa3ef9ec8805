/* SPDX-License-Identifier: MIT
 *
 * heed/abi/cost.h: "heed.cost/1", what a call costs, from shapes alone.
 */
#ifndef HEED_ABI_COST_H
#define HEED_ABI_COST_H

#include "call.h"

#define HEED_COST_ID "heed.cost/1"

typedef struct heed_cost {
    uint32_t size;
    uint32_t reserved;
    double flops;           /* of the products; one multiply-add is 2 */
    double bytes;           /* that must be moved at least: inputs, weights and state read, outputs written */
    double state_bytes;     /* of state per token and sequence */
    double receptive_field; /* keys that one query can reach; 0 = its own token only */
    double executed;        /* flops that the chosen algorithm really does, tiles rounded up; 0: not told */
    const char *algorithm;  /* which one it is for these shapes, one line; static storage; NULL: there is only one */
} heed_cost;

typedef struct heed_coster {
    uint32_t size;
    uint32_t reserved;
    /* Tensors' data may be NULL. [any] */
    int32_t (*cost)(const void *instance, const heed_call *call, heed_cost *cost);
} heed_coster;

#endif
