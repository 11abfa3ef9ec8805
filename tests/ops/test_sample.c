/* SPDX-License-Identifier: MIT
 *
 * test_sample.c: sample/categorical, which has tokens for results and so no error bound: the token that the definition
 * names, the right frequencies, the same token on every path, and sentences for logits that have no token.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "lib/harness.h"

#define COUNT(array) (sizeof(array) / sizeof *(array))

static const char *paths[8];
static int n_paths;

/* Tokens of `rows` rows of V logits by settings; draw may be NULL. */
static int32_t sample_by(const char *settings, const char *isa, uint32_t threads, float *logits,
                         float *draw, int64_t rows, int64_t V, int32_t *token, heed_error *e)
{
    char spec[120];
    snprintf(spec, sizeof spec, "sample/categorical(%s)", settings);
    heed_opening opening = {.size = sizeof opening, .isa = isa};
    heed_instance *i = heed_instance_open(harness_engine(threads), spec, &opening, e);
    if (!i) fail_msg("%s: %s", spec, e->text);
    heed_tensor x = heed_tensor_of(logits, HEED_F32, 2, (int64_t[]){rows, V});
    heed_tensor u = heed_tensor_of(draw, HEED_F32, 1, &rows), y = heed_tensor_of(token, HEED_I32, 1, &rows);
    heed_binding in[] = {{"logits", &x}, {"draw", &u}}, out[] = {{"token", &y}};
    int32_t code = heed_run(i, in, draw ? 2 : 1, out, 1, NULL, e);
    heed_instance_close(i);
    return code;
}

static int32_t sample(const char *isa, uint32_t threads, double temperature, float *logits,
                      float *draw, int64_t rows, int64_t V, int32_t *token, heed_error *e)
{
    char settings[40];
    snprintf(settings, sizeof settings, "temperature=%.17g", temperature);
    return sample_by(settings, isa, threads, logits, draw, rows, V, token, e);
}

/* One row, on all paths: the same token. */
static int32_t token_of(double temperature, const float *logits, int64_t V, float draw)
{
    int32_t first = -1, token;
    heed_error e;
    for (int p = 0; p < n_paths; p++) {
        if (sample(paths[p], 1, temperature, (float *)logits, &draw, 1, V, &token, &e)) fail_msg("%s", e.text);
        if (p == 0) first = token;
        assert_int_equal(token, first);
    }
    return first;
}

/* Temperature 0: the largest logit, the lowest index among equals, and no draw needed. */
static void test_greedy(void **state)
{
    static const int sizes[] = {1, 2, 15, 16, 17, 33, 100};
    (void)state;
    for (size_t s = 0; s < COUNT(sizes); s++)
        for (int at = 0; at < sizes[s]; at++) {
            float logits[100];
            int32_t token = -1;
            heed_error e;
            for (int i = 0; i < sizes[s]; i++) logits[i] = i < at ? 1.9999999f : 2.0f; /* ties behind it */
            assert_int_equal(token_of(0, logits, sizes[s], 0.99f), at);
            assert_int_equal(sample(NULL, 1, 0, logits, NULL, 1, sizes[s], &token, &e), HEED_OK);
            assert_int_equal(token, at);
        }
    assert_int_equal(token_of(0, (const float[]){-INFINITY, -3e38f, -INFINITY}, 3, 0), 1);
    assert_int_equal(token_of(0, (const float[]){1, INFINITY, INFINITY}, 3, 0), 1);
    assert_int_equal(token_of(0, (const float[]){-0.0f, 0.0f}, 2, 0), 0);
}

/* The first token at which the running sum of weights passes the draw. */
static void test_edges(void **state)
{
    static const struct { float draw; int token; } even[] = {
        {0, 0},    {0.2499999f, 0}, {0.25f, 1}, {0.2500001f, 1},       {0.4999999f, 1},
        {0.5f, 2}, {0.7499999f, 2}, {0.75f, 3}, {0x1.fffffep-1f, 3},
    };
    const float equal[] = {5, 5, 5, 5}, one[] = {-1e30f}, low[] = {-200, 0, -200};
    const float gaps[] = {-INFINITY, 0, -INFINITY, -INFINITY, 0, -INFINITY};
    (void)state;
    for (size_t i = 0; i < COUNT(even); i++) assert_int_equal(token_of(1, equal, 4, even[i].draw), even[i].token);
    assert_int_equal(token_of(1, gaps, 6, 0), 1); /* a token of weight 0 is never drawn, at either end */
    assert_int_equal(token_of(1, gaps, 6, 0.4999999f), 1);
    assert_int_equal(token_of(1, gaps, 6, 0.5f), 4);
    assert_int_equal(token_of(1, gaps, 6, 0x1.fffffep-1f), 4);
    assert_int_equal(token_of(1, one, 1, 0), 0);
    assert_int_equal(token_of(1, one, 1, 0x1.fffffep-1f), 0);
    assert_int_equal(token_of(1, low, 3, 0), 1);
    assert_int_equal(token_of(1, (const float[]){0, INFINITY, 1}, 3, 0.5f), 1);
    /* ln 3 : 0 is 3 : 1 at temperature 1, 9 : 1 at 1/2, sqrt 3 : 1 at 2 */
    const float three[] = {1.0986123f, 0};
    static const double temperature[] = {1, 0.5, 2, 1e6, 1e-6}, edge[] = {0.75, 0.9, 0.633974596, 0.5, 1};
    for (size_t i = 0; i < COUNT(edge); i++) {
        assert_int_equal(token_of(temperature[i], three, 2, (float)edge[i] - 1e-6f), 0);
        if (edge[i] < 1) assert_int_equal(token_of(temperature[i], three, 2, (float)edge[i] + 1e-6f), 1);
    }
}

static int falling(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x < y) - (x > y);
}

/* The token by the definition, with sorted weights; -1 where a rounding error may decide. */
static int by_sorting(const float *logits, int n, int top_k, double top_p, double min_p,
                      double draw)
{
    double weight[64], sorted[64], most = -1e30, total = 0, least = 0, sum = 0;
    for (int i = 0; i < n; i++) most = fmax(most, logits[i]);
    for (int i = 0; i < n; i++) sorted[i] = weight[i] = exp(logits[i] - most);
    qsort(sorted, (size_t)n, sizeof *sorted, falling);
    if (top_k && top_k < n) least = sorted[top_k - 1];
    for (int i = 0; i < n; i++) total += weight[i] >= least ? weight[i] : 0;
    for (int i = 0; i < n && top_p < 1; i++) {
        if (fabs((sum += sorted[i]) - top_p * total) < 1e-4) return -1;
        if (sum < top_p * total) continue;
        least = fmax(least, sorted[i]);
        break;
    }
    least = fmax(least, min_p);
    sum = total = 0;
    for (int i = 0; i < n; i++) total += weight[i] >= least ? weight[i] : 0;
    for (int i = 0; i < n; i++) {
        sum += weight[i] >= least ? weight[i] : 0;
        if (fabs(sum - draw * total) < 1e-4) return -1;
        if (sum > draw * total) return i;
    }
    return -1;
}

/* top_k, top_p and min_p, one by one and together, against a sort. Equal logits stay together. */
static void test_left_out(void **state)
{
    static const struct {
        int top_k;
        double top_p, min_p;
    } by[] = {
        {1, 1, 0},   {5, 1, 0}, {40, 1, 0},     {0, 0, 0},      {0, 0.3, 0},  {0, 0.95, 0},
        {0, 1, 0.2}, {0, 1, 1}, {8, 0.7, 0.05}, {3, 0.99, 0.5}, {63, 0.5, 0},
    };
    uint64_t seed = 3;
    int decided = 0;
    (void)state;
    for (size_t i = 0; i < COUNT(by); i++)
        for (int round = 0; round < 40; round++) {
            float logits[64], draw = (float)(harness_random(&seed) >> 40) * 0x1p-24f;
            char settings[80];
            const int n = round % 4 ? 64 : 7;
            for (int v = 0; v < n; v++) logits[v] = (float)(harness_random(&seed) >> 60) / 3;
            const int right = by_sorting(logits, n, by[i].top_k, by[i].top_p, by[i].min_p, draw);
            snprintf(settings, sizeof settings, "top_k=%d, top_p=%g, min_p=%g", by[i].top_k,
                     by[i].top_p, by[i].min_p);
            for (int p = 0; right >= 0 && p < n_paths; p++) {
                int32_t token;
                heed_error e;
                assert_int_equal(sample_by(settings, paths[p], 1, logits, &draw, 1, n, &token, &e),
                                 HEED_OK);
                if (token != right) fail_msg("%s: %d, not %d", settings, token, right);
            }
            decided += right >= 0;
        }
    assert_true(decided > 300);
}

/* Fixed draws, evenly spread and then jittered: chi-square over 12 tokens at several temperatures. 31.26 is the 0.999
 * quantile for 11 degrees of freedom; the draws are fixed, so this can not fail by chance. */
static void test_distribution(void **state)
{
    enum { N = 20000, V = 12 };
    static const double temperatures[] = {0.5, 1, 3};
    static float logits[N * V], draw[N];
    static int32_t first[N], token[N];
    (void)state;
    for (size_t t = 0; t < COUNT(temperatures); t++) {
        double weight[V], total = 0, chi = 0;
        int64_t seen[V] = {0};
        uint64_t seed = 5 + t;
        heed_error e;
        for (int v = 0; v < V; v++) total += weight[v] = exp(0.25 * v * temperatures[0] / temperatures[t]);
        for (int i = 0; i < N; i++) {
            draw[i] = (float)(harness_random(&seed) >> 40) * 0x1p-24f;
            for (int v = 0; v < V; v++) logits[i * V + v] = (float)(0.25 * v * temperatures[0]) + 3;
        }
        for (int p = 0; p < n_paths; p++) {
            int32_t *to = p ? token : first;
            assert_int_equal(sample(paths[p], 1 + (uint32_t)p, temperatures[t], logits, draw, N, V, to, &e), HEED_OK);
            if (p) assert_memory_equal(first, token, sizeof token);
        }
        for (int i = 0; i < N; i++) {
            assert_in_range(first[i], 0, V - 1);
            seen[first[i]]++;
        }
        for (int v = 0; v < V; v++) {
            double expected = N * weight[v] / total;
            chi += ((double)seen[v] - expected) * ((double)seen[v] - expected) / expected;
        }
        if (!(chi < 31.26)) fail_msg("temperature %g: chi-square is %g", temperatures[t], chi);
    }
}

/* Random rows of awkward widths and dtypes: every path, thread count and layout chooses the same tokens. */
static void test_same_everywhere(void **state)
{
    static const int widths[] = {1, 15, 16, 17, 64, 257, 1000};
    static const uint32_t dtypes[] = {HEED_F32, HEED_F16, HEED_BF16};
    (void)state;
    for (size_t w = 0; w < COUNT(widths); w++)
        for (size_t d = 0; d < COUNT(dtypes); d++) {
            char axes[40];
            snprintf(axes, sizeof axes, "B=37,V=%d", widths[w]);
            call c;
            call_case how = {"sample/categorical(temperature=0.8)", axes, NULL, dtypes[d], 3, w};
            heed_tensor first[ORACLE_PORTS], other[ORACLE_PORTS];
            call_make(&c, &how);
            uint64_t seed = 11;
            heed_tensor *draws = &c.plain[call_port(&c, "draw")];
            for (int i = 0; i < 37; i++) tensor_put(draws, i, (double)(harness_random(&seed) >> 60) / 16);
            call_run(&c, paths[0], 1, PLAIN, first);
            for (int p = 0; p < n_paths; p++)
                for (int layout = 0; layout < LAYOUTS; layout++) {
                    call_run(&c, paths[p], 1 + 2 * (uint32_t)layout, layout, other);
                    if (!outputs_equal(&c, first, other))
                        fail_msg("V = %d: %s chooses other tokens", widths[w], paths[p]);
                    outputs_free(other);
                }
            outputs_free(first);
            call_free(&c);
        }
}

/* No token: a sentence that names the row; no output is touched. */
static void test_refused(void **state)
{
    static const struct { double temperature; float logits[2][3], draw[2]; const char *says; } wrong[] = {
        {1, {{0, 1, 2}, {0, NAN, 1}}, {0, 0}, "logits of row 1 have a NaN"},
        {0, {{NAN, 1, 2}, {0, 1, 1}}, {0, 0}, "logits of row 0 have a NaN"},
        {1, {{0, 1, 2}, {-INFINITY, -INFINITY, -INFINITY}}, {0, 0}, "no logit of row 1 is finite"},
        {1, {{0, 1, 2}, {0, 1, 2}}, {0.5f, 1}, "draw of row 1 is not in [0, 1)"},
        {1, {{0, 1, 2}, {0, 1, 2}}, {-1e-9f, 0}, "draw of row 0 is not in [0, 1)"},
        {1, {{0, 1, 2}, {0, 1, 2}}, {0, NAN}, "draw of row 1 is not in [0, 1)"},
    };
    heed_error e;
    int32_t token[2];
    (void)state;
    for (size_t w = 0; w < COUNT(wrong); w++)
        for (int p = 0; p < n_paths; p++) {
            token[0] = token[1] = -7;
            float *logits = (float *)wrong[w].logits, *draw = (float *)wrong[w].draw;
            assert_true(sample(paths[p], 2, wrong[w].temperature, logits, draw, 2, 3, token, &e) < 0);
            if (!strstr(e.text, wrong[w].says) || !strstr(e.text, "sample/categorical"))
                fail_msg("%s: \"%s\"", wrong[w].says, e.text);
            assert_true(token[0] == -7 && token[1] == -7);
        }
    assert_true(sample(NULL, 1, 1, (float[]){0, 1}, NULL, 1, 2, token, &e) < 0);
    assert_non_null(strstr(e.text, "draw is missing"));
    assert_true(sample(NULL, 1, 1, (float[]){0}, (float[]){0}, 1, 0, token, &e) < 0);
    assert_non_null(strstr(e.text, "no logit of row 0"));
    assert_int_equal(sample(NULL, 1, 1, (float[]){0}, (float[]){0}, 0, 3, token, &e), HEED_OK); /* no rows */
}

static int setup(void **state)
{
    (void)state;
    n_paths = harness_paths("sample/categorical", paths);
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
        cmocka_unit_test(test_greedy),          cmocka_unit_test(test_edges),
        cmocka_unit_test(test_left_out),        cmocka_unit_test(test_distribution),
        cmocka_unit_test(test_same_everywhere), cmocka_unit_test(test_refused),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
