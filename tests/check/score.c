/* SPDX-License-Identifier: MIT
 *
 * score.c: heed.score/1 by itself: one tile, with the rows or the keys together in memory, on every
 * path, and in parts.
 */
#include <stdlib.h>
#include <string.h>

#include "check/score.h"
#include "inspect.h"

enum { ROWS_MAX = 48, KEYS_MAX = 64, WIDTH_MAX = 512 };

/* The score op inside an instance, on its path. */
static const heed_score *score_of(const heed_instance *i, const void **instance)
{
    for (uint32_t p = 0; p < heed_instance_op(i)->params.count; p++) {
        const heed_child *child = inspect_child(i, p);
        if (!child->instance || !child->path->get_extension ||
            !child->path->get_extension(HEED_SCORE_ID))
            continue;
        *instance = child->instance;
        return child->path->get_extension(HEED_SCORE_ID);
    }
    return NULL;
}

int has_score(const subject *s)
{
    const void *instance = NULL;
    if (s->c.oracle.axis['H' - 'A'] < 1 || s->c.oracle.axis['D' - 'A'] > WIDTH_MAX) return 0;
    heed_instance *i = call_open(&s->c, s->paths[0], 1);
    const heed_score *score = score_of(i, &instance);
    heed_instance_close(i);
    return score != NULL;
}

/* What all runs of one tile share. */
typedef struct rows {
    int64_t keys, rows, first_key, D;
    int64_t position[ROWS_MAX + 16];
    int32_t head[ROWS_MAX + 16];
    float query[WIDTH_MAX * (ROWS_MAX + 16)], start[KEYS_MAX * ROWS_MAX];
} rows;

static void make_rows(rows *r, const subject *s, uint64_t *seed)
{
    const int64_t H = s->c.oracle.axis['H' - 'A'];
    r->D = s->c.oracle.axis['D' - 'A'] > 0 ? s->c.oracle.axis['D' - 'A'] : 0;
    r->keys = 1 + (int64_t)(harness_random(seed) % KEYS_MAX);
    r->rows = 1 + (int64_t)(harness_random(seed) % ROWS_MAX);
    r->first_key = (int64_t)(harness_random(seed) % 3) * 1000;
    for (int i = 0; i < ROWS_MAX + 16; i++) {
        r->position[i] = (int64_t)(harness_random(seed) % 3000);
        r->head[i] = (int32_t)(harness_random(seed) % (uint64_t)H);
    }
    for (int64_t i = 0; i < r->D * (ROWS_MAX + 16); i++) r->query[i] = harness_normal(seed);
    for (int i = 0; i < KEYS_MAX * ROWS_MAX; i++) r->start[i] = harness_normal(seed);
}

/* Scores [keys][rows] of the tile into `to`, from memory that ends where the tile's padding ends;
 * in parts of 16 rows and keys if `parts` is set. */
static void run_tile(const subject *s, const char *path, const rows *r, int rows_together,
                     int parts, float *to)
{
    const void *instance = NULL;
    heed_instance *i = call_open(&s->c, path, 1);
    const heed_score *score = score_of(i, &instance);
    const int64_t inner = ((rows_together ? r->rows : r->keys) + 15) / 16 * 16;
    const int64_t dim[] = {rows_together ? r->keys : r->rows, inner};
    heed_tensor shape = heed_tensor_of(NULL, HEED_F32, 2, dim);
    placed at = place(&shape, PLAIN);
    float *tile = at.view.data;
    const int64_t ks = rows_together ? inner : 1, rs = rows_together ? 1 : inner;
    memset(tile, 0, sizeof *tile * (size_t)(dim[0] * inner));
    for (int64_t k = 0; k < r->keys; k++)
        for (int64_t row = 0; row < r->rows; row++)
            tile[k * ks + row * rs] = r->start[k * ROWS_MAX + row];
    const int64_t key_cut = parts && r->keys > 16 ? 16 : r->keys,
                  row_cut = parts && r->rows > 16 ? 16 : r->rows;
    for (int64_t k = 0; k < r->keys; k += key_cut)
        for (int64_t row = 0; row < r->rows; row += row_cut) {
            heed_score_tile t = {.size = sizeof t,
                                 .s = tile + k * ks + row * rs,
                                 .key_stride = ks,
                                 .row_stride = rs,
                                 .keys = r->keys - k < key_cut ? r->keys - k : key_cut,
                                 .rows = r->rows - row < row_cut ? r->rows - row : row_cut,
                                 .first_key = r->first_key + k,
                                 .position = r->position + row,
                                 .head = r->head + row,
                                 .query = r->query + row,
                                 .query_stride = ROWS_MAX + 16,
                                 .unit = 1.44269504f};
            score->tile(instance, &t);
        }
    for (int64_t k = 0; k < r->keys; k++)
        for (int64_t row = 0; row < r->rows; row++)
            to[k * ROWS_MAX + row] = tile[k * ks + row * rs];
    if (placed_stray(&at) >= 0) harness_fail("%s writes beside the tile", path);
    unplace(&at);
    heed_instance_close(i);
}

void check_score(subject *s)
{
    static rows r;
    static float first[KEYS_MAX * ROWS_MAX], other[KEYS_MAX * ROWS_MAX];
    uint64_t seed = s->seed;
    make_rows(&r, s, &seed);
    run_tile(s, s->paths[0], &r, 1, 0, first);
    for (int p = 0; p < s->n_paths; p++)
        for (int way = 0; way < 4; way++) {
            run_tile(s, s->paths[p], &r, way & 1, way >> 1, other);
            for (int64_t k = 0; k < r.keys; k++)
                for (int64_t row = 0; row < r.rows; row++)
                    if (memcmp(&first[k * ROWS_MAX + row], &other[k * ROWS_MAX + row],
                               sizeof *first))
                        harness_fail(
                            "%s, %s together in memory, %s: key %lld of row %lld is %.9g, not %.9g",
                            s->paths[p], way & 1 ? "rows" : "keys", way >> 1 ? "in parts" : "whole",
                            (long long)k, (long long)row, (double)other[k * ROWS_MAX + row],
                            (double)first[k * ROWS_MAX + row]);
        }
}
