/* SPDX-License-Identifier: MIT
 *
 * trainer.h: a trainer, from inside: for trainer.c, which makes and runs one, and trainer_saved.c.
 */
#ifndef HEED_TRAIN_TRAINER_H
#define HEED_TRAIN_TRAINER_H

#include "io/weights.h"
#include "train/optimiser.h"
#include "train/tape.h"

/* What the time of training goes to, beside the steps of the network. */
enum { TRAINER_LOSS = TAPE_TIMES, TRAINER_OPTIMISER, TRAINER_TIMES };

/* The classifier of a layer for its target-th next token. */
typedef struct trainer_head {
    heed_instance *projection;
    int64_t layer, target;
    uint32_t number; /* of the tape */
    double weight;   /* of its loss; 0: it does nothing */
} trainer_head;

/* How far the heads of a layer look, the weight `span` of an attention (abi/ABI.md): a share of its
 * `limit`. */
typedef struct trainer_span {
    uint32_t weight; /* which one */
    double limit;
} trainer_span;

struct heed_trainer {
    heed_engine *engine;
    heed_recipe recipe;
    heed_weights *weights; /* its own, float32; the stack is bound to them */
    heed_stack *stack;
    heed_instance *loss;
    tape *tape;
    trainer_head *heads;
    uint32_t n_heads;
    trainer_span *spans;
    uint32_t n_spans;
    double
        aside; /* what the losses of the classifiers were, times their weights, when last learned */
    tape_weight *gradients; /* [weights->count] views of optimiser.gradient */
    optimiser optimiser;
    int64_t steps;
    uint32_t batches; /* micro-batches since the last step */
    float *nll;       /* of one, its gradient, and where ranks share it that of all of them */
    int32_t *later;   /* its targets, of a classifier */
    int64_t room;     /* of all of these */
    heed_group *group; /* NULL: batches are not shared */
    int64_t *first;    /* [ranks + 1] of a batch's texts, of each rank */
    double seconds[TRAINER_TIMES];
};

/* What heed_trainer_learn_batch and heed_trainer_loss_batch (trainer_batch.c) do with this rank's texts. */
HEED_LOCAL int32_t trainer_check_batch(const heed_trainer *t, const heed_batch *b,
                                       heed_error *error);
HEED_LOCAL int32_t trainer_learn(heed_trainer *t, const heed_batch *batch, double share,
                                 double *nats, heed_error *error);
HEED_LOCAL int32_t trainer_loss(heed_trainer *t, const heed_batch *batch, float *nll,
                                float *results, heed_error *error);
/* A rank's part of a batch; and of what is `bytes` for each of its texts, everybody's. */
HEED_LOCAL void trainer_ranks_part(heed_trainer *t, const heed_batch *all, heed_batch *part);
HEED_LOCAL int32_t trainer_ranks_gather(heed_trainer *t, void *texts, uint64_t bytes,
                                        heed_error *error);

/* Seconds by TAPE_* and TRAINER_*. */
HEED_LOCAL void trainer_seconds(const heed_trainer *t, double *seconds);
/* What a checkpoint says beside its tensors; free it. NULL: it has none of that name, or error. */
HEED_LOCAL char *trainer_note(const char *path, heed_error *error);

/* heed_trainer_export as a file of another form: its metadata, and, if not NULL, other tensors than the
 * weights, of float32. */
typedef struct trainer_file {
    const heed_weights *tensors;
    const weights_note *notes;
    uint32_t n_notes;
} trainer_file;
HEED_LOCAL int32_t trainer_export(const heed_trainer *t, const char *path, uint32_t dtype,
                                  const trainer_file *file, heed_error *error);
/* Weights for a network of that spec: those of `from`, which must outlive them, but new ones of its
 * output. */
HEED_LOCAL heed_weights *trainer_with_head(heed_engine *engine, const char *spec,
                                           const heed_weights *from, uint64_t seed,
                                           heed_error *error);

/* That x is a number from `least` to below `below`, or the sentence that says which is not. */
HEED_LOCAL int32_t trainer_check(double x, double least, double below, const char *name,
                                 heed_error *error);
/* The instances take over the numbers that the weights have now. */
HEED_LOCAL int32_t trainer_rebind(heed_trainer *t, heed_error *error);

#endif
