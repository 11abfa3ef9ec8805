/* SPDX-License-Identifier: MIT
 *
 * heed/abi/field.h: "heed.field/1", which keys a query can depend on, from params and sizes alone.
 *
 * Without it a query of an op depends on every key that the mask leaves. An op that looks at fewer says so
 * here, so that the receptive field of a network can be told before it has weights, and before anything
 * runs. The mask is the engine's: it is laid over what the op tells.
 */
#ifndef HEED_ABI_FIELD_H
#define HEED_ABI_FIELD_H

#include "call.h"

#define HEED_FIELD_ID "heed.field/1"
#define HEED_FIELD_RUNS 4

#define HEED_FIELD_BOUND 1u /* weights or inputs may leave keys out: these are the most */
#define HEED_FIELD_MOVES                                                                           \
    2u /* run 0 has the same distances at every position, and the others are the same keys */

/* The keys j with first <= j < last and (j - phase) mod step < length, the remainder being counted from 0 on. All keys
 * from first to last: step = length = 1, phase 0. */
typedef struct heed_field_run {
    uint32_t size;
    uint32_t reserved;
    int64_t first, last; /* positions; first may be negative, and last behind the end of the text */
    int64_t phase, step, length;
} heed_field_run;

typedef struct heed_field {
    uint32_t size;
    uint32_t flags; /* HEED_FIELD_* */
    uint32_t runs;  /* of `run`; they have no key in common */
    uint32_t reserved;
    int64_t longest; /* tokens that one call may have; 0: any number */
    int64_t
        loose; /* what papers multiply by the number of layers: a window, a memory, taps; 0: nothing */
    heed_field_run run[HEED_FIELD_RUNS];
} heed_field;

typedef struct heed_fielder {
    uint32_t size;
    uint32_t reserved;
    /* What the query at position `at` can depend on in any head, in a call whose first query stands at `begin`. Of
     * `open` only values, axes and the sink are there; an axis is -1 if nothing tells it. [any] */
    int32_t (*field)(const heed_open *open, const heed_mask *mask, int64_t begin, int64_t at,
                     heed_field *field);
} heed_fielder;

#endif
