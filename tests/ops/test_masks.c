/* SPDX-License-Identifier: MIT
 *
 * test_masks.c: which keys a query attends to, for every kind of mask alone, in pairs and in crowds, on the shapes that
 * hurt and with grouped heads: against the oracle, which asks abi/mask.h's formula for each pair; the same bits on all
 * paths, at any number of threads, in any layout, alone or in a batch; in chunks on a cache; and nothing of a masked
 * key comes through, not even a NaN. And a test of the test: a mask that is off by one key is noticed.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "lib/harness.h"

#define COUNT(array) (sizeof(array) / sizeof *(array))
#define ID "attention/softmax"
enum { BATCH_MAX = 3 };

static const uint32_t thread_counts[] = {1, 2, 3, 7};
static const char *paths[8];
static int n_paths, calls;

/* ---- what can be asked for ---- */

/* A row is a feature and its values: keys of the spec, or "+port", optional inputs and weights in call_case's words. */
enum { VALUES = 6 };
static const char *const features[][VALUES] = {
    {"causal=true", "causal=bottom_right", "causal=offset:7", "causal=offset:-5",
     "causal=offset:-300", "causal=offset:150"},
    {"window=0", "window=20", "window=5:9", "window=120:40", "window=0:50", "window=1000:1000"},
    {"prefix=1", "prefix=30", "prefix=110", "prefix=100000"},
    {"sinks=1", "sinks=4", "sinks=100"},
    {"blocks=16:32", "blocks=48:64", "blocks=5:40"},
    {"+documents", "+documents,+query_documents"},
    {"+key_lengths"},
    {"+bias", "+bias:BH", "+bias:T", "+bias:HS", "+bias:BHTS"},
    {"+sink_logits"},
    {"position=alibi", "softcap=5", "scale=-0.3"},
};

static size_t values_of(size_t feature)
{
    size_t n = 0;
    while (n < VALUES && features[feature][n]) n++;
    return n;
}

static const struct { int T, S; } shapes[] = {
    {100, 100}, {1, 1},   {17, 47}, {48, 49}, {193, 194}, {16, 17}, {2, 95},    {49, 17},  {96, 96},  {5, 0},   {97, 1},
    {1, 193},   {47, 48}, {15, 15}, {95, 97}, {3, 100},   {0, 9},   {192, 192}, {16, 192}, {194, 96}, {17, 16},
    {50, 300},
};
static const struct { int H, G; } groups[] = {{1, 1}, {4, 1}, {2, 2}, {8, 1}, {4, 2}, {6, 3}, {8, 4}};
static const struct { int D, E; } widths[] = {{16, 16}, {17, 5}, {8, 33}, {2, 1}, {31, 16}, {3, 47}};

/* A case and the texts that it points at; built by start, add and finish. */
typedef struct crowd {
    call_case how;
    char spec[200], axes[100], ports[100];
} crowd;

static void add(crowd *c, const char *value)
{
    if (!strncmp(value, "causal", 6) && strstr(c->spec, "causal")) return;
    if (!strncmp(value, "window", 6) && strstr(c->spec, "window")) return;
    if (!strncmp(value, "prefix", 6) && !strstr(c->spec, "causal")) add(c, "causal=true"); /* none has an effect alone */
    if (!strncmp(value, "sinks", 5) && strstr(c->spec, "blocks"))
        return; /* they exclude each other */
    if (!strncmp(value, "blocks", 6) && strstr(c->spec, "sinks")) return;
    if (!strncmp(value, "sinks", 5) && !strstr(c->spec, "window")) add(c, "window=20");
    size_t n = strlen(c->spec), p = strlen(c->ports), more = c->spec[n - 1] == ')';
    if (*value == '+') snprintf(c->ports + p, sizeof c->ports - p, ",%s", value);
    else snprintf(c->spec + n - more, sizeof c->spec - n, "%s%s)", more ? ", " : "(", value);
}

/* A plain case; the n-th shape. HEED_I32 is for the inputs that are integers; else they are int64. Large scores are of
 * float32 alone: products of short floats are exact in the naive loop, whose error is then no yardstick. */
static void start(crowd *c, size_t n)
{
    static const uint32_t dtypes[] = {HEED_F32, HEED_F32, HEED_I32, HEED_F32, HEED_F16, HEED_F32, HEED_BF16};
    const uint32_t dtype = dtypes[n % COUNT(dtypes)];
    const int large = n % 5 == 4 && (dtype == HEED_F32 || dtype == HEED_I32);
    *c = (crowd){.spec = ID, .how = {.dtype = dtype, .size = large ? 4 : 1, .seed = n}};
    snprintf(c->axes, sizeof c->axes, "B=%d,T=%d,S=%d,H=%d,G=%d,D=%d,E=%d", n % 3 == 1 ? BATCH_MAX : 1 + (int)n % 2,
             shapes[n % COUNT(shapes)].T, shapes[n % COUNT(shapes)].S, groups[n % COUNT(groups)].H,
             groups[n % COUNT(groups)].G, widths[n / 2 % COUNT(widths)].D, widths[n / 2 % COUNT(widths)].E);
}

static const call_case *finish(crowd *c)
{
    if (!strstr(c->ports, "+key_lengths")) strcat(c->ports, ",key_lengths"); /* that one is there unless told */
    c->how.spec = c->spec, c->how.axes = c->axes, c->how.without = c->ports + 1;
    return &c->how;
}

__attribute__((format(printf, 2, 3), noreturn)) static void wrong(const call_case *how, const char *format, ...)
{
    char what[200];
    va_list list;
    va_start(list, format);
    vsnprintf(what, sizeof what, format, list);
    va_end(list);
    print_error("%s [%s], ports %s, seed %d: ", how->spec, how->axes, how->without, (int)how->seed);
    fail_msg("%s", what);
    abort();
}

/* ---- one case ---- */

/* Each row of the batch alone must give the bits that it has in the batch. */
static void check_alone(const call *c, const char *path, const heed_tensor *together)
{
    heed_error e;
    heed_tensor alone[ORACLE_PORTS];
    heed_instance *i = call_open(c, path, 2);
    outputs_make(c, alone);
    for (int64_t b = 0; b < c->oracle.axis['B' - 'A']; b++) {
        heed_tensor row[ORACLE_PORTS] = {0};
        for (uint32_t p = 0; p < c->op->ports.count; p++) {
            const heed_tensor *all = alone[p].data ? &alone[p] : &c->plain[p];
            int has_rows = ((const heed_port *)c->op->ports.data)[p].axes[0] == 'B';
            if (all->data && has_rows) row[p] = tensor_slice(all, 0, b, 1);
        }
        if (call_with(c, i, row, NULL, &e)) wrong(c->how, "row %d alone: %s", (int)b, e.text);
    }
    if (!outputs_equal(c, together, alone)) wrong(c->how, "%s: a row alone has other bits", path);
    outputs_free(alone);
    heed_instance_close(i);
}

/* The oracle's bound on the scalar path; equal bits on the others, each at some number of threads in some layout. */
static void check(const call_case *how, size_t n)
{
    call c;
    heed_tensor first[ORACLE_PORTS], other[ORACLE_PORTS];
    call_make(&c, how);
    call_run(&c, paths[0], 1, PLAIN, first);
    double ratio = call_judge(&c, first);
    if (!(ratio <= 1)) wrong(how, "the error is %.3g of its bound", ratio);
    for (int run = 1; run < n_paths + 2; run++) { /* the last path at two more numbers */
        const char *path = paths[run < n_paths ? run : n_paths - 1];
        uint32_t threads = thread_counts[(n + (size_t)run) % COUNT(thread_counts)];
        call_run(&c, path, threads, (int)((n + (size_t)run) % LAYOUTS), other);
        if (!outputs_equal(&c, first, other)) wrong(how, "%s, %u threads: other bits than %s", path, threads, paths[0]);
        outputs_free(other);
        calls++;
    }
    if (c.oracle.axis['B' - 'A'] > 1) check_alone(&c, paths[n % (size_t)n_paths], first);
    outputs_free(first);
    call_free(&c);
}

/* ---- the sweeps ---- */

static void test_alone(void **state)
{
    (void)state;
    size_t n = 0;
    for (size_t f = 0; f < COUNT(features); f++)
        for (size_t v = 0; v < values_of(f); v++)
            for (size_t s = 0; s < COUNT(shapes); s++) {
                if (harness_quick() ? harness_skips(s + v, 5) : (int)(s + v) % 2) continue;
                crowd c;
                start(&c, s + COUNT(shapes) * (n % 6)); /* this shape, with changing heads and widths */
                add(&c, features[f][v]);
                check(finish(&c), n++);
            }
}

static void test_pairs(void **state)
{
    (void)state;
    size_t n = 0;
    for (size_t f = 0; f < COUNT(features); f++)
        for (size_t g = f + 1; g < COUNT(features); g++)
            for (size_t v = 0; v < values_of(f); v++)
                for (size_t w = 0; w < values_of(g); w++, n++) {
                    if (harness_skips(n, 7)) continue;
                    crowd c;
                    start(&c, 5 * n + 1);
                    add(&c, features[f][v]);
                    add(&c, features[g][w]);
                    check(finish(&c), n);
                }
}

/* Three to all of the features, drawn. */
static void test_crowds(void **state)
{
    (void)state;
    uint64_t seed = 2026;
    for (size_t n = 0; n < (harness_quick() ? 20u / (unsigned)harness_quick() : 150); n++) {
        crowd c;
        uint64_t out = harness_random(&seed);
        start(&c, harness_random(&seed) % 10007);
        for (size_t f = 0; f < COUNT(features); f++)
            if (out >> f & 1 || n % 10 == 0) add(&c, features[f][harness_random(&seed) % values_of(f)]);
        check(finish(&c), n);
    }
}

/* Many tiles and blocks: where most are skipped whole, and where a task has several tiles. */
static void test_long(void **state)
{
    static const char *const axes[] = {"B=1,T=800,S=800,H=2,G=1,D=8,E=5", "B=2,T=500,S=1500,H=1,G=1,D=3,E=17",
                                       "B=1,T=3,S=3000,H=8,G=2,D=16,E=9", "B=1,T=900,S=300,H=3,G=3,D=5,E=8"};
    static const char *const specs[] = {
        "causal=true, window=100, sinks=5",  "causal=bottom_right, prefix=410",
        "window=250:30, sinks=120",          "causal=offset:-200, window=700, sinks=1, prefix=99",
        "causal=bottom_right, blocks=64:96", "window=400:90, blocks=40:33"};
    static const char *const inputs[] = {"key_lengths", "+documents,key_lengths", "+bias:BHT,+sink_logits",
                                         "+documents,+query_documents,+bias:HT", "+sink_logits,key_lengths"};
    (void)state;
    for (size_t n = 0, s = 0; s < COUNT(specs); s++)
        for (size_t a = 0; a < COUNT(axes); a++, n++) {
            if (harness_skips(n, 5)) continue;
            char spec[100];
            snprintf(spec, sizeof spec, ID "(%s)", specs[s]);
            call_case how = {spec, axes[a], inputs[n % COUNT(inputs)], HEED_F32, 1, n};
            check(&how, n);
        }
}

/* ---- on a cache ---- */

static const struct cached {
    const char *spec, *ports;
    int first; /* keys that must be there before the first query, since it sees them */
} cached[] = {
    {ID "(causal=true, window=20)", "key_lengths", 1},
    {ID "(causal=true, window=0, sinks=1)", "key_lengths", 1},
    {ID "(causal=true, window=130, sinks=4, softcap=9)", "key_lengths", 1},
    {ID "(causal=true, prefix=30)", "key_lengths", 30},
    {ID "(causal=bottom_right, window=40, sinks=3, prefix=110)", "key_lengths", 110},
    {ID "(window=50, sinks=100)", "key_lengths,+sink_logits", 100},
    {ID "(window=7, sinks=2, position=alibi)", "key_lengths", 2},
    {ID "(causal=true, prefix=5)", "key_lengths,+sink_logits", 5},
    {ID "(causal=true, blocks=16:32)", "key_lengths", 1},
    {ID "(causal=true, window=100, blocks=48:64)", "key_lengths,+sink_logits", 1},
};

/* Queries from `query` on and keys from `key` on. */
static void part(const call *c, const heed_instance *i, heed_sequence *const *s, int64_t query, int64_t T, int64_t key,
                 int64_t S, const heed_tensor out[ORACLE_PORTS])
{
    heed_error e;
    heed_tensor view[ORACLE_PORTS] = {0};
    for (uint32_t p = 0; p < c->op->ports.count; p++) {
        const char *name = c->oracle.port[p];
        const heed_tensor *all = out[p].data ? &out[p] : &c->plain[p];
        int of_keys = strcmp(name, "k") == 0 || strcmp(name, "v") == 0;
        if (all->data && !strcmp(name, "key_blocks")) view[p] = *all; /* by position */
        else if (all->data && all->rank > 1)
            view[p] = tensor_slice(all, 1, of_keys ? key : query, of_keys ? S : T);
    }
    if (call_with(c, i, view, s, &e)) wrong(c->how, "queries %d + %d: %s", (int)query, (int)T, e.text);
    calls++;
}

static void sequences_new(const call *c, const heed_instance *i, heed_sequence **s)
{
    for (int64_t b = 0; b < c->oracle.axis['B' - 'A']; b++)
        assert_non_null(s[b] = heed_sequence_new(i, c->oracle.axis, NULL));
}

static void sequences_free(const call *c, heed_sequence **s)
{
    for (int64_t b = 0; b < c->oracle.axis['B' - 'A']; b++) heed_sequence_free(s[b]);
}

/* In chunks and token by token = whole. */
static void test_chunks(void **state)
{
    static const int64_t sizes[] = {1, 7, 48, 100};
    (void)state;
    for (size_t n = 0; n < COUNT(cached); n++)
        for (size_t k = 0; k < COUNT(sizes); k++) {
            if (harness_skips(n + k, 4)) continue;
            char axes[100];
            const int L = k % 2 ? 200 : 131;
            snprintf(axes, sizeof axes, "B=2,T=%d,S=%d,H=%d,G=%d,D=9,E=6", L, L, groups[n % COUNT(groups)].H,
                     groups[n % COUNT(groups)].G);
            call_case how = {cached[n].spec, axes, cached[n].ports, HEED_F32, 1, n};
            heed_tensor first[ORACLE_PORTS], out[ORACLE_PORTS];
            call c;
            call_make(&c, &how);
            for (int p = 0; p < n_paths; p++) {
                heed_sequence *s[BATCH_MAX];
                heed_instance *i = call_open(&c, paths[p], thread_counts[(size_t)p % COUNT(thread_counts)]);
                sequences_new(&c, i, s);
                outputs_make(&c, p ? out : first);
                for (int64_t t = 0, now; t < L; t += now) {
                    now = t == 0 && sizes[k] < cached[n].first ? cached[n].first : sizes[k];
                    if (now > L - t) now = L - t;
                    part(&c, i, s, t, now, t, now, p ? out : first);
                }
                if (p == 0) {
                    double ratio = call_judge(&c, first);
                    if (!(ratio <= 1)) wrong(&how, "chunks of %d: error is %.3g of its bound", (int)sizes[k], ratio);
                } else {
                    if (!outputs_equal(&c, first, out))
                        wrong(&how, "chunks of %d, %s: other bits", (int)sizes[k], paths[p]);
                    outputs_free(out);
                }
                sequences_free(&c, s);
                heed_instance_close(i);
            }
            outputs_free(first);
            call_free(&c);
        }
}

/* Any number of queries, which are the last ones, and of new keys behind any number of old ones. */
static void test_after(void **state)
{
    static const struct { int past, T, S; } steps[] = {
        {5, 1, 1}, {96, 17, 3}, {130, 1, 0}, {200, 3, 97}, {20, 40, 2}, {95, 2, 2},
    };
    (void)state;
    for (size_t n = 0; n < COUNT(cached); n++)
        for (size_t k = 0; k < COUNT(steps); k++) {
            if (harness_skips(n + k, 3)) continue;
            char axes[2][100];
            const int64_t P = steps[k].past;
            snprintf(axes[0], sizeof *axes, "B=2,T=0,S=%d,H=4,G=2,D=7,E=10,I=14,Y=2", (int)P);
            snprintf(axes[1], sizeof *axes, "B=2,T=%d,S=%d,H=4,G=2,D=7,E=10,I=14,Y=2", steps[k].T,
                     steps[k].S);
            call_case before = {cached[n].spec, axes[0], cached[n].ports, HEED_F32, 1, n};
            call_case how = {cached[n].spec, axes[1], cached[n].ports, HEED_F32, 1, k};
            call past, c;
            heed_tensor none[ORACLE_PORTS], first[ORACLE_PORTS], out[ORACLE_PORTS];
            call_make(&past, &before);
            call_make(&c, &how);
            outputs_make(&past, none);
            for (int p = 0; p < n_paths; p++) {
                heed_sequence *s[BATCH_MAX];
                heed_instance *i = call_open(&c, paths[p], thread_counts[(size_t)p % COUNT(thread_counts)]);
                sequences_new(&c, i, s);
                outputs_make(&c, p ? out : first);
                part(&past, i, s, 0, 0, 0, P, none);
                part(&c, i, s, 0, steps[k].T, 0, steps[k].S, p ? out : first);
                if (p && !outputs_equal(&c, first, out))
                    wrong(&how, "behind %d keys, %s: other bits", (int)P, paths[p]);
                if (p) outputs_free(out);
                sequences_free(&c, s);
                heed_instance_close(i);
            }
            call_after(&c, &past.plain[call_port(&past, "k")], &past.plain[call_port(&past, "v")]);
            double ratio = call_judge(&c, first);
            if (!(ratio <= 1)) wrong(&how, "behind %d keys: error is %.3g of its bound", (int)P, ratio);
            outputs_free(first);
            outputs_free(none);
            call_free(&c);
            call_free(&past);
        }
}

/* What covers the keys of one call can not cover those of a sequence. */
static void test_refused_on_a_cache(void **state)
{
    static const char *const inputs[] = {"key_lengths,+bias", "key_lengths,+documents"};
    (void)state;
    for (size_t n = 0; n < COUNT(inputs); n++) {
        heed_error e;
        call c;
        call_case how = {ID "(causal=true)", "B=1,T=3,S=3,H=2,G=2,D=4,E=4", inputs[n], HEED_F32, 1, 1};
        heed_tensor at[ORACLE_PORTS], out[ORACLE_PORTS];
        heed_sequence *s[BATCH_MAX];
        call_make(&c, &how);
        heed_instance *i = call_open(&c, NULL, 1);
        sequences_new(&c, i, s);
        outputs_make(&c, out);
        for (uint32_t p = 0; p < c.op->ports.count; p++) at[p] = out[p].data ? out[p] : c.plain[p];
        assert_int_equal(call_with(&c, i, at, s, &e), HEED_E_UNSUPPORTED);
        if (!strstr(e.text, strchr(inputs[n], '+') + 1)) fail_msg("%s is not named: %s", inputs[n], e.text);
        assert_int_equal(heed_sequence_length(s[0]), 0);
        sequences_free(&c, s);
        heed_instance_close(i);
        outputs_free(out);
        call_free(&c);
    }
}

/* ---- what is masked stays behind the mask ---- */

static void poison(const call *c, const char *port, int64_t key)
{
    const heed_tensor *t = &c->plain[call_port(c, port)];
    const int64_t last = t->rank - 1, G = t->dim[2], B = t->dim[0];
    for (int64_t d = 0; d < t->dim[last]; d++)
        tensor_put(t, (key % B) * t->stride[0] + key * t->stride[1] + (key / 3 % G) * t->stride[2] + d,
                   key % 2 ? NAN : -NAN);
}

/* A NaN in a key or a value is in the rows that attend to it, as the formula has it, and no other bit changes. */
static void test_nans(void **state)
{
    static const int64_t keys[] = {0, 1, 16, 47, 48, 90, 95, 96, 129};
    static const char *const ports[] = {"k", "v"};
    (void)state;
    for (size_t f = 0, n = 0; f < COUNT(features) * 3; f++)
        for (size_t v = 0; v < values_of(f % COUNT(features)); v++, n++) {
            if (harness_skips(n, 4)) continue;
            crowd made;
            start(&made, n);
            made.how.dtype = HEED_F32, made.how.size = 1;
            snprintf(made.axes, sizeof made.axes, "B=2,T=%d,S=130,H=%d,G=%d,D=9,E=17", n % 2 ? 9 : 120,
                     groups[n % COUNT(groups)].H, groups[n % COUNT(groups)].G);
            add(&made, features[f % COUNT(features)][v]);
            for (size_t g = 0; g < f / COUNT(features); g++) { /* and one or two more */
                size_t other = (f + 1 + g * 3 + n % 2) % COUNT(features);
                if (other != f % COUNT(features)) add(&made, features[other][n % values_of(other)]);
            }
            call c;
            heed_tensor clean[ORACLE_PORTS], out[ORACLE_PORTS];
            const call_case *how = finish(&made);
            call_make(&c, how);
            call_run(&c, paths[0], 1, PLAIN, clean);
            for (size_t k = 0; k < 3; k++) poison(&c, ports[n % 2], keys[(n + 2 * k) % COUNT(keys)]);
            call_update(&c);
            oracle_find(ID)->f64(&c.oracle);
            for (int p = 0; p < n_paths; p++) {
                call_run(&c, paths[p], thread_counts[(size_t)p % COUNT(thread_counts)], PLAIN, out);
                for (uint32_t o = 0; o < c.op->ports.count; o++) {
                    if (!out[o].data) continue;
                    for (int64_t i = 0; i < heed_tensor_elements(&out[o]); i++) {
                        const float *y = (const float *)out[o].data + i, *x = (const float *)clean[o].data + i;
                        int reached = isnan(c.oracle.d[o][i]);
                        if (reached ? !isnan(*y) : memcmp(x, y, sizeof *x) != 0)
                            wrong(how, "a NaN in %s, %s: %s[%d] is %g, without the NaN %g, and it %s attend",
                                  ports[n % 2], paths[p], c.oracle.port[o], (int)i, (double)*y, (double)*x,
                                  reached ? "does" : "does not");
                    }
                }
                outputs_free(out);
                calls++;
            }
            outputs_free(clean);
            call_free(&c);
        }
}

/* ---- lists of blocks ---- */

/* Lists that name all blocks leave the bits of the call without them. */
static void test_all_blocks(void **state)
{
    static const char *const specs[] = {ID "(causal=true)", ID "(causal=true, blocks=48:40)"};
    (void)state;
    heed_tensor out[2][ORACLE_PORTS];
    call c[2];
    for (int n = 0; n < 2; n++) {
        call_case how = {
            specs[n], "B=2,T=300,S=300,H=4,G=2,D=24,E=20,I=7,Y=9", "key_lengths", HEED_F32, 1, 3};
        call_make(&c[n], &how);
        heed_tensor *lists = &c[n].plain[call_port(&c[n], "key_blocks")];
        for (int64_t i = 0; n && i < heed_tensor_elements(lists); i++)
            tensor_put(lists, i, i % 9 < 8 ? i % 9 : -1);
        call_run(&c[n], NULL, 2, PLAIN, out[n]);
    }
    if (!outputs_equal(&c[0], out[0], out[1]))
        fail_msg("lists of all blocks have other bits than none");
    for (int n = 0; n < 2; n++) outputs_free(out[n]), call_free(&c[n]);
}

/* The sizes in a spec, as written and in its one form; NULL: refused. */
static void test_sizes_of_blocks(void **state)
{
    static const char *const specs[][2] = {
        {ID "(blocks=64)", ID "(blocks=64)"},
        {ID "(blocks=64:64, window=3)", ID "(window=3, blocks=64)"},
        {ID "(blocks=16:96, causal=true)", ID "(causal=true, blocks=16:96)"},
        {ID "(blocks=0)", NULL},
        {ID "(blocks=16:0)", NULL},
        {"attention/window(left=3, blocks=64)", NULL},
    };
    (void)state;
    for (size_t n = 0; n < COUNT(specs); n++) {
        heed_error e;
        heed_instance *i = heed_instance_open(harness_engine(1), specs[n][0], NULL, &e);
        if (specs[n][1]) assert_string_equal(heed_instance_spec(i), specs[n][1]);
        else if (i || !strstr(e.text, "blocks"))
            fail_msg("%s is not refused for its blocks: %s", specs[n][0], e.text);
        heed_instance_close(i);
    }
}

static void test_bad_lists(void **state)
{
    static const struct {
        const char *spec;
        int list[3], code;
        const char *text;
    } faults[] = {
        {ID "(blocks=16:32)",
         {0, 4, -1},
         HEED_E_ARGUMENT,
         "key_blocks[0][1][1] is 4, but 100 keys are 4 blocks of 32: they are 0 to 3, and -1 "
         "behind a list's end"},
        {ID "(blocks=16:32)",
         {-2, -1, -1},
         HEED_E_ARGUMENT,
         "key_blocks[0][1][0] is -2, but 100 keys"},
        {ID "(blocks=16:32)",
         {2, 1, -1},
         HEED_E_ARGUMENT,
         "key_blocks[0][1][1] is 1 behind 2: a list names its blocks in rising order, each once"},
        {ID "(blocks=16:32)", {0, 2, 2}, HEED_E_ARGUMENT, "key_blocks[0][1][2] is 2 behind 2"},
        {ID "(blocks=16:32)",
         {0, -1, 2},
         HEED_E_ARGUMENT,
         "key_blocks[0][1][2] is 2 behind -1, the end of the list"},
        {ID "(blocks=16)",
         {0, -1, -1},
         HEED_E_UNSUPPORTED,
         "blocks of 16 keys are too small: they need 32 or more"},
        {ID "(window=9, sinks=2, blocks=64)",
         {0, -1, -1},
         HEED_E_UNSUPPORTED,
         "blocks and sinks exclude each other"},
    };
    (void)state;
    for (size_t n = 0; n < COUNT(faults); n++) {
        heed_error e;
        call c;
        call_case how = {
            faults[n].spec, "B=1,T=9,S=100,H=2,G=2,D=4,E=4,I=3,Y=3", "key_lengths", HEED_F32, 1, 1};
        heed_tensor at[ORACLE_PORTS], out[ORACLE_PORTS];
        call_make(&c, &how);
        for (int64_t i = 0; i < 9; i++)
            tensor_put(&c.plain[call_port(&c, "key_blocks")], i,
                       i / 3 == 1 ? faults[n].list[i % 3] : -1);
        heed_instance *i = call_open(&c, NULL, 1);
        outputs_make(&c, out);
        for (uint32_t p = 0; p < c.op->ports.count; p++) at[p] = out[p].data ? out[p] : c.plain[p];
        assert_int_equal(call_with(&c, i, at, NULL, &e), faults[n].code);
        if (!strstr(e.text, faults[n].text)) fail_msg("%s: not \"%s\"", e.text, faults[n].text);
        heed_instance_close(i);
        outputs_free(out);
        call_free(&c);
    }
}

/* ---- the test of the test ---- */

static void wider_left(call *c) { c->mask.left++; }
static void wider_right(call *c) { c->mask.right++; }
static void longer_prefix(call *c) { c->mask.prefix++; }
static void more_sinks(call *c) { c->mask.sinks++; }
static void later(call *c) { c->mask.offset++; }
static void change(call *c, const char *port, double by)
{
    int p = call_port(c, port);
    for (int64_t i = 0; i < heed_tensor_elements(&c->plain[p]); i++) c->oracle.d[p][i] += i % 50 == 20 ? by : 0;
}
static void other_document(call *c) { change(c, "documents", 5000); }
static void other_block(call *c) { change(c, "key_blocks", 1); }
static void other_bias(call *c) { change(c, "bias", 1e-4); }
static void longer(call *c) { c->oracle.d[call_port(c, "key_lengths")][0]--; }
static void other_sink(call *c) { c->oracle.d[call_port(c, "sink_logits")][1] += 1e-3; }

/* The oracle is told a mask that is a little off. */
static void test_of_the_test(void **state)
{
    static const struct {
        const char *spec, *ports;
        void (*spoil)(call *c);
    } faults[] = {
        {ID "(window=20)", "key_lengths", wider_left},
        {ID "(window=20:9)", "key_lengths", wider_right},
        {ID "(causal=true, window=20:9)", "key_lengths", wider_left},
        {ID "(causal=true, prefix=30)", "key_lengths", longer_prefix},
        {ID "(window=9, sinks=3)", "key_lengths", more_sinks},
        {ID "(causal=offset:3)", "key_lengths", later},
        {ID "(causal=offset:-3, window=5, sinks=2)", "key_lengths", later},
        {ID "(causal=true)", "key_lengths,+documents", other_document},
        {ID, "key_lengths,+documents,+query_documents", other_document},
        {ID, "key_lengths,+bias", other_bias},
        {ID "(blocks=1:32)", "key_lengths", other_block},
        {ID, "", longer},
        {ID, "key_lengths,+sink_logits", other_sink},
    };
    (void)state;
    for (size_t n = 0; n < COUNT(faults); n++)
        for (int spoilt = 0; spoilt < 2; spoilt++) {
            call c;
            heed_tensor out[ORACLE_PORTS];
            call_case how = {faults[n].spec, "B=1,T=70,S=70,H=2,G=2,D=16,E=16", faults[n].ports, HEED_F32, 1, 6};
            call_make(&c, &how);
            if (!*faults[n].ports) tensor_put(&c.plain[call_port(&c, "key_lengths")], 0, 66), call_update(&c);
            call_run(&c, NULL, 1, PLAIN, out);
            if (spoilt) faults[n].spoil(&c);
            double ratio = call_judge(&c, out);
            if ((ratio <= 1) == spoilt)
                wrong(&how, "fault %d, made %d times: %.3g of the bound", (int)n, spoilt, ratio);
            outputs_free(out);
            call_free(&c);
        }
}

static int setup(void **state)
{
    (void)state;
    n_paths = harness_paths(ID, paths);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    printf("%d runs\n", calls);
    harness_end();
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_alone),
        cmocka_unit_test(test_pairs),
        cmocka_unit_test(test_crowds),
        cmocka_unit_test(test_long),
        cmocka_unit_test(test_chunks),
        cmocka_unit_test(test_after),
        cmocka_unit_test(test_nans),
        cmocka_unit_test(test_refused_on_a_cache),
        cmocka_unit_test(test_of_the_test),
        cmocka_unit_test(test_all_blocks),
        cmocka_unit_test(test_sizes_of_blocks),
        cmocka_unit_test(test_bad_lists),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
