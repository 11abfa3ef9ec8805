/* SPDX-License-Identifier: MIT
 *
 * state.c: what an op remembers. A text in one call, in chunks and token by token must agree; a
 * fork, whose pages are copies as soon as they are written, and a cut must lead to the same bits.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "check/codec.h"
#include "check/state.h"
#include "inspect.h"

static const heed_mask *mask_of(const subject *s) { return &s->c.mask; }

int text_axis(const subject *s, uint32_t p)
{
    int axis = subject_axis(s, p, 'S');
    return axis >= 0 ? axis : subject_axis(s, p, 'T');
}

/* Inputs that no call with a state can have, or that mean another thing there. */
static int has_foreign_input(const subject *s)
{
    static const char *const names[] = {"key_lengths", "documents", "query_documents", "bias"};
    for (uint32_t p = 0; p < s->c.op->ports.count; p++)
        for (size_t n = 0; n < sizeof names / sizeof *names; n++)
            if (s->c.plain[p].data && !strcmp(subject_port(s, p)->name, names[n])) return 1;
    return 0;
}

int has_state(const subject *s)
{
    const int64_t *axis = s->c.oracle.axis, T = axis['T' - 'A'], S = axis['S' - 'A'],
                  B = axis['B' - 'A'];
    if (axis['D' - 'A'] == 0 || axis['E' - 'A'] == 0) return 0; /* a page of no bytes is none */
    return s->entry->op.measure_state && !has_foreign_input(s) && B > 0 && B <= BATCH_MAX &&
           T > 1 && (S < 0 || S == T);
}

/* A text in parts sees what it sees as a whole if it sees nothing later: the mask says so, or the
 * op can not else. */
int has_forms(const subject *s)
{
    const heed_mask *m = mask_of(s);
    if (!has_state(s) || subject_couples(s)) return 0;
    if (!(s->entry->op.masks & HEED_MASK_CAUSAL)) return 1;
    return m->kinds & HEED_MASK_CAUSAL && m->align == HEED_ALIGN_TOP_LEFT &&
           !(m->kinds & HEED_MASK_PREFIX);
}

void text_axes(const subject *s, int64_t axes[HEED_AXES])
{
    for (int a = 0; a < HEED_AXES; a++) axes[a] = strchr("BTS", 'A' + a) ? -1 : s->c.oracle.axis[a];
}

void text_open(text *t, subject *s, const char *path, uint32_t threads)
{
    heed_error e;
    memset(t, 0, sizeof *t);
    t->s = s;
    t->instance = call_open(&s->c, path, threads);
    outputs_make(&s->c, t->out);
    text_axes(s, t->axes);
    for (int64_t b = 0; b < s->c.oracle.axis['B' - 'A']; b++)
        if (!(t->sequence[b] = heed_sequence_new(t->instance, t->axes, &e)))
            harness_fail("%s", e.text);
}

/* The next n tokens, of which the last `asks` are queries. */
static void feed_late(text *t, int64_t n, int64_t asks)
{
    heed_error e;
    heed_tensor by_port[ORACLE_PORTS];
    memcpy(by_port, t->s->c.plain, sizeof by_port);
    for (uint32_t p = 0; p < t->s->c.op->ports.count; p++) {
        if (!by_port[p].data) continue;
        if (subject_port(t->s, p)->role == HEED_OUTPUT) by_port[p] = t->out[p];
        const int axis = text_axis(t->s, p), asked = subject_axis(t->s, p, 'T') >= 0;
        const int64_t count = asked ? asks : n;
        if (axis >= 0) by_port[p] = tensor_slice(&by_port[p], axis, t->at + n - count, count);
    }
    if (call_with(&t->s->c, t->instance, by_port, t->sequence, &e))
        harness_fail("%lld tokens behind %lld: %s", (long long)n, (long long)t->at, e.text);
    t->at += n;
}

void text_feed(text *t, int64_t n) { feed_late(t, n, n); }

void text_close(text *t)
{
    for (int b = 0; b < BATCH_MAX; b++) heed_sequence_free(t->sequence[b]);
    heed_instance_close(t->instance);
    outputs_free(t->out);
}

int64_t text_length(const subject *s) { return s->c.oracle.axis['T' - 'A']; }

/* ---- three forms ---- */

enum { WHOLE, CHUNKS, TOKENS, FORMS };
static const char *const form_names[] = {"whole", "chunks", "token by token"};

static void feed_all(text *t, int form, uint64_t seed)
{
    while (t->at < text_length(t->s)) {
        int64_t rest = text_length(t->s) - t->at, n = form == WHOLE ? rest : 1;
        static const int64_t chunks[] = {1, 2, 7, 16, 33, 64};
        if (form == CHUNKS) n = chunks[harness_random(&seed) % 6];
        text_feed(t, n < rest ? n : rest);
    }
}

/* Without an oracle: as near as float32 sums of so many terms may be. */
static double distance(const subject *s, const heed_tensor *out, judged *where)
{
    double worst = 0;
    for (uint32_t p = 0; p < s->c.op->ports.count; p++) {
        if (subject_port(s, p)->role != HEED_OUTPUT || !out[p].data) continue;
        double scale = 0;
        for (int64_t i = 0; i < heed_tensor_elements(&out[p]); i++)
            scale = fmax(scale, fabs(tensor_get(&s->first[p], i)));
        for (int64_t i = 0; i < heed_tensor_elements(&out[p]); i++) {
            double x = tensor_get(&out[p], i), y = tensor_get(&s->first[p], i);
            if (x == y || (isnan(x) && isnan(y))) continue;
            double ratio = fabs(x - y) / (scale * 1e-5);
            if (ratio <= worst) continue;
            worst = ratio;
            *where = (judged){subject_port(s, p)->name, &out[p], i, y, scale * 1e-5};
        }
    }
    return worst;
}

void check_forms(subject *s)
{
    for (int form = WHOLE; form < FORMS; form++) {
        if (form == TOKENS && text_length(s) > 80) continue;
        text first, other;
        text_open(&first, s, s->paths[0], 1);
        feed_all(&first, form, s->seed);
        judged where;
        if (s->c.coded) codec_tell_oracle(s, first.instance);
        double ratio = call_oracle(&s->c) ? call_judge_element(&s->c, first.out, &where)
                       : s->c.coded       ? 0
                                          : distance(s, first.out, &where);
        if (s->c.coded) call_update(&s->c);
        if (!(ratio <= 1))
            harness_fail("%s: %.3g times as far from %s as it may be: %s", form_names[form], ratio,
                         call_oracle(&s->c) ? "the oracle" : "one call without a state",
                         judged_text(&where));
        for (int p = 1; p < s->n_paths; p++) {
            text_open(&other, s, s->paths[p], p == 1 ? 3 : 1);
            feed_all(&other, form, s->seed);
            if (!outputs_equal(&s->c, first.out, other.out))
                harness_fail("%s: other bits on %s than on %s: %s", form_names[form], s->paths[p],
                             s->paths[0], outputs_difference(&s->c, other.out, first.out));
            text_close(&other);
        }
        text_close(&first);
    }
}

/* ---- history ---- */

void text_keep(const text *t, heed_tensor to[ORACLE_PORTS])
{
    outputs_make(&t->s->c, to);
    for (uint32_t p = 0; p < t->s->c.op->ports.count; p++)
        if (to[p].data) tensor_copy(&to[p], &t->out[p]);
}

void text_must_equal(const text *t, const heed_tensor *right, const char *what)
{
    if (!outputs_equal(&t->s->c, right, t->out))
        harness_fail("%s: other bits than in the sequence itself: %s", what,
                     outputs_difference(&t->s->c, t->out, right));
}

/* Whether a call may have the queries of its last new tokens alone: they are the only input over T. */
static int has_late(const subject *s)
{
    if (!has_forms(s) || s->c.oracle.axis['S' - 'A'] < 0) return 0;
    for (uint32_t p = 0; p < s->c.op->ports.count; p++)
        if (subject_port(s, p)->role == HEED_INPUT && s->c.plain[p].data &&
            subject_axis(s, p, 'T') >= 0 && strcmp(subject_port(s, p)->name, "q"))
            return 0;
    return 1;
}

/* Tokens that are remembered alone, and then some of which the last ones ask: those get the bits that they
 * get where all ask. */
static void check_late(subject *s, const char *path, const heed_tensor *right)
{
    const int64_t all = text_length(s), half = all / 2, quiet = (all - half) / 2,
                  asks = (all - half - quiet + 1) / 2;
    text t;
    text_open(&t, s, path, 1);
    text_feed(&t, half);
    feed_late(&t, quiet, 0);
    feed_late(&t, all - half - quiet, asks);
    for (uint32_t p = 0; p < s->c.op->ports.count; p++) {
        if (!t.out[p].data) continue;
        const int axis = text_axis(s, p);
        heed_tensor to = tensor_slice(&t.out[p], axis, half, all - half - asks),
                    from = tensor_slice(&right[p], axis, half, all - half - asks);
        tensor_copy(&to, &from);
    }
    text_must_equal(&t, right, "queries of the last tokens alone");
    text_close(&t);
}

/* Some of the text, a fork, the rest; the rest in the fork; and again after a cut. A recurrent
 * state can only be cut to nothing. */
void check_history(subject *s)
{
    heed_error e;
    heed_tensor right[ORACLE_PORTS];
    heed_sequence *fork[BATCH_MAX] = {0};
    const int64_t half = text_length(s) / 2;
    const uint32_t B = (uint32_t)s->c.oracle.axis['B' - 'A'];
    text t;
    text_open(&t, s, s->paths[s->seed % (uint64_t)s->n_paths], 1);
    text_feed(&t, half);
    for (uint32_t b = 0; b < B; b++)
        if (!(fork[b] = heed_sequence_fork(t.sequence[b], &e))) harness_fail("%s", e.text);
    text_feed(&t, text_length(s) - half);
    text_keep(&t, right);

    /* swap: the fork goes on, the original waits with all its tokens */
    for (uint32_t b = 0; b < B; b++) {
        heed_sequence *kept = t.sequence[b];
        t.sequence[b] = fork[b], fork[b] = kept;
    }
    t.at = half;
    text_feed(&t, text_length(s) - half);
    text_must_equal(&t, right, "a fork");

    heed_state_size size = {.size = sizeof size};
    if (s->entry->op.measure_state(inspect_memory(t.instance), s->c.oracle.axis, &size))
        harness_fail("measure_state fails");
    const int64_t cut = size.page_tokens ? half : 0;
    for (uint32_t b = 0; b < B; b++)
        if (heed_sequence_truncate(fork[b], cut, &e)) harness_fail("%s", e.text);
    for (uint32_t b = 0; b < B; b++) {
        heed_sequence *kept = t.sequence[b];
        t.sequence[b] = fork[b], fork[b] = kept;
    }
    t.at = cut;
    if (!cut) text_feed(&t, half);
    text_feed(&t, text_length(s) - half);
    text_must_equal(&t, right, "after a cut");
    if (has_late(s)) check_late(s, s->paths[s->seed % (uint64_t)s->n_paths], right);
    for (uint32_t b = 0; b < B; b++) heed_sequence_free(fork[b]);
    outputs_free(right);
    text_close(&t);
}
