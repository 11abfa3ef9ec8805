/* SPDX-License-Identifier: MIT
 *
 * heed/abi/mask.h: which keys a query may attend to, as one descriptor that rides in the call.
 *
 * An op declares the kinds that it honours (heed_op.masks); the engine refuses the others, so an op never has to look
 * for a kind that it did not name. Kinds combine by AND. A query with no key left gives zeros and a log-sum-exp of -inf.
 *
 * Positions: without a state key j has position j, and query i has position i + shift, where shift is 0 for TOP_LEFT,
 * (keys of its sequence) - T for BOTTOM_RIGHT, and `offset` for OFFSET. In a call with a state the queries are the last
 * T of all positions, whatever the alignment.
 */
#ifndef HEED_ABI_MASK_H
#define HEED_ABI_MASK_H

#include "base.h"

#define HEED_MASK_CAUSAL 1u      /* key position <= query position                              */
#define HEED_MASK_KEY_LENGTHS 2u /* only the first key_lengths[b] keys: the port of that name   */
#define HEED_MASK_WINDOW 4u      /* query - left <= key <= query + right                        */
#define HEED_MASK_PREFIX 8u      /* keys below `prefix` are seen by all, in spite of CAUSAL     */
#define HEED_MASK_SINKS 16u      /* keys below `sinks` are seen in spite of WINDOW              */
#define HEED_MASK_DOCUMENTS 32u  /* same document id only: the port of that name                */
#define HEED_MASK_KINDS 6u

#define HEED_ALIGN_TOP_LEFT 0u
#define HEED_ALIGN_BOTTOM_RIGHT 1u
#define HEED_ALIGN_OFFSET 2u

typedef struct heed_mask {
    uint32_t size;
    uint32_t kinds; /* a set of HEED_MASK_* */
    uint32_t align; /* HEED_ALIGN_*: where query 0 stands */
    uint32_t reserved;
    int64_t offset;
    int64_t left, right;
    int64_t prefix;
    int64_t sinks;
} heed_mask;

#endif
