/* SPDX-License-Identifier: MIT
 *
 * variant.c: see variant.h.
 */
#include "variant.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define COUNT(array) (sizeof(array) / sizeof *(array))
enum { BATCH_MAX = 4 };

static int64_t axis(const call *c, char letter) { return c->oracle.axis[letter - 'A']; }

void variant_nan(const call_case *how, const char *port, int64_t first, int64_t step)
{
    const char *paths[8];
    heed_tensor out[ORACLE_PORTS];
    call c;
    call_make(&c, how);
    heed_tensor *t = &c.plain[call_port(&c, port)];
    const heed_tensor *y = &out[call_port(&c, "out")];
    for (int64_t i = first; i < heed_tensor_elements(t); i += step) tensor_put(t, i, NAN);
    call_update(&c);
    const int n = harness_paths(c.op->id, paths);
    for (int p = 0; p < n; p++) {
        int64_t reached = 0;
        call_run(&c, paths[p], 1, PLAIN, out);
        if (!(call_judge(&c, out) <= 1))
            fail_msg("%s [%s] on %s: a NaN in %s reaches other outputs than in the formula", how->spec, how->axes,
                     paths[p], port);
        for (int64_t i = 0; i < heed_tensor_elements(y); i++) reached += isnan(tensor_get(y, i)) != 0;
        if (reached == heed_tensor_elements(y))
            fail_msg("%s [%s]: NaNs in %s reach all outputs", how->spec, how->axes, port);
        outputs_free(out);
    }
    call_free(&c);
}

/* Tokens [0, T) on fresh sequences, `chunk` at a time. */
static void run_chunks(const call *c, const char *isa, uint32_t threads, int64_t chunk, heed_tensor out[ORACLE_PORTS])
{
    heed_sequence *s[BATCH_MAX];
    heed_instance *i = call_open(c, isa, threads);
    heed_error e;
    assert_true(axis(c, 'B') <= BATCH_MAX);
    outputs_make(c, out);
    for (int64_t b = 0; b < axis(c, 'B'); b++)
        if (!(s[b] = heed_sequence_new(i, c->oracle.axis, &e))) fail_msg("%s", e.text);
    for (int64_t t = 0, n; t < axis(c, 'T'); t += n) {
        heed_tensor view[ORACLE_PORTS] = {0};
        n = axis(c, 'T') - t < chunk ? axis(c, 'T') - t : chunk;
        for (uint32_t p = 0; p < c->op->ports.count; p++) {
            const heed_port *port = (const heed_port *)c->op->ports.data + p;
            const heed_tensor *all = out[p].data ? &out[p] : &c->plain[p];
            if (all->data && port->role != HEED_WEIGHT) view[p] = tensor_slice(all, 1, t, n);
        }
        if (call_with(c, i, view, s, &e)) fail_msg("%s [%s], token %d: %s", c->how->spec, c->how->axes, (int)t, e.text);
    }
    for (int64_t b = 0; b < axis(c, 'B'); b++) {
        assert_int_equal(heed_sequence_length(s[b]), axis(c, 'T'));
        heed_sequence_free(s[b]);
    }
    heed_instance_close(i);
}

void variant_phases(const call_case *how)
{
    static const int64_t chunks[] = {1, 5, 96, 97, 1 << 20};
    const char *paths[8];
    heed_tensor whole[ORACLE_PORTS], part[ORACLE_PORTS];
    call c;
    call_make(&c, how);
    const int n = harness_paths(c.op->id, paths);
    call_run(&c, paths[0], 1, PLAIN, whole);
    for (size_t k = 0; k < COUNT(chunks); k++)
        for (int p = 0; p < n; p++) {
            if (harness_quick() && (k + (size_t)p) % 2) continue;
            run_chunks(&c, paths[p], 1 + (uint32_t)p, chunks[k], part);
            if (!outputs_equal(&c, whole, part))
                fail_msg("%s [%s], chunks of %d on %s: other bits than the whole", how->spec, how->axes,
                         (int)chunks[k], paths[p]);
            outputs_free(part);
        }
    outputs_free(whole);
    call_free(&c);
}

void variant_causality(const call_case *how, int64_t j)
{
    static const char *const moved[] = {"q", "k", "v"};
    const char *paths[8];
    call c;
    call_make(&c, how);
    const int n = harness_paths(c.op->id, paths);
    for (int p = 0; p < n; p++) {
        heed_tensor before[ORACLE_PORTS], after[ORACLE_PORTS];
        call_run(&c, paths[p], 2, PLAIN, before);
        for (size_t m = 0; m < COUNT(moved); m++) {
            heed_tensor *t = &c.plain[call_port(&c, moved[m])];
            for (int64_t i = 0; i < heed_tensor_elements(t); i++)
                if (i / t->stride[1] % t->dim[1] >= j) tensor_put(t, i, tensor_get(t, i) + 1.5);
        }
        call_run(&c, paths[p], 2, PLAIN, after);
        const int at = call_port(&c, "out");
        int same = 1;
        for (int64_t b = 0; b < axis(&c, 'B'); b++) {
            const heed_tensor *x = &before[at], *y = &after[at];
            const size_t token = (size_t)x->stride[1] * sizeof(float), row = (size_t)(b * x->stride[0]) * sizeof(float);
            const size_t early = token * (size_t)j, all = token * (size_t)x->dim[1];
            assert_memory_equal((char *)x->data + row, (char *)y->data + row, early);
            same &= !memcmp((char *)x->data + row + early, (char *)y->data + row + early, all - early);
        }
        assert_false(same);
        outputs_free(before);
        outputs_free(after);
    }
    call_free(&c);
}

void variant_equals(const call_case *how, const char *zero, const call_case *other)
{
    const char *paths[8];
    call c, d;
    call_make(&c, how);
    call_make(&d, other);
    const int n = harness_paths(c.op->id, paths);
    for (uint32_t p = 0; p < c.op->ports.count; p++) {
        heed_tensor *t = &c.plain[p];
        const heed_port *port = (const heed_port *)c.op->ports.data + p;
        const char *in = t->data && port->role == HEED_WEIGHT ? strstr(zero, port->name) : NULL;
        if (in) memset(t->data, 0, t->bytes);
        if (t->data && port->role == HEED_INPUT) tensor_copy(t, &d.plain[call_port(&d, port->name)]);
    }
    for (int p = 0; p < n; p++) {
        heed_tensor x[ORACLE_PORTS], y[ORACLE_PORTS];
        call_run(&c, paths[p], 2, PLAIN, x);
        call_run(&d, paths[p], 1, PLAIN, y);
        const heed_tensor *a = &x[call_port(&c, "out")], *b = &y[call_port(&d, "out")];
        if (memcmp(a->data, b->data, a->bytes))
            fail_msg("%s and %s on %s: other bits", how->spec, other->spec, paths[p]);
        outputs_free(x);
        outputs_free(y);
    }
    call_free(&c);
    call_free(&d);
}

void variant_network(const char *keys)
{
    enum { VOCAB = 40, TOKENS = 150 };
    char spec[400];
    heed_error e;
    int32_t tokens[TOKENS];
    float logits[2][VOCAB];
    uint64_t seed = 5;
    for (int t = 0; t < TOKENS; t++) tokens[t] = (int32_t)(harness_random(&seed) % VOCAB);
    snprintf(spec, sizeof spec, "vocab=%d; width=32; layers=2; heads=4; norm=rms; feedforward=swiglu(hidden=48); %s",
             VOCAB, keys);
    heed_weights *w = heed_weights_random(harness_engine(2), spec, 11, &e);
    heed_stack *stack = w ? heed_stack_open(harness_engine(2), spec, w, &e) : NULL;
    if (!stack) fail_msg("%s: %s", spec, e.text);
    for (int way = 0; way < 2; way++) {
        heed_session *session = heed_session_new(stack, &e);
        assert_non_null(session);
        for (int t = 0; t < TOKENS; t += way ? 1 : TOKENS)
            if (heed_session_feed(session, tokens + t, way ? 1 : TOKENS, logits[way], 1, &e))
                fail_msg("%s: %s", spec, e.text);
        heed_session_free(session);
    }
    assert_memory_equal(logits[0], logits[1], sizeof logits[0]);
    assert_true(isfinite(logits[0][0]) && logits[0][0] != logits[0][1]);
    heed_stack_close(stack);
    heed_weights_close(w);
}

double variant_g(uint32_t s, uint32_t i)
{
    uint32_t h = i * 2654435761u + s * 40503u + 12345u;
    h ^= h >> 15, h *= 2246822519u, h ^= h >> 13, h *= 3266489917u, h ^= h >> 16;
    return h / 2147483648.0 - 1.0;
}

void variant_fill(const call *c, const char *port, uint32_t s)
{
    const heed_tensor *t = &c->plain[call_port(c, port)];
    for (int64_t i = 0; i < heed_tensor_elements(t); i++) tensor_put(t, i, variant_g(s, (uint32_t)i));
}

void variant_golden(const call *c, int64_t row, const double *right, int n)
{
    const char *paths[8];
    const int count = harness_paths(c->op->id, paths);
    for (int p = 0; p < count; p++) {
        heed_tensor out[ORACLE_PORTS];
        call_run(c, paths[p], 1, PLAIN, out);
        const heed_tensor *y = &out[call_port(c, "out")];
        for (int i = 0; i < n; i++)
            if (!(fabs(tensor_get(y, row * axis(c, 'E') + i) - right[i]) <= 2e-6))
                fail_msg("%s on %s: %d of row %d is %.7f, not %.6f", c->how->spec, paths[p], i, (int)row,
                         tensor_get(y, row * axis(c, 'E') + i), right[i]);
        outputs_free(out);
    }
}

void variant_refuses(const call_case *how, const char *text)
{
    heed_error e = {0};
    heed_binding weights[ORACLE_PORTS];
    heed_tensor out[ORACLE_PORTS], by_port[ORACLE_PORTS];
    heed_opening opening = {.size = sizeof opening, .weights = weights};
    call c;
    call_make(&c, how);
    for (uint32_t p = 0; p < c.op->ports.count; p++) {
        const heed_port *port = (const heed_port *)c.op->ports.data + p;
        if (port->role == HEED_WEIGHT && c.plain[p].data)
            weights[opening.n_weights++] = (heed_binding){port->name, &c.plain[p]};
    }
    heed_instance *i = heed_instance_open(harness_engine(1), how->spec, &opening, &e);
    if (i) {
        outputs_make(&c, out);
        for (int p = 0; p < ORACLE_PORTS; p++) by_port[p] = out[p].data ? out[p] : c.plain[p];
        if (!call_with(&c, i, by_port, NULL, &e)) fail_msg("%s [%s] is not refused", how->spec, how->axes);
        outputs_free(out);
        heed_instance_close(i);
    }
    if (!strstr(e.text, text)) fail_msg("%s [%s]: \"%s\" has no \"%s\"", how->spec, how->axes, e.text, text);
    call_free(&c);
}
