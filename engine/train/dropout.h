/* SPDX-License-Identifier: MIT
 *
 * dropout.h: elements that are left out by chance (Srivastava et al. 2014, section 4): each stays
 * with the chance 1 - p and is then divided by it, so that sums keep their means.
 */
#ifndef HEED_TRAIN_DROPOUT_H
#define HEED_TRAIN_DROPOUT_H

#include "base/local.h"

/* Which elements of an array of n go: by the seed, the step of the training, the micro-batch in it,
 * and the place in the network. */
typedef struct dropout {
    double share;  /* p, of which 1/65536 is the finest */
    uint64_t seed; /* of the training */
    int64_t step;
    uint32_t batch, place;
    int64_t first; /* elements of it that others have: these are from there on */
} dropout;

/* to = from with elements left out, and in keep [n] which ones stay: 1. to may be from. */
HEED_LOCAL int32_t dropout_run(heed_engine *engine, const dropout *d, uint8_t *keep, float *to,
                               const float *from, int64_t n, heed_error *error);
/* The same ones left out of another array: the backward. */
HEED_LOCAL int32_t dropout_again(heed_engine *engine, const dropout *d, const uint8_t *keep,
                                 float *to, const float *from, int64_t n, heed_error *error);

#endif
