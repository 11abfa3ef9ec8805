/* SPDX-License-Identifier: MIT
 *
 * test_variant_stack.c: variants of attention, and norm/batch, inside a network: a word of the spec
 * puts one there, with random weights, and a text fed whole, in parts and token by token has the
 * same logits, bit for bit.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "op/spec.h"

enum { VOCAB = 24, TOKENS = 50, LONG = 150 };

#define STACK                                                                                      \
    "vocab=24; width=16; layers=2; heads=4; context=64; tied=true; "                               \
    "feedforward=swiglu(hidden=20); "
#define DEEP "vocab=24; width=32; layers=2; heads=4; norm=rms; feedforward=swiglu(hidden=48); "

static heed_engine *engine;

/* ---- the test ---- */

static void feed(heed_stack *s, const int32_t *tokens, int n_tokens, int chunk, float *logits)
{
    heed_error e;
    heed_session *session = heed_session_new(s, &e);
    if (!session) fail_msg("%s", e.text);
    for (int t = 0, n; t < n_tokens; t += n) {
        n = n_tokens - t < chunk ? n_tokens - t : chunk;
        if (heed_session_feed(session, tokens + t, n, logits + t * VOCAB, n, &e))
            fail_msg("%s: %s", heed_stack_spec(s), e.text);
    }
    heed_session_free(session);
}

static const struct {
    const char *spec;
    int tokens;
} networks[] = {
    {STACK "kv_heads=2; norm=rms; attention=softmax(causal=true)", TOKENS},
    {STACK "kv_heads=2; norm=rms; attention=synthesizer_random(causal=true)", TOKENS},
    {STACK "kv_heads=2; norm=rms; attention=synthesizer_factorized_random(rank=8, causal=true)",
     TOKENS},
    {STACK "kv_heads=2; norm=rms; attention=synthesizer_random(fixed=3, longest=64, causal=true)",
     TOKENS},
    {STACK "kv_heads=2; norm=rms; "
           "attention=synthesizer_factorized_random(rank=8, fixed=3, longest=64, causal=true)",
     TOKENS},
    {STACK "kv_heads=2; norm=rms; attention=synthesizer_dense(causal=true)", TOKENS},
    {STACK "kv_heads=2; norm=rms; attention=synthesizer_dense(matrices=1, causal=true)", TOKENS},
    {STACK
     "kv_heads=2; norm=rms; attention=synthesizer_factorized_dense(run=8, runs=8, causal=true)",
     TOKENS},
    {STACK
     "kv_heads=2; norm=rms; attention=synthesizer_mixture(synthesizer_dense, softmax, causal=true)",
     TOKENS},
    {STACK "kv_heads=2; norm=rms; "
           "attention=synthesizer_mixture(synthesizer_random, "
           "synthesizer_factorized_random(rank=3), causal=true)",
     TOKENS},
    {STACK "kv_heads=1; norm=rms; attention=[synthesizer_random(causal=true), "
           "softmax(causal=true)]; position=alibi",
     TOKENS},
    {STACK "norm=rms; attention=gau(base=8, width=12, causal=true)", TOKENS},
    {STACK "norm=rms; attention=gau(causal=true, scale=width)", TOKENS},
    {STACK "norm=batch; attention=softmax(causal=true)", TOKENS},
    {DEEP "attention=shaw(causal=true, distances=17)", LONG},
    {DEEP "kv_heads=2; attention=[shaw(causal=true, distances=9), softmax(causal=true)]", LONG},
    {DEEP "attention=transformer_xl(causal=true, memory=150)", LONG},
    {DEEP "attention=transformer_xl(memory=40, same_length=true)", LONG},
    {DEEP "kv_heads=2; attention=window(left=20)", LONG},
    {DEEP "kv_heads=2; attention=[window(left=7, inclusive=true, sinks=2), softmax(causal=true)]",
     LONG},
    {DEEP "kv_heads=2; attention=sparse(stride=12); position=rope", LONG},
    {DEEP "kv_heads=2; attention=sparse(pattern=fixed, stride=16)", LONG},
    {DEEP "kv_heads=2; attention=adaptive_span(limit=50, ramp=9)", LONG},
    {DEEP "kv_heads=2; attention=dynamic_span(limit=40); position=alibi", LONG},
    {DEEP "kv_heads=2; attention=softmax(causal=true); position=t5(bidirectional=false)", LONG},
    {STACK "norm=layer; attention=softmax(causal=true); position=learned", TOKENS},
    {STACK "norm=layer; attention=softmax(causal=true); position=learned(rows=66, offset=2)",
     TOKENS},
    {DEEP "attention=softmax(causal=true); position=none", LONG},
    {DEEP "attention=softmax(causal=true); position=rope_scaled(factor=4, original=40)", LONG},
    {DEEP "attention=softmax(causal=true); position=rope_scaled(pairs=half, scaling=llama3, "
          "factor=8, original=64)",
     LONG},
    {DEEP "attention=softmax(causal=true); position=longrope(factor=4, original=64, length=150, "
          "listed=4)",
     LONG},
    {DEEP "attention=linear(causal=true)", LONG},
    {DEEP "kv_heads=2; attention=linear(features=dpfp, nu=2, causal=true)", LONG},
    {DEEP "kv_heads=2; attention=[linear(causal=true), softmax(causal=true)]; position=rope", LONG},
    {DEEP "kv_heads=2; attention=fast_weight(causal=true)", LONG},
    {DEEP "attention=fast_weight(rule=sum, features=elu, read=before, causal=true)", LONG},
    {DEEP "kv_heads=2; attention=gated_delta(gate=softplus, causal=true)", LONG},
    {DEEP "attention=performer(features=40, causal=true)", LONG},
    {DEEP "attention=lightweight_conv(kernel=5, causal=true)", LONG},
    {DEEP "attention=dynamic_conv(kernel=3, causal=true)", LONG},
    {DEEP "attention=flash_linear(chunk=20, causal=true)", LONG},
};

/* A text whole and in parts: the same logits; and another last token changes the last ones alone.
 */
static void test_variants(void **state)
{
    static float whole[LONG * VOCAB], parts[LONG * VOCAB];
    static const int chunks[] = {1, 7, 33};
    int32_t tokens[LONG];
    (void)state;
    for (size_t v = 0; v < sizeof networks / sizeof *networks; v++) {
        const char *spec = networks[v].spec;
        const int n = networks[v].tokens, last = (n - 1) * VOCAB;
        const size_t bytes = sizeof *whole * (size_t)n * VOCAB;
        heed_error e;
        for (int i = 0; i < n; i++) tokens[i] = i * i * 7 % VOCAB;
        heed_weights *weights = heed_weights_random(engine, spec, 7, &e);
        heed_stack *s = weights ? heed_stack_open(engine, spec, weights, &e) : NULL;
        if (!s) fail_msg("%s: %s", spec, e.text);
        feed(s, tokens, n, n, whole);
        for (int i = 0; i < n * VOCAB; i++) assert_true(isfinite(whole[i]));
        assert_true(whole[0] != whole[1]);
        for (int c = 0; c < 3; c++) {
            feed(s, tokens, n, chunks[c], parts);
            if (memcmp(whole, parts, bytes))
                fail_msg("%s: in chunks of %d it has other logits", spec, chunks[c]);
        }
        tokens[n - 1]++;
        feed(s, tokens, n, n, parts);
        assert_memory_equal(whole, parts, bytes - sizeof *whole * VOCAB);
        assert_memory_not_equal(whole + last, parts + last, sizeof *whole * VOCAB);
        heed_stack_close(s);
        heed_weights_close(weights);
    }
}

/* kv_heads says nothing to an op whose values have as many heads as its queries: the same logits.
 */
static void test_no_heads_of_keys(void **state)
{
    static const char *const ops[] = {"gau(causal=true)",
                                      "gau(base=8, width=12, scale=width, causal=true)",
                                      "flash_linear(chunk=20, causal=true)",
                                      "lightweight_conv(kernel=5, causal=true)"};
    static const char *const heads[] = {"", "kv_heads=2; "};
    static float logits[2][TOKENS * VOCAB];
    int32_t tokens[TOKENS];
    (void)state;
    for (int i = 0; i < TOKENS; i++) tokens[i] = i * i * 7 % VOCAB;
    for (size_t v = 0; v < sizeof ops / sizeof *ops; v++) {
        for (int i = 0; i < 2; i++) {
            char spec[256];
            heed_error e;
            snprintf(spec, sizeof spec, DEEP "%sattention=%s", heads[i], ops[v]);
            heed_weights *weights = heed_weights_random(engine, spec, 7, &e);
            heed_stack *s = weights ? heed_stack_open(engine, spec, weights, &e) : NULL;
            if (!s) fail_msg("%s: %s", spec, e.text);
            feed(s, tokens, TOKENS, 13, logits[i]);
            heed_stack_close(s);
            heed_weights_close(weights);
        }
        if (memcmp(logits[0], logits[1], sizeof logits[0]))
            fail_msg("%s: kv_heads=2 changes its logits", ops[v]);
    }
}

/* ---- tensors that layers share ---- */

#define BIAS "content_bias"
enum { SHARED, OWN_COPIES, ONE_COPY, ONE_OWN };

/* `from` as a file, with the bias of stack.* in place, in each layer, or in layer 1 too, there
 * negated or not. */
static heed_weights *rewrite(const heed_weights *from, int how)
{
    char path[] = "/tmp/heed-variant-stack.XXXXXX", header[1 << 14] = "{";
    FILE *data = tmpfile();
    int64_t at = 0;
    heed_error e;
    assert_non_null(data);
    for (uint32_t i = 0; i < heed_weights_count(from); i++) {
        const char *name = heed_weights_name(from, i);
        const heed_tensor *t = heed_weights_find(from, name);
        const int biases = !strcmp(name, "stack." BIAS) ? how : SHARED,
                  bytes = (int)heed_tensor_elements(t) * 4;
        const int first = biases == OWN_COPIES, last = biases == SHARED       ? 0
                                                       : biases == OWN_COPIES ? 2
                                                                              : 1;
        for (int copy = first; copy <= last; copy++) {
            char own[64];
            snprintf(own, sizeof own, "layers.%d.attention." BIAS,
                     biases == OWN_COPIES ? copy - 1 : 1);
            sprintf(header + strlen(header), "%s\"%s\":{\"dtype\":\"F32\",\"shape\":[",
                    at ? "," : "", copy ? own : name);
            for (int a = 0; a < t->rank; a++)
                sprintf(header + strlen(header), "%s%d", a ? "," : "", (int)t->dim[a]);
            sprintf(header + strlen(header), "],\"data_offsets\":[%d,%d]}", (int)at,
                    (int)at + bytes);
            for (int k = 0; k < bytes / 4; k++) {
                const float x =
                    copy && biases == ONE_OWN ? -((float *)t->data)[k] : ((float *)t->data)[k];
                assert_int_equal(fwrite(&x, 4, 1, data), 1);
            }
            at += bytes;
        }
    }
    strcat(header, "}");
    while (strlen(header) % 8) strcat(header, " ");
    const uint64_t length = strlen(header);
    int fd = mkstemp(path), byte;
    FILE *file = fdopen(fd, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(&length, 8, 1, file), 1);
    assert_int_equal(fwrite(header, 1, length, file), length);
    for (rewind(data); (byte = getc(data)) != EOF;) putc(byte, file);
    fclose(file), fclose(data);
    heed_weights *w = heed_weights_open(path, &e);
    unlink(path);
    if (!w) fail_msg("%s", e.text);
    return w;
}

static void test_own_of_shared(void **state)
{
    static const char spec[] = STACK "norm=rms; attention=transformer_xl(causal=true, memory=64)";
    static float logits[4][TOKENS * VOCAB];
    int32_t tokens[TOKENS];
    heed_error e;
    (void)state;
    for (int i = 0; i < TOKENS; i++) tokens[i] = i * i * 5 % VOCAB;
    heed_weights *random = heed_weights_random(engine, spec, 3, &e);
    if (!random) fail_msg("%s", e.text);
    for (int how = SHARED; how <= ONE_OWN; how++) {
        heed_weights *w = rewrite(random, how);
        heed_stack *s = heed_stack_open(engine, spec, w, &e);
        if (!s) fail_msg("%s", e.text);
        feed(s, tokens, TOKENS, TOKENS, logits[how]);
        heed_stack_close(s);
        heed_weights_close(w);
    }
    assert_memory_equal(logits[SHARED], logits[OWN_COPIES], sizeof *logits);
    assert_memory_equal(logits[SHARED], logits[ONE_COPY], sizeof *logits);
    assert_memory_not_equal(logits[SHARED], logits[ONE_OWN], sizeof *logits);
    heed_weights_close(random);
}

/* What a network can not have is one sentence. */
static void test_refused(void **state)
{
    static const struct {
        const char *spec, *says;
    } wrong[] = {
        {"norm=rms; attention=synthesizer_random(causal=true); position=rope",
         "acts on queries and keys, and attention/synthesizer_random takes none"},
        {"norm=rms; attention=gau(causal=true); position=alibi",
         "attention/gau has no setting for a position op"},
        {"norm=rms; attention=synthesizer_factorized_random(causal=true)",
         "the size of J is not known, which its weight rows (H C J) has"},
        {"norm=rms; attention=softmax(causal=true); position=learned(offset=64)",
         "offset is 64, but the table has only 64 rows"},
        {"norm=rms; attention=softmax(causal=true); position=rope_scaled(scaling=dynamic, "
         "factor=2, original=9)",
         "scaling=dynamic needs length"},
        {"norm=rms; attention=softmax(causal=true); position=longrope",
         "the size of R is not known, which its weight short_factors (R) has"},
        {"norm=rms; attention=[synthesizer_factorized_random(causal=true), shaw]",
         "spec, line 1, column 115: attention/synthesizer_factorized_random: the size of J is not "
         "known, which its "
         "weight rows (H C J) has; rank=N gives J; attention/shaw: the size of R is not known, "
         "which its weight "
         "relative_keys (R D) has; distances=N gives R\n"},
        {"norm=rms; attention=synthesizer_mixture(softmax, synthesizer_factorized_dense, "
         "causal=true)",
         "attention/synthesizer_factorized_dense: the sizes of A and U are not known, which its "
         "tensors have; run=N "
         "gives A; runs=N gives U\n"},
        {"norm=rms; attention=synthesizer_mixture(softmax, gau, causal=true)",
         "b=attention/gau does not tell its scores"},
    };
    (void)state;
    for (size_t w = 0; w < sizeof wrong / sizeof *wrong; w++) {
        char spec[300];
        heed_error e = {0};
        snprintf(spec, sizeof spec, STACK "%s", wrong[w].spec);
        heed_weights *weights = heed_weights_random(engine, spec, 7, &e);
        heed_stack *s = weights ? heed_stack_open(engine, spec, weights, &e) : NULL;
        if (s || !strstr(e.text, wrong[w].says))
            fail_msg("\"%s\" is not said in \"%s\"", wrong[w].says, e.text);
        heed_weights_close(weights);
    }
}

static int setup(void **state)
{
    heed_error e;
    heed_options o = {.size = sizeof o, .threads = 2};
    (void)state;
    engine = heed_engine_new(&o, &e);
    return engine ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    heed_engine_free(engine);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_variants), cmocka_unit_test(test_no_heads_of_keys),
                                       cmocka_unit_test(test_own_of_shared),
                                       cmocka_unit_test(test_refused)};
    return cmocka_run_group_tests(tests, setup, teardown);
}
