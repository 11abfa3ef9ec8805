/* SPDX-License-Identifier: MIT
 *
 * tape.h: the steps of a network, run on whole batches so that they can be run backwards.
 *
 * A session writes over what no later step reads. Here each step's output is a value of its own, in
 * memory that stays until its backward has run, and the list of steps is gone through from its end:
 * each op gives its own backward (heed.grad/1), and a value that several steps read has the sum of
 * what they hand back. There is no graph beside the list, and memory is linear in the tokens.
 */
#ifndef HEED_TRAIN_TAPE_H
#define HEED_TRAIN_TAPE_H

#include "model/stack.h"
#include "op/group.h"
#include "train/dropout.h"

typedef struct tape tape;

/* What a step's time is counted under. */
enum {
    TAPE_ATTENTION,
    TAPE_PRODUCTS, /* projections and feed-forwards */
    TAPE_NORMS,
    TAPE_OTHERS, /* embedding, positions, sums */
    TAPE_DROPOUT,
    TAPE_TIMES
};

/* The gradient of a weight: the tensor of the network's weights, and where it is added up. */
typedef struct tape_weight {
    const heed_tensor *weight;
    heed_tensor gradient;
    int frozen; /* it gets none */
} tape_weight;

/* For a network of logits or classes, whose ops must all have a backward, and whose weights are all among those
 * given; `drops`: with places for dropout. NULL and a sentence that names the op if it can not be. */
HEED_LOCAL tape *tape_new(heed_stack *stack, tape_weight *weights, uint32_t count, int drops,
                          heed_error *error);
HEED_LOCAL void tape_free(tape *t);

/* After `frozen` of some weights has changed: what lies below all that learn has no backward. */
HEED_LOCAL void tape_refresh(tape *t);

/* The results [texts, length, heed_stack_outputs] of a batch, or [texts, heed_stack_outputs] of a
 * network that makes one row of a text, until the next forward; `drop` NULL leaves nothing out;
 * `learns`: it is remembered, and remembers what was. */
HEED_LOCAL int32_t tape_forward(tape *t, const heed_batch *batch, const dropout *drop, int learns,
                                heed_tensor *results, heed_error *error);
/* Where the gradient of the results of the last forward is to be written. */
HEED_LOCAL int32_t tape_gradient(tape *t, heed_tensor *gradient, heed_error *error);
/* Then adds to the gradients of all weights. `drop` as in the forward. */
HEED_LOCAL int32_t tape_backward(tape *t, const dropout *drop, heed_error *error);

/* Every backward tells `see` of the gradient [batch, length, width] of what flows into the first layer
 * as soon as it is whole; NULL: nobody. */
typedef void tape_see(void *to, const float *gradient);
HEED_LOCAL void tape_watch(tape *t, tape_see *see, void *to);

/* From now on a batch that is learned and `follows` the one before sees keys and values of that many
 * tokens before it, which have no gradient (arXiv 1901.02860, section 3.2). After the numbers of
 * weights have changed: tape_rebind. */
HEED_LOCAL int32_t tape_remember(tape *t, int64_t tokens, heed_error *error);
HEED_LOCAL int32_t tape_rebind(tape *t, heed_error *error);
/* What is remembered, for a checkpoint: how many tensors [batch, have, floats] it is, and each. */
HEED_LOCAL uint32_t tape_recalled(const tape *t, int64_t *have, int64_t *start);
HEED_LOCAL const heed_tensor *tape_recalled_at(const tape *t, uint32_t i);
HEED_LOCAL int32_t tape_recalled_put(tape *t, uint32_t i, const heed_tensor *from,
                                     heed_error *error);
HEED_LOCAL void tape_recalled_at_place(tape *t, int64_t have, int64_t start);

/* What the last forward's tokens have spent where they halt (arXiv 1603.08983): of how many tokens, the
 * sum of the layers that each ran through, and of what was left of its weight for the last one. */
HEED_LOCAL int64_t tape_ponder(const tape *t, double *steps, double *rest);
HEED_LOCAL int tape_halts(const tape *t);
/* Behind tape_gradient: the gradient of `factor` times the sum of both. */
HEED_LOCAL int32_t tape_ponder_backward(tape *t, double factor, heed_error *error);

/* How far tokens look, where that follows from each (attention/dynamic_span): the mean of the last forward,
 * in tokens, of the step of that number that has it, and of which part it is; -1: there is no such. */
HEED_LOCAL double tape_reach(const tape *t, uint32_t which, const char **part);
/* From now on a backward adds the gradient of `factor` times the mean over heads of each token's, of a
 * network that makes one row of a text of the mean over its tokens. */
HEED_LOCAL void tape_reach_weigh(tape *t, double factor);

/* A classifier beside the network, of what flows out of a layer, for training alone: a projection
 * whose weight is the one of that number. Its own number. */
HEED_LOCAL int32_t tape_add_head(tape *t, int64_t layer, const heed_instance *projection,
                                 uint32_t weight, uint32_t *head, heed_error *error);
/* Behind tape_gradient: its results, and where their gradient is to be written; then what it adds to
 * the gradients of its weight and of what flows there. */
HEED_LOCAL int32_t tape_head_forward(tape *t, uint32_t head, heed_tensor *results,
                                     heed_tensor *gradient, heed_error *error);
HEED_LOCAL int32_t tape_head_backward(tape *t, uint32_t head, heed_error *error);

/* From now on, unless `first` is NULL, a batch that runs is the texts [first[rank], first[rank + 1]) of
 * the one that all ranks learn together, and the gradients of weights are those of all of them, with
 * the bits of one rank. `first` [ranks + 1] must stay. */
HEED_LOCAL int32_t tape_spread(tape *t, heed_group *group, const int64_t *first, heed_error *error);

/* Seconds that went into each kind of step so far. */
HEED_LOCAL const double *tape_seconds(const tape *t);
/* Bytes that it holds for values and their gradients. */
HEED_LOCAL uint64_t tape_bytes(const tape *t);

#endif
