/* SPDX-License-Identifier: MIT
 *
 * twin.c: a study of twins: the text, how large twins are and how many steps they make, the list of
 * runs, and the runs one after another.
 *
 * Of each network there are three sizes. Each size looks for its rate first; then it learns the
 * whole text and parts of it, in the same number of steps, so that a part is read more often; the
 * smallest size does the first with three seeds, which tells how much chance makes. Minutes become
 * steps and sizes before the first run, and those are recorded: no run follows the clock.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/grow.h"
#include "command/interrupt.h"
#include "command/twin.h"
#include "inspect.h"

#define VALID 0.1   /* of the text is held out: the last documents */
#define CONTEXT 256 /* tokens that twins see, at most, if nobody says */
#define USUAL 2000  /* steps of a training, if nobody says how often the text is read */
#define SHARE                                                                                      \
    0.11          /* of a network's parameters that the largest twin has at least: not less than a
                      * tenth, whatever is rounded */
#define QUARTER 4 /* a run that is made to choose a rate is so much shorter */

static const double rates[] = {0.001, 0.003, 0.009};

/* What each size is trained on. */
static const struct {
    uint32_t size;
    double fraction;
    int64_t seed;
} rows[] = {{0, 1, 1},      {1, 1, 1},      {2, 1, 1},      {0, 1, 2},       {0, 1, 3},
            {0, 1 / 4., 1}, {1, 1 / 4., 1}, {2, 1 / 4., 1}, {0, 1 / 16., 1}, {1, 1 / 16., 1}};
#define LEAST_FRACTION (1 / 16.)

#define COUNT(list) (sizeof list / sizeof *list)

/* ---- the text ---- */

static int is_npy(const char *path)
{
    const size_t n = strlen(path);
    return n > 4 && !strcmp(path + n - 4, ".npy");
}

/* A file of bytes is cut between paragraphs: behind a line without words. */
static int32_t find_paragraphs(train_data *d, heed_error *error)
{
    uint32_t count = 0;
    if (d->documents || d->numbers) return HEED_OK;
    for (int64_t i = 0; i < d->n; i++) {
        if (i &&
            !(i > 1 && d->bytes[i] != '\n' && d->bytes[i - 1] == '\n' && d->bytes[i - 2] == '\n'))
            continue;
        int64_t *begin = grow_append(&d->documents, &count, sizeof *begin);
        if (!begin) return error_memory(error);
        *begin = i;
    }
    d->n_documents = count;
    return HEED_OK;
}

static int32_t open_text(twin_study *s, heed_error *error)
{
    const int numbers = is_npy(s->path);
    int64_t vocab = numbers ? INT32_MAX : 256;
    for (uint32_t i = 0; i < s->count; i++) {
        const int64_t *of = s->network[i].plan.number;
        if (numbers && of[STACK_VOCAB] < vocab) vocab = of[STACK_VOCAB];
        if (of[STACK_CONTEXT] > 0 && of[STACK_CONTEXT] < s->context) s->context = of[STACK_CONTEXT];
    }
    s->vocab = numbers ? 0 : 256;
    TRY(train_data_open(&s->data, s->path, NULL, vocab, numbers ? -1 : TWIN_BOS, error));
    TRY(find_paragraphs(&s->data, error));
    TRY(train_data_split(&s->data, VALID, 0, s->context, error));
    const int64_t least = twin_learned(s, LEAST_FRACTION);
    if (least <= s->context)
        return error_set(
            error, HEED_E_DATA,
            "%s: a sixteenth of it, which twins learn among others, is %lld %ss, but a "
            "context of %lld needs more: a longer text is right, or a shorter --context",
            s->path, (long long)least, twin_unit(s), (long long)s->context);
    return HEED_OK;
}

/* ---- sizes and steps ---- */

static double tokens_of(const twin_study *s) { return (double)(TWIN_BATCH * s->context); }

static int32_t make_shapes(twin_study *s, heed_error *error)
{
    for (uint32_t i = 0; i < s->count; i++)
        for (uint32_t k = 0; k < TWIN_SIZES; k++) {
            const double share = s->share * pow(TWIN_TIMES, (double)k - (TWIN_SIZES - 1));
            free(s->shape[i][k].spec);
            s->shape[i][k] = (twin_shape){0};
            TRY(twin_shrink(&s->shape[i][k], &s->network[i], s->engine, share, s->vocab, error));
        }
    return HEED_OK;
}

/* Steps of all runs of a size, of which a run makes so many; a measurement counts as a third of the
 * steps that it reads windows of. */
static double steps_of(const twin_study *s, uint32_t size, double steps)
{
    const double read =
        (double)(twin_windows(s, s->data.cut) + twin_windows(s, s->data.n - s->data.cut)) /
        (3.0 * TWIN_BATCH);
    double all = COUNT(rates) * (steps / QUARTER + read);
    for (size_t i = 0; i < COUNT(rows); i++)
        if (rows[i].size == size) all += steps + TWIN_POINTS * read;
    return all;
}

static double seconds_of(const twin_study *s, double (*step)[TWIN_SIZES], double steps)
{
    double seconds = 0;
    for (uint32_t i = 0; i < s->count; i++)
        for (uint32_t k = 0; k < TWIN_SIZES; k++) seconds += step[i][k] * steps_of(s, k, steps);
    return seconds;
}

/* Minutes to steps, and to sizes: the whole training by twins that are as large as fits; or, if the
 * least ones are too slow for that, as much of it as fits. */
static int32_t spend(twin_study *s, double whole, heed_error *error)
{
    double step[PENALTY_GROUPS][TWIN_SIZES], steps = whole;
    const double there = 60 * s->minutes;
    s->share = SHARE;
    TRY(make_shapes(s, error));
    for (uint32_t i = 0; i < s->count; i++)
        for (uint32_t k = 0; k < TWIN_SIZES; k++)
            TRY(twin_time(s, &s->shape[i][k], &step[i][k], error));
    const double needed = seconds_of(s, step, whole),
                 least = seconds_of(s, step, ceil(whole / TWIN_MOST));
    if (least > there)
        return error_set(
            error, HEED_E_DATA,
            "--minutes %g are too few: twins with a tenth of the parameters that read "
            "a tenth of what is asked for take %.0f here; fewer --epochs are right, or "
            "smaller networks",
            s->minutes, ceil(least / 60));
    if (needed < there) s->share = fmin(1, SHARE * there / needed);
    while (seconds_of(s, step, steps) > there && steps > whole / TWIN_MOST)
        steps = floor(steps * 0.98);
    s->steps = (int64_t)fmax(1, ceil(fmax(steps, whole / TWIN_MOST)));
    return HEED_OK;
}

static int32_t choose_sizes(twin_study *s, heed_error *error)
{
    const double learned = (double)s->data.cut;
    if (!(s->epochs > 0))
        s->epochs = (double)(s->steps ? s->steps : USUAL) * tokens_of(s) / learned;
    if (!s->steps && s->minutes > 0) TRY(spend(s, s->epochs * learned / tokens_of(s), error));
    if (!s->steps) s->steps = (int64_t)fmax(1, round(s->epochs * learned / tokens_of(s)));
    if (!(s->share > 0)) s->share = SHARE;
    return make_shapes(s, error);
}

/* ---- runs ---- */

static int32_t add_run(twin_study *s, twin_run r, heed_error *error)
{
    twin_run *slot = grow_append(&s->runs, &s->n_runs, sizeof *slot);
    if (!slot) return error_memory(error);
    *slot = r;
    return HEED_OK;
}

static int32_t list_runs(twin_study *s, heed_error *error)
{
    const int64_t quarter = (s->steps + QUARTER - 1) / QUARTER;
    for (uint32_t k = 0; k < TWIN_SIZES; k++)
        for (uint32_t i = 0; i < s->count; i++)
            for (size_t r = 0; r < COUNT(rates); r++)
                TRY(add_run(s,
                            (twin_run){.network = i,
                                       .size = k,
                                       .fraction = 1,
                                       .rate = rates[r],
                                       .seed = 1,
                                       .steps = quarter,
                                       .search = 1},
                            error));
    for (size_t r = 0; r < COUNT(rows); r++)
        for (uint32_t i = 0; i < s->count; i++)
            TRY(add_run(s,
                        (twin_run){.network = i,
                                   .size = rows[r].size,
                                   .fraction = rows[r].fraction,
                                   .seed = rows[r].seed,
                                   .steps = s->steps},
                        error));
    return HEED_OK;
}

/* The rate with which that size got lowest; 0: with none. */
static double best_rate(const twin_study *s, const twin_run *of)
{
    double least = INFINITY, rate = 0;
    for (uint32_t i = 0; i < s->n_runs; i++) {
        const twin_run *r = &s->runs[i];
        const twin_point *p = twin_lowest(r);
        if (!r->search || r->network != of->network || r->size != of->size || !p) continue;
        if (p->valid < least) least = p->valid, rate = r->rate;
    }
    return rate;
}

static int32_t make_run(twin_study *s, twin_run *r, heed_error *error)
{
    if (!r->search && !((r->rate = best_rate(s, r)) > 0))
        return error_set(error, HEED_E_DATA,
                         "%s: at every rate the numbers of its twin of %lld layers become infinite",
                         s->network[r->network].name,
                         (long long)s->shape[r->network][r->size].layers);
    TRY(twin_train(s, r, error));
    return twin_record_save(s, error);
}

static int32_t make_runs(twin_study *s, heed_error *error)
{
    json_t *record;
    int32_t failed = twin_record_open(s, &record, error);
    if (!failed) failed = choose_sizes(s, error);
    if (!failed) failed = list_runs(s, error);
    if (!failed && record) failed = twin_record_runs(s, record, error);
    json_decref(record);
    for (uint32_t i = 0; i < s->n_runs && !failed; i++)
        if (!s->runs[i].done) failed = make_run(s, &s->runs[i], error);
    return failed;
}

static int32_t check_networks(const twin_study *s, heed_error *error)
{
    for (uint32_t i = 0; i < s->count; i++)
        if (s->network[i].field.ahead)
            return error_set(error, HEED_E_DATA,
                             "%s: this is no language model: its tokens see those behind them, and "
                             "with them what is to be predicted",
                             s->network[i].name);
    return HEED_OK;
}

int32_t twin_run_all(twin_study *s, heed_error *error)
{
    interrupt_catch();
    TRY(check_networks(s, error));
    if (!(s->engine = heed_engine_new(&s->options, error))) return error->code;
    if (heed_lanes(s->engine) > 1) inspect_pin_caller(s->engine);
    if (!s->context)
        s->context = s->network->field.tokens < CONTEXT ? s->network->field.tokens : CONTEXT;
    TRY(open_text(s, error));
    TRY(make_runs(s, error));
    return twin_predict(s, error);
}

void twin_close(twin_study *s)
{
    for (uint32_t i = 0; i < PENALTY_GROUPS; i++)
        for (uint32_t k = 0; k < TWIN_SIZES; k++) free(s->shape[i][k].spec);
    free(s->runs);
    train_data_close(&s->data);
    heed_engine_free(s->engine);
}
