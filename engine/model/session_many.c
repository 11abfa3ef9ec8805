/* SPDX-License-Identifier: MIT
 *
 * session_many.c: heed_session_feed_many, several sequences through a stack at once. Their new tokens
 * stand one behind the other as the rows of one feed, so that each weight is read once for all of
 * them; what remembers takes each session's rows with its own state:
 *
 *     rows      | session 0      | session 1 | session 2      |
 *     products  | one call                                    |
 *     attention | its state      | its state | its state      |   one call for neighbours that have
 *                                                                 as many rows
 *     pooling   | its row        | its row   | its row        |   one after the other
 *
 * Rows do not meet anywhere else, so each session has the bits that it has alone. A text that must be
 * fed at once is in one round as a whole. The first session lends its buffers.
 */
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "model/session.h"
#include "model/session_step.h"
#include "op/engine.h"

#define ROWS_MOST 512 /* of all sessions at a time, but for a longer text that is fed at once */

/* What a session has in a round. */
typedef struct part {
    heed_session *session;
    const int32_t *tokens;
    int64_t n, done;    /* tokens that are fed in all, and those that are */
    int64_t first, now; /* its rows in this round */
    int64_t start;      /* its length before */
    float *logits;      /* of its last token; NULL: nobody wants them */
} part;

typedef struct many {
    heed_session *lead;
    part *parts;
    uint32_t count;
    int32_t *tokens;           /* of a round, those of all sessions */
    float *results;            /* of a round, and whose they are */
    heed_sequence **sequences; /* [count], of one step */
    int64_t rows;
} many;

/* ---- a round ---- */

/* Gives each session its rows: as many as it has left, within an equal share; or, where texts are fed
 * at once, all that it has, if they still fit. */
static void share_rows(many *m)
{
    const int whole = m->lead->stack->whole;
    uint32_t active = 0;
    for (uint32_t i = 0; i < m->count; i++) active += m->parts[i].done < m->parts[i].n;
    const int64_t most = active && ROWS_MOST / active > 1 ? ROWS_MOST / active : 1;
    m->rows = 0;
    for (uint32_t i = 0; i < m->count; i++) {
        part *p = &m->parts[i];
        const int64_t left = p->n - p->done;
        p->first = m->rows;
        const int64_t room = whole && !m->rows ? left : whole ? ROWS_MOST - m->rows : most;
        p->now = left <= room ? left : whole ? 0 : room;
        if (p->now)
            memcpy(m->tokens + m->rows, p->tokens + p->done, sizeof *m->tokens * (size_t)p->now);
        m->rows += p->now;
    }
}

static const void *buffer_of(const many *m, const stack_view *view)
{
    return view->buffer == STACK_TOKENS   ? (const void *)m->tokens
           : view->buffer == STACK_LOGITS ? (const void *)m->results
                                          : m->lead->buffer[view->buffer];
}

static void place_all(many *m)
{
    const heed_stack *stack = m->lead->stack;
    int64_t *position = m->lead->buffer[STACK_POSITIONS];
    session_fill_types(m->lead, NULL, m->rows);
    for (uint32_t i = 0; i < m->count; i++)
        for (int64_t t = 0; t < m->parts[i].now; t++)
            position[m->parts[i].first + t] = m->parts[i].session->length + t;
    for (uint32_t v = 0; v < stack->n_views; v++)
        if (stack->views[v].rows == STACK_ROWS)
            session_place_view(m->lead, v, buffer_of(m, &stack->views[v]), 0, m->rows);
        else if (stack->views[v].rows == STACK_ONE)
            session_place_view(m->lead, v, buffer_of(m, &stack->views[v]), 0, 1);
}

static int32_t run_step(many *m, const stack_step *step, heed_sequence *const *sequences,
                        heed_error *error)
{
    return session_step_run(m->lead, step, sequences, error);
}

/* Views of a step become batches of sessions, [1, rows, ...] as [count, rows of each, ...], or
 * back. */
static void batch_views(many *m, const stack_step *step, int64_t count, int64_t rows)
{
    const heed_stack *stack = m->lead->stack;
    for (uint32_t u = step->first; u <= step->first + step->n_in; u++) {
        const uint32_t v = stack->uses[u].view;
        heed_tensor *t = &m->lead->tensors[v];
        if (stack->views[v].rows != STACK_ROWS) continue;
        t->dim[0] = count, t->dim[1] = rows, t->stride[0] = rows * t->stride[1];
    }
}

/* Points the views of a step at some of the rows. */
static void place_step(many *m, const stack_step *step, int64_t first, int64_t rows)
{
    const heed_stack *stack = m->lead->stack;
    for (uint32_t u = step->first; u <= step->first + step->n_in; u++) {
        const uint32_t v = stack->uses[u].view;
        if (stack->views[v].rows == STACK_ROWS)
            session_place_view(m->lead, v, buffer_of(m, &stack->views[v]), first, rows);
    }
}

/* A step that remembers: neighbours that have as many rows in one call, else one after the other. */
static int32_t run_memory(many *m, const stack_step *step, heed_error *error)
{
    int32_t failed = HEED_OK;
    for (uint32_t i = 0; i < m->count; i++)
        m->sequences[i] = m->parts[i].session->sequences[step->memory];
    for (uint32_t i = 0, end; i < m->count && !failed; i = end) {
        const part *p = &m->parts[i];
        for (end = i + 1; end < m->count && m->parts[end].now == p->now;) end++;
        if (!p->now) continue;
        place_step(m, step, p->first, (end - i) * p->now);
        batch_views(m, step, end - i, p->now);
        failed = run_step(m, step, m->sequences + i, error);
        batch_views(m, step, 1, (end - i) * p->now);
    }
    place_step(m, step, 0, m->rows);
    return failed;
}

/* ---- results ---- */

static int is_wanted(const part *p) { return p->now && p->done + p->now == p->n && p->logits; }

/* The last rows of those whose text ends here go to the front of each buffer that the tail reads; how
 * many they are. Rows move towards the front only, so none is lost. */
static int64_t gather(many *m)
{
    const heed_stack *stack = m->lead->stack;
    int64_t wanted = 0;
    for (uint32_t i = 0; i < m->count; i++) wanted += is_wanted(&m->parts[i]);
    for (uint32_t v = 0; v < stack->n_views && wanted; v++) {
        const stack_view *view = &stack->views[v];
        int again = 0;
        if (view->rows != STACK_TAIL) continue;
        if (view->buffer != STACK_LOGITS)
            for (uint32_t w = 0; w < v; w++)
                again |=
                    stack->views[w].rows == STACK_TAIL && stack->views[w].buffer == view->buffer;
        session_place_view(m->lead, v, buffer_of(m, view), 0, wanted);
        if (again || view->buffer == STACK_LOGITS) continue;
        const size_t bytes = (size_t)(m->lead->tensors[v].bytes / (uint64_t)wanted);
        char *data = m->lead->tensors[v].data;
        int64_t to = 0;
        for (uint32_t i = 0; i < m->count; i++)
            if (is_wanted(&m->parts[i]))
                memmove(data + (size_t)to++ * bytes,
                        data + (size_t)(m->parts[i].first + m->parts[i].now - 1) * bytes, bytes);
    }
    return wanted;
}

/* One row of each session whose text ends here. */
static int32_t run_pooled(many *m, heed_error *error)
{
    const heed_stack *stack = m->lead->stack;
    int32_t failed = HEED_OK;
    for (uint32_t i = 0; i < m->count && !failed; i++) {
        const part *p = &m->parts[i];
        if (!is_wanted(p)) continue;
        for (uint32_t n = stack->tail; n < stack->n_steps; n++)
            place_step(m, &stack->steps[n], p->first, p->now);
        failed = session_run_tail(m->lead, m->results, error);
        if (!failed) memcpy(p->logits, m->results, sizeof *p->logits * (size_t)stack->outputs);
    }
    return failed;
}

static int32_t run_results(many *m, heed_error *error)
{
    if (m->lead->stack->pools) return run_pooled(m, error);
    if (!gather(m)) return HEED_OK;
    const int32_t failed = session_run_tail(m->lead, m->results, error);
    const size_t row = (size_t)m->lead->stack->outputs;
    const float *from = m->results;
    for (uint32_t i = 0; i < m->count && !failed; i++)
        if (is_wanted(&m->parts[i]))
            memcpy(m->parts[i].logits, from, sizeof *from * row), from += row;
    return failed;
}

static int32_t run_round(many *m, heed_error *error)
{
    const heed_stack *stack = m->lead->stack;
    share_rows(m);
    int32_t failed = session_make_room(m->lead, m->rows, error);
    if (failed) return failed;
    place_all(m);
    for (uint32_t n = 0; n < stack->tail && !failed; n++) {
        const stack_step *step = &stack->steps[n];
        if (stack->engine->trace) trace_layer(stack->engine->trace, step->layer);
        failed = step->memory < 0 ? run_step(m, step, NULL, error) : run_memory(m, step, error);
    }
    if (!failed) failed = run_results(m, error);
    for (uint32_t i = 0; i < m->count && !failed; i++)
        m->parts[i].session->length += m->parts[i].now, m->parts[i].done += m->parts[i].now;
    return failed;
}

/* ---- the whole ---- */

static int32_t check_part(const many *m, uint32_t i, heed_error *error)
{
    const part *p = &m->parts[i];
    heed_error why;
    if (!p->session || p->session->stack != m->lead->stack)
        return error_set(error, HEED_E_ARGUMENT, "session %u is %s", i,
                         p->session ? "of another stack than session 0" : "NULL");
    for (uint32_t other = 0; other < i; other++)
        if (m->parts[other].session == p->session)
            return error_set(error, HEED_E_ARGUMENT, "session %u is session %u once more", i,
                             other);
    if (p->n < 0 || (p->n && !p->tokens))
        return error_set(error, HEED_E_ARGUMENT, "session %u: %lld tokens are fed%s", i,
                         (long long)p->n, p->n < 0 ? "; 0 or more is right" : ", at NULL");
    const int32_t failed = session_check_feed(p->session, p->n, p->n && p->logits, error);
    if (!failed || !error) return failed;
    why = *error;
    return error_set(error, failed, "session %u: %.400s", i, why.text);
}

int session_many_one_by_one(const heed_stack *stack)
{
    return stack->group || stack->forgets || stack->n_encode || stack->halts;
}

static int32_t feed_one_by_one(many *m, heed_error *error)
{
    for (uint32_t i = 0; i < m->count; i++) {
        const part *p = &m->parts[i];
        const int64_t rows = p->n && p->logits;
        const int32_t failed =
            heed_session_feed(p->session, p->tokens, p->n, rows ? p->logits : NULL, rows, error);
        if (failed) return failed;
        m->parts[i].done = p->n;
    }
    return HEED_OK;
}

static int32_t make_many(many *m, heed_session *const *sessions, const int32_t *const *tokens,
                         const int64_t *n, float *const *logits, heed_error *error)
{
    const uint32_t count = m->count;
    int64_t rows = count > ROWS_MOST ? count : ROWS_MOST;
    for (uint32_t i = 0; i < count; i++)
        if (n[i] > rows) rows = n[i];
    m->lead = sessions[0];
    m->parts = calloc(count, sizeof *m->parts);
    m->sequences = calloc(count, sizeof *m->sequences);
    m->tokens = calloc((size_t)rows, sizeof *m->tokens);
    if (!m->parts || !m->sequences || !m->tokens) return error_memory(error);
    for (uint32_t i = 0; i < count; i++)
        m->parts[i] = (part){.session = sessions[i],
                             .tokens = tokens[i],
                             .n = n[i],
                             .start = sessions[i] ? sessions[i]->length : 0,
                             .logits = logits ? logits[i] : NULL};
    if (!m->lead) return error_set(error, HEED_E_ARGUMENT, "session 0 is NULL");
    m->results = calloc((size_t)count * (size_t)m->lead->stack->outputs, sizeof *m->results);
    if (!m->results) return error_memory(error);
    for (uint32_t i = 0; i < count; i++) {
        const int32_t failed = check_part(m, i, error);
        if (failed) return failed;
    }
    return HEED_OK;
}

int32_t heed_session_feed_many(heed_session *const *sessions, uint32_t count,
                               const int32_t *const *tokens, const int64_t *n, float *const *logits,
                               heed_error *error)
{
    many m = {.count = count};
    int64_t left = 1;
    if (error) *error = (heed_error){0};
    if (count == 0) return HEED_OK;
    if (!sessions || !tokens || !n)
        return error_set(error, HEED_E_ARGUMENT, "the %s are NULL",
                         !sessions ? "sessions"
                         : !tokens ? "tokens"
                                   : "numbers of tokens");
    int32_t failed = make_many(&m, sessions, tokens, n, logits, error);
    const int ready = !failed;
    if (ready && session_many_one_by_one(m.lead->stack))
        failed = feed_one_by_one(&m, error), left = 0;
    while (!failed && left) {
        left = 0;
        for (uint32_t i = 0; i < count; i++) left += m.parts[i].n - m.parts[i].done;
        if (left) failed = run_round(&m, error);
    }
    for (uint32_t i = 0; i < count && failed && ready; i++)
        session_take_back(m.parts[i].session, m.parts[i].start);
    free(m.parts), free(m.sequences), free(m.tokens), free(m.results);
    return failed;
}
