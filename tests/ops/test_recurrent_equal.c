/* SPDX-License-Identifier: MIT
 *
 * test_recurrent_equal.c: what attention in linear time is equal to: golden values, one op in terms
 * of another, the delta rule's promises, documents behind gates of -inf, a Performer's features and
 * their error; and bad input.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "lib/variant.h"
#include "base/saved.h"
#include "op/sequence_saved.h"

#define CASE(SPEC, AXES, WITH)                                                                     \
    (call_case) { .spec = SPEC, .axes = AXES, .without = "key_lengths" WITH, .seed = 3 }

static heed_error e;
static int64_t axis(const call *c, char letter) { return c->oracle.axis[letter - 'A']; }
static const heed_tensor *plain(const call *c, const char *port)
{
    return &c->plain[call_port(c, port)];
}
static void put(const call *c, const char *port, int64_t i, double x)
{
    tensor_put(plain(c, port), i, x);
}

/* ---- golden values, where Q, K and V are streams 1, 2 and 3; and what is refused ---- */

#define FOUR "B=1,T=4,S=4,H=1,G=1,D=4,E=4"
#define QKV "q:1 k:2 v:3"
static const variant_row rows[] = {
    {GOLDEN, "attention/linear(causal=true)", FOUR, "key_lengths", .fill = QKV, .row = 3,
     .right = {0.085858, -0.007508, 0.242532, 0.333381}},
    {GOLDEN, "attention/linear(causal=true)", FOUR, "key_lengths", .fill = QKV, .row = 0,
     .right = {0.958296, -0.774323, 0.017438, 0.511750}},
    {GOLDEN, "attention/fast_weight(features=elu, causal=true)", FOUR, "key_lengths,+beta",
     .fill = QKV " beta:5", .row = 3, .right = {-0.040759, 0.069150, 0.128410, 0.164784}},
    {GOLDEN, "attention/fast_weight(features=identity, sum_normalise=false, rule=sum, causal=true)",
     FOUR, "key_lengths", .fill = QKV, .row = 3,
     .right = {0.181987, -0.214698, 0.338441, 0.595608}},
    {GOLDEN, "attention/performer(features=4, causal=true)", FOUR ",P=4", "key_lengths,+projection",
     .fill = QKV " projection:4", .row = 3, .right = {0.203375, -0.083834, 0.187459, 0.384485}},
    {GOLDEN, "attention/performer(features=4, kernel=hyperbolic, causal=true)", FOUR ",P=4",
     "key_lengths,+projection", .fill = QKV " projection:4", .row = 3,
     .right = {0.203351, -0.047613, 0.146105, 0.342105}},
    {GOLDEN, "attention/linformer", FOUR ",J=2,C=4,W=1", "key_lengths,+f", .fill = QKV " e:15 f:16",
     .row = 3, .right = {-0.397614, 0.411435, -0.111558, 0.407886}},
    {GOLDEN, "attention/lightweight_conv(causal=true)", "B=1,T=4,H=2,E=2,K=3", "key_lengths",
     .fill = "v:3 w:21", .row = 6, .right = {-0.477219, 0.518227, 0.553689, 0.541484}},
    /* DPFP of row 3 of K has one number that is not 0: the product of its elements 3 and 2 */
    {GOLDEN, "attention/linear(features=dpfp, normalise=false, causal=true)",
     "B=1,T=1,S=1,H=1,G=1,D=4,E=4", "key_lengths", .fill = "q:2+12 k:2+12 v=1", .row = 0,
     .right = {0.095848, 0.095848, 0.095848, 0.095848}},

    {REFUSED, "attention/linear(features=dpfp, nu=0)", .to = "nu"},
    {REFUSED, "attention/linear(features=dpfp, nu=9)", .to = "nu"},
    {REFUSED, "attention/linear(features=identity)", .to = "normalise=false"},
    {REFUSED, "attention/linear(features=identity, normalise=true)", .to = "normalise=false"},
    {REFUSED, "attention/fast_weight(nu=9)", .to = "nu"},
    {REFUSED, "attention/fast_weight(features=identity, sum_normalise=true)",
     .to = "sum_normalise"},
    {REFUSED, "attention/fast_weight(rule=product)", .to = "rule"},
    {REFUSED, "attention/performer(features=0)", .to = "features"},
    {REFUSED, "attention/performer(features=4097)", .to = "features"},
    {REFUSED, "attention/performer(kernel=cosine)", .to = "kernel"},
    {REFUSED, "attention/retention(decay=0)", .to = "decay"},
    {REFUSED, "attention/retention(tau=8)", .to = "tau is of gate=sigmoid alone"},
    {REFUSED, "attention/retention(decay=1.5)", .to = "decay"},
    {REFUSED, "attention/linformer(causal=true)", "B=1,T=4,S=4,H=1,G=1,D=4,E=4,J=3,C=8,W=1",
     "key_lengths", .to = "causal"},
    {REFUSED, "attention/flash_linear(chunk=0)", .to = "chunk"},
    {REFUSED, "attention/linear(window=8, causal=true)", .to = "window"},
    {REFUSED, "attention/gated_delta(prefix=8, causal=true)", .to = "prefix"},
    {REFUSED, "attention/linear(causal=true)", "B=1,T=4,S=4,H=3,G=2,D=4,E=4", "key_lengths",
     .to = "3"},
    {REFUSED, "attention/performer(causal=true)", "B=1,T=4,S=4,H=3,G=2,D=4,E=4,P=256",
     "key_lengths", .to = "3"},
    {REFUSED, "attention/gated_delta(causal=true)", "B=1,T=4,S=4,H=4,G=3,D=4,E=4",
     "key_lengths,+beta", .to = "4"},
    {REFUSED, "attention/gated_delta(gate=softplus, causal=true)", "B=1,T=4,S=4,H=4,G=2,D=4,E=4",
     "key_lengths,+gate", .to = "a_log"},
};

/* The oracles too are held to the golden values. */
static void oracle_golden(const call *c, int64_t at, const double right[4])
{
    call_oracle(c)->f64(&c->oracle);
    for (int i = 0; i < 4; i++) {
        const double y = c->d[call_port(c, "out")][at + i];
        if (!(fabs(y - right[i]) <= 1e-6))
            fail_msg("%s, the oracle: %d is %.7f, not %.6f", c->how->spec, i, y, right[i]);
    }
}

static void test_oracles(void **state)
{
    (void)state;
    for (size_t r = 0; r < COUNT(rows); r++) {
        if (!(rows[r].checks & GOLDEN)) continue;
        call_case how = {rows[r].spec, rows[r].axes, rows[r].without, HEED_F32, 1, 0};
        call c;
        call_make(&c, &how);
        variant_fill(&c, &rows[r]);
        call_update(&c);
        oracle_golden(&c, rows[r].row * axis(&c, 'E'), rows[r].right);
        call_free(&c);
    }
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

/* The golden chunks have q and k of their own, and neither silu nor gate. One row is asked for: its
 * queries are offsets. Channels 0 to 3 are the keys within a chunk, 4 to 7 those across; all are
 * silu(z) - 1, so are the values, and a channel of ones tells the sum of the weights, once too much
 * in all others. */
static void test_golden_flash(void **state)
{
    static const struct {
        uint32_t row;
        double right[4];
    } rows[] = {{1, {0.094374, -0.076256, 0.001717, 0.050398}},
                {3, {-1.113944, 0.081795, 0.810432, -0.242117}}};
    static const char *const gains[] = {"q_gain", "k_gain", "linear_q_gain", "linear_k_gain"};
    (void)state;
    for (size_t r = 0; r < COUNT(rows); r++) {
        const char *paths[8];
        call c;
        call_make(&c, &CASE("attention/flash_linear(chunk=2, causal=true)",
                            "B=1,T=4,S=4,H=1,G=1,D=8,E=5",
                            ",+q_gain,+q_offset,+k_gain,+k_offset,+linear_q_gain,+linear_q_offset,+"
                            "linear_k_gain,"
                            "+linear_k_offset"));
        for (uint32_t i = 0; i < 32; i++)
            put(&c, "q", i, of_silu(1 + variant_g(i % 8 < 4 ? 2 : 23, i / 8 * 4 + i % 4)));
        for (uint32_t i = 0; i < 20; i++) {
            put(&c, "v", i, of_silu(i % 5 == 4 ? 1 : 1 + variant_g(3, i / 5 * 4 + i % 5)));
            put(&c, "gate", i, of_silu(1));
        }
        for (uint32_t d = 0; d < 8; d++) {
            const uint32_t at = rows[r].row * 4 + d % 4;
            for (int g = 0; g < 4; g++) put(&c, gains[g], d, g % 2 && (d < 4) == (g < 2) ? 1 : 0);
            put(&c, "q_offset", d, d < 4 ? variant_g(1, at) : 0);
            put(&c, "linear_q_offset", d, d < 4 ? 0 : variant_g(22, at));
            put(&c, "k_offset", d, d < 4 ? -1 : 0);
            put(&c, "linear_k_offset", d, d < 4 ? 0 : -1);
        }
        call_update(&c);
        call_oracle(&c)->f64(&c.oracle);
        const double *exact = c.d[call_port(&c, "out")] + rows[r].row * 5;
        const int n = harness_paths(c.op->id, paths);
        for (int p = 0; p < n; p++) {
            heed_tensor out[ORACLE_PORTS];
            call_run(&c, paths[p], 1, PLAIN, out);
            const heed_tensor *y = &out[call_port(&c, "out")];
            for (int i = 0; i < 4; i++) {
                const int64_t at = rows[r].row * 5;
                const double got = tensor_get(y, at + i) - tensor_get(y, at + 4);
                if (fabs(exact[i] - exact[4] - rows[r].right[i]) > 2e-6 ||
                    fabs(got - rows[r].right[i]) > 2e-6)
                    fail_msg("row %u on %s is %.7f, the oracle %.7f, for %.6f", rows[r].row,
                             paths[p], got, exact[i] - exact[4], rows[r].right[i]);
            }
            outputs_free(out);
        }
        call_free(&c);
    }
}

/* ---- one op in terms of another ---- */

/* Inputs that d has too are c's; weights as well. */
static void share(const call *c, const call *d)
{
    for (uint32_t p = 0; p < d->op->ports.count; p++) {
        const heed_port *port = (const heed_port *)d->op->ports.data + p;
        if (port->role == HEED_OUTPUT || !d->plain[p].data) continue;
        for (uint32_t k = 0; k < c->op->ports.count; k++)
            if (!strcmp(c->port[k], port->name) && c->plain[k].data)
                tensor_copy(&d->plain[p], &c->plain[k]);
    }
}

/* On all paths, the outputs of two calls are no further apart than `apart` times the largest; 0:
 * they are equal. */
static void near(const call *c, const call *d, double apart)
{
    const char *paths[8];
    const int n = harness_paths(c->op->id, paths);
    for (int p = 0; p < n; p++) {
        heed_tensor x[ORACLE_PORTS], y[ORACLE_PORTS];
        double largest = 0;
        call_run(c, paths[p], 2, PLAIN, x);
        call_run(d, paths[p], 1, PLAIN, y);
        const heed_tensor *a = &x[call_port(c, "out")], *b = &y[call_port(d, "out")];
        for (int64_t i = 0; i < heed_tensor_elements(a); i++)
            largest = fmax(largest, fabs(tensor_get(a, i)));
        assert_true(largest > 0 && isfinite(largest));
        for (int64_t i = 0; i < heed_tensor_elements(a); i++)
            if (!(fabs(tensor_get(a, i) - tensor_get(b, i)) <= apart * largest))
                fail_msg("%s has %.8g in %d, %s %.8g, on %s", c->how->spec, tensor_get(a, i),
                         (int)i, d->how->spec, tensor_get(b, i), paths[p]);
        outputs_free(x), outputs_free(y);
    }
}

#define TEXT "B=2,T=70,S=70,H=4,G=2,D=20,E=17"
#define SIX ", sum_normalise=false, causal=true)"
static const struct pair {
    const char *spec, *other, *axes, *with, *other_with;
    double apart; /* of the largest output */
    float size;
} pairs[] = {
    /* the sum rule is linear attention without its normaliser */
    {"attention/fast_weight(rule=sum, features=elu" SIX,
     "attention/linear(normalise=false, causal=true)", TEXT, "", "", 5e-6, 1},
    {"attention/fast_weight(rule=sum, features=relu" SIX,
     "attention/linear(features=relu, normalise=false, causal=true)", TEXT, "", "", 5e-6, 1},
    {"attention/fast_weight(rule=sum, features=dpfp, nu=3" SIX,
     "attention/linear(features=dpfp, nu=3, normalise=false, causal=true)", TEXT, "", "", 5e-6, 1},
    {"attention/fast_weight(rule=sum, features=identity" SIX,
     "attention/retention(decay=1, scale=1, causal=true)", TEXT, "", "", 5e-6, 1},
    /* the delta rule is the gated one without a gate */
    {"attention/fast_weight(features=identity" SIX,
     "attention/gated_delta(normalise_qk=false, scale=1, causal=true)", TEXT, ",+beta", ",+beta",
     5e-6, 0.2f},
    /* a chunk as long as the text: the gated attention unit */
    {"attention/flash_linear(chunk=100, causal=true)", "attention/gau(length=100, causal=true)",
     "B=2,T=70,S=70,H=4,G=4,D=20,E=17", ",+k_gain", ",+k_gain", 5e-6, 1},
    /* taps that each token is given, or generates, where they are the same */
    {"attention/dynamic_conv(causal=true)", "attention/lightweight_conv(causal=true)",
     "B=2,T=70,H=3,E=17,K=5", ",+taps,+gate,+offset", ",+gate,+offset", 5e-6, 1},
};

static void test_pairs(void **state)
{
    (void)state;
    for (size_t p = 0; p < COUNT(pairs); p++) {
        char with[2][60];
        snprintf(with[0], sizeof *with, "key_lengths%s", pairs[p].with);
        snprintf(with[1], sizeof *with, "key_lengths%s", pairs[p].other_with);
        call_case how = {pairs[p].spec, pairs[p].axes, with[0], HEED_F32, pairs[p].size, p};
        call_case other = {pairs[p].other, pairs[p].axes, with[1], HEED_F32, pairs[p].size, p + 99};
        call c, d;
        call_make(&c, &how), call_make(&d, &other);
        share(&c, &d);
        if (strstr(how.spec, "dynamic"))
            for (int64_t i = 0; i < heed_tensor_elements(plain(&c, "taps")); i++)
                put(&c, "taps", i, tensor_get(plain(&d, "w"), i % (3 * 5)));
        near(&c, &d, pairs[p].apart);
        call_free(&c), call_free(&d);
    }
}

/* A query behind all keys of a causal text sees what it sees where nothing is causal. */
static void test_last(void **state)
{
    static const char *const specs[][2] = {
        {"attention/linear(causal=true)", "attention/linear"},
        {"attention/linear(features=dpfp, nu=2, causal=true)",
         "attention/linear(features=dpfp, nu=2)"},
        {"attention/performer(features=30, causal=true)", "attention/performer(features=30)"},
        {"attention/performer(kernel=relu, features=30, causal=true)",
         "attention/performer(kernel=relu, features=30)"},
    };
    (void)state;
    for (size_t s = 0; s < COUNT(specs); s++) {
        call c, d;
        heed_tensor x[ORACLE_PORTS], y[ORACLE_PORTS];
        call_make(&c, &CASE(specs[s][0], TEXT ",P=30", ",+projection"));
        call_make(&d, &CASE(specs[s][1], TEXT ",P=30", ",+projection"));
        call_run(&c, NULL, 1, PLAIN, x), call_run(&d, NULL, 2, PLAIN, y);
        const heed_tensor *a = &x[call_port(&c, "out")], *b = &y[call_port(&d, "out")];
        for (int64_t i = 69 * a->stride[1]; i < 70 * a->stride[1]; i++)
            if (!(fabs(tensor_get(a, i) - tensor_get(b, i)) <= 5e-6))
                fail_msg("%s: %g, and over all keys %g", specs[s][0], tensor_get(a, i),
                         tensor_get(b, i));
        outputs_free(x), outputs_free(y);
        call_free(&c), call_free(&d);
    }
}

/* A gate of 0 at every token gives the bits that no gate gives. */
static void test_no_gate(void **state)
{
    static const char *const specs[] = {
        "attention/gated_delta(causal=true)",
        "attention/gated_delta(normalise_qk=false, scale=2, beta=given, causal=true)"};
    (void)state;
    for (size_t s = 0; s < COUNT(specs); s++)
        for (int minus = 0; minus < 2; minus++) {
            call_case gated = CASE(specs[s], TEXT, ",+beta,+gate"),
                      plain_one = CASE(specs[s], TEXT, ",+beta");
            call c, d;
            gated.size = plain_one.size = 0.2f;
            call_make(&c, &gated), call_make(&d, &plain_one);
            variant_put(&c, "gate", minus ? -0.0 : 0.0);
            share(&c, &d);
            near(&c, &d, 0);
            call_free(&c), call_free(&d);
        }
    call c, d; /* nor is retention's own decay another than a gate of its logarithm */
    call_make(&c, &CASE("attention/retention(causal=true)", TEXT, ",+gate"));
    call_make(&d, &CASE("attention/retention(decay=0.75, causal=true)", TEXT, ""));
    variant_put(&c, "gate", log(0.75));
    share(&c, &d);
    near(&c, &d, 2e-5);
    call_free(&c), call_free(&d);
}

/* Nothing is written with a strength of 0. */
static void test_no_strength(void **state)
{
    static const char *const specs[] = {"attention/fast_weight(beta=given, causal=true)",
                                        "attention/fast_weight(rule=sum, features=identity, "
                                        "sum_normalise=false, beta=given, causal=true)",
                                        "attention/gated_delta(beta=given, causal=true)"};
    (void)state;
    for (size_t s = 0; s < COUNT(specs); s++) {
        const char *paths[8];
        call c;
        call_make(&c, &CASE(specs[s], TEXT, ",+beta,+gate"));
        variant_put(&c, "beta", 0);
        const int n = harness_paths(c.op->id, paths);
        for (int p = 0; p < n; p++) {
            heed_tensor out[ORACLE_PORTS];
            call_run(&c, paths[p], 1, PLAIN, out);
            const heed_tensor *y = &out[call_port(&c, "out")];
            for (int64_t i = 0; i < heed_tensor_elements(y); i++)
                assert_true(tensor_get(y, i) == 0);
            outputs_free(out);
        }
        call_free(&c);
    }
}

/* ---- the delta rule: 48 orthonormal keys of width 48, a third of them written again ---- */

enum { KEYS = 48, AGAIN = 16 };
static const char *const rules[] = {
    "attention/fast_weight(features=identity, sum_normalise=false, causal=true)",
    "attention/gated_delta(scale=1, causal=true)",
    "attention/gated_delta(scale=1, normalise_qk=false, causal=true)",
    "attention/fast_weight(features=identity, sum_normalise=false, rule=sum, causal=true)",
};
enum { SUM = 3 };

/* Row r of an orthonormal matrix: unit vectors, turned by a reflection. */
static double orthonormal(int64_t r, int64_t d)
{
    double length = 0, x[KEYS];
    for (int i = 0; i < KEYS; i++) x[i] = variant_g(77, (uint32_t)i), length += x[i] * x[i];
    return (r == d) - 2 * x[r] * x[d] / length;
}

/* All pairs are recalled by both rules; of keys that were written twice the delta rule has the last
 * value, and the sum rule the sum. The keys of the second round stand in other chunks than those of
 * the first. */
static void test_rewriting(void **state)
{
    enum { T = KEYS + AGAIN };
    (void)state;
    for (size_t r = 0; r < COUNT(rules); r++) {
        const char *paths[8];
        call c;
        call_make(&c, &CASE(rules[r], "B=1,T=112,S=112,H=1,G=1,D=48,E=9", ""));
        const heed_tensor *v = plain(&c, "v");
        for (int64_t t = 0; t < T + KEYS; t++)
            for (int64_t d = 0; d < KEYS;
                 d++) { /* the last 48 tokens ask, and write nothing: their keys are 0 */
                put(&c, "k", t * KEYS + d, t < T ? orthonormal(t % KEYS, d) : 0);
                put(&c, "q", t * KEYS + d, t < T ? 0 : orthonormal(t - T, d));
            }
        const int n = harness_paths(c.op->id, paths);
        for (int p = 0; p < n; p++) {
            heed_tensor out[ORACLE_PORTS];
            call_run(&c, paths[p], 1, PLAIN, out);
            for (int64_t i = 0; i < KEYS * 9; i++) {
                const double first = tensor_get(v, i),
                             last = i < AGAIN * 9 ? tensor_get(v, KEYS * 9 + i) : first;
                const double right = i >= AGAIN * 9 || r != SUM ? last : first + last;
                const double y = tensor_get(&out[call_port(&c, "out")], T * 9 + i);
                if (!(fabs(y - right) <= 1e-5))
                    fail_msg("%s on %s: key %d gives %g, not %g", rules[r], paths[p], (int)(i / 9),
                             y, right);
            }
            outputs_free(out);
        }
        call_free(&c);
    }
}

/* With orthonormal keys and a strength of 1 the two rules are one, at each token. */
static void test_orthonormal(void **state)
{
    (void)state;
    for (size_t r = 0; r < SUM; r++) {
        call c, d;
        call_make(&c, &CASE(rules[r], "B=1,T=48,S=48,H=1,G=1,D=48,E=9", ""));
        call_make(&d, &CASE(rules[SUM], "B=1,T=48,S=48,H=1,G=1,D=48,E=9", ""));
        for (int64_t i = 0; i < KEYS * KEYS; i++) {
            const double x = orthonormal(i / KEYS, i % KEYS),
                         y = orthonormal((i / KEYS * 7 + 5) % KEYS, i % KEYS);
            put(&c, "k", i, x), put(&d, "k", i, x);
            put(&c, "q", i, y), put(&d, "q", i, y); /* of length 1 too */
        }
        near(&c, &d, 5e-6);
        call_free(&c), call_free(&d);
    }
}

/* ---- documents: a gate of -inf at the first token of each forgets those before ---- */

static void documents_of(const char *spec, const char *with, const int *first, int n)
{
    enum { T = 130 };
    const char *paths[8];
    call c;
    call_make(&c, &CASE(spec, "B=1,T=130,S=130,H=2,G=1,D=9,E=20", ""));
    call_free(&c);
    call_case how = {spec, "B=1,T=130,S=130,H=2,G=1,D=9,E=20", with, HEED_F32, 1, 4};
    call_make(&c, &how);
    for (int k = 1; k < n; k++) put(&c, "gate", first[k], -INFINITY);
    call_update(&c);
    const int n_paths = harness_paths(c.op->id, paths);
    for (int p = 0; p < n_paths; p++) {
        heed_tensor whole[ORACLE_PORTS], out[ORACLE_PORTS];
        call_run(&c, paths[p], 1, PLAIN, whole);
        const double ratio = call_judge(&c, whole);
        if (!(ratio <= 1))
            fail_msg("%s with gates of -inf: the error is %.3g of its bound", spec, ratio);
        const heed_tensor *y = &whole[call_port(&c, "out")];
        for (int k = 0; k < n; k++) { /* alone */
            const int64_t end = k + 1 < n ? first[k + 1] : T, length = end - first[k];
            char axes[100];
            call d;
            snprintf(axes, sizeof axes, "B=1,T=%d,S=%d,H=2,G=1,D=9,E=20", (int)length, (int)length);
            call_case alone = {spec, axes, with, HEED_F32, 1, 5};
            call_make(&d, &alone);
            for (uint32_t i = 0; i < d.op->ports.count; i++)
                if (((const heed_port *)d.op->ports.data)[i].role == HEED_INPUT &&
                    d.plain[i].data) {
                    const heed_tensor from = tensor_slice(&c.plain[i], 1, first[k], length);
                    tensor_copy(&d.plain[i], &from);
                }
            call_update(&d);
            call_run(&d, paths[p], 1, PLAIN, out);
            const heed_tensor *x = &out[call_port(&d, "out")];
            for (int64_t i = 0; i < heed_tensor_elements(x); i++) {
                const double a = tensor_get(y, first[k] * y->stride[1] + i), b = tensor_get(x, i);
                if (!(fabs(a - b) <= 5e-6 * (1 + fabs(b))))
                    fail_msg("%s on %s: token %d of the document at %d has %.8g among others, %.8g "
                             "alone",
                             spec, paths[p], (int)(i / y->stride[1]), first[k], a, b);
            }
            outputs_free(out);
            call_free(&d);
        }
        for (int k = 0; k < n;
             k++) /* NaN, infinite and long numbers in one of them leave the others' bits */
            for (int bad = 0; bad < 4; bad++) {
                const int64_t end = k + 1 < n ? first[k + 1] : T;
                static const double numbers[] = {NAN, INFINITY, 1e30, -3e38};
                static const char *const where[] = {"q", "k", "v"};
                call d;
                call_make(&d, &how);
                for (int i = 1; i < n; i++) put(&d, "gate", first[i], -INFINITY);
                for (size_t w = 0; w < COUNT(where); w++) {
                    const int64_t token = plain(&d, where[w])->stride[1];
                    for (int64_t i = first[k] * token; i < end * token; i += 5)
                        put(&d, where[w], i, numbers[bad]);
                }
                if (bad == 0 && strstr(with, "beta")) put(&d, "beta", first[k], NAN);
                call_run(&d, paths[p], 1, PLAIN, out);
                const heed_tensor *x = &out[call_port(&d, "out")];
                for (int64_t i = 0; i < heed_tensor_elements(x); i++) {
                    const int64_t t = i / x->stride[1];
                    if ((t < first[k] || t >= end) && tensor_get(x, i) != tensor_get(y, i))
                        fail_msg("%s on %s: a %g in the document at %d makes %g of token %d's %g",
                                 spec, paths[p], numbers[bad], first[k], tensor_get(x, i), (int)t,
                                 tensor_get(y, i));
                }
                outputs_free(out);
                call_free(&d);
            }
        outputs_free(whole);
    }
    call_free(&c);
}

static void test_documents(void **state)
{
    static const int first[][5] = {{0, 13, 50, 70, 71}, {0, 32, 64, 65, 100}, {0, 1, 2, 31, 96}};
    (void)state;
    for (size_t f = 0; f < COUNT(first); f++) {
        documents_of("attention/gated_delta(causal=true)", "key_lengths,+gate,+beta", first[f], 5);
        documents_of("attention/retention(causal=true)", "key_lengths,+gate", first[f], 5);
    }
}

/* ---- a Performer's own features ---- */

/* With queries = keys = +- the unit vectors, very long, relu's kernel K is known by its rows but
 * for a factor of each, which is known by its symmetry: sum_r relu(w_r x) relu(w_r y). Then K(x, y)
 * - K(x, -y) - K(-x, y) + K(-x, -y) = sum_r (w_r x) (w_r y): the Gram matrix W^T W of the features'
 * columns, but for one factor. [D D] in `gram`. */
static void gram_of(const char *settings, int m, int D, double *gram)
{
    enum { MOST = 64 };
    static double k[2 * MOST][2 * MOST], factor[2 * MOST];
    const int n = 2 * D;
    char spec[120], axes[100];
    heed_tensor out[ORACLE_PORTS];
    call c;
    snprintf(spec, sizeof spec, "attention/performer(kernel=relu, features=%d%s)", m, settings);
    snprintf(axes, sizeof axes, "B=1,T=%d,S=%d,H=1,G=1,D=%d,E=%d,P=%d", n, n, D, n, m);
    call_case how = {spec, axes, "key_lengths", HEED_F32, 1, 1};
    call_make(&c, &how);
    for (int64_t i = 0; i < n; i++) {
        for (int64_t d = 0; d < D; d++) {
            const double x = i % D == d ? (i < D ? 1e8 : -1e8) : 0;
            put(&c, "q", i * D + d, x), put(&c, "k", i * D + d, x);
        }
        for (int64_t j = 0; j < n; j++) put(&c, "v", i * n + j, i == j);
    }
    call_run(&c, NULL, 1, PLAIN, out);
    for (int i = 0; i < n; i++)
        for (int j = 0; j < n; j++) k[i][j] = tensor_get(&out[call_port(&c, "out")], i * n + j);
    for (int i = 0; i < n; i++) { /* by way of the largest that both have to do with */
        int by = 0;
        factor[i] = 1;
        if (i == 0) continue;
        for (int j = 1; j < n; j++)
            if (j != i && fmin(k[0][j], k[j][i]) > fmin(k[0][by], k[by][i])) by = j;
        factor[i] = k[0][by] / k[by][0] * k[by][i] / k[i][by];
    }
    for (int x = 0; x < D; x++)
        for (int y = 0; y < D; y++)
            gram[x * D + y] = factor[x] * (k[x][y] - k[x][y + D]) -
                              factor[x + D] * (k[x + D][y] - k[x + D][y + D]);
    outputs_free(out);
    call_free(&c);
}

/* Rows of a block are orthogonal: of scaling=sqrt, W^T W is that many times the identity where
 * blocks are whole, and a projection where there are fewer rows than columns. */
static void test_orthogonal_features(void **state)
{
    enum { D = 24 };
    static const int rows[] = {D, 3 * D, D / 2};
    static const char *const draws[] = {", scaling=sqrt", ", scaling=sqrt, seed=7",
                                        ", scaling=sqrt, redraw=3"};
    static double gram[3][D * D];
    (void)state;
    for (size_t r = 0; r < COUNT(rows); r++)
        for (size_t d = 0; d < COUNT(draws); d++) {
            double *g = gram[d], trace = 0;
            gram_of(draws[d], rows[r], D, g);
            for (int i = 0; i < D; i++) trace += g[i * D + i];
            for (int i = 0; i < D * D; i++) g[i] *= fmin(rows[r], D) / trace;
            for (int x = 0; x < D; x++)
                for (int y = 0; y < D; y++) {
                    double right = x == y;
                    for (int i = 0; i < D && rows[r] < D; i++)
                        right = (i ? right : 0) +
                                g[x * D + i] * g[i * D + y]; /* a projection is its own square */
                    if (!(fabs(g[x * D + y] - right) <= 4e-6))
                        fail_msg("%d rows%s: %g in place of %g at %d %d", rows[r], draws[d],
                                 g[x * D + y], right, x, y);
                }
            for (size_t other = 0; other < d && rows[r] < D; other++)
                if (fabs(gram[other][1] - g[1]) < 1e-5)
                    fail_msg("%s and%s are one draw", draws[other], draws[d]);
        }
}

/* The error of the features: its mean square falls as 1/m, over redraws, in all three kernels'
 * scalings of softmax. */
static void test_error(void **state)
{
    static const char *const kinds[] = {"", ", scaling=sqrt", ", kernel=hyperbolic"};
    enum { LEAST = 16, MOST = 1024, DRAWS = 12 };
    (void)state;
    if (harness_quick()) return;
    for (size_t k = 0; k < COUNT(kinds); k++) {
        heed_tensor right[ORACLE_PORTS], out[ORACLE_PORTS];
        double error[2] = {0};
        call d;
        call_case softmax = {"attention/softmax",
                             "B=2,T=24,S=24,H=4,G=4,D=16,E=16",
                             "key_lengths,lse",
                             HEED_F32,
                             0.35f,
                             9};
        call_make(&d, &softmax);
        call_run(&d, NULL, 1, PLAIN, right);
        for (int end = 0; end < 2; end++)
            for (int draw = 0; draw < DRAWS; draw++) {
                char spec[120], axes[80];
                call c;
                const int m = end ? MOST : LEAST;
                snprintf(spec, sizeof spec, "attention/performer(features=%d, redraw=%d%s)", m,
                         draw, kinds[k]);
                snprintf(axes, sizeof axes, "B=2,T=24,S=24,H=4,G=4,D=16,E=16,P=%d", m);
                call_case how = {spec, axes, "key_lengths", HEED_F32, 0.35f, 9};
                call_make(&c, &how);
                share(&d, &c);
                call_run(&c, NULL, 2, PLAIN, out);
                const heed_tensor *x = &out[call_port(&c, "out")],
                                  *y = &right[call_port(&d, "out")];
                for (int64_t i = 0; i < heed_tensor_elements(x); i++)
                    error[end] += pow(tensor_get(x, i) - tensor_get(y, i), 2) / DRAWS;
                outputs_free(out);
                call_free(&c);
            }
        const double slope = log(error[1] / error[0]) / log((double)MOST / LEAST);
        if (!(fabs(slope + 1) <= 0.2))
            fail_msg("performer%s: mean square error %g at m = %d, %g at %d: slope %.3f", kinds[k],
                     error[0], LEAST, error[1], MOST, slope);
        outputs_free(right);
        call_free(&d);
    }
}

/* ---- bad input ---- */

/* A strength or a gate of another shape than the keys: the port is named. */
static void test_strength_shapes(void **state)
{
    static const char *const specs[] = {
        "attention/fast_weight(causal=true)", "attention/gated_delta(causal=true)",
        "attention/gated_delta(causal=true)", "attention/retention(causal=true)"};
    static const char *const ports[] = {"beta", "beta", "gate", "gate"};
    (void)state;
    for (size_t s = 0; s < COUNT(specs); s++)
        for (int wrong = 0; wrong < 3; wrong++) {
            heed_tensor by_port[ORACLE_PORTS], out[ORACLE_PORTS];
            heed_error told = {0};
            call c;
            call_make(&c, &CASE(specs[s], "B=2,T=12,S=12,H=4,G=2,D=4,E=4", ",+beta,+gate"));
            outputs_make(&c, out);
            for (int p = 0; p < ORACLE_PORTS; p++) by_port[p] = out[p].data ? out[p] : c.plain[p];
            heed_tensor *t = &by_port[call_port(&c, ports[s])];
            t->dim[wrong]--;
            heed_instance *i = call_open(&c, NULL, 1);
            if (!call_with(&c, i, by_port, NULL, &told) || !strstr(told.text, ports[s]))
                fail_msg("%s: axis %d of %s: \"%s\"", specs[s], wrong, ports[s], told.text);
            heed_instance_close(i);
            outputs_free(out);
            call_free(&c);
        }
}

/* States are taken from the same op with the same settings of what they hold, and from no other. */
static const struct stranger {
    const char *spec, *other, *axes, *says;
} strangers[] = {
    {"attention/linear(causal=true)", "attention/gated_delta(causal=true)", TEXT,
     "attention/linear"},
    {"attention/gated_delta(causal=true)", "attention/fast_weight(causal=true)", TEXT,
     "attention/gated_delta"},
    {"attention/linear(features=dpfp, nu=2, causal=true)",
     "attention/linear(features=dpfp, nu=3, causal=true)", TEXT, ""},
    {"attention/performer(features=16, causal=true)",
     "attention/performer(features=32, causal=true)", TEXT, ""},
    {"attention/flash_linear(chunk=16, causal=true)",
     "attention/flash_linear(chunk=32, causal=true)", "B=2,T=70,S=70,H=4,G=4,D=20,E=17", ""},
    {"attention/lightweight_conv(causal=true)", "attention/dynamic_conv(causal=true)",
     "B=2,T=70,H=4,G=4,D=1,E=17,K=3", "attention/lightweight_conv"},
};

static void test_strangers(void **state)
{
    (void)state;
    for (size_t k = 0; k < COUNT(strangers); k++) {
        const struct stranger *is = &strangers[k];
        heed_tensor by_port[ORACLE_PORTS], out[ORACLE_PORTS];
        call c, d;
        call_make(&c, &CASE(is->spec, is->axes, ",+generator")),
            call_make(&d, &CASE(is->other, is->axes, ",+generator"));
        heed_instance *i = call_open(&c, NULL, 1), *other = call_open(&d, NULL, 1);
        heed_sequence *s[2];
        for (int b = 0; b < 2; b++)
            if (!(s[b] = heed_sequence_new(i, c.oracle.axis, &e))) fail_msg("%s", e.text);
        outputs_make(&c, out);
        for (int p = 0; p < ORACLE_PORTS; p++) by_port[p] = out[p].data ? out[p] : c.plain[p];
        if (call_with(&c, i, by_port, s, &e)) fail_msg("%s: %s", is->spec, e.text);
        outputs_free(out);
        outputs_make(&d, out);
        for (int p = 0; p < ORACLE_PORTS; p++) by_port[p] = out[p].data ? out[p] : d.plain[p];
        if (!call_with(&d, other, by_port, s, &e) || !strstr(e.text, is->says))
            fail_msg("%s goes on with the state of %s: \"%s\"", is->other, is->spec, e.text);
        const int64_t bytes = heed_sequence_save(s[0], NULL, 0, &e);
        saved_sequence *blob = malloc((size_t)bytes);
        assert_int_equal(heed_sequence_save(s[0], blob, (uint64_t)bytes, &e), bytes);
        if (heed_sequence_load(other, d.oracle.axis, blob, (uint64_t)bytes, &e) ||
            !strstr(e.text, is->says))
            fail_msg("%s loads the state of %s: \"%s\"", is->other, is->spec, e.text);
        char *last = blob->format + strlen(blob->format) - 1; /* the number of a chunk, perhaps */
        *last = (char)(*last == '7' ? '8' : '7');
        saved_seal(blob, (uint64_t)bytes);
        if (heed_sequence_load(i, c.oracle.axis, blob, (uint64_t)bytes, &e) ||
            !strstr(e.text, "format"))
            fail_msg("%s loads a state of format %s: \"%s\"", is->spec, blob->format, e.text);
        free(blob);
        for (int b = 0; b < 2; b++) heed_sequence_free(s[b]);
        heed_instance_close(i), heed_instance_close(other);
        outputs_free(out);
        call_free(&c), call_free(&d);
    }
}

/* Pages of any bytes whatever crash nothing. */
static void test_any_bytes(void **state)
{
    static const char *const specs[] = {
        "attention/linear(causal=true)", "attention/fast_weight(causal=true)",
        "attention/gated_delta(causal=true)", "attention/retention(causal=true)",
        "attention/performer(features=40, causal=true)"};
    uint64_t seed = 4;
    (void)state;
    for (size_t k = 0; k < COUNT(specs); k++) {
        heed_tensor by_port[ORACLE_PORTS], out[ORACLE_PORTS];
        heed_sequence *s;
        call c;
        call_make(&c, &CASE(specs[k], "B=1,T=37,S=37,H=2,G=1,D=6,E=7,P=40", ""));
        heed_instance *i = call_open(&c, NULL, 2);
        assert_non_null(s = heed_sequence_new(i, c.oracle.axis, &e));
        outputs_make(&c, out);
        for (int p = 0; p < ORACLE_PORTS; p++) by_port[p] = out[p].data ? out[p] : c.plain[p];
        if (call_with(&c, i, by_port, &s, &e)) fail_msg("%s: %s", specs[k], e.text);
        const int64_t bytes = heed_sequence_save(s, NULL, 0, &e);
        unsigned char *blob = malloc((size_t)bytes);
        assert_int_equal(heed_sequence_save(s, blob, (uint64_t)bytes, &e), bytes);
        for (int turn = 0; turn < 20; turn++) {
            for (int64_t at = (int64_t)sizeof(saved_sequence); at < bytes - 8; at++)
                blob[at] = turn ? (unsigned char)harness_random(&seed) : 0xff;
            saved_seal(blob, (uint64_t)bytes);
            heed_sequence *any =
                heed_sequence_load(i, c.oracle.axis, blob, (uint64_t)bytes, &e);
            if (!any) fail_msg("%s: %s", specs[k], e.text);
            if (call_with(&c, i, by_port, &any, &e)) assert_true(e.text[0] != 0);
            heed_sequence_free(any);
        }
        free(blob);
        heed_sequence_free(s);
        heed_instance_close(i);
        outputs_free(out);
        call_free(&c);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_oracles),   cmocka_unit_test(test_golden_flash),
        cmocka_unit_test(test_pairs),     cmocka_unit_test(test_last),
        cmocka_unit_test(test_no_gate),   cmocka_unit_test(test_no_strength),
        cmocka_unit_test(test_rewriting), cmocka_unit_test(test_orthonormal),
        cmocka_unit_test(test_documents), cmocka_unit_test(test_orthogonal_features),
        cmocka_unit_test(test_error),     cmocka_unit_test(test_strength_shapes),
        cmocka_unit_test(test_strangers), cmocka_unit_test(test_any_bytes),
    };
    return variant_main(rows, COUNT(rows), tests, COUNT(tests));
}
