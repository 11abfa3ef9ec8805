/* SPDX-License-Identifier: MIT
 *
 * tree.c: nodes of the tree of spans. The order of merges follows from the nodes alone, and not from
 * when they come: a node is merged with its neighbour and with nothing else.
 */
#include <stdlib.h>
#include <string.h>

#include "op/tree.h"

#define ROWS_AT_ONCE 64 /* of a tile of merging */

uint32_t tree_cover(int64_t from, int64_t to, int64_t spans, tree_node node[TREE_NODES])
{
    uint32_t n = 0;
    for (int64_t at = from; at < to;) {
        /* the largest node that begins here, and has no span of others; behind the text are none */
        int level = 0;
        while (level < 62 && at % ((int64_t)2 << level) == 0 && (at + ((int64_t)1 << level) < to) &&
               (at + ((int64_t)2 << level) <= to || to == spans))
            level++;
        node[n++] = (tree_node){level, at >> level};
        at += (int64_t)1 << level;
    }
    return n;
}

tree_node tree_run(int64_t span, uint32_t ranks)
{
    const int64_t most = span / (4 * (int64_t)ranks);
    const int level = most > 1 ? 63 - __builtin_clzll((unsigned long long)most) : 0;
    return (tree_node){level, span >> level};
}

uint32_t tree_rank(int64_t span, uint32_t ranks)
{
    return (uint32_t)(tree_run(span, ranks).index % ranks);
}

float *tree_take(tree *t)
{
    if (t->n_spare) return t->spare[--t->n_spare];
    const uint64_t bytes = (uint64_t)(t->rows * t->floats) * sizeof(float);
    return aligned_alloc(64, (bytes + 127) & ~(uint64_t)63);
}

static void give(tree *t, float *rows)
{
    if (rows && t->n_spare < TREE_NODES) t->spare[t->n_spare++] = rows;
    else free(rows);
}

typedef struct merging {
    const tree *t;
    float *left;
    const float *right;
} merging;

static void merge_rows(void *arg, int64_t tile, uint32_t lane)
{
    const merging *m = arg;
    const int64_t first = tile * ROWS_AT_ONCE, left = m->t->rows - first, at = first * m->t->floats;
    (void)lane;
    m->t->partial->merge(m->left + at, m->right + at, left < ROWS_AT_ONCE ? left : ROWS_AT_ONCE,
                         m->t->floats);
}

static int take_kept(tree *t, tree_node node, float **rows)
{
    for (uint32_t i = 0; i < t->count; i++) {
        if (t->kept[i].node.level != node.level || t->kept[i].node.index != node.index) continue;
        *rows = t->kept[i].rows;
        t->kept[i] = t->kept[--t->count];
        return 1;
    }
    return 0;
}

/* The rows of two neighbours, in the memory of one of them; the other's is free again. */
static int32_t merge(tree *t, float *left, float *right, float **rows)
{
    const int64_t tiles = (t->rows + ROWS_AT_ONCE - 1) / ROWS_AT_ONCE;
    merging m = {t, left, right};
    *rows = left ? left : right;
    if (!left || !right) return HEED_OK;
    const int32_t failed = t->host->parallel_for(t->host, tiles, merge_rows, &m);
    give(t, right);
    return failed;
}

int32_t tree_put(tree *t, tree_node node, float *rows)
{
    while (node.index > 0 || t->spans > (int64_t)1 << node.level) {
        const tree_node other = {node.level, node.index ^ 1};
        if (other.index << other.level < t->spans) { /* else nobody has it: nothing to merge */
            float *found;
            if (!take_kept(t, other, &found)) break;
            const int32_t failed =
                node.index & 1 ? merge(t, found, rows, &rows) : merge(t, rows, found, &rows);
            if (failed) return give(t, rows), failed;
        }
        node.index >>= 1, node.level++;
    }
    if (t->count == TREE_NODES) return give(t, rows), HEED_E_MEMORY;
    t->kept[t->count].node = node, t->kept[t->count++].rows = rows;
    return HEED_OK;
}

float *tree_root(const tree *t)
{
    if (t->count != 1 || t->kept[0].node.index || t->spans > (int64_t)1 << t->kept[0].node.level)
        return NULL;
    return t->kept[0].rows;
}

void tree_free(tree *t)
{
    while (t->count) free(t->kept[--t->count].rows);
    while (t->n_spare) free(t->spare[--t->n_spare]);
}
