/* SPDX-License-Identifier: MIT
 *
 * heed/abi/mask.h: which keys a query may attend to, as one descriptor that rides in the call.
 *
 * An op declares the kinds that it honours (heed_op.masks); the engine refuses the others, so an op never has to look
 * for a kind that it did not name.
 *
 * Positions: without a state key j of a sequence has position j, and query i has position i + shift, where shift is 0
 * for TOP_LEFT, n - T for BOTTOM_RIGHT, n being the sequence's keys (key_lengths[b], or S), and `offset` for OFFSET;
 * the same for every kind. In a call with a state the queries are the last T of all positions, whatever the alignment.
 *
 * Kinds combine by AND. A query at position p of sequence b may attend to the key at position j if
 *
 *         KEY_LENGTHS   j < key_lengths[b]
 *     and CAUSAL        j <= p, or PREFIX and j < prefix
 *     and WINDOW        p - left <= j <= p + right, or SINKS and j < sinks
 *     and DOCUMENTS     documents[b][j] = the document of the query
 *     and BLOCKS        key_blocks[b][p / block_queries] has the number j / block_keys in it
 *
 * each as far as `kinds` has it. So PREFIX does nothing without CAUSAL, nor SINKS without WINDOW. The document of query
 * i is query_documents[b][i] where that input is bound, else documents[b][p]; a query at a p outside [0, S) has none,
 * and attends to nothing. Ids are any integers, in any order. A query with no key left gives zeros and a log-sum-exp of
 * -inf.
 *
 * A list of key_blocks [B, I, Y] has numbers of blocks of keys in rising order, and behind its end
 * -1; a query whose p is below 0 or not below I block_queries has no list, and attends to nothing.
 */
#ifndef HEED_ABI_MASK_H
#define HEED_ABI_MASK_H

#include "base.h"

#define HEED_MASK_CAUSAL 1u      /* no later key                                              */
#define HEED_MASK_KEY_LENGTHS 2u /* only the first key_lengths[b] keys: the port of that name */
#define HEED_MASK_WINDOW 4u      /* near keys only                                            */
#define HEED_MASK_PREFIX 8u      /* keys below `prefix` are seen in spite of CAUSAL           */
#define HEED_MASK_SINKS 16u      /* keys below `sinks` are seen in spite of WINDOW            */
#define HEED_MASK_DOCUMENTS 32u  /* keys of the query's document only: the port of that name  */
#define HEED_MASK_BLOCKS 64u     /* keys of listed blocks only: the port key_blocks           */
#define HEED_MASK_KINDS 7u

#define HEED_ALIGN_TOP_LEFT 0u
#define HEED_ALIGN_BOTTOM_RIGHT 1u
#define HEED_ALIGN_OFFSET 2u

typedef struct heed_mask {
    uint32_t size;
    uint32_t kinds; /* a set of HEED_MASK_* */
    uint32_t align; /* HEED_ALIGN_*: where query 0 stands */
    uint32_t reserved;
    int64_t offset; /* all of these are within +-2^40: sums of a few do not overflow */
    int64_t left, right;
    int64_t prefix;
    int64_t sinks;
    int64_t block_queries, block_keys; /* how many a block has; both at least 1 with BLOCKS */
} heed_mask;

#endif
