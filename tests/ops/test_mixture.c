/* SPDX-License-Identifier: MIT
 *
 * test_mixture.c: attention/synthesizer_mixture: the softmax of mixed logits, whose members are
 * other ops; a member that has all of the share; and members that do not fit.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "lib/variant.h"

#define OP(name) "attention/synthesizer_" name

static const variant_row refused[] = {
    {REFUSED, OP("mixture"), .to = "needs the key \"a\""},
    {REFUSED, OP("mixture") "(softmax)", .to = "needs the key \"b\""},
    {REFUSED, OP("mixture") "(softmax, gau)",
     .to = "b=attention/gau does not tell its scores; softmax and the synthesizers do"},
    {REFUSED, OP("mixture") "(softmax, norm/rms)",
     .to = "b takes an op of kind attention, not norm/rms"},
    {REFUSED, OP("mixture") "(softmax(causal=true), softmax)", .to = "mask keys stand there"},
    {REFUSED, OP("mixture") "(softmax, " OP("mixture") "(softmax, softmax))",
     .to = "b=attention/synthesizer_mixture does not tell its scores"},
    {REFUSED, OP("mixture") "(softmax, synthesizer_random)", .to = "the weight table is missing"},
    {REFUSED, OP("mixture") "(softmax, softmax, softmax, softmax, softmax)",
     .to = "takes only 4 without a key"},
};

enum { MIX_T = 130, MIX_H = 4, MIX_G = 2, MIX_D = 10, MIX_E = 9, MIX_C = 144 };
static const char mix_axes[] = "B=1,T=130,S=130,H=4,G=2,D=10,E=9,C=144,W=4,J=5,A=12,U=12";

/* A mixture: its spec without the mask, its members in order, and the logarithms of their shares.
 */
typedef struct mix {
    const char *spec;
    const char *member[4]; /* ids without attention/ */
    double alpha[4];
    int per_head; /* alpha of member m is that of head 0; it grows by m / 4 from head to head */
} mix;

static double alpha_of(const mix *x, int m, int64_t h)
{
    return x->alpha[m] + (x->per_head ? (double)h * m / 4 : 0);
}

/* What a member's call has for a logit, in float64; queries and keys are those of `all`,
 * attention/softmax's. */
static double logit_of(const call *c, const call *all, int64_t h, int64_t i, int64_t j)
{
    const double *q = all->oracle.d[call_port(all, "q")] + (i * MIX_H + h) * MIX_D;
    const char *id = strchr(c->op->id, '/') + 1;
    double sum = 0, other = 0;
#define W(port) c->oracle.d[call_port(c, port)]
    if (!strcmp(id, "synthesizer_random")) return W("table")[(h * MIX_C + i) * MIX_C + j];
    if (!strcmp(id, "synthesizer_factorized_random")) {
        for (int r = 0; r < 5; r++)
            sum += W("rows")[(h * MIX_C + i) * 5 + r] * W("columns")[(h * MIX_C + j) * 5 + r];
        return sum;
    }
    for (int d = 0; d < MIX_D; d++) {
        if (!strcmp(id, "softmax"))
            sum += q[d] * W("k")[(j * MIX_G + h / 2) * MIX_D + d] / sqrt(MIX_D);
        else if (!strcmp(id, "synthesizer_dense"))
            sum += fmax(0, q[d]) * W("matrix")[(h * MIX_C + j) * MIX_D + d];
        else {
            sum += fmax(0, q[d]) * W("inner")[(h * 12 + j % 12) * MIX_D + d];
            other += fmax(0, q[d]) * W("outer")[(h * 12 + j / 12) * MIX_D + d];
        }
    }
#undef W
    return !strcmp(id, "synthesizer_factorized_dense") ? sum * other : sum;
}

/* Runs the mixture on the tensors of `all`, in chunks if chunk is not 0. */
static void run_mix(const mix *x, const call *members, const call *all, const char *isa,
                    uint32_t threads, int64_t chunk, float *out)
{
    heed_error e;
    heed_binding weights[20];
    heed_tensor alpha[4];
    float numbers[4][MIX_H];
    char names[20][40];
    uint32_t n = 0;
    int64_t axes[HEED_AXES];
    for (int a = 0; a < HEED_AXES; a++)
        axes[a] = strchr("HGDE", 'A' + a) ? all->oracle.axis[a] : -1;
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
    heed_opening opening = {
        .size = sizeof opening, .n_weights = n, .weights = weights, .axes = axes, .isa = isa};
    heed_instance *i = heed_instance_open(harness_engine(threads), x->spec, &opening, &e);
    if (!i) fail_msg("%s", e.text);
    heed_sequence *s = chunk ? heed_sequence_new(i, axes, &e) : NULL;
    heed_tensor to = heed_tensor_of(out, HEED_F32, 4, (int64_t[]){1, MIX_T, MIX_H, MIX_E});
    const int needs = strstr(x->spec, "dense") || strstr(x->spec, "softmax");
    for (int64_t t = 0, k = chunk ? chunk : MIX_T; t < MIX_T; t += k) {
        k = MIX_T - t < k ? MIX_T - t : k;
        heed_tensor q = tensor_slice(&all->plain[call_port(all, "q")], 1, t, k);
        heed_tensor key = tensor_slice(&all->plain[call_port(all, "k")], 1, t, k);
        heed_tensor v = tensor_slice(&all->plain[call_port(all, "v")], 1, t, k),
                    y = tensor_slice(&to, 1, t, k);
        heed_binding in[] = {{"v", &v}, {"q", needs ? &q : NULL}, {"k", needs ? &key : NULL}};
        if (heed_run(i, in, 3, &(heed_binding){"out", &y}, 1, chunk ? &s : NULL, &e))
            fail_msg("%s: %s", x->spec, e.text);
    }
    heed_sequence_free(s);
    heed_instance_close(i);
}

/* A mixture is the random synthesizer of the mixed logits, which are formed in float64; the same
 * bits on every path, and in every form of a call. */
static void test_mixtures(void **state)
{
    static const mix mixes[] = {
        {OP("mixture") "(synthesizer_random, synthesizer_factorized_random, causal=true)",
         {"synthesizer_random", "synthesizer_factorized_random"},
         {0.3, -0.2},
         1},
        {OP("mixture") "(synthesizer_dense, softmax, causal=true)",
         {"synthesizer_dense", "softmax"},
         {0, 0.9},
         0},
        {OP("mixture") "(synthesizer_factorized_dense, synthesizer_random, softmax, "
                       "synthesizer_dense, causal=true)",
         {"synthesizer_factorized_dense", "synthesizer_random", "softmax", "synthesizer_dense"},
         {0.5, -1, 0.25, 0},
         1},
    };
    (void)state;
    for (size_t k = 0; k < COUNT(mixes); k++) {
        const mix *x = &mixes[k];
        call all, members[4], table;
        call_case all_how = {"attention/softmax", mix_axes, "key_lengths", HEED_F32, 1, 3}, how[4];
        call_case table_how = {
            OP("random") "(causal=true)", mix_axes, "+table,key_lengths", HEED_F32, 1, 4};
        char spec[4][60];
        const char *paths[8];
        static float first[MIX_T * MIX_H * MIX_E], other[MIX_T * MIX_H * MIX_E];
        heed_tensor y[ORACLE_PORTS];
        call_make(&all, &all_how), call_make(&table, &table_how);
        tensor_copy(&table.plain[call_port(&table, "v")], &all.plain[call_port(&all, "v")]);
        int count = 0;
        for (; count < 4 && x->member[count]; count++) {
            const uint64_t seed =
                strcmp(x->member[count], "softmax") ? 10 + (uint64_t)count : all_how.seed;
            snprintf(spec[count], sizeof *spec, "attention/%s", x->member[count]);
            how[count] = (call_case){spec[count], mix_axes, "+table,+rows,+columns,key_lengths",
                                     HEED_F32,    1,        seed};
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
                    tensor_put(&table.plain[call_port(&table, "table")],
                               (h * MIX_C + i) * MIX_C + j, s);
                }
        }
        call_run(&table, NULL, 1, PLAIN, y);
        int n = harness_paths(OP("mixture"), paths);
        run_mix(x, members, &all, paths[0], 1, 0, first);
        for (int i = 0; i < MIX_T * MIX_H * MIX_E; i++)
            if (!(fabs((double)first[i] - tensor_get(&y[call_port(&table, "out")], i)) < 3e-5))
                fail_msg("%s: output %d is %g, and %g by a table of the mixed logits", x->spec, i,
                         (double)first[i], tensor_get(&y[call_port(&table, "out")], i));
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

/* With all of the share a member is alone: the table's bits; softmax's numbers, whose scale is
 * multiplied in later. */
static void test_one_hot(void **state)
{
    static const mix only[] = {
        {OP("mixture") "(synthesizer_random, softmax, causal=true)",
         {"synthesizer_random", "softmax"},
         {0, -2000},
         0},
        {OP("mixture") "(synthesizer_random, softmax, causal=true)",
         {"synthesizer_random", "softmax"},
         {-2000, 0},
         0},
    };
    call c[2];
    const char *paths[8];
    call_case how[] = {
        {OP("random") "(causal=true)", mix_axes, "+table,key_lengths", HEED_F32, 1, 3},
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

/* Members that do not fit a call. */
static void test_refused_calls(void **state)
{
    static const struct {
        const char *spec;
        int T, q, heads;
        const char *says;
    } calls[] = {
        {OP("mixture") "(synthesizer_random(fixed=1, longest=8), softmax)", 9, 1, 2,
         "there are logits for 8 positions, and 9 are needed"},
        {OP("mixture") "(synthesizer_random(fixed=1, longest=8), softmax)", 8, 0, 2,
         "softmax needs the input q"},
        {OP("mixture") "(synthesizer_random(fixed=1, longest=8), softmax, causal=offset:-2)", 5, 1,
         2, "the mask puts a query at -2"},
        {OP("mixture") "(synthesizer_random(fixed=1, longest=8), synthesizer_random(fixed=2, "
                       "longest=9))",
         8, 0, 2, NULL},
    };
    (void)state;
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
        heed_binding in[] = {
            {"v", &t[0]}, {"q", calls[w].q ? &t[1] : NULL}, {"k", calls[w].q ? &t[2] : NULL}};
        int32_t failed = heed_run(i, in, 3, &(heed_binding){"out", &t[3]}, 1, NULL, &e);
        if (calls[w].says) variant_says(calls[w].spec, &e, calls[w].says);
        else assert_int_equal(failed, HEED_OK);
        heed_instance_close(i);
    }
}

int main(void)
{
    const struct CMUnitTest own[] = {cmocka_unit_test(test_mixtures),
                                     cmocka_unit_test(test_one_hot),
                                     cmocka_unit_test(test_refused_calls)};
    return variant_main(refused, COUNT(refused), own, COUNT(own));
}
