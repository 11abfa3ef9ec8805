/* SPDX-License-Identifier: MIT
 *
 * session.c: one sequence that runs through a stack. It owns the buffers between the ops and what the layers remember.
 *
 * It makes no decision about the network: the steps are the stack's. Invariant: between calls, every layer remembers
 * exactly `length` tokens, or the session is `broken` and says so until it is reset.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "model/session.h"
#include "model/stack.h"
#include "op/spec.h"

#define CHUNK 512 /* tokens at a time: a longer feed gains no speed and needs larger buffers */

heed_session *heed_session_new(heed_stack *stack, heed_error *error)
{
    if (error) *error = (heed_error){0};
    heed_session *s = calloc(1, sizeof *s);
    if (!s) return error_memory(error), NULL;
    *s = (heed_session){.stack = stack,
                        .sequences = calloc(stack->n_memories + 1, sizeof *s->sequences),
                        .tensors = calloc(stack->n_views, sizeof *s->tensors),
                        .bindings = calloc(stack->n_uses, sizeof *s->bindings)};
    if (!s->sequences || !s->tensors || !s->bindings) {
        error_memory(error);
        goto failed;
    }
    for (uint32_t i = 0; i < stack->n_memories; i++)
        if (!(s->sequences[i] = heed_sequence_new(stack->memories[i], NULL, error))) goto failed;
    for (uint32_t i = 0; i < stack->n_views; i++)
        s->tensors[i] = heed_tensor_of(NULL, stack->views[i].dtype, stack->views[i].rank, stack->views[i].dim);
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
    for (uint32_t i = 0; s->sequences && i < s->stack->n_memories; i++) heed_sequence_free(s->sequences[i]);
    for (uint32_t b = 0; b < STACK_BUFFERS; b++) free(s->buffer[b]);
    heed_instance_close(s->sampler);
    free(s->sequences);
    free(s->tensors);
    free(s->bindings);
    free(s);
}

/* ---- one chunk ---- */

/* Elements of one token in a view. */
static int64_t span(const heed_tensor *t) { return t->stride[1]; }

static int32_t make_room(heed_session *s, int64_t tokens, heed_error *error)
{
    if (tokens <= s->room) return HEED_OK;
    int64_t room = tokens > CHUNK ? tokens : 1;
    while (room < tokens) room *= 2;
    uint64_t bytes[STACK_BUFFERS] = {[STACK_POSITIONS] = (uint64_t)room * sizeof(int64_t)};
    for (uint32_t v = 0; v < s->stack->n_views; v++) {
        const heed_tensor *t = &s->tensors[v];
        uint64_t *most = &bytes[s->stack->views[v].buffer], need;
        if (__builtin_mul_overflow((uint64_t)room, (uint64_t)span(t) * heed_dtype_bytes(t->dtype), &need))
            return error_memory(error);
        if (need > *most) *most = need;
    }
    s->room = 0;
    for (uint32_t b = STACK_POSITIONS; b < STACK_BUFFERS; b++) {
        free(s->buffer[b]);
        s->buffer[b] = NULL;
        if (!bytes[b]) continue;
        if (bytes[b] > SIZE_MAX - 64 || !(s->buffer[b] = aligned_alloc(64, (bytes[b] + 63) & ~(uint64_t)63)))
            return error_memory(error);
    }
    s->room = room;
    return HEED_OK;
}

/* Points the tensors at `n` tokens, and those of the tail at the last `rows` of them. */
static void place(heed_session *s, const int32_t *tokens, int64_t n, float *logits, int64_t rows)
{
    int64_t *position = s->buffer[STACK_POSITIONS];
    for (int64_t i = 0; i < n; i++) position[i] = s->length + i;
    for (uint32_t v = 0; v < s->stack->n_views; v++) {
        const stack_view *view = &s->stack->views[v];
        heed_tensor *t = &s->tensors[v];
        int64_t count = view->tail ? rows : n, skipped = view->tail && view->buffer != STACK_LOGITS ? n - rows : 0;
        uint64_t token = (uint64_t)span(t) * heed_dtype_bytes(t->dtype);
        char *base = view->buffer == STACK_TOKENS   ? (char *)tokens /* inputs are only read */
                     : view->buffer == STACK_LOGITS ? (char *)logits
                                                    : s->buffer[view->buffer];
        t->data = base + (uint64_t)skipped * token;
        t->dim[1] = count;
        t->stride[0] = count * span(t);
        t->bytes = (uint64_t)count * token;
    }
}

static int32_t run_steps(heed_session *s, uint32_t first, uint32_t end, heed_error *error)
{
    for (uint32_t i = first; i < end; i++) {
        const stack_step *step = &s->stack->steps[i];
        const heed_binding *in = s->bindings + step->first;
        int32_t failed = heed_run(step->instance, in, step->n_in, in + step->n_in, 1,
                                  step->memory < 0 ? NULL : s->sequences + step->memory, error);
        if (failed) return failed;
    }
    return HEED_OK;
}

/* ---- the session ---- */

/* Every layer back to the first `length` tokens. What can not go back leaves the session broken. */
static void take_back(heed_session *s, int64_t length)
{
    s->length = length;
    for (uint32_t i = 0; i < s->stack->n_memories; i++)
        if (heed_sequence_truncate(s->sequences[i], length, NULL)) s->broken = 1;
}

int32_t heed_session_feed(heed_session *s, const int32_t *tokens, int64_t n, float *logits, int64_t rows,
                          heed_error *error)
{
    const heed_stack *stack = s->stack;
    int64_t start = s->length, context = stack->number[STACK_CONTEXT], vocab = stack->number[STACK_VOCAB], now, keep;
    if (error) *error = (heed_error){0};
    if (n < 0 || rows < 0 || rows > n)
        return error_set(error, HEED_E_ARGUMENT,
                         "%lld tokens are fed and the logits of %lld asked for; from 0 to all of them is right",
                         (long long)n, (long long)rows);
    if ((n && !tokens) || (rows && !logits))
        return error_set(error, HEED_E_ARGUMENT, "the %s are NULL", n && !tokens ? "tokens" : "logits");
    if (s->broken)
        return error_set(error, HEED_E_ARGUMENT,
                         "an earlier feed failed half-way and this network can not take it back: reset the session");
    if (context >= 0 && n > context - start)
        return error_set(error, HEED_E_ARGUMENT, "%lld tokens after %lld are more than the context of %lld",
                         (long long)n, (long long)start, (long long)context);
    if (n && start && stack->forgets)
        return error_set(error, HEED_E_UNSUPPORTED,
                         "%s remembers nothing between calls: reset the session and feed the whole sequence again",
                         stack->forgets);
    if (n && start && stack->ahead)
        return error_set(error, HEED_E_UNSUPPORTED,
                         "%s is not causal: its tokens see those behind them, so a text is not fed in parts; reset the "
                         "session and feed the whole of it", stack->ahead);
    if (n && start && start < stack->prefix)
        return error_set(error, HEED_E_ARGUMENT,
                         "the first %lld tokens see one another (prefix), so they are fed at once, not %lld of them",
                         (long long)stack->prefix, (long long)start);
    for (int64_t done = 0; done < n; done += now) {
        now = stack->whole || n - done < CHUNK ? n - done : CHUNK;
        keep = done + now - (n - rows);
        keep = keep < 0 ? 0 : keep > now ? now : keep;
        int32_t failed = make_room(s, now, error);
        if (!failed) {
            place(s, tokens + done, now, keep ? logits + (done + now - keep - (n - rows)) * vocab : NULL, keep);
            failed = run_steps(s, 0, stack->tail, error);
        }
        if (!failed && keep) failed = run_steps(s, stack->tail, stack->n_steps, error);
        if (failed) {
            take_back(s, start);
            return failed;
        }
        s->length += now;
    }
    return HEED_OK;
}

int32_t heed_session_reset(heed_session *s, heed_error *error)
{
    if (error) *error = (heed_error){0};
    s->broken = 0;
    take_back(s, 0);
    return HEED_OK; /* to 0 all can go back */
}

int32_t heed_session_sample(heed_session *s, const float *logits, double temperature, double draw, int32_t *token,
                            heed_error *error)
{
    if (error) *error = (heed_error){0};
    if (!(temperature >= 0) || !isfinite(temperature))
        return error_set(error, HEED_E_ARGUMENT, "the temperature is %g, but must be 0 or a positive number",
                         temperature);
    if (!(draw >= 0 && draw < 1))
        return error_set(error, HEED_E_ARGUMENT, "the draw is %g, but must be at least 0 and less than 1", draw);
    if (!s->sampler || s->temperature != temperature) {
        char number[32], spec[80];
        spec_number(number, temperature);
        snprintf(spec, sizeof spec, "sample/categorical(temperature=%s)", number);
        heed_instance *sampler = heed_instance_open(s->stack->engine, spec, NULL, error);
        if (!sampler) return error ? error->code : HEED_E_ARGUMENT;
        heed_instance_close(s->sampler);
        s->sampler = sampler;
        s->temperature = temperature;
    }
    float chance = (float)draw;
    if (chance >= 1) chance = 0x1.fffffep-1f; /* it was rounded up */
    int64_t shape[] = {1, s->stack->number[STACK_VOCAB]};
    heed_tensor t = heed_tensor_of((void *)logits, HEED_F32, 2, shape), d = heed_tensor_of(&chance, HEED_F32, 1, shape),
                out = heed_tensor_of(token, HEED_I32, 1, shape);
    heed_binding in[] = {{"logits", &t}, {"draw", &d}}, result = {"token", &out};
    return heed_run(s->sampler, in, temperature > 0 ? 2 : 1, &result, 1, NULL, error);
}
