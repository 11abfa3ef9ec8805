/* SPDX-License-Identifier: MIT
 *
 * test_mixers.c: what mixes tokens in linear time without kit/linear: Linformer, lightweight and dynamic convolution,
 * FLASH. The golden values of their papers' formulas; what they are equal to where they must be; the same bits whole, in
 * parts, behind a fork and a cut; parameters of a network; and what they refuse.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "lib/harness.h"

#define COUNT(array) (sizeof(array) / sizeof *(array))

/* ---- golden values ---- */

static double g(uint32_t s, uint32_t i)
{
    uint32_t h = i * 2654435761u + s * 40503u + 12345u;
    h ^= h >> 15, h *= 2246822519u, h ^= h >> 13, h *= 3266489917u, h ^= h >> 16;
    return h / 2147483648.0 - 1.0;
}

static void put(call *c, const char *port, uint32_t i, double x) { tensor_put(&c->plain[call_port(c, port)], i, x); }
static void put_all(call *c, const char *port, uint32_t s)
{
    const heed_tensor *t = &c->plain[call_port(c, port)];
    for (int64_t i = 0; i < heed_tensor_elements(t); i++) tensor_put(t, i, g(s, (uint32_t)i));
}

/* Four numbers from element `at` of the output on, on all paths. `ones`: a fifth is to be taken off each. */
static void check_golden(const call *c, int64_t at, int ones, const double *golden)
{
    const char *paths[8];
    const int n = harness_paths(c->op->id, paths);
    for (int p = 0; p < n; p++) {
        heed_tensor out[ORACLE_PORTS];
        call_run(c, paths[p], 1, PLAIN, out);
        const heed_tensor *y = &out[call_port(c, "out")];
        for (int e = 0; e < 4; e++) {
            const double is = tensor_get(y, at + e) - (ones ? tensor_get(y, at + 4) : 0);
            if (fabs(is - golden[e]) > 2e-6) fail_msg("%s on %s: %.7f for %.6f", c->op->id, paths[p], is, golden[e]);
        }
        outputs_free(out);
    }
}

static void test_golden(void **state)
{
    call c;
    (void)state;
    call_case linformer = {"attention/linformer", "B=1,T=4,S=4,H=1,G=1,D=4,E=4,J=2,C=4,W=1", "key_lengths,+f", HEED_F32, 1, 1};
    call_make(&c, &linformer);
    put_all(&c, "q", 1), put_all(&c, "k", 2), put_all(&c, "v", 3), put_all(&c, "e", 15), put_all(&c, "f", 16);
    check_golden(&c, 12, 0, (double[]){-0.397614, 0.411435, -0.111558, 0.407886});
    call_free(&c);

    call_case light = {"attention/lightweight_conv(causal=true)", "B=1,T=4,H=2,E=2,K=3", "key_lengths,gate,offset",
                       HEED_F32, 1, 1};
    call_make(&c, &light);
    put_all(&c, "v", 3), put_all(&c, "w", 21);
    check_golden(&c, 12, 0, (double[]){-0.477219, 0.518227, 0.553689, 0.541484});
    call_free(&c);
}

/* x where silu(x) = y, for y > 0. */
static double of_silu(double y)
{
    double x = y;
    for (int i = 0; i < 60; i++) {
        const double s = 1 / (1 + exp(-x));
        x -= (x * s - y) / (s + x * s * (1 - s));
    }
    return x;
}

/* The golden chunks have queries and keys of their own, and neither silu nor gate. One row is asked for: its queries are
 * offsets; keys are silu(z) - 1 of channels 0 to 3, and of 4 to 7 for the sums; values are silu(x) - 1, and a channel of
 * ones tells the sum of the weights, once too much in all others. */
static void golden_chunks(uint32_t row, const double *golden)
{
    call c;
    call_case how = {"attention/flash_linear(causal=true, chunk=2)", "B=1,T=4,H=1,D=8,E=5",
                     "+q_gain,+q_offset,+k_gain,+k_offset,+linear_q_gain,+linear_q_offset,+linear_k_gain,"
                     "+linear_k_offset,key_lengths", HEED_F32, 1, 1};
    call_make(&c, &how);
    for (uint32_t i = 0; i < 32; i++) put(&c, "q", i, of_silu(g(i % 8 < 4 ? 2 : 23, i / 8 * 4 + i % 4) + 1));
    for (uint32_t i = 0; i < 20; i++) {
        put(&c, "v", i, of_silu(i % 5 == 4 ? 1 : g(3, i / 5 * 4 + i % 5) + 1));
        put(&c, "gate", i, of_silu(1));
    }
    for (uint32_t d = 0; d < 8; d++) {
        const int quad = d < 4;
        put(&c, "q_gain", d, 0), put(&c, "linear_q_gain", d, 0);
        put(&c, "q_offset", d, quad ? g(1, row * 4 + d) : 0), put(&c, "linear_q_offset", d, quad ? 0 : g(22, row * 4 + d - 4));
        put(&c, "k_gain", d, quad), put(&c, "linear_k_gain", d, !quad);
        put(&c, "k_offset", d, -quad), put(&c, "linear_k_offset", d, quad - 1);
    }
    check_golden(&c, 5 * row, 1, golden);
    call_free(&c);
}

static void test_golden_chunks(void **state)
{
    (void)state;
    golden_chunks(1, (double[]){0.094374, -0.076256, 0.001717, 0.050398});
    golden_chunks(3, (double[]){-1.113944, 0.081795, 0.810432, -0.242117});
}

/* ---- what they are equal to ---- */

/* E = F = I: softmax attention, as far as two float32 results may differ. */
static void test_identity(void **state)
{
    static const char *const axes[] = {"B=2,T=5,S=33,H=4,G=2,D=16,E=24,J=33,C=33,W=1", "B=1,T=70,S=70,H=2,G=2,D=9,E=5,J=70,C=70,W=2",
                                       "B=1,T=3,S=1300,H=1,G=1,D=8,E=16,J=1300,C=1300,W=1"};
    (void)state;
    for (size_t a = 0; a < COUNT(axes); a++) {
        call c, s;
        heed_tensor x[ORACLE_PORTS], y[ORACLE_PORTS];
        call_case how = {"attention/linformer", axes[a], "key_lengths,f", HEED_F32, 1, 7}, soft = how;
        soft.spec = "attention/softmax", soft.without = "key_lengths,lse";
        call_make(&c, &how), call_make(&s, &soft);
        static const char *const same[] = {"q", "k", "v"};
        for (int p = 0; p < 3; p++) tensor_copy(&s.plain[call_port(&s, same[p])], &c.plain[call_port(&c, same[p])]);
        const heed_tensor *e = &c.plain[call_port(&c, "e")];
        for (int64_t i = 0; i < heed_tensor_elements(e); i++)
            tensor_put(e, i, i % e->dim[2] == i / e->dim[2] % e->dim[1]);
        call_update(&s);
        call_run(&c, NULL, 2, PLAIN, x);
        call_run(&s, NULL, 2, PLAIN, y);
        tensor_copy(&y[call_port(&s, "out")], &x[call_port(&c, "out")]);
        const double ratio = call_judge(&s, y);
        if (!(ratio <= 1)) fail_msg("%s: %.3g of softmax's bound", axes[a], ratio);
        outputs_free(x), outputs_free(y);
        call_free(&c), call_free(&s);
    }
}

/* A one-hot kernel is a shift, and taps of a softmax that all but one are -200 below it are one-hot: exactly. */
static void test_shift(void **state)
{
    static const char *const specs[] = {
        "attention/lightweight_conv(softmax=false, causal=true)", "attention/lightweight_conv(causal=true)",
        "attention/dynamic_conv(softmax=false, causal=true)", "attention/dynamic_conv(causal=true)",
        "attention/lightweight_conv", "attention/dynamic_conv",
    };
    enum { T = 100, K = 13, H = 2, E = 20 };
    (void)state;
    for (size_t n = 0; n < COUNT(specs); n++)
        for (int hot = 0; hot < K; hot += 4) {
            call c;
            heed_tensor out[ORACLE_PORTS];
            const int dynamic = strstr(specs[n], "dynamic") != NULL, causal = strstr(specs[n], "causal") != NULL;
            call_case how = {specs[n], "B=1,T=100,H=2,E=20,K=13", dynamic ? "key_lengths,gate,offset,generator,generator_offset"
                                                                     : "key_lengths,gate,offset", HEED_F32, 1, n};
            if (dynamic) how.without = "key_lengths,gate,offset,+taps,generator,generator_offset";
            call_make(&c, &how);
            const heed_tensor *w = &c.plain[call_port(&c, dynamic ? "taps" : "w")];
            const double cold = strstr(specs[n], "softmax=false") ? 0 : -200;
            for (int64_t i = 0; i < heed_tensor_elements(w); i++) tensor_put(w, i, i % K == hot ? cold + (cold ? 200 : 1) : cold);
            call_run(&c, NULL, 1, PLAIN, out);
            const heed_tensor *v = &c.plain[call_port(&c, "v")], *y = &out[call_port(&c, "out")];
            for (int64_t i = 0; i < T * H * E; i++) {
                const int64_t from = i / (H * E) + hot - (causal ? K - 1 : (K - 1) / 2);
                const double right = from < 0 || from >= T ? 0 : tensor_get(v, from * H * E + i % (H * E));
                if (tensor_get(y, i) != right)
                    fail_msg("%s, tap %d: element %d is %g, not %g", specs[n], hot, (int)i, tensor_get(y, i), right);
            }
            outputs_free(out);
            call_free(&c);
        }
}

/* ---- phases ---- */

static const struct parts {
    const char *spec, *axes, *without;
} parts[] = {
    {"attention/lightweight_conv(causal=true)", "H=3,E=20,K=5", "key_lengths"},
    {"attention/lightweight_conv(causal=true)", "H=4,E=64,K=3", "key_lengths,gate"},
    {"attention/lightweight_conv(causal=true)", "H=1,E=33,K=40", "key_lengths"},
    {"attention/dynamic_conv(causal=true)", "H=2,E=70,K=7", "key_lengths,taps,+generator"},
    {"attention/dynamic_conv(causal=true)", "H=3,E=16,K=31", "key_lengths,taps,gate,+generator"},
    {"attention/flash_linear(causal=true)", "H=1,D=20,E=40", "key_lengths"},
    {"attention/flash_linear(causal=true, chunk=32)", "H=2,D=16,E=33", "key_lengths"},
    {"attention/flash_linear(causal=true, chunk=17)", "H=1,D=9,E=5", "key_lengths"},
    {"attention/flash_linear(causal=true, chunk=1)", "H=1,D=4,E=5", "key_lengths"},
};

/* One run on tokens [from, from + n) of the call, appended to the sequences. */
static void feed(const call *c, const heed_instance *i, heed_sequence *const *s, int64_t from, int64_t n,
                 heed_tensor out[ORACLE_PORTS])
{
    heed_error e;
    heed_tensor view[ORACLE_PORTS] = {0};
    for (uint32_t p = 0; p < c->op->ports.count; p++) {
        const heed_port *port = (const heed_port *)c->op->ports.data + p;
        const heed_tensor *all = out[p].data ? &out[p] : &c->plain[p];
        if (!all->data) continue;
        view[p] = port->role == HEED_WEIGHT ? *all : tensor_slice(all, 1, from, n);
    }
    if (call_with(c, i, view, s, &e)) fail_msg("%s [%s], tokens %d + %d: %s", c->how->spec, c->how->axes, (int)from, (int)n, e.text);
}

/* Whole, in chunks, and token by token: the same bits, on all paths; a fork goes on as its twin does, and so does what
 * was cut back a little. */
static void test_phases(void **state)
{
    static const int chunks[] = {1, 16, 95, 131, 256, 600};
    enum { L = 600 };
    (void)state;
    for (size_t v = 0; v < COUNT(parts); v++) {
        char axes[80];
        snprintf(axes, sizeof axes, "B=2,T=%d,%s", L, parts[v].axes);
        call_case how = {parts[v].spec, axes, parts[v].without, HEED_F32, 1, v};
        call c;
        const char *paths[8];
        heed_tensor whole[ORACLE_PORTS], out[ORACLE_PORTS];
        call_make(&c, &how);
        const int n_paths = harness_paths(c.op->id, paths);
        call_run(&c, NULL, 1, PLAIN, whole);
        for (size_t k = 0; k < COUNT(chunks); k++)
            for (int p = 0; p < n_paths; p++) {
                if (harness_skips(k + v, 3) || (p == 0 && (k + v) % 4)) continue; /* scalar is slow */
                heed_sequence *s[2], *twin[2] = {0};
                heed_instance *i = call_open(&c, paths[p], 1 + (uint32_t)p);
                for (int b = 0; b < 2; b++) assert_non_null(s[b] = heed_sequence_new(i, c.oracle.axis, NULL));
                outputs_make(&c, out);
                for (int64_t t = 0, n; t < L; t += n) {
                    n = L - t < chunks[k] ? L - t : chunks[k];
                    feed(&c, i, s, t, n, out);
                    for (int b = 0; b < 2 && t == 0; b++) assert_non_null(twin[b] = heed_sequence_fork(s[b], NULL));
                }
                if (!outputs_equal(&c, whole, out)) fail_msg("%s [%s] on %s in chunks of %d", how.spec, axes, paths[p], chunks[k]);
                if (chunks[k] < L) feed(&c, i, twin, chunks[k], L - chunks[k], out);
                if (!outputs_equal(&c, whole, out)) fail_msg("%s [%s] on %s: a fork", how.spec, axes, paths[p]);
                for (int b = 0; b < 2; b++) assert_int_equal(heed_sequence_truncate(s[b], L - 40, NULL), HEED_OK);
                feed(&c, i, s, L - 40, 17, out);
                feed(&c, i, s, L - 23, 23, out);
                if (!outputs_equal(&c, whole, out)) fail_msg("%s [%s] on %s: behind a cut", how.spec, axes, paths[p]);
                for (int b = 0; b < 2; b++) heed_sequence_free(s[b]), heed_sequence_free(twin[b]);
                outputs_free(out);
                heed_instance_close(i);
            }
        outputs_free(whole);
        call_free(&c);
    }
}

/* What is remembered stops growing, and a cut that leads back too far is refused with nothing lost. */
static void test_bounded(void **state)
{
    (void)state;
    for (size_t v = 0; v < COUNT(parts); v++) {
        call_case how = {parts[v].spec, "", parts[v].without, HEED_F32, 1, v};
        char axes[80];
        call c;
        heed_tensor out[ORACLE_PORTS];
        heed_error e = {0};
        uint64_t after[2];
        snprintf(axes, sizeof axes, "B=1,T=2400,%s", parts[v].axes);
        how.axes = axes;
        call_make(&c, &how);
        heed_instance *i = call_open(&c, NULL, 1);
        heed_sequence *s = heed_sequence_new(i, c.oracle.axis, NULL);
        outputs_make(&c, out);
        for (int64_t t = 0; t < 2400; t += 100) {
            feed(&c, i, &s, t, 100, out);
            if (t == 1100 || t == 2300) after[t == 2300] = heed_sequence_bytes(s);
        }
        if (after[1] > after[0] * 5 / 4) fail_msg("%s: %d bytes, then %d", how.spec, (int)after[0], (int)after[1]);
        assert_int_equal(heed_sequence_truncate(s, 700, &e), HEED_E_UNSUPPORTED);
        assert_non_null(strstr(e.text, "can not be truncated to 700"));
        assert_int_equal(heed_sequence_length(s), 2400);
        heed_sequence_free(s);
        heed_instance_close(i);
        outputs_free(out);
        call_free(&c);
    }
}

/* A chunk as long as the text: the gated attention unit with n = c. */
static void test_one_chunk(void **state)
{
    call c, u;
    heed_tensor x[ORACLE_PORTS], y[ORACLE_PORTS];
    (void)state;
    call_case how = {"attention/flash_linear(causal=true, chunk=128)", "B=2,T=128,H=2,D=16,E=24", "key_lengths", HEED_F32, 1, 3};
    call_case unit = {"attention/gau(causal=true, length=128)", how.axes, "key_lengths,documents", HEED_F32, 1, 3};
    call_make(&c, &how), call_make(&u, &unit);
    static const char *const same[] = {"q", "v", "gate"};
    for (int p = 0; p < 3; p++) tensor_copy(&u.plain[call_port(&u, same[p])], &c.plain[call_port(&c, same[p])]);
    static const char *const weights[] = {"q_gain", "q_offset", "k_gain", "k_offset"};
    for (int p = 0; p < 4; p++)
        if (c.plain[call_port(&c, weights[p])].data && u.plain[call_port(&u, weights[p])].data)
            tensor_copy(&u.plain[call_port(&u, weights[p])], &c.plain[call_port(&c, weights[p])]);
    call_run(&c, NULL, 1, PLAIN, x);
    call_run(&u, NULL, 1, PLAIN, y);
    if (!tensors_equal(&x[call_port(&c, "out")], &y[call_port(&u, "out")])) fail_msg("one chunk is no gated attention unit");
    outputs_free(x), outputs_free(y);
    call_free(&c), call_free(&u);
}

/* ---- refusals ---- */

static void test_refusals(void **state)
{
    static const struct { const char *spec, *axes, *without, *why; } cases[] = {
        {"attention/linformer(causal=true)", "B=1,T=4,S=4,H=1,G=1,D=4,E=4,J=2,C=4,W=1", "", "every slot mixes all positions"},
        {"attention/linformer", "B=1,T=4,S=5,H=1,G=1,D=4,E=4,J=2,C=4,W=1", "", "the tables have positions for 4"},
        {"attention/linformer", "B=1,T=4,S=4,H=6,G=3,D=4,E=4,J=2,C=4,W=2", "", "one would be for all"},
        {"attention/linformer(scale=0)", "B=1,T=4,S=4,H=1,G=1,D=4,E=4,J=2,C=4,W=1", "", "scale is 0"},
        {"attention/dynamic_conv", "B=1,T=4,H=1,E=4,K=3", "taps,generator,generator_offset", "generator is missing"},
        {"attention/dynamic_conv", "B=1,T=4,H=1,E=4,K=3", "+taps,+generator", "leave one out"},
        {"attention/dynamic_conv", "B=1,T=4,H=1,E=4,K=3", "+taps,generator,+generator_offset", "without a generator"},
        {"attention/lightweight_conv", "B=1,T=4,H=1,E=4,K=0", "", "there are no taps"},
    };
    (void)state;
    for (size_t k = 0; k < COUNT(cases); k++) {
        call_case how = {cases[k].spec, cases[k].axes, cases[k].without, HEED_F32, 1, k};
        call c;
        heed_error e = {0};
        heed_tensor by_port[ORACLE_PORTS], out[ORACLE_PORTS];
        call_make(&c, &how);
        memcpy(by_port, c.plain, sizeof by_port);
        outputs_make(&c, out);
        by_port[call_port(&c, "out")] = out[call_port(&c, "out")];
        heed_instance *i = call_try(&c, NULL, 1, by_port, &e);
        if (i) call_with(&c, i, by_port, NULL, &e);
        if (!strstr(e.text, cases[k].why)) fail_msg("%s [%s]: \"%s\", not: %s", cases[k].spec, cases[k].axes, e.text, cases[k].why);
        heed_instance_close(i);
        outputs_free(out);
        call_free(&c);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_golden), cmocka_unit_test(test_golden_chunks), cmocka_unit_test(test_identity),
        cmocka_unit_test(test_shift), cmocka_unit_test(test_phases), cmocka_unit_test(test_bounded),
        cmocka_unit_test(test_one_chunk), cmocka_unit_test(test_refusals),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    harness_end();
    return failed;
}
