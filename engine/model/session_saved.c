/* SPDX-License-Identifier: MIT
 *
 * session_saved.c: a session as bytes, and back: what every layer remembers, and which network it is of. A prompt that
 * many texts begin with is read once.
 *
 * Of a network with an encoder the keys and values of the text that was encoded are saved as well.
 *
 * Keys and values mean nothing to another network, however alike in its shapes, so the spec must be the same, and so
 * must the weights, by a checksum of them all. Invariant: a session that can not be loaded is as it was.
 */
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/saved.h"
#include "io/weights.h"
#include "model/session.h"
#include "model/stack.h"
#include "op/spec.h"

static const saved_kind kind = {"session", "heed.ses", 2};

/* Behind it: the spec, zeros up to a multiple of 8, each layer's saved sequence, the rows of the encoded text that
 * each layer attends to, zeros up to a multiple of 8, the checksum. */
typedef struct saved_session {
    saved_frame frame;
    uint64_t weights; /* their checksum */
    int64_t length;
    uint64_t spec_bytes;
    uint64_t layers;  /* those that remember */
    int64_t source;   /* tokens of the encoded text; -1: none was encoded */
} saved_session;
_Static_assert(sizeof(saved_session) == 24 + 40, "there is no padding to save");

static uint64_t padded(uint64_t bytes) { return (bytes + 7) & ~(uint64_t)7; }

/* Of all weights, taken once for a stack; 0 is taken again. */
static uint64_t weights_sum(const heed_stack *stack)
{
    heed_stack *s = (heed_stack *)stack;
    if (!s->checksum) s->checksum = weights_checksum(s->weights);
    return s->checksum;
}

static int32_t check_remembers(const heed_session *s, heed_error *error)
{
    if (!s->stack->forgets) return HEED_OK;
    return error_set(error, HEED_E_UNSUPPORTED, "%s remembers nothing between calls, so there is nothing to save",
                     s->stack->forgets);
}

/* Bytes of one token of the encoded text in a buffer that stays; 0: no layer attends to it. */
static uint64_t source_row(const heed_stack *stack, uint32_t buffer)
{
    for (uint32_t v = 0; v < stack->n_views; v++) {
        const stack_view *view = &stack->views[v];
        uint64_t bytes = heed_dtype_bytes(view->dtype);
        if (view->buffer != buffer) continue;
        for (int32_t a = 1; a < view->rank; a++) bytes *= (uint64_t)view->dim[a];
        return bytes;
    }
    return 0;
}

/* Of all these buffers; and for so many tokens. */
static uint64_t source_rows(const heed_stack *stack)
{
    uint64_t bytes = 0;
    for (uint32_t b = STACK_BUFFERS; b < stack->n_buffers; b++) bytes += source_row(stack, b);
    return bytes;
}
static uint64_t source_bytes(const heed_stack *stack, int64_t tokens)
{
    return tokens > 0 ? padded(source_rows(stack) * (uint64_t)tokens) : 0;
}

static void put_source(const heed_session *s, char *at)
{
    memset(at, 0, source_bytes(s->stack, s->source));
    for (uint32_t b = STACK_BUFFERS; s->source > 0 && b < s->stack->n_buffers; b++) {
        const uint64_t bytes = source_row(s->stack, b) * (uint64_t)s->source;
        if (bytes) memcpy(at, s->buffer[b], bytes), at += bytes;
    }
}

int64_t heed_session_save(const heed_session *s, void *to, uint64_t room, heed_error *error)
{
    const heed_stack *stack = s->stack;
    saved_session head = {.frame = {.schema = kind.schema}, .length = s->length, .spec_bytes = strlen(stack->spec),
                          .layers = stack->n_memories, .source = s->source};
    uint64_t bytes = sizeof head + padded(head.spec_bytes) + source_bytes(stack, s->source) + sizeof(uint64_t);
    if (error) *error = (heed_error){0};
    int32_t failed = check_remembers(s, error);
    if (failed) return failed;
    if (s->broken)
        return error_set(error, HEED_E_ARGUMENT, "an earlier feed failed half-way, so there is nothing to save: reset");
    for (uint32_t i = 0; i < stack->n_memories; i++) {
        const int64_t more = heed_sequence_save(s->sequences[i], NULL, 0, error);
        if (more < 0) return more;
        bytes += (uint64_t)more;
    }
    failed = saved_fits(&kind, bytes, to, room, error);
    if (failed || !to) return failed ? failed : (int64_t)bytes;

    char *at = to, *end = at + bytes;
    head.frame.bytes = bytes, head.weights = weights_sum(stack);
    memcpy(head.frame.magic, kind.magic, sizeof head.frame.magic);
    memcpy(at, &head, sizeof head), at += sizeof head;
    memset(at, 0, padded(head.spec_bytes));
    memcpy(at, stack->spec, head.spec_bytes), at += padded(head.spec_bytes);
    for (uint32_t i = 0; i < stack->n_memories; i++)
        at += heed_sequence_save(s->sequences[i], at, (uint64_t)(end - at), error);
    put_source(s, at);
    saved_seal(to, bytes);
    return (int64_t)bytes;
}

/* ---- back ---- */

/* Whether the head is of this network, and its spec stands in `bytes`. */
static int32_t check_network(const heed_stack *stack, const saved_session *head, const char *spec, uint64_t bytes,
                             heed_error *error)
{
    const int64_t context = stack->number[STACK_CONTEXT];
    if (head->spec_bytes > bytes || padded(head->spec_bytes) > bytes)
        return error_set(error, HEED_E_DATA, "the saved session says that its spec has %llu bytes; %llu are there",
                         (unsigned long long)head->spec_bytes, (unsigned long long)bytes);
    if (head->spec_bytes != strlen(stack->spec) || memcmp(spec, stack->spec, head->spec_bytes)) {
        char shown[400] = {0};
        for (uint64_t c = 0; c < head->spec_bytes && c < sizeof shown - 1; c++)
            shown[c] = spec[c] >= ' ' && spec[c] <= '~' ? spec[c] : '?';
        return error_set(error, HEED_E_ARGUMENT, "the saved session is of the network \"%s\", but this is \"%.399s\"",
                         shown, stack->spec);
    }
    if (head->weights != weights_sum(stack))
        return error_set(error, HEED_E_ARGUMENT,
                         "the saved session is of a network with other weights: their checksum is %016llx, here it is "
                         "%016llx", (unsigned long long)head->weights, (unsigned long long)weights_sum(stack));
    if (head->layers != stack->n_memories)
        return error_set(error, HEED_E_DATA, "the saved session has %llu layers, but this network %u that remember",
                         (unsigned long long)head->layers, stack->n_memories);
    if (head->length < 0 || (context >= 0 && head->length > context))
        return error_set(error, HEED_E_DATA, "the saved session has %lld tokens; the network's context is %lld",
                         (long long)head->length, (long long)context);
    if (head->source < -1 || (context >= 0 && head->source > context) || (!stack->n_encode && head->source != -1) ||
        (stack->n_encode && head->source < 1 && head->length))
        return error_set(error, HEED_E_DATA, "the saved session has %lld tokens of an encoded text, which can not be",
                         (long long)head->source);
    return HEED_OK;
}

/* One layer's sequence from the front of `left` bytes. NULL and a sentence if it is none. */
static heed_sequence *take_layer(const heed_stack *stack, const saved_session *head, uint32_t layer, const char *from,
                                 uint64_t left, uint64_t *taken, heed_error *error)
{
    saved_frame frame = {.bytes = 0};
    if (left >= sizeof frame) memcpy(&frame, from, sizeof frame);
    *taken = frame.bytes <= left ? frame.bytes : left;
    heed_error why;
    heed_sequence *s = heed_sequence_load(stack->memories[layer], NULL, from, *taken, &why);
    if (s && heed_sequence_length(s) == head->length) return s;
    if (s)
        error_set(error, HEED_E_DATA, "the saved session has %lld tokens, but %lld in its layer %u",
                  (long long)head->length, (long long)heed_sequence_length(s), layer);
    else error_set(error, why.code, "the saved session, layer %u: %s", layer, why.text);
    heed_sequence_free(s);
    return NULL;
}

static int32_t take_layers(heed_session *s, const saved_session *head, const char *from, uint64_t left,
                           heed_sequence **loaded, heed_error *error)
{
    for (uint32_t i = 0; i < s->stack->n_memories; i++) {
        uint64_t taken;
        if (!(loaded[i] = take_layer(s->stack, head, i, from, left, &taken, error))) return HEED_E_DATA;
        from += taken, left -= taken;
    }
    const uint64_t rows = source_rows(s->stack), most = left / (rows ? rows : 1);
    if ((head->source > 0 && (uint64_t)head->source > most) || left != source_bytes(s->stack, head->source))
        return error_set(error, HEED_E_DATA, "the saved session has %llu bytes behind its last layer",
                         (unsigned long long)left);
    if (head->source > 0) TRY(session_take_source(s, head->source, from, error));
    else s->source = -1;
    for (uint32_t i = 0; i < s->stack->n_memories; i++) {
        heed_sequence *old = s->sequences[i];
        s->sequences[i] = loaded[i], loaded[i] = old;
    }
    s->length = head->length;
    s->broken = 0;
    return HEED_OK;
}

int32_t heed_session_load(heed_session *s, const void *from, uint64_t bytes, heed_error *error)
{
    saved_session head;
    heed_error own;
    if (!error) error = &own;
    *error = (heed_error){0};
    if (check_remembers(s, error) || saved_open(&kind, &head, sizeof head, from, bytes, error)) return error->code;
    const char *spec = (const char *)from + sizeof head;
    uint64_t left = bytes - sizeof head - sizeof(uint64_t);
    if (check_network(s->stack, &head, spec, left, error)) return error->code;
    heed_sequence **loaded = calloc(s->stack->n_memories + 1, sizeof *loaded);
    if (!loaded) return error_memory(error);
    const uint64_t skipped = padded(head.spec_bytes);
    take_layers(s, &head, spec + skipped, left - skipped, loaded, error);
    for (uint32_t i = 0; i < s->stack->n_memories; i++) heed_sequence_free(loaded[i]);
    free(loaded);
    return error->code;
}
