/* SPDX-License-Identifier: MIT
 *
 * adamw.c: one step of AdamW:
 *
 *     g = clip gradient; m = b1 m + (1 - b1) g; v = b2 v + (1 - b2) g^2
 *     w = w - rate decay w - rate (m / (1 - b1^t)) / (sqrt(v / (1 - b2^t)) + epsilon)
 *
 * Elementwise in float32; the factors are float64 and rounded once. The gradients of all tensors
 * are one array, so that pieces do not depend on how it is cut into tensors.
 */
#include <math.h>

#include "train/adamw.h"
#include "train/elements.h"

/* ---- the norm ---- */

enum { CHAINS = 8 }; /* sums of a piece, added at its end */

int64_t adamw_sums(const adamw *a) { return elements_pieces(a->n); }

static void sum_piece(void *arg, int64_t from, int64_t to, int64_t piece)
{
    const adamw *a = arg;
    double sum[CHAINS] = {0};
    int64_t i = from;
    for (; i + CHAINS <= to; i += CHAINS)
        for (int k = 0; k < CHAINS; k++) {
            const double g = (double)a->gradient[i + k];
            sum[k] += g * g;
        }
    for (int k = 0; i < to; i++, k++) sum[k] += (double)a->gradient[i] * (double)a->gradient[i];
    for (int k = 1; k < CHAINS; k++) sum[0] += sum[k];
    a->sums[piece] = sum[0];
}

int32_t adamw_norm(heed_engine *engine, adamw *a, double *norm, heed_error *error)
{
    double sum = 0;
    const int32_t failed = elements_run(engine, a->n, sum_piece, a, error);
    for (int64_t i = 0; i < adamw_sums(a) && !failed; i++) sum += a->sums[i];
    *norm = sqrt(sum);
    return failed;
}

const adamw_tensor *adamw_stray(const adamw *a)
{
    for (uint32_t t = 0; t < a->count; t++)
        for (int64_t i = 0; i < a->tensors[t].n; i++)
            if (!isfinite(a->gradient[a->tensors[t].first + i])) return &a->tensors[t];
    return NULL;
}

/* ---- the step ---- */

typedef struct job {
    adamw *a;
    float scale, beta1, rest1, beta2, rest2, unbias1, unbias2, epsilon;
    double rate, decay;
} job;

/* x^n by squaring: pow of a C library may round otherwise than another's. */
static double power(double x, int64_t n)
{
    double result = 1;
    for (; n > 0; n /= 2, x *= x)
        if (n & 1) result *= x;
    return result;
}

/* Elements [from, to) of the flat arrays, which are of that tensor. */
static void step_run(const job *j, const adamw_tensor *of, int64_t from, int64_t to)
{
    const float *restrict gradient = j->a->gradient + from;
    float *restrict moment = j->a->moment + from, *restrict square = j->a->square + from,
                    *restrict weight = of->weight + (from - of->first);
    const double scaled = j->rate * of->factor;
    const float rate = (float)scaled, shrink = of->decays ? (float)(scaled * j->decay) : 0.0f;
    for (int64_t i = 0; i < to - from; i++) {
        const float g = gradient[i] * j->scale;
        const float m = j->beta1 * moment[i] + j->rest1 * g;
        const float v = j->beta2 * square[i] + j->rest2 * (g * g);
        moment[i] = m, square[i] = v;
        const float step = m * j->unbias1 / (sqrtf(v * j->unbias2) + j->epsilon);
        weight[i] = weight[i] - shrink * weight[i] - rate * step;
    }
    for (int64_t i = 0; of->bounded && i < to - from; i++)
        weight[i] = weight[i] < 0.0f ? 0.0f : weight[i] > 1.0f ? 1.0f : weight[i];
}

static void step_piece(void *arg, int64_t from, int64_t to, int64_t piece)
{
    const job *j = arg;
    (void)piece;
    for (uint32_t t = 0; t < j->a->count; t++) {
        const adamw_tensor *of = &j->a->tensors[t];
        const int64_t first = of->first > from ? of->first : from,
                      end = of->first + of->n < to ? of->first + of->n : to;
        if (first < end && of->factor > 0) step_run(j, of, first, end);
    }
}

int32_t adamw_step(heed_engine *engine, adamw *a, const adamw_rates *r, double norm,
                   heed_error *error)
{
    const double scale = r->clip > 0 && norm + 1e-6 > r->clip ? r->clip / (norm + 1e-6) : 1;
    job j = {.a = a,
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
    return elements_run(engine, a->n, step_piece, &j, error);
}
