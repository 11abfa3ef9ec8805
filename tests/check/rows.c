/* SPDX-License-Identifier: MIT
 *
 * rows.c: who sees whom. A row of the batch alone, NaNs and infinities, what comes later, and rows
 * that see nothing.
 *
 * Which output may depend on which input follows from letters and names that the contract fixes
 * (ABI.md, Ports) and from the mask; for what does not follow from them nothing is asked.
 */
#include <heed/oracle.h> /* the mask's formula, in its first reading */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "check/rows.h"

static int is_float(const heed_tensor *t)
{
    return t->dtype == HEED_F32 || t->dtype == HEED_F16 || t->dtype == HEED_BF16;
}

static int port_named(const subject *s, const char *name)
{
    for (uint32_t p = 0; p < s->c.op->ports.count; p++)
        if (!strcmp(subject_port(s, p)->name, name)) return s->c.plain[p].data ? (int)p : -1;
    return -1;
}

/* 0: the op refuses these numbers, which is its right if it says so. */
static int run(subject *s, const char *path, heed_tensor by_port[ORACLE_PORTS],
               heed_tensor out[ORACLE_PORTS])
{
    heed_error e;
    heed_instance *i = call_try(&s->c, path, 1, by_port, &e);
    outputs_make(&s->c, out);
    for (uint32_t p = 0; p < s->c.op->ports.count; p++)
        if (subject_port(s, p)->role == HEED_OUTPUT) by_port[p] = out[p];
    int32_t code = i ? call_with(&s->c, i, by_port, NULL, &e) : e.code;
    if (code && strstr(e.text, "the plugin does not say why")) harness_fail("%s", e.text);
    heed_instance_close(i);
    if (code) outputs_free(out);
    return !code;
}

/* ---- a row alone ---- */

/* The axis of the batch: B, or the first of the leading ones. */
static char batch_letter(const subject *s)
{
    for (uint32_t p = 0; p < s->c.op->ports.count; p++) {
        if (subject_port(s, p)->role != HEED_INPUT) continue;
        if (subject_axis(s, p, 'B') >= 0) return 'B';
        if (subject_axis(s, p, 'x') >= 0) return 'x';
    }
    return 0;
}

static int64_t batch_size(const subject *s)
{
    char letter = batch_letter(s);
    for (uint32_t p = 0; letter && p < s->c.op->ports.count; p++) {
        int axis = subject_axis(s, p, letter);
        if (axis >= 0 && s->c.plain[p].data) return s->c.plain[p].dim[axis];
    }
    return 0;
}

int has_row_alone(const subject *s) { return batch_size(s) > 1 && !subject_couples(s); }

void check_alone(subject *s)
{
    const int64_t n = batch_size(s), rows[] = {0, n - 1, (int64_t)(s->seed % (uint64_t)n)};
    const char letter = batch_letter(s), *path = s->paths[s->seed % (uint64_t)s->n_paths];
    for (int k = 0; k < 3; k++) {
        heed_error e;
        heed_tensor by_port[ORACLE_PORTS], out[ORACLE_PORTS] = {0};
        memcpy(by_port, s->c.plain, sizeof by_port);
        for (uint32_t p = 0; p < s->c.op->ports.count; p++) {
            int axis = subject_axis(s, p, letter);
            if (!by_port[p].data || axis < 0) continue;
            by_port[p] = tensor_slice(&by_port[p], axis, rows[k], 1);
            if (subject_port(s, p)->role != HEED_OUTPUT) continue;
            out[p] = heed_tensor_of(NULL, by_port[p].dtype, by_port[p].rank, by_port[p].dim);
            if (heed_tensor_alloc(&out[p], NULL)) harness_fail("no memory");
            by_port[p] = out[p];
        }
        heed_instance *i = call_open(&s->c, path, 1);
        if (call_with(&s->c, i, by_port, NULL, &e))
            harness_fail("row %lld alone: %s", (long long)rows[k], e.text);
        heed_instance_close(i);
        for (uint32_t p = 0; p < s->c.op->ports.count; p++) {
            if (!out[p].data) continue;
            heed_tensor among = tensor_slice(&s->first[p], subject_axis(s, p, letter), rows[k], 1);
            if (!tensors_equal(&out[p], &among))
                harness_fail("%s: %s of row %lld of %lld has other bits alone: %s", path,
                             subject_port(s, p)->name, (long long)rows[k], (long long)n,
                             tensors_difference(subject_port(s, p)->name, &out[p], &among));
        }
        outputs_free(out);
    }
}

/* ---- who may see a changed number ---- */

/* Where an element lies: the index of its tensor along a letter, or -1. */
static int64_t index_of(const subject *s, uint32_t port, int64_t element, char letter)
{
    const heed_tensor *t = &s->c.plain[port];
    int axis = subject_axis(s, port, letter);
    for (int a = t->rank - 1; axis >= 0 && a > axis; a--) element /= t->dim[a];
    return axis < 0 ? -1 : element % t->dim[axis];
}

static int64_t valid_keys(const subject *s, int64_t b)
{
    int lengths = port_named(s, "key_lengths");
    const int64_t *axis = s->c.oracle.axis,
                  keys = axis['S' - 'A'] < 0 ? axis['T' - 'A'] : axis['S' - 'A'];
    return lengths < 0 ? keys : (int64_t)s->c.d[lengths][b];
}

static int sees(const subject *s, int64_t b, int64_t t, int64_t j)
{
    int documents = port_named(s, "documents"), asked = port_named(s, "query_documents");
    int64_t valid = valid_keys(s, b);
    return live_f64(&s->c.oracle, documents < 0 ? NULL : s->c.d[documents],
                    asked < 0 ? NULL : s->c.d[asked], b, t, oracle_position(&s->c.oracle, valid, t),
                    valid, j);
}

static int both(int64_t a, int64_t b) { return a >= 0 && b >= 0; }

int rows_may_reach(const subject *s, uint32_t in, int64_t i, uint32_t out, int64_t o)
{
    const char *name = subject_port(s, in)->name;
    /* alone, it may be what keys are made of too */
    const int is_q = !strcmp(name, "q") && port_named(s, "k") >= 0;
    const int is_key = !strcmp(name, "k") || !strcmp(name, "v");
    static const char batch[] = "xB";
    for (const char *l = batch; *l && !subject_couples(s); l++) {
        int64_t from = index_of(s, in, i, *l), to = index_of(s, out, o, *l);
        if (both(from, to) && from != to) return 0;
    }
    int64_t t = index_of(s, out, o, 'T'), h = index_of(s, out, o, 'H'),
            b = index_of(s, out, o, 'B');
    if (is_q && both(index_of(s, in, i, 'T'), t) && index_of(s, in, i, 'T') != t) return 0;
    if (is_q && both(index_of(s, in, i, 'H'), h) && index_of(s, in, i, 'H') != h) return 0;
    if (!is_key) return 1;
    int64_t g = index_of(s, in, i, 'G'), j = index_of(s, in, i, 'S');
    int64_t H = s->c.oracle.axis['H' - 'A'], G = s->c.oracle.axis['G' - 'A'];
    if (both(g, h) && G > 0 && H % G == 0 && h / (H / G) != g) return 0;
    return !both(j, t) || b < 0 || sees(s, b, t, j);
}

/* Outputs that can not see the element keep their bits; where there is an oracle, exactly its NaNs
 * are NaN. */
static void compare_reach(subject *s, const char *path, uint32_t in, int64_t i, double value,
                          const heed_tensor *out)
{
    const heed_oracle *oracle = call_oracle(&s->c);
    if (oracle && isnan(value)) oracle->f64(&s->c.oracle);
    for (uint32_t p = 0; p < s->c.op->ports.count; p++) {
        if (subject_port(s, p)->role != HEED_OUTPUT || !out[p].data) continue;
        const char *name = subject_port(s, p)->name, *from = subject_port(s, in)->name;
        for (int64_t o = 0; o < heed_tensor_elements(&out[p]); o++) {
            double is = tensor_get(&out[p], o), was = tensor_get(&s->first[p], o);
            if (is != was && !(isnan(is) && isnan(was)) && !rows_may_reach(s, in, i, p, o))
                harness_fail("%s: %g in element %lld of %s changes element %lld of %s, which does "
                             "not see it",
                             path, value, (long long)i, from, (long long)o, name);
            if (oracle && isnan(value) && isnan(s->c.d[p][o]) != isnan(is))
                harness_fail("%s: a NaN in element %lld of %s gives %g in element %lld of %s; the "
                             "formula gives %g",
                             path, (long long)i, from, is, (long long)o, name, s->c.d[p][o]);
        }
    }
}

void check_nan(subject *s)
{
    static const float values[] = {NAN, -NAN, INFINITY, -INFINITY}; /* x86 makes NaNs with a sign */
    uint64_t seed = s->seed;
    heed_tensor once[ORACLE_PORTS];
    call_once(&s->c, s->c.plain, once);
    for (uint32_t p = 0; p < s->c.op->ports.count; p++) {
        heed_tensor *t = &s->c.plain[p];
        if (subject_port(s, p)->role == HEED_OUTPUT || !t->data || !is_float(t) ||
            !heed_tensor_elements(t))
            continue;
        if (memcmp(once[p].dim, t->dim, sizeof t->dim)) continue; /* one number stands for many */
        const int64_t n = heed_tensor_elements(t),
                      ends[] = {0, n - 1, (int64_t)(harness_random(&seed) % (uint64_t)n)};
        const int64_t i = ends[harness_random(&seed) % 3];
        const float value = values[harness_random(&seed) % (harness_random(&seed) % 2 ? 2 : 4)];
        const double former = tensor_get(t, i);
        if (isinf(former)) continue; /* a bias that masks */
        tensor_put(t, i, (double)value);
        call_update(&s->c);
        for (int k = 0; k < s->n_paths; k++) {
            heed_tensor by_port[ORACLE_PORTS], out[ORACLE_PORTS];
            memcpy(by_port, s->c.plain, sizeof by_port);
            if (!run(s, s->paths[k], by_port, out)) continue;
            compare_reach(s, s->paths[k], p, i, (double)value, out);
            outputs_free(out);
        }
        tensor_put(t, i, former);
        call_update(&s->c);
    }
}

/* ---- what comes later ---- */

/* The mask says causal; or the op has a state and no mask, so that it can only be. */
int has_causality(const subject *s)
{
    const heed_mask *m = &s->c.mask;
    if (port_named(s, "out") < 0 || s->c.oracle.axis['T' - 'A'] < 2 || subject_couples(s)) return 0;
    if (subject_axis(s, (uint32_t)port_named(s, "out"), 'T') < 0) return 0;
    if (m->kinds & HEED_MASK_CAUSAL)
        return m->align == HEED_ALIGN_TOP_LEFT && !(m->kinds & HEED_MASK_PREFIX);
    return s->entry->op.measure_state && !(s->entry->op.masks & HEED_MASK_CAUSAL);
}

/* Everything from position j on is other numbers, in every second case NaNs: outputs before it keep
 * their bits. */
void check_causal(subject *s)
{
    const int64_t T = s->c.oracle.axis['T' - 'A'];
    uint64_t seed = s->seed;
    for (int turn = 0; turn < 2; turn++) {
        const int64_t j = 1 + (int64_t)(harness_random(&seed) % (uint64_t)(T - 1));
        heed_tensor by_port[ORACLE_PORTS], out[ORACLE_PORTS], own[ORACLE_PORTS] = {0};
        memcpy(by_port, s->c.plain, sizeof by_port);
        for (uint32_t p = 0; p < s->c.op->ports.count; p++) {
            if (subject_port(s, p)->role != HEED_INPUT || !by_port[p].data ||
                !is_float(&by_port[p]))
                continue;
            own[p] = by_port[p];
            if (heed_tensor_alloc(&own[p], NULL)) harness_fail("no memory");
            tensor_copy(&own[p], &by_port[p]);
            for (int64_t i = 0; i < heed_tensor_elements(&own[p]); i++)
                if (index_of(s, p, i, 'T') >= j || index_of(s, p, i, 'S') >= j)
                    tensor_put(&own[p], i, turn ? NAN : (double)harness_normal(&seed));
            by_port[p] = own[p];
        }
        const char *path = s->paths[harness_random(&seed) % (uint64_t)s->n_paths];
        if (!run(s, path, by_port, out))
            harness_fail("%s refuses other numbers from position %lld on", path, (long long)j);
        for (uint32_t p = 0; p < s->c.op->ports.count; p++) {
            int axis = subject_axis(s, p, 'T');
            if (subject_port(s, p)->role != HEED_OUTPUT || !out[p].data || axis < 0) continue;
            heed_tensor is = tensor_slice(&out[p], axis, 0, j),
                        was = tensor_slice(&s->first[p], axis, 0, j);
            if (!tensors_equal(&is, &was))
                harness_fail("%s: what stands from position %lld on changes %s before it: %s", path,
                             (long long)j, subject_port(s, p)->name,
                             tensors_difference(subject_port(s, p)->name, &is, &was));
        }
        outputs_free(out);
        outputs_free(own);
    }
}

/* ---- rows that see nothing ---- */

int has_mask(const subject *s)
{
    int q = port_named(s, "q"), k = port_named(s, "k"), out = port_named(s, "out");
    return q >= 0 && k >= 0 && out >= 0 && s->entry->op.masks &&
           subject_axis(s, (uint32_t)out, 'B') >= 0 && subject_axis(s, (uint32_t)out, 'T') >= 0;
}

void check_masked(subject *s)
{
    const int lse = port_named(s, "lse"), out = port_named(s, "out"),
              sink = port_named(s, "sink_logits");
    const int64_t S = oracle_keys(&s->c.oracle);
    for (int port = 0; port < 2; port++) {
        const int p = port ? lse : out;
        if (p < 0 || (port && sink >= 0)) continue; /* a sink is one more key, in the sum alone */
        const heed_tensor *t = &s->first[p];
        int64_t row = -1, any = 0; /* the row that was asked about last */
        for (int64_t i = 0; i < heed_tensor_elements(t); i++) {
            int64_t b = index_of(s, (uint32_t)p, i, 'B'), at = index_of(s, (uint32_t)p, i, 'T');
            if (b < 0 || at < 0) continue;
            if (b * s->c.oracle.axis['T' - 'A'] + at != row) {
                row = b * s->c.oracle.axis['T' - 'A'] + at, any = 0;
                for (int64_t j = 0; j < S && !any; j++) any = sees(s, b, at, j);
            }
            if (any) continue;
            double y = tensor_get(t, i), right = port ? -INFINITY : 0;
            if (y != right)
                harness_fail("row %lld of sequence %lld sees no key, but %s is %g there, not %g",
                             (long long)at, (long long)b, subject_port(s, (uint32_t)p)->name, y,
                             right);
        }
    }
}
