/* SPDX-License-Identifier: MIT
 *
 * test_sparse.c: attention/sparse: its formula, its bits, its phases, golden values, which keys its
 * patterns have, what it is equal to, its cost, and what it refuses.
 */
#include <math.h>
#include <string.h>

#include "lib/variant.h"

#define SPARSE "attention/sparse"
#define USUAL (SHAPES | FAULTS | PHASES | CAUSAL)

static const variant_row rows[] = {
    {USUAL | COST, SPARSE "(stride=16)"},
    {SHAPES | PHASES | CAUSAL | COST, SPARSE "(stride=37, softcap=9)"},
    {USUAL | COST, SPARSE "(stride=5, factor=columns)"},
    {USUAL | COST, SPARSE "(stride=64, factor=columns)"},
    {USUAL | COST, SPARSE "(stride=20, factor=heads, inclusive=false)"},
    {USUAL | COST, SPARSE "(stride=30, factor=local)"},
    {USUAL, SPARSE "(pattern=fixed, stride=32, columns=8)", "", "+sink_logits"},
    {USUAL | COST, SPARSE "(pattern=fixed, stride=50, columns=7, sets=3, factor=columns)"},
    {USUAL | COST, SPARSE "(pattern=fixed, stride=30, columns=5, sets=2, factor=heads)"},
    {SHAPES | FAULTS, SPARSE "(pattern=fixed, stride=24, position=alibi)", "", "+documents"},

    {GOLDEN, SPARSE "(stride=4)", "", .fill = "q:1 k:2 v:3", .row = 3,
     .right = {0.119497, -0.018500, 0.217085, 0.361668}},
    {GOLDEN, SPARSE "(stride=1, factor=local)", "", .fill = "q:1 k:2 v:3", .row = 3,
     .right = {-0.681662, 0.374367, 0.760020, 0.373960}},

    {EQUALS, SPARSE "(stride=200)", "", .to = "attention/softmax(causal=true)"},
    {EQUALS, SPARSE "(stride=1)", "", .to = "attention/softmax(causal=true)"},
    {EQUALS, SPARSE "(stride=173, pattern=fixed)", "", .to = "attention/softmax(causal=true)"},
    {EQUALS, SPARSE "(stride=17, factor=local)", "",
     .to = "attention/softmax(causal=true, window=17)"},
    {EQUALS, SPARSE "(stride=17, factor=local, inclusive=false)", "",
     .to = "attention/softmax(causal=true, window=16)"},

    {NANS, SPARSE "(stride=4)", "B=1,T=40,S=40,H=2,G=1,D=6,E=10", "key_lengths,+bias",
     .fill = "bias=0", .set = variant_nan_unseen, .port = "bias", .at = 38 * 40 + 37,
     .step = 10000},

    {REFUSED, SPARSE, .to = "stride"},
    {REFUSED, SPARSE "(stride=8, columns=2)", .to = "columns belongs to pattern=fixed"},
    {REFUSED, SPARSE "(stride=8, pattern=fixed, columns=5, sets=2)",
     .to = "does not hold 2 sets of 5 columns"},
    {REFUSED, SPARSE "(stride=8, factor=all)", .to = "factor"},
};

/* Which keys a query of the sparse patterns sees: with equal scores and values that are the unit
 * vectors. */
static void test_sparse_lists(void **state)
{
    static const struct {
        const char *spec;
        int row;
        const char *keys;
    } lists[] = {
        {"attention/sparse(stride=4)", 7, "34567"},
        {"attention/sparse(stride=4)", 5, "12345"},
        {"attention/sparse(pattern=fixed, stride=4, columns=1)", 6, "3456"},
        {"attention/sparse(pattern=fixed, stride=4, columns=1)", 9, "3789"},
    };
    (void)state;
    for (size_t n = 0; n < COUNT(lists); n++) {
        call_case how = {
            lists[n].spec, "B=1,T=10,S=10,H=1,G=1,D=4,E=10", "key_lengths", HEED_F32, 1, 0};
        call c;
        heed_tensor out[ORACLE_PORTS];
        call_make(&c, &how);
        variant_put(&c, "q", 0), variant_put(&c, "v", 0);
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

/* Of documents that do not rise, too: the pairs that are of a pattern and of one document. */
static void test_cost_of_documents(void **state)
{
    enum { L = 50, H = 2 };
    (void)state;
    call_case how = {"attention/sparse(stride=4)",
                     "B=1,T=50,S=50,H=2,G=2,D=6,E=10",
                     "key_lengths,+documents",
                     HEED_F32,
                     1,
                     0};
    call c;
    call_make(&c, &how);
    for (int64_t j = 0; j < L; j++)
        tensor_put(&c.plain[call_port(&c, "documents")], j, (double)(j % 3));
    double pairs = 0;
    for (int t = 0; t < L; t++)
        for (int j = 0; j <= t; j++)
            pairs += H * (j % 3 == t % 3 && (t - j <= 4 || (t - j) % 4 == 0));
    variant_cost(&c, pairs);
    call_free(&c);
}

int main(void)
{
    const struct CMUnitTest own[] = {cmocka_unit_test(test_sparse_lists),
                                     cmocka_unit_test(test_cost_of_documents)};
    return variant_main(rows, COUNT(rows), own, COUNT(own));
}
