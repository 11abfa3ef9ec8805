/* SPDX-License-Identifier: MIT
 *
 * optimiser.c: a step of the weights, by gradients g that were clipped:
 *
 *     adamw   m = b1 m + (1 - b1) g; v = b2 v + (1 - b2) g^2        arXiv 1711.05101, algorithm 2
 *             w = w - rate decay w - rate (m / (1 - b1^t)) / (sqrt(v / (1 - b2^t)) + epsilon)
 *     sgd     m = b1 m + g; w = w - rate decay w - rate m           momentum of Polyak, 1964
 *
 * Elementwise in float32; the factors are float64 and rounded once. The gradients of all tensors
 * are one array, so that pieces do not depend on how it is cut into tensors.
 */
#include <math.h>

#include "train/optimiser.h"
#include "train/elements.h"

/* ---- the norm ---- */

enum { CHAINS = 8 }; /* sums of a piece, added at its end */

int64_t optimiser_sums(const optimiser *o) { return elements_pieces(o->n); }

static void sum_piece(void *arg, int64_t from, int64_t to, int64_t piece)
{
    const optimiser *o = arg;
    double sum[CHAINS] = {0};
    int64_t i = from;
    for (; i + CHAINS <= to; i += CHAINS)
        for (int k = 0; k < CHAINS; k++) {
            const double g = (double)o->gradient[i + k];
            sum[k] += g * g;
        }
    for (int k = 0; i < to; i++, k++) sum[k] += (double)o->gradient[i] * (double)o->gradient[i];
    for (int k = 1; k < CHAINS; k++) sum[0] += sum[k];
    o->sums[piece] = sum[0];
}

int32_t optimiser_norm(heed_engine *engine, optimiser *o, double *norm, heed_error *error)
{
    double sum = 0;
    const int32_t failed = elements_run(engine, o->n, sum_piece, o, error);
    for (int64_t i = 0; i < optimiser_sums(o) && !failed; i++) sum += o->sums[i];
    *norm = sqrt(sum);
    return failed;
}

const optimiser_tensor *optimiser_stray(const optimiser *o)
{
    for (uint32_t t = 0; t < o->count; t++)
        for (int64_t i = 0; i < o->tensors[t].n; i++)
            if (!isfinite(o->gradient[o->tensors[t].first + i])) return &o->tensors[t];
    return NULL;
}

/* ---- the step ---- */

typedef struct job {
    optimiser *o;
    float scale, beta1, rest1, beta2, rest2, unbias1, unbias2, epsilon;
    double rate, decay;
} job;

/* n elements of one tensor, beginning with these. */
typedef struct run {
    const float *gradient;
    float *moment, *square, *weight;
    int64_t n;
    float rate, shrink;
} run;

/* x^n by squaring: pow of a C library may round otherwise than another's. */
static double power(double x, int64_t n)
{
    double result = 1;
    for (; n > 0; n /= 2, x *= x)
        if (n & 1) result *= x;
    return result;
}

static void step_adamw(const job *j, const run *r)
{
    const float *restrict gradient = r->gradient;
    float *restrict moment = r->moment, *restrict square = r->square, *restrict weight = r->weight;
    for (int64_t i = 0; i < r->n; i++) {
        const float g = gradient[i] * j->scale;
        const float m = j->beta1 * moment[i] + j->rest1 * g;
        const float v = j->beta2 * square[i] + j->rest2 * (g * g);
        moment[i] = m, square[i] = v;
        const float step = m * j->unbias1 / (sqrtf(v * j->unbias2) + j->epsilon);
        weight[i] = weight[i] - r->shrink * weight[i] - r->rate * step;
    }
}

static void step_sgd(const job *j, const run *r)
{
    const float *restrict gradient = r->gradient;
    float *restrict moment = r->moment, *restrict weight = r->weight;
    for (int64_t i = 0; i < r->n; i++) {
        moment[i] = j->beta1 * moment[i] + gradient[i] * j->scale;
        weight[i] = weight[i] - r->shrink * weight[i] - r->rate * moment[i];
    }
}

static const struct {
    const char *name;
    uint32_t moments;
    void (*step)(const job *j, const run *r);
} kinds[] = {[HEED_ADAMW] = {"adamw", 2, step_adamw}, [HEED_SGD] = {"sgd", 1, step_sgd}};

const char *optimiser_name(uint32_t kind)
{
    return kind < sizeof kinds / sizeof *kinds ? kinds[kind].name : NULL;
}

uint32_t optimiser_moments(uint32_t kind) { return kinds[kind].moments; }

/* Elements [from, to) of the flat arrays, which are of that tensor. */
static void step_run(const job *j, const optimiser_tensor *of, int64_t from, int64_t to)
{
    const optimiser *o = j->o;
    const double scaled = j->rate * of->factor;
    const run r = {.gradient = o->gradient + from,
                   .moment = o->moment + from,
                   .square = o->square ? o->square + from : NULL,
                   .weight = of->weight + (from - of->first),
                   .n = to - from,
                   .rate = (float)scaled,
                   .shrink = of->decays ? (float)(scaled * j->decay) : 0.0f};
    kinds[o->kind].step(j, &r);
    for (int64_t i = 0; of->bounded && i < r.n; i++)
        r.weight[i] = r.weight[i] < 0.0f ? 0.0f : r.weight[i] > 1.0f ? 1.0f : r.weight[i];
}

static void step_piece(void *arg, int64_t from, int64_t to, int64_t piece)
{
    const job *j = arg;
    (void)piece;
    for (uint32_t t = 0; t < j->o->count; t++) {
        const optimiser_tensor *of = &j->o->tensors[t];
        const int64_t first = of->first > from ? of->first : from,
                      end = of->first + of->n < to ? of->first + of->n : to;
        if (first < end && of->factor > 0) step_run(j, of, first, end);
    }
}

int32_t optimiser_step(heed_engine *engine, optimiser *o, const optimiser_rates *r, double norm,
                       heed_error *error)
{
    const double scale = r->clip > 0 && norm + 1e-6 > r->clip ? r->clip / (norm + 1e-6) : 1;
    job j = {.o = o,
             .scale = (float)scale,
             .beta1 = (float)r->beta1,
             .rest1 = (float)(1 - r->beta1),
             .beta2 = (float)r->beta2,
             .rest2 = (float)(1 - r->beta2),
             .unbias1 = (float)(1 / (1 - power(r->beta1, r->step))),
             .unbias2 = (float)(1 / (1 - power(r->beta2, r->step))),
             .epsilon = (float)r->epsilon,
             .rate = r->rate,
             .decay = r->decay};
    return elements_run(engine, o->n, step_piece, &j, error);
}
