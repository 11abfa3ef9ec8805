/* SPDX-License-Identifier: MIT
 *
 * test_synthesizer.c: the synthesizers, whose weights are made in other ways than softmax(q k):
 * each against its formula, with equal bits in every form of a call; causality, NaNs, golden
 * values; identities between members of the family; and bad input.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "lib/variant.h"

#define OP(name) "attention/synthesizer_" name

static const char *const settings[] = {
    "",
    "(causal=true)",
    "(causal=bottom_right)",
    "(causal=true, window=20:3, sinks=2)",
    "(causal=true, prefix=19)",
    "(position=alibi, causal=true)",
    NULL,
};
static const char *const causal[] = {"(causal=true)", "(position=alibi, causal=true)",
                                     "(causal=true, window=30)", NULL};

#define USUAL (SHAPES | PHASES | BATCH | VALUES)
#define MEMBER .one_axis = 1, .settings = settings, .causal = causal

/* X W1 by hand; W2 is kept turned: a row for each position. */
static void dense_golden(call *c)
{
    for (uint32_t i = 0; i < 16; i++) {
        double sum = 0;
        for (uint32_t k = 0; k < 4; k++)
            sum += variant_g(7, i / 4 * 4 + k) * 0.5 * variant_g(8, k * 4 + i % 4);
        tensor_put(&c->plain[call_port(c, "q")], i, sum);
        tensor_put(&c->plain[call_port(c, "matrix")], i, 0.5 * variant_g(9, i % 4 * 4 + i / 4));
    }
}

/* The factors are linear there: x = relu(x) - relu(-x). They are X W, A of j div 2 and C of j
 * mod 2. */
static void factorized_golden(call *c)
{
    for (uint32_t i = 0; i < 4; i++)
        for (uint32_t d = 0; d < 8; d++) {
            const double sign = d < 4 ? 1 : -1;
            const double inner = variant_g(14, d % 4 * 2 + i), outer = variant_g(13, d % 4 * 2 + i);
            tensor_put(&c->plain[call_port(c, "q")], i * 8 + d, sign * variant_g(7, i * 4 + d % 4));
            if (i >= 2) continue;
            tensor_put(&c->plain[call_port(c, "inner")], i * 8 + d, sign * 0.5 * inner);
            tensor_put(&c->plain[call_port(c, "outer")], i * 8 + d, sign * 0.5 * outer);
        }
}

/* The longest sequence, C, is a little longer than those of the calls. */
static const variant_row members[] = {
    {USUAL, OP("random"), ",C=T+5", "+table", MEMBER, .size = 4},
    {USUAL, OP("factorized_random"), ",C=T+5,J=7", "+rows,+columns", MEMBER, .size = 4},
    {USUAL, OP("dense"), ",C=T+5,W=H", "+offset", MEMBER, .size = 4},
    {USUAL, OP("dense"), ",C=T+5,W=1", "", MEMBER, .size = 4},
    {USUAL, OP("factorized_dense"), ",C=T+5,W=H,A=16,U=C/A", "", MEMBER},
    {USUAL, OP("factorized_dense"), ",C=T+5,W=1,A=5,U=C/A", "", MEMBER},

    /* As long as the longest. */
    {FORMULA, OP("random"), "B=1,T=300,H=2,G=2,D=20,E=64,C=300", "+table,key_lengths"},
    {FORMULA, OP("factorized_random") "(causal=true)", "B=3,T=15,H=6,G=2,D=2,E=1,C=15,J=7",
     "+rows,+columns,key_lengths"},
    {FORMULA, OP("dense") "(causal=true)", "B=1,T=65,H=3,G=3,D=33,E=31,C=65,W=3",
     "+offset,key_lengths"},
    {FORMULA, OP("dense"), "B=1,T=300,H=2,G=2,D=20,E=64,C=300,W=1", "key_lengths"},
    {FORMULA, OP("factorized_dense") "(causal=true)", "B=1,T=1,H=1,G=1,D=1,E=1,W=1,A=1,U=1",
     "key_lengths"},
    {FORMULA, OP("factorized_dense"), "B=1,T=65,H=3,G=3,D=33,E=31,W=1,A=5,U=13", "key_lengths"},

    {GOLDEN, OP("random") "(causal=true)", "B=1,T=4,S=4,H=1,G=1,E=4,C=4", "+table,key_lengths",
     .fill = "v:3 table:10", .row = 3, .right = {-0.003791, -0.015459, 0.335473, 0.132702}},
    {GOLDEN, OP("factorized_random") "(causal=true)", "B=1,T=4,S=4,H=1,G=1,E=4,C=4,J=2",
     "+rows,+columns,key_lengths", .fill = "v:3 rows:11 columns:12", .row = 3,
     .right = {-0.130048, 0.091765, 0.396983, 0.350156}},
    {GOLDEN, OP("dense") "(causal=true)", "B=1,T=4,S=4,H=1,G=1,D=4,E=4,C=4,W=1", "key_lengths",
     .fill = "v:3", .set = dense_golden, .row = 3,
     .right = {0.122434, -0.003332, 0.193507, 0.316869}},
    {GOLDEN, OP("factorized_dense") "(causal=true)", "B=1,T=4,S=4,H=1,G=1,D=8,E=4,W=1,A=2,U=2",
     "key_lengths", .fill = "v:3", .set = factorized_golden, .row = 3,
     .right = {0.251831, -0.059344, 0.092924, 0.263627}},

    /* A number draws the weights: by the formula, too. */
    {FORMULA, OP("random") "(fixed=7, causal=true)", "B=2,T=37,H=4,G=2,E=5,C=40", "key_lengths"},
    {FORMULA, OP("factorized_random") "(fixed=7)", "B=2,T=37,H=4,G=2,E=5,C=40,J=3", "+documents"},

    {REFUSED, OP("random"),
     .to = "the weight table is missing; fixed=N would draw it from the number N"},
    {REFUSED, OP("random") "(fixed=1)", .to = "fixed= draws table for a number of heads"},
    {REFUSED, OP("random") "(fixed=-1)", .to = "fixed"},
    {REFUSED, OP("random") "(longest=0)", .to = "longest"},
    {REFUSED, OP("random") "(scale=2)", .to = "unknown key \"scale\""},
    {REFUSED, OP("random") "(position=rope)", .to = "does not act on scores"},
    {REFUSED, OP("random") "(fixed=3, longest=16777216)", .to = "fixed= draws table"},
    {REFUSED, OP("factorized_random"),
     .to = "the weight rows is missing; fixed=N would draw it from the number N"},
    {REFUSED, OP("factorized_random") "(fixed=1, longest=9)",
     .to = "fixed= draws rows for a number of heads"},
    {REFUSED, OP("dense"), .to = "the weight matrix (W C D"},
    {REFUSED, OP("dense") "(matrices=0)", .to = "matrices"},
    {REFUSED, OP("factorized_dense"), .to = "the weight inner (W A D"},

    /* Weights without a matrix, for calls with heads. */
    {REFUSED, OP("dense"), "B=1,T=5,H=2,G=2,D=8,E=4,C=5,W=0", "+offset",
     .to = "there are logits for 0 heads, and q has 2"},
    {REFUSED, OP("factorized_dense"), "B=1,T=5,H=2,G=2,D=8,E=4,W=0,A=3,U=2", "",
     .to = "there are logits for 0 heads, and q has 2"},
};

/* ---- identities ---- */

static double largest_difference(const call *a, const heed_tensor *x, const call *b,
                                 const heed_tensor *y)
{
    const heed_tensor *p = &x[call_port(a, "out")], *q = &y[call_port(b, "out")];
    double most = 0;
    for (int64_t i = 0; i < heed_tensor_elements(p); i++)
        most = fmax(most, fabs(tensor_get(p, i) - tensor_get(q, i)));
    return most;
}

/* A factorised member and the plain one of the product, which is formed in float64: the same but
 * for rounding. */
static void test_products(void **state)
{
    enum { T = 130, H = 3, D = 10, E = 9, C = 144, R = 5, A = 12, U = 12 };
    static const char axes[] = "B=1,T=130,S=130,H=3,G=1,D=10,E=9,C=144,W=3,J=5,A=12,U=12";
    (void)state;
    for (int low = 0; low < 2; low++) {
        call_case how = {low ? OP("factorized_random") "(causal=true)"
                             : OP("factorized_dense") "(causal=true)",
                         axes,
                         low ? "+rows,+columns,key_lengths" : "key_lengths",
                         HEED_F32,
                         1,
                         4};
        call_case of_product = {
            OP("random") "(causal=true)", axes, "+table,key_lengths", HEED_F32, 1, 5};
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
                        const double q =
                            fmax(0, tensor_get(&c.plain[call_port(&c, "q")], (i * H + h) * D + k));
                        sum += q * tensor_get(&c.plain[call_port(&c, "inner")],
                                              (h * A + j % A) * D + k);
                        outer += q * tensor_get(&c.plain[call_port(&c, "outer")],
                                                (h * U + j / A) * D + k);
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

/* Softmax with relu(q) for queries and the matrix for keys is the dense synthesizer, bit for bit.
 */
static void test_dense_is_softmax(void **state)
{
    enum { T = 133, H = 2, D = 24 };
    call_case how = {OP("dense") "(causal=true)",
                     "B=1,T=133,S=133,H=2,G=2,D=24,E=20,C=133,W=2",
                     "key_lengths",
                     HEED_F32,
                     1,
                     4};
    call_case plain = {"attention/softmax(causal=true, scale=1)",
                       "B=1,T=133,S=133,H=2,G=2,D=24,E=20",
                       "key_lengths",
                       HEED_F32,
                       1,
                       5};
    call c, d;
    const char *paths[8];
    (void)state;
    call_make(&c, &how), call_make(&d, &plain);
    tensor_copy(&d.plain[call_port(&d, "v")], &c.plain[call_port(&c, "v")]);
    for (int64_t i = 0; i < T * H * D; i++) {
        tensor_put(&d.plain[call_port(&d, "q")], i,
                   fmax(0, tensor_get(&c.plain[call_port(&c, "q")], i)));
        const int64_t from = ((i / D % H) * T + i / D / H) * D + i % D;
        tensor_put(&d.plain[call_port(&d, "k")], i,
                   tensor_get(&c.plain[call_port(&c, "matrix")], from));
    }
    int n = harness_paths(c.op->id, paths);
    for (int p = 0; p < n; p++) {
        heed_tensor x[ORACLE_PORTS], y[ORACLE_PORTS];
        call_run(&c, paths[p], 2, PLAIN, x), call_run(&d, paths[p], 2, PLAIN, y);
        assert_memory_equal(x[call_port(&c, "out")].data, y[call_port(&d, "out")].data,
                            x[call_port(&c, "out")].bytes);
        outputs_free(x), outputs_free(y);
    }
    call_free(&c), call_free(&d);
}

/* ---- fixed random ---- */

/* Runs an op that needs v alone on v [1, T, 2, 5]. */
static void run_fixed(const char *spec, const char *isa, int64_t heads, float *v, float *out,
                      int64_t T)
{
    heed_error e;
    int64_t axes[HEED_AXES];
    for (int a = 0; a < HEED_AXES; a++) axes[a] = a == 'H' - 'A' ? heads : -1;
    heed_opening opening = {.size = sizeof opening, .axes = axes, .isa = isa};
    heed_instance *i = heed_instance_open(harness_engine(2), spec, &opening, &e);
    if (!i) fail_msg("%s", e.text);
    heed_tensor tv = heed_tensor_of(v, HEED_F32, 4, (int64_t[]){1, T, 2, 5});
    heed_tensor to = heed_tensor_of(out, HEED_F32, 4, (int64_t[]){1, T, heads, 5});
    if (heed_run(i, &(heed_binding){"v", &tv}, 1, &(heed_binding){"out", &to}, 1, NULL, &e))
        fail_msg("%s", e.text);
    heed_instance_close(i);
}

/* A number makes the table: the same one the same, on every path; another one another. */
static void test_fixed(void **state)
{
    static const char *const specs[][2] = {
        {OP("random") "(fixed=7, longest=60, causal=true)",
         OP("random") "(fixed=8, longest=60, causal=true)"},
        {OP("factorized_random") "(fixed=7, rank=3, longest=50)",
         OP("factorized_random") "(fixed=8, rank=3, longest=50)"},
    };
    enum { T = 50 };
    float v[T * 10], first[T * 20], other[T * 20];
    uint64_t seed = 3;
    (void)state;
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

/* Calls that fit the ports but not the logits: as a whole, or the second of two chunks. */
static void test_refused_calls(void **state)
{
    static const struct {
        const char *setting;
        int T, chunk, longest;
        const char *says;
    } wrong[] = {
        {"", 9, 0, 8, "sequence 0 has 9 tokens, and there are logits for 8"},
        {"", 9, 5, 8, "sequence 0 has 9 tokens, and there are logits for 8"},
        {"(causal=offset:-1)", 5, 0, 8, "positions -1 to 3, and there are logits for 0 to 7"},
        {"(causal=offset:4)", 5, 0, 8, "positions 4 to 8, and there are logits for 0 to 7"},
    };
    (void)state;
    for (size_t m = 0; m < 4; m++) /* of the others the longest sequence is a product */
        for (size_t w = 0; w < COUNT(wrong); w++) {
            char axes[80];
            call c;
            heed_error e = {0};
            heed_tensor out[ORACLE_PORTS];
            variant_row row = members[m];
            if (w >= 2 && m >= 2) continue; /* their logits do not follow from the position */
            row.axes = m == 0 ? ",C=8" : m == 1 ? ",C=8,J=7" : m == 2 ? ",C=8,W=H" : ",C=8,W=1";
            snprintf(axes, sizeof axes, "B=1,T=%d,H=2,G=1,D=4,E=5", wrong[w].T);
            call_case how = variant_case(&row, axes, wrong[w].setting, "key_lengths", 1);
            call_make(&c, &how);
            heed_instance *i = call_open(&c, NULL, 1);
            heed_sequence *s = heed_sequence_new(i, c.oracle.axis, NULL);
            outputs_make(&c, out);
            if (wrong[w].chunk) variant_must_feed(&c, i, &s, 0, wrong[w].chunk, out);
            const int32_t failed = variant_feed(&c, i, wrong[w].chunk ? &s : NULL, wrong[w].chunk,
                                                wrong[w].T - wrong[w].chunk, out, &e);
            assert_int_not_equal(failed, HEED_OK);
            variant_says(how.spec, &e, wrong[w].says);
            assert_int_equal(heed_sequence_length(s), wrong[w].chunk);
            heed_sequence_free(s);
            heed_instance_close(i);
            outputs_free(out);
            call_free(&c);
        }
}

int main(void)
{
    const struct CMUnitTest own[] = {
        cmocka_unit_test(test_products), cmocka_unit_test(test_dense_is_softmax),
        cmocka_unit_test(test_fixed), cmocka_unit_test(test_refused_calls)};
    return variant_main(members, COUNT(members), own, COUNT(own));
}
