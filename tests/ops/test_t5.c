/* SPDX-License-Identifier: MIT
 *
 * test_t5.c: position/t5: the buckets of the paper, the bits of the same bias as a tensor, and what
 * it refuses.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "lib/variant.h"

static float t5_table[32 * 4];

static heed_instance *t5_open(const char *spec, const int64_t *table, heed_error *e)
{
    heed_tensor t = heed_tensor_of(t5_table, HEED_F32, 2, table);
    heed_binding weight = {"position.table", &t};
    heed_opening opening = {.size = sizeof opening, .weights = &weight, .n_weights = 1};
    return heed_instance_open(harness_engine(1), spec, &opening, e);
}

/* The buckets of the paper's rule, from weights: scores are a hundredth of the bucket, values the
 * unit vectors. */
static void test_t5_buckets(void **state)
{
    enum { S = 600 };
    static const struct {
        const char *spec;
        int at, n;
        int distance[16], bucket[16];
    } lists[] = {
        {"attention/softmax(causal=bottom_right, position=t5(bidirectional=false))",
         S - 1,
         14,
         {0, -1, -7, -8, -15, -16, -17, -20, -31, -32, -64, -127, -128, -500},
         {0, 1, 7, 8, 15, 16, 16, 17, 21, 21, 26, 31, 31, 31}},
        {"attention/softmax(causal=bottom_right, position=t5)",
         S - 1,
         5,
         {-128, -20, -8, -1, 0},
         {15, 10, 8, 1, 0}},
        {"attention/softmax(position=t5)", 0, 5, {0, 1, 8, 20, 128}, {0, 17, 24, 26, 31}},
        {"attention/softmax(position=t5(bidirectional=false))", 0, 3, {0, 1, 300}, {0, 0, 0}},
    };
    static float q[1], k[S], v[S * S], out[S];
    (void)state;
    for (int i = 0; i < S; i++) v[i * S + i] = 1;
    for (int b = 0; b < 32; b++) t5_table[b] = 0.01f * (float)b;
    for (size_t n = 0; n < COUNT(lists); n++) {
        heed_error e;
        const int64_t one[] = {1, 1, 1, 1}, keys[] = {1, S, 1, 1}, values[] = {1, S, 1, S},
                      to[] = {1, 1, 1, S};
        const int64_t table[] = {32, 1};
        heed_tensor tq = heed_tensor_of(q, HEED_F32, 4, one),
                    tk = heed_tensor_of(k, HEED_F32, 4, keys);
        heed_tensor tv = heed_tensor_of(v, HEED_F32, 4, values),
                    y = heed_tensor_of(out, HEED_F32, 4, to);
        heed_binding in[] = {{"q", &tq}, {"k", &tk}, {"v", &tv}}, o = {"out", &y};
        heed_instance *i = t5_open(lists[n].spec, table, &e);
        if (!i || heed_run(i, in, 3, &o, 1, NULL, &e)) fail_msg("%s: %s", lists[n].spec, e.text);
        for (int d = 0; d < lists[n].n; d++) {
            const double bucket = 100 * log((double)out[lists[n].at + lists[n].distance[d]] /
                                            (double)out[lists[n].at]);
            if (fabs(bucket - lists[n].bucket[d]) > 0.01)
                fail_msg("%s: key - query = %d is in bucket %.3f", lists[n].spec,
                         lists[n].distance[d], bucket);
        }
        heed_instance_close(i);
    }
}

/* The bias by tiles has the bits of the same numbers as a tensor [H, T, S], on every path, for many
 * rows and for few. */
static void test_t5_is_a_bias(void **state)
{
    static const struct {
        const char *t5, *plain;
        int T, S, H, G, both;
    } cases[] = {
        {"attention/softmax(causal=true, position=t5(bidirectional=false))",
         "attention/softmax(causal=true)", 130, 130, 4, 4, 0},
        {"attention/softmax(position=t5)", "attention/softmax", 60, 301, 4, 2, 1},
        {"attention/softmax(softcap=5, position=t5)", "attention/softmax(softcap=5)", 3, 150, 4, 1,
         1},
        {"attention/window(left=30, right=20, position=t5)", "attention/window(left=30, right=20)",
         97, 97, 2, 2, 1},
    };
    (void)state;
    uint64_t seed = 8;
    for (size_t i = 0; i < COUNT(t5_table); i++) t5_table[i] = harness_normal(&seed);
    for (size_t n = 0; n < COUNT(cases); n++) {
        const int T = cases[n].T, S = cases[n].S, H = cases[n].H;
        char axes[80];
        snprintf(axes, sizeof axes, "B=2,T=%d,S=%d,H=%d,G=%d,D=16,E=16", T, S, H, cases[n].G);
        call_case how = {cases[n].plain, axes, "key_lengths,+bias:B", HEED_F32, 1, n};
        call c;
        const char *paths[8];
        call_make(&c, &how);
        float *bias = c.plain[call_port(&c, "bias")].data;
        for (int b = 0; b < 2; b++)
            for (int h = 0; h < H; h++)
                for (int t = 0; t < T; t++)
                    for (int s = 0; s < S; s++) {
                        int back = t - s, K = cases[n].both ? 16 : 32,
                            first = cases[n].both && back < 0 ? 16 : 0;
                        back = back < 0 ? cases[n].both ? -back : 0 : back;
                        const double wide = back < K / 2 ? 0
                                                         : log(back / (K / 2.0)) /
                                                               log(128 / (K / 2.0)) * (K - K / 2);
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
            heed_opening opening = {
                .size = sizeof opening, .weights = weight, .n_weights = 1, .isa = paths[p]};
            heed_instance *i = heed_instance_open(harness_engine(2), cases[n].t5, &opening, &e);
            if (!i) fail_msg("%s: %s", cases[n].t5, e.text);
            call_run(&c, paths[p], 2, PLAIN, out);
            y = out[call_port(&c, "out")], lse = out[call_port(&c, "lse")];
            if (heed_tensor_alloc(&y, &e) || heed_tensor_alloc(&lse, &e)) fail_msg("%s", e.text);
            static const char *const names[] = {"q", "k", "v"};
            for (int k = 0; k < 3; k++)
                in[k] = (heed_binding){names[k], &c.plain[call_port(&c, names[k])]};
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

static void test_t5_refused(void **state)
{
    const int64_t dim[] = {32, 4}, few[] = {16, 4};
    heed_error e;
    (void)state;
    variant_no_open("attention/softmax(position=t5)", NULL, "table");
    assert_null(t5_open("attention/softmax(position=t5(buckets=30))", dim, &e));
    assert_non_null(strstr(e.text, "axis K"));
    assert_null(t5_open("attention/softmax(position=t5(buckets=16, max_distance=4))", few, &e));
    assert_non_null(strstr(e.text, "max_distance is 4"));
    assert_null(t5_open("attention/softmax(position=t5)", few, &e));
    assert_non_null(strstr(e.text, "axis K"));
}

int main(void)
{
    const struct CMUnitTest own[] = {cmocka_unit_test(test_t5_buckets),
                                     cmocka_unit_test(test_t5_is_a_bias),
                                     cmocka_unit_test(test_t5_refused)};
    return variant_main(NULL, 0, own, COUNT(own));
}
