/* SPDX-License-Identifier: MIT
 *
 * kept.c: what an op remembers, as bytes and behind calls that fail. Saved and loaded it must go on
 * with the same bits; a host that stops a call, and sizes that the op refuses, must leave it as it
 * was.
 */
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "base/saved.h"
#include "check/kept.h"
#include "check/state.h"
#include "inspect.h"

static int64_t batch(const subject *s) { return s->c.oracle.axis['B' - 'A']; }
static const char *path_of(const subject *s, uint64_t n)
{
    return s->paths[(s->seed + n) % (uint64_t)s->n_paths];
}

/* ---- saved ---- */

typedef struct blob {
    unsigned char *data;
    uint64_t bytes;
} blob;

static blob save(const heed_sequence *from)
{
    heed_error e;
    const int64_t bytes = heed_sequence_save(from, NULL, 0, &e);
    blob b = {bytes > 0 ? malloc((size_t)bytes) : NULL, (uint64_t)bytes};
    if (!b.data) harness_fail("%s", bytes < 0 ? e.text : "no memory");
    heed_sequence_save(from, b.data, b.bytes, NULL);
    return b;
}

/* Takes the place of what a text remembers. */
static void load(text *t, const blob *saved, int64_t length)
{
    heed_error e;
    for (int64_t b = 0; b < batch(t->s); b++) {
        heed_sequence_free(t->sequence[b]);
        t->sequence[b] =
            heed_sequence_load(t->instance, t->axes, saved[b].data, saved[b].bytes, &e);
        if (!t->sequence[b]) harness_fail("%s", e.text);
    }
    t->at = length;
}

/* Half of the text on one path, and again on another, while the first still is: the bytes are the
 * same. They go on there with the bits of the first. */
void check_saved(subject *s)
{
    const int64_t half = text_length(s) / 2, rest = text_length(s) - half;
    const char *from = path_of(s, 0), *to = path_of(s, 1);
    uint64_t seed = s->seed;
    heed_tensor right[ORACLE_PORTS];
    blob saved[BATCH_MAX];
    text t, other;
    text_open(&t, s, from, 1);
    text_open(&other, s, to, 2);
    text_feed(&t, half);
    text_feed(&other, half);
    for (int64_t b = 0; b < batch(s); b++) {
        saved[b] = save(t.sequence[b]);
        blob again = save(other.sequence[b]);
        if (again.bytes != saved[b].bytes || memcmp(again.data, saved[b].data, again.bytes))
            harness_fail("remembers other bytes in a second sequence of the same tokens, on %s and "
                         "on %s: an address, "
                         "or what was never written",
                         from, to);
        free(again.data);
    }
    text_feed(&t, rest);
    text_keep(&t, right);
    text_close(&t);
    load(&other, saved, half);
    text_feed(&other, rest);
    text_must_equal(&other, right, "loaded");
    for (int64_t b = 0; b < batch(s); b++) { /* hostile bytes may give any numbers, but no crash */
        for (uint64_t i = inspect_saved_head(); i < saved[b].bytes; i++)
            saved[b].data[i] = (unsigned char)(harness_random(&seed) >> 40);
        saved_seal(saved[b].data, saved[b].bytes);
    }
    load(&other, saved, half);
    text_feed(&other, rest);
    text_close(&other);
    for (int64_t b = 0; b < batch(s); b++) free(saved[b].data);
    outputs_free(right);
}

/* ---- a host that stops a call ---- */

#define STOPS 6 /* parallel_for of one call in which it is stopped */

typedef struct stopping_host {
    heed_host host;
    int64_t before; /* so many parallel_for run; of the next, half of the tiles */
    int inside, stopped;
} stopping_host;

static int32_t stopping_parallel_for(const heed_host *host, int64_t tiles, heed_tile_fn fn,
                                     void *arg)
{
    stopping_host *h = host->self;
    const int stops = !h->inside && tiles > 0 && h->before-- <= 0, outer = !h->inside;
    h->stopped |= stops;
    h->inside = 1;
    for (int64_t i = 0; i < (stops ? tiles / 2 : tiles); i++) fn(arg, i, 0);
    if (outer) h->inside = 0;
    return stops ? HEED_E_CANCELLED : HEED_OK;
}

static void stopping_log(const heed_host *h, uint32_t level, const char *text)
{
    (void)h, (void)level, (void)text;
}
static int32_t stopping_cancelled(const heed_host *host)
{
    return ((const stopping_host *)host->self)->stopped;
}
static const void *stopping_extension(const heed_host *host, const char *id)
{
    (void)host, (void)id;
    return NULL;
}

/* The call on tensors by port, stopped in the parallel_for behind so many. 0: there are not so
 * many. */
static int stop(subject *s, const heed_instance *i, heed_tensor by_port[ORACLE_PORTS],
                heed_sequence *const *sequences, int64_t before)
{
    heed_error e;
    stopping_host h = {.before = before};
    h.host = (heed_host){.size = sizeof h.host,
                         .self = &h,
                         .parallel_for = stopping_parallel_for,
                         .log = stopping_log,
                         .cancelled = stopping_cancelled,
                         .get_extension = stopping_extension};
    heed_engine *engine = harness_engine(1); /* whose instance it is */
    const heed_host *own = inspect_change_host(engine, &h.host);
    int32_t code = call_with(&s->c, i, by_port, sequences, &e);
    inspect_change_host(engine, own);
    if (h.stopped && !code)
        harness_fail(
            "%s: says that all went well, but its host skipped tiles of its parallel_for %lld",
            heed_instance_path(i)->name, (long long)before);
    return h.stopped;
}

/* ---- calls that fail half-way through a text ---- */

/* The tensors of the next tokens of a text; `letter`, if there is one, is an axis that gets longer
 * by one: tensors of their own then, to be freed by more_free. */
static void next_tensors(const text *t, int64_t n, int letter, heed_tensor by_port[ORACLE_PORTS])
{
    memset(by_port, 0, sizeof *by_port * ORACLE_PORTS);
    for (uint32_t p = 0; p < t->s->c.op->ports.count; p++) {
        const heed_tensor *all = t->out[p].data ? &t->out[p] : &t->s->c.plain[p];
        const int tokens = text_axis(t->s, p),
                  longer = letter ? subject_axis(t->s, p, (char)letter) : -1;
        if (!all->data) continue;
        by_port[p] = tokens < 0 ? *all : tensor_slice(all, tokens, t->at, n);
        if (!letter || subject_port(t->s, p)->role == HEED_WEIGHT) continue;
        if (longer >= 0) by_port[p].dim[longer]++;
        if (heed_tensor_alloc(&by_port[p], NULL)) harness_fail("no memory");
        for (int64_t i = 0; i < heed_tensor_elements(&by_port[p]); i++)
            if (heed_dtype_name(by_port[p].dtype)[0] != 'i') tensor_put(&by_port[p], i, 1.5);
    }
}

static void more_free(const text *t, heed_tensor by_port[ORACLE_PORTS])
{
    for (uint32_t p = 0; p < t->s->c.op->ports.count; p++)
        if (subject_port(t->s, p)->role != HEED_WEIGHT) free(by_port[p].data);
}

/* Goes on behind a call that failed, and must have the right outputs. */
static void must_remember(text *t, const heed_tensor *right, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
static void must_remember(text *t, const heed_tensor *right, const char *format, ...)
{
    char what[120];
    va_list list;
    va_start(list, format);
    vsnprintf(what, sizeof what, format, list);
    va_end(list);
    for (int64_t b = 0; b < batch(t->s); b++)
        if (heed_sequence_length(t->sequence[b]) != t->at)
            harness_fail("%s: the length changed", what);
    text_feed(t, text_length(t->s) - t->at);
    if (!outputs_equal(&t->s->c, right, t->out))
        harness_fail("%s changed what was remembered: the next call has other bits: %s", what,
                     outputs_difference(&t->s->c, t->out, right));
}

/* An instance and sequences that do not know a size beforehand, so that the op, not the engine, has
 * to refuse another. 0: it can not be without, or its pages are others then. */
static int open_without(text *t, subject *s, const char *path, int letter)
{
    heed_error e;
    heed_binding weights[ORACLE_PORTS];
    heed_state_size with = {.size = sizeof with}, without = with;
    int64_t all[HEED_AXES], axes[HEED_AXES];
    text_axes(s, all);
    memcpy(axes, all, sizeof axes);
    HEED_AXIS(axes, letter) = -1;
    heed_opening opening = {.size = sizeof opening, .weights = weights, .axes = axes, .isa = path};
    opening.n_weights = call_bindings(&s->c, HEED_WEIGHT, s->c.plain, weights);
    heed_instance *i = heed_instance_open(harness_engine(1), s->how.spec, &opening, &e);
    const heed_op *op = &s->entry->op;
    if (!i || op->measure_state(inspect_memory(i), all, &with) ||
        op->measure_state(inspect_memory(i), axes, &without) ||
        memcmp(&with, &without, sizeof with))
        return heed_instance_close(i), 0;
    memset(t, 0, sizeof *t);
    t->s = s, t->instance = i;
    memcpy(t->axes, axes, sizeof axes);
    outputs_make(&s->c, t->out);
    for (int64_t b = 0; b < batch(s); b++)
        if (!(t->sequence[b] = heed_sequence_new(i, axes, &e))) harness_fail("%s", e.text);
    return 1;
}

/* Sizes that the state does not depend on get longer by one, in turn. Which of them an op refuses
 * is its own affair. */
static void refuse_sizes(subject *s, const char *path, int64_t half, const heed_tensor *right)
{
    for (int letter = 'A'; letter <= 'Z'; letter++) {
        heed_error e;
        heed_tensor by_port[ORACLE_PORTS];
        text t;
        if (strchr("BTS", letter) || HEED_AXIS(s->c.oracle.axis, letter) < 0) continue;
        if (!open_without(&t, s, path, letter)) continue;
        text_feed(&t, half);
        next_tensors(&t, text_length(s) - half, letter, by_port);
        const int32_t code = call_with(&s->c, t.instance, by_port, t.sequence, &e);
        more_free(&t, by_port);
        if (code)
            must_remember(&t, right, "a call that is refused, with one more of the axis %c,",
                          letter);
        text_close(&t);
    }
}

void check_failure(subject *s)
{
    heed_tensor by_port[ORACLE_PORTS], right[ORACLE_PORTS];
    const char *path = path_of(s, 0);
    const int64_t half = text_length(s) / 2, rest = text_length(s) - half;
    if (!has_state(s)) {
        heed_instance *i = call_open(&s->c, path, 1);
        outputs_make(&s->c, right);
        memcpy(by_port, s->c.plain, sizeof by_port);
        for (uint32_t p = 0; p < s->c.op->ports.count; p++)
            if (right[p].data) by_port[p] = right[p];
        for (int64_t before = 0; before < STOPS && stop(s, i, by_port, NULL, before); before++) {}
        heed_instance_close(i);
        outputs_free(right);
        return;
    }
    text t;
    text_open(&t, s, path, 1);
    text_feed(&t, half);
    text_feed(&t, rest);
    text_keep(&t, right);
    text_close(&t);
    for (int64_t before = 0, stopped = 1; stopped && before < STOPS; before++) {
        text_open(&t, s, path, 1);
        text_feed(&t, half);
        next_tensors(&t, rest, 0, by_port);
        stopped = stop(s, t.instance, by_port, t.sequence, before);
        if (stopped)
            must_remember(&t, right, "a call that its host stops in its parallel_for %lld",
                          (long long)before);
        text_close(&t);
    }
    refuse_sizes(s, path, half, right);
    outputs_free(right);
}
