/* SPDX-License-Identifier: MIT
 *
 * test_model.c: the trained model against its figures from PyTorch (models/reference.json, made by
 * models/reference.py): bits per byte, logits and greedy texts; and against itself: prefill and decode against feeding
 * all at once, and the same text and bits on every path.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "lib/harness.h"

#include "base/cpu.h"
#include "op/engine.h"

enum { CONTEXT = 256, VOCAB = 256, BOS = 10 };

static char folder[3000];
static heed_weights *weights;
static json_t *reference;
static heed_error e;

static heed_session *open_model(const char *isa, heed_engine **engine, heed_stack **stack)
{
    heed_options o = {.size = sizeof o, .threads = 2, .isa = isa};
    if (!(*engine = heed_engine_new(&o, &e))) fail_msg("%s", e.text);
    if (!(*stack = heed_stack_open(*engine, NULL, weights, &e))) fail_msg("%s", e.text);
    heed_session *session = heed_session_new(*stack, &e);
    if (!session) fail_msg("%s", e.text);
    return session;
}

static void close_model(heed_session *session, heed_stack *stack, heed_engine *engine)
{
    heed_session_free(session);
    heed_stack_close(stack);
    heed_engine_free(engine);
}

static void feed(heed_session *s, const int32_t *tokens, int64_t n, float *logits, int64_t rows)
{
    if (heed_session_feed(s, tokens, n, logits, rows, &e)) fail_msg("%s", e.text);
}

/* Windows of CONTEXT tokens, half a window apart; each byte counts once, in the first window that reaches it. */
static double bits_per_byte(heed_session *s, const unsigned char *text, int64_t bytes)
{
    static float logits[CONTEXT * VOCAB];
    double nats = 0;
    for (int64_t start = 0, done = 0; done < bytes; start += CONTEXT / 2) {
        int32_t tokens[CONTEXT];
        int64_t n = bytes - start < CONTEXT ? bytes - start : CONTEXT;
        for (int64_t i = 0; i < n; i++) tokens[i] = start + i == 0 ? BOS : text[start + i - 1];
        assert_int_equal(heed_session_reset(s, &e), HEED_OK);
        feed(s, tokens, n, logits, n);
        for (; done < start + n; done++) {
            const float *row = logits + (done - start) * VOCAB;
            double sum = 0;
            for (int i = 0; i < VOCAB; i++) sum += exp((double)row[i]);
            nats += log(sum) - (double)row[text[done]];
        }
    }
    return nats / log(2) / (double)bytes;
}

static void test_score(void **state)
{
    (void)state;
    const json_t *prefixes = json_object_get(reference, "prefixes"); /* in float64 */
    unsigned char text[4096];
    char path[4096];
    snprintf(path, sizeof path, "%s/sample.txt", folder);
    FILE *f = fopen(path, "rb");
    assert_non_null(f);
    int64_t bytes = (int64_t)fread(text, 1, sizeof text, f);
    fclose(f);
    heed_engine *engine;
    heed_stack *stack;
    heed_session *s = open_model(NULL, &engine, &stack);
    assert_int_equal(json_array_size(prefixes), 4);
    for (size_t i = 0; i < json_array_size(prefixes); i++) {
        const json_t *one = json_array_get(prefixes, i);
        const int64_t first = json_integer_value(json_array_get(one, 0));
        assert_float_equal(bits_per_byte(s, text, first), json_number_value(json_array_get(one, 1)),
                           2e-5);
    }
    if (!harness_quick()) {
        double recorded = json_number_value(json_object_get(reference, "bits_per_byte"));
        assert_true(recorded > 1);
        assert_float_equal(bits_per_byte(s, text, bytes), recorded, 1e-5);
    }
    close_model(s, stack, engine);
}

static int greedy(const float *logits)
{
    int best = 0;
    for (int i = 1; i < VOCAB; i++)
        if (logits[i] > logits[best]) best = i;
    return best;
}

/* Pinned prompts: the recorded logits, and the recorded text, on every path. */
static void test_prompts(void **state)
{
    (void)state;
    static const char *const paths[] = {"scalar", "avx2", "avx512", "neon"};
    json_t *prompts = json_object_get(reference, "logits");
    assert_int_equal(json_array_size(prompts), 3);
    static float bits[3][VOCAB];
    int runs = 0;
    for (size_t p = 0; p < sizeof paths / sizeof *paths; p++) {
        uint64_t ignored = harness_engine(1)->features;
        if (cpu_mask(paths[p], &ignored, NULL)) continue;
        heed_engine *engine;
        heed_stack *stack;
        heed_session *s = open_model(paths[p], &engine, &stack);
        for (size_t i = 0; i < 3; i++) {
            json_t *pin = json_array_get(prompts, i);
            const char *prompt = json_string_value(json_object_get(pin, "prompt")),
                       *text = json_string_value(json_object_get(pin, "greedy"));
            int32_t tokens[CONTEXT] = {BOS};
            int64_t n = 1;
            for (const char *c = prompt; *c; c++) tokens[n++] = (unsigned char)*c;
            float logits[VOCAB];
            assert_int_equal(heed_session_reset(s, &e), HEED_OK);
            feed(s, tokens, n, logits, 1);
            if (runs == 0) memcpy(bits[i], logits, sizeof logits);
            assert_memory_equal(bits[i], logits, sizeof logits);
            for (size_t k = 0; k < 8; k++)
                assert_float_equal(logits[k], json_number_value(json_array_get(json_object_get(pin, "first_8"), k)),
                                   1e-4);
            for (size_t k = 0; k < 5; k++) {
                int64_t token = json_integer_value(json_array_get(json_object_get(pin, "top_5_tokens"), k));
                assert_float_equal(logits[token], json_number_value(json_array_get(json_object_get(pin, "top_5"), k)),
                                   1e-4);
            }
            for (const char *c = text; *c; c++) {
                int32_t next = greedy(logits);
                assert_int_equal(next, (unsigned char)*c);
                feed(s, &next, 1, logits, 1);
            }
        }
        close_model(s, stack, engine);
        runs++;
    }
    assert_true(runs > 0);
}

/* Prefill and decode give the logits of feeding all at once, within rounding. */
static void test_decode(void **state)
{
    (void)state;
    enum { N = 120, SPLIT = 37 };
    static float whole[N * VOCAB], one[VOCAB];
    int32_t tokens[N] = {BOS};
    for (int i = 1; i < N; i++) tokens[i] = "KING RICHARD:\nNow is the winter of our discontent "[i % 50];
    heed_engine *engine;
    heed_stack *stack;
    heed_session *s = open_model(NULL, &engine, &stack);
    feed(s, tokens, N, whole, N);
    assert_int_equal(heed_session_reset(s, &e), HEED_OK);
    feed(s, tokens, SPLIT, one, 1);
    for (int i = SPLIT;; i++) {
        for (int v = 0; v < VOCAB; v++) assert_float_equal(one[v], whole[(i - 1) * VOCAB + v], 3e-5);
        if (i == N) break;
        feed(s, tokens + i, 1, one, 1);
    }
    close_model(s, stack, engine);
}

static int setup(void **state)
{
    (void)state;
    char path[4096];
    snprintf(folder, sizeof folder, "%s/models", getenv("SRC") ? getenv("SRC") : ".");
    snprintf(path, sizeof path, "%s/plays.safetensors", folder);
    weights = heed_weights_open(path, &e);
    if (!weights) printf("%s\n", e.text);
    snprintf(path, sizeof path, "%s/reference.json", folder);
    reference = json_load_file(path, 0, NULL);
    return !weights || !reference;
}

static int teardown(void **state)
{
    (void)state;
    heed_weights_close(weights);
    json_decref(reference);
    harness_end();
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_score), cmocka_unit_test(test_prompts),
                                       cmocka_unit_test(test_decode)};
    return cmocka_run_group_tests(tests, setup, teardown);
}
