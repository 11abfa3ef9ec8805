/* SPDX-License-Identifier: MIT
 *
 * test_transformer_xl.c: attention/transformer_xl: its oracle, its bits, its phases, its memory,
 * golden values, and what it refuses.
 */
#include <string.h>

#include "lib/variant.h"

#define XL "attention/transformer_xl"
#define WITH "key_lengths"
#define FOUR "B=1,T=4,S=4,H=1,G=1,D=4,E=4"
#define ZEROS "relative_weight=0 content_bias=0 position_bias=0"

/* W the identity: with u and v of streams 19 and 20 that of the golden values. */
static void identity(call *c)
{
    for (int j = 0; j < 16; j++)
        tensor_put(&c->plain[call_port(c, "relative_weight")], j, j % 5 == 0);
}

static const variant_row rows[] = {
    {FORMULA, XL "(memory=1)", "B=2,T=1,S=1,H=2,G=2,D=3,E=5,M=4", "key_lengths"},
    {FORMULA, XL, "B=1,T=0,S=7,H=2,G=2,D=8,E=8,M=6", "key_lengths"},
    {FORMULA, XL, "B=1,T=7,S=0,H=2,G=2,D=8,E=8,M=6", "key_lengths", .dtype = HEED_F16},
    {FORMULA, XL "(memory=70)", "B=2,T=49,S=97,H=3,G=3,D=17,E=33,M=34", "", .dtype = HEED_BF16},
    {FORMULA, XL "(causal=true, memory=65)", "B=1,T=65,S=65,H=4,G=4,D=16,E=24,M=64", "key_lengths"},
    {FORMULA, XL "(causal=true, memory=200)", "B=2,T=150,S=150,H=2,G=2,D=33,E=17,M=66",
     "key_lengths"},
    {FORMULA, XL "(causal=bottom_right, memory=195)", "B=2,T=5,S=200,H=3,G=3,D=24,E=40,M=72",
     "key_lengths", .dtype = HEED_F16},
    {FORMULA, XL "(causal=bottom_right, memory=40)", "B=1,T=33,S=200,H=1,G=1,D=24,E=40,M=10",
     "key_lengths", .dtype = HEED_BF16},
    {FORMULA, XL "(causal=bottom_right, memory=60, clamp=21)",
     "B=1,T=60,S=120,H=2,G=2,D=16,E=16,M=32", "key_lengths"},
    {FORMULA, XL "(causal=true, memory=37, same_length=true)",
     "B=1,T=130,S=130,H=2,G=2,D=16,E=16,M=32", "key_lengths"},
    {FORMULA, XL "(causal=bottom_right, memory=50, encoding=interleaved)",
     "B=1,T=2,S=52,H=2,G=2,D=10,E=16,M=20", "key_lengths", .dtype = HEED_F16},
    {FORMULA, XL "(causal=bottom_right, memory=300, window=100)",
     "B=1,T=3,S=303,H=2,G=2,D=64,E=48,M=128", "key_lengths", .dtype = HEED_BF16},
    {FORMULA, XL "(causal=true, memory=300, scale=0.2)", "B=1,T=300,S=300,H=1,G=1,D=64,E=64,M=64",
     "key_lengths"},
    {FORMULA, XL "(causal=true, memory=100)", "B=2,T=60,S=60,H=2,G=2,D=16,E=16,M=32",
     "key_lengths,+documents"},
    {FORMULA, XL "(causal=true, memory=100)", "B=2,T=60,S=60,H=2,G=2,D=16,E=16,M=32",
     "key_lengths,+documents,+query_documents", .dtype = HEED_F16},
    {FORMULA, XL "(causal=true, memory=100)", "B=1,T=77,S=77,H=2,G=2,D=16,E=16,M=32",
     "key_lengths,+bias,+sink_logits", .dtype = HEED_BF16},
    {FORMULA, XL "(causal=offset:-9, memory=100)", "B=1,T=40,S=120,H=1,G=1,D=31,E=47,M=62",
     "key_lengths"},
    {FORMULA, XL "(causal=offset:90, memory=100)", "B=1,T=48,S=120,H=1,G=1,D=31,E=47,M=62",
     "key_lengths"},

    /* With same_length, and where the memory holds all there was, segments of any lengths agree. */
    {PHASES, XL "(causal=true, memory=300)", "B=1,T=300,S=300,H=2,G=2,D=16,E=24,M=32", WITH},
    {PHASES, XL "(causal=true, memory=97)", "B=3,T=97,S=97,H=2,G=2,D=9,E=7,M=18", WITH},
    {PHASES, XL "(causal=true, memory=50, same_length=true)",
     "B=1,T=200,S=200,H=1,G=1,D=32,E=32,M=64", WITH},
    {PHASES, XL "(causal=true, memory=150, same_length=true, clamp=40)",
     "B=1,T=310,S=310,H=1,G=1,D=16,E=16,M=16", WITH},
    {CAUSAL, XL "(causal=true, memory=130)", "B=2,T=130,S=130,H=2,G=2,D=16,E=20,M=32", WITH},
    {CAUSAL, XL "(memory=130)", "B=2,T=130,S=130,H=2,G=2,D=16,E=20,M=32",
     WITH}, /* without a mask */

    {EQUALS, XL "(causal=true, memory=150)", "B=2,T=150,S=150,H=3,G=3,D=40,E=24,M=10", WITH,
     .fill = ZEROS, .to = "attention/softmax(causal=true)"},
    {EQUALS, XL "(causal=bottom_right, memory=100)", "B=2,T=50,S=150,H=3,G=3,D=40,E=24,M=10", WITH,
     .fill = ZEROS, .to = "attention/softmax(causal=bottom_right)"},

    /* Without a memory row 3; with rows 0 and 1 as memory row 2, the first query. */
    {GOLDEN, XL "(causal=bottom_right, memory=4)", FOUR ",M=4", WITH, .set = identity,
     .fill = "q:1 k:2 v:3 content_bias:19 position_bias:20", .row = 3,
     .right = {-0.028893, 0.205537, 0.170516, 0.435863}},
    {GOLDEN, XL "(causal=bottom_right, memory=4)", "B=1,T=2,S=4,H=1,G=1,D=4,E=4,M=4", WITH,
     .set = identity, .fill = "q:1+8 k:2 v:3 content_bias:19 position_bias:20", .row = 0,
     .right = {0.595730, -0.072027, -0.311625, 0.140602}},

    {REFUSED, XL "(memory=3)", FOUR ",M=4", WITH,
     .to = "a segment of 4 tokens is longer than the memory of 3"},
    {REFUSED, XL, FOUR ",M=5", WITH, .to = "relative_weight has 5 columns"},
    {REFUSED, XL "(softcap=5)", FOUR ",M=4", WITH, .to = "no softcap"},
    {REFUSED, XL, "B=1,T=4,S=4,H=4,G=2,D=4,E=4,M=4", WITH, .to = "keys of its own"},
    {REFUSED, XL "(memory=0)", .to = "memory"},
    {REFUSED, XL "(causal=true, prefix=2)", .to = "prefix"},
};

/* Tiles of 1 to 48 rows and more: each takes the way for its number of rows. */
static void test_rows(void **state)
{
    (void)state;
    for (int t = 1; t < 52; t += harness_quick() ? 13 : 1) {
        char axes[80];
        snprintf(axes, sizeof axes, "B=1,T=%d,S=%d,H=1,G=1,D=24,E=24,M=24", t, t + 130);
        call_case how = {
            XL "(causal=bottom_right, memory=120)", axes, "key_lengths", HEED_F32, 1, (uint64_t)t};
        harness_sweep(&how);
    }
}

/* Segments of 20 tokens with a memory of 50: each has the bits of one call on its 50 tokens before
 * and its own. */
static void test_memory(void **state)
{
    enum { L = 20, M = 50, ALL = 160, E = 24 };
    const char *paths[8];
    (void)state;
    call_case how = {XL "(causal=bottom_right, memory=50)",
                     "B=1,T=160,S=160,H=2,G=2,D=16,E=24,M=32",
                     "key_lengths",
                     HEED_F32,
                     1,
                     4};
    call c;
    call_make(&c, &how);
    const int n = harness_paths(XL, paths), q = call_port(&c, "q"), k = call_port(&c, "k"),
              v = call_port(&c, "v"), y = call_port(&c, "out");
    for (int p = 0; p < n; p++) {
        heed_error e;
        heed_tensor once[ORACLE_PORTS], kept[ORACLE_PORTS], view[ORACLE_PORTS];
        heed_instance *i = call_open(&c, paths[p], 2);
        heed_sequence *s = heed_sequence_new(i, c.oracle.axis, &e);
        assert_non_null(s);
        outputs_make(&c, once);
        outputs_make(&c, kept);
        for (int t = 0; t < ALL; t += L) {
            const int from = t > M ? t - M : 0;
            memset(view, 0, sizeof view);
            view[q] = tensor_slice(&c.plain[q], 1, t, L);
            view[k] = tensor_slice(&c.plain[k], 1, t, L),
            view[v] = tensor_slice(&c.plain[v], 1, t, L);
            view[y] = tensor_slice(&kept[y], 1, t, L);
            if (call_with(&c, i, view, &s, &e)) fail_msg("%s", e.text);
            view[k] = tensor_slice(&c.plain[k], 1, from, t + L - from);
            view[v] = tensor_slice(&c.plain[v], 1, from, t + L - from);
            view[y] = tensor_slice(&once[y], 1, t, L);
            if (call_with(&c, i, view, NULL, &e)) fail_msg("%s", e.text);
            call one; /* and that call is what the oracle says */
            char axes[80];
            snprintf(axes, sizeof axes, "B=1,T=%d,S=%d,H=2,G=2,D=16,E=24,M=32", L, t + L - from);
            call_case step = {how.spec, axes, "key_lengths,lse", HEED_F32, 1, 4};
            heed_tensor result[ORACLE_PORTS] = {0};
            call_make(&one, &step);
            for (uint32_t port = 0; port < c.op->ports.count; port++)
                if (view[port].data) tensor_copy(&one.plain[port], &view[port]);
                else if (one.plain[port].data) tensor_copy(&one.plain[port], &c.plain[port]);
            call_update(&one);
            result[y] = one.plain[y];
            if (!(call_judge(&one, result) <= 1)) fail_msg("segment at %d: beyond its bound", t);
            for (int64_t x = 0; x < (int64_t)L * 2 * E;
                 x++) { /* blocks begin elsewhere: equal within rounding */
                const double a = tensor_get(&kept[y], t * 2 * E + x),
                             b = tensor_get(&once[y], t * 2 * E + x);
                if (!(a - b < 2e-6 && b - a < 2e-6))
                    fail_msg("segment at %d: %g with the state, %g without", t, a, b);
            }
            call_free(&one);
        }
        heed_sequence_free(s);
        heed_instance_close(i);
        outputs_free(once);
        outputs_free(kept);
    }
    call_free(&c);
}

/* The table of all distances is made when the op is opened: one that takes long and much memory is refused, and `clamp`
 * is the way out, which the sentence names. */
static void test_table(void **state)
{
    enum { H = 4, D = 32, M = 8 };
    static const struct { const char *spec; int opens; } cases[] = {
        {"attention/transformer_xl(memory=4096)", 1},
        {"attention/transformer_xl(memory=1048576)", 0},
        {"attention/transformer_xl(memory=1048576, clamp=1000)", 1},
        {"attention/transformer_xl(memory=1048576, same_length=true)", 0},
    };
    static float w[H * D * M], u[H * D];
    heed_tensor wt = heed_tensor_of(w, HEED_F32, 3, (int64_t[]){H, D, M});
    heed_tensor ut = heed_tensor_of(u, HEED_F32, 2, (int64_t[]){H, D});
    heed_binding weights[] = {{"relative_weight", &wt}, {"content_bias", &ut}, {"position_bias", &ut}};
    heed_opening opening = {.size = sizeof opening, .n_weights = 3, .weights = weights};
    (void)state;
    for (size_t n = 0; n < COUNT(cases); n++) {
        heed_error e;
        heed_instance *i = heed_instance_open(harness_engine(1), cases[n].spec, &opening, &e);
        if (!i != !cases[n].opens) fail_msg("%s: %s", cases[n].spec, i ? "opens" : e.text);
        if (!i) assert_non_null(strstr(e.text, "more than 256 MiB; a smaller memory has fewer, and clamp=N"));
        heed_instance_close(i);
    }
}

int main(void)
{
    const struct CMUnitTest own[] = {cmocka_unit_test(test_rows), cmocka_unit_test(test_memory),
                                      cmocka_unit_test(test_table)};
    return variant_main(rows, COUNT(rows), own, COUNT(own));
}
