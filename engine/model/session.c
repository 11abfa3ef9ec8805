/* SPDX-License-Identifier: MIT
 *
 * session.c: one sequence that runs through a stack. It owns the buffers between the ops and what the layers remember,
 * and, of a network with an encoder, the keys and values of the text that was encoded.
 *
 * It makes no decision about the network: the steps are the stack's. Invariant: between calls, every layer remembers
 * exactly `length` tokens, or the session is `broken` and says so until it is reset.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "io/weights.h"
#include "model/session.h"
#include "model/session_step.h"
#include "model/stack.h"
#include "op/engine.h"
#include "op/group.h"
#include "op/spec.h"

#define CHUNK 512 /* tokens at a time: a longer feed gains no speed and needs larger buffers */

heed_session *heed_session_new(heed_stack *stack, heed_error *error)
{
    if (error) *error = (heed_error){0};
    heed_session *s = calloc(1, sizeof *s);
    if (!s) return error_memory(error), NULL;
    *s = (heed_session){.stack = stack,
                        .source = -1,
                        .chunk = CHUNK * (stack->group ? heed_group_ranks(stack->group) : 1),
                        .at = calloc(stack->group ? heed_group_ranks(stack->group) + 1 : 1,
                                     sizeof *s->at),
                        .buffer = calloc(stack->n_buffers, sizeof *s->buffer),
                        .sequences = calloc(stack->n_memories + 1, sizeof *s->sequences),
                        .tensors = calloc(stack->n_views, sizeof *s->tensors),
                        .bindings = calloc(stack->n_uses, sizeof *s->bindings)};
    if (!s->sequences || !s->tensors || !s->bindings || !s->buffer || !s->at) {
        error_memory(error);
        goto failed;
    }
    for (uint32_t i = 0; i < stack->n_memories; i++)
        if (!(s->sequences[i] =
                  stack->group ? heed_group_sequence(stack->group, stack->memories[i], NULL, error)
                               : heed_sequence_new(stack->memories[i], NULL, error)))
            goto failed;
    for (uint32_t i = 0; i < stack->n_views; i++)
        s->tensors[i] =
            heed_tensor_of(NULL, stack->views[i].dtype, stack->views[i].rank, stack->views[i].dim);
    for (uint32_t i = 0; i < stack->n_uses; i++)
        s->bindings[i] = (heed_binding){stack->uses[i].port, &s->tensors[stack->uses[i].view]};
    return s;
failed:
    heed_session_free(s);
    return NULL;
}

void heed_session_free(heed_session *s)
{
    if (!s) return;
    for (uint32_t i = 0; s->sequences && i < s->stack->n_memories; i++)
        heed_sequence_free(s->sequences[i]);
    for (uint32_t b = STACK_POSITIONS; s->buffer && b < s->stack->n_buffers; b++)
        free(s->buffer[b]);
    free(s->buffer);
    heed_instance_close(s->sampler);
    free(s->settings);
    free(s->sequences);
    free(s->tensors);
    free(s->bindings);
    free(s->at);
    free(s);
}

int32_t session_take(heed_session *to, heed_session *from, heed_error *error)
{
    to->broken = 1;
    for (uint32_t i = 0; i < from->stack->n_memories; i++) {
        heed_sequence *twin = heed_sequence_fork(from->sequences[i], error);
        if (!twin) return error->code;
        heed_sequence_free(to->sequences[i]);
        to->sequences[i] = twin;
    }
    to->length = from->length, to->broken = from->broken;
    return HEED_OK;
}

/* ---- one chunk ---- */

/* Elements of one token in a view. */
static int64_t span(const stack_view *v)
{
    int64_t n = 1;
    for (int32_t i = 1; i < v->rank; i++) n *= v->dim[i];
    return n;
}

/* Buffers `first` to `end` for so many tokens at least. */
static int32_t make_buffers(heed_session *s, uint32_t first, uint32_t end, int64_t tokens,
                            int64_t *room, heed_error *error)
{
    if (tokens <= *room) return HEED_OK;
    int64_t now = tokens > CHUNK ? tokens : 1;
    while (now < tokens) now *= 2;
    *room = 0;
    for (uint32_t b = first; b < end; b++) {
        const int indices = b >= STACK_INDEX && b <= STACK_PICKS;
        uint64_t bytes = (uint64_t)now * (b == STACK_POSITIONS ? sizeof(int64_t)
                                          : indices            ? sizeof(int32_t)
                                                               : 0),
                 need;
        for (uint32_t v = 0; v < s->stack->n_views; v++) {
            const stack_view *view = &s->stack->views[v];
            if (view->buffer != b) continue;
            if (__builtin_mul_overflow((uint64_t)now,
                                       (uint64_t)span(view) * heed_dtype_bytes(view->dtype), &need))
                return error_memory(error);
            if (need > bytes) bytes = need;
        }
        free(s->buffer[b]);
        s->buffer[b] = NULL;
        if (!bytes) continue;
        if (bytes > SIZE_MAX - 64 ||
            !(s->buffer[b] = aligned_alloc(64, (bytes + 63) & ~(uint64_t)63)))
            return error_memory(error);
    }
    *room = now;
    return HEED_OK;
}

int32_t session_make_room(heed_session *s, int64_t tokens, heed_error *error)
{
    return make_buffers(s, STACK_POSITIONS, STACK_BUFFERS, tokens, &s->room, error);
}

static void fill_positions(heed_session *s, int64_t first, int64_t n)
{
    int64_t *position = s->buffer[STACK_POSITIONS];
    for (int64_t i = 0; i < n; i++) position[i] = first + i;
}

/* Points the tensors at `n` tokens, of which this rank has `count` from `first` on, and those of the
 * tail at the last `rows` of them. */
static void place(heed_session *s, const int32_t *tokens, int64_t n, float *logits, int64_t rows)
{
    int64_t first;
    const int64_t count = session_ranks_share(s, n, &first);
    s->tokens = tokens, s->n = n;
    fill_positions(s, s->length, n);
    for (uint32_t v = 0; v < s->stack->n_views; v++) {
        const stack_view *view = &s->stack->views[v];
        const void *buffer = view->buffer == STACK_TOKENS   ? (const void *)tokens
                             : view->buffer == STACK_LOGITS ? logits
                                                            : s->buffer[view->buffer];
        if (view->rows == STACK_SOURCE || view->rows > STACK_ONE) continue;
        if (view->rows == STACK_ONE) session_place_view(s, v, buffer, 0, 1);
        else if (view->rows == STACK_ROWS) session_place_view(s, v, buffer, first, count);
        else session_place_view(s, v, buffer, view->buffer == STACK_LOGITS ? 0 : n - rows, rows);
    }
}

/* An attention whose rows are spread over ranks. Softmax needs all of them, so its inputs are gathered
 * first; an op with a running state needs its own rows alone, since the state comes from the rank
 * before. */
static int32_t run_shared(heed_session *s, const stack_step *step, heed_error *error)
{
    const heed_stack *stack = s->stack;
    int64_t first;
    if (group_relay(step->instance)) return session_ranks_attend(s, step, error);
    const int64_t count = session_ranks_share(s, s->n, &first);
    int32_t failed = s->spread ? session_ranks_agree(s, HEED_OK, error) : HEED_OK;
    for (int whole = 1; whole >= 0; whole--) {
        for (uint32_t u = step->first; u <= step->first + step->n_in; u++) {
            const uint32_t v = stack->uses[u].view;
            const stack_view *view = &stack->views[v];
            const int gathered = view->buffer != STACK_TOKENS && view->buffer != STACK_POSITIONS &&
                                 u < step->first + step->n_in;
            if (view->rows != STACK_ROWS) continue;
            const void *buffer = view->buffer == STACK_TOKENS ? (const void *)s->tokens
                                                              : s->buffer[view->buffer];
            session_place_view(s, v, buffer, whole ? 0 : first, whole ? s->n : count);
            if (whole && gathered && !failed)
                failed = session_ranks_gather(s, s->buffer[view->buffer],
                                              (uint64_t)span(view) * heed_dtype_bytes(view->dtype),
                                              error);
        }
        if (whole && !failed) failed = session_ranks_attend(s, step, error);
    }
    return failed;
}

/* What the steps of the tail read and have not written, of the rows of all ranks. */
static int32_t gather_tail(heed_session *s, heed_error *error)
{
    const heed_stack *stack = s->stack;
    uint64_t known = 0; /* buffers; there are no more without an encoder */
    _Static_assert(STACK_BUFFERS <= 64, "a bit for each");
    if (s->spread) TRY(session_ranks_agree(s, HEED_OK, error));
    for (uint32_t i = stack->tail; i < stack->n_steps && s->spread; i++) {
        const stack_step *step = &stack->steps[i];
        for (uint32_t u = step->first; u <= step->first + step->n_in; u++) {
            const stack_view *view = &stack->views[stack->uses[u].view];
            if (view->rows != STACK_TAIL || known >> view->buffer & 1) continue;
            known |= (uint64_t)1 << view->buffer;
            if (u < step->first + step->n_in)
                TRY(session_ranks_gather(s, s->buffer[view->buffer],
                                         (uint64_t)span(view) * heed_dtype_bytes(view->dtype),
                                         error));
        }
    }
    return HEED_OK;
}

static int32_t run_steps(heed_session *s, const stack_step *step, uint32_t count, heed_error *error)
{
    for (const stack_step *end = step + count; step < end; step++) {
        if (s->stack->engine->trace) trace_layer(s->stack->engine->trace, step->layer);
        heed_sequence *const *sequences = step->memory < 0 ? NULL : s->sequences + step->memory;
        TRY(s->stack->group && sequences ? run_shared(s, step, error)
                                         : session_step_run(s, step, sequences, error));
    }
    return HEED_OK;
}

/* The steps before the tail, one by one where somebody looks on. */
static int32_t run_layers(heed_session *s, heed_error *error)
{
    const heed_stack *stack = s->stack;
    if (!s->watch.seen) return run_steps(s, stack->steps, stack->tail, error);
    for (uint32_t i = 0; i < stack->tail; i++) {
        TRY(run_steps(s, stack->steps + i, 1, error));
        TRY(s->watch.seen(s->watch.self, s, i + 1, error));
    }
    return HEED_OK;
}

/* The results of the last rows; those that an op has left elsewhere are copied to where they are wanted. */
int32_t session_run_tail(heed_session *s, float *to, heed_error *error)
{
    const heed_stack *stack = s->stack;
    TRY(gather_tail(s, error));
    const int32_t failed =
        run_steps(s, stack->steps + stack->tail, stack->n_steps - stack->tail, error);
    const heed_tensor *result = &s->tensors[stack->result];
    if (stack->copied) weights_give_back_tensor(stack->weights, stack->copied);
    if (!failed && result->data != to) memcpy(to, result->data, result->bytes);
    return failed;
}

/* ---- the session ---- */

/* Every layer back to the first `length` tokens. What can not go back leaves the session broken. */
void session_take_back(heed_session *s, int64_t length)
{
    s->length = length;
    for (uint32_t i = 0; i < s->stack->n_memories; i++)
        if (heed_sequence_truncate(s->sequences[i], length, NULL)) s->broken = 1;
}

/* What is wrong with feeding n tokens more, and asking for `rows` results. */
int32_t session_check_feed(const heed_session *s, int64_t n, int64_t rows, heed_error *error)
{
    const heed_stack *stack = s->stack;
    const int64_t start = s->length, context = stack->number[STACK_CONTEXT];
    if (s->broken)
        return error_set(error, HEED_E_ARGUMENT,
                         "an earlier feed failed half-way and this network can not take it back: "
                         "reset the session");
    if (n && s->source < 0 && stack->n_encode)
        return error_set(error, HEED_E_ARGUMENT,
                         "this network attends to an encoded text, and none was encoded: "
                         "heed_session_encode comes first");
    if (context >= 0 && n > context - start)
        return error_set(error, HEED_E_ARGUMENT,
                         "%lld tokens after %lld are more than the context of %lld", (long long)n,
                         (long long)start, (long long)context);
    if (stack->pools && rows > 1)
        return error_set(error, HEED_E_ARGUMENT,
                         "%lld rows are asked for, and %s makes one of the whole text",
                         (long long)rows, stack->pools);
    if (n && start && stack->pools)
        return error_set(
            error, HEED_E_UNSUPPORTED,
            "%s makes its row of one feed: reset the session and feed the whole text again",
            stack->pools);
    if (n && start && stack->forgets)
        return error_set(error, HEED_E_UNSUPPORTED,
                         "%s remembers nothing between calls: reset the session and feed the whole "
                         "sequence again",
                         stack->forgets);
    if (n && start && stack->ahead)
        return error_set(error, HEED_E_UNSUPPORTED,
                         "%s is not causal: its tokens see those behind them, so a text is not fed "
                         "in parts; reset the "
                         "session and feed the whole of it",
                         stack->ahead);
    if (n && start && start < stack->prefix)
        return error_set(error, HEED_E_ARGUMENT,
                         "the first %lld tokens see one another (prefix), so they are fed at once, "
                         "not %lld of them",
                         (long long)stack->prefix, (long long)start);
    return HEED_OK;
}

/* Types of the next tokens; NULL: 0. */
void session_fill_types(heed_session *s, const int32_t *types, int64_t n)
{
    int32_t *to = s->buffer[STACK_TYPES];
    if (s->stack->typed && types) memcpy(to, types, (size_t)n * sizeof *to);
    else if (s->stack->typed) memset(to, 0, (size_t)n * sizeof *to);
}

int32_t heed_session_feed(heed_session *s, const int32_t *tokens, int64_t n, float *logits,
                          int64_t rows, heed_error *error)
{
    return heed_session_feed_types(s, tokens, NULL, n, logits, rows, error);
}

int32_t heed_session_feed_types(heed_session *s, const int32_t *tokens, const int32_t *types,
                                int64_t n, float *logits, int64_t rows, heed_error *error)
{
    const heed_stack *stack = s->stack;
    int64_t start = s->length, now, keep;
    const session_ponder ponder = s->ponder[0];
    if (error) *error = (heed_error){0};
    if (n < 0 || rows < 0 || rows > n)
        return error_set(
            error, HEED_E_ARGUMENT,
            "%lld tokens are fed and the logits of %lld asked for; from 0 to all of them is right",
            (long long)n, (long long)rows);
    if ((n && !tokens) || (rows && !logits))
        return error_set(error, HEED_E_ARGUMENT, "the %s are NULL",
                         n && !tokens ? "tokens" : "logits");
    if (types && !stack->typed)
        return error_set(error, HEED_E_UNSUPPORTED,
                         "types of tokens are given, and this network has none (types=N)");
    int32_t failed = session_check_feed(s, n, rows, error);
    if (failed) return failed;
    for (int64_t done = 0; done < n; done += now) {
        now = stack->whole || n - done < s->chunk ? n - done : s->chunk;
        keep = done + now - (n - rows);
        keep = keep < 0 ? 0 : keep > now ? now : keep;
        float *to = keep ? logits + (done + now - keep - (n - rows)) * stack->outputs : NULL;
        failed = session_make_room(s, now, error);
        if (!failed) {
            place(s, tokens + done, now, to, keep);
            session_fill_types(s, types ? types + done : NULL, now);
            failed = run_layers(s, error);
        }
        if (!failed && keep) failed = session_run_tail(s, to, error);
        if (failed) {
            failed = session_ranks_agree(s, failed, error);
            session_take_back(s, start);
            s->ponder[0] = ponder;
            return failed;
        }
        s->length += now;
    }
    return HEED_OK;
}

int32_t heed_session_encode(heed_session *s, const int32_t *tokens, int64_t n, heed_error *error)
{
    const heed_stack *stack = s->stack;
    const int64_t context = stack->number[STACK_CONTEXT];
    if (error) *error = (heed_error){0};
    if (!stack->n_encode)
        return error_set(error, HEED_E_UNSUPPORTED, "this network has no encoder (encoder_layers)");
    if (n < 1 || !tokens)
        return error_set(error, HEED_E_ARGUMENT,
                         "%lld tokens are to be encoded%s; at least 1 is right", (long long)n,
                         tokens ? "" : ", at NULL");
    if (context >= 0 && n > context)
        return error_set(error, HEED_E_ARGUMENT,
                         "%lld tokens are to be encoded, more than the context of %lld",
                         (long long)n, (long long)context);
    s->broken = 0, s->source = -1;
    session_take_back(s, 0);
    int32_t failed = session_make_room(s, n, error);
    if (!failed)
        failed = make_buffers(s, STACK_BUFFERS, stack->n_buffers, n, &s->source_room, error);
    if (failed) return failed;
    fill_positions(s, 0, n);
    for (uint32_t v = 0; v < stack->n_views; v++) {
        const stack_view *view = &stack->views[v];
        if (view->rows != STACK_SOURCE) continue;
        session_place_view(
            s, v, view->buffer == STACK_TOKENS ? (const void *)tokens : s->buffer[view->buffer], 0,
            n);
    }
    failed = run_steps(s, stack->encode, stack->n_encode, error);
    if (!failed) s->source = n;
    return failed;
}

int32_t session_take_source(heed_session *s, int64_t tokens, const char *rows, heed_error *error)
{
    heed_stack *stack = s->stack;
    heed_session other = {.stack = stack, .buffer = calloc(stack->n_buffers, sizeof *other.buffer)};
    int32_t failed = other.buffer ? make_buffers(&other, STACK_BUFFERS, stack->n_buffers, tokens,
                                                 &other.source_room, error)
                                  : error_memory(error);
    for (uint32_t b = STACK_BUFFERS; !failed && b < stack->n_buffers; b++) {
        void *old = s->buffer[b];
        s->buffer[b] = other.buffer[b], other.buffer[b] = old;
    }
    for (uint32_t b = STACK_BUFFERS; other.buffer && b < stack->n_buffers; b++) free(other.buffer[b]);
    free(other.buffer);
    if (failed) return failed;
    s->source = tokens, s->source_room = other.source_room;
    for (uint32_t v = 0; v < stack->n_views; v++)
        if (stack->views[v].buffer >= STACK_BUFFERS)
            session_place_view(s, v, s->buffer[stack->views[v].buffer], 0, tokens);
    for (uint32_t b = STACK_BUFFERS, v; b < stack->n_buffers; b++) {
        for (v = 0; v < stack->n_views && stack->views[v].buffer != b;) v++;
        if (v == stack->n_views) continue;
        memcpy(s->buffer[b], rows, s->tensors[v].bytes);
        rows += s->tensors[v].bytes;
    }
    return HEED_OK;
}

int64_t heed_session_ponder(const heed_session *s, uint32_t encoded, double *steps, double *rest)
{
    const session_ponder *p = &s->ponder[encoded != 0];
    *steps = p->steps, *rest = p->rest;
    return p->tokens;
}

int32_t heed_session_reset(heed_session *s, heed_error *error)
{
    if (error) *error = (heed_error){0};
    s->broken = 0;
    session_take_back(s, 0);
    return HEED_OK; /* to 0 all can go back */
}

/* The sampler of these settings, which is kept for the next token. */
static int32_t open_sampler(heed_session *s, const char *settings, heed_error *error)
{
    char *spec, *own = strdup(settings);
    if (!own || asprintf(&spec, "sample/categorical(%s)", settings) < 0)
        return free(own), error_memory(error);
    heed_instance *sampler = heed_instance_open(s->stack->engine, spec, NULL, error);
    free(spec);
    if (!sampler) return free(own), error ? error->code : HEED_E_ARGUMENT;
    heed_instance_close(s->sampler);
    free(s->settings);
    s->sampler = sampler, s->settings = own;
    return HEED_OK;
}

int32_t heed_session_draw(heed_session *s, const float *logits, const char *settings, double draw,
                          int32_t *token, heed_error *error)
{
    heed_error own;
    if (!error) error = &own;
    *error = (heed_error){0};
    if (!(draw >= 0 && draw < 1))
        return error_set(error, HEED_E_ARGUMENT,
                         "the draw is %g, but must be at least 0 and less than 1", draw);
    if (!s->sampler || strcmp(s->settings, settings)) TRY(open_sampler(s, settings, error));
    float chance = (float)draw;
    if (chance >= 1) chance = 0x1.fffffep-1f; /* it was rounded up */
    int64_t shape[] = {1, s->stack->number[STACK_VOCAB]};
    heed_tensor t = heed_tensor_of((void *)logits, HEED_F32, 2, shape),
                d = heed_tensor_of(&chance, HEED_F32, 1, shape),
                out = heed_tensor_of(token, HEED_I32, 1, shape);
    heed_binding in[] = {{"logits", &t}, {"draw", &d}}, result = {"token", &out};
    return heed_run(s->sampler, in, 2, &result, 1, NULL, error);
}

int32_t heed_session_sample(heed_session *s, const float *logits, double temperature, double draw,
                            int32_t *token, heed_error *error)
{
    char number[32], settings[64];
    if (error) *error = (heed_error){0};
    if (!(temperature >= 0) || !isfinite(temperature))
        return error_set(error, HEED_E_ARGUMENT,
                         "the temperature is %g, but must be 0 or a positive number", temperature);
    spec_number(number, temperature);
    snprintf(settings, sizeof settings, "temperature=%s", number);
    return heed_session_draw(s, logits, settings, draw, token, error);
}
