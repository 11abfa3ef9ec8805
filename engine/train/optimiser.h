/* SPDX-License-Identifier: MIT
 *
 * optimiser.h: what makes a step of gradients, behind clipping by their global norm (arXiv 1211.5063,
 * section 3.2). A kind of it is a row of the table in optimiser.c.
 */
#ifndef HEED_TRAIN_OPTIMISER_H
#define HEED_TRAIN_OPTIMISER_H

#include "base/local.h"

/* One tensor of the weights, and where its numbers begin in the flat arrays of the others. */
typedef struct optimiser_tensor {
    const char *name;
    float *weight;
    int64_t first, n;
    int decays;    /* a matrix */
    double factor; /* of its rate; 0: it is frozen */
    int bounded;   /* to [0, 1], behind each step */
} optimiser_tensor;

typedef struct optimiser {
    uint32_t kind; /* HEED_ADAMW, HEED_SGD */
    optimiser_tensor *tensors;
    uint32_t count;
    int64_t n;                         /* of all numbers */
    float *gradient, *moment, *square; /* [n]; square NULL: its kind has one moment */
    double *sums;                      /* [optimiser_sums] */
} optimiser;

typedef struct optimiser_rates {
    double rate, beta1, beta2, epsilon, decay;
    double clip;  /* the largest norm; 0: none */
    int64_t step; /* from 1 */
} optimiser_rates;

/* "adamw", "sgd"; NULL: there is no such kind. */
HEED_LOCAL const char *optimiser_name(uint32_t kind);
/* How many arrays of moments it keeps, 1 or 2. */
HEED_LOCAL uint32_t optimiser_moments(uint32_t kind);
HEED_LOCAL int64_t optimiser_sums(const optimiser *o);
/* The Euclidean norm of all gradients: float64, in the order of the tensors. */
HEED_LOCAL int32_t optimiser_norm(heed_engine *engine, optimiser *o, double *norm,
                                  heed_error *error);
/* The first tensor with a gradient that is no finite number; NULL: all are. */
HEED_LOCAL const optimiser_tensor *optimiser_stray(const optimiser *o);
/* One step for all weights, by gradients of that norm. */
HEED_LOCAL int32_t optimiser_step(heed_engine *engine, optimiser *o, const optimiser_rates *r,
                                  double norm, heed_error *error);

#endif
