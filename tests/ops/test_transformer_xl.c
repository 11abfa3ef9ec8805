/* SPDX-License-Identifier: MIT
 *
 * test_transformer_xl.c: attention/transformer_xl: its oracle, its bits, its phases, its memory, golden values, and
 * what it refuses.
 */
#include <stdlib.h>
#include <string.h>

#include "lib/variant.h"

#define COUNT(array) (sizeof(array) / sizeof *(array))
#define XL "attention/transformer_xl"

static void test_shapes(void **state)
{
    static const struct { const char *spec, *axes, *without; } cases[] = {
        {XL "(memory=1)", "B=2,T=1,S=1,H=2,G=2,D=3,E=5,M=4", "key_lengths"},
        {XL, "B=1,T=0,S=7,H=2,G=2,D=8,E=8,M=6", "key_lengths"},
        {XL, "B=1,T=7,S=0,H=2,G=2,D=8,E=8,M=6", "key_lengths"},
        {XL "(memory=70)", "B=2,T=49,S=97,H=3,G=3,D=17,E=33,M=34", ""},
        {XL "(causal=true, memory=65)", "B=1,T=65,S=65,H=4,G=4,D=16,E=24,M=64", "key_lengths"},
        {XL "(causal=true, memory=200)", "B=2,T=150,S=150,H=2,G=2,D=33,E=17,M=66", "key_lengths"},
        {XL "(causal=bottom_right, memory=195)", "B=2,T=5,S=200,H=3,G=3,D=24,E=40,M=72", "key_lengths"},
        {XL "(causal=bottom_right, memory=40)", "B=1,T=33,S=200,H=1,G=1,D=24,E=40,M=10", "key_lengths"},
        {XL "(causal=bottom_right, memory=60, clamp=21)", "B=1,T=60,S=120,H=2,G=2,D=16,E=16,M=32", "key_lengths"},
        {XL "(causal=true, memory=37, same_length=true)", "B=1,T=130,S=130,H=2,G=2,D=16,E=16,M=32", "key_lengths"},
        {XL "(causal=bottom_right, memory=50, encoding=interleaved)",
         "B=1,T=2,S=52,H=2,G=2,D=10,E=16,M=20", "key_lengths"},
        {XL "(causal=bottom_right, memory=300, window=100)", "B=1,T=3,S=303,H=2,G=2,D=64,E=48,M=128", "key_lengths"},
        {XL "(causal=true, memory=300, scale=0.2)", "B=1,T=300,S=300,H=1,G=1,D=64,E=64,M=64", "key_lengths"},
        {XL "(causal=true, memory=100)", "B=2,T=60,S=60,H=2,G=2,D=16,E=16,M=32", "key_lengths,+documents"},
        {XL "(causal=true, memory=100)", "B=2,T=60,S=60,H=2,G=2,D=16,E=16,M=32",
         "key_lengths,+documents,+query_documents"},
        {XL "(causal=true, memory=100)", "B=1,T=77,S=77,H=2,G=2,D=16,E=16,M=32", "key_lengths,+bias,+sink_logits"},
        {XL "(causal=offset:-9, memory=100)", "B=1,T=40,S=120,H=1,G=1,D=31,E=47,M=62", "key_lengths"},
        {XL "(causal=offset:90, memory=100)", "B=1,T=48,S=120,H=1,G=1,D=31,E=47,M=62", "key_lengths"},
    };
    static const uint32_t dtypes[] = {HEED_F32, HEED_F32, HEED_F16, HEED_BF16};
    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        call_case how = {cases[i].spec, cases[i].axes, cases[i].without, dtypes[i % COUNT(dtypes)], 1, i};
        harness_sweep(&how);
    }
}

/* Tiles of 1 to 48 rows and more: each takes the way for its number of rows. */
static void test_rows(void **state)
{
    (void)state;
    for (int t = 1; t < 52; t += harness_quick() ? 13 : 1) {
        char axes[80];
        snprintf(axes, sizeof axes, "B=1,T=%d,S=%d,H=1,G=1,D=24,E=24,M=24", t, t + 130);
        call_case how = {XL "(causal=bottom_right, memory=120)", axes, "key_lengths", HEED_F32, 1, (uint64_t)t};
        harness_sweep(&how);
    }
}

/* With same_length, and where the memory holds all there was, segments of any lengths agree. */
static void test_phases(void **state)
{
    static const struct { const char *spec, *axes; } cases[] = {
        {XL "(causal=true, memory=300)", "B=1,T=300,S=300,H=2,G=2,D=16,E=24,M=32"},
        {XL "(causal=true, memory=97)", "B=3,T=97,S=97,H=2,G=2,D=9,E=7,M=18"},
        {XL "(causal=true, memory=50, same_length=true)", "B=1,T=200,S=200,H=1,G=1,D=32,E=32,M=64"},
        {XL "(causal=true, memory=150, same_length=true, clamp=40)", "B=1,T=310,S=310,H=1,G=1,D=16,E=16,M=16"},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        call_case how = {cases[i].spec, cases[i].axes, "key_lengths", HEED_F32, 1, i};
        variant_phases(&how);
    }
}

/* Segments of 20 tokens with a memory of 50: each has the bits of one call on its 50 tokens before and its own. */
static void test_memory(void **state)
{
    enum { L = 20, M = 50, ALL = 160, E = 24 };
    const char *paths[8];
    (void)state;
    call_case how = {XL "(causal=bottom_right, memory=50)", "B=1,T=160,S=160,H=2,G=2,D=16,E=24,M=32", "key_lengths",
                     HEED_F32, 1, 4};
    call c;
    call_make(&c, &how);
    const int n = harness_paths(XL, paths), q = call_port(&c, "q"), k = call_port(&c, "k"), v = call_port(&c, "v"),
              y = call_port(&c, "out");
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
            view[k] = tensor_slice(&c.plain[k], 1, t, L), view[v] = tensor_slice(&c.plain[v], 1, t, L);
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
            for (int64_t x = 0; x < (int64_t)L * 2 * E; x++) { /* blocks begin elsewhere: equal within rounding */
                const double a = tensor_get(&kept[y], t * 2 * E + x), b = tensor_get(&once[y], t * 2 * E + x);
                if (!(a - b < 2e-6 && b - a < 2e-6)) fail_msg("segment at %d: %g with the state, %g without", t, a, b);
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

static void test_causality(void **state)
{
    (void)state;
    call_case how = {XL "(causal=true, memory=130)", "B=2,T=130,S=130,H=2,G=2,D=16,E=20,M=32", "key_lengths",
                     HEED_F32, 1, 3};
    variant_causality(&how, 57);
    how.spec = XL "(memory=130)"; /* it needs no mask to be causal */
    variant_causality(&how, 57);
}

static void test_zero_weights(void **state)
{
    (void)state;
    call_case how = {XL "(causal=true, memory=150)", "B=2,T=150,S=150,H=3,G=3,D=40,E=24,M=10", "key_lengths",
                     HEED_F32, 1, 5};
    call_case other = {"attention/softmax(causal=true)", "B=2,T=150,S=150,H=3,G=3,D=40,E=24", "key_lengths",
                     HEED_F32, 1, 6};
    variant_equals(&how, "relative_weight,content_bias,position_bias", &other);
    how.spec = XL "(causal=bottom_right, memory=100)"; /* and a memory */
    how.axes = "B=2,T=50,S=150,H=3,G=3,D=40,E=24,M=10";
    other.spec = "attention/softmax(causal=bottom_right)", other.axes = "B=2,T=50,S=150,H=3,G=3,D=40,E=24";
    variant_equals(&how, "relative_weight,content_bias,position_bias", &other);
}

/* W the identity, u and v g(19, .) and g(20, .): without a memory row 3, with rows 0 and 1 as memory row 2. */
static void test_golden(void **state)
{
    static const struct { const char *axes; int from, row; double right[4]; } cases[] = {
        {"B=1,T=4,S=4,H=1,G=1,D=4,E=4,M=4", 0, 3, {-0.028893, 0.205537, 0.170516, 0.435863}},
        {"B=1,T=2,S=4,H=1,G=1,D=4,E=4,M=4", 2, 0, {0.595730, -0.072027, -0.311625, 0.140602}},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        call_case how = {XL "(causal=bottom_right, memory=4)", cases[i].axes, "key_lengths", HEED_F32, 1, 0};
        call c;
        call_make(&c, &how);
        variant_fill(&c, "k", 2), variant_fill(&c, "v", 3);
        variant_fill(&c, "content_bias", 19), variant_fill(&c, "position_bias", 20);
        for (int j = 0; j < 4 * (4 - cases[i].from); j++)
            tensor_put(&c.plain[call_port(&c, "q")], j, variant_g(1, (uint32_t)(4 * cases[i].from + j)));
        for (int j = 0; j < 16; j++) tensor_put(&c.plain[call_port(&c, "relative_weight")], j, j % 5 == 0);
        variant_golden(&c, cases[i].row, cases[i].right, 4);
        call_free(&c);
    }
}

static void test_refused(void **state)
{
    static const struct { const char *spec, *axes, *text; } cases[] = {
        {XL "(memory=3)", "B=1,T=4,S=4,H=1,G=1,D=4,E=4,M=4", "a segment of 4 tokens is longer than the memory of 3"},
        {XL, "B=1,T=4,S=4,H=1,G=1,D=4,E=4,M=5", "relative_weight has 5 columns"},
        {XL "(memory=0)", "B=1,T=4,S=4,H=1,G=1,D=4,E=4,M=4", "memory"},
        {XL "(softcap=5)", "B=1,T=4,S=4,H=1,G=1,D=4,E=4,M=4", "no softcap"},
        {XL, "B=1,T=4,S=4,H=4,G=2,D=4,E=4,M=4", "keys of its own"},
        {XL "(causal=true, prefix=2)", "B=1,T=4,S=4,H=1,G=1,D=4,E=4,M=4", "prefix"},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        if (strstr(cases[i].spec, "memory=0") || strstr(cases[i].spec, "prefix")) { /* the spec itself is refused */
            heed_error e;
            assert_null(heed_instance_open(harness_engine(1), cases[i].spec, NULL, &e));
            if (!strstr(e.text, cases[i].text)) fail_msg("%s: %s", cases[i].spec, e.text);
            continue;
        }
        call_case how = {cases[i].spec, cases[i].axes, "key_lengths", HEED_F32, 1, i};
        variant_refuses(&how, cases[i].text);
    }
}

static void test_network(void **state)
{
    (void)state;
    variant_network("attention=transformer_xl(causal=true, memory=150)");
    variant_network("attention=transformer_xl(memory=40, same_length=true)");
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
        cmocka_unit_test(test_golden),    cmocka_unit_test(test_shapes),       cmocka_unit_test(test_rows),
        cmocka_unit_test(test_phases),    cmocka_unit_test(test_memory),       cmocka_unit_test(test_causality),
        cmocka_unit_test(test_zero_weights), cmocka_unit_test(test_refused),
        cmocka_unit_test(test_network),
    };
    return cmocka_run_group_tests(tests, NULL, teardown);
}
