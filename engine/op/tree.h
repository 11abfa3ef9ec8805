/* SPDX-License-Identifier: MIT
 *
 * tree.h: the tree of spans (abi/partial.h) as the engine sees it: which nodes cover some spans,
 * which rank has which spans of a text that grows, and rows of nodes on their way to the root.
 */
#ifndef HEED_OP_TREE_H
#define HEED_OP_TREE_H

#include <heed/abi/partial.h>

#include "base/local.h"

#define TREE_NODES 128 /* that cover a run of spans, and that wait, at most */

/* As heed_partial_call.node has them. */
typedef struct tree_node {
    int64_t level, index;
} tree_node;

/* Spans of so many keys; a text without keys has one. */
static inline int64_t tree_spans(const heed_partial *p, int64_t keys)
{
    return keys > 0 ? (keys + p->span - 1) / p->span : 1;
}

/* The fewest nodes that cover spans [from, to) of `spans`. */
HEED_LOCAL uint32_t tree_cover(int64_t from, int64_t to, int64_t spans, tree_node node[TREE_NODES]);

/* A text's spans are dealt out in runs, each of which is one node. Runs become longer as the text
 * does, by twice where it has become twice as long: so no rank has much more than another, whatever
 * the text's length will be, and each has some nodes a doubling only.
 *
 *     2 ranks, spans   0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 ...
 *     has rank         0 1 0 1 0 1 0 1 0 1  0  1  0  1  0  1  0  0  1  1  0
 *
 * The run that a span is in, and its rank. */
HEED_LOCAL tree_node tree_run(int64_t span, uint32_t ranks);
HEED_LOCAL uint32_t tree_rank(int64_t span, uint32_t ranks);

/* Rows of nodes: two neighbours are merged once both are there. */
typedef struct tree {
    const heed_partial *partial;
    const heed_host *host;
    int64_t spans, rows, floats;
    struct {
        tree_node node;
        float *rows;
    } kept[TREE_NODES];
    uint32_t count;
    float *spare[TREE_NODES]; /* buffers that nobody uses */
    uint32_t n_spare;
} tree;

/* Memory for the rows of a node, or NULL. */
HEED_LOCAL float *tree_take(tree *t);
/* The rows of a node are there, in memory of tree_take, which is the tree's from now on. NULL: no
 * query sees a key of it, and its neighbour's rows are those above. */
HEED_LOCAL int32_t tree_put(tree *t, tree_node node, float *rows);
/* Those of the root, once all nodes are there; else NULL, as where no query sees any of them. */
HEED_LOCAL float *tree_root(const tree *t);
HEED_LOCAL void tree_free(tree *t);

#endif
