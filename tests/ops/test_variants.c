/* SPDX-License-Identifier: MIT
 *
 * test_variants.c: the variants of attention that stand on kit/flash: each against its own formula on the shapes that
 * hurt, with the same bits on all paths, at 1, 2, 3 and 7 threads and in every layout; whole, in chunks and token by
 * token; nothing from the future; the golden values of their papers' formulas; and what they are equal to where they
 * must be.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "lib/harness.h"

#define COUNT(array) (sizeof(array) / sizeof *(array))

/* A variant, the axes of its own weights, and whether a query sees no later key. */
static const struct variant {
    const char *spec, *axes, *with; /* optional weights and inputs */
    int causal;
} variants[] = {
    {"attention/window(left=1)", "", "", 1},
    {"attention/window(left=20)", "", "", 1},
    {"attention/window(left=33, inclusive=true, sinks=3)", "", "", 1},
    {"attention/window(left=7, right=9, inclusive=true, global=2)", "", "", 0},
    {"attention/window(left=40, right=3, sinks=5, causal=true, softcap=9)", "", "+sink_logits", 1},
    {"attention/window(left=25, right=20, position=alibi, sinks=18)", "", "+documents", 0},
    {"attention/sparse(stride=16)", "", "", 1},
    {"attention/sparse(stride=37, softcap=9)", "", "", 1},
    {"attention/sparse(stride=5, factor=columns)", "", "", 1},
    {"attention/sparse(stride=64, factor=columns)", "", "", 1},
    {"attention/sparse(stride=20, factor=heads, inclusive=false)", "", "", 1},
    {"attention/sparse(stride=30, factor=local)", "", "", 1},
    {"attention/sparse(pattern=fixed, stride=32, columns=8)", "", "+sink_logits", 1},
    {"attention/sparse(pattern=fixed, stride=50, columns=7, sets=3, factor=columns)", "", "", 1},
    {"attention/sparse(pattern=fixed, stride=30, columns=5, sets=2, factor=heads)", "", "", 1},
    {"attention/sparse(pattern=fixed, stride=24, position=alibi)", "", "+documents", 0},
    {"attention/adaptive_span(limit=40)", "", "", 1},
    {"attention/adaptive_span(limit=300, ramp=7, distance=code)", "", "", 1},
    {"attention/adaptive_span(limit=64, ramp=0.5, self=true, softcap=9)", "", "+sink_logits", 1},
    {"attention/adaptive_span(limit=1000, ramp=300, position=alibi)", "", "+documents", 0},
    {"attention/adaptive_span(limit=50, ramp=20)", ",P=50", "+distance_table", 1},
    {"attention/adaptive_span(limit=313, scale=0.2)", ",P=313", "+distance_table", 1},
    {"attention/dynamic_span(limit=100)", ",M=12", "", 1},
    {"attention/dynamic_span(limit=70, ramp=11)", ",M=5,P=70", "+distance_table", 1},
    {"attention/dynamic_span(limit=30, ramp=5, self=true, distance=code)", ",M=33", "", 1},
};

static call_case case_of(const struct variant *v, const char *more, uint32_t dtype, uint64_t seed,
                         const char *format, ...) __attribute__((format(printf, 5, 6)));
static call_case case_of(const struct variant *v, const char *more, uint32_t dtype, uint64_t seed,
                         const char *format, ...)
{
    static char axes[8][160], without[8][160];
    static int next;
    const int n = next++ % 8;
    va_list list;
    va_start(list, format);
    vsnprintf(axes[n], sizeof axes[n], format, list);
    va_end(list);
    strcat(axes[n], v->axes);
    snprintf(without[n], sizeof without[n], "%s%s%s", more, *more && *v->with ? "," : "", v->with);
    return (call_case){v->spec, axes[n], without[n], dtype, 1, seed};
}

static double param_of(const call *c, const char *key)
{
    for (uint32_t i = 0; i < c->oracle.params; i++)
        if (!strcmp(c->oracle.param[i], key)) return c->oracle.value[i];
    fail_msg("%s has no param %s", c->op->id, key);
    return 0;
}

static void same(const call *c, const heed_tensor *a, const heed_tensor *b, const char *what)
{
    if (!outputs_equal(c, a, b)) fail_msg("%s [%s], %s: other bits", c->how->spec, c->how->axes, what);
}

/* ---- against the formula, and all paths, threads and layouts against each other ---- */

static void test_formulas(void **state)
{
    static const struct { int B, T, S, H, G, D, E; } shapes[] = {
        {1, 1, 1, 1, 1, 1, 1},       {2, 17, 17, 4, 2, 16, 8},  {1, 65, 65, 3, 3, 9, 31},   {1, 0, 5, 2, 2, 8, 8},
        {2, 5, 0, 2, 1, 8, 8},       {1, 130, 130, 2, 2, 8, 5}, {1, 31, 150, 6, 2, 17, 16}, {2, 3, 129, 4, 1, 15, 17},
        {1, 290, 290, 1, 1, 16, 16}, {1, 97, 97, 12, 4, 5, 3},
    };
    (void)state;
    for (size_t v = 0; v < COUNT(variants); v++)
        for (size_t s = 0; s < COUNT(shapes); s++) {
            if (harness_skips(v + s, 3)) continue;
            const uint32_t dtype = (v + s) % 4 == 3 ? HEED_BF16 : HEED_F32;
            call_case how = case_of(&variants[v], (v + s) % 2 ? "key_lengths" : "lse", dtype, 100 * v + s,
                                    "B=%d,T=%d,S=%d,H=%d,G=%d,D=%d,E=%d", shapes[s].B, shapes[s].T, shapes[s].S,
                                    shapes[s].H, shapes[s].G, shapes[s].D, shapes[s].E);
            harness_sweep(&how);
        }
}

/* The bound must notice one key that is skipped, and a scale that is 1e-5 off. */
static void test_of_the_test(void **state)
{
    (void)state;
    for (size_t v = 0; v < COUNT(variants); v++) {
        call_case how = case_of(&variants[v], "", HEED_F32, v, "B=1,T=65,S=65,H=2,G=2,D=64,E=64");
        if (strstr(how.spec, "softcap") || strstr(how.spec, "left=1)")) continue; /* bent scores; one key */
        for (int fault = 0; fault < 3; fault++) {
            call c;
            heed_tensor out[ORACLE_PORTS];
            call_make(&c, &how);
            tensor_put(&c.plain[call_port(&c, "key_lengths")], 0, 40);
            call_update(&c);
            call_run(&c, NULL, 1, PLAIN, out);
            const int q = call_port(&c, "q");
            if (fault == 1) c.d[call_port(&c, "key_lengths")][0]--;
            for (int64_t i = 0; fault == 2 && i < heed_tensor_elements(&c.plain[q]); i++) c.d[q][i] *= 1 + 1e-5;
            const double ratio = call_judge(&c, out);
            if ((fault == 0) != (ratio <= 1)) fail_msg("%s: fault %d is at %.3g of the bound", how.spec, fault, ratio);
            outputs_free(out);
            call_free(&c);
        }
    }
}

/* ---- phases ---- */

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
    if (call_with(c, i, view, s, &e))
        fail_msg("%s [%s], tokens %d + %d: %s", c->how->spec, c->how->axes, (int)from, (int)n, e.text);
}

static void sequences_new(const call *c, const heed_instance *i, heed_sequence *s[2])
{
    heed_error e;
    for (int b = 0; b < 2; b++)
        if (!(s[b] = heed_sequence_new(i, c->oracle.axis, &e))) fail_msg("%s", e.text);
}

/* Whole, in chunks, and token by token: the same bits, on all paths; a fork goes on as its twin does. */
static void test_phases(void **state)
{
    static const int chunks[] = {1, 16, 95, 96, 131, 400};
    enum { L = 320 };
    (void)state;
    for (size_t v = 0; v < COUNT(variants); v++) {
        const struct variant *of = &variants[v];
        if (!of->causal) continue;
        call_case how = case_of(of, "key_lengths", HEED_F32, v, "B=2,T=%d,S=%d,H=4,G=2,D=6,E=5", L, L);
        call c;
        const char *paths[8];
        heed_tensor whole[ORACLE_PORTS], parts[ORACLE_PORTS];
        call_make(&c, &how);
        const int n_paths = harness_paths(c.op->id, paths);
        call_run(&c, paths[0], 1, PLAIN, whole);
        for (size_t k = 0; k < COUNT(chunks); k++)
            for (int p = 0; p < n_paths; p++) {
                if (harness_skips(k + v, 3)) continue;
                if (chunks[k] == 1 && p == 0 && v % 2) continue; /* slow */
                char what[60];
                heed_sequence *s[2], *twin[2];
                heed_instance *i = call_open(&c, paths[p], 1 + (uint32_t)p);
                sequences_new(&c, i, s);
                outputs_make(&c, parts);
                for (int64_t t = 0, n; t < L; t += n) {
                    n = L - t < chunks[k] ? L - t : chunks[k];
                    feed(&c, i, s, t, n, parts);
                    for (int b = 0; b < 2 && t == 0; b++) assert_non_null(twin[b] = heed_sequence_fork(s[b], NULL));
                }
                snprintf(what, sizeof what, "%s, chunks of %d", paths[p], chunks[k]);
                same(&c, whole, parts, what);
                const int64_t half = chunks[k] < L ? chunks[k] : L;
                if (half < L) feed(&c, i, twin, half, L - half, parts);
                same(&c, whole, parts, "a fork");
                for (int b = 0; b < 2; b++) heed_sequence_free(s[b]), heed_sequence_free(twin[b]);
                outputs_free(parts);
                heed_instance_close(i);
            }
        outputs_free(whole);
        call_free(&c);
    }
}

/* A causal variant may be fed in parts by a network: it says so itself, or its mask does. */
static void test_causality(void **state)
{
    (void)state;
    for (size_t v = 0; v < COUNT(variants); v++) {
        if (!variants[v].causal || harness_skips(v, 1)) continue;
        call_case how = case_of(&variants[v], "key_lengths", HEED_F32, v, "B=1,T=201,S=201,H=2,G=1,D=8,E=8");
        call c;
        const char *paths[8];
        heed_tensor before[ORACLE_PORTS], after[ORACLE_PORTS];
        call_make(&c, &how);
        const int n = harness_paths(c.op->id, paths);
        for (int p = 0; p < n; p++)
            for (int64_t j = 0; j < 201; j += 67) {
                call_run(&c, paths[p], 2, PLAIN, before);
                for (uint32_t i = 0; i < c.op->ports.count; i++) {
                    const heed_port *port = (const heed_port *)c.op->ports.data + i;
                    if (port->role != HEED_INPUT || !c.plain[i].data || c.plain[i].rank < 3) continue;
                    heed_tensor token = tensor_slice(&c.plain[i], 1, j, 1);
                    for (int64_t e = 0; e < heed_tensor_elements(&token); e++) ((float *)token.data)[e] += 1;
                }
                call_run(&c, paths[p], 2, PLAIN, after);
                int changed = 0;
                for (uint32_t i = 0; i < c.op->ports.count; i++) {
                    if (!before[i].data || c.plain[i].rank < 3) continue;
                    const size_t row = before[i].bytes / 201;
                    assert_memory_equal(before[i].data, after[i].data, row * (size_t)j);
                    changed |= memcmp((char *)before[i].data + row * (size_t)j, (char *)after[i].data + row * (size_t)j,
                                      before[i].bytes - row * (size_t)j) != 0;
                }
                if (j) assert_true(changed); /* key 0 may be in no pattern */
                outputs_free(before);
                outputs_free(after);
            }
        call_free(&c);
    }
}

/* ---- golden values ---- */

static double golden_number(uint32_t s, uint32_t i)
{
    uint32_t h = i * 2654435761u + s * 40503u + 12345u;
    h ^= h >> 15, h *= 2246822519u, h ^= h >> 13, h *= 3266489917u, h ^= h >> 16;
    return h / 2147483648.0 - 1.0;
}

static void golden_fill(call *c, const char *port, uint32_t s)
{
    heed_tensor *t = &c->plain[call_port(c, port)];
    for (int64_t i = 0; i < heed_tensor_elements(t); i++) tensor_put(t, i, golden_number(s, (uint32_t)i));
}

/* The weights of a port: one number, and for a dynamic span a reach that no input changes. */
static void set_weight(call *c, const char *port, double x)
{
    heed_tensor *t = &c->plain[call_port(c, port)];
    for (int64_t i = 0; i < heed_tensor_elements(t); i++) tensor_put(t, i, x);
}
static void set_tenth(call *c) { set_weight(c, "span", 0.1); }
static void set_whole(call *c) { set_weight(c, "span", 1); }
static void set_ever(call *c) { set_weight(c, "span_weight", 0), set_weight(c, "span_bias", 200); }

/* Of 4 tokens and one head of width 4: row `row` of the output; `set` changes weights. */
static const struct golden {
    const char *spec, *axes;
    void (*set)(call *c);
    int row;
    double out[4];
} golden[] = {
    {"attention/window(left=2)", "", NULL, 3, {-0.681662, 0.374367, 0.760020, 0.373960}},
    {"attention/window(left=2, inclusive=true)", "", NULL, 3, {-0.241245, 0.306557, 0.302948, 0.297122}},
    {"attention/window(left=4)", "", NULL, 3, {0.119497, -0.018500, 0.217085, 0.361668}},
    {"attention/window(left=4, right=3)", "", NULL, 0, {0.118720, -0.088132, 0.275774, 0.232121}},
    {"attention/window(left=1, right=1, inclusive=true, global=1)", "", NULL, 3,
     {-0.056409, -0.063585, 0.476902, 0.426494}},
    {"attention/adaptive_span(limit=7, ramp=2, self=true)", "", set_tenth, 3,
     {-0.495324, 0.373643, 0.541328, 0.373101}},
    {"attention/sparse(stride=4)", "", NULL, 3, {0.119497, -0.018500, 0.217085, 0.361668}},
    {"attention/sparse(stride=1, factor=local)", "", NULL, 3, {-0.681662, 0.374367, 0.760020, 0.373960}},
};

static void test_golden(void **state)
{
    (void)state;
    for (size_t g = 0; g < COUNT(golden); g++) {
        const struct variant of = {golden[g].spec, golden[g].axes, "", 0};
        call_case how = case_of(&of, "key_lengths", HEED_F32, 0, "B=1,T=4,S=4,H=1,G=1,D=4,E=4");
        call c;
        heed_tensor out[ORACLE_PORTS];
        call_make(&c, &how);
        golden_fill(&c, "q", 1), golden_fill(&c, "k", 2), golden_fill(&c, "v", 3);
        if (golden[g].set) golden[g].set(&c);
        call_update(&c);
        call_run(&c, NULL, 1, PLAIN, out);
        for (int e = 0; e < 4; e++) {
            const double y = tensor_get(&out[call_port(&c, "out")], 4 * golden[g].row + e);
            if (fabs(y - golden[g].out[e]) > 2e-6)
                fail_msg("%s: element %d is %.7f, not %.6f", how.spec, e, y, golden[g].out[e]);
        }
        outputs_free(out);
        call_free(&c);
    }
}

/* Which keys a query of the sparse patterns sees: with equal scores and values that are the unit vectors. */
static void test_sparse_lists(void **state)
{
    static const struct { const char *spec; int row; const char *keys; } lists[] = {
        {"attention/sparse(stride=4)", 7, "34567"}, {"attention/sparse(stride=4)", 5, "12345"},
        {"attention/sparse(pattern=fixed, stride=4, columns=1)", 6, "3456"},
        {"attention/sparse(pattern=fixed, stride=4, columns=1)", 9, "3789"},
    };
    (void)state;
    for (size_t n = 0; n < COUNT(lists); n++) {
        const struct variant of = {lists[n].spec, "", "", 1};
        call_case how = case_of(&of, "key_lengths", HEED_F32, 0, "B=1,T=10,S=10,H=1,G=1,D=4,E=10");
        call c;
        heed_tensor out[ORACLE_PORTS];
        call_make(&c, &how);
        set_weight(&c, "q", 0), set_weight(&c, "v", 0);
        for (int i = 0; i < 10; i++) tensor_put(&c.plain[call_port(&c, "v")], 11 * i, 1);
        call_run(&c, NULL, 1, PLAIN, out);
        for (int j = 0; j < 10; j++) {
            const int seen = strchr(lists[n].keys, '0' + j) != NULL;
            const double w = tensor_get(&out[call_port(&c, "out")], 10 * lists[n].row + j);
            if (fabs(w - (seen ? 1.0 / (double)strlen(lists[n].keys) : 0)) > 1e-6)
                fail_msg("%s: query %d gives key %d the weight %g", how.spec, lists[n].row, j, w);
        }
        outputs_free(out);
        call_free(&c);
    }
}

/* What a call is said to cost is what its queries see: with equal scores lse is the logarithm of their number; of the
 * adaptive spans it is counted by the formula. */
static void test_cost(void **state)
{
    enum { L = 250, D = 6, E = 10, H = 4 };
    (void)state;
    for (size_t v = 0; v < COUNT(variants); v++) {
        const int spans = strstr(variants[v].spec, "span(") != NULL;
        if (strstr(variants[v].spec, "alibi") || strstr(variants[v].spec, "dynamic") || *variants[v].with) continue;
        call_case how =
            case_of(&variants[v], "key_lengths", HEED_F32, v, "B=2,T=%d,S=%d,H=%d,G=2,D=%d,E=%d", L, L, H, D, E);
        call c;
        heed_tensor out[ORACLE_PORTS];
        heed_binding in[3];
        heed_cost cost = {.size = sizeof cost};
        heed_error e;
        call_make(&c, &how);
        set_weight(&c, "q", 0);
        heed_instance *i = call_open(&c, NULL, 1);
        static const char *const names[] = {"q", "k", "v"};
        for (int n = 0; n < 3; n++) in[n] = (heed_binding){names[n], &c.plain[call_port(&c, names[n])]};
        if (heed_estimate(i, in, 3, &cost, &e)) fail_msg("%s: %s", how.spec, e.text);
        double pairs = 0;
        call_run(&c, NULL, 1, PLAIN, out);
        const heed_tensor *lse = &out[call_port(&c, "lse")];
        for (int64_t n = 0; n < heed_tensor_elements(lse) && !spans; n++) pairs += round(exp(tensor_get(lse, n)));
        for (int64_t h = 0; h < H && spans; h++) {
            const double limit = param_of(&c, "limit"), ramp = param_of(&c, "ramp");
            const double z = limit * tensor_get(&c.plain[call_port(&c, "span")], h);
            const int code = param_of(&c, "distance") == 1, self = param_of(&c, "self") == 1;
            for (int t = 0; t < L; t++)
                for (int j = 0; j < t + self; j++) pairs += 2 * (t - j <= limit && t - j - code < ramp + z);
        }
        if (cost.flops != 2 * pairs * (D + E))
            fail_msg("%s: %.0f flops, but %.0f", how.spec, cost.flops, 2 * pairs * (D + E));
        if (cost.executed < cost.flops) fail_msg("%s executes less than it has to", how.spec);
        outputs_free(out);
        heed_instance_close(i);
        call_free(&c);
    }
}

/* Of documents that do not rise, too: the pairs that are of a pattern and of one document. */
static void test_cost_of_documents(void **state)
{
    enum { L = 50, D = 6, E = 10, H = 2 };
    (void)state;
    call_case how = {"attention/sparse(stride=4)", "B=1,T=50,S=50,H=2,G=2,D=6,E=10", "key_lengths,+documents",
                     HEED_F32, 1, 0};
    static const char *const names[] = {"q", "k", "v", "documents"};
    call c;
    heed_binding in[4];
    heed_cost cost = {.size = sizeof cost};
    heed_error e;
    call_make(&c, &how);
    for (int64_t j = 0; j < L; j++) tensor_put(&c.plain[call_port(&c, "documents")], j, (double)(j % 3));
    heed_instance *i = call_open(&c, NULL, 1);
    for (int n = 0; n < 4; n++) in[n] = (heed_binding){names[n], &c.plain[call_port(&c, names[n])]};
    if (heed_estimate(i, in, 4, &cost, &e)) fail_msg("%s: %s", how.spec, e.text);
    double pairs = 0;
    for (int t = 0; t < L; t++)
        for (int j = 0; j <= t; j++) pairs += H * (j % 3 == t % 3 && (t - j <= 4 || (t - j) % 4 == 0));
    if (cost.flops != 2 * pairs * (D + E))
        fail_msg("%s: %.0f flops, but %.0f", how.spec, cost.flops, 2 * pairs * (D + E));
    heed_instance_close(i);
    call_free(&c);
}

/* A bias that is NaN where the variant masks the key does nothing; elsewhere it makes its row NaN. */
static void test_bias_behind_a_mask(void **state)
{
    static const char *const specs[] = {"attention/sparse(stride=4)", "attention/window(left=4)",
                                        "attention/adaptive_span(limit=9)"};
    (void)state;
    for (size_t n = 0; n < COUNT(specs); n++) {
        call_case how = {specs[n], "B=1,T=40,S=40,H=2,G=1,D=6,E=10", "key_lengths,+bias", HEED_F32, 1, n};
        const char *paths[8];
        heed_tensor out[ORACLE_PORTS];
        call c;
        call_make(&c, &how);
        set_weight(&c, "bias", 0);
        heed_tensor *bias = &c.plain[call_port(&c, "bias")];
        tensor_put(bias, 38 * 40 + 37, NAN); /* query 38 of head 0 sees key 37 */
        for (int64_t t = 20; t < 32; t++) tensor_put(bias, t * 40 + t - 11, NAN), tensor_put(bias, t * 40 + t + 1, NAN);
        call_update(&c);
        const int count = harness_paths(c.op->id, paths);
        for (int p = 0; p < count; p++) {
            call_run(&c, paths[p], 1, PLAIN, out);
            const heed_tensor *y = &out[call_port(&c, "out")];
            if (!(call_judge(&c, out) <= 1)) fail_msg("%s on %s: a NaN of a bias reaches others", specs[n], paths[p]);
            if (!isnan(tensor_get(y, 38 * 2 * 10))) fail_msg("%s on %s: a NaN of a bias is lost", specs[n], paths[p]);
            outputs_free(out);
        }
        call_free(&c);
    }
}

/* ---- what a variant is equal to ---- */

static const struct equal {
    const char *spec, *axes;
    void (*set)(call *c);
    const char *to;
} equals[] = {
    {"attention/window(left=200)", "", NULL, "attention/softmax(causal=true)"},
    {"attention/window(left=200, right=200)", "", NULL, "attention/softmax"},
    {"attention/window(left=1, global=200)", "", NULL, "attention/softmax"},
    {"attention/window(left=17, inclusive=true, sinks=4)", "", NULL,
     "attention/softmax(causal=true, window=17, sinks=4)"},
    {"attention/window(left=9, right=5, inclusive=true)", "", NULL, "attention/softmax(window=9:5)"},
    {"attention/sparse(stride=200)", "", NULL, "attention/softmax(causal=true)"},
    {"attention/sparse(stride=1)", "", NULL, "attention/softmax(causal=true)"},
    {"attention/sparse(stride=173, pattern=fixed)", "", NULL, "attention/softmax(causal=true)"},
    {"attention/sparse(stride=17, factor=local)", "", NULL, "attention/softmax(causal=true, window=17)"},
    {"attention/sparse(stride=17, factor=local, inclusive=false)", "", NULL,
     "attention/softmax(causal=true, window=16)"},
    {"attention/adaptive_span(limit=200)", "", set_whole, "attention/softmax(causal=offset:-1)"},
    {"attention/adaptive_span(limit=173, ramp=0.25)", "", set_whole, "attention/softmax(causal=offset:-1)"},
    {"attention/adaptive_span(limit=200, ramp=500, self=true)", "", set_whole, "attention/softmax(causal=true)"},
    {"attention/adaptive_span(limit=20, ramp=0.5)", "", set_whole, "attention/softmax(causal=offset:-1, window=19)"},
    {"attention/dynamic_span(limit=200)", ",M=24", set_ever, "attention/softmax(causal=offset:-1)"},
};

static void test_equals(void **state)
{
    (void)state;
    for (size_t k = 0; k < COUNT(equals); k++) {
        const struct variant a = {equals[k].spec, equals[k].axes, "", 0}, b = {equals[k].to, "", "", 0};
        const char *sizes = "B=2,T=173,S=173,H=4,G=2,D=24,E=20";
        call_case how = case_of(&a, "key_lengths", HEED_F32, 7, "%s", sizes);
        call_case to = case_of(&b, "key_lengths", HEED_F32, 7, "%s", sizes);
        call c, d;
        heed_tensor x[ORACLE_PORTS], y[ORACLE_PORTS];
        call_make(&c, &how), call_make(&d, &to);
        if (equals[k].set) equals[k].set(&c);
        call_run(&c, NULL, 2, PLAIN, x);
        call_run(&d, NULL, 2, PLAIN, y);
        for (int out = 0; out < 2; out++) {
            const char *port = out ? "lse" : "out";
            const heed_tensor *p = &x[call_port(&c, port)], *q = &y[call_port(&d, port)];
            if (memcmp(p->data, q->data, p->bytes)) fail_msg("%s is not %s: %s", how.spec, to.spec, port);
        }
        outputs_free(x), outputs_free(y);
        call_free(&c), call_free(&d);
    }
}

/* ---- states that do not grow ---- */

static void test_rolling(void **state)
{
    enum { W = 100, L = 1000, PAGE = 96 };
    (void)state;
    const struct variant of = {"attention/window(left=100, sinks=5)", "", "", 1};
    call_case how = case_of(&of, "key_lengths,lse", HEED_F32, 3, "B=1,T=%d,S=%d,H=2,G=1,D=4,E=4", L, L);
    call c;
    heed_error e;
    heed_tensor out[ORACLE_PORTS], one[ORACLE_PORTS] = {0};
    call_make(&c, &how);
    heed_instance *i = call_open(&c, NULL, 2);
    heed_sequence *s = heed_sequence_new(i, c.oracle.axis, &e);
    assert_non_null(s);
    outputs_make(&c, out);
    uint64_t page = 0;
    for (int64_t t = 0; t < L; t++) {
        feed(&c, i, &s, t, 1, out);
        if (t == 0) page = heed_sequence_bytes(s);
        assert_true(heed_sequence_bytes(s) <= 5 * page); /* sinks, 3 that 99 tokens can touch, and one to spare */
    }
    assert_int_equal(heed_sequence_bytes(s), 4 * page); /* 0 .. 95 for the sinks, and 768 .. 999 */
    heed_sequence *twin = heed_sequence_fork(s, &e);
    assert_non_null(twin);
    assert_int_equal(heed_sequence_bytes(twin), 4 * page);
    /* back by what the window still reaches, not by more; and from the start */
    assert_int_equal(heed_sequence_truncate(s, 500, &e), HEED_E_UNSUPPORTED);
    assert_non_null(strstr(e.text, "keeps the last 99 tokens"));
    assert_int_equal(heed_sequence_length(s), L);
    assert_int_equal(heed_sequence_truncate(s, L - PAGE, &e), HEED_OK);
    feed(&c, i, &s, L - PAGE, PAGE, out);
    /* queries without new keys: the first would see a key that is gone */
    for (uint32_t p = 0; p < c.op->ports.count; p++)
        if (c.plain[p].data)
            one[p] = tensor_slice(out[p].data ? &out[p] : &c.plain[p], 1, 0, strchr("kv", *c.oracle.port[p]) ? 0 : 300);
    assert_int_equal(call_with(&c, i, one, &s, &e), HEED_E_UNSUPPORTED);
    assert_non_null(strstr(e.text, "no longer remembered"));
    assert_int_equal(heed_sequence_truncate(s, 0, &e), HEED_OK);
    assert_int_equal(heed_sequence_bytes(s), 0);
    feed(&c, i, &s, 0, L, out);
    const double ratio = call_judge(&c, out);
    if (!(ratio <= 1)) fail_msg("after a rolling cache: error is %.3g of its bound", ratio);
    heed_sequence_free(twin);
    heed_sequence_free(s);
    heed_instance_close(i);
    outputs_free(out);
    call_free(&c);
}

/* A cache keeps what the head with the longest reach sees: 50 + 32 keys of 1000 here. */
static void test_rolling_span(void **state)
{
    enum { L = 1000 };
    (void)state;
    const struct variant of = {"attention/adaptive_span(limit=500)", "", "", 1};
    call_case how = case_of(&of, "key_lengths,lse", HEED_F32, 3, "B=1,T=%d,S=%d,H=2,G=1,D=4,E=4", L, L);
    call c;
    heed_error e;
    heed_tensor out[ORACLE_PORTS];
    call_make(&c, &how);
    set_tenth(&c);
    call_update(&c);
    heed_instance *i = call_open(&c, NULL, 2);
    heed_sequence *s = heed_sequence_new(i, c.oracle.axis, &e);
    assert_non_null(s);
    outputs_make(&c, out);
    feed(&c, i, &s, 0, 96, out);
    const uint64_t page = heed_sequence_bytes(s);
    for (int64_t t = 96; t < L; t++) feed(&c, i, &s, t, 1, out);
    assert_true(heed_sequence_bytes(s) <= 3 * page);
    const double ratio = call_judge(&c, out);
    if (!(ratio <= 1)) fail_msg("a rolling cache of spans: error is %.3g of its bound", ratio);
    heed_sequence_free(s);
    heed_instance_close(i);
    outputs_free(out);
    call_free(&c);
}

/* ---- position/t5 ---- */

static float t5_table[32 * 4];

static heed_instance *t5_open(const char *spec, const int64_t *table, heed_error *e)
{
    heed_tensor t = heed_tensor_of(t5_table, HEED_F32, 2, table);
    heed_binding weight = {"position.table", &t};
    heed_opening opening = {.size = sizeof opening, .weights = &weight, .n_weights = 1};
    return heed_instance_open(harness_engine(1), spec, &opening, e);
}

/* The buckets of the paper's rule, from weights: scores are a hundredth of the bucket, values the unit vectors. */
static void test_t5_buckets(void **state)
{
    enum { S = 600 };
    static const struct { const char *spec; int at, n; int distance[16], bucket[16]; } lists[] = {
        {"attention/softmax(causal=bottom_right, position=t5(bidirectional=false))", S - 1, 14,
         {0, -1, -7, -8, -15, -16, -17, -20, -31, -32, -64, -127, -128, -500},
         {0, 1, 7, 8, 15, 16, 16, 17, 21, 21, 26, 31, 31, 31}},
        {"attention/softmax(causal=bottom_right, position=t5)", S - 1, 5, {-128, -20, -8, -1, 0}, {15, 10, 8, 1, 0}},
        {"attention/softmax(position=t5)", 0, 5, {0, 1, 8, 20, 128}, {0, 17, 24, 26, 31}},
        {"attention/softmax(position=t5(bidirectional=false))", 0, 3, {0, 1, 300}, {0, 0, 0}},
    };
    static float q[1], k[S], v[S * S], out[S];
    (void)state;
    for (int i = 0; i < S; i++) v[i * S + i] = 1;
    for (int b = 0; b < 32; b++) t5_table[b] = 0.01f * (float)b;
    for (size_t n = 0; n < COUNT(lists); n++) {
        heed_error e;
        const int64_t one[] = {1, 1, 1, 1}, keys[] = {1, S, 1, 1}, values[] = {1, S, 1, S}, to[] = {1, 1, 1, S};
        const int64_t table[] = {32, 1};
        heed_tensor tq = heed_tensor_of(q, HEED_F32, 4, one), tk = heed_tensor_of(k, HEED_F32, 4, keys);
        heed_tensor tv = heed_tensor_of(v, HEED_F32, 4, values), y = heed_tensor_of(out, HEED_F32, 4, to);
        heed_binding in[] = {{"q", &tq}, {"k", &tk}, {"v", &tv}}, o = {"out", &y};
        heed_instance *i = t5_open(lists[n].spec, table, &e);
        if (!i || heed_run(i, in, 3, &o, 1, NULL, &e)) fail_msg("%s: %s", lists[n].spec, e.text);
        for (int d = 0; d < lists[n].n; d++) {
            const double bucket = 100 * log((double)out[lists[n].at + lists[n].distance[d]] / (double)out[lists[n].at]);
            if (fabs(bucket - lists[n].bucket[d]) > 0.01)
                fail_msg("%s: key - query = %d is in bucket %.3f", lists[n].spec, lists[n].distance[d], bucket);
        }
        heed_instance_close(i);
    }
}

/* The bias by tiles has the bits of the same numbers as a tensor [H, T, S], on every path, for many rows and for few.
 * */
static void test_t5_is_a_bias(void **state)
{
    static const struct { const char *t5, *plain; int T, S, H, G, both; } cases[] = {
        {"attention/softmax(causal=true, position=t5(bidirectional=false))", "attention/softmax(causal=true)", 130, 130,
         4, 4, 0},
        {"attention/softmax(position=t5)", "attention/softmax", 60, 301, 4, 2, 1},
        {"attention/softmax(softcap=5, position=t5)", "attention/softmax(softcap=5)", 3, 150, 4, 1, 1},
        {"attention/window(left=30, right=20, position=t5)", "attention/window(left=30, right=20)", 97, 97, 2, 2,
         1},
    };
    (void)state;
    uint64_t seed = 8;
    for (size_t i = 0; i < COUNT(t5_table); i++) t5_table[i] = harness_normal(&seed);
    for (size_t n = 0; n < COUNT(cases); n++) {
        const int T = cases[n].T, S = cases[n].S, H = cases[n].H;
        const struct variant of = {cases[n].plain, "", "+bias:B", 0};
        call_case how = case_of(&of, "key_lengths", HEED_F32, n, "B=2,T=%d,S=%d,H=%d,G=%d,D=16,E=16", T, S, H,
                                cases[n].G);
        call c;
        const char *paths[8];
        call_make(&c, &how);
        float *bias = c.plain[call_port(&c, "bias")].data;
        for (int b = 0; b < 2; b++)
            for (int h = 0; h < H; h++)
                for (int t = 0; t < T; t++)
                    for (int s = 0; s < S; s++) {
                        int back = t - s, K = cases[n].both ? 16 : 32, first = cases[n].both && back < 0 ? 16 : 0;
                        back = back < 0 ? cases[n].both ? -back : 0 : back;
                        const double wide =
                            back < K / 2 ? 0 : log(back / (K / 2.0)) / log(128 / (K / 2.0)) * (K - K / 2);
                        int bucket = back < K / 2 ? back : K / 2 + (int)wide;
                        bucket = first + (bucket < K ? bucket : K - 1);
                        bias[((b * H + h) * T + t) * S + s] = t5_table[bucket * H + h];
                    }
        const int n_paths = harness_paths(c.op->id, paths);
        for (int p = 0; p < n_paths; p++) {
            heed_tensor out[ORACLE_PORTS], y, lse;
            heed_error e;
            heed_binding weight[1], in[3];
            const int64_t dim[] = {32, H};
            heed_tensor table = heed_tensor_of(t5_table, HEED_F32, 2, dim);
            weight[0] = (heed_binding){"position.table", &table};
            heed_opening opening = {.size = sizeof opening, .weights = weight, .n_weights = 1, .isa = paths[p]};
            heed_instance *i = heed_instance_open(harness_engine(2), cases[n].t5, &opening, &e);
            if (!i) fail_msg("%s: %s", cases[n].t5, e.text);
            call_run(&c, paths[p], 2, PLAIN, out);
            y = out[call_port(&c, "out")], lse = out[call_port(&c, "lse")];
            if (heed_tensor_alloc(&y, &e) || heed_tensor_alloc(&lse, &e)) fail_msg("%s", e.text);
            static const char *const names[] = {"q", "k", "v"};
            for (int k = 0; k < 3; k++) in[k] = (heed_binding){names[k], &c.plain[call_port(&c, names[k])]};
            heed_binding to[] = {{"out", &y}, {"lse", &lse}};
            if (heed_run(i, in, 3, to, 2, NULL, &e)) fail_msg("%s: %s", cases[n].t5, e.text);
            if (memcmp(y.data, out[call_port(&c, "out")].data, y.bytes) ||
                memcmp(lse.data, out[call_port(&c, "lse")].data, lse.bytes))
                fail_msg("%s, %s: other bits than with the bias", cases[n].t5, paths[p]);
            free(y.data), free(lse.data);
            outputs_free(out);
            heed_instance_close(i);
        }
        call_free(&c);
    }
}

/* ---- bad input ---- */

static const struct bad { const char *spec, *says; } bad[] = {
    {"attention/window", "left"},
    {"attention/window(left=0)", "left"},
    {"attention/window(left=4, window=3)", "window"},
    {"attention/window(left=4, inclusive=2)", "inclusive"},
    {"attention/sparse", "stride"},
    {"attention/sparse(stride=8, columns=2)", "columns belongs to pattern=fixed"},
    {"attention/sparse(stride=8, pattern=fixed, columns=5, sets=2)", "does not hold 2 sets of 5 columns"},
    {"attention/sparse(stride=8, factor=all)", "factor"},
    {"attention/adaptive_span(limit=9)", "span"},
    {"attention/dynamic_span(limit=9, ramp=0)", "ramp"},
    {"attention/softmax(position=t5)", "table"},
};

static heed_error span_error(const char *spec, int64_t heads, float value)
{
    heed_error e = {0};
    float numbers[8];
    int64_t axes[HEED_AXES];
    for (int a = 0; a < HEED_AXES; a++) axes[a] = a == 'H' - 'A' ? 4 : -1;
    for (int h = 0; h < 8; h++) numbers[h] = h == 2 ? value : 0.5f;
    heed_tensor span = heed_tensor_of(numbers, HEED_F32, 1, &heads);
    heed_binding weight = {"span", &span};
    heed_opening opening = {.size = sizeof opening, .weights = &weight, .n_weights = 1, .axes = axes};
    heed_instance *i = heed_instance_open(harness_engine(1), spec, &opening, &e);
    heed_instance_close(i);
    return e;
}

static void test_bad(void **state)
{
    (void)state;
    for (size_t b = 0; b < COUNT(bad); b++) {
        heed_error e = {0};
        assert_null(heed_instance_open(harness_engine(1), bad[b].spec, NULL, &e));
        if (!strstr(e.text, bad[b].says)) fail_msg("%s: \"%s\" does not say \"%s\"", bad[b].spec, e.text, bad[b].says);
    }
    static const float wrong[] = {1.5f, -0.1f, NAN};
    for (size_t n = 0; n < COUNT(wrong); n++) {
        const heed_error e = span_error("attention/adaptive_span(limit=9)", 4, wrong[n]);
        assert_non_null(strstr(e.text, "span[2] is "));
        assert_non_null(strstr(e.text, "lies in 0 .. 1"));
    }
    assert_string_equal(span_error("attention/adaptive_span(limit=9)", 4, 1).text, "");
    assert_non_null(strstr(span_error("attention/adaptive_span(limit=9)", 5, 1).text, "axis H"));
    heed_error e;
    const int64_t dim[] = {32, 4}, few[] = {16, 4};
    assert_null(t5_open("attention/softmax(position=t5(buckets=30))", dim, &e));
    assert_non_null(strstr(e.text, "axis K"));
    assert_null(t5_open("attention/softmax(position=t5(buckets=16, max_distance=4))", few, &e));
    assert_non_null(strstr(e.text, "max_distance is 4"));
    assert_null(t5_open("attention/softmax(position=t5)", few, &e));
    assert_non_null(strstr(e.text, "axis K"));
}

/* ---- in a network, by a word of its spec ---- */

static const char *const networks[] = {
    "attention=window(left=20)",
    "attention=[window(left=7, inclusive=true, sinks=2), softmax(causal=true)]",
    "attention=sparse(stride=12); position=rope",
    "attention=sparse(pattern=fixed, stride=16)",
    "attention=adaptive_span(limit=50, ramp=9)",
    "attention=dynamic_span(limit=40); position=alibi",
    "attention=softmax(causal=true); position=t5(bidirectional=false)",
};

static void test_networks(void **state)
{
    enum { VOCAB = 40, TOKENS = 150 };
    (void)state;
    for (size_t n = 0; n < COUNT(networks); n++) {
        char spec[400];
        heed_error e;
        int32_t tokens[TOKENS];
        float logits[2][VOCAB];
        uint64_t seed = 5;
        for (int t = 0; t < TOKENS; t++) tokens[t] = (int32_t)(harness_random(&seed) % VOCAB);
        snprintf(spec, sizeof spec,
                 "vocab=%d; width=32; layers=2; heads=4; kv_heads=2; norm=rms; feedforward=swiglu(hidden=48); %s",
                 VOCAB, networks[n]);
        heed_weights *w = heed_weights_random(harness_engine(2), spec, 11, &e);
        if (!w) fail_msg("%s: %s", spec, e.text);
        heed_stack *stack = heed_stack_open(harness_engine(2), spec, w, &e);
        if (!stack) fail_msg("%s: %s", spec, e.text);
        for (int way = 0; way < 2; way++) { /* at once, and token by token */
            heed_session *session = heed_session_new(stack, &e);
            assert_non_null(session);
            for (int t = 0; t < TOKENS; t += way ? 1 : TOKENS)
                if (heed_session_feed(session, tokens + t, way ? 1 : TOKENS, logits[way], 1, &e))
                    fail_msg("%s: %s", spec, e.text);
            heed_session_free(session);
        }
        assert_memory_equal(logits[0], logits[1], sizeof logits[0]);
        assert_true(isfinite(logits[0][0]) && logits[0][0] != logits[0][1]);
        heed_stack_close(stack);
        heed_weights_close(w);
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
        cmocka_unit_test(test_formulas), cmocka_unit_test(test_of_the_test), cmocka_unit_test(test_phases),
        cmocka_unit_test(test_causality), cmocka_unit_test(test_golden),     cmocka_unit_test(test_equals),
        cmocka_unit_test(test_rolling),  cmocka_unit_test(test_bad),         cmocka_unit_test(test_networks),
        cmocka_unit_test(test_cost),     cmocka_unit_test(test_sparse_lists), cmocka_unit_test(test_rolling_span),
        cmocka_unit_test(test_cost_of_documents), cmocka_unit_test(test_bias_behind_a_mask),
        cmocka_unit_test(test_t5_buckets), cmocka_unit_test(test_t5_is_a_bias),
    };
    return cmocka_run_group_tests(tests, NULL, teardown);
}
