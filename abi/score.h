/* SPDX-License-Identifier: MIT
 *
 * heed/abi/score.h: "heed.score/1", an op that fills or changes one tile of attention scores while it is in cache.
 *
 * An attention op calls it once per tile, before masking; masked entries may hold anything. This is how a bias such as
 * ALiBi's works with any attention from outside its .so, and no tensor of size T x S ever exists.
 *
 * A filler is another attention that tells its scores: a mixture of several asks each for the same tile. All rows of a
 * tile that is filled are of one head.
 */
#ifndef HEED_ABI_SCORE_H
#define HEED_ABI_SCORE_H

#include "base.h"

#define HEED_SCORE_ID "heed.score/1"

#define HEED_TILE_CONSECUTIVE 1u /* all rows are of one head, and row r has position position[0] + r */

/* Entry (key, row) is s[key * key_stride + row * row_stride], float32. One of the strides is 1; that extent is padded
 * to a multiple of 16 and is aligned to 64 bytes, so that whole vectors may be read and written. `position` and `head`
 * are padded likewise when row_stride is 1. */
typedef struct heed_score_tile {
    uint32_t size;
    uint32_t flags;
    float *s;
    int64_t key_stride, row_stride;
    int64_t keys, rows;
    int64_t first_key;        /* position of key 0; the others follow */
    const int64_t *position;  /* of each row's query */
    const int32_t *head;      /* of each row */
    const float *query;       /* row r's vector times query_unit, element d: query[d * query_stride + r];
                               * padded as rows are */
    int64_t query_stride;
    int64_t batch;
    float unit;               /* scores are in this unit: every term is to be multiplied by it */
    float query_unit;
    const float *key;         /* key k's vector, element d: key[k * key_row + d * key_step]; NULL: there are none */
    int64_t key_row, key_step;
    int64_t width;            /* of both; 0: there are no queries */
} heed_score_tile;

/* What a filler is asked for; -1: not known yet. */
typedef struct heed_score_fit {
    uint32_t size;
    uint32_t reserved;
    int64_t first, positions;        /* queries and keys are at positions in [first, positions) */
    int64_t heads;
    int64_t query_width, key_width;  /* 0: the tiles have none */
    const heed_sink *sink;
} heed_score_fit;

typedef struct heed_score {
    uint32_t size;
    uint32_t fills; /* 1: writes the scores; 0: changes what is there */
    void (*tile)(const void *instance, const heed_score_tile *tile); /* [lane] */
    /* Of a filler: whether it can for these, or fails and says why. [any] */
    int32_t (*fits)(const void *instance, const heed_score_fit *fit);
} heed_score;

#endif
