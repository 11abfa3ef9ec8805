/* SPDX-License-Identifier: MIT
 *
 * penalty.h: forms for the loss of networks on one text, read so often that they overfit, fitted to
 * runs of small ones.
 *
 *     loss = E + A / N^alpha + B / D^beta + P R^delta (N / U)^kappa,    R = max(0, D / U - 1)
 *     gap  = G + H (D / U)^delta (N / U)^kappa
 *
 * N parameters, U tokens of the text, D tokens that were read, R repeats. Without its last term the
 * first is that of Hoffmann et al., arXiv 2203.15556, in which a parameter never hurts; with the
 * last one it does, the more the oftener the text is read. The gap is the loss on what is held out
 * less that on what is learned. Networks of one shape are a group: groups share the text, so E, B,
 * G and all exponents, and each has A, P and H of its own.
 *
 * For given exponents a form is linear in its factors, none of which is negative: those are found
 * exactly, and the exponents alone by search, within bounds. So a start by chance decides nothing.
 */
#ifndef HEED_MODEL_PENALTY_H
#define HEED_MODEL_PENALTY_H

#include "base/local.h"

#define PENALTY_GROUPS 8
#define PENALTY_EXPONENTS 4
#define PENALTY_FACTORS (2 + 2 * PENALTY_GROUPS)

enum { PENALTY_LOSS, PENALTY_GAP };

/* What was measured at one time of one run. */
typedef struct penalty_point {
    uint32_t group, run;
    double parameters, unique, tokens, value;
} penalty_point;

typedef struct penalty_form {
    uint32_t what, groups;
    double exponent[PENALTY_EXPONENTS]; /* alpha, beta, delta, kappa; of a gap delta, kappa */
    double factor[PENALTY_FACTORS];     /* E, B, A of each group, P of each; or the two parts of
                                     * G, of either sign, and H of each */
    double spread; /* the root of the mean square of what it leaves: of a loss as a share of it */
} penalty_form;

/* Least squares, of a loss of relative differences. Each point counts as much as its run, weight[run];
 * NULL: all alike. `from` NULL: all exponents are tried; else it looks around those of that form.
 * HEED_E_DATA if there are fewer points than numbers to be found. */
HEED_LOCAL int32_t penalty_fit(penalty_form *f, uint32_t what, uint32_t groups,
                               const penalty_point *points, uint32_t count, const double *weight,
                               const penalty_form *from, heed_error *error);
HEED_LOCAL double penalty_value(const penalty_form *f, uint32_t group, double parameters,
                                double unique, double tokens);
/* So many tokens, up to `most`, after which the loss is least. */
HEED_LOCAL double penalty_turn(const penalty_form *f, uint32_t group, double parameters,
                               double unique, double most);

#endif
