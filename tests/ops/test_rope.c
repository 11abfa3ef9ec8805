/* SPDX-License-Identifier: MIT
 *
 * test_rope.c: the frequencies of rotary positions by each rule for longer texts, against those of
 * transformers and against numbers made by hand; that the op uses them; and what it refuses.
 */
#include <math.h>
#include <string.h>

#include <heed/kit/position/rotary.h>

#include "lib/harness.h"

enum { MOST = 64 };
static const struct golden {
    int64_t rule;
    double base;
    int64_t width;
    double factor, original, length, low, high;
    int64_t truncate;
    double slope, amplitude, theta[MOST];
} golden[] = {
#include "golden_rope.h"
};

static void assert_near(double got, double right, const char *what, size_t row, int64_t k)
{
    if (!(fabs(got - right) <= 1e-12 * fabs(right)))
        fail_msg("%s %zu, pair %lld: %.17g, not %.17g", what, row, (long long)k, got, right);
}

static void test_as_transformers(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof golden / sizeof *golden; i++) {
        const struct golden *g = &golden[i];
        double list[MOST], theta[MOST];
        for (int k = 0; k < MOST; k++) list[k] = 1 + nearbyint(g->slope * k * 64) / 64;
        const kit_rotary r = {.rule = g->rule,
                              .base = g->base,
                              .factor = g->factor,
                              .original = g->original,
                              .length = g->length,
                              .low = g->low,
                              .high = g->high,
                              .truncate = g->truncate,
                              .list = list};
        kit_rotary_frequencies(&r, theta, g->width);
        for (int64_t k = 0; k < g->width / 2; k++) assert_near(theta[k], g->theta[k], "row", i, k);
        assert_near(kit_rotary_amplitude(&r), g->amplitude, "amplitude of row", i, 0);
    }
}

/* Numbers that stand in the papers, and ends that follow from the formulas. */
static void test_by_hand(void **state)
{
    static const struct {
        double original, factor;
        int low, high;
        double amplitude;
    } yarn[] = {{2048, 8, 16, 41, 1.207944154167984}, {4096, 16, 20, 46, 1.277258872223978}};
    double plain[MOST], theta[MOST];
    (void)state;
    kit_rotary r = {.rule = KIT_ROTARY_NONE, .base = 10000, .factor = 1};
    kit_rotary_frequencies(&r, plain, 128);
    assert_near(plain[0], 1, "none", 0, 0);
    assert_near(plain[32], 0.01, "none", 0, 32); /* 10000^(-64/128) */
    assert_near(plain[48], 0.001, "none", 0, 48);
    r = (kit_rotary){.rule = KIT_ROTARY_NTK, .base = 10000, .factor = 4};
    kit_rotary_frequencies(&r, theta, 128);
    for (int k = 0; k < MOST; k++) /* the last pair is 4 times slower, to the bit of pow */
        assert_near(theta[k], plain[k] * pow(4, -k / 63.0), "ntk", 0, k);
    r = (kit_rotary){
        .rule = KIT_ROTARY_DYNAMIC, .base = 10000, .factor = 2, .original = 1000, .length = 3000};
    kit_rotary_frequencies(&r, theta, 128); /* 2 * 3000 / 1000 - 1 = 5 */
    for (int k = 0; k < MOST; k++)
        assert_near(theta[k], plain[k] * pow(5, -k / 63.0), "dynamic", 0, k);
    for (size_t i = 0; i < 2; i++) {
        r = (kit_rotary){.rule = KIT_ROTARY_YARN,
                         .base = 10000,
                         .factor = yarn[i].factor,
                         .original = yarn[i].original,
                         .high = 32,
                         .low = 1,
                         .truncate = 1};
        kit_rotary_frequencies(&r, theta, 128);
        for (int k = 0; k < MOST; k++) {
            double ramp =
                fmin(1, fmax(0, (double)(k - yarn[i].low) / (yarn[i].high - yarn[i].low)));
            assert_near(theta[k], plain[k] * (1 - ramp) + plain[k] / yarn[i].factor * ramp, "yarn",
                        i, k);
        }
        assert_near(kit_rotary_amplitude(&r), yarn[i].amplitude, "yarn's amplitude", i, 0);
    }
    r = (kit_rotary){.rule = KIT_ROTARY_LLAMA3,
                     .base = 10000,
                     .factor = 8,
                     .original = 8192,
                     .low = 1,
                     .high = 4};
    kit_rotary_frequencies(&r, theta, 128);
    /* 1304 turns within 8192 tokens; 2.3186: m = 0.43954; 1.0046: m = 0.0015; 0.87: slow */
    assert_near(theta[0], 1, "llama3", 0, 0);
    const double turns = 8192 * plain[44] / (2 * 3.14159265358979323846), m = (turns - 1) / 3;
    assert_true(m > 0 && m < 1);
    assert_near(theta[44], ((1 - m) / 8 + m) * plain[44], "llama3", 0, 44);
    assert_near(theta[63], plain[63] / 8, "llama3", 0, 63);
}

/* One vector at a position, by an op. */
static void turn(const char *spec, int64_t position, const float *x, float *y, int d)
{
    heed_error e;
    const int64_t dim[] = {1, 1, 1, d};
    heed_tensor tx = heed_tensor_of((float *)(uintptr_t)x, HEED_F32, 4, dim),
                ty = heed_tensor_of(y, HEED_F32, 4, dim);
    heed_tensor at = heed_tensor_of(&position, HEED_I64, 2, dim);
    heed_binding in[] = {{"x", &tx}, {"positions", &at}}, out = {"out", &ty};
    heed_instance *i = heed_instance_open(harness_engine(1), spec, NULL, &e);
    if (!i || heed_run(i, in, 2, &out, 1, NULL, &e)) fail_msg("%s: %s", spec, e.text);
    heed_instance_close(i);
}

/* A factor that is a power of two is exact, so position 4 p of texts that are 4 times as long is
 * position p, to the bit; and yarn's amplitude is there. */
static void test_op(void **state)
{
    enum { D = 48 };
    float x[D], a[D], b[D];
    uint64_t seed = 3;
    (void)state;
    for (int i = 0; i < D; i++) x[i] = harness_normal(&seed);
    static const char *const layouts[] = {"", "pairs=half, ", "width=20, ",
                                          "pairs=half, width=20, "};
    for (size_t l = 0; l < 4; l++) {
        char spec[160];
        snprintf(spec, sizeof spec, "position/rope(%sbase=10000)", layouts[l]);
        turn(spec, 77, x, a, D);
        snprintf(spec, sizeof spec,
                 "position/rope_scaled(%sscaling=linear, factor=4, original=512)", layouts[l]);
        turn(spec, 308, x, b, D);
        assert_memory_equal(a, b, sizeof a);
        snprintf(spec, sizeof spec, "position/rope_scaled(%sscaling=yarn, factor=1, original=512)",
                 layouts[l]);
        turn(spec, 77, x, b, D);
        for (int i = 0; i < D; i++) assert_true(fabsf(a[i] - b[i]) < 1e-5f);
        snprintf(spec, sizeof spec, "position/rope_scaled(%sfactor=16, original=512)", layouts[l]);
        turn(spec, 0, x, b, D); /* no angle: all but the channels that do not turn are longer */
        const int turned = strstr(spec, "width") ? 20 : D;
        for (int i = 0; i < D; i++) assert_true(b[i] == (i < turned ? x[i] * 1.2772589f : x[i]));
    }
}

/* Against the formula, on every path, at any number of threads. */
static void test_formula(void **state)
{
    static const struct {
        const char *spec, *axes;
    } cases[] = {
        {"position/rope_scaled(scaling=linear, factor=8, original=2048)", "B=2,T=19,H=3,D=40"},
        {"position/rope_scaled(scaling=ntk, factor=4, original=2048, pairs=half)",
         "B=1,T=33,H=2,D=64"},
        {"position/rope_scaled(scaling=dynamic, factor=2, original=1000, length=4000)",
         "B=2,T=17,H=1,D=24"},
        {"position/rope_scaled(factor=8, original=2048, pairs=half)", "B=1,T=18,H=2,D=128"},
        {"position/rope_scaled(scaling=yarn, factor=32, original=4096, high=24, low=2, "
         "truncate=false, width=34)",
         "B=1,T=18,H=2,D=70"},
        {"position/rope_scaled(factor=4, original=4096, attention_factor=0.5)", "B=1,T=7,H=2,D=16"},
        {"position/rope_scaled(base=500000, scaling=llama3, factor=8, original=8192, pairs=half)",
         "B=1,T=20,H=3,D=128"},
        {"position/longrope(factor=32, original=4096, length=4096)", "B=1,T=20,H=3,D=40,R=20"},
        {"position/longrope(factor=32, original=4096, length=131072, pairs=half)",
         "B=2,T=20,H=3,D=40,R=13"},
        {"position/longrope(attention_factor=1.25)", "B=1,T=3,H=1,D=2,R=1"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        call_case how = {cases[i].spec, cases[i].axes, i % 2 ? "positions" : "", HEED_F32, 1, i};
        harness_sweep(&how);
    }
}

static void test_refused(void **state)
{
    static const struct {
        const char *spec, *says;
    } rows[] = {
        {"position/rope_scaled(original=2048)", "factor"},
        {"position/rope_scaled(factor=4)", "original"},
        {"position/rope_scaled(scaling=dynamic, factor=4, original=2048)",
         "scaling=dynamic needs length"},
        {"position/rope_scaled(factor=4, original=2048, length=9)",
         "length has no effect with scaling=yarn"},
        {"position/rope_scaled(scaling=ntk, factor=4, original=2048, low=2)",
         "low has no effect with scaling=ntk"},
        {"position/rope_scaled(scaling=llama3, factor=4, original=2048, truncate=false)",
         "truncate has no effect"},
        {"position/rope_scaled(scaling=llama3, factor=4, original=2048, high=1)",
         "llama3 needs high above low, here 1 and 1"},
        {"position/rope_scaled(factor=4, original=2048, low=40)",
         "yarn needs high above low, here 32 and 40"},
        {"position/rope_scaled(factor=4, original=2048, base=1)", "a base above 1, here 1"},
        {"position/rope_scaled(scaling=ntk, factor=4, original=9, width=2)",
         "need a width of 4 and more, not 2"},
        {"position/rope_scaled(scaling=longrope, factor=4, original=9)", "scaling"},
        {"position/rope_scaled(factor=0.5, original=9)", "factor"},
        {"position/longrope", "short_factors"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        heed_error e;
        assert_null(heed_instance_open(harness_engine(1), rows[i].spec, NULL, &e));
        if (!strstr(e.text, rows[i].says))
            fail_msg("%s: not \"%s\" but \"%s\"", rows[i].spec, rows[i].says, e.text);
    }
    float factors[] = {1, 2, -3};
    heed_error e;
    for (int n = 2; n <= 3; n++) {
        heed_tensor list = heed_tensor_of(factors, HEED_F32, 1, (int64_t[]){n});
        heed_binding lists[] = {{"short_factors", &list}, {"long_factors", &list}};
        int64_t axes[HEED_AXES];
        for (int a = 0; a < HEED_AXES; a++) axes[a] = a == 'D' - 'A' ? 2 : -1;
        heed_opening opening = {
            .size = sizeof opening, .weights = lists, .n_weights = 2, .axes = axes};
        assert_null(heed_instance_open(harness_engine(1), "position/longrope", &opening, &e));
        assert_non_null(
            strstr(e.text, n == 2 ? "width is 4, but D is only 2" : "factor 2 of the list is -3"));
    }
}

/* ---- position/learned ---- */

static void test_learned(void **state)
{
    static const struct {
        const char *spec, *axes, *without;
        uint32_t dtype;
    } cases[] = {
        {"position/learned", "B=2,T=19,M=33,C=40", "", HEED_F32},
        {"position/learned", "B=2,T=19,M=33,C=19", "positions", HEED_F32},
        {"position/learned(offset=2)", "B=3,T=19,M=64,C=21", "positions", HEED_F32},
        {"position/learned(rows=9)", "B=1,T=9,M=7,C=9", "positions", HEED_BF16},
        {"position/learned", "B=1,T=9,M=70,C=12", "", HEED_F16},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        call_case how = {cases[i].spec, cases[i].axes, cases[i].without, cases[i].dtype, 1, i};
        harness_sweep(&how);
    }
    float table[6] = {1, 2, 3, 4, 5, 6}, x[4] = {0}, y[4] = {9, 9, 9, 9};
    int64_t positions[2] = {1, 2};
    heed_error e;
    heed_tensor rows = heed_tensor_of(table, HEED_F32, 2, (int64_t[]){3, 2});
    heed_tensor tx = heed_tensor_of(x, HEED_F32, 3, (int64_t[]){1, 2, 2}), ty = tx;
    heed_tensor at = heed_tensor_of(positions, HEED_I64, 2, (int64_t[]){1, 2});
    heed_binding weight = {"table", &rows}, in[] = {{"x", &tx}, {"positions", &at}},
                 out = {"out", &ty};
    heed_opening opening = {.size = sizeof opening, .weights = &weight, .n_weights = 1};
    ty.data = y;
    heed_instance *i =
        heed_instance_open(harness_engine(1), "position/learned(offset=1)", &opening, &e);
    assert_non_null(i);
    assert_int_equal(heed_run(i, in, 2, &out, 1, NULL, &e), HEED_E_ARGUMENT);
    assert_non_null(
        strstr(e.text, "position 2 (token 1) has no row: the table has 3, for positions 0 to 1"));
    assert_true(y[0] == 9 && y[3] == 9);
    positions[1] = 0;
    assert_int_equal(heed_run(i, in, 2, &out, 1, NULL, &e), 0);
    assert_true(y[0] == 5 && y[1] == 6 && y[2] == 3 && y[3] == 4);
    heed_instance_close(i);
    assert_null(heed_instance_open(harness_engine(1), "position/learned(offset=3)", &opening, &e));
    assert_non_null(strstr(e.text, "offset is 3, but the table has only 3 rows"));
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
        cmocka_unit_test(test_as_transformers),
        cmocka_unit_test(test_by_hand),
        cmocka_unit_test(test_op),
        cmocka_unit_test(test_formula),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_learned),
    };
    return cmocka_run_group_tests(tests, NULL, teardown);
}
