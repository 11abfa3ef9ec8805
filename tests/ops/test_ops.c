/* SPDX-License-Identifier: MIT
 *
 * test_ops.c: what heed check does not sweep from an op's tables (check_sweep.sh): every width of a norm, softmax at
 * sizes of several blocks, outputs that go around the caches. And a test of the test: the bound notices what is a
 * little wrong.
 */
#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "lib/harness.h"

static const int hurt[] = {0, 1, 2, 15, 16, 17, 31, 33, 63, 64, 65, 127, 129, 257};
#define COUNT(array) (sizeof(array) / sizeof *(array))

static int calls;

static void check_axes(const char *spec, const char *without, uint32_t dtype, float size, const char *format, ...)
    __attribute__((format(printf, 5, 6)));
static void check_axes(const char *spec, const char *without, uint32_t dtype, float size, const char *format, ...)
{
    char axes[200];
    va_list list;
    va_start(list, format);
    vsnprintf(axes, sizeof axes, format, list);
    va_end(list);
    call_case how = {spec,  axes, without,
                     dtype, size, (uint64_t)strlen(axes) * 7919 + (uint64_t)axes[strlen(axes) - 1]};
    calls += harness_sweep(&how);
}

static const uint32_t float_dtypes[] = {HEED_F32, HEED_F16, HEED_BF16};

/* Ops over the last axis of x [..., M]. */
static void rowwise(const char *spec, const char *optional)
{
    for (size_t i = 0; i < COUNT(hurt); i++) {
        check_axes(spec, NULL, HEED_F32, 1, "x=%dx3,M=%d", hurt[i] == 16 ? 0 : 2, hurt[i]);
        check_axes(spec, optional, HEED_F32, 100, "x=%d,M=%d", i % 3 == 0 ? 65 : 5, hurt[i]);
    }
    for (size_t d = 1; d < COUNT(float_dtypes); d++) check_axes(spec, NULL, float_dtypes[d], 1, "x=3x1x2,M=67");
    if (!harness_quick()) check_axes(spec, NULL, HEED_F32, 1, "x=40,M=4099");
}

static void test_norms(void **state)
{
    (void)state;
    rowwise("norm/rms", "gain,residual,sum");
    rowwise("norm/rms(eps=0.01)", "gain,sum");
    rowwise("norm/layer", "gain,bias,residual");
    rowwise("norm/layer(eps=0)", "bias,residual,sum");
    rowwise("norm/batch(statistics=batch)", "gain");
    rowwise("norm/batch(eps=0.5, statistics=batch)", "bias,mean");
    if (!harness_quick()) check_axes("norm/batch(statistics=batch)", NULL, HEED_F32, 1, "x=3000,M=70");
    for (int m = 1; m <= 257; m += harness_quick() ? 37 : 1) {
        check_axes("norm/rms", m % 2 ? "residual" : "sum", HEED_F32, 1, "x=3,M=%d", m);
        check_axes("norm/layer", m % 2 ? "residual,gain" : "sum", HEED_F32, 1, "x=3,M=%d", m);
    }
}

/* Weights as they are stored: few rows read them so, many rows make them float32 first; blocks of 32, depths beyond a
 * block of the product, and more panels than a step. */
static void test_stored_weights(void **state)
{
    (void)state;
    static const char *const ops[] = {"linear/projection", "feedforward/gelu", "feedforward/swiglu"},
                      *const stored[] = {"", "(weights=int8)", "(weights=int4)"};
    static const int rows[] = {1, 2, 3, 100};
    char spec[64];
    for (size_t o = 0; o < COUNT(ops); o++)
        for (size_t s = 0; s < COUNT(stored); s++)
            for (size_t r = 0; r < COUNT(rows); r++) {
                const uint32_t dtype = float_dtypes[(o + s + r) % 3];
                snprintf(spec, sizeof spec, "%s%s", ops[o], stored[s]);
                check_axes(spec, r % 2 ? "" : NULL, dtype, 1, "x=%d,M=%d,N=90,F=90", rows[r], 31 + 34 * (int)r);
                if (o == 0 && !(harness_quick() && r != s))
                    check_axes(spec, NULL, dtype, 1, "x=%d,M=1100,N=%d", rows[r], 17 + 60 * (int)s);
            }
    /* long rows of 16 bits are read in place: whole panels and a rest, whole turns of 8 links and a rest */
    for (size_t r = 0; r < COUNT(rows); r++) {
        if (harness_quick() && r % 2) continue;
        const uint32_t dtype = float_dtypes[1 + r % 2];
        check_axes("linear/projection", NULL, dtype, 1, "x=%d,M=2051,N=%d", rows[r],
                   r % 2 ? 100 : 37);
        check_axes("feedforward/swiglu", NULL, dtype, 1, "x=%d,M=2056,F=35", rows[r]);
        check_axes("feedforward/gelu", "", dtype, 1, "x=%d,M=20,F=2075", rows[r]);
    }
}

/* Weights of 16 bits are read as they are, with the bits of the same numbers in float32. What shares a scale with a weight
 * that is no number is none, and nothing else. */
static void test_stored_numbers(void **state)
{
    (void)state;
    static const char *const specs[] = {"linear/projection", "linear/projection(weights=int8)",
                                        "linear/projection(weights=int4)", "linear/projection"};
    enum { ROWS = 3, N = 20 };
    const char *paths[8];
    const int n = harness_paths(specs[0], paths);
    for (size_t s = 0; s < COUNT(specs); s++) {
        /* the last: rows that are read in place */
        const int in_place = s == COUNT(specs) - 1, M = in_place ? 2070 : 70;
        const char *axes = in_place ? "x=3,M=2070,N=20" : "x=3,M=70,N=20";
        call_case how = {specs[s], axes, "bias", HEED_BF16, 1, 3}, wide = how;
        call c, other;
        wide.dtype = HEED_F32;
        call_make(&c, &how), call_make(&other, &wide);
        const int x = call_port(&c, "x"), w = call_port(&c, "weight"), out = call_port(&c, "out");
        for (int i = 0; i < ROWS * M; i++) tensor_put(&other.plain[x], i, tensor_get(&c.plain[x], i));
        for (int i = 0; i < N * M; i++) tensor_put(&other.plain[w], i, tensor_get(&c.plain[w], i));
        call_update(&other);
        for (int p = 0; p < n; p++) {
            heed_tensor narrow[ORACLE_PORTS], full[ORACLE_PORTS];
            c.plain[out].dtype = HEED_F32; /* the same sums, not rounded */
            call_run(&c, paths[p], 1, PLAIN, narrow), call_run(&other, paths[p], 1, PLAIN, full);
            if (!tensors_equal(&narrow[out], &full[out]))
                fail_msg("%s on %s: weights of 16 bits are other numbers", specs[s], paths[p]);
            outputs_free(narrow), outputs_free(full);
        }
        tensor_put(&other.plain[w], 5 * M + 40, INFINITY);
        call_update(&other);
        for (int p = 0; p < n && s && !in_place; p++) {
            heed_tensor y[ORACLE_PORTS];
            call_run(&other, paths[p], 1, PLAIN, y);
            for (int i = 0; i < ROWS * N; i++)
                if (isnan(tensor_get(&y[out], i)) != (i % N == 5))
                    fail_msg("%s on %s: output %d", specs[s], paths[p], i % N);
            outputs_free(y);
        }
        call_free(&c), call_free(&other);
    }
}

/* A weight as large as the largest number stays finite with its scale. */
static void test_stored_largest(void **state)
{
    (void)state;
    static const float sizes[] = {FLT_MAX, 0x1.fffff4p127f, 0x1.ffff00p127f};
    const char *paths[8];
    const int n = harness_paths("linear/projection", paths);
    for (size_t s = 0; s < COUNT(sizes); s++) {
        call_case how = {"linear/projection(weights=int8)", "x=1,M=1,N=1", NULL, HEED_F32, 1, 3};
        call c;
        call_make(&c, &how);
        const int out = call_port(&c, "out");
        tensor_put(&c.plain[call_port(&c, "x")], 0, 1);
        tensor_put(&c.plain[call_port(&c, "weight")], 0, -sizes[s]);
        call_update(&c);
        for (int p = 0; p < n; p++) {
            heed_tensor y[ORACLE_PORTS];
            call_run(&c, paths[p], 1, PLAIN, y);
            const double x = tensor_get(&y[out], 0);
            if (!(x >= -FLT_MAX && x <= -0.999 * (double)sizes[s]))
                fail_msg("%a on %s: %a", sizes[s], paths[p], x);
            outputs_free(y);
        }
        call_free(&c);
    }
}

/* A NaN stays in its row, on every path; a constant row gives exactly the bias. */
static void test_norm_rows(void **state)
{
    (void)state;
    static const char *const specs[] = {"norm/rms", "norm/layer"};
    for (size_t s = 0; s < COUNT(specs); s++) {
        call_case how = {specs[s], "x=3,M=83", NULL, HEED_F32, 1, 3};
        call c;
        call_make(&c, &how);
        float *x = c.plain[call_port(&c, "x")].data, *residual = c.plain[call_port(&c, "residual")].data;
        residual[83 + 70] = NAN;
        for (int i = 0; i < 83; i++) x[2 * 83 + i] = 1000.1f, residual[2 * 83 + i] = 0.0f;
        call_update(&c);
        const char *paths[8];
        int n = harness_paths(specs[s], paths);
        for (int p = 0; p < n; p++) {
            heed_tensor out[ORACLE_PORTS];
            call_run(&c, paths[p], 1, PLAIN, out);
            const float *y = out[call_port(&c, "out")].data, *sum = out[call_port(&c, "sum")].data;
            for (int i = 0; i < 3 * 83; i++) {
                assert_int_equal(isnan(y[i]), i / 83 == 1);
                assert_int_equal(isnan(sum[i]), i == 83 + 70);
            }
            if (s == 1)
                for (int i = 0; i < 83; i++)
                    assert_true(y[2 * 83 + i] == ((float *)c.plain[call_port(&c, "bias")].data)[i]);
            outputs_free(out);
        }
        call_free(&c);
    }
}

/* norm/batch by kept statistics is the one by the call's, where those were kept; its rows are alone, the other's are
 * not. */
static void test_batch_norm(void **state)
{
    enum { ROWS = 150, M = 70 };
    const char *paths[8];
    call kept, own;
    call_case kept_how = {"norm/batch", "x=150,M=70", NULL, HEED_F32, 1, 5}, own_how = kept_how;
    (void)state;
    own_how.spec = "norm/batch(statistics=batch)";
    call_make(&kept, &kept_how), call_make(&own, &own_how);
    const int x = call_port(&kept, "x"), out = call_port(&kept, "out"), mean = call_port(&kept, "mean");
    const int variance = call_port(&kept, "variance");
    for (int64_t i = 0; i < M; i++) {
        double sum = 0, squares = 0;
        for (int64_t r = 0; r < ROWS; r++) {
            const double far = (double)(i % 7) * 100; /* |mean| >> deviation */
            tensor_put(&kept.plain[x], r * M + i, tensor_get(&kept.plain[x], r * M + i) + far);
            sum += tensor_get(&kept.plain[x], r * M + i);
        }
        for (int64_t r = 0; r < ROWS; r++) squares += pow(tensor_get(&kept.plain[x], r * M + i) - sum / ROWS, 2);
        tensor_put(&kept.plain[mean], i, sum / ROWS);
        tensor_put(&kept.plain[variance], i, squares / ROWS);
    }
    tensor_copy(&own.plain[x], &kept.plain[x]);
    call_update(&kept), call_update(&own);
    int n = harness_paths(kept.op->id, paths);
    heed_tensor first[2][ORACLE_PORTS], other[ORACLE_PORTS];
    call_run(&kept, paths[0], 1, PLAIN, first[0]), call_run(&own, paths[0], 1, PLAIN, first[1]);
    assert_true(call_judge(&kept, first[0]) <= 1);
    assert_true(call_judge(&own, first[1]) <= 1);
    for (int i = 0; i < ROWS * M; i++)
        assert_true(fabs(tensor_get(&first[0][out], i) - tensor_get(&first[1][out], i)) < 2e-4);
    for (int p = 0; p < n; p++)
        for (int coupled = 0; coupled < 2; coupled++) {
            call *c = coupled ? &own : &kept;
            const double was = tensor_get(&c->plain[x], ROWS * M - 1);
            call_run(c, paths[p], 2, p % LAYOUTS, other);
            assert_true(outputs_equal(c, first[coupled], other));
            outputs_free(other);
            tensor_put(&c->plain[x], ROWS * M - 1, was + 5); /* the last token changes: do the others? */
            call_run(c, paths[p], 2, PLAIN, other);
            const int differ = memcmp(first[coupled][out].data, other[out].data, sizeof(float) * (ROWS - 1) * M) != 0;
            assert_int_equal(differ, coupled);
            tensor_put(&c->plain[x], ROWS * M - 1, was);
            outputs_free(other);
        }
    heed_error e;
    heed_instance *i = call_open(&own, NULL, 1);
    heed_tensor one[ORACLE_PORTS] = {[0] = {0}};
    one[x] = tensor_slice(&own.plain[x], 0, 0, 1), one[out] = tensor_slice(&first[1][out], 0, 0, 1);
    assert_int_equal(call_with(&own, i, one, NULL, &e), HEED_E_ARGUMENT);
    assert_non_null(strstr(e.text, "statistics=batch needs two tokens in a call at least, and this one has 1"));
    heed_instance_close(i);
    outputs_free(first[0]), outputs_free(first[1]);
    call_free(&kept), call_free(&own);
    assert_null(heed_instance_open(harness_engine(1), "norm/batch", NULL, &e)); /* it would change nothing but scale */
    assert_non_null(strstr(e.text, "takes the weights mean and variance, which were kept while training, and neither"));
}

/* `out` or `sum` in the place of x gives the bits that it gives elsewhere; both at once are refused. */
static void test_norm_in_place(void **state)
{
    (void)state;
    enum { ROWS = 5, M = 67, N = ROWS * M };
    static float x[N], residual[N], out[N], sum[N], y[2][N];
    const int64_t dim[] = {ROWS, M};
    uint64_t seed = 4;
    for (int i = 0; i < N; i++) residual[i] = harness_normal(&seed), y[0][i] = harness_normal(&seed);
    heed_error e;
    heed_instance *rms = heed_instance_open(harness_engine(2), "norm/rms", NULL, &e);
    assert_non_null(rms);
    heed_tensor tx = heed_tensor_of(x, HEED_F32, 2, dim), tr = heed_tensor_of(residual, HEED_F32, 2, dim);
    heed_tensor elsewhere[] = {heed_tensor_of(out, HEED_F32, 2, dim), heed_tensor_of(sum, HEED_F32, 2, dim)};
    heed_tensor other = heed_tensor_of(y[1], HEED_F32, 2, dim);
    heed_binding in[] = {{"x", &tx}, {"residual", &tr}}, to[] = {{"out", &elsewhere[0]}, {"sum", &elsewhere[1]}};
    memcpy(x, y[0], sizeof x);
    if (heed_run(rms, in, 2, to, 2, NULL, &e)) fail_msg("%s", e.text);
    for (int which = 0; which < 2; which++) {
        memcpy(x, y[0], sizeof x);
        heed_binding here[] = {{which ? "sum" : "out", &tx}, {which ? "out" : "sum", &other}};
        if (heed_run(rms, in, 2, here, 2, NULL, &e)) fail_msg("%s", e.text);
        assert_memory_equal(x, which ? sum : out, sizeof x);
        assert_memory_equal(y[1], which ? out : sum, sizeof x);
    }
    heed_binding both[] = {{"out", &tx}, {"sum", &tx}};
    assert_int_equal(heed_run(rms, in, 2, both, 2, NULL, &e), HEED_E_ARGUMENT);
    heed_binding second[] = {{"out", &elsewhere[0]}, {"sum", &tr}};
    assert_int_equal(heed_run(rms, in, 2, second, 2, NULL, &e), HEED_E_ARGUMENT);
    heed_instance_close(rms);
}

/* Outputs so large that they go around the caches (16 MiB): the same rows again and again, by strides of 0, must give
 * again and again what a small call gives for them. At an address 16 bytes past a line, and rows of an odd width. */
static void test_streaming(void **state)
{
    (void)state;
    static const struct {
        const char *spec;
        int32_t rank;
        int64_t dim[4]; /* of the small call; the first axis is repeated by the large one */
        const char *in[2], *out[2];
    } cases[] = {
        {"norm/rms", 3, {1, 7, 1021}, {"x", "residual"}, {"out", "sum"}},
        {"norm/layer", 3, {1, 3, 64}, {"x", NULL}, {"out", NULL}},
        {"norm/layer", 3, {1, 3, 333}, {"x", "residual"}, {"out", NULL}},
        {"residual/add", 3, {1, 5, 515}, {"x", "y"}, {"out", NULL}},
        {"position/rope", 4, {1, 19, 3, 64}, {"x", NULL}, {"out", NULL}},
        {"position/rope(pairs=half, width=20)", 4, {1, 19, 5, 37}, {"x", NULL}, {"out", NULL}},
        {"position/rope", 4, {1, 3, 2, 1030}, {"x", NULL}, {"out", NULL}},
    };
    for (size_t k = 0; k < COUNT(cases); k++) {
        int64_t n = 1, times, dim[4];
        for (int a = 0; a < cases[k].rank; a++) n *= dim[a] = cases[k].dim[a];
        times = ((int64_t)4 << 20) / n + 1; /* floats of 16 MiB */
        float *data[2] = {malloc(sizeof(float) * (size_t)n), malloc(sizeof(float) * (size_t)n)}, *small[2], *large[2];
        uint64_t seed = k;
        for (int i = 0; i < 2; i++) {
            for (int64_t j = 0; j < n; j++) data[i][j] = harness_normal(&seed);
            small[i] = malloc(sizeof(float) * (size_t)n);
            large[i] = aligned_alloc(64, (sizeof(float) * (size_t)(n * times) + 128) & ~(size_t)63);
            assert_true(data[i] && small[i] && large[i]);
        }
        char id[32] = "";
        const char *paths[8];
        memcpy(id, cases[k].spec, strcspn(cases[k].spec, "("));
        int n_paths = harness_paths(id, paths);
        for (int p = 0; p < n_paths; p++)
            for (uint32_t threads = 1; threads <= 3; threads += 2) {
                heed_error e;
                heed_opening opening = {.size = sizeof opening, .isa = paths[p]};
                heed_instance *op = heed_instance_open(harness_engine(threads), cases[k].spec, &opening, &e);
                if (!op) fail_msg("%s", e.text);
                for (int big = 0; big < 2; big++) {
                    heed_tensor t[4];
                    heed_binding b[4];
                    uint32_t n_in = 0, n_out = 0;
                    dim[0] = big ? times : 1;
                    for (; n_in < 2 && cases[k].in[n_in]; n_in++) {
                        t[n_in] = heed_tensor_of(data[n_in], HEED_F32, cases[k].rank, dim);
                        t[n_in].stride[0] = 0, t[n_in].bytes = sizeof(float) * (uint64_t)n;
                        b[n_in] = (heed_binding){cases[k].in[n_in], &t[n_in]};
                    }
                    for (; n_out < 2 && cases[k].out[n_out]; n_out++) {
                        float *to = big ? large[n_out] + 4 : small[n_out];
                        t[2 + n_out] = heed_tensor_of(to, HEED_F32, cases[k].rank, dim);
                        b[2 + n_out] = (heed_binding){cases[k].out[n_out], &t[2 + n_out]};
                    }
                    if (heed_run(op, b, n_in, b + 2, n_out, NULL, &e)) fail_msg("%s", e.text);
                }
                for (int o = 0; o < 2 && cases[k].out[o]; o++)
                    for (int64_t r = 0; r < times; r++)
                        if (memcmp(large[o] + 4 + r * n, small[o], sizeof(float) * (size_t)n))
                            fail_msg("%s, %s, %u threads: %s: repetition %lld has other bits", cases[k].spec, paths[p],
                                     threads, cases[k].out[o], (long long)r);
                heed_instance_close(op);
            }
        for (int i = 0; i < 2; i++) free(data[i]), free(small[i]), free(large[i]);
    }
}

static const char *const attentions[] = {
    "attention/softmax",
    "attention/softmax(causal=true)",
    "attention/softmax(causal=bottom_right)",
    "attention/softmax(causal=offset:5)",
    "attention/softmax(causal=offset:-3)",
    "attention/softmax(scale=0.3, softcap=5)",
    "attention/softmax(position=alibi, causal=true)",
    "attention/softmax(position=alibi, causal=bottom_right, softcap=30)",
};

static void test_softmax(void **state)
{
    static const struct { int B, T, S, H, G, D, E;
    } shapes[] = {
        {1, 1, 1, 1, 1, 1, 1},       {1, 17, 17, 2, 1, 16, 16},   {2, 3, 129, 4, 2, 15, 17},
        {1, 65, 65, 3, 3, 33, 31},   {1, 0, 5, 2, 2, 8, 8},       {2, 5, 0, 2, 1, 8, 8},
        {1, 33, 2, 1, 1, 63, 2},     {1, 127, 129, 2, 2, 64, 65}, {3, 15, 16, 6, 2, 2, 1},
        {1, 49, 257, 5, 5, 17, 127}, {0, 4, 4, 1, 1, 4, 4},       {1, 64, 300, 2, 2, 65, 64},
        {1, 16, 131, 8, 2, 64, 64},  {2, 2, 383, 7, 1, 31, 33},   {1, 97, 97, 1, 1, 128, 128},
        {1, 31, 63, 12, 4, 0, 5},
    };
    (void)state;
    for (size_t a = 0; a < COUNT(attentions); a++)
        for (size_t s = 0; s < COUNT(shapes); s++) {
            if (harness_quick() && (a + s) % 3) continue;
            check_axes(attentions[a],
                       (a + s) % 2 ? "key_lengths"
                       : s % 3     ? "lse"
                                   : NULL,
                       HEED_F32, s % 4 == 1 ? 4 : 1, "B=%d,T=%d,S=%d,H=%d,G=%d,D=%d,E=%d", shapes[s].B, shapes[s].T,
                       shapes[s].S, shapes[s].H, shapes[s].G, shapes[s].D, shapes[s].E);
        }
    for (size_t d = 1; d < COUNT(float_dtypes); d++) {
        check_axes("attention/softmax(causal=true)", NULL, float_dtypes[d], 1, "B=2,T=50,S=50,H=4,G=2,D=24,E=40");
        check_axes("attention/softmax", "key_lengths", float_dtypes[d], 1, "B=1,T=3,S=140,H=2,G=2,D=17,E=16");
    }
}

/* ALiBi is the bias of its formula, for a number of heads that is no power of two: by distance in both directions if
 * nothing is said; with its sign if that is asked for. Under a causal mask both are the same, to the bit. */
static void test_alibi_symmetric(void **state)
{
    enum { T = 70, H = 6 };
    static const float slopes[H] = {0.25f, 0.0625f, 0.015625f, 0.00390625f, 0.5f, 0.125f};
    call_case plain_how = {"attention/softmax", "B=1,T=70,S=70,H=6,G=3,D=16,E=20", "+bias", HEED_F32, 1, 9};
    enum { CASES = 5 };
    static const char *const specs[CASES] = {
        "attention/softmax(position=alibi(symmetric=true))",
        "attention/softmax(position=alibi(symmetric=true), causal=true)",
        "attention/softmax(position=alibi(symmetric=false), causal=true)",
        "attention/softmax(position=alibi)",
        "attention/softmax(position=alibi(symmetric=false))",
    };
    call_case how[CASES];
    heed_tensor biased[2][ORACLE_PORTS], first[CASES][ORACLE_PORTS];
    const char *paths[8];
    call plain, c[CASES];
    (void)state;
    call_make(&plain, &plain_how);
    const heed_tensor *bias = &plain.plain[call_port(&plain, "bias")];
    for (int with_sign = 0; with_sign < 2; with_sign++) {
        for (int64_t i = 0; i < heed_tensor_elements(bias); i++) {
            const int64_t h = i / T / T, ahead = i % T - i / T % T;
            tensor_put(bias, i, (double)slopes[h] * (double)(with_sign ? ahead : -llabs(ahead)));
        }
        call_run(&plain, NULL, 1, PLAIN, biased[with_sign]);
    }
    const int out = call_port(&plain, "out"), n_paths = harness_paths("attention/softmax", paths);
    for (int k = 0; k < CASES; k++) {
        how[k] = (call_case){specs[k], plain_how.axes, "", HEED_F32, 1, 9};
        call_make(&c[k], &how[k]);
        for (uint32_t p = 0; p < plain.op->ports.count; p++)
            if (c[k].plain[p].data && plain.plain[p].data) tensor_copy(&c[k].plain[p], &plain.plain[p]);
    }
    for (int p = 0; p < n_paths; p++) {
        for (int k = 0; k < CASES; k++) call_run(&c[k], paths[p], 1, PLAIN, first[k]);
        for (int64_t i = 0; i < heed_tensor_elements(&biased[0][out]); i++) {
            assert_true(fabs(tensor_get(&biased[0][out], i) - tensor_get(&first[0][out], i)) <
                        1e-5);
            assert_true(fabs(tensor_get(&biased[1][out], i) - tensor_get(&first[4][out], i)) <
                        1e-5);
        }
        assert_true(outputs_equal(&c[1], first[1], first[2]));
        assert_true(outputs_equal(&c[0], first[0], first[3]));
        for (int k = 0; k < CASES; k++) outputs_free(first[k]);
    }
    for (int k = 0; k < 2; k++) outputs_free(biased[k]);
    for (int k = 0; k < CASES; k++) call_free(&c[k]);
    call_free(&plain);
}

/* ---- magnitudes ---- */

/* Where inputs and the exact result are finite, so is ours, within the bound, whatever the magnitude: an input is
 * multiplied with powers of ten. The bound is 4 times the naive loop's error on the same data, where that is finite, or
 * in proportion to the outputs that at magnitude 1, whichever is more; and one unit. */
static const struct magnitudes {
    const char *spec, *axes, *without, *port;
    int from, to;
} magnitudes[] = {
    {"norm/rms", "x=3,M=83", "residual", "x", -45, 38},
    {"norm/rms(eps=0)", "x=3,M=83", "residual", "x", -45, 38},
    {"norm/layer", "x=3,M=83", "residual", "x", -45, 38},
    {"norm/layer(eps=0)", "x=3,M=1000", "residual", "x", -45, 38},
    {"norm/batch(statistics=batch)", "x=9,M=70", "", "x", -45, 38},
    {"norm/batch(statistics=batch, eps=0)", "x=130,M=70", "", "x", -45, 38},
    {"attention/softmax", "B=1,T=50,S=130,H=2,G=1,D=16,E=20", "", "q", -45, 36},
    {"attention/softmax", "B=1,T=5,S=130,H=2,G=1,D=16,E=20", "", "k", -45, 36},
    {"attention/softmax", "B=1,T=50,S=130,H=2,G=1,D=16,E=20", "", "v", -45, 38},
    {"attention/softmax(causal=true)", "B=1,T=5,S=130,H=2,G=2,D=16,E=20", "", "v", -45, 38},
    {"attention/softmax", "B=1,T=50,S=130,H=2,G=1,D=16,E=20", "+bias", "bias", -45, 38},
    {"attention/softmax(causal=true)", "B=1,T=3,S=130,H=2,G=1,D=16,E=20", "+bias", "bias", -45, 38},
    {"attention/softmax", "B=1,T=50,S=130,H=2,G=1,D=16,E=20", "+sink_logits", "sink_logits", -45, 38},
    {"attention/window(left=20)", "B=1,T=60,S=60,H=2,G=1,D=16,E=20", "", "v", -45, 38},
    {"attention/sparse(stride=7)", "B=1,T=60,S=60,H=2,G=1,D=16,E=20", "", "v", -45, 37},
    {"attention/synthesizer_random", "B=1,T=60,H=2,G=1,E=20,C=64", "+table", "table", -45, 38},
    {"attention/synthesizer_dense", "B=1,T=60,H=2,G=1,D=16,E=20,C=64,W=2", "+offset", "offset", -45, 38},
    {"merge/attention", "B=1,T=9,H=2,E=20", "", "a", -45, 38},
    {"merge/attention", "B=1,T=9,H=2,E=20", "", "lse_a", -45, 38},
    {"residual/add", "x=3,M=83", "", "x", -45, 38},
    {"position/rope", "B=1,T=9,H=2,D=16", "", "x", -45, 38},
    {"linear/projection", "x=3,M=65,N=9", "", "x", -45, 37},
    {"feedforward/gelu", "x=3,M=33,F=47", "", "x", -45, 36},
    {"feedforward/swiglu", "x=3,M=33,F=47", "", "x", -45, 17},
    {"loss/cross_entropy", "x=3,V=83", "", "logits", -45, 37},
};

static void scale_input(call *c, const char *port, double by)
{
    heed_tensor *t = &c->plain[call_port(c, port)];
    if (!t->data) fail_msg("%s: there is no %s", c->how->spec, port);
    for (int64_t i = 0; i < heed_tensor_elements(t); i++)
        tensor_put(t, i, fmax(-FLT_MAX, fmin(FLT_MAX, tensor_get(t, i) * by)));
    call_update(c);
}

static double largest(const double *x, int64_t n)
{
    double most = 0;
    for (int64_t i = 0; i < n; i++)
        if (isfinite(x[i]) && fabs(x[i]) <= FLT_MAX) most = fmax(most, fabs(x[i]));
    return most;
}

/* The naive loop's error: the largest of the outputs of a port where it and the exact result are finite. */
static double naive_error(const call *c, uint32_t p, int64_t n)
{
    double most = 0;
    for (int64_t i = 0; i < n; i++) {
        const double error = fabs((double)c->f[p][i] - c->d[p][i]);
        if (isfinite(error)) most = fmax(most, error);
    }
    return most;
}

static void judge_magnitude(call *c, const char *what, const double *relative, const heed_tensor *out, const char *path)
{
    for (uint32_t p = 0; p < c->op->ports.count; p++) {
        const int64_t n = out[p].data ? heed_tensor_elements(&out[p]) : 0;
        const double error = fmax(naive_error(c, p, n), relative[p] * largest(c->d[p], n));
        for (int64_t i = 0; i < n; i++) {
            const double x = c->d[p][i], y = tensor_get(&out[p], i);
            if (!isfinite(x) || fabs(x) > FLT_MAX) continue;
            const double ulp = (double)nextafterf((float)fabs(x), INFINITY) - (double)(float)fabs(x);
            if (!(fabs(y - x) <= 4 * fmax(error, ulp / 2) + ulp))
                fail_msg("%s on %s: %s[%lld] is %g, the formula gives %g; the bound is %g", what, path, c->port[p],
                         (long long)i, y, x, 4 * error + ulp);
        }
    }
}

static int is_output(const call *c, uint32_t p)
{
    return ((const heed_port *)c->op->ports.data)[p].role == HEED_OUTPUT;
}

static void test_magnitudes(void **state)
{
    (void)state;
    for (size_t k = 0; k < COUNT(magnitudes); k++) {
        const struct magnitudes *m = &magnitudes[k];
        double relative[ORACLE_PORTS] = {0};
        for (int e = 0, turn = 0; e <= m->to; e = turn++ ? (turn == 2 ? m->from : e + (harness_quick() ? 9 : 3)) : e) {
            call_case how = {m->spec, m->axes, m->without, HEED_F32, 1, k};
            const char *paths[8];
            char what[200];
            call c;
            call_make(&c, &how);
            scale_input(&c, m->port, pow(10, e));
            const heed_oracle *o = call_oracle(&c);
            o->f64(&c.oracle), o->f32(&c.oracle);
            for (uint32_t p = 0; turn == 0 && p < c.op->ports.count; p++) {
                const int64_t n = c.plain[p].data ? heed_tensor_elements(&c.plain[p]) : 0;
                const double most = n && is_output(&c, p) ? largest(c.d[p], n) : 0;
                relative[p] = most > 0 ? naive_error(&c, p, n) / most : 0;
            }
            snprintf(what, sizeof what, "%s, %s of magnitude 1e%d", m->spec, m->port, e);
            const int n = harness_paths(c.op->id, paths);
            for (int p = 0; p < n; p++) {
                heed_tensor out[ORACLE_PORTS];
                call_run(&c, paths[p], 1, PLAIN, out);
                judge_magnitude(&c, what, relative, out, paths[p]);
                outputs_free(out);
            }
            call_free(&c);
        }
    }
}

/* What masks of other libraries hold: the smallest float for a key that is not to be seen, even for all keys of a row;
 * and large ones that leave one key. */
static void test_extreme_biases(void **state)
{
    static const struct { float odd, even, first; } rows[] = {
        {-FLT_MAX, 0, 0},   {-FLT_MAX, -FLT_MAX, -FLT_MAX}, {-2.4e38f, -2.4e38f, -2.4e38f}, {0, 0, 2.4e38f},
        {0, 0, FLT_MAX},    {-3e38f, -2.9e38f, -3.1e38f},   {1e38f, 1.1e38f, 1.2e38f},      {2.5e38f, 2.6e38f, 3.3e38f},
        {-INFINITY, -FLT_MAX, -FLT_MAX},
    };
    (void)state;
    for (size_t k = 0; k < 2 * COUNT(rows); k++) {
        call_case how = {"attention/softmax", k % 2 ? "B=1,T=3,S=130,H=1,G=1,D=16,E=20" : "B=1,T=50,S=130,H=1,G=1,D=16,E=20",
                         "+bias", HEED_F32, 1, k};
        const char *paths[8];
        call c;
        call_make(&c, &how);
        const heed_tensor *bias = &c.plain[call_port(&c, "bias")];
        for (int64_t i = 0; i < heed_tensor_elements(bias); i++)
            tensor_put(bias, i, i % 130 == 0 ? rows[k / 2].first : i % 2 ? rows[k / 2].odd : rows[k / 2].even);
        call_update(&c);
        const int n = harness_paths(c.op->id, paths);
        for (int p = 0; p < n; p++) {
            heed_tensor out[ORACLE_PORTS];
            call_run(&c, paths[p], 1, PLAIN, out);
            const double ratio = call_judge(&c, out);
            if (!(ratio <= 1)) fail_msg("biases %zu on %s: %.3g of the bound", k / 2, paths[p], ratio);
            outputs_free(out);
        }
        call_free(&c);
    }
}

/* The bound must notice one key that is skipped, and a scale that is 1e-5 off. */
static void test_of_the_test(void **state)
{
    (void)state;
    call_case how = {
        "attention/softmax(scale=0.125, causal=true)", "B=1,T=65,S=65,H=2,G=2,D=64,E=64", NULL, HEED_F32, 1, 5};
    for (int fault = 0; fault < 3; fault++) {
        call c;
        heed_tensor out[ORACLE_PORTS];
        call_make(&c, &how);
        tensor_put(&c.plain[call_port(&c, "key_lengths")], 0, 40);
        call_update(&c);
        call_run(&c, NULL, 1, PLAIN, out);
        if (fault == 1) c.d[call_port(&c, "key_lengths")][0]--;
        if (fault == 2) c.value[0] *= 1 + 1e-5;
        double ratio = call_judge(&c, out);
        if (fault == 0) assert_true(ratio <= 1);
        else if (ratio <= 1) fail_msg("fault %d passes, at %.3g of the bound", fault, ratio);
        outputs_free(out);
        call_free(&c);
    }
    static const call_case others[] = {
        {"norm/rms", "x=3,M=65", NULL, HEED_F32, 1, 1},
        {"norm/layer", "x=3,M=65", NULL, HEED_F32, 1, 1},
        {"linear/projection", "x=3,M=65,N=9", NULL, HEED_F32, 1, 1},
        {"feedforward/swiglu", "x=3,M=33,F=47", NULL, HEED_F32, 1, 1},
        {"position/rope", "B=1,T=9,H=1,D=16", "positions", HEED_F32, 1, 1},
    };
    for (size_t i = 0; i < COUNT(others); i++) {
        call c;
        heed_tensor out[ORACLE_PORTS];
        call_make(&c, &others[i]);
        call_run(&c, NULL, 1, PLAIN, out);
        for (uint32_t p = 0; p < c.op->ports.count; p++) {
            float *y = out[p].data, *most = y;
            for (int64_t j = 0; y && j < heed_tensor_elements(&out[p]); j++)
                most = fabsf(y[j]) > fabsf(*most) ? y + j : most;
            if (y) *most *= 1 + 1e-5f;
        }
        if (call_judge(&c, out) <= 1) fail_msg("%s: its largest element may be 1e-5 off", others[i].spec);
        outputs_free(out);
        call_free(&c);
    }
}

/* Every op of the registry that computes something has an oracle (sampling has a test of its own). */
static void test_every_op_has_an_oracle(void **state)
{
    (void)state;
    heed_engine *engine = harness_engine(1);
    for (uint32_t i = 0; i < heed_op_count(engine); i++) {
        const heed_op *op = heed_op_at(engine, i);
        if (heed_op_path(engine, i)->forward && strncmp(op->id, "sample/", 7) &&
            strcmp(op->id, "attention/synthesizer_mixture") && /* test_synthesizer tabulates its members' logits */
            !oracle_find(op->id))
            fail_msg("%s has no oracle", op->id);
    }
    for (uint32_t i = 0; i < heed_refusal_count(engine); i++) {
        const char *path, *why = heed_refusal(engine, i, &path);
        fail_msg("%s was refused: %s", path, why);
    }
}

static int teardown(void **state)
{
    (void)state;
    printf("%d runs compared\n", calls);
    harness_end();
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_op_has_an_oracle),
        cmocka_unit_test(test_norms),
        cmocka_unit_test(test_stored_weights),
        cmocka_unit_test(test_stored_numbers),
        cmocka_unit_test(test_stored_largest),
        cmocka_unit_test(test_norm_rows),
        cmocka_unit_test(test_batch_norm),
        cmocka_unit_test(test_norm_in_place),
        cmocka_unit_test(test_streaming),
        cmocka_unit_test(test_softmax),
        cmocka_unit_test(test_alibi_symmetric),
        cmocka_unit_test(test_magnitudes),
        cmocka_unit_test(test_extreme_biases),
        cmocka_unit_test(test_of_the_test),
    };
    return cmocka_run_group_tests(tests, NULL, teardown);
}
