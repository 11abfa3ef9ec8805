/* SPDX-License-Identifier: MIT
 *
 * test_shaw.c: attention/shaw: its oracle, its bits, its phases, golden values, and what it refuses.
 */
#include <string.h>

#include "lib/variant.h"

#define COUNT(array) (sizeof(array) / sizeof *(array))
#define WITH "key_lengths,+relative_values" /* left out: key_lengths; there: the table of values */

static void test_shapes(void **state)
{
    static const struct { const char *spec, *axes, *without; } cases[] = {
        {"attention/shaw", "B=2,T=1,S=1,H=2,G=1,D=3,E=5,R=3", "+relative_values"},
        {"attention/shaw", "B=1,T=0,S=7,H=2,G=2,D=8,E=8,R=5", WITH},
        {"attention/shaw", "B=1,T=7,S=0,H=2,G=2,D=8,E=8,R=5", WITH},
        {"attention/shaw", "B=2,T=49,S=97,H=3,G=3,D=17,E=33,R=9", "+relative_values"},
        {"attention/shaw(causal=true)", "B=1,T=65,S=65,H=4,G=2,D=16,E=24,R=33", WITH},
        {"attention/shaw(causal=true)", "B=1,T=97,S=97,H=1,G=1,D=40,E=16,R=257", WITH},
        {"attention/shaw(causal=true)", "B=2,T=150,S=150,H=2,G=2,D=33,E=17,R=35", "key_lengths"},
        {"attention/shaw(causal=bottom_right)", "B=2,T=5,S=200,H=6,G=2,D=24,E=40,R=17", WITH},
        {"attention/shaw(causal=true, window=20, sinks=3)", "B=1,T=130,S=130,H=2,G=1,D=16,E=16,R=13", WITH},
        {"attention/shaw(window=9:30, scale=0.4)", "B=1,T=70,S=110,H=2,G=2,D=9,E=10,R=41", "+relative_values"},
        {"attention/shaw(causal=true, prefix=21)", "B=1,T=61,S=61,H=2,G=1,D=20,E=20,R=7", WITH},
        {"attention/shaw", "B=2,T=60,S=60,H=2,G=1,D=16,E=16,R=9", WITH ",+documents"},
        {"attention/shaw(causal=true)", "B=1,T=77,S=77,H=2,G=1,D=16,E=16,R=9", WITH ",+bias,+sink_logits"},
        {"attention/shaw(causal=true)", "B=1,T=300,S=300,H=1,G=1,D=64,E=64,R=33", WITH},
        {"attention/shaw(causal=true, position=alibi)", "B=1,T=53,S=53,H=3,G=1,D=16,E=16,R=9", WITH},
        {"attention/shaw(causal=offset:-9)", "B=1,T=40,S=120,H=1,G=1,D=31,E=47,R=21", WITH},
    };
    static const uint32_t dtypes[] = {HEED_F32, HEED_F32, HEED_F16, HEED_BF16};
    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        call_case how = {cases[i].spec, cases[i].axes, cases[i].without, dtypes[i % COUNT(dtypes)],
                         i % 5 == 4 ? 3 : 1, i};
        harness_sweep(&how);
    }
}

static void test_phases(void **state)
{
    static const char *const axes[] = {
        "B=1,T=300,S=300,H=2,G=1,D=16,E=24,R=33", "B=3,T=97,S=97,H=2,G=2,D=9,E=7,R=5",
        "B=1,T=200,S=200,H=1,G=1,D=32,E=32,R=151",
    };
    (void)state;
    for (size_t i = 0; i < COUNT(axes); i++) {
        call_case how = {"attention/shaw(causal=true)", axes[i], WITH, HEED_F32, 1, i};
        variant_phases(&how);
    }
}

static void test_causality(void **state)
{
    (void)state;
    call_case how = {"attention/shaw(causal=true)", "B=2,T=130,S=130,H=2,G=1,D=16,E=20,R=17", WITH, HEED_F32, 1, 3};
    variant_causality(&how, 57);
}

static void test_zero_tables(void **state)
{
    static const struct { const char *spec, *softmax; } pairs[] = {
        {"attention/shaw(causal=true)", "attention/softmax(causal=true)"}, {"attention/shaw", "attention/softmax"}};
    (void)state;
    for (size_t i = 0; i < COUNT(pairs); i++) {
        call_case how = {pairs[i].spec, "B=2,T=150,S=150,H=4,G=2,D=40,E=24,R=33", WITH, HEED_F32, 1, 5};
        call_case other = {pairs[i].softmax, "B=2,T=150,S=150,H=4,G=2,D=40,E=24", "key_lengths", HEED_F32, 1, 6};
        variant_equals(&how, "relative_keys,relative_values", &other);
    }
}

/* What the table of values has at a distance concerns the rows that see a key there: many rows, few, clipped ones. */
static void test_nan(void **state)
{
    static const struct { const char *spec, *axes; int64_t first, step; } cases[] = {
        {"attention/shaw(causal=true)", "B=1,T=60,S=60,H=2,G=1,D=8,E=6,R=17", 0, 1000},
        {"attention/shaw(causal=true)", "B=1,T=9,S=9,H=1,G=1,D=8,E=6,R=17", 12, 1000},
        {"attention/shaw(causal=true)", "B=1,T=60,S=60,H=2,G=1,D=8,E=6,R=101", 2, 12},
        {"attention/shaw(window=9:4)", "B=1,T=60,S=60,H=2,G=1,D=8,E=6,R=33", 5, 1000},
        {"attention/shaw(window=9:4)", "B=1,T=60,S=60,H=2,G=1,D=8,E=6,R=9", 50, 1000},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        call_case how = {cases[i].spec, cases[i].axes, WITH, HEED_F32, 1, i};
        variant_nan(&how, "relative_values", cases[i].first, cases[i].step);
    }
}

/* k = 1, causal, tables M(17, 3, 4) and M(18, 3, 4). */
static void test_golden(void **state)
{
    static const double right[] = {-0.449076, 0.364259, -0.016401, -0.425008};
    (void)state;
    call_case how = {"attention/shaw(causal=true)", "B=1,T=4,S=4,H=1,G=1,D=4,E=4,R=3", WITH, HEED_F32, 1, 0};
    call c;
    call_make(&c, &how);
    variant_fill(&c, "q", 1), variant_fill(&c, "k", 2), variant_fill(&c, "v", 3);
    variant_fill(&c, "relative_keys", 17), variant_fill(&c, "relative_values", 18);
    variant_golden(&c, 3, right, 4);
    call_free(&c);
}

static void test_refused(void **state)
{
    static const struct { const char *spec, *axes, *text; } cases[] = {
        {"attention/shaw", "B=1,T=4,S=4,H=1,G=1,D=4,E=4,R=4", "relative_keys has 4 rows"},
        {"attention/shaw", "B=1,T=4,S=4,H=1,G=1,D=4,E=4,R=1", "relative_keys has 1 rows"},
        {"attention/shaw(distances=5)", "B=1,T=4,S=4,H=1,G=1,D=4,E=4,R=7", "R"},
        {"attention/shaw(softcap=5)", "B=1,T=4,S=4,H=1,G=1,D=4,E=4,R=3", "no softcap"},
        {"attention/shaw(scale=0)", "B=1,T=4,S=4,H=1,G=1,D=4,E=4,R=3", "scale is 0"},
        {"attention/shaw", "B=1,T=4,S=4,H=3,G=2,D=4,E=4,R=3", "no multiple"},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        call_case how = {cases[i].spec, cases[i].axes, WITH, HEED_F32, 1, i};
        variant_refuses(&how, cases[i].text);
    }
}

static void test_network(void **state)
{
    (void)state;
    variant_network("attention=shaw(causal=true, distances=17)");
    variant_network("kv_heads=2; attention=[shaw(causal=true, distances=9), softmax(causal=true)]");
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
        cmocka_unit_test(test_shapes),      cmocka_unit_test(test_phases), cmocka_unit_test(test_causality),
        cmocka_unit_test(test_zero_tables), cmocka_unit_test(test_golden), cmocka_unit_test(test_refused),
        cmocka_unit_test(test_network),     cmocka_unit_test(test_nan),
    };
    return cmocka_run_group_tests(tests, NULL, teardown);
}
