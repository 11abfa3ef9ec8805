/* SPDX-License-Identifier: MIT
 *
 * test_mixture.c: attention/synthesizer_mixture: the softmax of mixed logits, whose members are
 * other ops; a member that has all of the share; members that do not fit; and its gradients, with
 * those of its members' weights, against central differences of the formula in float64.
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

/* ---- backward ---- */

/* The tensors of a mixture, and among its weights those of the one member that has them. */
enum { Q, K, V, ALPHA, MATRIX, OFFSET, TABLE, ROWS, COLUMNS, INNER, OUTER, TENSORS };
enum { LONGEST = 121, RANK = 3, SIDE = 11, CAP = 2 };

typedef struct slopes_case {
    const char *spec;
    const char *member[4]; /* ids without attention/synthesizer_ */
    int causal, matrices, B, T, H, G, D, E;
} slopes_case;

typedef struct slopes {
    const slopes_case *is;
    heed_tensor t[TENSORS], g[TENSORS]; /* data NULL: there is none */
    char name[TENSORS][40];
    double *d[TENSORS];
    heed_tensor out, lse, d_out, d_lse;
    int64_t length[4];
} slopes;

static heed_tensor numbers(uint64_t *seed, int rank, const int64_t *dim)
{
    heed_tensor t = heed_tensor_of(NULL, HEED_F32, rank, dim);
    if (heed_tensor_alloc(&t, NULL)) fail_msg("no memory");
    for (int64_t i = 0; i < heed_tensor_elements(&t); i++)
        tensor_put(&t, i, (double)harness_normal(seed));
    return t;
}

static int member_of(const slopes_case *x, const char *id)
{
    for (int m = 0; m < 4 && x->member[m]; m++)
        if (!strcmp(x->member[m], id)) return m;
    return -1;
}

static int members_of(const slopes_case *x)
{
    int n = 0;
    while (n < 4 && x->member[n]) n++;
    return n;
}

static void slopes_make(slopes *x, const slopes_case *is, uint64_t seed)
{
    static const struct {
        const char *member, *name;
    } from[TENSORS] = {{"", "q"},
                       {"", "k"},
                       {"", "v"},
                       {"", "alpha"},
                       {"dense", "matrix"},
                       {"dense", "offset"},
                       {"random", "table"},
                       {"factorized_random", "rows"},
                       {"factorized_random", "columns"},
                       {"factorized_dense", "inner"},
                       {"factorized_dense", "outer"}};
    const int64_t C = LONGEST, W = is->matrices,
                  dim[TENSORS][4] = {{is->B, is->T, is->H, is->D},
                                     {is->B, is->T, is->G, is->D},
                                     {is->B, is->T, is->G, is->E},
                                     {members_of(is), is->H},
                                     {W, C, is->D},
                                     {W, C},
                                     {is->H, C, C},
                                     {is->H, C, RANK},
                                     {is->H, C, RANK},
                                     {W, SIDE, is->D},
                                     {W, SIDE, is->D}};
    static const int rank[TENSORS] = {4, 4, 4, 2, 3, 2, 3, 3, 3, 3, 3};
    *x = (slopes){.is = is};
    for (int k = 0; k < TENSORS; k++) {
        const int m = *from[k].member ? member_of(is, from[k].member) : 0;
        if (m < 0) continue;
        x->t[k] = numbers(&seed, rank[k], dim[k]);
        x->g[k] = numbers(&seed, rank[k], dim[k]);
        const int64_t n = heed_tensor_elements(&x->t[k]);
        x->d[k] = calloc((size_t)n + 1, sizeof(double));
        for (int64_t i = 0; i < n; i++) x->d[k][i] = tensor_get(&x->t[k], i);
        snprintf(x->name[k], sizeof x->name[k], "%s%s", *from[k].member ? "a." : "", from[k].name);
        if (*from[k].member) x->name[k][0] = (char)('a' + m);
    }
    const int64_t out[] = {is->B, is->T, is->H, is->E};
    x->out = numbers(&seed, 4, out), x->d_out = numbers(&seed, 4, out);
    x->lse = numbers(&seed, 3, out), x->d_lse = numbers(&seed, 3, out);
    for (int b = 0; b < is->B; b++) x->length[b] = is->T - (is->causal ? 0 : 2 * b);
}

static void slopes_free(slopes *x)
{
    for (int k = 0; k < TENSORS; k++) free(x->t[k].data), free(x->g[k].data), free(x->d[k]);
    free(x->out.data), free(x->lse.data), free(x->d_out.data), free(x->d_lse.data);
}

/* A member's logit. */
static double member_logit(const slopes *x, int m, int64_t b, int64_t h, int64_t i, int64_t j)
{
    const slopes_case *is = x->is;
    const double *q = x->d[Q] + ((b * is->T + i) * is->H + h) * is->D,
                 *k = x->d[K] + ((b * is->T + j) * is->G + h * is->G / is->H) * is->D;
    const char *id = is->member[m];
    const int64_t w = is->matrices == 1 ? 0 : h, C = LONGEST;
    double sum = 0, other = 0;
    if (!strcmp(id, "random")) return x->d[TABLE][(h * C + i) * C + j];
    if (!strcmp(id, "factorized_random")) {
        for (int r = 0; r < RANK; r++)
            sum += x->d[ROWS][(h * C + i) * RANK + r] * x->d[COLUMNS][(h * C + j) * RANK + r];
        return sum;
    }
    if (!strcmp(id, "dense")) sum = x->d[OFFSET][w * C + j];
    for (int d = 0; d < is->D; d++) {
        if (!strcmp(id, "softmax")) sum += q[d] * k[d] / sqrt(is->D);
        else if (!strcmp(id, "dense")) sum += fmax(0, q[d]) * x->d[MATRIX][(w * C + j) * is->D + d];
        else {
            sum += fmax(0, q[d]) * x->d[INNER][(w * SIDE + j % SIDE) * is->D + d];
            other += fmax(0, q[d]) * x->d[OUTER][(w * SIDE + j / SIDE) * is->D + d];
        }
    }
    return !strcmp(id, "softmax") ? CAP * tanh(sum / CAP)
           : !strcmp(id, "dense") ? sum
                                  : sum * other;
}

/* One query's outputs times what comes. */
static double query_loss(const slopes *x, int64_t b, int64_t h, int64_t i, const double *share)
{
    const slopes_case *is = x->is;
    const int64_t last = is->causal ? i + 1 : x->length[b], row = (b * is->T + i) * is->H + h;
    double s[LONGEST], sum = 0, loss = 0;
    for (int64_t j = 0; j < last; j++) {
        s[j] = 0;
        for (int m = 0; m < members_of(is); m++) s[j] += share[m] * member_logit(x, m, b, h, i, j);
        sum += exp(s[j]);
    }
    for (int64_t j = 0; j < last; j++)
        for (int e = 0; e < is->E; e++)
            loss += exp(s[j]) / sum * tensor_get(&x->d_out, row * is->E + e) *
                    x->d[V][((b * is->T + j) * is->G + h * is->G / is->H) * is->E + e];
    return loss + log(sum) * tensor_get(&x->d_lse, row);
}

static double loss_of(const slopes *x)
{
    const slopes_case *is = x->is;
    double loss = 0;
    for (int64_t h = 0; h < is->H; h++) {
        double share[4] = {0}, sum = 0;
        for (int m = 0; m < members_of(is); m++) sum += exp(x->d[ALPHA][m * is->H + h]);
        for (int m = 0; m < members_of(is); m++) share[m] = exp(x->d[ALPHA][m * is->H + h]) / sum;
        for (int64_t b = 0; b < is->B; b++)
            for (int64_t i = 0; i < is->T; i++) loss += query_loss(x, b, h, i, share);
    }
    return loss;
}

/* The bindings of all tensors of these, [TENSORS]: the weights first, whose number comes back. */
static uint32_t slopes_bind(const slopes *x, heed_tensor *of, heed_tensor alpha[4],
                            heed_binding *to, uint32_t *weights)
{
    static const char *const alphas[] = {"alpha_a", "alpha_b", "alpha_c", "alpha_d"};
    uint32_t n = 0;
    for (int m = 0; m < members_of(x->is); m++, n++) {
        alpha[m] = tensor_slice(&of[ALPHA], 0, m, 1);
        alpha[m] = heed_tensor_of(alpha[m].data, HEED_F32, 1, (int64_t[]){x->is->H});
        to[n] = (heed_binding){alphas[m], &alpha[m]};
    }
    for (int k = MATRIX; k < TENSORS; k++)
        if (of[k].data) to[n++] = (heed_binding){x->name[k], &of[k]};
    *weights = n;
    for (int k = Q; k <= V; k++) to[n++] = (heed_binding){x->name[k], &of[k]};
    return n;
}

/* Gradients of weights are added to 0. */
static void slopes_run(slopes *x, const char *isa, uint32_t threads)
{
    heed_error e;
    heed_binding in[24], to[24], outs[] = {{"out", &x->out}, {"lse", &x->lse}};
    heed_tensor alpha[4], d_alpha[4];
    const slopes_case *is = x->is;
    heed_tensor lengths = heed_tensor_of(x->length, HEED_I64, 1, (int64_t[]){is->B});
    int64_t axes[HEED_AXES];
    for (int a = 0; a < HEED_AXES; a++) axes[a] = -1;
    axes['H' - 'A'] = is->H, axes['G' - 'A'] = is->G, axes['D' - 'A'] = is->D;
    axes['E' - 'A'] = is->E;
    uint32_t weights, some, n = slopes_bind(x, x->t, alpha, in, &weights);
    heed_opening opening = {
        .size = sizeof opening, .n_weights = weights, .weights = in, .axes = axes, .isa = isa};
    heed_instance *i = heed_instance_open(harness_engine(threads), is->spec, &opening, &e);
    if (!i) fail_msg("%s", e.text);
    if (!is->causal) in[n++] = (heed_binding){"key_lengths", &lengths};
    if (heed_run(i, in + weights, n - weights, outs, 2, NULL, &e)) fail_msg("%s", e.text);
    for (int k = 0; k < TENSORS; k++)
        for (int64_t l = 0; x->g[k].data && l < heed_tensor_elements(&x->g[k]); l++)
            tensor_put(&x->g[k], l, k <= V ? NAN : 0);
    uint32_t m = slopes_bind(x, x->g, d_alpha, to, &some);
    to[m++] = (heed_binding){"out", &x->d_out}, to[m++] = (heed_binding){"lse", &x->d_lse};
    if (heed_backward(i, in + weights, n - weights, outs, 2, to, m, &e))
        fail_msg("%s: %s", is->spec, e.text);
    heed_instance_close(i);
}

/* Along each element of a small tensor, or along a random way of a large one. */
static void slopes_judge(slopes *x, int k, uint64_t seed)
{
    const int64_t n = heed_tensor_elements(&x->t[k]), each = n <= 200 ? n : 1;
    const double h = 1e-5;
    double *way = calloc((size_t)n, sizeof *way);
    for (int64_t turn = 0; turn < each; turn++) {
        double is = 0, size = 0, slope = 0;
        for (int64_t i = 0; i < n; i++) {
            way[i] = each > 1 ? i == turn : (double)harness_normal(&seed);
            is += way[i] * tensor_get(&x->g[k], i);
            size += fabs(way[i] * tensor_get(&x->g[k], i));
        }
        for (int back = 0; back < 2; back++) {
            for (int64_t i = 0; i < n; i++) x->d[k][i] += (back ? -h : h) * way[i];
            slope += (back ? -1 : 1) * loss_of(x) / (2 * h);
            for (int64_t i = 0; i < n; i++) x->d[k][i] = tensor_get(&x->t[k], i);
        }
        if (!(fabs(is - slope) <= 2e-5 * (1 + size)))
            fail_msg("%s: the gradient of %s tells a slope of %.9g, and the formula has %.9g",
                     x->is->spec, x->name[k], is, slope);
    }
    free(way);
}

/* The gradients have the bits of `first`. */
static void slopes_same(const slopes *x, const slopes *first, const char *when)
{
    for (int k = 0; k < TENSORS; k++)
        if (x->g[k].data && !tensors_equal(&x->g[k], &first->g[k]))
            fail_msg("%s, %s: %s", x->is->spec, when,
                     tensors_difference(x->name[k], &x->g[k], &first->g[k]));
}

/* NaNs in the keys and values that a sequence's length leaves out. */
static void slopes_hide(slopes *x)
{
    const slopes_case *is = x->is;
    for (int k = K; k <= V; k++)
        for (int64_t b = 0, width = is->G * x->t[k].dim[3]; b < is->B; b++)
            for (int64_t i = x->length[b] * width; i < is->T * width; i++)
                tensor_put(&x->t[k], b * is->T * width + i, NAN);
}

static void test_slopes(void **state)
{
    static const slopes_case cases[] = {
        {OP("mixture") "(synthesizer_dense, softmax(softcap=2), synthesizer_random, "
                       "synthesizer_factorized_random, causal=true)",
         {"dense", "softmax", "random", "factorized_random"},
         1,
         2,
         2,
         4,
         2,
         1,
         3,
         2},
        {OP("mixture") "(synthesizer_dense, softmax(softcap=2), synthesizer_random, "
                       "synthesizer_factorized_random, causal=true)",
         {"dense", "softmax", "random", "factorized_random"},
         1,
         4,
         2,
         115,
         4,
         2,
         20,
         18},
        {OP("mixture") "(softmax(softcap=2), synthesizer_factorized_dense)",
         {"softmax", "factorized_dense"},
         0,
         1,
         2,
         5,
         2,
         2,
         2,
         3},
        {OP("mixture") "(synthesizer_factorized_dense, synthesizer_dense, softmax(softcap=2))",
         {"factorized_dense", "dense", "softmax"},
         0,
         1,
         3,
         110,
         2,
         1,
         5,
         17},
    };
    (void)state;
    for (size_t c = 0; c < COUNT(cases); c++) {
        if (cases[c].T > 100 && harness_skips(c, 2)) continue;
        const char *paths[8];
        const int n = harness_paths(OP("mixture"), paths);
        slopes first, again;
        slopes_make(&first, &cases[c], 7 + c), slopes_make(&again, &cases[c], 7 + c);
        slopes_run(&first, paths[0], 1);
        for (int k = 0; k < TENSORS; k++)
            if (first.t[k].data) slopes_judge(&first, k, 90 + c);
        for (int k = 1; k < 3 * n; k++) {
            slopes_run(&again, paths[k / 3], 1 + (uint32_t)k % 3);
            slopes_same(&again, &first, paths[k / 3]);
        }
        slopes_hide(&again);
        slopes_run(&again, NULL, 2);
        slopes_same(&again, &first, "with NaNs behind the mask");
        slopes_free(&first), slopes_free(&again);
    }
}

int main(void)
{
    const struct CMUnitTest own[] = {
        cmocka_unit_test(test_mixtures), cmocka_unit_test(test_one_hot),
        cmocka_unit_test(test_refused_calls), cmocka_unit_test(test_slopes)};
    return variant_main(refused, COUNT(refused), own, COUNT(own));
}
