/* SPDX-License-Identifier: MIT
 *
 * heed/abi/kv.h: "heed.kv/1", how an attention op stores the keys and values that it remembers: a
 * codec.
 *
 * An attention op with pages asks its codec for the bytes of a block, which is what one page has of
 * one head's keys or values; it encodes new rows into a block, and decodes blocks before it looks
 * at them. A codec works row by row: what it makes of a row follows from that row alone. So a text
 * that is read whole, in parts or token by token leaves the same bytes, and attention sees the same
 * decoded numbers, whatever the codec loses. All its paths make the same bytes, for a saved state
 * may be read on another machine.
 *
 * A block's bytes may come from anybody: a codec that decodes others than it wrote may give any
 * numbers, but it reads and writes nowhere else.
 */
#ifndef HEED_ABI_KV_H
#define HEED_ABI_KV_H

#include "base.h"

#define HEED_KV_ID "heed.kv/1"

/* Which number follows which in memory, on the side that is float32: by_channels 0: a row's
 * channels (values); 1: a channel's rows (keys, in the order in which a few queries want them). A
 * codec may store either as it likes. */
typedef struct heed_kv_block {
    uint32_t size;
    uint32_t by_channels;
    void *data;          /* aligned to 64 bytes */
    int64_t rows, width; /* of the whole block; rows is a multiple of 16 */
} heed_kv_block;

#define HEED_KV_ROWS 4 /* that `scores` and `values` get, at most */

/* A few rows and the keys [first, first + count) of a block, for an attention that reads it once
 * and has no use for it decoded in memory. first and count are multiples of 16, unless `count`
 * ends with the block's last key. */
typedef struct heed_kv_rows {
    uint32_t size;
    uint32_t masked; /* of values: weights below 0 stand for keys that are skipped */
    const heed_kv_block *block;
    const void *next; /* a block that comes next, to be prefetched; NULL: none */
    int64_t rows, first, count;
    const float *input; /* queries: row r's channel c is input[c * input_step + r];
                         * weights: row r's key k is input[r * input_step + k] */
    int64_t input_step;
    const float *alpha; /* of values: what row r has so far is multiplied with alpha[r] */
    float *out;         /* scores: row r's key k is out[r * out_step + k];
                         * values: row r's channel c is out[r * out_step + c] */
    int64_t out_step;
} heed_kv_rows;

typedef struct heed_kv {
    uint32_t size;
    uint32_t version;   /* of the layout: states of another one are refused */
    const char *format; /* names it, up to 15 letters and digits: "f16"; static storage */

    /* Bytes of a block of so many rows and channels; 0: it can have none such. [any] */
    uint64_t (*bytes)(const void *instance, int64_t rows, int64_t width, uint32_t by_channels);

    /* Rows [first, first + count) of a block become `from`: row i's channel c is from[i * step +
     * c], finite or not. What is finite stays so when it is decoded. [lane] */
    void (*encode)(const void *instance, const heed_kv_block *to, int64_t first, int64_t count,
                   const float *from, int64_t step);

    /* Rows [0, count) of a block to float32, aligned to 64 bytes: row r's channel c is to[r * step
     * + c], or by channels to[c * step + r]; step is a multiple of 16. What is side by side may be
     * written up to the next multiple of 16. [lane] */
    void (*decode)(const void *instance, const heed_kv_block *from, int64_t count, float *to,
                   int64_t step);

    /* The two products of attention, of the decoded numbers and with the bits of these chains of
     * fused multiply-adds; both, or both NULL. The scores of a key of the block are the chain over
     * rising channels c, from 0, of q[c] k[c]; a channel of the outputs is alpha times itself, and
     * then the chain over rising keys of weight[k] v[k]. Channels of `out` up to the next multiple
     * of 16 may be written. [lane] */
    void (*scores)(const void *instance, const heed_kv_rows *x);
    void (*values)(const void *instance, const heed_kv_rows *x);

    /* Makes of queries, in place, what keys as they are decoded are multiplied with: channel c of
     * query i is queries[c * step + i]; count and step are multiples of 16. For a codec whose keys
     * are decoded in other axes than they came in: with H k instead of k, where H is orthogonal,
     * H q gives the scores of q. NULL: queries stay as they are. [lane] */
    void (*rotate)(const void *instance, int64_t width, float *queries, int64_t count,
                   int64_t step);
} heed_kv;

#endif
