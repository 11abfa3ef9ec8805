/* SPDX-License-Identifier: MIT
 *
 * laws.c: scaling laws, a row each, with where its numbers stand.
 *
 * chinchilla    Hoffmann et al., arXiv 2203.15556, equation 10 of approach 3: the exponents with the
 *               four digits of the paper's TeX, for the two that it prints, .34 and .28, give 93
 *               tokens a parameter at Gopher's compute instead of 59. Fitted on "over 400 language
 *               models ranging from 70 million to over 16 billion parameters on 5 to 500 billion
 *               tokens" (abstract).
 * epoch         Besiroglu et al., arXiv 2404.10102: the same form, fitted again to the same runs, as
 *               far as figure 4 of that paper shows them.
 * data          Muennighoff et al., arXiv 2305.16264, appendix A and equation 17: "182 samples with
 *               parameters varying from 7 million up to 9 billion and epochs ranging from 1 to 500";
 *               unique tokens of 100 million and more, up to 900 billion tokens in all. Samples
 *               whose loss rose again were left out of the fit, so it knows no overfitting.
 */
#include <math.h>
#include <stddef.h>

#include "model/laws.h"

const law laws[LAWS] = {
    [LAW_CHINCHILLA] = {"Chinchilla", "arXiv 2203.15556", 1.69, 406.4, 410.7, 0.3392, 0.2849, 0, 0,
                        0, 70e6, 16e9, 5e9, 500e9, 1},
    [LAW_EPOCH] = {"Epoch's refit", "arXiv 2404.10102", 1.8172, 482.01, 2085.43, 0.3478, 0.3658, 0,
                   0, 0, 70e6, 16e9, 5e9, 500e9, 1},
    /* E, A and B are e to the fitted .6254804, 6.255414 and 7.3049974 */
    [LAW_DATA] = {"data-constrained", "arXiv 2305.16264", 1.8691437, 520.82495, 1487.7161,
                  0.3526596, 0.3526596, 15.387756, 5.309743, 0.051, 7e6, 9e9, 100e6, 900e9, 500},
};

/* What so many are worth of which only the first `base` are new. */
static double saturated(double all, double base, double star)
{
    const double repeats = all > base ? all / base - 1 : 0;
    return base + base * star * -expm1(-repeats / star);
}

double law_worth(const law *l, double epochs)
{
    return l->data_star > 0 ? saturated(epochs, 1, l->data_star) : epochs;
}

double law_loss(const law *l, double parameters, double unique, double epochs)
{
    const double tokens = unique * law_worth(l, epochs);
    double n = parameters;
    if (l->parameter_star > 0) n = saturated(n, fmin(n, l->ratio * unique), l->parameter_star);
    return l->E + l->A / pow(n, l->alpha) + l->B / pow(tokens, l->beta);
}

double law_optimum(const law *l, double flops)
{
    const double sum = l->alpha + l->beta, G = pow(l->alpha * l->A / (l->beta * l->B), 1 / sum);
    return G * pow(flops / 6, l->beta / sum);
}

/* ---- depth against width ---- */

/* Levine et al., arXiv 2006.12467: ln width = a + b depth, where networks of two depths and one size
 * have the same loss; fitted on "networks of depths 6 to 48" (abstract). The abstract's width of
 * 30,000 for a trillion parameters follows from these numbers. */
#define DEPTH_A 5.039
#define DEPTH_B 0.0555

static double within(double depth)
{
    return depth >= LAW_DEPTH_LEAST && depth <= LAW_DEPTH_MOST ? depth : 0;
}

double law_depth(double width) { return within((log(width) - DEPTH_A) / DEPTH_B); }

double law_shape(double body, double *width)
{
    double low = 0, high = 1000; /* the body grows with the depth */
    for (int i = 0; i < 60; i++) {
        const double depth = (low + high) / 2;
        if (log(12 * depth) + 2 * (DEPTH_A + DEPTH_B * depth) < log(body)) low = depth;
        else high = depth;
    }
    *width = exp(DEPTH_A + DEPTH_B * low);
    return within(low);
}

const char *law_outside(const law *l, double parameters, double unique, double epochs)
{
    if (parameters < l->least_parameters) return "too few parameters";
    if (parameters > l->most_parameters) return "too many parameters";
    if (unique < l->least_tokens) return "too few tokens";
    if (unique * epochs > l->most_tokens) return "too many tokens";
    return epochs > l->most_epochs ? l->most_epochs > 1 ? "too many epochs" : "fresh tokens only"
                                   : NULL;
}
