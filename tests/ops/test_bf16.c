/* SPDX-License-Identifier: MIT
 *
 * test_bf16.c: what attention promises on avx512_bf16 and neon_bf16, which give other bits than the paths that
 * test_attention.c holds against each other: it is exact attention on rounded inputs, within 2^-8 of the weights
 * (kit/flash_bf16.h); it repeats its own bits at any thread count and in any layout; masks are as tight as elsewhere.
 */
#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <heed/kit.h>

#include "op/engine.h"
#include "op/spec.h"
#include "lib/harness.h"

#define COUNT(array) (sizeof(array) / sizeof *(array))
#if defined __aarch64__
#define PATH "neon_bf16"
#define NEEDS HEED_CPU_NEON_BF16
#else
#define PATH "avx512_bf16"
#define NEEDS HEED_CPU_AVX512_BF16
#endif

static const struct shape { const char *spec, *without, *axes; float size; } cases[] = {
    {"attention/softmax", "key_lengths", "B=1,T=1,S=1,H=1,G=1,D=1,E=1", 1},
    {"attention/softmax", "key_lengths", "B=2,T=3,S=5,H=4,G=2,D=6,E=7", 1},
    {"attention/softmax", "key_lengths", "B=1,T=72,S=95,H=2,G=1,D=33,E=31", 1},
    {"attention/softmax", NULL, "B=3,T=17,S=97,H=2,G=1,D=31,E=17", 3},
    {"attention/softmax", NULL, "B=2,T=49,S=300,H=2,G=2,D=64,E=64", 1},
    {"attention/softmax(causal=true)", "key_lengths", "B=1,T=210,S=210,H=2,G=1,D=128,E=128", 1},
    {"attention/softmax(causal=bottom_right)", NULL, "B=2,T=100,S=203,H=6,G=2,D=20,E=40", 1},
    {"attention/softmax(causal=offset:-7, scale=0.3)", NULL, "B=2,T=60,S=60,H=2,G=1,D=9,E=5", 1},
    {"attention/softmax(scale=-0.2, softcap=5, causal=true)", NULL, "B=2,T=98,S=98,H=4,G=2,D=12,E=9", 1},
    {"attention/softmax(position=alibi, causal=true)", "key_lengths", "B=1,T=101,S=101,H=4,G=2,D=16,E=16", 1},
    {"attention/softmax(position=alibi)", NULL, "B=2,T=27,S=131,H=8,G=2,D=18,E=19", 1},
    {"attention/softmax(causal=true, window=37, sinks=3)", NULL, "B=2,T=200,S=200,H=2,G=1,D=16,E=24", 1},
    {"attention/softmax(window=120:40, prefix=30, causal=true)", "key_lengths", "B=1,T=192,S=192,H=3,G=1,D=7,E=33", 1},
    {"attention/softmax", "+documents,+query_documents", "B=2,T=144,S=130,H=2,G=2,D=17,E=16", 1},
    {"attention/softmax(causal=true)", "+documents,+sink_logits,key_lengths", "B=1,T=97,S=97,H=4,G=1,D=20,E=3", 1},
    {"attention/softmax", "+bias:BHTS", "B=2,T=50,S=99,H=4,G=2,D=12,E=8", 1},
};

static int available(void)
{
    if (!(NEEDS & ~harness_engine(1)->features)) return 1;
    printf("[  SKIPPED ] path " PATH ": this CPU lacks it\n");
    return 0;
}

/* ---- the bound ---- */

/* The oracle's inputs become what the path rounds them to: k and v, and q times the scale in log2 units. */
static void round_inputs(call *c)
{
    heed_tensor *q = &c->plain[call_port(c, "q")];
    const double standard = 1 / sqrt((double)c->oracle.axis['D' - 'A']);
    const float scale = (float)((float)(isnan(c->value[0]) ? standard : c->value[0]) * 1.44269504088896341);
    for (int64_t i = 0; i < heed_tensor_elements(q); i++)
        tensor_put(q, i, (double)kit_from_bf16(kit_to_bf16((float)tensor_get(q, i) * scale)) / (double)scale);
    for (const char *name = "kv"; *name; name++) {
        heed_tensor *t = &c->plain[call_port(c, (char[]){*name, 0})];
        for (int64_t i = 0; i < heed_tensor_elements(t); i++)
            tensor_put(t, i, (double)kit_from_bf16(kit_to_bf16((float)tensor_get(t, i))));
    }
    call_update(c);
}

/* What the oracle says of one output; free. */
static double *asked(call *c, int port)
{
    const size_t n = (size_t)heed_tensor_elements(&c->plain[port]);
    double *answer = malloc((n + 1) * sizeof *answer);
    assert_non_null(answer);
    oracle_find(c->op->id)->f64(&c->oracle);
    memcpy(answer, c->oracle.d[port], n * sizeof *answer);
    return answer;
}

/* Error over bound: 2^-8 (and 3 % of that for all else) of the mean of |v - out| under the weights, which is no more
 * than that of |v|, plus |out|; for lse, of 1. Few rows are float32: an element may be that of the inputs as they are.
 * Rounds the inputs. */
static double judge(call *c, const heed_tensor *out)
{
    const int ports[] = {call_port(c, "out"), call_port(c, "lse")}, v = call_port(c, "v");
    double ratio = 0, *exact[2], *rounded[2], *spread[2] = {NULL, NULL};
    for (int p = 0; p < 2; p++) exact[p] = asked(c, ports[p]);
    round_inputs(c);
    for (int p = 0; p < 2; p++) rounded[p] = asked(c, ports[p]);
    for (int64_t i = 0; i < heed_tensor_elements(&c->plain[v]); i++) c->oracle.d[v][i] = fabs(c->oracle.d[v][i]);
    spread[0] = asked(c, ports[0]);
    for (int p = 0; p < 2; p++) {
        for (int64_t i = 0; i < heed_tensor_elements(&out[ports[p]]); i++) {
            const double x = rounded[p][i], y = tensor_get(&out[ports[p]], i);
            const double error = x == y ? 0 : fmin(fabs(y - x), fabs(y - exact[p][i]));
            const double r = error / (0x1.08p-8 * (spread[p] ? spread[p][i] + fabs(x) : 1) + fabs(x) * 0x1p-22);
            if (error != 0 && !(r <= ratio)) ratio = r;
        }
        free(exact[p]), free(rounded[p]), free(spread[p]);
    }
    return ratio;
}

static void test_bound(void **state)
{
    (void)state;
    if (!available()) return;
    for (size_t n = 0; n < COUNT(cases); n++) {
        call c;
        call_case how = {cases[n].spec, cases[n].axes, cases[n].without, HEED_F32, cases[n].size, n};
        heed_tensor out[ORACLE_PORTS];
        call_make(&c, &how);
        call_run(&c, PATH, 1, PLAIN, out);
        double ratio = judge(&c, out);
        if (!(ratio <= 1)) fail_msg("%s [%s]: error is %.3g of its bound", how.spec, how.axes, ratio);
        outputs_free(out);
        call_free(&c);
    }
}

/* The bound notices one skipped key, and a scale that is a hundredth off. */
static void test_bound_is_tight(void **state)
{
    (void)state;
    if (!available()) return;
    for (int fault = 0; fault < 3; fault++) {
        call c;
        call_case how = {"attention/softmax(scale=0.125, causal=true)", "B=1,T=96,S=64,H=1,G=1,D=64,E=64", NULL,
                         HEED_F32, 1, 5};
        heed_tensor out[ORACLE_PORTS];
        call_make(&c, &how);
        tensor_put(&c.plain[call_port(&c, "key_lengths")], 0, 38);
        call_update(&c);
        call_run(&c, PATH, 1, PLAIN, out);
        if (fault == 1) tensor_put(&c.plain[call_port(&c, "key_lengths")], 0, 37);
        if (fault == 2) c.value[0] *= 1.01;
        call_update(&c);
        assert_int_equal(judge(&c, out) > 1, fault > 0);
        outputs_free(out);
        call_free(&c);
    }
}

/* ---- bits ---- */

/* Its own bits: at any thread count, in any layout, in half the bytes where these hold the numbers, and run to run. */
static void test_own_bits(void **state)
{
    static const uint32_t threads[] = {1, 2, 5};
    (void)state;
    if (!available()) return;
    for (size_t n = 0; n < COUNT(cases); n++) {
        call c, narrow;
        call_case how = {cases[n].spec, cases[n].axes, cases[n].without, HEED_F32, cases[n].size, n}, half = how;
        heed_tensor first[ORACLE_PORTS], other[ORACLE_PORTS];
        half.dtype = HEED_BF16;
        call_make(&c, &how);
        call_make(&narrow, &half);
        for (uint32_t p = 0; p < c.op->ports.count; p++)
            for (int64_t i = 0; c.plain[p].data && i < heed_tensor_elements(&c.plain[p]); i++)
                tensor_put(&c.plain[p], i, tensor_get(&narrow.plain[p], i));
        call_run(&c, PATH, 1, PLAIN, first);
        for (int k = 0; k < 2 * LAYOUTS; k++) {
            call_run(k < LAYOUTS ? &c : &narrow, PATH, threads[k % 3], k % LAYOUTS, other);
            if (!outputs_equal(&c, first, other))
                fail_msg("%s [%s]: other bits, %d threads, layout %d, %s", how.spec, how.axes, (int)threads[k % 3],
                         k % LAYOUTS, k < LAYOUTS ? "f32" : "bf16");
            outputs_free(other);
        }
        outputs_free(first);
        call_free(&narrow);
        call_free(&c);
    }
}

/* ---- masks ---- */

/* A NaN or an infinity in key or value j changes no bit of a row that may not attend to j, and poisons the others. */
static void test_behind_the_mask(void **state)
{
    enum { L = 150, H = 2, D = 8, E = 9 };
    uint64_t seed = 11;
    (void)state;
    if (!available()) return;
    static const struct { const char *spec; int before, after; } masks[] = {
        {"attention/softmax", L, L}, {"attention/softmax(causal=true)", L, 0},
        {"attention/softmax(window=21:9)", 21, 9},
    };
    for (size_t m = 0; m < COUNT(masks); m++) {
        call c;
        call_case how = {masks[m].spec, "B=2,T=150,S=150,H=2,G=1,D=8,E=9", NULL, HEED_F32, 1, 1};
        heed_tensor before[ORACLE_PORTS], after[ORACLE_PORTS];
        call_make(&c, &how);
        const double *lengths = c.oracle.d[call_port(&c, "key_lengths")];
        call_run(&c, PATH, 1, PLAIN, before);
        for (int n = 0; n < 16; n++) {
            const int is_key = n & 1, channel = n % 8;
            const int64_t b = n >> 1 & 1, j = (int64_t)(harness_random(&seed) % L);
            heed_tensor *t = &c.plain[call_port(&c, is_key ? "k" : "v")];
            const int64_t at = (b * L + j) * (is_key ? D : E) + channel;
            const double was = tensor_get(t, at);
            tensor_put(t, at, n & 4 && !is_key ? INFINITY : NAN);
            call_run(&c, PATH, 1, PLAIN, after);
            const float *x = before[call_port(&c, "out")].data, *y = after[call_port(&c, "out")].data;
            for (int64_t i = 0; i < 2 * L * H * E; i++) {
                const int64_t row = i / E / H % L;
                const int sees = i / E / H / L == b && j < (int64_t)lengths[b] && j >= row - masks[m].before &&
                                 j <= row + masks[m].after;
                const int touched = sees && (is_key || i % E == channel);
                if (touched ? isfinite(y[i]) : memcmp(&x[i], &y[i], sizeof *x) != 0)
                    fail_msg("%s, %s[%d, %d]: element %d of row %d was %g, is %g", how.spec, is_key ? "k" : "v", (int)b,
                             (int)j, (int)(i % E), (int)row, (double)x[i], (double)y[i]);
            }
            outputs_free(after);
            tensor_put(t, at, was);
        }
        outputs_free(before);
        call_free(&c);
    }
}

/* ---- sequences ---- */

/* Token by token and in chunks on a cache: the bound of the whole. */
static void test_cache(void **state)
{
    enum { L = 130, H = 4, G = 2, D = 10, E = 6 };
    static const int chunks[] = {1, 50, L};
    (void)state;
    if (!available()) return;
    for (size_t k = 0; k < COUNT(chunks); k++) {
        call c;
        call_case how = {"attention/softmax(causal=true)", "B=1,T=130,S=130,H=4,G=2,D=10,E=6", "key_lengths", HEED_F32,
                         1, 3};
        heed_tensor out[ORACLE_PORTS], view[ORACLE_PORTS];
        heed_error e;
        call_make(&c, &how);
        outputs_make(&c, out);
        heed_instance *i = call_open(&c, PATH, 2);
        heed_sequence *s = heed_sequence_new(i, c.oracle.axis, &e);
        if (!s) fail_msg("%s", e.text);
        for (int64_t t = 0, n; t < L; t += n) {
            n = L - t < chunks[k] ? L - t : chunks[k];
            for (int p = 0; p < ORACLE_PORTS; p++) {
                const heed_tensor *all = out[p].data ? &out[p] : &c.plain[p];
                view[p] = all->data ? tensor_slice(all, 1, t, n) : *all;
            }
            if (call_with(&c, i, view, &s, &e)) fail_msg("%s", e.text);
        }
        double ratio = judge(&c, out);
        if (!(ratio <= 1)) fail_msg("chunks of %d: error is %.3g of its bound", chunks[k], ratio);
        heed_sequence_free(s);
        heed_instance_close(i);
        outputs_free(out);
        call_free(&c);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bound),           cmocka_unit_test(test_bound_is_tight), cmocka_unit_test(test_own_bits),
        cmocka_unit_test(test_behind_the_mask), cmocka_unit_test(test_cache),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    harness_end();
    return failed;
}
