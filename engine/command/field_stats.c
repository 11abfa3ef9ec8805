/* SPDX-License-Identifier: MIT
 *
 * field_stats.c: what can be said of numbers that were measured at many places: quartiles, how a
 * curve falls off, and how much context is enough.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "command/field.h"

const char *const field_measures[FIELD_MEASURES] = {
    [FIELD_PERTURBATION] = "perturbation", [FIELD_GRADIENT] = "gradient",
    [FIELD_TRUNCATION] = "truncation",     [FIELD_ATTENTION] = "attention",
    [FIELD_SIMILARITY] = "similarity",     [FIELD_POSITION] = "position",
};

int field_has(const field_network *n, int measure) { return n->done[measure] > 0; }

const float *field_row(const float *of, const field_text *t, int64_t row)
{
    return of + row * t->places;
}

/* ---- quartiles ---- */

static int by_size(const void *a, const void *b)
{
    const float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}

/* Between the numbers that are nearest to that share of them all. */
static double share_of(const float *sorted, int64_t n, double share)
{
    const double at = share * (double)(n - 1);
    const int64_t low = (int64_t)at, high = low + 1 < n ? low + 1 : low;
    const double between = at - (double)low;
    return (1 - between) * (double)sorted[low] + between * (double)sorted[high];
}

/* NaN where there is nothing, or no memory to sort it. */
quartiles field_quartiles(const float *x, int64_t n)
{
    const quartiles none = {NAN, NAN, NAN, NAN};
    double sum = 0;
    for (int64_t i = 0; i < n; i++) sum += (double)x[i];
    if (n < 1 || sum != sum) return none;
    float *sorted = malloc((size_t)n * sizeof *sorted);
    if (!sorted) return none;
    memcpy(sorted, x, (size_t)n * sizeof *sorted);
    qsort(sorted, (size_t)n, sizeof *sorted, by_size);
    const quartiles q = {share_of(sorted, n, 0.25), share_of(sorted, n, 0.5),
                         share_of(sorted, n, 0.75), sum / (double)n};
    free(sorted);
    return q;
}

/* ---- perturbation ---- */

quartiles field_change(const field_network *n, const field_text *t, int64_t layer, int64_t distance)
{
    if (layer == FIELD_SLOPE)
        return field_quartiles(field_row(n->slope, t, distance), n->done[FIELD_GRADIENT]);
    const float *row = layer < 0
                           ? field_row(n->loss_change, t, distance)
                           : field_row(n->layer_change, t, distance * (n->layers + 1) + layer);
    return field_quartiles(row, n->done[FIELD_PERTURBATION]);
}

/* The sum of a curve over all distances up to one, in straight lines between those that were
 * measured; *reached becomes the first at which it is more than `part`. */
static double add_up(const field_text *t, const double *y, double part, int64_t *reached)
{
    double sum = y[0];
    *reached = sum > part ? 0 : -1;
    for (int64_t k = 1; k < t->distances; k++) {
        const int64_t from = t->distance[k - 1], to = t->distance[k];
        for (int64_t r = from + 1; r <= to; r++) {
            sum += y[k - 1] + (y[k] - y[k - 1]) * (double)(r - from) / (double)(to - from);
            if (*reached < 0 && sum > part) *reached = r;
        }
    }
    return sum;
}

/* How well floor + scale (r + 1)^-power follows the curve, by the squares of the differences of
 * logarithms; the scale is the one whose relative errors are least. */
static double misfit(const field_text *t, const double *y, decay *d)
{
    double above = 0, below = 0, squares = 0;
    for (int64_t k = 1; k < t->distances; k++) {
        const double b = pow((double)t->distance[k] + 1, -d->power) / y[k];
        if (y[k] > 0) above += b * (1 - d->floor / y[k]), below += b * b;
    }
    d->scale = above / below;
    for (int64_t k = 1; k < t->distances; k++) {
        const double fit = d->floor + d->scale * pow((double)t->distance[k] + 1, -d->power);
        if (y[k] > 0) squares += pow(log(y[k] / fit), 2);
    }
    return squares;
}

static void fit(const field_text *t, const double *y, decay *d)
{
    double least = INFINITY, sum = 0, squares = 0, best = INFINITY;
    int64_t points = 0;
    d->floor = d->scale = d->power = d->explained = NAN;
    for (int64_t k = 1; k < t->distances; k++) {
        if (!(y[k] > 0)) continue;
        least = fmin(least, y[k]), points++;
        sum += log(y[k]), squares += log(y[k]) * log(y[k]);
    }
    if (points < 4) return;
    for (int f = 0; f < 40; f++)
        for (int p = 1; p <= 400; p++) {
            decay tried = {.floor = least * 0.025 * f, .power = 0.01 * p};
            const double now = misfit(t, y, &tried);
            if (!(now < best)) continue;
            best = now;
            d->floor = tried.floor, d->scale = tried.scale, d->power = tried.power;
        }
    const double all = squares - sum * sum / (double)points;
    d->explained = all > 0 ? 1 - best / all : NAN;
}

decay field_decay(const field_network *n, const field_text *t, int64_t layer)
{
    decay d = {.half = -1, .most = -1, .nearly_all = -1};
    int64_t none;
    double *y = calloc((size_t)t->distances, sizeof *y);
    for (int64_t k = 0; y && k < t->distances; k++) y[k] = field_change(n, t, layer, k).median;
    const double all = y ? add_up(t, y, INFINITY, &none) : 0;
    if (all > 0) {
        add_up(t, y, 0.5 * all, &d.half);
        add_up(t, y, 0.9 * all, &d.most);
        add_up(t, y, 0.99 * all, &d.nearly_all);
        fit(t, y, &d);
    } else d.floor = d.scale = d.power = d.explained = NAN;
    free(y);
    return d;
}

/* ---- truncation ---- */

quartiles field_excess(const field_network *n, const field_text *t, int64_t length)
{
    const float *with = field_row(n->loss, t, length), *all = field_row(n->loss, t, t->lengths - 1);
    const int64_t places = n->done[FIELD_TRUNCATION];
    float *more = calloc((size_t)places + 1, sizeof *more);
    for (int64_t i = 0; more && i < places; i++) more[i] = with[i] - all[i];
    const quartiles q = field_quartiles(more, more ? places : 0);
    free(more);
    return q;
}

/* ---- positions ---- */

/* Position i belongs to the block i * FIELD_BLOCKS / beyond. */
int64_t field_block_end(const field_text *t, int64_t block)
{
    return ((block + 1) * t->beyond + FIELD_BLOCKS - 1) / FIELD_BLOCKS;
}

quartiles field_at(const field_network *n, const field_text *t, int64_t block)
{
    return field_quartiles(field_row(n->loss_at, t, block), n->done[FIELD_POSITION]);
}

int64_t field_enough(const field_network *n, const field_text *t)
{
    int64_t c = t->lengths - 1;
    while (c > 0 && field_excess(n, t, c - 1).mean < FIELD_NATS) c--;
    return c;
}

/* b(c, t): the least loss of any network of the group. */
static double best_loss(const field_network *group, uint32_t count, const field_text *t,
                        int64_t length, int64_t place)
{
    double least = INFINITY;
    for (uint32_t i = 0; i < count; i++)
        least = fmin(least, (double)field_row(group[i].loss, t, length)[place]);
    return least;
}

/* The share of the perplexity of the best that one network takes off with a longer context, on the
 * places where the best is worst: g(c, c'). */
static double gain(const field_network *group, uint32_t count, uint32_t which, const field_text *t,
                   int64_t from, double hard, float *work)
{
    const int64_t places = group[which].done[FIELD_TRUNCATION];
    double before = 0, after = 0;
    int64_t many = 0;
    for (int64_t i = 0; i < places; i++) work[i] = (float)best_loss(group, count, t, from, i);
    qsort(work, (size_t)places, sizeof *work, by_size);
    const double least = share_of(work, places, 1 - hard);
    for (int64_t i = 0; i < places; i++) {
        const double best = best_loss(group, count, t, from, i);
        if (best < least) continue;
        many++, before += best;
        after += fmin(best, (double)field_row(group[which].loss, t, from + 1)[i]);
    }
    return many ? 1 - exp((after - before) / (double)many) : 0;
}

int32_t field_recl(const field_network *group, uint32_t count, uint32_t which, const field_text *t,
                   double hard, int64_t *tokens, heed_error *error)
{
    int64_t c = 0;
    float *work = calloc((size_t)t->places + 1, sizeof *work);
    if (!work) return error_memory(error);
    while (c + 1 < t->lengths && t->length[c] < t->step) c++;
    while (c + 1 < t->lengths && gain(group, count, which, t, c, hard, work) >= 0.01) c++;
    *tokens = t->length[c];
    free(work);
    return HEED_OK;
}
