/* SPDX-License-Identifier: MIT
 *
 * test_gau.c: attention/gau, the gated attention unit: its formula, its bits in every form of a
 * call, causality, NaNs, golden values, its length, and what it refuses.
 */
#include <math.h>

#include "lib/variant.h"

#define GAU "attention/gau"

static const char *const settings[] = {
    "",
    "(causal=true)",
    "(causal=bottom_right)",
    "(causal=true, window=20:3, sinks=2)",
    "(causal=true, prefix=19)",
    "(causal=true, scale=width)",
    NULL,
};
static const char *const causal[] = {"(causal=true)", "(causal=true, scale=width)",
                                     "(causal=true, window=30)", NULL};

#define USUAL (SHAPES | PHASES | BATCH | VALUES)
#define UNIT .one_axis = 1, .settings = settings, .causal = causal, .size = 4

static const variant_row rows[] = {
    {USUAL, GAU, ",G=H", "", UNIT},
    {USUAL, GAU, ",G=H", "+q_gain,+q_offset,+k_gain,+k_offset", UNIT},

    {REFUSED, GAU "(scale=2)", .to = "length or width"},
    {REFUSED, GAU "(length=0)", .to = "length"},
};

/* x where silu(x) = y, for y > 0. */
static double of_silu(double y)
{
    double x = y;
    for (int i = 0; i < 60; i++) {
        const double s = 1 / (1 + exp(-x));
        x -= (x * s - y) / (s + x * s * (1 - s));
    }
    return x;
}

/* The golden unit has q and k of their own, and neither silu nor gate. Row 3 alone is asked for:
 * its query is an offset, keys are silu(z) - 1, values silu(x) - 1, and a channel of ones tells the
 * sum of the weights, once too much in all others. */
static void test_golden_unit(void **state)
{
    static const double golden[] = {0.015399, -0.012127, 0.005676, 0.018632};
    call c;
    const char *paths[8];
    (void)state;
    call_case how = {"attention/gau(causal=true)",
                     "B=1,T=4,S=4,H=1,G=1,D=4,E=5",
                     "+q_gain,+q_offset,+k_offset,key_lengths",
                     HEED_F32,
                     1,
                     1};
    call_make(&c, &how);
    for (uint32_t i = 0; i < 20; i++) {
        if (i < 16) tensor_put(&c.plain[call_port(&c, "q")], i, of_silu(variant_g(2, i) + 1));
        tensor_put(&c.plain[call_port(&c, "v")], i,
                   of_silu(i % 5 == 4 ? 1 : variant_g(3, i / 5 * 4 + i % 5) + 1));
        tensor_put(&c.plain[call_port(&c, "gate")], i, of_silu(1));
    }
    for (uint32_t d = 0; d < 4; d++) {
        tensor_put(&c.plain[call_port(&c, "q_gain")], d, 0);
        tensor_put(&c.plain[call_port(&c, "q_offset")], d, variant_g(1, 12 + d));
        tensor_put(&c.plain[call_port(&c, "k_offset")], d, -1);
    }
    int n = harness_paths(c.op->id, paths);
    for (int p = 0; p < n; p++) {
        heed_tensor out[ORACLE_PORTS];
        call_run(&c, paths[p], 1, PLAIN, out);
        const heed_tensor *y = &out[call_port(&c, "out")];
        for (int e = 0; e < 4; e++)
            if (fabs(tensor_get(y, 15 + e) - tensor_get(y, 19) - golden[e]) > 2e-6)
                fail_msg("row 3 has %.7f for %.6f", tensor_get(y, 15 + e) - tensor_get(y, 19),
                         golden[e]);
        outputs_free(out);
    }
    call_free(&c);
}

/* length=N beside the keys that are seen: factors N^2 apart. */
static void test_unit_length(void **state)
{
    call c, d;
    heed_tensor x[ORACLE_PORTS], y[ORACLE_PORTS];
    (void)state;
    call_case seen =
                  {"attention/gau", "B=1,T=8,S=8,H=1,G=1,D=4,E=5", "key_lengths", HEED_F32, 1, 1},
              given = seen;
    given.spec = "attention/gau(length=16)";
    call_make(&c, &seen), call_make(&d, &given);
    call_run(&c, NULL, 1, PLAIN, x), call_run(&d, NULL, 1, PLAIN, y);
    for (int i = 0; i < 40; i++)
        assert_true(tensor_get(&x[call_port(&c, "out")], i) ==
                    4 * tensor_get(&y[call_port(&d, "out")], i));
    outputs_free(x), outputs_free(y);
    call_free(&c), call_free(&d);
}

int main(void)
{
    const struct CMUnitTest own[] = {cmocka_unit_test(test_golden_unit),
                                     cmocka_unit_test(test_unit_length)};
    return variant_main(rows, COUNT(rows), own, COUNT(own));
}
