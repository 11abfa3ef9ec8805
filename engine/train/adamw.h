/* SPDX-License-Identifier: MIT
 *
 * adamw.h: AdamW, arXiv 1711.05101, algorithm 2, with the gradients clipped by their global norm
 * before (arXiv 1211.5063, section 3.2).
 */
#ifndef HEED_TRAIN_ADAMW_H
#define HEED_TRAIN_ADAMW_H

#include "base/local.h"

/* One tensor of the weights, and where its numbers begin in the flat arrays of the others. */
typedef struct adamw_tensor {
    const char *name;
    float *weight;
    int64_t first, n;
    int decays;    /* a matrix */
    double factor; /* of its rate; 0: it is frozen */
    int bounded;   /* to [0, 1], behind each step */
} adamw_tensor;

typedef struct adamw {
    adamw_tensor *tensors;
    uint32_t count;
    int64_t n;                         /* of all numbers */
    float *gradient, *moment, *square; /* [n] */
    double *sums;                      /* [adamw_sums] */
} adamw;

typedef struct adamw_rates {
    double rate, beta1, beta2, epsilon, decay;
    double clip;  /* the largest norm; 0: none */
    int64_t step; /* from 1 */
} adamw_rates;

HEED_LOCAL int64_t adamw_sums(const adamw *a);
/* The Euclidean norm of all gradients: float64, in the order of the tensors. */
HEED_LOCAL int32_t adamw_norm(heed_engine *engine, adamw *a, double *norm, heed_error *error);
/* The first tensor with a gradient that is no finite number; NULL: all are. */
HEED_LOCAL const adamw_tensor *adamw_stray(const adamw *a);
/* One step for all weights, by gradients of that norm. */
HEED_LOCAL int32_t adamw_step(heed_engine *engine, adamw *a, const adamw_rates *r, double norm,
                              heed_error *error);

#endif
