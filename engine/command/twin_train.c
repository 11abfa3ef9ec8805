/* SPDX-License-Identifier: MIT
 *
 * twin_train.c: one run of a twin: so many steps on the first part of the text, by the recipe of
 * heed train, but at a rate that stays what it is once it has risen. So every time of a run is one
 * at which a training could have ended, and one run tells of all numbers of epochs below its own
 * (Haegele et al., arXiv 2405.18392, who let it fall at the end, which is not done here).
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "command/clock.h"
#include "command/interrupt.h"
#include "command/progress.h"
#include "command/twin.h"

#define WINDOWS 64 /* of each part, that a measurement reads */
#define WARMUP 0.02
#define UNSEEN 1.05 /* what a step takes beside its gradients */

/* What a run works on. */
typedef struct work {
    heed_trainer *trainer;
    train_data data; /* the study's, of which a part is learned */
    train_measure measure;
} work;

int64_t twin_learned(const twin_study *s, double fraction)
{
    return fraction < 1 ? train_data_nearest(&s->data, (int64_t)((double)s->data.cut * fraction))
                        : s->data.cut;
}

int64_t twin_windows(const twin_study *s, int64_t tokens)
{
    const int64_t n = tokens / s->context;
    return n < WINDOWS ? n : WINDOWS;
}

static void work_close(work *w)
{
    free(w->measure.tokens), free(w->measure.targets), free(w->measure.nll);
    heed_trainer_free(w->trainer);
}

static int32_t work_open(work *w, const twin_study *s, const char *spec, double fraction,
                         int64_t seed, heed_error *error)
{
    const heed_recipe recipe = {.size = sizeof recipe,
                                .seed = (uint64_t)seed,
                                .dropout = 0.1,
                                .beta1 = 0.9,
                                .beta2 = 0.98,
                                .epsilon = 1e-8,
                                .decay = 0.1,
                                .clip = 1};
    const size_t tokens = (size_t)(TWIN_BATCH * s->context);
    *w = (work){.data = s->data};
    w->data.cut = twin_learned(s, fraction);
    if (!(w->trainer = heed_trainer_new(s->engine, spec, NULL, &recipe, error))) return error->code;
    w->measure = (train_measure){.trainer = w->trainer,
                                 .data = &w->data,
                                 .batch = TWIN_BATCH,
                                 .context = s->context,
                                 .bos = heed_stack_number(heed_trainer_stack(w->trainer), "bos"),
                                 .tokens = calloc(tokens, sizeof *w->measure.tokens),
                                 .targets = calloc(tokens, sizeof *w->measure.targets),
                                 .nll = calloc(tokens, sizeof *w->measure.nll)};
    return w->measure.tokens && w->measure.targets && w->measure.nll ? HEED_OK
                                                                     : error_memory(error);
}

static int32_t learn(work *w, const twin_study *s, int64_t seed, int64_t step, heed_error *error)
{
    train_data_windows(&w->data, (uint64_t)seed, step, 0, TWIN_BATCH, s->context, w->measure.tokens,
                       w->measure.targets);
    return heed_trainer_learn(w->trainer, w->measure.tokens, w->measure.targets, TWIN_BATCH,
                              s->context, 1.0 / (double)(TWIN_BATCH * s->context), NULL, error);
}

/* ---- measuring ---- */

/* When a run is measured: more often at first, where most is learned. */
static int64_t step_of(const twin_run *r, uint32_t point)
{
    if (r->search) return r->steps;
    const double share = pow((point + 1.0) / TWIN_POINTS, 1.5);
    const int64_t step = (int64_t)round(share * (double)r->steps);
    return step > point ? step : point + 1;
}

static int32_t measure(work *w, const twin_study *s, twin_run *r, int64_t step, heed_error *error)
{
    const train_data *d = &s->data;
    twin_point *p = &r->point[r->points];
    p->step = step;
    TRY(train_measure_bits(&w->measure, 0, w->data.cut, twin_windows(s, w->data.cut), &p->train,
                           error));
    TRY(train_measure_bits(&w->measure, d->cut, d->n, twin_windows(s, d->n - d->cut), &p->valid,
                           error));
    if (isfinite(p->train) && isfinite(p->valid)) r->points++;
    return HEED_OK;
}

/* ---- the run ---- */

static int32_t make_steps(work *w, twin_study *s, twin_run *r, heed_error *error)
{
    const schedule rate = {.kind = SCHEDULE_CONSTANT,
                           .rate = r->rate,
                           .warmup = WARMUP,
                           .floor = 0.01,
                           .steps = r->steps};
    for (int64_t step = 0; step < r->steps; step++) {
        if (interrupt_seen)
            return error_set(error, HEED_E_CANCELLED, "interrupted%s%s",
                             s->record ? ": the same command goes on with what is in " : "",
                             s->record ? s->record : "");
        TRY(learn(w, s, r->seed, step, error));
        const int32_t failed =
            heed_trainer_step(w->trainer, schedule_rate(&rate, step), NULL, error);
        if (failed == HEED_E_DATA) return HEED_OK; /* no finite gradient: it ends here */
        if (failed) return failed;
        progress_show((double)(step + 1) / (double)r->steps, "%s: %lld layers, %s, seed %lld",
                      s->network[r->network].name, (long long)s->shape[r->network][r->size].layers,
                      r->search ? "to choose a rate" : "a run", (long long)r->seed);
        while (r->points < TWIN_POINTS && step + 1 == step_of(r, r->points)) {
            const uint32_t before = r->points;
            TRY(measure(w, s, r, step + 1, error));
            if (r->points == before) return HEED_OK; /* no finite loss */
            if (r->search) break;
        }
    }
    return HEED_OK;
}

int32_t twin_train(twin_study *s, twin_run *r, heed_error *error)
{
    work w;
    r->points = 0;
    int32_t failed =
        work_open(&w, s, s->shape[r->network][r->size].spec, r->fraction, r->seed, error);
    if (!failed) failed = make_steps(&w, s, r, error);
    progress_end();
    work_close(&w);
    r->done = !failed;
    return failed;
}

int32_t twin_time(twin_study *s, const twin_shape *shape, double *seconds, heed_error *error)
{
    work w;
    int32_t failed = work_open(&w, s, shape->spec, 1, 1, error);
    *seconds = INFINITY;
    for (int k = 0; k < 3 && !failed && !interrupt_seen; k++) {
        const double begin = clock_seconds();
        failed = learn(&w, s, 1, k, error);
        if (!failed) failed = heed_trainer_step(w.trainer, 1e-3, NULL, error);
        *seconds = fmin(*seconds, UNSEEN * (clock_seconds() - begin));
    }
    work_close(&w);
    return failed;
}
