/* SPDX-License-Identifier: MIT
 *
 * test_span.c: attention/adaptive_span and attention/dynamic_span: their formula, their bits, their
 * phases, golden values, what they are equal to, their cost, a cache that does not grow, and what
 * they refuse.
 */
#include <math.h>
#include <string.h>

#include "lib/variant.h"

#define ADAPTIVE "attention/adaptive_span"
#define DYNAMIC "attention/dynamic_span"
#define USUAL (SHAPES | FAULTS | PHASES | CAUSAL)
#define EVER "span_weight=0 span_bias=200" /* a reach that no input changes */

static const variant_row rows[] = {
    {USUAL, ADAPTIVE "(limit=40)"},
    {USUAL, ADAPTIVE "(limit=300, ramp=7, distance=code)"},
    {SHAPES | PHASES | CAUSAL, ADAPTIVE "(limit=64, ramp=0.5, self=true, softcap=9)", "",
     "+sink_logits"},
    {SHAPES | FAULTS, ADAPTIVE "(limit=1000, ramp=300, position=alibi)", "", "+documents"},
    {USUAL, ADAPTIVE "(limit=50, ramp=20)", ",P=50", "+distance_table"},
    {USUAL, ADAPTIVE "(limit=313, scale=0.2)", ",P=313", "+distance_table"},
    {USUAL, DYNAMIC "(limit=100)", ",M=12"},
    {USUAL, DYNAMIC "(limit=70, ramp=11)", ",M=5,P=70", "+distance_table"},
    {USUAL, DYNAMIC "(limit=30, ramp=5, self=true, distance=code)", ",M=33"},

    {GOLDEN, ADAPTIVE "(limit=7, ramp=2, self=true)", "", .fill = "q:1 k:2 v:3 span=0.1", .row = 3,
     .right = {-0.495324, 0.373643, 0.541328, 0.373101}},

    {EQUALS, ADAPTIVE "(limit=200)", "", .fill = "span=1",
     .to = "attention/softmax(causal=offset:-1)"},
    {EQUALS, ADAPTIVE "(limit=173, ramp=0.25)", "", .fill = "span=1",
     .to = "attention/softmax(causal=offset:-1)"},
    {EQUALS, ADAPTIVE "(limit=200, ramp=500, self=true)", "", .fill = "span=1",
     .to = "attention/softmax(causal=true)"},
    {EQUALS, ADAPTIVE "(limit=20, ramp=0.5)", "", .fill = "span=1",
     .to = "attention/softmax(causal=offset:-1, window=19)"},
    {EQUALS, DYNAMIC "(limit=200)", ",M=24", .fill = EVER,
     .to = "attention/softmax(causal=offset:-1)"},

    {NANS, ADAPTIVE "(limit=9)", "B=1,T=40,S=40,H=2,G=1,D=6,E=10", "key_lengths,+bias",
     .fill = "bias=0", .set = variant_nan_unseen, .port = "bias", .at = 38 * 40 + 37,
     .step = 10000},

    {REFUSED, ADAPTIVE "(limit=9)", .to = "span"},
    {REFUSED, DYNAMIC "(limit=9, ramp=0)", .to = "ramp"},
};

/* A cache keeps what the head with the longest reach sees: 50 + 32 keys of 1000 here. */
static void test_rolling_span(void **state)
{
    enum { L = 1000 };
    (void)state;
    call_case how = {ADAPTIVE "(limit=500)",
                     "B=1,T=1000,S=1000,H=2,G=1,D=4,E=4",
                     "key_lengths,lse",
                     HEED_F32,
                     1,
                     3};
    call c;
    heed_error e;
    heed_tensor out[ORACLE_PORTS];
    call_make(&c, &how);
    variant_put(&c, "span", 0.1);
    call_update(&c);
    heed_instance *i = call_open(&c, NULL, 2);
    heed_sequence *s = heed_sequence_new(i, c.oracle.axis, &e);
    assert_non_null(s);
    outputs_make(&c, out);
    variant_must_feed(&c, i, &s, 0, 96, out);
    const uint64_t page = heed_sequence_bytes(s);
    for (int64_t t = 96; t < L; t++) variant_must_feed(&c, i, &s, t, 1, out);
    assert_true(heed_sequence_bytes(s) <= 3 * page);
    const double ratio = call_judge(&c, out);
    if (!(ratio <= 1)) fail_msg("a rolling cache of spans: error is %.3g of its bound", ratio);
    heed_sequence_free(s);
    heed_instance_close(i);
    outputs_free(out);
    call_free(&c);
}

static double param_of(const call *c, const char *key)
{
    for (uint32_t i = 0; i < c->oracle.params; i++)
        if (!strcmp(c->oracle.param[i], key)) return c->oracle.value[i];
    fail_msg("%s has no param %s", c->op->id, key);
    return 0;
}

/* What a call is said to cost is what its queries see, by the formula: some weights are 0. */
static void test_cost(void **state)
{
    enum { L = 250, H = 4 };
    (void)state;
    for (size_t r = 0; r < 2; r++) {
        call_case how = {
            rows[r].spec, "B=2,T=250,S=250,H=4,G=2,D=6,E=10", "key_lengths", HEED_F32, 1, r};
        call c;
        call_make(&c, &how);
        double pairs = 0;
        for (int64_t h = 0; h < H; h++) {
            const double limit = param_of(&c, "limit"), ramp = param_of(&c, "ramp");
            const double z = limit * tensor_get(&c.plain[call_port(&c, "span")], h);
            const int code = param_of(&c, "distance") == 1, self = param_of(&c, "self") == 1;
            for (int t = 0; t < L; t++)
                for (int j = 0; j < t + self; j++)
                    pairs += 2 * (t - j <= limit && t - j - code < ramp + z);
        }
        variant_cost(&c, pairs);
        call_free(&c);
    }
}

static heed_error span_error(const char *spec, int64_t heads, float value)
{
    heed_error e = {0};
    float numbers[8];
    int64_t axes[HEED_AXES];
    for (int a = 0; a < HEED_AXES; a++) axes[a] = a == 'H' - 'A' ? 4 : -1;
    for (int h = 0; h < 8; h++) numbers[h] = h == 2 ? value : 0.5f;
    heed_tensor span = heed_tensor_of(numbers, HEED_F32, 1, &heads);
    heed_binding weight = {"span", &span};
    heed_opening opening = {
        .size = sizeof opening, .weights = &weight, .n_weights = 1, .axes = axes};
    heed_instance *i = heed_instance_open(harness_engine(1), spec, &opening, &e);
    heed_instance_close(i);
    return e;
}

static void test_bad_spans(void **state)
{
    static const float wrong[] = {1.5f, -0.1f, NAN};
    (void)state;
    for (size_t n = 0; n < COUNT(wrong); n++) {
        const heed_error e = span_error(ADAPTIVE "(limit=9)", 4, wrong[n]);
        assert_non_null(strstr(e.text, "span[2] is "));
        assert_non_null(strstr(e.text, "lies in 0 .. 1"));
    }
    assert_string_equal(span_error(ADAPTIVE "(limit=9)", 4, 1).text, "");
    assert_non_null(strstr(span_error(ADAPTIVE "(limit=9)", 5, 1).text, "axis H"));
}

int main(void)
{
    const struct CMUnitTest own[] = {cmocka_unit_test(test_rolling_span),
                                     cmocka_unit_test(test_cost), cmocka_unit_test(test_bad_spans)};
    return variant_main(rows, COUNT(rows), own, COUNT(own));
}
