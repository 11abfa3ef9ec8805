/* SPDX-License-Identifier: MIT
 *
 * heed/abi/grad.h: "heed.grad/1", the backward of an op: from the gradients of its outputs to
 * those of its inputs and weights.
 *
 * An op saves nothing in its forward for this: what backward needs beside the inputs and weights
 * is among the outputs, such as the log-sum-exps of an attention, and `reads` says which; the rest
 * it computes again. So forward is the same with and without training, and a call that was run
 * long ago, or on another machine, has a backward as well.
 *
 * All gradients are float32, whatever the dtypes of the tensors are, and have their tensors'
 * shapes. Bound by: each element is one chain of operations that follows from the shapes alone, so
 * that the bits are the same on every path and at any number of threads; no two lanes add to one
 * number. A sum over many rows is one chain a fixed block of rows, and the blocks are added by a
 * fixed binary tree over their index.
 */
#ifndef HEED_ABI_GRAD_H
#define HEED_ABI_GRAD_H

#include "call.h"
#include "score.h"

#define HEED_GRAD_ID "heed.grad/1"

/* Of an op on scores: what it adds to them depends on no input of a call, so that gradients of the
 * scores are those before it. It has no `backward` then; `gives` are weights of which it has a
 * heed_score_grad. */
#define HEED_GRAD_ADDS 1u
/* The op has the gradients of weights of the ops on scores inside of it, those that they give. */
#define HEED_GRAD_INNER 2u
/* Each row of the inputs, which have all the leading axes of the output, gives a row of it, and a
 * gradient of a weight is a sum over them: a chain for each HEED_GRAD_BLOCK rows, and these are added
 * by the binary tree that adds pairs, and then pairs of them; an odd last one goes up as it is. So
 * backward of the rows of one node of that tree gives its sum, and ranks that have some of the rows
 * each can make the sum of one. Leading axes may be 1 then. */
#define HEED_GRAD_ROWS 4u
#define HEED_GRAD_BLOCK 256

typedef struct heed_grad_call {
    uint32_t size;
    uint32_t reserved;
    /* That of the forward: lanes, host, sink; its inputs, and those outputs that `reads` names;
     * mask and values. It has no state. Workspace and scratch are as `measure` says. */
    const heed_call *call;
    const heed_child *child; /* [params] as when it was opened */
    /* [ports] as when it was opened; NULL where the port is none or left out */
    const heed_tensor *const *weight;
    /* [ports] float32. Of an output: what comes, NULL where it is zero, as not all are. Of an
     * input: what is written in whole. Of a weight: what is added to. NULL where it is not wanted.
     * */
    const heed_tensor *const *gradient;
    /* [params] of an op inside, its [ports]: float32, what gradients of its weights are added to;
     * NULL where none is wanted, and altogether where none at all is. Of HEED_GRAD_INNER. */
    const heed_tensor *const *const *inner;
} heed_grad_call;

/* From heed_path.get_extension. Sets of ports: bit i is port i of the op's table. */
typedef struct heed_grad {
    uint32_t size;
    uint32_t flags; /* HEED_GRAD_* */
    uint32_t gives; /* inputs and weights of floats whose gradients it has */
    uint32_t takes; /* outputs through which gradients come */
    uint32_t reads; /* outputs of the forward that it needs, optional ones among them */
    uint32_t reserved;

    /* What a backward of these shapes needs (tensors' data may be NULL); NULL: nothing. [any] */
    int32_t (*measure)(const void *instance, const heed_grad_call *call, heed_call_size *size);

    /* Computes every gradient that is wanted, or fails and says why in call->call->sink. Allocates
     * nothing, keeps nothing. [any] */
    int32_t (*backward)(const void *instance, const heed_grad_call *call);
} heed_grad;

/* Of an op on scores (heed.score/1) that adds to them what its weights say. The sum is linear in the
 * weights, so their gradients follow from sums over the tiles of a call, which the attention keeps:
 * one chain for each of its tasks, from 0, and these are added by a binary tree over their index. */
#define HEED_SCORE_GRAD_ID "heed.score_grad/1"
typedef struct heed_score_grad {
    uint32_t size;
    uint32_t reserved;
    int64_t (*floats)(const void *instance); /* of the sums. [any] */
    /* Adds to `sums` what the gradients of a tile's scores say, tile->s, in units of 1. Those of
     * masked pairs are 0, and rows lie together. [lane] */
    void (*tile)(const void *instance, const heed_score_tile *tile, float *sums);
    /* Adds what the sums say to gradients of weights, [its ports], each of them or NULL. [any] */
    void (*add)(const void *instance, const float *sums, const heed_tensor *const *gradient);
} heed_score_grad;

/* Of a filler (heed.score/1 with fills = 1): from the gradients of a tile's scores to those of what
 * it made them from. An attention that mixes scores calls it, and has the gradients of the weights
 * that the filler's heed_grad gives (HEED_GRAD_INNER). Tiles of one head come one after another, and
 * those of all heads where a weight's first axis does not have one for each; so do sequences. */
#define HEED_FILL_GRAD_ID "heed.fill_grad/1"
typedef struct heed_fill_tile {
    uint32_t size;
    uint32_t reserved;
    /* As it was filled, with unit 1; but s has the gradients of the scores, and may be changed. Rows lie
     * together. */
    const heed_score_tile *tile;
    const float *weight; /* as s lies: below 0 where a pair is masked and has no part in any sum */
    /* Gradients of the rows' vectors, as tile->query lies, and of the keys', element d of key k at
     * key[k * key_row + d]: they are added to. NULL: there are none. */
    float *query, *key;
    int64_t key_row;
    const heed_tensor *const
        *gradient; /* [its ports] of weights, added to; or NULL, as each may be */
} heed_fill_tile;

typedef struct heed_fill_grad {
    uint32_t size;
    uint32_t reserved;
    void (*tile)(const void *instance, const heed_fill_tile *tile); /* [lane] */
} heed_fill_grad;

#endif
