/* SPDX-License-Identifier: MIT
 *
 * laws.h: scaling laws: the loss that networks of a size had after so many tokens, as papers have
 * fitted it. Each says on which sizes it was fitted, and no more is known.
 */
#ifndef HEED_MODEL_LAWS_H
#define HEED_MODEL_LAWS_H

#include "base/local.h"

enum { LAW_CHINCHILLA, LAW_EPOCH, LAW_DATA, LAWS };

/* loss = E + A / N^alpha + B / D^beta, in nats a token of the corpus that it was fitted on. */
typedef struct law {
    const char *name, *source;
    double E, A, B, alpha, beta;
    /* of a law that knows repeats: how many count, of the tokens and of parameters beyond those that
     * the unique tokens could train, which are `ratio` each; 0: it knows none */
    double data_star, parameter_star, ratio;
    double least_parameters, most_parameters, least_tokens, most_tokens; /* of the fit */
    double most_epochs;
} law;

HEED_LOCAL extern const law laws[LAWS];

/* Of N parameters and so many unique tokens, each read `epochs` times, whatever the fit was made
 * on. A law that knows no repeats takes them for fresh tokens. */
HEED_LOCAL double law_loss(const law *l, double parameters, double unique, double epochs);
/* How many fresh tokens a token is worth that is read so often. */
HEED_LOCAL double law_worth(const law *l, double epochs);
/* The parameters that give the lowest loss for a training of so many flops, of 6 N D. */
HEED_LOCAL double law_optimum(const law *l, double flops);
/* Which number lies outside of what it was fitted on, "too few parameters"; NULL: none does. */
HEED_LOCAL const char *law_outside(const law *l, double parameters, double unique, double epochs);

/* Depth against width, arXiv 2006.12467: how many layers fit a width, and the layers and the width of a
 * network of so many parameters outside of its tables, 12 layers width^2, that fits itself. 0: its
 * depth is none of those that were trained for the fit. */
#define LAW_DEPTH_LEAST 6
#define LAW_DEPTH_MOST 48
HEED_LOCAL double law_depth(double width);
HEED_LOCAL double law_shape(double body, double *width);

#endif
