/* SPDX-License-Identifier: MIT
 *
 * test_synthesizer.c: attention whose weights are made in other ways than softmax(q k): the synthesizers, and the
 * gated unit. Each against its oracle on the shapes that hurt, with equal bits on every path, in every form of a call;
 * causality, NaNs, golden values; identities between members of the family; and bad input.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "lib/harness.h"

#define COUNT(array) (sizeof(array) / sizeof *(array))
#define OP(name) "attention/synthesizer_" name

static const uint32_t thread_counts[] = {1, 2, 3, 7};

/* The family. `with`: weights that are optional and belong to it; `axes`: its own, besides C, the longest sequence. */
static const struct member {
    const char *id, *with, *axes;
    int by_position; /* a query's logits follow from its position */
    int gated;       /* no synthesizer: any length, a head of values for each head, and no position op */
} members[] = {
    {OP("random"), "+table", "", 1, 0},
    {OP("factorized_random"), "+rows,+columns", "J=7", 1, 0},
    {OP("dense"), "+offset", "W=H", 0, 0},
    {OP("dense"), "", "W=1", 0, 0},
    {OP("factorized_dense"), "", "W=H,A=16", 0, 0},
    {OP("factorized_dense"), "", "W=1,A=5", 0, 0},
    {"attention/gau", "", "", 0, 1},
    {"attention/gau", "+q_gain,+q_offset,+k_gain,+k_offset", "", 0, 1},
};

static const char *format(char *to, size_t size, const char *form, ...) __attribute__((format(printf, 3, 4)));
static const char *format(char *to, size_t size, const char *form, ...)
{
    va_list list;
    va_start(list, form);
    vsnprintf(to, size, form, list);
    va_end(list);
    return to;
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

/* A case of a member: its texts live in `text`. */
static call_case case_of(const struct member *m, char (*text)[300], const char *settings, const char *without, int B,
                         int T, int H, int G, int D, int E, int longest, uint32_t dtype, float size, uint64_t seed)
{
    const char *a = strstr(m->axes, "A=");
    const int run = a ? atoi(a + 2) : 1, all_heads = strstr(m->axes, "W=1") != NULL;
    if (m->gated) G = H;
    if (m->gated && strstr(settings, "position")) settings = "(causal=true, scale=width)";
    format(text[0], sizeof *text, "%s%s", m->id, settings);
    format(text[1], sizeof *text, "B=%d,T=%d,H=%d,G=%d,D=%d,E=%d,C=%d,W=%d,J=7,A=%d,U=%d", B, T, H, G, D, E, longest,
           all_heads ? 1 : H, run, (longest + run - 1) / run);
    format(text[2], sizeof *text, "%s,%s", m->with, without);
    return (call_case){text[0], text[1], text[2], dtype, size, seed};
}

/* Oracle bound on the scalar path, equal bits everywhere else. */
static void check(const call_case *how)
{
    call c;
    const char *paths[8];
    heed_tensor first[ORACLE_PORTS], other[ORACLE_PORTS];
    call_make(&c, how);
    int n = harness_paths(c.op->id, paths);
    call_run(&c, paths[0], 1, PLAIN, first);
    within_bound(&c, first, "whole");
    for (int p = 0; p < n; p++)
        for (int layout = 0; layout < LAYOUTS; layout++) { /* thread counts in turn: test_batch has all of them */
            const size_t t = ((size_t)(p + layout) + how->seed) % COUNT(thread_counts);
            call_run(&c, paths[p], thread_counts[t], layout, other);
            same_bits(&c, first, other, paths[p]);
            outputs_free(other);
        }
    outputs_free(first);
    call_free(&c);
}

static const char *const settings[] = {
    "",
    "(causal=true)",
    "(causal=bottom_right)",
    "(causal=true, window=20:3, sinks=2)",
    "(causal=true, prefix=19)",
    "(position=alibi, causal=true)",
};

static void test_shapes(void **state)
{
    static const struct { int B, T, H, G, D, E; } shapes[] = {
        {1, 1, 1, 1, 1, 1},    {1, 17, 2, 1, 16, 16},  {2, 3, 4, 2, 15, 17}, {1, 65, 3, 3, 33, 31}, {1, 0, 2, 2, 8, 8},
        {1, 127, 2, 2, 8, 65}, {3, 15, 6, 2, 2, 1},    {1, 49, 5, 5, 17, 127}, {0, 4, 1, 1, 4, 4},
        {1, 300, 2, 2, 20, 64},
        {1, 97, 1, 1, 64, 40}, {2, 193, 4, 2, 24, 16},
    };
    char text[3][300];
    (void)state;
    for (size_t m = 0; m < COUNT(members); m++)
        for (size_t i = 0; i < COUNT(shapes); i++)
            for (size_t s = (i + m) % 3; s < COUNT(settings); s += 3) {
                if (harness_quick() ? harness_skips(i + m + s, 5) : (int)(i + s) % 2) continue;
                const int T = shapes[i].T, longest = T + (int)(i % 3) * 7 + !T;
                uint32_t dtype = s % 3 ? HEED_F32 : i % 2 ? HEED_F16 : HEED_BF16;
                const char *without = i % 3 == 1 ? "+documents,key_lengths" : "key_lengths";
                call_case how = case_of(&members[m], text, settings[s], without, shapes[i].B, T, shapes[i].H,
                                        shapes[i].G, shapes[i].D, shapes[i].E, longest, dtype,
                                        i % 4 == 3 && !strstr(members[m].axes, "A=") ? 4 : 1, i * 31 + s);
                check(&how);
            }
}

/* ---- forms of a call ---- */

enum { BATCH_MAX = 4 };

static void run_chunks(const call *c, const char *isa, uint32_t threads, int64_t chunk, heed_tensor out[ORACLE_PORTS])
{
    heed_error e;
    heed_sequence *s[BATCH_MAX];
    heed_instance *i = call_open(c, isa, threads);
    const int64_t B = c->oracle.axis['B' - 'A'], T = c->oracle.axis['T' - 'A'];
    for (int64_t b = 0; b < B; b++)
        if (!(s[b] = heed_sequence_new(i, c->oracle.axis, &e))) fail_msg("%s", e.text);
    outputs_make(c, out);
    for (int64_t t = 0, n; t < T; t += n) {
        heed_tensor view[ORACLE_PORTS] = {0};
        n = T - t < chunk ? T - t : chunk;
        for (uint32_t p = 0; p < c->op->ports.count; p++) {
            const heed_tensor *all = out[p].data ? &out[p] : &c->plain[p];
            const int weight = ((const heed_port *)c->op->ports.data)[p].role == HEED_WEIGHT;
            if (all->data) view[p] = weight ? *all : tensor_slice(all, 1, t, n);
        }
        if (call_with(c, i, view, s, &e))
            fail_msg("%s [%s], from token %d on: %s", c->how->spec, c->how->axes, (int)t, e.text);
    }
    for (int64_t b = 0; b < B; b++) {
        assert_int_equal(heed_sequence_length(s[b]), T);
        heed_sequence_free(s[b]);
    }
    heed_instance_close(i);
}

/* Whole, in chunks and token by token: the same bits, since a row's arithmetic is one sequence. */
static void test_forms(void **state)
{
    static const int lengths[] = {1, 95, 97, 210}, chunks[] = {1, 16, 96, 97};
    static const char *const causal[] = {"(causal=true)", "(position=alibi, causal=true)", "(causal=true, window=30)"};
    char text[3][300];
    (void)state;
    for (size_t m = 0; m < COUNT(members); m++)
        for (size_t l = 0; l < COUNT(lengths); l++) {
            call c;
            const char *paths[8];
            heed_tensor first[ORACLE_PORTS], other[ORACLE_PORTS];
            call_case how = case_of(&members[m], text, causal[l % COUNT(causal)], "key_lengths", 1 + (int)l % 2,
                                    lengths[l], 4, 2,
                                    12, 20, lengths[l] + 5, l == 3 ? HEED_F16 : HEED_F32, 1, l);
            call_make(&c, &how);
            int n = harness_paths(c.op->id, paths);
            call_run(&c, paths[0], 1, PLAIN, first);
            for (size_t k = 0; k < COUNT(chunks); k++)
                for (int p = 0; p < n; p++) {
                    const size_t turn = k + (size_t)p + l + m;
                    if (harness_quick() ? harness_skips(turn, 6) : (int)turn % 2) continue;
                    run_chunks(&c, paths[p], 1 + (uint32_t)p, chunks[k], other);
                    same_bits(&c, first, other, "in chunks");
                    outputs_free(other);
                }
            outputs_free(first);
            call_free(&c);
        }
}

/* Each row of a batch alone, at any number of threads: the bits that it has in the batch. */
static void test_batch(void **state)
{
    char text[3][300];
    (void)state;
    for (size_t m = 0; m < COUNT(members); m++) {
        call c;
        const char *paths[8];
        heed_tensor first[ORACLE_PORTS], other[ORACLE_PORTS];
        call_case how = case_of(&members[m], text, "(causal=bottom_right)", "", 3, 70, 4, 2, 9, 17, 90, HEED_F32, 1, 5);
        how.without = strcat(text[2], "key_lengths");
        call_make(&c, &how);
        int n = harness_paths(c.op->id, paths);
        call_run(&c, paths[0], 1, PLAIN, first);
        for (int p = 0; p < n; p++)
            for (size_t t = (size_t)p % 2; t < COUNT(thread_counts); t += 2) {
                heed_error e;
                heed_instance *i = call_open(&c, paths[p], thread_counts[t]);
                outputs_make(&c, other);
                for (int b = 0; b < 3; b++) {
                    heed_tensor row[ORACLE_PORTS] = {0};
                    for (uint32_t k = 0; k < c.op->ports.count; k++)
                        row[k] = ((const heed_port *)c.op->ports.data)[k].role == HEED_WEIGHT
                                     ? c.plain[k]
                                     : tensor_slice(other[k].data ? &other[k] : &c.plain[k], 0, b, 1);
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

/* ---- who sees what ---- */

/* A NaN in token j's value of head g, channel e reaches that channel, of the heads of g, of the queries from j on, and
 * leaves the bits of all other outputs. */
static void test_causality(void **state)
{
    enum { L = 126, H = 4, E = 8 };
    char text[3][300];
    uint64_t seed = 9;
    (void)state;
    for (size_t m = 0; m < COUNT(members); m++) {
        const int G = members[m].gated ? H : 2;
        call c;
        const char *paths[8];
        call_case how = case_of(&members[m], text, "(causal=true)", "key_lengths,lse", 1, L, H, G, 8, E, L, HEED_F32,
                                1, m);
        call_make(&c, &how);
        int n = harness_paths(c.op->id, paths), out = call_port(&c, "out"), v = call_port(&c, "v");
        for (int p = 0; p < n; p++) {
            heed_tensor before[ORACLE_PORTS], after[ORACLE_PORTS];
            call_run(&c, paths[p], 1, PLAIN, before);
            for (int poke = 0; poke < 4; poke++) {
                const uint64_t r = harness_random(&seed);
                const int j = (int)(r % L), g = (int)(r >> 8 & 1023) % G, e = (int)(r >> 16 & 7);
                const int at = (j * G + g) * E + e;
                const double was = tensor_get(&c.plain[v], at);
                tensor_put(&c.plain[v], at, NAN);
                if (poke % 2) run_chunks(&c, paths[p], 2, 7, after);
                else call_run(&c, paths[p], 2, PLAIN, after);
                for (int64_t i = 0; i < L * H * E; i++) {
                    const float x = ((float *)before[out].data)[i], y = ((float *)after[out].data)[i];
                    const int reached = i / E / H >= j && i / E % H / (H / G) == g && i % E == e;
                    if (reached ? !isnan(y) : memcmp(&x, &y, sizeof x) != 0)
                        fail_msg("%s: a NaN in value %d, head %d, channel %d: output %d was %g, is %g", how.spec, j, g,
                                 e, (int)i, (double)x, (double)y);
                }
                tensor_put(&c.plain[v], at, was);
                outputs_free(after);
            }
            outputs_free(before);
        }
        call_free(&c);
    }
}

/* ---- golden values: one head, T = D = E = 4, causal ---- */

/* Element i of stream s of the generator that they were made with. */
static double g(uint32_t s, uint32_t i)
{
    uint32_t h = i * 2654435761u + s * 40503u + 12345u;
    h ^= h >> 15, h *= 2246822519u, h ^= h >> 13, h *= 3266489917u, h ^= h >> 16;
    return h / 2147483648.0 - 1.0;
}
static void put(const call *c, const char *port, uint32_t stream, double factor)
{
    const heed_tensor *t = &c->plain[call_port(c, port)];
    for (int64_t i = 0; i < heed_tensor_elements(t); i++) tensor_put(t, i, factor * g(stream, (uint32_t)i));
}
static void check_golden(const call *c, const double golden[4])
{
    const char *paths[8];
    int n = harness_paths(c->op->id, paths);
    for (int p = 0; p < n; p++) {
        heed_tensor out[ORACLE_PORTS];
        call_run(c, paths[p], 1, PLAIN, out);
        for (int e = 0; e < 4; e++) {
            double y = tensor_get(&out[call_port(c, "out")], 3 * 4 + e);
            if (fabs(y - golden[e]) > 2e-6) fail_msg("%s: row 3 has %.7f for %.6f", c->how->spec, y, golden[e]);
        }
        outputs_free(out);
    }
}

static void test_golden(void **state)
{
    call c;
    (void)state;
    call_case random = {OP("random") "(causal=true)", "B=1,T=4,S=4,H=1,G=1,E=4,C=4", "+table,key_lengths", HEED_F32, 1,
                        1};
    call_make(&c, &random);
    put(&c, "v", 3, 1), put(&c, "table", 10, 1);
    check_golden(&c, (double[]){-0.003791, -0.015459, 0.335473, 0.132702});
    call_free(&c);

    call_case low = {OP("factorized_random") "(causal=true)", "B=1,T=4,S=4,H=1,G=1,E=4,C=4,J=2",
                     "+rows,+columns,key_lengths", HEED_F32, 1, 1};
    call_make(&c, &low);
    put(&c, "v", 3, 1), put(&c, "rows", 11, 1), put(&c, "columns", 12, 1);
    check_golden(&c, (double[]){-0.130048, 0.091765, 0.396983, 0.350156});
    call_free(&c);

    /* X W1 by hand; W2 is kept turned: a row for each position */
    call_case net = {OP("dense") "(causal=true)", "B=1,T=4,S=4,H=1,G=1,D=4,E=4,C=4,W=1", "key_lengths", HEED_F32, 1, 1};
    call_make(&c, &net);
    put(&c, "v", 3, 1);
    for (uint32_t i = 0; i < 16; i++) {
        double sum = 0;
        for (uint32_t k = 0; k < 4; k++) sum += g(7, i / 4 * 4 + k) * 0.5 * g(8, k * 4 + i % 4);
        tensor_put(&c.plain[call_port(&c, "q")], i, sum);
        tensor_put(&c.plain[call_port(&c, "matrix")], i, 0.5 * g(9, i % 4 * 4 + i / 4));
    }
    check_golden(&c, (double[]){0.122434, -0.003332, 0.193507, 0.316869});
    call_free(&c);

    /* The factors are linear there: x = relu(x) - relu(-x). They are X W, A of j div 2 and C of j mod 2. */
    call_case factors = {OP("factorized_dense") "(causal=true)", "B=1,T=4,S=4,H=1,G=1,D=8,E=4,W=1,A=2,U=2",
                         "key_lengths", HEED_F32, 1, 1};
    call_make(&c, &factors);
    put(&c, "v", 3, 1);
    for (uint32_t i = 0; i < 4; i++)
        for (uint32_t d = 0; d < 8; d++) {
            const double sign = d < 4 ? 1 : -1;
            tensor_put(&c.plain[call_port(&c, "q")], i * 8 + d, sign * g(7, i * 4 + d % 4));
            if (i < 2) tensor_put(&c.plain[call_port(&c, "inner")], i * 8 + d, sign * 0.5 * g(14, d % 4 * 2 + i));
            if (i < 2) tensor_put(&c.plain[call_port(&c, "outer")], i * 8 + d, sign * 0.5 * g(13, d % 4 * 2 + i));
        }
    check_golden(&c, (double[]){0.251831, -0.059344, 0.092924, 0.263627});
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

/* The golden unit has q and k of their own, and neither silu nor gate. Row 3 alone is asked for: its query is an
 * offset, keys are silu(z) - 1, values silu(x) - 1, and a channel of ones tells the sum of the weights, once too much
 * in all others. */
static void test_golden_unit(void **state)
{
    static const double golden[] = {0.015399, -0.012127, 0.005676, 0.018632};
    call c;
    const char *paths[8];
    (void)state;
    call_case how = {"attention/gau(causal=true)", "B=1,T=4,S=4,H=1,G=1,D=4,E=5",
                     "+q_gain,+q_offset,+k_offset,key_lengths", HEED_F32, 1, 1};
    call_make(&c, &how);
    for (uint32_t i = 0; i < 20; i++) {
        if (i < 16) tensor_put(&c.plain[call_port(&c, "q")], i, of_silu(g(2, i) + 1));
        tensor_put(&c.plain[call_port(&c, "v")], i, of_silu(i % 5 == 4 ? 1 : g(3, i / 5 * 4 + i % 5) + 1));
        tensor_put(&c.plain[call_port(&c, "gate")], i, of_silu(1));
    }
    for (uint32_t d = 0; d < 4; d++) {
        tensor_put(&c.plain[call_port(&c, "q_gain")], d, 0);
        tensor_put(&c.plain[call_port(&c, "q_offset")], d, g(1, 12 + d));
        tensor_put(&c.plain[call_port(&c, "k_offset")], d, -1);
    }
    int n = harness_paths(c.op->id, paths);
    for (int p = 0; p < n; p++) {
        heed_tensor out[ORACLE_PORTS];
        call_run(&c, paths[p], 1, PLAIN, out);
        const heed_tensor *y = &out[call_port(&c, "out")];
        for (int e = 0; e < 4; e++)
            if (fabs(tensor_get(y, 15 + e) - tensor_get(y, 19) - golden[e]) > 2e-6)
                fail_msg("row 3 has %.7f for %.6f", tensor_get(y, 15 + e) - tensor_get(y, 19), golden[e]);
        outputs_free(out);
    }
    call_free(&c);
}

/* length=N beside the keys that are seen: factors N^2 apart. */
static void test_unit_length(void **state)
{
    call c, d;
    heed_tensor x[ORACLE_PORTS], y[ORACLE_PORTS];
    (void)state;
    call_case seen = {"attention/gau", "B=1,T=8,S=8,H=1,G=1,D=4,E=5", "key_lengths", HEED_F32, 1, 1}, given = seen;
    given.spec = "attention/gau(length=16)";
    call_make(&c, &seen), call_make(&d, &given);
    call_run(&c, NULL, 1, PLAIN, x), call_run(&d, NULL, 1, PLAIN, y);
    for (int i = 0; i < 40; i++)
        assert_true(tensor_get(&x[call_port(&c, "out")], i) == 4 * tensor_get(&y[call_port(&d, "out")], i));
    outputs_free(x), outputs_free(y);
    call_free(&c), call_free(&d);
}

/* ---- identities ---- */

static double largest_difference(const call *a, const heed_tensor *x, const call *b, const heed_tensor *y)
{
    const heed_tensor *p = &x[call_port(a, "out")], *q = &y[call_port(b, "out")];
    double most = 0;
    for (int64_t i = 0; i < heed_tensor_elements(p); i++) most = fmax(most, fabs(tensor_get(p, i) - tensor_get(q, i)));
    return most;
}

/* A factorised member and the plain one of the product, which is formed in float64: the same but for rounding. */
static void test_products(void **state)
{
    enum { T = 130, H = 3, D = 10, E = 9, C = 144, R = 5, A = 12, U = 12 };
    static const char axes[] = "B=1,T=130,S=130,H=3,G=1,D=10,E=9,C=144,W=3,J=5,A=12,U=12";
    (void)state;
    for (int low = 0; low < 2; low++) {
        call_case how = {low ? OP("factorized_random") "(causal=true)" : OP("factorized_dense") "(causal=true)", axes,
                         low ? "+rows,+columns,key_lengths" : "key_lengths", HEED_F32, 1, 4};
        call_case of_product = {OP("random") "(causal=true)", axes, "+table,key_lengths", HEED_F32, 1, 5};
        call c, d;
        const char *paths[8];
        call_make(&c, &how), call_make(&d, &of_product);
        tensor_copy(&d.plain[call_port(&d, "v")], &c.plain[call_port(&c, "v")]);
        const heed_tensor *table = &d.plain[call_port(&d, "table")];
        for (int64_t h = 0; h < H; h++)
            for (int64_t i = 0; i < T; i++)
                for (int64_t j = 0; j < C; j++) {
                    double sum = 0, outer = 0;
                    for (int64_t r = 0; low && r < R; r++)
                        sum += tensor_get(&c.plain[call_port(&c, "rows")], (h * C + i) * R + r) *
                               tensor_get(&c.plain[call_port(&c, "columns")], (h * C + j) * R + r);
                    for (int64_t k = 0; !low && k < D; k++) {
                        const double q = fmax(0, tensor_get(&c.plain[call_port(&c, "q")], (i * H + h) * D + k));
                        sum += q * tensor_get(&c.plain[call_port(&c, "inner")], (h * A + j % A) * D + k);
                        outer += q * tensor_get(&c.plain[call_port(&c, "outer")], (h * U + j / A) * D + k);
                    }
                    tensor_put(table, (h * C + i) * C + j, low ? sum : sum * outer);
                }
        int n = harness_paths(c.op->id, paths);
        for (int p = 0; p < n; p++) {
            heed_tensor x[ORACLE_PORTS], y[ORACLE_PORTS];
            call_run(&c, paths[p], 2, PLAIN, x), call_run(&d, paths[p], 2, PLAIN, y);
            double off = largest_difference(&c, x, &d, y);
            if (!(off < 2e-5)) fail_msg("%s is %g off a table of its logits", how.spec, off);
            outputs_free(x), outputs_free(y);
        }
        call_free(&c), call_free(&d);
    }
}

/* Softmax with relu(q) for queries and the matrix for keys is the dense synthesizer, bit for bit. */
static void test_dense_is_softmax(void **state)
{
    enum { T = 133, H = 2, D = 24 };
    call_case how = {OP("dense") "(causal=true)", "B=1,T=133,S=133,H=2,G=2,D=24,E=20,C=133,W=2", "key_lengths",
                     HEED_F32, 1, 4};
    call_case plain = {"attention/softmax(causal=true, scale=1)", "B=1,T=133,S=133,H=2,G=2,D=24,E=20", "key_lengths",
                       HEED_F32, 1, 5};
    call c, d;
    const char *paths[8];
    (void)state;
    call_make(&c, &how), call_make(&d, &plain);
    tensor_copy(&d.plain[call_port(&d, "v")], &c.plain[call_port(&c, "v")]);
    for (int64_t i = 0; i < T * H * D; i++) {
        tensor_put(&d.plain[call_port(&d, "q")], i, fmax(0, tensor_get(&c.plain[call_port(&c, "q")], i)));
        const int64_t from = ((i / D % H) * T + i / D / H) * D + i % D;
        tensor_put(&d.plain[call_port(&d, "k")], i, tensor_get(&c.plain[call_port(&c, "matrix")], from));
    }
    int n = harness_paths(c.op->id, paths);
    for (int p = 0; p < n; p++) {
        heed_tensor x[ORACLE_PORTS], y[ORACLE_PORTS];
        call_run(&c, paths[p], 2, PLAIN, x), call_run(&d, paths[p], 2, PLAIN, y);
        assert_memory_equal(x[call_port(&c, "out")].data, y[call_port(&d, "out")].data, x[call_port(&c, "out")].bytes);
        outputs_free(x), outputs_free(y);
    }
    call_free(&c), call_free(&d);
}

/* ---- fixed random ---- */

/* Runs an op that needs v alone on v [1, T, 2, 5]. */
static void run_fixed(const char *spec, const char *isa, int64_t heads, float *v, float *out, int64_t T)
{
    heed_error e;
    int64_t axes[HEED_AXES];
    for (int a = 0; a < HEED_AXES; a++) axes[a] = a == 'H' - 'A' ? heads : -1;
    heed_opening opening = {.size = sizeof opening, .axes = axes, .isa = isa};
    heed_instance *i = heed_instance_open(harness_engine(2), spec, &opening, &e);
    if (!i) fail_msg("%s", e.text);
    heed_tensor tv = heed_tensor_of(v, HEED_F32, 4, (int64_t[]){1, T, 2, 5});
    heed_tensor to = heed_tensor_of(out, HEED_F32, 4, (int64_t[]){1, T, heads, 5});
    if (heed_run(i, &(heed_binding){"v", &tv}, 1, &(heed_binding){"out", &to}, 1, NULL, &e)) fail_msg("%s", e.text);
    heed_instance_close(i);
}

/* A number makes the table: the same one the same, on every path; another one another. */
static void test_fixed(void **state)
{
    static const char *const specs[][2] = {
        {OP("random") "(fixed=7, longest=60, causal=true)", OP("random") "(fixed=8, longest=60, causal=true)"},
        {OP("factorized_random") "(fixed=7, rank=3, longest=50)",
         OP("factorized_random") "(fixed=8, rank=3, longest=50)"},
    };
    static const call_case drawn[] = { /* by the formula, too */
        {OP("random") "(fixed=7, causal=true)", "B=2,T=37,H=4,G=2,E=5,C=40", "key_lengths", HEED_F32, 1, 1},
        {OP("factorized_random") "(fixed=7)", "B=2,T=37,H=4,G=2,E=5,C=40,J=3", "+documents", HEED_F32, 1, 2},
    };
    enum { T = 50 };
    float v[T * 10], first[T * 20], other[T * 20];
    uint64_t seed = 3;
    (void)state;
    for (size_t k = 0; k < COUNT(drawn); k++) check(&drawn[k]);
    for (int i = 0; i < T * 10; i++) v[i] = harness_normal(&seed);
    for (size_t k = 0; k < COUNT(specs); k++) {
        char id[60] = "";
        const char *paths[8];
        memcpy(id, specs[k][0], strcspn(specs[k][0], "("));
        int n = harness_paths(id, paths);
        run_fixed(specs[k][0], paths[0], 4, v, first, T);
        for (int p = 0; p < n; p++) {
            run_fixed(specs[k][0], paths[p], 4, v, other, T);
            assert_memory_equal(first, other, sizeof first);
            run_fixed(specs[k][1], paths[p], 4, v, other, T);
            assert_memory_not_equal(first, other, sizeof first);
        }
        for (int h = 1; h < 4; h++) /* heads have tables of their own */
            assert_memory_not_equal(first + 49 * 20, first + 49 * 20 + 5 * h, 5 * sizeof *first);
    }
}

/* ---- bad input ---- */

static void refused(const heed_error *e, const char *says)
{
    if (e->code >= 0 || !strstr(e->text, says)) fail_msg("\"%s\" is not said in \"%s\"", says, e->text);
}

/* Calls that fit the ports but not the logits. */
static void test_refused_calls(void **state)
{
    static const struct { const char *settings; int T, longest, chunk; const char *says; } wrong[] = {
        {"", 9, 8, 0, "sequence 0 has 9 tokens, and there are logits for 8"},
        {"", 9, 8, 5, "sequence 0 has 9 tokens, and there are logits for 8"},
        {"(causal=offset:-1)", 5, 8, 0, "positions -1 to 3, and there are logits for 0 to 7"},
        {"(causal=offset:4)", 5, 8, 0, "positions 4 to 8, and there are logits for 0 to 7"},
    };
    char text[3][300];
    (void)state;
    for (size_t m = 0; m < COUNT(members); m++)
        for (size_t w = 0; w < COUNT(wrong); w++) {
            call c;
            heed_error e = {0};
            heed_tensor out[ORACLE_PORTS], all[ORACLE_PORTS];
            call_case how = case_of(&members[m], text, wrong[w].settings, "key_lengths", 1, wrong[w].T, 2, 1, 4, 5,
                                    wrong[w].longest,
                                    HEED_F32, 1, 1);
            const int product = strstr(members[m].axes, "A=") != NULL; /* its longest sequence is another */
            if (members[m].gated || w >= 2 ? !members[m].by_position : product) continue;
            call_make(&c, &how);
            heed_instance *i = call_open(&c, NULL, 1);
            heed_sequence *s = heed_sequence_new(i, c.oracle.axis, NULL);
            outputs_make(&c, out);
            for (int64_t from = 0, to = wrong[w].chunk; from < c.oracle.axis['T' - 'A']; from = to, to = 0) {
                const int64_t end = to ? to : c.oracle.axis['T' - 'A'];
                for (uint32_t p = 0; p < c.op->ports.count; p++) {
                    all[p] = out[p].data ? out[p] : c.plain[p];
                    if (all[p].data && ((const heed_port *)c.op->ports.data)[p].role != HEED_WEIGHT)
                        all[p] = tensor_slice(&all[p], 1, from, end - from);
                }
                int32_t failed = call_with(&c, i, all, wrong[w].chunk ? &s : NULL, &e);
                assert_int_equal(failed != 0, !to);
                to = end;
                if (failed) break;
            }
            refused(&e, wrong[w].says);
            assert_int_equal(heed_sequence_length(s), wrong[w].chunk);
            heed_sequence_free(s);
            heed_instance_close(i);
            outputs_free(out);
            call_free(&c);
        }
}

/* Weights without a matrix, for calls with heads. */
static void test_no_matrices(void **state)
{
    static const call_case how[] = {
        {OP("dense"), "B=1,T=5,H=2,G=2,D=8,E=4,C=5,W=0", "+offset", HEED_F32, 1, 1},
        {OP("factorized_dense"), "B=1,T=5,H=2,G=2,D=8,E=4,W=0,A=3,U=2", "", HEED_F32, 1, 1},
    };
    (void)state;
    for (size_t w = 0; w < COUNT(how); w++) {
        call c;
        heed_error e = {0};
        heed_tensor all[ORACLE_PORTS], out[ORACLE_PORTS];
        call_make(&c, &how[w]);
        heed_instance *i = call_open(&c, NULL, 1);
        outputs_make(&c, out);
        for (uint32_t p = 0; p < c.op->ports.count; p++) all[p] = out[p].data ? out[p] : c.plain[p];
        assert_int_not_equal(call_with(&c, i, all, NULL, &e), HEED_OK);
        refused(&e, "there are logits for 0 heads, and q has 2");
        heed_instance_close(i);
        outputs_free(out);
        call_free(&c);
    }
}

/* ---- mixtures ---- */

enum { MIX_T = 130, MIX_H = 4, MIX_G = 2, MIX_D = 10, MIX_E = 9, MIX_C = 144 };
static const char mix_axes[] = "B=1,T=130,S=130,H=4,G=2,D=10,E=9,C=144,W=4,J=5,A=12,U=12";

/* A mixture: its spec without the mask, its members in order, and the logarithms of their shares. */
typedef struct mix {
    const char *spec;
    const char *member[4]; /* ids without attention/ */
    double alpha[4];
    int per_head;          /* alpha of member m is that of head 0; it grows by m / 4 from head to head */
} mix;

static double alpha_of(const mix *x, int m, int64_t h) { return x->alpha[m] + (x->per_head ? (double)h * m / 4 : 0); }

/* What a member's call has for a logit, in float64; queries and keys are those of `all`, attention/softmax's. */
static double logit_of(const call *c, const call *all, int64_t h, int64_t i, int64_t j)
{
    const double *q = all->oracle.d[call_port(all, "q")] + (i * MIX_H + h) * MIX_D;
    const char *id = strchr(c->op->id, '/') + 1;
    double sum = 0, other = 0;
#define W(port) c->oracle.d[call_port(c, port)]
    if (!strcmp(id, "synthesizer_random")) return W("table")[(h * MIX_C + i) * MIX_C + j];
    if (!strcmp(id, "synthesizer_factorized_random")) {
        for (int r = 0; r < 5; r++) sum += W("rows")[(h * MIX_C + i) * 5 + r] * W("columns")[(h * MIX_C + j) * 5 + r];
        return sum;
    }
    for (int d = 0; d < MIX_D; d++) {
        if (!strcmp(id, "softmax")) sum += q[d] * W("k")[(j * MIX_G + h / 2) * MIX_D + d] / sqrt(MIX_D);
        else if (!strcmp(id, "synthesizer_dense")) sum += fmax(0, q[d]) * W("matrix")[(h * MIX_C + j) * MIX_D + d];
        else {
            sum += fmax(0, q[d]) * W("inner")[(h * 12 + j % 12) * MIX_D + d];
            other += fmax(0, q[d]) * W("outer")[(h * 12 + j / 12) * MIX_D + d];
        }
    }
#undef W
    return !strcmp(id, "synthesizer_factorized_dense") ? sum * other : sum;
}

/* Runs the mixture on the tensors of `all`, in chunks if chunk is not 0. */
static void run_mix(const mix *x, const call *members, const call *all, const char *isa, uint32_t threads,
                    int64_t chunk, float *out)
{
    heed_error e;
    heed_binding weights[20];
    heed_tensor alpha[4];
    float numbers[4][MIX_H];
    char names[20][40];
    uint32_t n = 0;
    int64_t axes[HEED_AXES];
    for (int a = 0; a < HEED_AXES; a++) axes[a] = strchr("HGDE", 'A' + a) ? all->oracle.axis[a] : -1;
    for (int m = 0; m < 4 && x->member[m]; m++) {
        for (uint32_t p = 0; p < members[m].op->ports.count; p++) {
            const heed_port *port = (const heed_port *)members[m].op->ports.data + p;
            if (port->role != HEED_WEIGHT || !members[m].plain[p].data) continue;
            snprintf(names[n], sizeof *names, "%c.%s", 'a' + m, port->name);
            weights[n] = (heed_binding){names[n], (heed_tensor *)&members[m].plain[p]}, n++;
        }
        for (int h = 0; h < MIX_H; h++) numbers[m][h] = (float)alpha_of(x, m, h);
        alpha[m] = heed_tensor_of(numbers[m], HEED_F32, 1, (int64_t[]){x->per_head ? MIX_H : 1});
        snprintf(names[n], sizeof *names, "alpha_%c", 'a' + m);
        weights[n] = (heed_binding){names[n], &alpha[m]}, n++;
    }
    heed_opening opening = {.size = sizeof opening, .n_weights = n, .weights = weights, .axes = axes, .isa = isa};
    heed_instance *i = heed_instance_open(harness_engine(threads), x->spec, &opening, &e);
    if (!i) fail_msg("%s", e.text);
    heed_sequence *s = chunk ? heed_sequence_new(i, axes, &e) : NULL;
    heed_tensor to = heed_tensor_of(out, HEED_F32, 4, (int64_t[]){1, MIX_T, MIX_H, MIX_E});
    const int needs = strstr(x->spec, "dense") || strstr(x->spec, "softmax");
    for (int64_t t = 0, k = chunk ? chunk : MIX_T; t < MIX_T; t += k) {
        k = MIX_T - t < k ? MIX_T - t : k;
        heed_tensor q = tensor_slice(&all->plain[call_port(all, "q")], 1, t, k);
        heed_tensor key = tensor_slice(&all->plain[call_port(all, "k")], 1, t, k);
        heed_tensor v = tensor_slice(&all->plain[call_port(all, "v")], 1, t, k), y = tensor_slice(&to, 1, t, k);
        heed_binding in[] = {{"v", &v}, {"q", needs ? &q : NULL}, {"k", needs ? &key : NULL}};
        if (heed_run(i, in, 3, &(heed_binding){"out", &y}, 1, chunk ? &s : NULL, &e))
            fail_msg("%s: %s", x->spec, e.text);
    }
    heed_sequence_free(s);
    heed_instance_close(i);
}

/* A mixture is the random synthesizer of the mixed logits, which are formed in float64; the same bits on every path,
 * and in every form of a call. */
static void test_mixtures(void **state)
{
    static const mix mixes[] = {
        {OP("mixture") "(synthesizer_random, synthesizer_factorized_random, causal=true)",
         {"synthesizer_random", "synthesizer_factorized_random"}, {0.3, -0.2}, 1},
        {OP("mixture") "(synthesizer_dense, softmax, causal=true)", {"synthesizer_dense", "softmax"}, {0, 0.9}, 0},
        {OP("mixture") "(synthesizer_factorized_dense, synthesizer_random, softmax, synthesizer_dense, causal=true)",
         {"synthesizer_factorized_dense", "synthesizer_random", "softmax", "synthesizer_dense"}, {0.5, -1, 0.25, 0}, 1},
    };
    (void)state;
    for (size_t k = 0; k < COUNT(mixes); k++) {
        const mix *x = &mixes[k];
        call all, members[4], table;
        call_case all_how = {"attention/softmax", mix_axes, "key_lengths", HEED_F32, 1, 3}, how[4];
        call_case table_how = {OP("random") "(causal=true)", mix_axes, "+table,key_lengths", HEED_F32, 1, 4};
        char spec[4][60];
        const char *paths[8];
        static float first[MIX_T * MIX_H * MIX_E], other[MIX_T * MIX_H * MIX_E];
        heed_tensor y[ORACLE_PORTS];
        call_make(&all, &all_how), call_make(&table, &table_how);
        tensor_copy(&table.plain[call_port(&table, "v")], &all.plain[call_port(&all, "v")]);
        int count = 0;
        for (; count < 4 && x->member[count]; count++) {
            const uint64_t seed = strcmp(x->member[count], "softmax") ? 10 + (uint64_t)count : all_how.seed;
            how[count] = (call_case){format(spec[count], sizeof *spec, "attention/%s", x->member[count]), mix_axes,
                                     "+table,+rows,+columns,key_lengths", HEED_F32, 1, seed};
            call_make(&members[count], &how[count]);
        }
        for (int64_t h = 0; h < MIX_H; h++) {
            double sum = 0;
            for (int m = 0; m < count; m++) sum += exp(alpha_of(x, m, h));
            for (int64_t i = 0; i < MIX_T; i++)
                for (int64_t j = 0; j < MIX_C; j++) {
                    double s = 0;
                    for (int m = 0; m < count && j < MIX_T; m++)
                        s += exp(alpha_of(x, m, h)) / sum * logit_of(&members[m], &all, h, i, j);
                    tensor_put(&table.plain[call_port(&table, "table")], (h * MIX_C + i) * MIX_C + j, s);
                }
        }
        call_run(&table, NULL, 1, PLAIN, y);
        int n = harness_paths(OP("mixture"), paths);
        run_mix(x, members, &all, paths[0], 1, 0, first);
        for (int i = 0; i < MIX_T * MIX_H * MIX_E; i++)
            if (!(fabs((double)first[i] - tensor_get(&y[call_port(&table, "out")], i)) < 3e-5))
                fail_msg("%s: output %d is %g, and %g by a table of the mixed logits", x->spec, i, (double)first[i],
                         tensor_get(&y[call_port(&table, "out")], i));
        for (int p = 0; p < n; p++)
            for (int64_t chunk = 0; chunk < 100; chunk += chunk ? 90 : 7) {
                run_mix(x, members, &all, paths[p], 1 + (uint32_t)p, chunk, other);
                assert_memory_equal(first, other, sizeof first);
            }
        outputs_free(y);
        for (int m = 0; m < count; m++) call_free(&members[m]);
        call_free(&all), call_free(&table);
    }
}

/* With all of the share a member is alone: the table's bits; softmax's numbers, whose scale is multiplied in later. */
static void test_one_hot(void **state)
{
    static const mix only[] = {
        {OP("mixture") "(synthesizer_random, softmax, causal=true)", {"synthesizer_random", "softmax"}, {0, -2000}, 0},
        {OP("mixture") "(synthesizer_random, softmax, causal=true)", {"synthesizer_random", "softmax"}, {-2000, 0}, 0},
    };
    call c[2];
    const char *paths[8];
    call_case how[] = {{OP("random") "(causal=true)", mix_axes, "+table,key_lengths", HEED_F32, 1, 3},
                       {"attention/softmax(causal=true)", mix_axes, "key_lengths", HEED_F32, 1, 3}};
    (void)state;
    call_make(&c[0], &how[0]), call_make(&c[1], &how[1]);
    tensor_copy(&c[0].plain[call_port(&c[0], "v")], &c[1].plain[call_port(&c[1], "v")]);
    int n = harness_paths(OP("mixture"), paths);
    for (int p = 0; p < n; p++)
        for (int m = 0; m < 2; m++) {
            static float mixed[MIX_T * MIX_H * MIX_E];
            heed_tensor y[ORACLE_PORTS];
            call_run(&c[m], paths[p], 1, PLAIN, y);
            run_mix(&only[m], c, &c[1], paths[p], 2, 0, mixed);
            const heed_tensor *out = &y[call_port(&c[m], "out")];
            if (m == 0) assert_memory_equal(mixed, out->data, sizeof mixed);
            for (int i = 0; i < MIX_T * MIX_H * MIX_E; i++)
                assert_true(fabs((double)mixed[i] - tensor_get(out, i)) < 2e-6);
            outputs_free(y);
        }
    call_free(&c[0]), call_free(&c[1]);
}

/* Members that do not fit are refused when the mixture is opened, or called. */
static void test_refused_members(void **state)
{
    static const struct { const char *spec, *says; } wrong[] = {
        {OP("mixture"), "needs the key \"a\""},
        {OP("mixture") "(softmax)", "needs the key \"b\""},
        {OP("mixture") "(softmax, gau)", "b=attention/gau does not tell its scores; softmax and the synthesizers do"},
        {OP("mixture") "(softmax, norm/rms)", "b takes an op of kind attention, not norm/rms"},
        {OP("mixture") "(softmax(causal=true), softmax)", "mask keys stand there"},
        {OP("mixture") "(softmax, " OP("mixture") "(softmax, softmax))",
         "b=attention/synthesizer_mixture does not tell its scores"},
        {OP("mixture") "(softmax, synthesizer_random)", "the weight table is missing"},
        {OP("mixture") "(softmax, softmax, softmax, softmax, softmax)", "takes only 4 without a key"},
    };
    static const struct { const char *spec; int T, q, heads; const char *says; } calls[] = {
        {OP("mixture") "(synthesizer_random(fixed=1, longest=8), softmax)", 9, 1, 2,
         "there are logits for 8 positions, and 9 are needed"},
        {OP("mixture") "(synthesizer_random(fixed=1, longest=8), softmax)", 8, 0, 2, "softmax needs the input q"},
        {OP("mixture") "(synthesizer_random(fixed=1, longest=8), softmax, causal=offset:-2)", 5, 1, 2,
         "the mask puts a query at -2"},
        {OP("mixture") "(synthesizer_random(fixed=1, longest=8), synthesizer_random(fixed=2, longest=9))", 8, 0, 2,
         NULL},
    };
    (void)state;
    for (size_t w = 0; w < COUNT(wrong); w++) {
        heed_error e = {0};
        assert_null(heed_instance_open(harness_engine(1), wrong[w].spec, NULL, &e));
        refused(&e, wrong[w].says);
    }
    for (size_t w = 0; w < COUNT(calls); w++) {
        heed_error e = {0};
        float data[4][9 * 2 * 3] = {{0}};
        int64_t axes[HEED_AXES], dim[] = {1, calls[w].T, 2, 3};
        for (int a = 0; a < HEED_AXES; a++) axes[a] = a == 'H' - 'A' ? calls[w].heads : -1;
        heed_opening opening = {.size = sizeof opening, .axes = axes};
        heed_instance *i = heed_instance_open(harness_engine(1), calls[w].spec, &opening, &e);
        if (!i) fail_msg("%s", e.text);
        heed_tensor t[4];
        for (int k = 0; k < 4; k++) t[k] = heed_tensor_of(data[k], HEED_F32, 4, dim);
        heed_binding in[] = {{"v", &t[0]}, {"q", calls[w].q ? &t[1] : NULL}, {"k", calls[w].q ? &t[2] : NULL}};
        int32_t failed = heed_run(i, in, 3, &(heed_binding){"out", &t[3]}, 1, NULL, &e);
        if (calls[w].says) refused(&e, calls[w].says);
        else assert_int_equal(failed, HEED_OK);
        heed_instance_close(i);
    }
}

static void test_refused_specs(void **state)
{
    static const struct { const char *spec, *says; } wrong[] = {
        {OP("random"), "the weight table is missing; fixed=N would draw it from the number N"},
        {OP("random") "(fixed=1)", "fixed= draws table for a number of heads"},
        {OP("random") "(fixed=-1)", "fixed"},
        {OP("random") "(longest=0)", "longest"},
        {OP("random") "(scale=2)", "unknown key \"scale\""},
        {OP("random") "(position=rope)", "does not act on scores"},
        {OP("random") "(fixed=3, longest=16777216)", "fixed= draws table"},
        {OP("factorized_random"), "the weight rows is missing; fixed=N would draw it from the number N"},
        {OP("factorized_random") "(fixed=1, longest=9)", "fixed= draws rows for a number of heads"},
        {OP("dense"), "the weight matrix (W C D"},
        {OP("dense") "(matrices=0)", "matrices"},
        {OP("factorized_dense"), "the weight inner (W A D"},
        {"attention/gau(scale=2)", "length or width"},
        {"attention/gau(length=0)", "length"},
    };
    (void)state;
    for (size_t w = 0; w < COUNT(wrong); w++) {
        heed_error e = {0};
        assert_null(heed_instance_open(harness_engine(1), wrong[w].spec, NULL, &e));
        refused(&e, wrong[w].says);
    }
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
        cmocka_unit_test(test_shapes), cmocka_unit_test(test_forms),         cmocka_unit_test(test_batch),
        cmocka_unit_test(test_causality), cmocka_unit_test(test_golden),     cmocka_unit_test(test_fixed),
        cmocka_unit_test(test_golden_unit), cmocka_unit_test(test_unit_length),
        cmocka_unit_test(test_products), cmocka_unit_test(test_dense_is_softmax),
        cmocka_unit_test(test_mixtures), cmocka_unit_test(test_one_hot), cmocka_unit_test(test_refused_members),
        cmocka_unit_test(test_no_matrices),
        cmocka_unit_test(test_refused_calls), cmocka_unit_test(test_refused_specs),
    };
    return cmocka_run_group_tests(tests, NULL, teardown);
}
