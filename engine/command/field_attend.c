/* SPDX-License-Identifier: MIT
 *
 * field_attend.c: how far back the weights of each head are, on average: sum over j of w_ij (i -
 * j), divided by the sum of w_ij.
 *
 * No weights are asked for: an attention is called twice more, with the same queries and keys, and
 * in the place of its values with the numbers of the keys and with ones. What comes out is the mean
 * number and the sum of the weights. That tells where weights are, and not that they matter.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "command/field.h"
#include "command/interrupt.h"
#include "command/progress.h"
#include "model/session.h"
#include "op/instance.h"

#define LOOKED_INTO 16
#define MORE_THAN_ONE 1.001 /* weights of a mean add up to no more, but for rounding */

typedef struct attention {
    field_network *n;
    int64_t place, places;
    float *values, *number, *sum; /* the call's, and what came out for both kinds of values */
    uint64_t room[3];
} attention;

static int32_t refuse(attention *a, const char *format, const char *op, double x)
{
    if (!*a->n->unweighed) {
        char why[sizeof a->n->unweighed];
        snprintf(why, sizeof why, format, op, x);
        snprintf(a->n->unweighed, sizeof a->n->unweighed, "%s", why);
    }
    return HEED_OK;
}

static float *room_for(attention *a, int which, float **at, uint64_t bytes)
{
    if (bytes <= a->room[which]) return *at;
    float *more = realloc(*at, bytes);
    if (more) *at = more, a->room[which] = bytes;
    return more;
}

/* Once more, with values that are the number of their key, or 1; *out is then a row for each token
 * and head, or of another form, and nothing has run. */
static int32_t weigh(attention *a, heed_session *s, const stack_step *step, int ones,
                     heed_tensor *out, heed_error *error)
{
    const heed_binding *were = s->bindings + step->first;
    heed_binding in[PORT_MAX];
    heed_tensor values = {0};
    for (uint32_t i = 0; i < step->n_in; i++) {
        in[i] = were[i];
        if (strcmp(in[i].port, "v")) continue;
        values = heed_tensor_of(NULL, HEED_F32, in[i].tensor->rank, in[i].tensor->dim);
        in[i].tensor = &values;
    }
    const int64_t keys = values.rank ? values.dim[1] : 0;
    if (!keys) return refuse(a, "%s weighs no values", step->instance->entry->op.id, 0);
    const int64_t each = heed_tensor_elements(&values) / keys;
    if (!(values.data = room_for(a, 0, &a->values, values.bytes))) return error_memory(error);
    for (int64_t j = 0; j < keys; j++)
        for (int64_t e = 0; e < each; e++) a->values[j * each + e] = ones ? 1.0f : (float)j;
    TRY(heed_infer(step->instance, in, step->n_in, "out", out, error));
    if (out->rank != 4 || out->dim[1] != keys || out->dim[2] != a->n->heads)
        return refuse(a, "%s has no output for each head", step->instance->entry->op.id, 0);
    out->data = room_for(a, 1 + ones, ones ? &a->sum : &a->number, out->bytes);
    if (!out->data) return error_memory(error);
    const heed_binding result = {"out", out};
    return heed_run(step->instance, in, step->n_in, &result, 1, NULL, error);
}

/* Of queries that have at least half of the window before them. */
static void put_means(attention *a, const stack_step *step, const heed_tensor *out)
{
    const int64_t tokens = out->dim[1], heads = out->dim[2], width = out->dim[3];
    for (int64_t h = 0; h < heads; h++) {
        double distance = 0;
        for (int64_t i = tokens / 2; i < tokens; i++) {
            const int64_t at = (i * heads + h) * width;
            const double sum = (double)a->sum[at];
            if (!(sum > 0 && sum <= MORE_THAN_ONE)) {
                refuse(a, "the weights of %s add up to %.4g at some token, so they make no mean",
                       step->instance->entry->op.id, sum);
                return;
            }
            distance += (double)i - (double)a->number[at] / sum;
        }
        a->n->reach[(step->layer * heads + h) * a->places + a->place] =
            (float)(distance / (double)(tokens - tokens / 2));
    }
}

static int32_t see(void *self, heed_session *s, uint32_t done, heed_error *error)
{
    attention *a = self;
    const stack_step *step = &s->stack->steps[done - 1];
    heed_tensor number = {0}, sum = {0};
    if (!step->instance ||
        strncmp(step->instance->entry->op.id, "attention/", strlen("attention/")))
        return HEED_OK;
    TRY(weigh(a, s, step, 0, &number, error));
    if (!number.data) return HEED_OK;
    TRY(weigh(a, s, step, 1, &sum, error));
    put_means(a, step, &sum);
    return HEED_OK;
}

int32_t field_attend(field_network *n, const field_text *t, heed_error *error)
{
    const int64_t places = t->places < LOOKED_INTO ? t->places : LOOKED_INTO,
                  heads = n->layers * n->heads;
    int64_t *done = &n->done[FIELD_ATTENTION];
    attention a = {.n = n, .places = t->places};
    heed_session *s = n->model.session;
    int32_t failed = HEED_OK;
    n->reach = reallocarray(NULL, (size_t)heads, (size_t)t->places * sizeof *n->reach);
    if (!n->reach) return error_memory(error);
    for (int64_t i = 0; i < heads * t->places; i++) n->reach[i] = NAN;
    const int64_t chunk = s->chunk;
    s->watch = (session_watch){see, &a}, s->chunk = t->context;
    for (*done = 0; *done < places && !failed && !interrupt_seen;) {
        a.place = *done;
        progress_show((double)*done / (double)places, "%s: attention", n->path);
        failed = heed_session_reset(s, error);
        if (!failed)
            failed = heed_session_feed(s, n->token + t->place[*done * t->places / places],
                                       t->context, NULL, 0, error);
        *done += !failed;
    }
    s->watch = (session_watch){0}, s->chunk = chunk;
    free(a.values);
    free(a.number);
    free(a.sum);
    return failed;
}
