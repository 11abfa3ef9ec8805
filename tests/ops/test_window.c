/* SPDX-License-Identifier: MIT
 *
 * test_window.c: attention/window: its formula, its bits, its phases, golden values, what it is
 * equal to, a cache that does not grow, and what it refuses.
 */
#include <math.h>
#include <string.h>

#include "lib/variant.h"

#define WINDOW "attention/window"
#define USUAL (SHAPES | FAULTS | PHASES | CAUSAL)

static const variant_row rows[] = {
    {SHAPES | PHASES | CAUSAL | COST, WINDOW "(left=1)"}, /* one key: no fault can show */
    {USUAL | COST, WINDOW "(left=20)"},
    {USUAL | COST, WINDOW "(left=33, inclusive=true, sinks=3)"},
    {SHAPES | FAULTS | COST, WINDOW "(left=7, right=9, inclusive=true, global=2)"},
    {SHAPES | PHASES | CAUSAL, WINDOW "(left=40, right=3, sinks=5, causal=true, softcap=9)", "",
     "+sink_logits"}, /* a cap bends scores: nor there */
    {SHAPES | FAULTS, WINDOW "(left=25, right=20, position=alibi, sinks=18)", "", "+documents"},

    {GOLDEN, WINDOW "(left=2)", "", .fill = "q:1 k:2 v:3", .row = 3,
     .right = {-0.681662, 0.374367, 0.760020, 0.373960}},
    {GOLDEN, WINDOW "(left=2, inclusive=true)", "", .fill = "q:1 k:2 v:3", .row = 3,
     .right = {-0.241245, 0.306557, 0.302948, 0.297122}},
    {GOLDEN, WINDOW "(left=4)", "", .fill = "q:1 k:2 v:3", .row = 3,
     .right = {0.119497, -0.018500, 0.217085, 0.361668}},
    {GOLDEN, WINDOW "(left=4, right=3)", "", .fill = "q:1 k:2 v:3", .row = 0,
     .right = {0.118720, -0.088132, 0.275774, 0.232121}},
    {GOLDEN, WINDOW "(left=1, right=1, inclusive=true, global=1)", "", .fill = "q:1 k:2 v:3",
     .row = 3, .right = {-0.056409, -0.063585, 0.476902, 0.426494}},

    {EQUALS, WINDOW "(left=200)", "", .to = "attention/softmax(causal=true)"},
    {EQUALS, WINDOW "(left=200, right=200)", "", .to = "attention/softmax"},
    {EQUALS, WINDOW "(left=1, global=200)", "", .to = "attention/softmax"},
    {EQUALS, WINDOW "(left=17, inclusive=true, sinks=4)", "",
     .to = "attention/softmax(causal=true, window=17, sinks=4)"},
    {EQUALS, WINDOW "(left=9, right=5, inclusive=true)", "", .to = "attention/softmax(window=9:5)"},

    /* Query 38 of head 0 sees key 37, so its row is NaN; what is behind the mask does nothing. */
    {NANS, WINDOW "(left=4)", "B=1,T=40,S=40,H=2,G=1,D=6,E=10", "key_lengths,+bias",
     .fill = "bias=0", .set = variant_nan_unseen, .port = "bias", .at = 38 * 40 + 37,
     .step = 10000},

    {REFUSED, WINDOW, .to = "left"},
    {REFUSED, WINDOW "(left=0)", .to = "left"},
    {REFUSED, WINDOW "(left=4, window=3)", .to = "window"},
    {REFUSED, WINDOW "(left=4, inclusive=2)", .to = "inclusive"},
};

/* A state that does not grow: the sinks, and the pages that the window reaches. */
static void test_rolling(void **state)
{
    enum { W = 100, L = 1000, PAGE = 96 };
    (void)state;
    call_case how = {WINDOW "(left=100, sinks=5)",
                     "B=1,T=1000,S=1000,H=2,G=1,D=4,E=4",
                     "key_lengths,lse",
                     HEED_F32,
                     1,
                     3};
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
        variant_must_feed(&c, i, &s, t, 1, out);
        if (t == 0) page = heed_sequence_bytes(s);
        assert_true(heed_sequence_bytes(s) <=
                    5 * page); /* sinks, 3 that 99 tokens can touch, and one to spare */
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
    variant_must_feed(&c, i, &s, L - PAGE, PAGE, out);
    /* queries without new keys: the first would see a key that is gone */
    for (uint32_t p = 0; p < c.op->ports.count; p++)
        if (c.plain[p].data)
            one[p] = tensor_slice(out[p].data ? &out[p] : &c.plain[p], 1, 0,
                                  strchr("kv", *c.oracle.port[p]) ? 0 : 300);
    assert_int_equal(call_with(&c, i, one, &s, &e), HEED_E_UNSUPPORTED);
    assert_non_null(strstr(e.text, "no longer remembered"));
    assert_int_equal(heed_sequence_truncate(s, 0, &e), HEED_OK);
    assert_int_equal(heed_sequence_bytes(s), 0);
    variant_must_feed(&c, i, &s, 0, L, out);
    const double ratio = call_judge(&c, out);
    if (!(ratio <= 1)) fail_msg("after a rolling cache: error is %.3g of its bound", ratio);
    heed_sequence_free(twin);
    heed_sequence_free(s);
    heed_instance_close(i);
    outputs_free(out);
    call_free(&c);
}

/* A query that comes behind 999 keys reads those of the window and the sinks, and no others. */
static void test_bytes_of_one_query(void **state)
{
    enum { S = 1000, H = 4, G = 2, D = 6, E = 10 };
    static const struct { const char *spec; int keys; } cases[] = {
        {WINDOW "(left=21, causal=bottom_right)", 21},
        {WINDOW "(left=21, inclusive=true, sinks=3, causal=bottom_right)", 25},
        {WINDOW "(left=998, sinks=7, causal=bottom_right)", 1000},
        {"attention/softmax(causal=bottom_right)", 1000},
        {"attention/sparse(pattern=fixed, stride=32, columns=1, causal=bottom_right)", 1000 / 32 + 8},
    };
    (void)state;
    for (size_t n = 0; n < COUNT(cases); n++) {
        call_case how = {
            cases[n].spec, "B=1,T=1,S=1000,H=4,G=2,D=6,E=10", "key_lengths", HEED_F32, 1, 0};
        heed_binding in[3];
        heed_cost cost = {.size = sizeof cost};
        heed_error e;
        call c;
        call_make(&c, &how);
        for (uint32_t i = 0; i < 3; i++)
            in[i] = (heed_binding){i == 0 ? "q" : i == 1 ? "k" : "v",
                                   &c.plain[call_port(&c, i == 0 ? "q" : i == 1 ? "k" : "v")]};
        heed_instance *i = call_open(&c, NULL, 1);
        if (heed_estimate(i, in, 3, &cost, &e)) fail_msg("%s: %s", how.spec, e.text);
        const double keys = (cost.bytes - 4 * H * (D + E)) / (4 * G * (D + E));
        if (keys != cases[n].keys)
            fail_msg("%s: the bytes of %g keys, but %d are read", how.spec, keys, cases[n].keys);
        heed_instance_close(i);
        call_free(&c);
    }
}

int main(void)
{
    const struct CMUnitTest own[] = {cmocka_unit_test(test_rolling),
                                     cmocka_unit_test(test_bytes_of_one_query)};
    return variant_main(rows, COUNT(rows), own, COUNT(own));
}
