/* SPDX-License-Identifier: MIT
 *
 * field_gradient.c: the gradient of the loss behind a window to what flows into the first layer at
 * each of its tokens: one run forwards and one backwards tell of all distances at once.
 *
 * It is the trainer's backward, of a copy of the network in float32 that learns nothing. What the
 * last token can not see has a gradient of exactly 0.
 */
#include <math.h>
#include <stdlib.h>

#include "base/error.h"
#include "command/field.h"
#include "command/interrupt.h"
#include "command/progress.h"
#include "train/trainer.h"

#define NOTHING (-100) /* a target of which nothing is said */

typedef struct work {
    field_network *n;
    const field_text *t;
    heed_trainer *trainer;
    int32_t *target;
    int64_t place;
} work;

static void see(void *to, const float *gradient)
{
    const work *w = to;
    const field_text *t = w->t;
    const int64_t width = w->n->width;
    for (int64_t k = 0; k < t->distances; k++) {
        const float *row = gradient + (t->context - 1 - t->distance[k]) * width;
        double squares = 0;
        for (int64_t i = 0; i < width; i++) squares += (double)row[i] * (double)row[i];
        w->n->slope[k * t->places + w->place] = (float)sqrt(squares);
    }
}

/* Of all weights the tokens' table alone gets a gradient, so that those of the others cost nothing. */
static int32_t freeze(work *w, heed_error *error)
{
    const heed_weights *all = heed_trainer_weights(w->trainer);
    for (uint32_t i = 0; i < heed_weights_count(all); i++)
        if (strcmp(heed_weights_name(all, i), "embed.table"))
            TRY(heed_trainer_scale(w->trainer, heed_weights_name(all, i), 0, error));
    return HEED_OK;
}

static int32_t open_work(work *w, heed_error *error)
{
    const heed_recipe recipe = {
        .size = sizeof recipe, .beta1 = 0.9, .beta2 = 0.98, .epsilon = 1e-8};
    const model *m = &w->n->model;
    w->target = calloc((size_t)w->t->context, sizeof *w->target);
    if (!w->target) return error_memory(error);
    w->trainer = heed_trainer_new(m->engine, heed_stack_spec(m->stack), m->weights, &recipe, error);
    if (!w->trainer) return error->code;
    for (int64_t i = 0; i < w->t->context; i++) w->target[i] = NOTHING;
    tape_watch(w->trainer->tape, see, w);
    return freeze(w, error);
}

static int32_t read_place(work *w, heed_error *error)
{
    const int64_t context = w->t->context;
    const int32_t *token = w->n->token + w->t->place[w->place];
    w->target[context - 1] = token[context];
    return heed_trainer_learn(w->trainer, token, w->target, 1, context, 1, NULL, error);
}

int32_t field_differentiate(field_network *n, const field_text *t, heed_error *error)
{
    int64_t *done = &n->done[FIELD_GRADIENT];
    work w = {.n = n, .t = t};
    n->slope = calloc((size_t)(t->distances * t->places), sizeof *n->slope);
    if (!n->slope) return error_memory(error);
    int32_t failed = open_work(&w, error);
    for (*done = 0; *done < t->places && !failed && !interrupt_seen;) {
        progress_show((double)*done / (double)t->places, "%s: %s", n->path,
                      field_measures[FIELD_GRADIENT]);
        w.place = *done;
        failed = read_place(&w, error);
        if (!failed) ++*done;
    }
    heed_trainer_free(w.trainer);
    free(w.target);
    return failed;
}
