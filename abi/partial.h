/* SPDX-License-Identifier: MIT
 *
 * heed/abi/partial.h: "heed.partial/1", an attention in parts: what queries have of some of the keys,
 * to be merged later with what they have of the others.
 *
 * The keys of a text are cut into spans, at absolute multiples, and the spans are the leaves of a
 * binary tree: node `index` of `level` has the spans [index << level, (index + 1) << level). What a
 * query has of a node is one row of floats. Whoever has the keys of a node computes its rows; two
 * neighbours of a level, merged, are the rows of the node above them; and what is finished from the
 * rows of the root has the bits of the op's own forward. So threads, calls and machines may each
 * have some keys. A node that has no key at all takes no part: its neighbour's rows are those above.
 */
#ifndef HEED_ABI_PARTIAL_H
#define HEED_ABI_PARTIAL_H

#include "call.h"

#define HEED_PARTIAL_ID "heed.partial/1"

/* A call of which only some keys are here. `call` is as for forward, but that axis S is the keys of
 * the whole text, of which the tensors k and v have those from `first_key` on, or, with a state,
 * the new keys of the whole text; pages of keys that are elsewhere are NULL, and new keys of such a
 * page are not stored. T is the queries that are here: [first_query, first_query + T) of the text's
 * `queries`. A tensor with an axis S of other inputs has all keys. */
typedef struct heed_partial_call {
    uint32_t size;
    uint32_t nodes;
    const heed_call *call;
    int64_t first_query, queries, first_key;
    const int64_t *node; /* [nodes][2] level and index; all keys of these are here */
    float *const *to;    /* [nodes] rows [B, T, H, floats], the result of `compute` */
    float *rows;         /* of the root, for `finish` */
    /* [B, T, H], zeros at first: what `finish` asks `compute` to do otherwise in the next round */
    float *lift;
    int64_t round; /* 0, or 1 and 2 after a `finish` that asked for one more */
} heed_partial_call;

/* From heed_path.get_extension. */
typedef struct heed_partial {
    uint32_t size;
    uint32_t reserved;
    int64_t span; /* keys of a span */

    /* Floats of a row. [any] */
    int64_t (*floats)(const void *instance, const heed_call *call);
    /* Workspace and scratch of `compute` and `finish`. [any] */
    int32_t (*measure)(const void *instance, const heed_partial_call *x, heed_call_size *size);
    /* Stores the new keys, if there is a state, and writes the rows of each node. [any] */
    int32_t (*compute)(const void *instance, const heed_partial_call *x);
    /* `rows` rows become those of a node: left is what its first half gave, right its second. [any] */
    void (*merge)(float *left, const float *right, int64_t rows, int64_t floats);
    /* The outputs of the call, from the rows of the root. *again 1: a sum was too large for float32,
     * so all is to be computed once more, by everybody, with `lift` as it is now. [any] */
    int32_t (*finish)(const void *instance, const heed_partial_call *x, int32_t *again);
    /* Sets span[i] to 1 if a query of the call may see a key of the text's span i, and leaves the
     * others: what nobody sees need not be computed, nor be here. `call` and the numbers of queries
     * are read, and of tensors those that a mask has. NULL: all spans are seen. [any] */
    void (*seen)(const void *instance, const heed_partial_call *x, unsigned char *span);
} heed_partial;

#endif
