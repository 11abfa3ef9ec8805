/* SPDX-License-Identifier: MIT
 *
 * test_merge.c: attention over parts of the keys, merged, is attention over all of them; and what heed_merge says of
 * rows without keys, of NaNs, in place, and wrongly called. On every path, with equal bits. (test_ops has the formula.)
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/harness.h"

#define COUNT(array) (sizeof(array) / sizeof *(array))

static const char *paths[8];
static int n_paths;

/* merge/attention on a path. */
static void merge_on(const char *path, uint32_t threads, const heed_tensor *a, const heed_tensor *la,
                     const heed_tensor *b, const heed_tensor *lb, heed_tensor *out, heed_tensor *lse)
{
    heed_error e;
    heed_opening opening = {.size = sizeof opening, .isa = path};
    heed_instance *i = heed_instance_open(harness_engine(threads), "merge/attention", &opening, &e);
    if (!i) fail_msg("%s", e.text);
    heed_binding in[] = {{"a", (heed_tensor *)a}, {"lse_a", (heed_tensor *)la}, {"b", (heed_tensor *)b},
                         {"lse_b", (heed_tensor *)lb}}, to[] = {{"out", out}, {"lse", lse}};
    if (heed_run(i, in, 4, to, 2, NULL, &e)) fail_msg("%s", e.text);
    heed_instance_close(i);
}

/* Attention over keys [from, to) alone. */
static void attend(const call *c, const char *path, int64_t from, int64_t to, heed_tensor out[ORACLE_PORTS])
{
    heed_error e;
    heed_tensor at[ORACLE_PORTS];
    heed_instance *i = call_open(c, path, 2);
    outputs_make(c, out);
    for (uint32_t p = 0; p < c->op->ports.count; p++) {
        const char *name = c->oracle.port[p];
        int of_keys = !strcmp(name, "k") || !strcmp(name, "v");
        at[p] = out[p].data ? out[p] : of_keys ? tensor_slice(&c->plain[p], 1, from, to - from) : c->plain[p];
    }
    if (call_with(c, i, at, NULL, &e)) fail_msg("%s", e.text);
    heed_instance_close(i);
}

/* Keys in two to five parts, some of them empty, added up in place with heed_merge; and the same on every path. */
static void test_parts(void **state)
{
    static const struct { const char *axes; int64_t cut[6]; } cases[] = {
        {"B=2,T=17,S=40,H=4,G=2,D=16,E=16", {0, 17, 40}},
        {"B=1,T=1,S=300,H=8,G=2,D=33,E=65", {0, 96, 97, 250, 300}},
        {"B=2,T=5,S=130,H=3,G=1,D=8,E=1", {0, 0, 1, 130, 130}},
        {"B=1,T=50,S=200,H=2,G=2,D=64,E=64", {0, 40, 80, 120, 160, 200}},
        {"B=1,T=3,S=9,H=1,G=1,D=5,E=17", {0, 9, 9}},
    };
    (void)state;
    for (size_t n = 0; n < COUNT(cases); n++) {
        call c;
        call_case how = {"attention/softmax", cases[n].axes, "key_lengths", HEED_F32, n % 2 ? 3 : 1, n};
        call_make(&c, &how);
        const int out = call_port(&c, "out"), lse = call_port(&c, "lse");
        const int64_t S = c.oracle.axis['S' - 'A'];
        heed_tensor first[ORACLE_PORTS];
        for (int p = 0; p < n_paths; p++) {
            heed_tensor sum[ORACLE_PORTS];
            attend(&c, paths[p], 0, cases[n].cut[1], sum);
            for (int part = 1; cases[n].cut[part] < S || part < 2; part++) {
                heed_tensor more[ORACLE_PORTS];
                attend(&c, paths[p], cases[n].cut[part], cases[n].cut[part + 1], more);
                merge_on(paths[p], (uint32_t)part, &sum[out], &sum[lse], &more[out], &more[lse], &sum[out], &sum[lse]);
                outputs_free(more);
            }
            double ratio = call_judge(&c, sum);
            if (!(ratio <= 1)) fail_msg("[%s], %s: error is %.3g of its bound", how.axes, paths[p], ratio);
            if (p && !outputs_equal(&c, first, sum)) fail_msg("[%s], %s: other bits", how.axes, paths[p]);
            if (p) outputs_free(sum);
            else memcpy(first, sum, sizeof first);
        }
        outputs_free(first);
        call_free(&c);
    }
}

/* ---- single rows ---- */

enum { ROWS = 35, E = 21 }; /* not whole vectors */
static const float inf = INFINITY;

typedef struct side {
    float out[ROWS][E], lse[ROWS];
    heed_tensor o, l;
} side;

static void make_side(side *s, uint64_t seed)
{
    for (int r = 0; r < ROWS; r++) {
        s->lse[r] = 10 * harness_normal(&seed);
        for (int e = 0; e < E; e++) s->out[r][e] = harness_normal(&seed);
    }
    s->o = heed_tensor_of(s->out, HEED_F32, 4, (int64_t[]){1, ROWS, 1, E});
    s->l = heed_tensor_of(s->lse, HEED_F32, 3, (int64_t[]){1, ROWS, 1});
}

/* What a row gives, by the two log-sum-exps: a's bits, b's bits, zeros, a NaN, or something between. */
static void test_rows(void **state)
{
    enum { BETWEEN, ALL_A, ALL_B, NONE, NANS };
    static const struct { float a, b; int gives; } rows[] = {
        {-INFINITY, 3, ALL_B},  {3, -INFINITY, ALL_A},    {-INFINITY, -INFINITY, NONE}, {-INFINITY, -2e38f, ALL_B},
        {NAN, 1, NANS},         {1, NAN, NANS},           {NAN, NAN, NANS},             {INFINITY, INFINITY, NANS},
        {1, INFINITY, ALL_B},   {INFINITY, -3e38f, ALL_A}, {1, 101, ALL_B},             {3e38f, -3e38f, ALL_A},
        {0.5f, 0.5f, BETWEEN},  {2, 1, BETWEEN},          {-300, -300.25f, BETWEEN},    {3e38f, 3e38f, BETWEEN},
    };
    (void)state;
    for (int p = 0; p < n_paths; p++) {
        static side a, b, to, back;
        make_side(&a, 1), make_side(&b, 2), make_side(&to, 3), make_side(&back, 4);
        for (size_t r = 0; r < COUNT(rows); r++) {
            a.lse[r] = rows[r].a, b.lse[r] = rows[r].b;
            for (int e = 0; e < E && a.lse[r] == -inf; e++) a.out[r][e] = NAN; /* must not be looked at */
            for (int e = 0; e < E && b.lse[r] == -inf; e++) b.out[r][e] = NAN;
        }
        a.out[20][3] = NAN, b.out[21][4] = NAN, a.out[22][5] = -0.0f, a.lse[22] = -inf, b.lse[22] = -inf;
        b.lse[23] = -inf, a.out[23][6] = -0.0f;
        merge_on(paths[p], 1, &a.o, &a.l, &b.o, &b.l, &to.o, &to.l);
        merge_on(paths[p], 3, &b.o, &b.l, &a.o, &a.l, &back.o, &back.l);
        for (int r = 0; r < ROWS; r++)
            for (int e = 0; e < E; e++) {
                const float y = to.out[r][e], l = to.lse[r], x = a.out[r][e], z = b.out[r][e];
                int gives = r < (int)COUNT(rows) ? rows[r].gives : r == 22 ? NONE : r == 23 ? ALL_A : BETWEEN;
                if ((r == 20 && e == 3) || (r == 21 && e == 4)) {
                    assert_true(isnan(y) && isfinite(l));
                    continue;
                }
                int right = gives == NANS    ? isnan(y) && isnan(l)
                            : gives == NONE  ? y == 0 && !signbit(y) && l == -inf
                            : gives == ALL_A ? !memcmp(&y, &x, sizeof y) && l == a.lse[r]
                            : gives == ALL_B ? !memcmp(&y, &z, sizeof y) && l == b.lse[r]
                                             : y >= fminf(x, z) - 1e-6f && y <= fmaxf(x, z) + 1e-6f && l >= a.lse[r] &&
                                                   l >= b.lse[r];
                if (!right) fail_msg("%s, row %d: %g and %g (%g, %g) give %g (%g)", paths[p], r, (double)x, (double)z,
                                     (double)a.lse[r], (double)b.lse[r], (double)y, (double)l);
                if (gives != NANS) assert_memory_equal(&y, &back.out[r][e], sizeof y);
                if (gives != NANS) assert_memory_equal(&l, &back.lse[r], sizeof l);
            }
    }
}

/* heed_merge: in place, with other dtypes, without lse; what is wrong is said. */
static void test_function(void **state)
{
    static side a, b, to;
    heed_error e;
    heed_engine *engine = harness_engine(2);
    (void)state;
    make_side(&a, 1), make_side(&b, 2), make_side(&to, 3);
    assert_int_equal(heed_merge(engine, &a.o, &a.l, &b.o, &b.l, &to.o, &to.l, &e), HEED_OK);
    assert_int_equal(heed_merge(engine, &a.o, &a.l, &b.o, &b.l, &a.o, &a.l, NULL), HEED_OK);
    assert_memory_equal(a.out, to.out, sizeof a.out);
    assert_memory_equal(a.lse, to.lse, sizeof a.lse);

    static uint16_t small[ROWS * E]; /* of zeros, in bfloat16 */
    make_side(&a, 1);
    for (int r = 0; r < ROWS; r++) a.lse[r] = b.lse[r];
    heed_tensor zeros = heed_tensor_of(small, HEED_BF16, 4, a.o.dim);
    memset(to.lse, 0x5a, sizeof to.lse);
    assert_int_equal(heed_merge(engine, &zeros, &a.l, &b.o, &b.l, &to.o, NULL, &e), HEED_OK);
    for (int r = 0; r < ROWS; r++)
        for (int i = 0; i < E; i++) assert_true(to.out[r][i] == b.out[r][i] / 2);
    assert_int_equal(((unsigned char *)to.lse)[0], 0x5a);

    heed_tensor few = tensor_slice(&b.l, 1, 0, ROWS - 1), half = b.l;
    half.dtype = HEED_F16;
    assert_int_equal(heed_merge(engine, &a.o, &a.l, &b.o, &few, &to.o, &to.l, &e), HEED_E_SHAPE);
    assert_non_null(strstr(e.text, "merge/attention: port lse_b: axis T is 34, but in port a 35"));
    assert_int_equal(heed_merge(engine, &a.o, &a.l, &b.o, &half, &to.o, &to.l, &e), HEED_E_SHAPE);
    assert_non_null(strstr(e.text, "port lse_b: dtype f16 is not taken here; it takes f32"));
    assert_int_equal(heed_merge(engine, &a.o, &a.l, &b.o, NULL, &to.o, &to.l, &e), HEED_E_ARGUMENT);
    assert_non_null(strstr(e.text, "the input lse_b (B T H: its log-sum-exp) is missing"));
    assert_int_equal(heed_merge(engine, &a.o, &a.l, &b.o, &b.l, &b.o, &to.l, &e), HEED_E_ARGUMENT);
    assert_non_null(strstr(e.text, "port out shares memory with port b"));
    assert_int_equal(heed_merge(engine, &a.o, &a.l, &b.o, &b.l, &to.o, &b.l, NULL), HEED_E_ARGUMENT);

    char folder[] = "/tmp/heed-merge-XXXXXX";
    heed_options none = {.size = sizeof none, .threads = 1, .plugins = mkdtemp(folder)};
    heed_engine *bare = heed_engine_new(&none, &e);
    assert_non_null(bare);
    assert_int_equal(heed_merge(bare, &a.o, &a.l, &b.o, &b.l, &to.o, &to.l, NULL), HEED_E_ARGUMENT);
    assert_int_equal(heed_merge(bare, &a.o, &a.l, &b.o, &b.l, &to.o, &to.l, &e), HEED_E_ARGUMENT);
    assert_non_null(strstr(e.text, "no plugin is loaded"));
    heed_engine_free(bare);
    rmdir(folder);
}

static int setup(void **state)
{
    (void)state;
    n_paths = harness_paths("merge/attention", paths);
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
        cmocka_unit_test(test_parts),
        cmocka_unit_test(test_rows),
        cmocka_unit_test(test_function),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
