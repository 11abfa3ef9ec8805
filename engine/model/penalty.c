/* SPDX-License-Identifier: MIT
 *
 * penalty.c: the forms of penalty.h, and their fit.
 */
#include <math.h>
#include <string.h>

#include "base/error.h"
#include "model/penalty.h"

#define TRIED 5        /* values of each exponent, before the best is looked around */
#define FINEST 0x1p-10 /* of the range of an exponent */
#define RIDGE 1e-11    /* of columns that are alike; each has the length 1 */

/* Where exponents are looked for. Those of published laws are .28 to .37, and repeats of one text
 * hurt faster the more there were. */
typedef struct range {
    double low, high;
} range;
static const range ranges[][PENALTY_EXPONENTS] = {
    [PENALTY_LOSS] = {{0.05, 1.2}, {0.05, 1.2}, {0.25, 2.5}, {0.1, 1.5}},
    [PENALTY_GAP] = {{0.25, 2.5}, {0.1, 1.5}},
};
static const uint32_t exponents[] = {[PENALTY_LOSS] = 4, [PENALTY_GAP] = 2};

static uint32_t factors_of(uint32_t what, uint32_t groups)
{
    return what == PENALTY_LOSS ? 2 + 2 * groups : 2 + groups;
}

/* What each factor is multiplied with. */
static void columns(const penalty_form *f, const penalty_point *p, double *x)
{
    const double *e = f->exponent, epochs = p->tokens / p->unique,
                 dense = p->parameters / p->unique;
    memset(x, 0, factors_of(f->what, f->groups) * sizeof *x);
    x[0] = 1;
    if (f->what == PENALTY_GAP) {
        x[1] = -1; /* what is held out may be easier than what is learned */
        x[2 + p->group] = pow(epochs, e[0]) * pow(dense, e[1]);
        return;
    }
    x[1] = pow(p->tokens, -e[1]);
    x[2 + p->group] = pow(p->parameters, -e[0]);
    if (epochs > 1) x[2 + f->groups + p->group] = pow(epochs - 1, e[2]) * pow(dense, e[3]);
}

double penalty_value(const penalty_form *f, uint32_t group, double parameters, double unique,
                     double tokens)
{
    const penalty_point p = {group, 0, parameters, unique, tokens, 0};
    double x[PENALTY_FACTORS], sum = 0;
    columns(f, &p, x);
    for (uint32_t k = 0; k < factors_of(f->what, f->groups); k++) sum += f->factor[k] * x[k];
    return sum;
}

/* ---- the factors ---- */

/* Sums of products of columns, and of these with what was measured. */
typedef struct normal {
    uint32_t n;
    double product[PENALTY_FACTORS][PENALTY_FACTORS], value[PENALTY_FACTORS], squares, weights;
} normal;

/* Columns of no length are of what no run shows, such as repeats where there were none. */
static void scale(normal *a, double *length)
{
    for (uint32_t i = 0; i < a->n; i++) length[i] = sqrt(a->product[i][i]);
    for (uint32_t i = 0; i < a->n; i++) {
        if (length[i] > 0) a->value[i] /= length[i];
        for (uint32_t k = 0; k < a->n; k++)
            if (length[i] > 0 && length[k] > 0) a->product[i][k] /= length[i] * length[k];
        a->product[i][i] = 1 + RIDGE;
    }
}

/* The factors of some columns, as if they could be negative: by Cholesky's triangle. */
static void solve(const normal *a, const int *in, double *z)
{
    double l[PENALTY_FACTORS][PENALTY_FACTORS];
    uint32_t at[PENALTY_FACTORS], n = 0;
    for (uint32_t i = 0; i < a->n; i++)
        if (in[i]) at[n++] = i;
    for (uint32_t i = 0; i < n; i++) {
        for (uint32_t k = 0; k <= i; k++) {
            double sum = a->product[at[i]][at[k]];
            for (uint32_t m = 0; m < k; m++) sum -= l[i][m] * l[k][m];
            l[i][k] = i == k ? sqrt(sum > RIDGE ? sum : RIDGE) : sum / l[k][k];
        }
        z[at[i]] = a->value[at[i]];
        for (uint32_t m = 0; m < i; m++) z[at[i]] -= l[i][m] * z[at[m]];
        z[at[i]] /= l[i][i];
    }
    for (uint32_t i = n; i-- > 0;) {
        for (uint32_t m = i + 1; m < n; m++) z[at[i]] -= l[m][i] * z[at[m]];
        z[at[i]] /= l[i][i];
    }
}

/* From what is there on towards z, until a factor would be negative: that column goes. 0: none would. */
static int step(const normal *a, int *in, double *c, const double *z)
{
    double share = 1;
    uint32_t first = a->n;
    for (uint32_t i = 0; i < a->n; i++)
        if (in[i] && z[i] <= 0 && (first == a->n || c[i] / (c[i] - z[i]) < share))
            share = c[i] / (c[i] - z[i]), first = i;
    for (uint32_t i = 0; i < a->n; i++)
        if (in[i]) c[i] += share * (z[i] - c[i]);
    if (first == a->n) return 0;
    c[first] = 0, in[first] = 0;
    return 1;
}

/* Lawson and Hanson, Solving Least Squares Problems (1974), chapter 23: the column that helps most
 * comes in, and what turns negative goes. What is left of the squares. */
static double least(normal *a, double *c)
{
    int in[PENALTY_FACTORS] = {0};
    double length[PENALTY_FACTORS], z[PENALTY_FACTORS] = {0}, left = a->squares;
    scale(a, length);
    memset(c, 0, a->n * sizeof *c);
    for (uint32_t turn = 0; turn < 3 * a->n; turn++) {
        uint32_t best = a->n;
        double most = 1e-9 * sqrt(a->squares);
        for (uint32_t i = 0; i < a->n; i++) {
            double help = a->value[i];
            for (uint32_t k = 0; k < a->n; k++) help -= a->product[i][k] * c[k];
            if (!in[i] && length[i] > 0 && help > most) most = help, best = i;
        }
        if (best == a->n) break;
        in[best] = 1;
        do solve(a, in, z);
        while (step(a, in, c, z));
    }
    for (uint32_t i = 0; i < a->n; i++) left -= 2 * a->value[i] * c[i];
    for (uint32_t i = 0; i < a->n; i++)
        for (uint32_t k = 0; k < a->n; k++) left += c[i] * a->product[i][k] * c[k];
    for (uint32_t i = 0; i < a->n; i++) c[i] = length[i] > 0 ? c[i] / length[i] : 0;
    return left > 0 ? left : 0;
}

/* ---- the exponents ---- */

typedef struct data {
    const penalty_point *points;
    uint32_t count;
    const double *weight;
} data;

/* The factors for the exponents that the form has. */
static double attempt(penalty_form *f, const data *d)
{
    normal a = {.n = factors_of(f->what, f->groups)};
    for (uint32_t i = 0; i < d->count; i++) {
        const penalty_point *p = &d->points[i];
        const double run = d->weight ? d->weight[p->run] : 1,
                     w = f->what == PENALTY_LOSS ? run / (p->value * p->value) : run;
        double x[PENALTY_FACTORS];
        columns(f, p, x);
        for (uint32_t k = 0; k < a.n; k++) {
            if (x[k] == 0) continue;
            for (uint32_t m = 0; m < a.n; m++) a.product[k][m] += w * x[k] * x[m];
            a.value[k] += w * x[k] * p->value;
        }
        a.squares += w * p->value * p->value;
        a.weights += run;
    }
    const double left = least(&a, f->factor);
    f->spread = sqrt(left / a.weights);
    return left;
}

static void try_all(penalty_form *f, const data *d)
{
    const uint32_t n = exponents[f->what];
    penalty_form tried = *f;
    double best = INFINITY;
    uint32_t all = 1;
    for (uint32_t i = 0; i < n; i++) all *= TRIED;
    for (uint32_t number = 0; number < all; number++) {
        for (uint32_t i = 0, rest = number; i < n; i++, rest /= TRIED) {
            const range r = ranges[f->what][i];
            tried.exponent[i] = r.low + (r.high - r.low) * (rest % TRIED + 0.5) / TRIED;
        }
        const double left = attempt(&tried, d);
        if (left < best) best = left, *f = tried;
    }
}

/* One exponent after the other is moved by steps that become shorter. */
static void look_around(penalty_form *f, const data *d)
{
    double best = attempt(f, d);
    for (double length = 0.5 / TRIED; length > FINEST;) {
        int moved = 0;
        for (uint32_t k = 0; k < 2 * exponents[f->what]; k++) {
            const range r = ranges[f->what][k / 2];
            penalty_form tried = *f;
            double *e = &tried.exponent[k / 2];
            *e += (k % 2 ? -length : length) * (r.high - r.low);
            *e = fmin(fmax(*e, r.low), r.high);
            const double left = attempt(&tried, d);
            if (left < best * (1 - 1e-9)) best = left, *f = tried, moved = 1;
        }
        if (!moved) length /= 2;
    }
}

int32_t penalty_fit(penalty_form *f, uint32_t what, uint32_t groups, const penalty_point *points,
                    uint32_t count, const double *weight, const penalty_form *from,
                    heed_error *error)
{
    const data d = {points, count, weight};
    const uint32_t numbers = factors_of(what, groups) + exponents[what];
    if (count < numbers)
        return error_set(error, HEED_E_DATA, "%u measurements are too few for a form of %u numbers",
                         count, numbers);
    *f = (penalty_form){.what = what, .groups = groups};
    if (from) *f = *from;
    else try_all(f, &d);
    look_around(f, &d);
    return HEED_OK;
}

double penalty_turn(const penalty_form *f, uint32_t group, double parameters, double unique,
                    double most)
{
    double best = most, least_loss = penalty_value(f, group, parameters, unique, most);
    for (double tokens = most; tokens > most * 1e-4; tokens *= 0.99) {
        const double loss = penalty_value(f, group, parameters, unique, tokens);
        if (loss < least_loss) least_loss = loss, best = tokens;
    }
    return best;
}
