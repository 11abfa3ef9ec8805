/* SPDX-License-Identifier: MIT
 *
 * twin_predict.c: what networks would reach, by a form that is fitted to the runs of their twins
 * (model/penalty.h).
 *
 * How sure that is comes from fitting it again and again to runs that count more or less by chance:
 * each has a weight that is exponentially distributed (Rubin, The Bayesian Bootstrap, Annals of
 * Statistics 9, 1981). To this comes what seeds make of one network, and what the form leaves of the
 * runs. Nothing is predicted for more than ten times the parameters, or the tokens, of what was run.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/random.h"
#include "command/interrupt.h"
#include "command/progress.h"
#include "command/twin.h"

#define SAMPLES 100
#define OUTER 0.05 /* share of the samples below an interval, and above it */
#define EARLY 0.1  /* of a run's steps: what comes before is no power of anything yet */

typedef struct points {
    penalty_point *loss, *gap;
    uint32_t count;
} points;

/* What one fit says of one network. */
typedef struct sample {
    double best, turn, gap, last, last_gap;
} sample;

typedef struct samples {
    sample of[SAMPLES][PENALTY_GROUPS];
    sample best[PENALTY_GROUPS]; /* of all runs, as they are */
} samples;

/* ---- what is fitted ---- */

static int32_t take_points(const twin_study *s, points *p, heed_error *error)
{
    const size_t most = (size_t)s->n_runs * TWIN_POINTS;
    p->loss = calloc(most + 1, sizeof *p->loss);
    p->gap = calloc(most + 1, sizeof *p->gap);
    if (!p->loss || !p->gap) return error_memory(error);
    for (uint32_t i = 0; i < s->n_runs; i++) {
        const twin_run *r = &s->runs[i];
        for (uint32_t k = 0; k < r->points && !r->search; k++) {
            const twin_point *at = &r->point[k];
            if ((double)at->step < EARLY * (double)r->steps) continue;
            penalty_point x = {.group = r->network,
                               .run = i,
                               .parameters = s->shape[r->network][r->size].body,
                               .unique = (double)twin_learned(s, r->fraction),
                               .tokens = (double)(at->step * TWIN_BATCH * s->context),
                               .value = at->valid};
            p->loss[p->count] = x;
            x.value = at->valid - at->train;
            p->gap[p->count++] = x;
        }
    }
    return HEED_OK;
}

/* The mean square of what seeds make of the lowest loss. */
static double find_noise(const twin_study *s)
{
    double squares = 0;
    int64_t free = 0;
    for (uint32_t i = 0; i < s->count; i++) {
        double sum = 0, square = 0;
        int64_t n = 0;
        for (uint32_t k = 0; k < s->n_runs; k++) {
            const twin_run *r = &s->runs[k];
            const twin_point *p = twin_lowest(r);
            if (r->search || r->network != i || r->size || r->fraction < 1 || !p) continue;
            n++, sum += p->valid, square += p->valid * p->valid;
        }
        if (n > 1) squares += square - sum * sum / (double)n, free += n - 1;
    }
    return free && squares > 0 ? sqrt(squares / (double)free) : 0;
}

/* ---- one fit ---- */

static double body_of(const twin_study *s, uint32_t network)
{
    const plan_network *n = &s->network[network];
    return (double)(n->parameters - n->tables);
}

static sample ask(const twin_study *s, const penalty_form *loss, const penalty_form *gap,
                  uint32_t network)
{
    const double N = body_of(s, network), U = (double)s->data.cut, most = s->epochs * U,
                 turn = penalty_turn(loss, network, N, U, most);
    return (sample){.best = penalty_value(loss, network, N, U, turn),
                    .turn = turn / U,
                    .gap = penalty_value(gap, network, N, U, turn),
                    .last = penalty_value(loss, network, N, U, most),
                    .last_gap = penalty_value(gap, network, N, U, most)};
}

static int32_t fit_all(twin_study *s, const points *p, samples *to, heed_error *error)
{
    penalty_form loss, gap, again;
    double *weight = calloc((size_t)s->n_runs + 1, sizeof *weight);
    uint64_t chance = 1;
    int32_t failed = weight ? HEED_OK : error_memory(error);
    if (!failed)
        failed = penalty_fit(&loss, PENALTY_LOSS, s->count, p->loss, p->count, NULL, NULL, error);
    if (!failed)
        failed = penalty_fit(&gap, PENALTY_GAP, s->count, p->gap, p->count, NULL, NULL, error);
    for (uint32_t i = 0; i < s->count && !failed; i++) to->best[i] = ask(s, &loss, &gap, i);
    if (!failed) s->form = loss, s->spread = loss.spread;
    for (int k = 0; k < SAMPLES && !failed; k++) {
        penalty_form apart;
        progress_show((double)k / SAMPLES, "fitting");
        for (uint32_t i = 0; i < s->n_runs; i++) weight[i] = -log1p(-random_unit(&chance));
        failed =
            penalty_fit(&again, PENALTY_LOSS, s->count, p->loss, p->count, weight, &loss, error);
        if (!failed)
            failed =
                penalty_fit(&apart, PENALTY_GAP, s->count, p->gap, p->count, weight, &gap, error);
        for (uint32_t i = 0; i < s->count && !failed; i++) to->of[k][i] = ask(s, &again, &apart, i);
    }
    progress_end();
    free(weight);
    return failed;
}

/* ---- what follows ---- */

static int by_value(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* A number of all samples, which stands at that place in each of them. */
static twin_number number_of(const samples *of, uint32_t network, size_t at)
{
    double all[SAMPLES], value;
    for (int k = 0; k < SAMPLES; k++)
        memcpy(&all[k], (const char *)&of->of[k][network] + at, sizeof value);
    memcpy(&value, (const char *)&of->best[network] + at, sizeof value);
    qsort(all, SAMPLES, sizeof *all, by_value);
    const int out = (int)(OUTER * SAMPLES);
    return (twin_number){value, all[out], all[SAMPLES - 1 - out]};
}

/* How likely one gets lower than another one: over all samples, with what chance adds to both. */
static double compare(const twin_study *s, const samples *of, uint32_t one, uint32_t other)
{
    double sum = 0;
    for (int k = 0; k < SAMPLES; k++) {
        const double ahead = of->of[k][other].best - of->of[k][one].best,
                     left = s->spread * (of->best[one].best + of->best[other].best) / 2,
                     deviation = sqrt(2 * (s->noise * s->noise + left * left));
        sum += 0.5 * erfc(-ahead / (fmax(deviation, 1e-9) * sqrt(2)));
    }
    return sum / SAMPLES;
}

static void tell(twin_study *s, const samples *of, uint32_t network)
{
    twin_result *r = &s->result[network];
    r->best = number_of(of, network, offsetof(sample, best));
    r->turn = number_of(of, network, offsetof(sample, turn));
    r->gap = number_of(of, network, offsetof(sample, gap));
    r->last = number_of(of, network, offsetof(sample, last));
    r->last_gap = number_of(of, network, offsetof(sample, last_gap));
    for (int k = 0; k < SAMPLES; k++)
        r->turns += (of->of[k][network].turn < 0.995 * s->epochs) / (double)SAMPLES;
    for (uint32_t i = 0; i < s->count; i++)
        r->better[i] = i == network ? NAN : *s->result[i].why ? NAN : compare(s, of, network, i);
}

/* Why nothing is said of a network: it is too far from what was run. */
static void find_why(twin_study *s, uint32_t network)
{
    const double times = body_of(s, network) / s->shape[network][TWIN_SIZES - 1].body,
                 tokens =
                     s->epochs * (double)s->data.cut / (double)(s->steps * TWIN_BATCH * s->context);
    char *why = s->result[network].why;
    const size_t room = sizeof s->result[network].why;
    if (times > TWIN_MOST)
        snprintf(why, room,
                 "it has %.0f times the parameters of its largest twin, and nothing is told beyond "
                 "%d times",
                 times, TWIN_MOST);
    else if (tokens > TWIN_MOST * 1.001)
        snprintf(
            why, room,
            "%g epochs are %.0f times the tokens that its twins have read, and nothing is told "
            "beyond %d times",
            s->epochs, tokens, TWIN_MOST);
}

int32_t twin_predict(twin_study *s, heed_error *error)
{
    points p = {0};
    samples *of = calloc(1, sizeof *of);
    int32_t failed = of ? take_points(s, &p, error) : error_memory(error);
    if (!failed) failed = fit_all(s, &p, of, error);
    if (!failed) {
        s->noise = find_noise(s);
        for (uint32_t i = 0; i < s->count; i++) find_why(s, i);
        for (uint32_t i = 0; i < s->count; i++)
            if (!*s->result[i].why) tell(s, of, i);
    }
    free(p.loss), free(p.gap);
    free(of);
    return failed;
}

/* ---- the verdict ---- */

char *twin_verdict(const twin_study *s)
{
    char *text = NULL;
    size_t length;
    FILE *out = open_memstream(&text, &length);
    if (!out) return NULL;
    uint32_t best = s->count, told = 0;
    for (uint32_t i = 0; i < s->count; i++) {
        if (*s->result[i].why) continue;
        told++;
        if (best == s->count || s->result[i].best.value < s->result[best].best.value) best = i;
    }
    double least = 1;
    for (uint32_t i = 0; i < s->count && told > 1; i++)
        if (i != best && !*s->result[i].why) least = fmin(least, s->result[best].better[i]);
    if (!told)
        fprintf(out, "Twins were trained, but nothing is predicted of what is too far from them.");
    else if (told == 1)
        fprintf(out, "By its twins %s gets to %.3f bits per %s of what it has not learned.",
                s->network[best].name, s->result[best].best.value, twin_unit(s));
    else
        fprintf(
            out,
            "By their twins %s gets lowest on %s, to %.3f bits per %s of what it has not learned, "
            "with a probability of %.2f against the one that comes nearest; the gap to what it "
            "has learned is %.3f there.",
            s->network[best].name, s->path, s->result[best].best.value, twin_unit(s), least,
            s->result[best].gap.value);
    const int failed = ferror(out);
    if (fclose(out) || failed) free(text), text = NULL;
    return text;
}
