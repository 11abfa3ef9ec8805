/* SPDX-License-Identifier: MIT
 *
 * session_step.c: one step of a stack: an op on the rows that it is for, or rows copied to where it
 * wants them.
 *
 * Which rows these are is known while a text is fed. Tokens that halt are left out of all that
 * follows but for their keys and values; an expert gets the tokens that were sent to it:
 *
 *     all tokens     0  1  2  3  4  5  6  7
 *     running        0  .  .  3  4  .  6  .     index = 0 3 4 6 | 1 5 | 2 7
 *     just halted    .  1  .  .  .  5  .  .                       keyed: the first two parts
 *     expert 2       .  .  .  x  .  .  x  .     picks = 1 3, of the running ones
 *
 * Rows are copied together in the order of their positions, so that an op sees a shorter text and
 * knows nothing of it; what a row gets depends on no other row, and its bits are those that it has
 * in any company. Nothing is computed here.
 */
#include <string.h>

#include "base/error.h"
#include "model/session_step.h"
#include "op/engine.h"

/* So many halted tokens in a row are not asked by an attention. Fewer are, between others: a tile has
 * 48 rows, and a call of its own costs more than they do. */
enum { GAP = 16 };

/* ---- views ---- */

/* Bytes of one token in a view. */
static uint64_t row_bytes(const stack_view *v)
{
    uint64_t n = heed_dtype_bytes(v->dtype);
    for (int32_t i = 1; i < v->rank; i++) n *= (uint64_t)v->dim[i];
    return n;
}

void session_place_view(heed_session *s, uint32_t v, const void *buffer, int64_t skipped,
                        int64_t count)
{
    const stack_view *view = &s->stack->views[v];
    heed_tensor *t = &s->tensors[v];
    const uint64_t token = row_bytes(view);
    t->data = (char *)buffer + (uint64_t)skipped * token; /* inputs are only read */
    t->bytes = (uint64_t)count * token;
    if (view->rows == STACK_ONE) return;
    t->dim[1] = count;
    t->stride[0] = count * (int64_t)(token / heed_dtype_bytes(view->dtype));
}

static uint32_t use_of(const heed_session *s, const stack_step *step, uint32_t i)
{
    return s->stack->uses[step->first + i].view;
}

/* How many rows a set has; -1: it is none. */
static int64_t rows_in(const heed_session *s, uint32_t rows)
{
    return rows == STACK_RUNNING  ? s->running
           : rows == STACK_KEYED  ? s->keyed
           : rows == STACK_PICKED ? s->picked
                                  : -1;
}

static void place_set(heed_session *s, uint32_t rows)
{
    for (uint32_t v = 0; v < s->stack->n_views; v++)
        if (s->stack->views[v].rows == rows)
            session_place_view(s, v, s->buffer[s->stack->views[v].buffer], 0, rows_in(s, rows));
}

/* ---- rows that are moved ---- */

/* Rows of pairs of views: together, or back to their places, or, of all, as they are. */
static void move(heed_session *s, const stack_step *step, uint32_t first, int back)
{
    for (uint32_t u = first; u < step->n_in; u += 2) {
        const uint32_t from = use_of(s, step, u), to = use_of(s, step, u + 1),
                       set = s->stack->views[back ? from : to].rows;
        const uint64_t bytes = row_bytes(&s->stack->views[from]);
        const char *source = s->tensors[from].data;
        char *target = s->tensors[to].data;
        const int32_t *index = s->buffer[set == STACK_PICKED ? STACK_PICKS : STACK_INDEX];
        const int64_t count = rows_in(s, set);
        if (count < 0) memcpy(target, source, s->tensors[from].bytes);
        for (int64_t i = 0; i < count; i++)
            memcpy(target + bytes * (uint64_t)(back ? index[i] : i),
                   source + bytes * (uint64_t)(back ? i : index[i]), bytes);
    }
}

/* Who runs in a layer. In the first one all do. In the last one the rest of each token's weight goes to
 * it. */
static void begin_layer(heed_session *s, const stack_step *step)
{
    const int64_t all = s->tensors[use_of(s, step, 0)].dim[1];
    int32_t *index = s->buffer[STACK_INDEX];
    float *after = s->buffer[STACK_AFTER];
    if (!step->layer) {
        s->all = s->running = all, s->halted = 0;
        for (int64_t i = 0; i < all; i++) index[i] = (int32_t)i;
    }
    s->keyed = step->flags & STEP_KEYS_ALL ? all : s->running + s->halted;
    place_set(s, STACK_RUNNING);
    place_set(s, STACK_KEYED);
    move(s, step, 0, 0);
    for (int64_t i = 0; step->flags & STEP_LAST && i < s->running; i++) after[i] = 1;
}

/* Those who have halted go behind those who run on, both in the order of their positions. */
static void end_layer(heed_session *s, const stack_step *step)
{
    const float *before = s->buffer[STACK_BEFORE], *after = s->buffer[STACK_AFTER];
    int32_t *index = s->buffer[STACK_INDEX], *spare = s->buffer[STACK_SPARE];
    session_ponder *ponder = &s->ponder[s->stack->views[use_of(s, step, 1)].rows == STACK_SOURCE];
    int64_t on = 0, off = 0;
    move(s, step, 0, 1);
    for (int64_t i = 0; i < s->running; i++) {
        if (!(after[i] >= 1)) {
            index[on++] = index[i];
            continue;
        }
        spare[off++] = index[i];
        ponder->tokens++;
        ponder->steps += step->layer + 1;
        ponder->rest += 1 - (double)before[i];
    }
    if (off) memcpy(index + on, spare, sizeof *spare * (size_t)off);
    s->running = on, s->halted = off;
}

/* The rows that have a share of an expert. */
static void pick(heed_session *s, const stack_step *step)
{
    const heed_tensor *shares = &s->tensors[use_of(s, step, 0)];
    const float *share = (const float *)shares->data + step->expert;
    float *own = s->buffer[STACK_EXPERT_SHARE];
    int32_t *picks = s->buffer[STACK_PICKS];
    s->picked = 0;
    for (int64_t i = 0; i < shares->dim[1]; i++) {
        const float of = share[i * shares->dim[2]];
        if (of != 0) own[s->picked] = of, picks[s->picked++] = (int32_t)i;
    }
    if (!s->picked) return;
    place_set(s, STACK_PICKED);
    move(s, step, 2, 0);
}

/* Heads of each row, once for each that shares them. */
static void spread_heads(heed_session *s, const stack_step *step)
{
    const heed_tensor *from = &s->tensors[use_of(s, step, 0)],
                      *to = &s->tensors[use_of(s, step, 1)];
    const int64_t heads = from->dim[0] * from->dim[1] * from->dim[2],
                  times = from->dim[2] ? to->dim[2] / from->dim[2] : 0;
    const size_t bytes = (size_t)from->dim[3] * sizeof(float);
    const char *source = from->data;
    char *target = to->data;
    for (int64_t h = 0; h < heads; h++, source += bytes)
        for (int64_t i = 0; i < times; i++, target += bytes) memcpy(target, source, bytes);
}

/* ---- ops ---- */

static int32_t run(heed_session *s, const stack_step *step, heed_sequence *const *sequences,
                   heed_error *error)
{
    const heed_binding *in = s->bindings + step->first;
    return heed_run(step->instance, in, step->n_in, in + step->n_in, 1, sequences, error);
}

/* Points an attention at the new tokens [from, end), and its queries and results at [first, end). */
static void place_part(heed_session *s, const stack_step *step, int64_t from, int64_t first,
                       int64_t end)
{
    for (uint32_t i = 0; i <= step->n_in; i++) {
        const uint32_t v = use_of(s, step, i);
        const int late = i == step->n_in || !strcmp(s->stack->uses[step->first + i].port, "q");
        const int64_t at = late ? first : from;
        session_place_view(s, v, s->buffer[s->stack->views[v].buffer], at, end - at);
    }
}

/* An attention of which some results count: in one call, or, where it may be called with the queries of
 * the last new tokens alone, in one for each run of tokens that have not halted, behind whom the keys of
 * those before them that have come along. */
static int32_t attend(heed_session *s, const stack_step *step, heed_sequence *const *sequences,
                      heed_error *error)
{
    const int32_t *index = s->buffer[STACK_INDEX];
    int32_t failed = HEED_OK;
    if (!s->running && !sequences) return HEED_OK;
    if (!(step->flags & STEP_LATE) || s->running == s->all) return run(s, step, sequences, error);
    for (int64_t done = 0, at = 0; done < s->all && !failed;) {
        const int64_t first = at < s->running ? index[at] : s->all;
        int64_t end = first;
        while (at < s->running && index[at] - end < GAP) end = index[at++] + 1;
        place_part(s, step, done, first, end);
        failed = run(s, step, sequences, error);
        done = end;
    }
    place_part(s, step, 0, 0, s->all);
    return failed;
}

int32_t session_step_run(heed_session *s, const stack_step *step, heed_sequence *const *sequences,
                         heed_error *error)
{
    const heed_tensor *t = &s->tensors[use_of(s, step, 0)];
    switch (step->what) {
    case STEP_ATTEND: return attend(s, step, sequences, error);
    case STEP_BEGIN: begin_layer(s, step); return HEED_OK;
    case STEP_TAKE: move(s, step, 0, 0); return HEED_OK;
    case STEP_PUT: move(s, step, 0, 1); return HEED_OK;
    case STEP_END: end_layer(s, step); return HEED_OK;
    case STEP_PICK: pick(s, step); return HEED_OK;
    case STEP_CLEAR: memset(t->data, 0, t->bytes); return HEED_OK;
    case STEP_SPREAD: spread_heads(s, step); return HEED_OK;
    default:
        return rows_in(s, s->stack->views[use_of(s, step, step->n_in)].rows)
                   ? run(s, step, sequences, error)
                   : HEED_OK;
    }
}
