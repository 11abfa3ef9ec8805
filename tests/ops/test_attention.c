/* SPDX-License-Identifier: MIT
 *
 * test_attention.c: what attention promises beyond its formula on plain shapes (test_ops has that): whole calls, chunks
 * and decode on a cache agree; a row of a batch is alone; nothing leaks from the future, nor out of a NaN; and a call
 * that is bound wrongly is told what is wrong. Everything on every path that this machine has, with equal bits.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#if defined __x86_64__
#include <immintrin.h>
#endif

#include <heed/kit/core/half.h>

#include "lib/harness.h"

#define COUNT(array) (sizeof(array) / sizeof *(array))
enum { BATCH_MAX = 4, PAGE = 96 }; /* PAGE: tokens of a page of the cache */

static const char *paths[8];
static int n_paths;

/* ---- sequences ---- */

static void sequences_new(const call *c, const heed_instance *i, heed_sequence **s)
{
    heed_error e;
    assert_true(c->oracle.axis['B' - 'A'] <= BATCH_MAX);
    for (int64_t b = 0; b < c->oracle.axis['B' - 'A']; b++)
        if (!(s[b] = heed_sequence_new(i, c->oracle.axis, &e))) fail_msg("%s", e.text);
}

static void sequences_free(const call *c, heed_sequence **s)
{
    for (int64_t b = 0; b < c->oracle.axis['B' - 'A']; b++) heed_sequence_free(s[b]);
}

/* One run on T queries from `query` on and S keys from `key` on, all of them views into the tensors of c and out. */
static void part(const call *c, const heed_instance *i, heed_sequence *const *s, int64_t query, int64_t T, int64_t key,
                 int64_t S, heed_tensor out[ORACLE_PORTS])
{
    heed_error e;
    heed_tensor view[ORACLE_PORTS] = {0};
    for (uint32_t p = 0; p < c->op->ports.count; p++) {
        const char *name = c->oracle.port[p];
        const heed_tensor *all = out[p].data ? &out[p] : &c->plain[p];
        if (!all->data) continue;
        view[p] = strcmp(name, "key_lengths") == 0                          ? *all
                  : strcmp(name, "k") == 0 || strcmp(name, "v") == 0 ? tensor_slice(all, 1, key, S)
                                                                     : tensor_slice(all, 1, query, T);
    }
    if (!call_with(c, i, view, s, &e)) return;
    fail_msg("%s [%s], queries %d + %d: %s", c->how->spec, c->how->axes, (int)query, (int)T, e.text);
}

/* Self-attention over tokens [from, to) in chunks. */
static void chunks(const call *c, const heed_instance *i, heed_sequence *const *s, int64_t from, int64_t to,
                   int64_t chunk, heed_tensor out[ORACLE_PORTS])
{
    for (int64_t t = from, n; t < to; t += n) {
        n = to - t < chunk ? to - t : chunk;
        part(c, i, s, t, n, t, n, out);
    }
}

/* Over the whole call, on fresh sequences; chunks start anew at token `cut`. */
static void run_cut(const call *c, const char *isa, uint32_t threads, int64_t chunk, int64_t cut,
                    heed_tensor out[ORACLE_PORTS])
{
    heed_sequence *s[BATCH_MAX];
    heed_instance *i = call_open(c, isa, threads);
    int64_t all = c->oracle.axis['T' - 'A'];
    sequences_new(c, i, s);
    outputs_make(c, out);
    chunks(c, i, s, 0, cut, chunk, out);
    chunks(c, i, s, cut, all, chunk, out);
    for (int64_t b = 0; b < c->oracle.axis['B' - 'A']; b++) assert_int_equal(heed_sequence_length(s[b]), all);
    sequences_free(c, s);
    heed_instance_close(i);
}

static void run_chunks(const call *c, const char *isa, uint32_t threads, int64_t chunk, heed_tensor out[ORACLE_PORTS])
{
    run_cut(c, isa, threads, chunk, 0, out);
}

/* Outputs of the first n tokens. */
static void copy_outputs(const call *c, const heed_tensor *to, const heed_tensor *from, int64_t n)
{
    for (uint32_t p = 0; p < c->op->ports.count; p++) {
        if (!to[p].data) continue;
        heed_tensor a = tensor_slice(&to[p], 1, 0, n), b = tensor_slice(&from[p], 1, 0, n);
        tensor_copy(&a, &b);
    }
}

static void within_bound(call *c, const heed_tensor *out, const char *what)
{
    double ratio = call_judge(c, out);
    if (!(ratio <= 1)) fail_msg("%s [%s], %s: error is %.3g of its bound", c->how->spec, c->how->axes, what, ratio);
}

static void same_bits(const call *c, const heed_tensor *a, const heed_tensor *b, const char *what)
{
    if (!outputs_equal(c, a, b)) fail_msg("%s [%s], %s: other bits", c->how->spec, c->how->axes, what);
}

static const char *axes_text(int64_t B, int64_t T, int64_t S, int64_t H, int64_t G, int64_t D, int64_t E)
{
    static char text[8][100];
    static int next;
    char *to = text[next++ % 8];
    snprintf(to, sizeof *text, "B=%d,T=%d,S=%d,H=%d,G=%d,D=%d,E=%d", (int)B, (int)T, (int)S, (int)H, (int)G, (int)D,
             (int)E);
    return to;
}

static const char *const causal_specs[] = {
    "attention/softmax(causal=true)",
    "attention/softmax(position=alibi, causal=true)",
    "attention/softmax(scale=-0.4, softcap=5, causal=bottom_right)",
    "attention/softmax(softcap=30, position=alibi, causal=true)",
};

/* ---- phases ---- */

/* Whole = in chunks = token by token. */
static void test_phases(void **state)
{
    static const int lengths[] = {1, PAGE - 1, PAGE, PAGE + 1, 300}, chunks[] = {1, 16, 100, PAGE, PAGE + 1};
    static const uint32_t dtypes[] = {HEED_F32, HEED_F32, HEED_F16, HEED_BF16};
    uint64_t seed = 42;
    (void)state;
    for (size_t l = 0; l < COUNT(lengths); l++)
        for (int draw = 0; draw < (harness_quick() ? 1 : 3); draw++) {
            uint64_t r = harness_random(&seed);
            int L = lengths[l], G = 1 + (int)(r % 3), H = G * (1 + (int)(r >> 8 & 0xff) % 3);
            int D = 1 + (int)(r >> 16 & 0xff) % 20, E = 1 + (int)(r >> 24 & 0xff) % 20;
            int B = L > 200 ? 1 : 1 + (int)(r >> 40 & 1);
            const char *spec = causal_specs[(r >> 32) % COUNT(causal_specs)];
            call_case how = {spec, axes_text(B, L, L, H, G, D, E), "key_lengths",
                             dtypes[(r >> 48) % COUNT(dtypes)], draw == 2 ? 5 : 1, r};
            call c;
            heed_tensor first[ORACLE_PORTS], other[ORACLE_PORTS];
            call_make(&c, &how);
            call_run(&c, paths[0], 1, PLAIN, first);
            within_bound(&c, first, "whole");
            outputs_free(first);
            for (size_t k = 0; k < COUNT(chunks); k++) {
                if (harness_quick() ? (k + l) % COUNT(chunks) > 1 : draw && k == 0) continue; /* decode is slow */
                char what[60];
                snprintf(what, sizeof what, "chunks of %d", chunks[k]);
                run_chunks(&c, paths[0], 1, chunks[k], first);
                within_bound(&c, first, what);
                for (int p = 1; p < n_paths; p++) {
                    run_chunks(&c, paths[p], 1 + (uint32_t)p, chunks[k], other);
                    same_bits(&c, first, other, paths[p]);
                    outputs_free(other);
                }
                outputs_free(first);
            }
            call_free(&c);
        }
}

/* Keys of several spans, whose results are merged by position: whole, in chunks, token by token, on every path and at
 * any number of threads the same bits, within the bound. Decode shares the spans of one sequence among its threads. */
static void test_spans(void **state)
{
    enum { SPAN = 1536 };
    static const struct {
        const char *spec;
        int tokens, H, G;
    } cases[] = {
        {"attention/softmax(causal=true)", SPAN + 1, 2, 1},
        {"attention/softmax(causal=true)", 5 * SPAN + 7, 1, 1},
        {"attention/softmax(softcap=9, causal=true, window=1600, sinks=3)", 3 * SPAN - 1, 2, 2},
        {"attention/softmax(position=alibi, causal=true)", 2 * SPAN + 50, 2, 1},
    };
    (void)state;
    for (size_t n = 0; n < (harness_quick() ? 1 : COUNT(cases)); n++) {
        const int tokens = cases[n].tokens, last = tokens - 3;
        call c;
        call_case how = {cases[n].spec,
                         axes_text(1, tokens, tokens, cases[n].H, cases[n].G, 3, 5),
                         n % 2 ? "key_lengths,+sink_logits" : "key_lengths",
                         HEED_F32,
                         1,
                         7 + n};
        heed_tensor whole[ORACLE_PORTS], other[ORACLE_PORTS];
        call_make(&c, &how);
        call_run(&c, paths[0], 1, PLAIN, whole);
        within_bound(&c, whole, "whole");
        for (int p = 0; p < n_paths; p++)
            for (uint32_t threads = 1; threads <= 7; threads += 3) {
                heed_sequence *s[BATCH_MAX];
                heed_instance *i = call_open(&c, paths[p], threads);
                sequences_new(&c, i, s);
                outputs_make(&c, other);
                chunks(&c, i, s, 0, SPAN - 5, 1000, other);
                chunks(&c, i, s, SPAN - 5, last, 700 + 40 * threads, other);
                chunks(&c, i, s, last, tokens, 1, other);
                same_bits(&c, whole, other, paths[p]);
                sequences_free(&c, s);
                heed_instance_close(i);
                outputs_free(other);
            }
        outputs_free(whole);
        call_free(&c);
    }
}

/* ---- pages that sequences share ---- */

/* Forks of a long text, cut to different lengths, go on together: each has the bits that it has alone, though the pages
 * that they share are read once for all. */
static void share_pages(const char *spec, int H, int G, int T, const char *isa, uint32_t threads)
{
    enum { LONG = 2 * 1536 + 700, FORKS = BATCH_MAX };
    static const int64_t cut[FORKS] = {0, 130, 800, 1700};
    const call_case text = {spec, axes_text(1, LONG, LONG, H, G, 8, 5), "key_lengths", HEED_F32, 1,
                            3};
    call c, step;
    call_make(&c, &text);
    const call_case more = {spec, axes_text(FORKS, T, T, H, G, 8, 5), "key_lengths", HEED_F32, 1,
                            4};
    call_make(&step, &more);
    heed_instance *i = call_open(&step, isa, threads);
    heed_sequence *base, *together[FORKS], *alone[FORKS];
    heed_tensor out[ORACLE_PORTS], all[ORACLE_PORTS], one[ORACLE_PORTS];
    heed_error e;
    if (!(base = heed_sequence_new(i, c.oracle.axis, &e))) fail_msg("%s", e.text);
    outputs_make(&c, out), outputs_make(&step, all), outputs_make(&step, one);
    part(&c, i, &base, LONG - 1, 1, 0, LONG, out);
    for (int b = 0; b < FORKS; b++) {
        together[b] = heed_sequence_fork(base, &e), alone[b] = heed_sequence_fork(base, &e);
        assert_int_equal(heed_sequence_truncate(together[b], LONG - cut[b], &e), 0);
        assert_int_equal(heed_sequence_truncate(alone[b], LONG - cut[b], &e), 0);
    }
    for (int n = 0; n < 2; n++) {
        part(&step, i, together, 0, T, 0, T, all);
        for (int64_t b = 0; b < FORKS; b++) {
            heed_tensor view[ORACLE_PORTS] = {0};
            for (uint32_t p = 0; p < step.op->ports.count; p++)
                if (one[p].data) view[p] = tensor_slice(&one[p], 0, b, 1);
                else if (step.plain[p].data) view[p] = tensor_slice(&step.plain[p], 0, b, 1);
            if (call_with(&step, i, view, &alone[b], &e)) fail_msg("%s", e.text);
        }
        if (!outputs_equal(&step, all, one))
            fail_msg("%s [%s] on %s, %u threads: forks have other bits together than alone", spec,
                     step.how->axes, isa, threads);
    }
    for (int b = 0; b < FORKS; b++) heed_sequence_free(together[b]), heed_sequence_free(alone[b]);
    heed_sequence_free(base);
    outputs_free(out), outputs_free(all), outputs_free(one);
    heed_instance_close(i);
    call_free(&c), call_free(&step);
}

static void test_shared_pages(void **state)
{
    static const struct {
        const char *spec;
        int H, G, T;
    } cases[] = {{"attention/softmax(causal=true)", 2, 2, 1},
                 {"attention/softmax(causal=true)", 4, 1, 1}, /* 16 rows in all: in the lanes */
                 {"attention/softmax(causal=true, cache=int8)", 3, 1, 3},
                 {"attention/softmax(causal=true, cache=int4, window=2000, sinks=3)", 2, 1, 1},
                 {"attention/softmax(causal=true, softcap=9)", 16, 1, 1}}; /* as many each */
    (void)state;
    for (size_t n = 0; n < COUNT(cases); n++)
        for (int p = 0; p < n_paths; p++)
            for (uint32_t threads = 1; threads <= 3; threads += 2)
                share_pages(cases[n].spec, cases[n].H, cases[n].G, cases[n].T, paths[p], threads);
}

/* ---- codecs of the cache ---- */

/* What a codec makes of a row, from its formula. */
static void through_f16(float *row, int64_t n)
{
    for (int64_t c = 0; c < n; c++)
        row[c] = kit_from_f16(kit_to_f16(fminf(fmaxf(row[c], -65504.0f), 65504.0f)));
}
static void through_bf16(float *row, int64_t n)
{
    for (int64_t c = 0; c < n; c++) row[c] = kit_from_bf16(kit_to_bf16(row[c]));
}
static void through_int8(float *row, int64_t n)
{
    float most = 0;
    for (int64_t c = 0; c < n; c++) most = fmaxf(most, fabsf(row[c]));
    const float scale = most / 127;
    for (int64_t c = 0; c < n; c++) row[c] = scale > 0 ? scale * rintf(row[c] / scale) : 0;
}
static void through_int4(float *row, int64_t n)
{
    for (int64_t from = 0; from < n; from += 32) {
        const int64_t end = from + 32 < n ? from + 32 : n;
        float most = 0;
        for (int64_t c = from; c < end; c++)
            if (fabsf(row[c]) > fabsf(most)) most = row[c];
        const float scale = kit_from_bf16(kit_to_bf16(most / -8));
        for (int64_t c = from; c < end; c++)
            row[c] = scale != 0 ? scale * rintf(fminf(fmaxf(row[c] / scale, -8), 7)) : 0;
    }
}
static void through_nothing(float *row, int64_t n) { (void)row, (void)n; }

/* Rows of k or v of a call, contiguous, through a codec. */
static void code_port(call *c, const char *name, void (*through)(float *, int64_t))
{
    const heed_tensor *t = &c->plain[call_port(c, name)];
    for (int64_t row = 0; row < heed_tensor_elements(t) / t->dim[3]; row++)
        through((float *)t->data + row * t->dim[3], t->dim[3]);
}

/* A cache that a codec has gives the bits of one of float32 that is given what the codec makes of keys and values: in
 * chunks, token by token, on every path, at any number of threads. A codec that rotates keys and queries gives those of
 * its first path (k NULL); heed check knows what it makes of keys. */
static void test_codecs(void **state)
{
    static const struct {
        const char *spec, *plain;
        void (*k)(float *, int64_t), (*v)(float *, int64_t);
    } cases[] = {
        {"attention/softmax(cache=f16, causal=true)", "attention/softmax(causal=true)", through_f16,
         through_f16},
        {"attention/softmax(cache=bf16, causal=true)", "attention/softmax(causal=true)",
         through_bf16, through_bf16},
        {"attention/softmax(cache=int8, causal=true)", "attention/softmax(causal=true)",
         through_int8, through_int8},
        {"attention/softmax(cache=int8, value_cache=bf16, causal=true)",
         "attention/softmax(causal=true)", through_int8, through_bf16},
        {"attention/softmax(value_cache=int8, causal=true)", "attention/softmax(causal=true)",
         through_nothing, through_int8},
        {"attention/window(cache=f16, causal=true, left=70)",
         "attention/window(causal=true, left=70)", through_f16, through_f16},
        {"attention/softmax(value_cache=int4, causal=true)", "attention/softmax(causal=true)",
         through_nothing, through_int4},
        {"attention/softmax(cache=int4, value_cache=f16, causal=true)",
         "attention/softmax(causal=true)", NULL, through_f16},
        {"attention/shaw(cache=int4, causal=true, distances=9)",
         "attention/shaw(causal=true, distances=9)", NULL, through_int4},
    };
    static const int chunk[] = {300, 17, 1};
    (void)state;
    for (size_t n = 0; n < COUNT(cases); n++)
        for (int draw = 0; draw < (harness_quick() ? 1 : 2); draw++) {
            const char *axes =
                axes_text(1 + draw, 300, 300, 6, draw ? 2 : 6, draw ? 33 : 16, draw ? 16 : 5);
            const call_case how = {cases[n].spec, axes, "key_lengths", HEED_F32, 1, 77 + n};
            const call_case without = {cases[n].plain, axes, "key_lengths", HEED_F32, 1, 77 + n};
            call c, plain;
            heed_tensor expected[ORACLE_PORTS], got[ORACLE_PORTS];
            call_make(&c, &how), call_make(&plain, &without);
            if (cases[n].k) code_port(&plain, "k", cases[n].k);
            code_port(&plain, "v", cases[n].v);
            call_update(&plain);
            if (cases[n].k) {
                call_run(&plain, paths[0], 1, PLAIN, expected);
                within_bound(&plain, expected, "decoded numbers");
            } else run_chunks(&c, paths[0], 1, 300, expected);
            for (int p = 0; p < n_paths; p++)
                for (size_t k = 0; k < COUNT(chunk); k++) {
                    run_chunks(&c, paths[p], 1 + (uint32_t)p, chunk[k], got);
                    if (!outputs_equal(&plain, expected, got))
                        fail_msg("%s [%s], chunks of %d on %s: other bits", how.spec, axes,
                                 chunk[k], paths[p]);
                    outputs_free(got);
                }
            outputs_free(expected);
            call_free(&plain), call_free(&c);
        }
}

/* Facts that stand 4,000 tokens back: a query that is one of these keys finds its value among all,
 * through every codec as with float32. */
static void test_recall(void **state)
{
    static const char *const specs[] = {
        "attention/softmax(causal=true)", "attention/softmax(causal=true, cache=f16)",
        "attention/softmax(causal=true, cache=bf16)", "attention/softmax(causal=true, cache=int8)",
        "attention/softmax(causal=true, cache=int4)"};
    enum { FACTS = 24, KEYS = 4000 + FACTS, D = 64 };
    (void)state;
    for (size_t n = 0; n < COUNT(specs); n++) {
        const call_case how = {
            specs[n], axes_text(1, FACTS, KEYS, 1, 1, D, D), "key_lengths", HEED_F32, 1, 12};
        call c;
        heed_tensor out[ORACLE_PORTS];
        heed_error e;
        call_make(&c, &how);
        float *q = c.plain[call_port(&c, "q")].data, *k = c.plain[call_port(&c, "k")].data,
              *v = c.plain[call_port(&c, "v")].data;
        for (int f = 0; f < FACTS; f++)
            for (int d = 0; d < D; d++) q[f * D + d] = 2 * k[f * D + d];
        heed_instance *i = call_open(&c, NULL, 1);
        heed_sequence *s = heed_sequence_new(i, c.oracle.axis, &e);
        outputs_make(&c, out);
        part(&c, i, &s, 0, FACTS, 0, KEYS, out);
        const float *y = out[call_port(&c, "out")].data;
        for (int f = 0; f < FACTS; f++) {
            int found = 0;
            double best = -1e9;
            for (int key = 0; key < KEYS; key++) {
                double near = 0;
                for (int d = 0; d < D; d++) near += (double)y[f * D + d] * (double)v[key * D + d];
                if (near > best) best = near, found = key;
            }
            if (found != f)
                fail_msg("%s: asked for fact %d, it answers with key %d", specs[n], f, found);
        }
        heed_sequence_free(s), heed_instance_close(i);
        outputs_free(out), call_free(&c);
    }
}

/* Rows that a codec must not make infinite, or finite. */
static void test_codecs_at_the_edge(void **state)
{
    static const char *const specs[] = {
        "attention/softmax(cache=f16, causal=true)", "attention/softmax(cache=bf16, causal=true)",
        "attention/softmax(cache=int8, causal=true)", "attention/softmax(cache=int4, causal=true)"};
    enum { T = 40, E = 3 };
    (void)state;
    for (size_t n = 0; n < COUNT(specs); n++)
        for (int p = 0; p < n_paths; p++) {
            const call_case how = {
                specs[n], axes_text(1, T, T, 1, 1, 2, E), "key_lengths", HEED_F32, 1, 5};
            call c;
            heed_tensor out[ORACLE_PORTS];
            call_make(&c, &how);
            float *v = c.plain[call_port(&c, "v")].data, *k = c.plain[call_port(&c, "k")].data;
            v[0] = 3.4e38f, v[1] = -3.4e38f, v[2] = 1e-42f, k[0] = 0,
            k[1] = 0;                              /* finite: they stay so */
            v[30 * E] = NAN, v[35 * E] = INFINITY; /* they stay too, from there on */
            run_chunks(&c, paths[p], 1, 7, out);
            const float *y = out[call_port(&c, "out")].data;
            for (int t = 0; t < T; t++) {
                if (t < 30)
                    assert_true(isfinite(y[t * E]) && isfinite(y[t * E + 1]) &&
                                isfinite(y[t * E + 2]));
                else assert_false(isfinite(y[t * E]));
            }
            outputs_free(out);
            call_free(&c);
        }
}

/* A sum of values that overflows in one span, and a later span with a larger score, next to which the first counts
 * nothing: the mean is finite, and so is the output. */
static void test_overflow_in_a_span(void **state)
{
    const call_case how = {"attention/softmax(scale=1)",
                           axes_text(1, 1, 3200, 1, 1, 1, 4),
                           "key_lengths",
                           HEED_F32,
                           1,
                           3};
    (void)state;
    for (int p = 0; p < n_paths; p++)
        for (uint32_t threads = 1; threads <= 3; threads += 2) {
            call c;
            heed_tensor out[ORACLE_PORTS];
            call_make(&c, &how);
            float *q = c.plain[call_port(&c, "q")].data, *k = c.plain[call_port(&c, "k")].data,
                  *v = c.plain[call_port(&c, "v")].data;
            q[0] = 1;
            for (int s = 0; s < 3200; s++) k[s] = s < 3000 ? 0.0f : 200.0f;
            for (int s = 0; s < 4 * 3200; s++) v[s] = s < 4 * 3000 ? 3e38f : 1.0f;
            call_update(&c);
            call_run(&c, paths[p], threads, PLAIN, out);
            within_bound(&c, out, paths[p]);
            outputs_free(out);
            call_free(&c);
        }
}

/* Queries and new keys in any numbers: cross-attention over a filled sequence (no new keys), filling without queries,
 * more queries than keys. The oracle is told the keys so far; queries are the last ones of all positions. */
static void test_any_queries_any_keys(void **state)
{
    static const struct { int T, S; } steps[] = {
        {0, 0}, {4, 2}, {0, 130}, {5, 0}, {3, 1}, {1, 3}, {20, 2}, {17, 0}, {1, 118}, {2, 2},
    };
    static const char *const specs[] = {"attention/softmax", "attention/softmax(causal=true)",
                                        "attention/softmax(position=alibi)",
                                        "attention/softmax(softcap=3, position=alibi, causal=bottom_right)"};
    enum { B = 2, H = 4, G = 2, D = 9, E = 11, QUERIES = 53, KEYS = 258 };
    (void)state;
    for (size_t spec = 0; spec < COUNT(specs); spec++) {
        call all;
        call_case how = {specs[spec], axes_text(B, QUERIES, KEYS, H, G, D, E), "key_lengths", HEED_F32, 1, spec};
        heed_tensor out[8][ORACLE_PORTS];
        heed_sequence *s[8][BATCH_MAX];
        heed_instance *instance[8];
        call_make(&all, &how);
        const int ports[] = {call_port(&all, "q"), call_port(&all, "k"), call_port(&all, "v"), call_port(&all, "out"),
                             call_port(&all, "lse")};
        for (int p = 0; p < n_paths; p++) {
            instance[p] = call_open(&all, paths[p], 1 + (uint32_t)p);
            sequences_new(&all, instance[p], s[p]);
            outputs_make(&all, out[p]);
        }
        int64_t query = 0, key = 0;
        for (size_t n = 0; n < COUNT(steps); n++) {
            const int64_t T = steps[n].T, S = steps[n].S;
            call step;
            call_case step_how = {how.spec, axes_text(B, T, S, H, G, D, E), "key_lengths", HEED_F32, 1, n};
            heed_tensor past_k = tensor_slice(&all.plain[ports[1]], 1, 0, key);
            heed_tensor past_v = tensor_slice(&all.plain[ports[2]], 1, 0, key), result[ORACLE_PORTS];
            call_make(&step, &step_how);
            for (int p = 0; p < n_paths; p++) part(&all, instance[p], s[p], query, T, key, S, out[p]);
            for (int i = 0; i < 5; i++) { /* what the step saw and gave, as a call of its own */
                const heed_tensor *whole = i < 3 ? &all.plain[ports[i]] : &out[0][ports[i]];
                int of_keys = i == 1 || i == 2;
                heed_tensor view = tensor_slice(whole, 1, of_keys ? key : query, of_keys ? S : T);
                tensor_copy(&step.plain[ports[i]], &view);
            }
            call_update(&step);
            memset(result, 0, sizeof result);
            result[ports[3]] = step.plain[ports[3]];
            result[ports[4]] = step.plain[ports[4]];
            if (key == 0) step.mask.align = HEED_ALIGN_BOTTOM_RIGHT; /* the oracle's way, without a past */
            call_after(&step, &past_k, &past_v);
            if (key > 0 || !step.oracle.position || step.mask.kinds & HEED_MASK_CAUSAL) {
                char what[60];
                snprintf(what, sizeof what, "step %d: %d queries, %d + %d keys", (int)n, (int)T, (int)key, (int)S);
                within_bound(&step, result, what);
            }
            call_free(&step);
            query += T, key += S;
        }
        assert_true(query <= QUERIES && key <= KEYS);
        for (int p = 0; p < n_paths; p++) {
            same_bits(&all, out[0], out[p], paths[p]);
            outputs_free(out[p]);
            for (int b = 0; b < B; b++) assert_int_equal(heed_sequence_length(s[p][b]), key);
            sequences_free(&all, s[p]);
            heed_instance_close(instance[p]);
        }
        call_free(&all);
    }
}

/* No key at all, with a state and without: zeros, and a log-sum-exp of -inf. */
static void test_no_keys(void **state)
{
    (void)state;
    for (size_t spec = 0; spec < COUNT(causal_specs); spec++)
        for (int p = 0; p < n_paths; p++)
            for (int with_state = 0; with_state < 2; with_state++) {
                call c;
                call_case how = {causal_specs[spec], axes_text(2, 17, 0, 4, 2, 5, 6), "key_lengths", HEED_F32, 1, 1};
                heed_tensor out[ORACLE_PORTS];
                heed_sequence *s[BATCH_MAX];
                call_make(&c, &how);
                heed_instance *i = call_open(&c, paths[p], 2);
                sequences_new(&c, i, s);
                outputs_make(&c, out);
                memset(out[call_port(&c, "out")].data, 0x5a, out[call_port(&c, "out")].bytes);
                part(&c, i, with_state ? s : NULL, 0, 17, 0, 0, out);
                const float *y = out[call_port(&c, "out")].data, *lse = out[call_port(&c, "lse")].data;
                for (int j = 0; j < 2 * 17 * 4 * 6; j++) assert_true(y[j] == 0);
                for (int j = 0; j < 2 * 17 * 4; j++) assert_true(lse[j] == -INFINITY);
                assert_int_equal(heed_sequence_bytes(s[0]), 0);
                sequences_free(&c, s);
                heed_instance_close(i);
                outputs_free(out);
                call_free(&c);
            }
}

/* Three sequences of different lengths in one call: each row as if it were alone. */
static void test_ragged_batch(void **state)
{
    static const int before[] = {5, PAGE, 200};
    enum { NEW = 3, H = 6, G = 2, D = 12, E = 10 };
    (void)state;
    for (size_t spec = 0; spec < COUNT(causal_specs); spec++) {
        heed_tensor reference[ORACLE_PORTS];
        call batch;
        call_case how = {causal_specs[spec], axes_text(3, NEW, NEW, H, G, D, E), "key_lengths", HEED_F32, 1, 3};
        call_make(&batch, &how);
        for (int p = 0; p < n_paths; p++) {
            heed_tensor together[ORACLE_PORTS], alone[ORACLE_PORTS];
            heed_sequence *s[3], *twin[3];
            heed_instance *i = call_open(&batch, paths[p], 3);
            outputs_make(&batch, together);
            outputs_make(&batch, alone);
            sequences_new(&batch, i, s);
            for (int b = 0; b < 3; b++) {
                call past, now;
                call_case past_how = {causal_specs[spec], axes_text(1, before[b], before[b], H, G, D, E),
                                      "key_lengths,lse", HEED_F32, 1, (uint64_t)b};
                call_case now_how = {causal_specs[spec], axes_text(1, NEW, NEW, H, G, D, E), "key_lengths",
                                     HEED_F32, 1, 9};
                heed_tensor out[ORACLE_PORTS], row[ORACLE_PORTS] = {0};
                call_make(&past, &past_how);
                call_make(&now, &now_how);
                outputs_make(&past, out);
                part(&past, i, &s[b], 0, before[b], 0, before[b], out);
                outputs_free(out);
                twin[b] = heed_sequence_fork(s[b], NULL);
                assert_non_null(twin[b]);
                for (uint32_t k = 0; k < batch.op->ports.count; k++) {
                    if (!batch.plain[k].data) continue;
                    row[k] = tensor_slice(alone[k].data ? &alone[k] : &batch.plain[k], 0, b, 1);
                    if (!alone[k].data) tensor_copy(&now.plain[k], &row[k]);
                }
                if (call_with(&batch, i, row, &twin[b], NULL)) fail_msg("a row alone fails");
                if (p == 0) {
                    call_update(&now);
                    call_after(&now, &past.plain[call_port(&past, "k")], &past.plain[call_port(&past, "v")]);
                    for (uint32_t k = 0; k < batch.op->ports.count; k++)
                        if (alone[k].data) tensor_copy(&now.plain[k], &row[k]);
                    memset(out, 0, sizeof out);
                    out[call_port(&now, "out")] = now.plain[call_port(&now, "out")];
                    out[call_port(&now, "lse")] = now.plain[call_port(&now, "lse")];
                    within_bound(&now, out, "a row of a ragged batch");
                }
                call_free(&past);
                call_free(&now);
            }
            part(&batch, i, s, 0, NEW, 0, NEW, together);
            same_bits(&batch, together, alone, "a ragged batch, and its rows alone");
            for (int b = 0; b < 3; b++) {
                assert_int_equal(heed_sequence_length(s[b]), before[b] + NEW);
                heed_sequence_free(s[b]);
                heed_sequence_free(twin[b]);
            }
            heed_instance_close(i);
            outputs_free(alone);
            if (p == 0) memcpy(reference, together, sizeof reference);
            else {
                same_bits(&batch, reference, together, paths[p]);
                outputs_free(together);
            }
        }
        outputs_free(reference);
        call_free(&batch);
    }
}

/* Forks go on differently, and neither sees the other; truncated sequences go on as if they had never been longer; two
 * paths take turns on one sequence. */
static void test_fork_and_truncate(void **state)
{
    static const int shared[] = {1, PAGE - 1, PAGE, PAGE + 2, 2 * PAGE};
    enum { ALL = 2 * PAGE + 40, H = 4, G = 2, D = 7, E = 5, PAGE_BYTES = 4 * G * PAGE * (D + E), CHUNK = 20 };
    call x, y; /* y is x up to some token */
    call_case how = {"attention/softmax(position=alibi, causal=true)", axes_text(1, ALL, ALL, H, G, D, E),
                     "key_lengths", HEED_F32, 1, 1}, other = how;
    other.seed = 2;
    (void)state;
    call_make(&x, &how);
    for (int p = 0; p < n_paths; p++)
        for (size_t n = 0; n < COUNT(shared); n++) {
            if (harness_quick() && (n + (size_t)p) % 3) continue;
            heed_tensor x_alone[ORACLE_PORTS], y_alone[ORACLE_PORTS], x_out[ORACLE_PORTS], y_out[ORACLE_PORTS];
            heed_sequence *parent, *twin;
            heed_instance *i = call_open(&x, paths[p], 2), *next = call_open(&x, paths[(p + 1) % n_paths], 2);
            call_make(&y, &other);
            for (int k = 0; k < 3; k++) {
                int port = call_port(&x, k == 0 ? "q" : k == 1 ? "k" : "v");
                heed_tensor to = tensor_slice(&y.plain[port], 1, 0, shared[n]);
                heed_tensor from = tensor_slice(&x.plain[port], 1, 0, shared[n]);
                tensor_copy(&to, &from);
            }
            run_cut(&x, paths[p], 1, CHUNK, shared[n], x_alone);
            run_cut(&y, paths[p], 1, CHUNK, shared[n], y_alone);
            outputs_make(&x, x_out);
            outputs_make(&y, y_out);
            sequences_new(&x, i, &parent);
            assert_int_equal(heed_sequence_bytes(parent), 0);
            chunks(&x, i, &parent, 0, shared[n], CHUNK, x_out);
            assert_int_equal(heed_sequence_bytes(parent), (shared[n] + PAGE - 1) / PAGE * PAGE_BYTES);
            twin = heed_sequence_fork(parent, NULL);
            assert_non_null(twin);
            assert_int_equal(heed_sequence_length(twin), shared[n]);
            assert_int_equal(heed_sequence_bytes(twin), heed_sequence_bytes(parent));
            copy_outputs(&y, y_out, x_out, shared[n]);
            for (int64_t t = shared[n], end; t < ALL; t = end) { /* by turns */
                end = ALL - t < CHUNK ? ALL : t + CHUNK;
                chunks(&y, i, &twin, t, end, CHUNK, y_out);
                chunks(&x, next, &parent, t, end, CHUNK, x_out);
            }
            same_bits(&x, x_alone, x_out, "the parent of a fork, on two paths");
            same_bits(&y, y_alone, y_out, "a fork");
            heed_sequence_free(parent);

            static const int cuts[] = {2 * PAGE + 1, PAGE + 1, PAGE, PAGE - 1, 1, 0};
            for (size_t k = 0; k < COUNT(cuts); k++) {
                assert_int_equal(heed_sequence_truncate(twin, cuts[k], NULL), HEED_OK);
                assert_int_equal(heed_sequence_length(twin), cuts[k]);
                assert_int_equal(heed_sequence_bytes(twin), (cuts[k] + PAGE - 1) / PAGE * PAGE_BYTES);
                if (n != k % COUNT(shared)) continue;
                heed_sequence *again = heed_sequence_fork(twin, NULL);
                assert_non_null(again);
                outputs_free(y_alone);
                run_cut(&y, paths[p], 1, CHUNK, cuts[k], y_alone);
                copy_outputs(&y, y_out, y_alone, cuts[k]);
                chunks(&y, i, &again, cuts[k], ALL, CHUNK, y_out);
                same_bits(&y, y_alone, y_out, "a truncated sequence");
                heed_sequence_free(again);
            }
            heed_error e;
            assert_int_equal(heed_sequence_truncate(twin, 1, &e), HEED_E_ARGUMENT);
            assert_string_equal(e.text, "a sequence of 0 tokens can not be truncated to 1");
            assert_int_equal(heed_sequence_truncate(twin, -1, &e), HEED_E_ARGUMENT);
            heed_sequence_free(twin);
            heed_instance_close(i);
            heed_instance_close(next);
            outputs_free(x_alone), outputs_free(y_alone), outputs_free(x_out), outputs_free(y_out);
            call_free(&y);
        }
    call_free(&x);
}

/* One sentence that says all of `says`, and nothing that is no text. */
static void sentence(const heed_error *e, const char *const *says, const char *what)
{
    if (e->code >= 0 || !e->text[0] || strchr(e->text, '\n') || strlen(e->text) > 400)
        fail_msg("%s: no sentence: \"%s\"", what, e->text);
    for (; *says; says++)
        if (!strstr(e->text, *says)) fail_msg("%s: \"%s\" is not said in \"%s\"", what, *says, e->text);
}
#define SAYS(...) ((const char *const[]){__VA_ARGS__, NULL})

/* What is refused leaves every sequence of the call as it was: its length, its pages, its content. */
static void test_refused_sequences(void **state)
{
    enum { L = PAGE };
    static const struct { const char *axes; int use[2]; const char *without, *says[4]; } wrong[] = {
        /* pages of the same bytes, but laid out otherwise */
        {"B=2,T=1,S=1,H=4,G=4,D=2,E=2", {0, 1}, "key_lengths", {"other sizes", "axis D is 2", "in the sequence 4"}},
        {"B=2,T=1,S=1,H=4,G=2,D=3,E=5", {0, 1}, "key_lengths", {"other sizes", "axis D", "3", "4"}},
        {"B=2,T=1,S=1,H=4,G=2,D=4,E=5", {0, 1}, "key_lengths", {"other sizes", "axis E", "5", "4"}},
        {"B=2,T=1,S=200,H=4,G=2,D=4,E=4", {0, 0}, "key_lengths", {"rows 0 and 1 have the same sequence"}},
        {"B=2,T=1,S=200,H=4,G=2,D=4,E=4", {0, 1}, "lse", {"key_lengths and sequences exclude each other"}},
        {"B=2,T=1,S=200,H=4,G=2,D=4,E=4", {0, 2}, "key_lengths", {"row 1 has no sequence"}},
        {"B=2,T=1,S=200,H=5,G=2,D=4,E=4", {0, 1}, "key_lengths", {"5 heads (axis H)", "2 (axis G)"}},
    };
    call c;
    call_case how = {"attention/softmax(causal=true)", axes_text(2, L + 30, L + 30, 4, 2, 4, 4), "key_lengths",
                     HEED_F32, 1, 1};
    heed_tensor plain[ORACLE_PORTS], out[ORACLE_PORTS];
    heed_sequence *s[3] = {NULL};
    (void)state;
    call_make(&c, &how);
    run_chunks(&c, NULL, 2, L, plain);
    outputs_make(&c, out);
    heed_instance *i = call_open(&c, NULL, 2);
    int64_t axes[HEED_AXES];
    for (int a = 0; a < HEED_AXES; a++) axes[a] = strchr("GDE", 'A' + a) ? c.oracle.axis[a] : -1;
    heed_instance *open = heed_instance_open(harness_engine(2), how.spec, NULL, NULL);
    for (int b = 0; b < 2; b++) assert_non_null(s[b] = heed_sequence_new(open, axes, NULL));
    part(&c, i, s, 0, L, 0, L, out);
    for (size_t w = 0; w < COUNT(wrong); w++) {
        call bad;
        call_case bad_how = {how.spec, wrong[w].axes, wrong[w].without, HEED_F32, 1, 1};
        heed_tensor by_port[ORACLE_PORTS];
        heed_error e;
        call_make(&bad, &bad_how);
        memcpy(by_port, bad.plain, sizeof by_port);
        heed_sequence *used[] = {s[wrong[w].use[0]], s[wrong[w].use[1]]};
        assert_true(call_with(&bad, open, by_port, used, &e) < 0);
        sentence(&e, SAYS(wrong[w].says[0], wrong[w].says[1], wrong[w].says[2], wrong[w].says[3]), wrong[w].axes);
        for (int b = 0; b < 2; b++) {
            assert_int_equal(heed_sequence_length(s[b]), L);
            assert_int_equal(heed_sequence_bytes(s[b]), 4 * 2 * PAGE * (4 + 4));
        }
        call_free(&bad);
    }
    part(&c, i, s, L, 30, L, 30, out);
    same_bits(&c, plain, out, "after calls that were refused");

    heed_error e;
    call norm;
    call_case norm_how = {"norm/rms", "x=2,M=5", NULL, HEED_F32, 1, 1};
    call_make(&norm, &norm_how);
    heed_instance *rms = call_open(&norm, NULL, 1);
    assert_true(call_with(&norm, rms, norm.plain, s, &e) < 0);
    sentence(&e, SAYS("norm/rms", "remembers nothing between calls"), "a state for an op that has none");
    assert_null(heed_sequence_new(rms, NULL, &e));
    sentence(&e, SAYS("norm/rms", "remembers nothing between calls"), "a sequence of an op that has none");
    static const char unknown[][4] = {"", "G", "DE", "GD", "GE"};
    for (size_t u = 0; u < COUNT(unknown); u++) { /* sizes that a page depends on are not known */
        for (int a = 0; a < HEED_AXES; a++) axes[a] = unknown[u][0] && strchr(unknown[u], 'A' + a) ? 4 : -1;
        assert_null(heed_sequence_new(open, axes, &e));
        sentence(&e, SAYS("attention/softmax", "does not follow from the axes that are known"), unknown[u]);
        if (!u)
            sentence(&e, SAYS("the sizes of D, E, G and H are not known"),
                     "all sizes that are missing");
    }
    axes['G' - 'A'] = axes['D' - 'A'] = axes['E' - 'A'] = (int64_t)1 << 61;
    assert_null(heed_sequence_new(open, axes, &e));
    heed_instance_close(rms);
    call_free(&norm);
    heed_sequence_free(s[0]), heed_sequence_free(s[1]);
    heed_instance_close(i), heed_instance_close(open);
    outputs_free(plain), outputs_free(out);
    call_free(&c);
}

/* ---- independence ---- */

/* Each row of a batch alone, at any number of threads: the bits that it has in the batch. */
static void test_batch_independence(void **state)
{
    static const char *const specs[] = {"attention/softmax", "attention/softmax(causal=bottom_right)",
                                        "attention/softmax(softcap=4, position=alibi, causal=true)"};
    static const struct { int T, S, H, G, D, E; } shapes[] = {
        {1, 200, 8, 2, 16, 16}, {15, 15, 6, 3, 7, 9}, {16, 40, 6, 3, 8, 8}, {70, 130, 2, 1, 20, 17},
    };
    static const uint32_t threads[] = {1, 2, 3, 7};
    (void)state;
    for (size_t spec = 0; spec < COUNT(specs); spec++)
        for (size_t n = 0; n < COUNT(shapes); n++) {
            call c;
            const int *z = &shapes[n].T;
            call_case how = {specs[spec], axes_text(3, z[0], z[1], z[2], z[3], z[4], z[5]), NULL, HEED_F32, 1, n};
            heed_tensor first[ORACLE_PORTS], other[ORACLE_PORTS];
            call_make(&c, &how);
            call_run(&c, paths[0], 1, PLAIN, first);
            for (int p = 0; p < n_paths; p++)
                for (size_t t = 0; t < COUNT(threads); t++) {
                    heed_instance *i = call_open(&c, paths[p], threads[t]);
                    outputs_make(&c, other);
                    for (int b = 0; b < 3; b++) {
                        heed_tensor row[ORACLE_PORTS] = {0};
                        heed_error e;
                        for (uint32_t k = 0; k < c.op->ports.count; k++)
                            row[k] = tensor_slice(other[k].data ? &other[k] : &c.plain[k], 0, b, 1);
                        if (call_with(&c, i, row, NULL, &e)) fail_msg("%s", e.text);
                    }
                    same_bits(&c, first, other, "rows of the batch alone");
                    heed_instance_close(i);
                    outputs_free(other);
                }
            outputs_free(first);
            call_free(&c);
        }
}

/* Whether query t of row b may attend to key j. Written from abi/mask.h, for calls without states. */
static int sees(const call *c, int64_t b, int64_t t, int64_t j)
{
    const heed_mask *m = &c->mask;
    const double *lengths = c->oracle.d[call_port(c, "key_lengths")];
    int64_t T = c->oracle.axis['T' - 'A'], valid = lengths ? (int64_t)lengths[b] : c->oracle.axis['S' - 'A'];
    int64_t shift = m->align == HEED_ALIGN_BOTTOM_RIGHT ? valid - T : m->align == HEED_ALIGN_OFFSET ? m->offset : 0;
    return j < valid && (!(m->kinds & HEED_MASK_CAUSAL) || j <= t + shift);
}

/* What becomes of one output element: its bits stay, or it is a NaN. Channel E is the log-sum-exp. */
enum { STAYS, IS_NAN };

typedef struct poke { /* what was changed: element `channel` of row `row` of `head`, in one tensor */
    char port;        /* 'q', 'k', 'v' */
    int64_t b, row, head, channel;
} poke;

static int fate(const call *c, const poke *p, int64_t b, int64_t t, int64_t h, int64_t e)
{
    int64_t group = c->oracle.axis['H' - 'A'] / c->oracle.axis['G' - 'A'], E = c->oracle.axis['E' - 'A'];
    if (b != p->b) return STAYS;
    if (p->port == 'q') {
        int64_t keys = 0;
        for (int64_t j = 0; j < c->oracle.axis['S' - 'A']; j++) keys += sees(c, b, t, j);
        return t == p->row && h == p->head && keys ? IS_NAN : STAYS; /* no key: zeros, whatever the query is */
    }
    if (h / group != p->head || !sees(c, b, t, p->row)) return STAYS;
    return p->port == 'k' ? IS_NAN : e == p->channel && e < E ? IS_NAN : STAYS;
}

static int64_t poke_index(const call *c, const poke *p)
{
    const heed_tensor *t = &c->plain[call_port(c, (char[]){p->port, 0})];
    return ((p->b * t->dim[1] + p->row) * t->dim[2] + p->head) * t->dim[3] + p->channel;
}

/* Compares every element with its fate; `loose`: IS_NAN may be anything. */
static void check_fates(const call *c, const heed_tensor *before, const heed_tensor *after, const poke *p, int loose,
                        const char *what)
{
    const int64_t *axis = c->oracle.axis, T = axis['T' - 'A'], H = axis['H' - 'A'], E = axis['E' - 'A'];
    const float *out[] = {before[call_port(c, "out")].data, after[call_port(c, "out")].data};
    const float *lse[] = {before[call_port(c, "lse")].data, after[call_port(c, "lse")].data};
    for (int64_t row = 0; row < axis['B' - 'A'] * T * H; row++)
        for (int64_t e = 0; e <= E; e++) {
            const float *x = e < E ? &out[0][row * E + e] : &lse[0][row];
            const float *y = e < E ? &out[1][row * E + e] : &lse[1][row];
            int f = fate(c, p, row / H / T, row / H % T, row % H, e);
            if (f == IS_NAN && (loose || isnan(*y))) continue;
            if (f == STAYS && memcmp(x, y, sizeof *x) == 0) continue;
            fail_msg("%s [%s], %s, %c[%d, %d, %d, %d]: output [%d, %d, %d, %d] was %g, is %g, and should %s",
                     c->how->spec, c->how->axes, what, p->port, (int)p->b, (int)p->row, (int)p->head, (int)p->channel,
                     (int)(row / H / T), (int)(row / H % T), (int)(row % H), (int)e, (double)*x, (double)*y,
                     f == STAYS ? "have stayed" : "be a NaN");
        }
}

static poke random_poke(const call *c, char port, uint64_t *seed)
{
    const heed_tensor *t = &c->plain[call_port(c, (char[]){port, 0})];
    uint64_t r = harness_random(seed);
    return (poke){port, (int64_t)(r % 97) % t->dim[0], (int64_t)(r >> 8 & 0xffff) % t->dim[1],
                  (int64_t)(r >> 24 & 0xff) % t->dim[2], (int64_t)(r >> 32 & 0xff) % t->dim[3]};
}

static const struct masked { const char *spec, *without; int T, S; float size; } masked[] = {
    {"attention/softmax(causal=true)", "key_lengths", 40, 40, 1},
    {"attention/softmax(causal=true)", "key_lengths", 140, 140, 100}, /* most weights underflow */
    {"attention/softmax", NULL, 5, 150, 1},
    {"attention/softmax(causal=bottom_right)", NULL, 33, 70, 1},
    {"attention/softmax(causal=offset:-7)", "key_lengths", 20, 20, 30},
    {"attention/softmax(position=alibi, causal=true)", "key_lengths", 50, 50, 1},
    {"attention/softmax(softcap=2, position=alibi, causal=offset:3)", NULL, 17, 131, 10},
    {"attention/softmax(softcap=9)", NULL, 3, 20, 100},
};

/* A NaN in a query poisons that row only; in key or value j, exactly the rows that may attend to j. */
static void test_nans(void **state)
{
    uint64_t seed = 7;
    (void)state;
    for (size_t m = 0; m < COUNT(masked); m++) {
        if (harness_quick() && m % 3) continue;
        call c;
        call_case how = {masked[m].spec, axes_text(2, masked[m].T, masked[m].S, 4, 2, 9, 7), masked[m].without,
                         HEED_F32, masked[m].size, m};
        call_make(&c, &how);
        heed_tensor before[ORACLE_PORTS], after[ORACLE_PORTS];
        call_run(&c, paths[0], 1, PLAIN, before);
        for (int n = 0; n < (harness_quick() ? 6 : 24); n++) {
            poke p = random_poke(&c, "qkv"[n % 3], &seed);
            if (n < 3) p.row = 0;
            heed_tensor *t = &c.plain[call_port(&c, (char[]){p.port, 0})];
            double was = tensor_get(t, poke_index(&c, &p));
            tensor_put(t, poke_index(&c, &p), NAN);
            for (int path = 0; path < n_paths; path++) {
                call_run(&c, paths[path], 1 + (uint32_t)n % 3, n % LAYOUTS, after);
                check_fates(&c, before, after, &p, 0, paths[path]);
                outputs_free(after);
                if (n < 3 && strstr(masked[m].spec, "causal=true")) { /* through a cache too */
                    run_chunks(&c, paths[path], 2, 7, after);
                    check_fates(&c, before, after, &p, 0, "in chunks");
                    outputs_free(after);
                }
            }
            tensor_put(t, poke_index(&c, &p), was);
        }
        outputs_free(before);
        call_free(&c);
    }
}

/* Infinities give what the formula gives. */
static void test_infinities(void **state)
{
    uint64_t seed = 8;
    (void)state;
    for (size_t m = 0; m < COUNT(masked); m++) {
        if (masked[m].size > 1) continue; /* weights underflow in float32 before float64: 0 * inf is not small * inf */
        call c;
        call_case how = {masked[m].spec, axes_text(2, masked[m].T, masked[m].S, 4, 2, 3, 7), masked[m].without,
                         HEED_F32, 1, m};
        call_make(&c, &how);
        for (int n = 0; n < 12; n++) {
            heed_tensor first[ORACLE_PORTS], other[ORACLE_PORTS];
            poke p = random_poke(&c, "qkv"[n % 3], &seed);
            heed_tensor *t = &c.plain[call_port(&c, (char[]){p.port, 0})];
            double was = tensor_get(t, poke_index(&c, &p));
            tensor_put(t, poke_index(&c, &p), n % 2 ? INFINITY : -INFINITY);
            call_update(&c);
            call_run(&c, paths[0], 1, PLAIN, first);
            within_bound(&c, first, "with an infinity");
            for (int path = 1; path < n_paths; path++) {
                call_run(&c, paths[path], 2, n % LAYOUTS, other);
                same_bits(&c, first, other, paths[path]);
                outputs_free(other);
            }
            outputs_free(first);
            tensor_put(t, poke_index(&c, &p), was);
        }
        call_free(&c);
    }
}

/* Changing token j leaves every output before j as it was, bit for bit; and changes those that see it. */
static void test_causality(void **state)
{
    enum { L = PAGE + 30 };
    uint64_t seed = 9;
    (void)state;
    for (size_t spec = 0; spec < COUNT(causal_specs); spec += harness_quick() ? 3 : 1) {
        call c;
        call_case how = {causal_specs[spec], axes_text(1, L, L, 4, 2, 8, 8), "key_lengths", HEED_F32, 1, spec};
        call_make(&c, &how);
        for (int path = 0; path < n_paths; path++)
            for (int phase = 0; phase < (harness_quick() ? 2 : 3); phase++) {
                heed_tensor before[ORACLE_PORTS], after[ORACLE_PORTS];
                const int chunk = phase == 1 ? 50 : 7;
                if (phase) run_chunks(&c, paths[path], 1, chunk, before);
                else call_run(&c, paths[path], 1, PLAIN, before);
                for (int n = 0; n < (phase ? 3 : 6); n++) {
                    poke p = random_poke(&c, "qkv"[n % 3], &seed);
                    heed_tensor *t = &c.plain[call_port(&c, (char[]){p.port, 0})];
                    double was = tensor_get(t, poke_index(&c, &p));
                    tensor_put(t, poke_index(&c, &p), was + 3);
                    if (phase) run_chunks(&c, paths[path], 2, chunk, after);
                    else call_run(&c, paths[path], 2, PLAIN, after);
                    check_fates(&c, before, after, &p, 1, paths[path]);
                    int64_t at = call_port(&c, "out"), row = ((p.row * 4) + (p.port == 'q' ? p.head : 2 * p.head)) * 8;
                    if (p.port == 'v' && !memcmp((float *)before[at].data + row, (float *)after[at].data + row,
                                                 8 * sizeof(float)))
                        fail_msg("%s: the output of token %d does not depend on its value", how.spec, (int)p.row);
                    outputs_free(after);
                    tensor_put(t, poke_index(&c, &p), was);
                }
                outputs_free(before);
            }
        call_free(&c);
    }
}

/* A query without a key: zeros and -inf, even over NaNs that it may not see. */
static void test_fully_masked(void **state)
{
    static const char *const specs[] = {"attention/softmax(causal=offset:-7)",
                                        "attention/softmax(softcap=3, position=alibi, causal=offset:-7)"};
    (void)state;
    for (size_t spec = 0; spec < COUNT(specs); spec++) {
        call c;
        call_case how = {specs[spec], axes_text(2, 30, 30, 2, 1, 5, 6), NULL, HEED_F32, 1, 1};
        call_make(&c, &how);
        tensor_put(&c.plain[call_port(&c, "key_lengths")], 0, 0);
        tensor_put(&c.plain[call_port(&c, "key_lengths")], 1, 12);
        call_update(&c);
        for (int64_t b = 0; b < 2; b++)
            for (int64_t i = b * 30 + (b ? 12 : 0); i < (b + 1) * 30; i++) { /* all keys that nobody sees */
                for (int64_t d = 0; d < 5; d++) tensor_put(&c.plain[call_port(&c, "k")], i * 5 + d, NAN);
                for (int64_t e = 0; e < 6; e++) tensor_put(&c.plain[call_port(&c, "v")], i * 6 + e, NAN);
            }
        for (int p = 0; p < n_paths; p++)
            for (int layout = 0; layout < LAYOUTS; layout++) {
                heed_tensor out[ORACLE_PORTS];
                call_run(&c, paths[p], 2, layout, out);
                for (int64_t row = 0; row < 2 * 30 * 2; row++) {
                    int none = row < 60 || (row - 60) / 2 < 7;
                    float lse = ((float *)out[call_port(&c, "lse")].data)[row];
                    assert_true(none ? lse == -INFINITY : isfinite(lse));
                    for (int e = 0; e < 6; e++) {
                        float y = ((float *)out[call_port(&c, "out")].data)[row * 6 + e];
                        assert_true(none ? y == 0 : isfinite(y));
                    }
                }
                within_bound(&c, out, "fully masked rows");
                outputs_free(out);
            }
        call_free(&c);
    }
}

/* ---- numbers ---- */

static void all_paths(call *c, const char *what)
{
    heed_tensor first[ORACLE_PORTS], other[ORACLE_PORTS];
    call_update(c);
    call_run(c, paths[0], 1, PLAIN, first);
    within_bound(c, first, what);
    for (int p = 1; p < n_paths; p++) {
        call_run(c, paths[p], 2, p % LAYOUTS, other);
        same_bits(c, first, other, paths[p]);
        outputs_free(other);
    }
    outputs_free(first);
}

static void test_extreme_scores(void **state)
{
    static const char *const specs[] = {"attention/softmax(causal=true)", "attention/softmax(scale=-1)",
                                        "attention/softmax(softcap=5)",
                                        "attention/softmax(softcap=1e6, scale=-3, causal=true)",
                                        "attention/softmax(position=alibi, causal=true)"};
    (void)state;
    for (size_t spec = 0; spec < COUNT(specs); spec++) {
        call c;
        call_case how = {specs[spec], axes_text(1, 50, 50, 4, 2, 16, 9), "key_lengths", HEED_F32, 100, spec};
        call_make(&c, &how);
        all_paths(&c, "scores of some thousands");
        call_free(&c);
        /* Two channels are [1, 1] in every query, and [-1e30, 0] or [0, small] in keys: some scores are -1e30. */
        for (int all = 0; all < 2; all++) {
            call_case low = {specs[spec], axes_text(1, 40, 160, 2, 1, 2, 9), "key_lengths", HEED_F32, 1, spec};
            call_make(&c, &low);
            for (int64_t i = 0; i < 40 * 2 * 2; i++) tensor_put(&c.plain[call_port(&c, "q")], i, 1);
            for (int64_t j = 0; j < 160; j++) {
                int huge = all || j % 3 == 0 || j < 20; /* in causal calls the first rows see nothing else */
                double sign = strstr(specs[spec], "scale=-") ? 1 : -1;
                tensor_put(&c.plain[call_port(&c, "k")], 2 * j, huge ? sign * 1e30 : 0);
                if (huge) tensor_put(&c.plain[call_port(&c, "k")], 2 * j + 1, 0);
            }
            all_paths(&c, "scores of -1e30");
            call_free(&c);
        }
    }
}

/* Results below the normal numbers are not flushed, in whatever mode the application runs; its mode stays. */
static void test_subnormals(void **state)
{
    call c;
    call_case how = {causal_specs[0], axes_text(1, 40, 40, 2, 1, 8, 20), "key_lengths", HEED_F32, 1, 1};
    heed_tensor plain[ORACLE_PORTS], other[ORACLE_PORTS];
    (void)state;
    call_make(&c, &how);
    uint64_t seed = 3;
    for (int64_t i = 0; i < 40 * 20; i++) tensor_put(&c.plain[call_port(&c, "v")], i, harness_normal(&seed) * 1e-40);
    for (int64_t i = 0; i < 40 * 2 * 8; i += 8) tensor_put(&c.plain[call_port(&c, "q")], i, 1e-42);
    for (int64_t i = 0; i < 40 * 8; i += 8) tensor_put(&c.plain[call_port(&c, "k")], i, 1e38);
    all_paths(&c, "subnormal values");
    for (int p = 0; p < n_paths; p++) {
        call_run(&c, paths[p], 1, PLAIN, plain);
        const float *y = plain[call_port(&c, "out")].data;
        int nonzero = 0;
        for (int i = 0; i < 40 * 2 * 20; i++) nonzero += y[i] != 0;
        assert_true(nonzero > 40 * 2 * 18);
#if defined __x86_64__
        for (uint32_t threads = 1; threads < 3; threads++) {
            heed_instance *i = call_open(&c, paths[p], threads);
            outputs_make(&c, other);
            heed_tensor by_port[ORACLE_PORTS];
            for (int k = 0; k < ORACLE_PORTS; k++) by_port[k] = other[k].data ? other[k] : c.plain[k];
            unsigned mode = _mm_getcsr();
            _mm_setcsr(mode | 0x8040 | 0x6000); /* flush to zero, subnormals are zero, round towards zero */
            int32_t failed = call_with(&c, i, by_port, NULL, NULL);
            unsigned after = _mm_getcsr();
            _mm_setcsr(mode);
            assert_int_equal(failed, HEED_OK);
            assert_int_equal(after & 0xe040, (mode | 0xe040) & 0xe040);
            same_bits(&c, plain, other, "in an application that flushes subnormals");
            heed_instance_close(i);
            outputs_free(other);
        }
#else
        (void)other;
#endif
        outputs_free(plain);
    }
    call_free(&c);
}

/* An output of fewer bits is the float32 result, rounded once. */
static void test_output_dtypes(void **state)
{
    static const uint32_t dtypes[] = {HEED_F16, HEED_BF16};
    (void)state;
    for (size_t d = 0; d < COUNT(dtypes); d++)
        for (int size = 0; size < 3; size++) {
            call c;
            call_case how = {"attention/softmax(causal=true)", axes_text(2, 19, 19, 4, 2, 8, 21), "key_lengths",
                             HEED_F32, size ? size * 20 : 1, 4};
            heed_tensor wide[ORACLE_PORTS], narrow[ORACLE_PORTS];
            call_make(&c, &how);
            int v = call_port(&c, "v"), o = call_port(&c, "out");
            double factor = size == 1 ? 1e-7 : size == 2 ? 3000 : 1; /* f16: subnormal, and infinite */
            for (int64_t i = 0; i < heed_tensor_elements(&c.plain[v]); i++)
                tensor_put(&c.plain[v], i, tensor_get(&c.plain[v], i) * factor);
            call_run(&c, paths[0], 1, PLAIN, wide);
            c.plain[o].dtype = dtypes[d];
            for (int p = 0; p < n_paths; p++)
                for (int layout = 0; layout < LAYOUTS; layout++) {
                    call_run(&c, paths[p], 2, layout, narrow);
                    heed_tensor expected = narrow[o];
                    assert_int_equal(narrow[o].dtype, dtypes[d]);
                    if (heed_tensor_alloc(&expected, NULL)) fail_msg("no memory");
                    for (int64_t i = 0; i < heed_tensor_elements(&wide[o]); i++)
                        tensor_put(&expected, i, tensor_get(&wide[o], i));
                    assert_memory_equal(expected.data, narrow[o].data, expected.bytes);
                    free(expected.data);
                    outputs_free(narrow);
                }
            outputs_free(wide);
            call_free(&c);
        }
}

/* ---- what is bound wrongly ---- */

enum { DIM, STRIDE, RANK, DTYPE, BYTES, NAME, DROP, TWICE, NO_DATA, SHIFT, ELEMENT, ALIAS, SAME, ENDLESS };

/* B=2 T=3 S=5 H=4 G=2 D=6 E=7, contiguous, but for one fault in one port. */
static const struct fault {
    const char *spec, *port;
    int what;
    int64_t index, value;
    const char *other; /* NAME: the wrong one; DIM: also in this port; ALIAS, SAME: whose memory */
    const char *says[4];
} faults[] = {
    {NULL, "q", NAME, 0, 0, "qq", {"no input named \"qq\"", "q, k, v, key_lengths", "nearest: q"}},
    {NULL, "out", NAME, 0, 0, "output", {"no output named \"output\"", "out, lse"}},
    {NULL, "q", DROP, 0, 0, NULL, {"the input q", "B T H D", "missing"}},
    {NULL, "v", DROP, 0, 0, NULL, {"the input v", "missing"}},
    {NULL, "out", DROP, 0, 0, NULL, {"the output out", "missing"}},
    {NULL, "k", TWICE, 0, 0, NULL, {"port k", "bound twice"}},
    {NULL, "k", DTYPE, 0, HEED_I32, NULL, {"port k", "i32", "f32, f16, bf16"}},
    {NULL, "q", DTYPE, 0, HEED_F64, NULL, {"port q", "f64", "f32, f16, bf16"}},
    {NULL, "q", DTYPE, 0, 77, NULL, {"port q", "dtype ? "}},
    {NULL, "lse", DTYPE, 0, HEED_F16, NULL, {"port lse", "f16", "f32"}},
    {NULL, "key_lengths", DTYPE, 0, HEED_F32, NULL, {"port key_lengths", "f32", "i32, i64"}},
    {NULL, "v", RANK, 0, 3, NULL, {"port v", "3 axes", "B S G E"}},
    {NULL, "q", RANK, 0, 5, NULL, {"port q", "5 axes", "B T H D"}},
    {NULL, "q", RANK, 0, -1, NULL, {"port q", "-1 axes"}},
    {NULL, "q", RANK, 0, 9, NULL, {"port q", "9 axes"}},
    {NULL, "k", DIM, 3, 9, NULL, {"port k", "axis D is 9", "in port q 6"}},
    {NULL, "v", DIM, 1, 4, NULL, {"port v", "axis S is 4", "in port k 5"}},
    {NULL, "k", DIM, 0, 1, NULL, {"port k", "axis B is 1", "in port q 2"}},
    {NULL, "v", DIM, 2, 1, NULL, {"port v", "axis G is 1", "in port k 2"}},
    {NULL, "key_lengths", DIM, 0, 1, NULL, {"port key_lengths", "axis B is 1", "in port q 2"}},
    {NULL, "out", DIM, 3, 6, NULL, {"port out", "axis E is 6", "in port v 7"}},
    {NULL, "lse", DIM, 1, 2, NULL, {"port lse", "axis T is 2", "in port q 3"}},
    {NULL, "k", DIM, 2, 1, "v", {NULL}}, /* G = 1 divides H: right */
    {NULL, "q", DIM, 2, 3, "out", {"3 heads (axis H)", "2 (axis G)"}},
    {NULL, "k", DIM, 2, 0, "v", {"4 heads (axis H)", "0 (axis G)"}},
    {NULL, "q", DIM, 1, -3, "out", {"port q", "negative"}},
    {NULL, "q", STRIDE, 1, -24, NULL, {"port q", "stride is negative"}},
    {NULL, "q", STRIDE, 1, 0, NULL, {NULL}}, /* an input may repeat */
    {NULL, "out", STRIDE, 1, 0, NULL, {"port out", "can not repeat"}},
    {NULL, "k", STRIDE, 0, INT64_MAX / 2, NULL, {"port k", "overflow"}},
    {NULL, "k", STRIDE, 0, INT64_MAX, NULL, {"port k", "overflow"}},
    {NULL, "q", BYTES, 0, 2 * 3 * 4 * 6 * 4 - 1, NULL, {"port q", "reach 576 bytes", "575 are valid"}},
    {NULL, "lse", BYTES, 0, 0, NULL, {"port lse", "reach 96 bytes", "0 are valid"}},
    {NULL, "v", NO_DATA, 0, 0, NULL, {"port v", "no data"}},
    {NULL, "k", SHIFT, 0, 2, NULL, {"port k", "address", "element's size"}},
    {NULL, "key_lengths", ELEMENT, 0, 6, NULL, {"key_lengths[0] is 6", "k has 5 keys"}},
    {NULL, "key_lengths", ELEMENT, 1, -1, NULL, {"key_lengths[1] is -1", "k has 5 keys"}},
    {NULL, "key_lengths", ELEMENT, 1, INT64_MIN, NULL, {"key_lengths[1] is -9223372036854775808"}},
    {NULL, "out", ALIAS, 0, 0, "q", {"port out", "memory", "port q"}},
    {NULL, "out", ALIAS, 4, 0, "k", {"port out", "memory", "port k"}},
    {NULL, "lse", ALIAS, 8, 0, "out", {"port lse", "memory", "port out"}},
    {NULL, "out", ALIAS, 8, 0, "key_lengths", {"port out", "memory", "port key_lengths"}},
    {NULL, "out", SAME, 0, 0, "v", {"port out", "memory", "port v"}},
    {NULL, "k", ENDLESS, 3, (int64_t)1 << 61, "q", {"port q", "too large"}},
    {NULL, "v", ENDLESS, 2, (int64_t)1 << 61, "k", {"port k", "too large"}},
    {"attention/softmax(causal=true, window=-3)", "q", DROP, 0, 0, NULL, {"window is -3"}},
    {"attention/softmax(scale=0)", "q", DROP, 0, 0, NULL, {"scale is 0"}},
    {"attention/softmax(position=rope)", "q", DROP, 0, 0, NULL, {"position/rope", "does not act on scores"}},
};

static void test_bound_wrongly(void **state)
{
    (void)state;
    for (size_t n = 0; n < COUNT(faults); n++) {
        const struct fault *f = &faults[n];
        call c;
        heed_error e = {0};
        char what[80];
        const char *axes = f->what == ENDLESS ? "B=2,T=0,S=0,H=4,G=2,D=6,E=6" : "B=2,T=3,S=5,H=4,G=2,D=6,E=7";
        call_case how = {"attention/softmax", axes, NULL, HEED_F32, 1, 1};
        snprintf(what, sizeof what, "fault %d in port %s", (int)n, f->port);
        call_make(&c, &how);
        heed_instance *i = heed_instance_open(harness_engine(1), f->spec ? f->spec : how.spec, NULL, &e);
        if (f->spec) {
            assert_null(i);
            for (int k = 0; k < 4 && f->says[k]; k++)
                if (!strstr(e.text, f->says[k])) fail_msg("%s is not said in: %s", f->says[k], e.text);
            call_free(&c);
            continue;
        }
        assert_non_null(i);
        heed_tensor t[ORACLE_PORTS];
        heed_binding b[2][ORACLE_PORTS]; /* inputs, outputs */
        uint32_t count[2] = {0};
        memcpy(t, c.plain, sizeof t);
        int bad = call_port(&c, f->port), other = f->other && f->what != NAME ? call_port(&c, f->other) : -1;
        switch (f->what) {
        case DIM: case ENDLESS:
            t[bad].dim[f->index] = f->value;
            if (other >= 0) t[other].dim[f->index] = f->value;
            if (other == call_port(&c, "out")) t[call_port(&c, "lse")].data = NULL; /* else it is the first to differ */
            break;
        case STRIDE: t[bad].stride[f->index] = f->value; break;
        case RANK: t[bad].rank = (int32_t)f->value; break;
        case DTYPE: t[bad].dtype = (uint32_t)f->value; break;
        case BYTES: t[bad].bytes = (uint64_t)f->value; break;
        case NO_DATA: t[bad].data = NULL; break;
        case SHIFT: t[bad].data = (char *)t[bad].data + f->value; break;
        case ELEMENT: ((int64_t *)t[bad].data)[f->index] = f->value; break;
        case ALIAS: { /* in a place of its own: on the heap the output could reach into a third tensor */
            static char room[1 << 18] __attribute__((aligned(64)));
            assert_true(t[other].bytes < sizeof room / 4 && t[bad].bytes < sizeof room / 4);
            t[other].data = memcpy(room + sizeof room / 2, t[other].data, t[other].bytes);
            t[bad].data = (char *)t[other].data + f->index;
            break;
        }
        }
        for (uint32_t p = 0; p < c.op->ports.count; p++) {
            int out = ((const heed_port *)c.op->ports.data)[p].role == HEED_OUTPUT, hit = (int)p == bad;
            heed_binding one = {c.oracle.port[p], hit && f->what == SAME ? &t[other] : &t[p]};
            if (hit && f->what == NAME) one.port = f->other;
            if (hit && f->what == DROP) continue;
            if (!t[p].data && f->what != NO_DATA) continue;
            b[out][count[out]++] = one;
            if (hit && f->what == TWICE) b[out][count[out]++] = one;
        }
        if (f->what == SAME) { /* v is out: shapes that would do for both, and lengths left out */
            int k = call_port(&c, "k");
            t[other].dim[1] = t[k].dim[1] = 3, t[other].dim[2] = t[k].dim[2] = 4;
            t[other].bytes = t[k].bytes = 1 << 20; /* not looked at: refused before */
            for (uint32_t x = 0; x < count[0]; x++)
                if (strcmp(b[0][x].port, "key_lengths") == 0) b[0][x].tensor = NULL;
        }
        int32_t code = heed_run(i, b[0], count[0], b[1], count[1], NULL, &e);
        if (!f->says[0]) {
            if (code) fail_msg("%s is right, but: %s", what, e.text);
        } else {
            if (!code) fail_msg("%s passes", what);
            sentence(&e, SAYS("attention/softmax", f->says[0], f->says[1], f->says[2], f->says[3]), what);
        }
        heed_instance_close(i);
        call_free(&c);
    }
}

static int setup(void **state)
{
    (void)state;
    n_paths = harness_paths("attention/softmax", paths);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    harness_end();
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_phases),
        cmocka_unit_test(test_spans),
        cmocka_unit_test(test_overflow_in_a_span),
        cmocka_unit_test(test_shared_pages),
        cmocka_unit_test(test_codecs),
        cmocka_unit_test(test_recall),
        cmocka_unit_test(test_codecs_at_the_edge),
        cmocka_unit_test(test_any_queries_any_keys),
        cmocka_unit_test(test_no_keys),
        cmocka_unit_test(test_ragged_batch),
        cmocka_unit_test(test_fork_and_truncate),
        cmocka_unit_test(test_refused_sequences),
        cmocka_unit_test(test_batch_independence),
        cmocka_unit_test(test_nans),
        cmocka_unit_test(test_infinities),
        cmocka_unit_test(test_causality),
        cmocka_unit_test(test_fully_masked),
        cmocka_unit_test(test_extreme_scores),
        cmocka_unit_test(test_subnormals),
        cmocka_unit_test(test_output_dtypes),
        cmocka_unit_test(test_bound_wrongly),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
