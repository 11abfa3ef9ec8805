/* SPDX-License-Identifier: MIT
 *
 * heed/abi/relay.h: "heed.relay/1", an attention whose state goes along the tokens, in units that do
 * not meet: a head, or some channels of it. What a unit has of all tokens so far is its carry, some
 * bytes without a pointer. So several may work on one text: who has computed a unit of his tokens
 * hands its carry on to who has the next ones, and goes on with the next unit. The outputs have the
 * bits of the op's own forward, and the carry those of its state.
 */
#ifndef HEED_ABI_RELAY_H
#define HEED_ABI_RELAY_H

#include "call.h"

#define HEED_RELAY_ID "heed.relay/1"

/* A call with states, of which the lengths count and the pages are NULL. */
typedef struct heed_relay_call {
    uint32_t size;
    uint32_t reserved;
    const heed_call *call;
    int64_t wanted; /* units: the op makes about as many, if it can; the same in all functions */
    int64_t first, count; /* for `run`: units [first, first + count) */
    char *const
        *carry; /* [count]: what they have of the tokens before the call, and then of its own */
} heed_relay_call;

typedef struct heed_relay_plan {
    uint32_t size;
    uint32_t reserved;
    int64_t units;  /* of all sequences: sequence b has the b-th part of them */
    uint64_t bytes; /* of a carry, and what it needs behind these; carries are 64-byte aligned */
    uint64_t room;
} heed_relay_plan;

/* From heed_path.get_extension. */
typedef struct heed_relay {
    uint32_t size;
    uint32_t reserved;
    /* Fills *plan; fails where the call's tokens depend on later ones. Axes and lengths are read.
     * [any] */
    int32_t (*plan)(const void *instance, const heed_relay_call *x, heed_relay_plan *plan);
    /* Workspace and scratch of `run`. [any] */
    int32_t (*measure)(const void *instance, const heed_relay_call *x, heed_call_size *size);
    int32_t (*run)(const void *instance, const heed_relay_call *x);
    /* Takes a unit's carry out of its sequence's page, or, stores 1, puts it there. [any] */
    void (*page)(const void *instance, const heed_relay_call *x, int64_t unit, void *page,
                 char *carry, int32_t stores);
} heed_relay;

#endif
