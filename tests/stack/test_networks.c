/* SPDX-License-Identifier: MIT
 *
 * test_networks.c: networks of every wiring, with an encoder and without, against PyTorch in float64
 * (models/networks.json, made by models/networks.py): nn.Transformer among them. And against
 * themselves: the same bits on every path and at every number of threads, and in chunks and by single
 * tokens what the whole text gives; cross-attention by ops of every kind; what is seen while one
 * runs; and what is refused.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "lib/harness.h"

#include "base/cpu.h"
#include "base/saved.h"
#include "model/session.h"
#include "op/engine.h"

enum { MOST = 4096 };

static json_t *reference;
static int32_t types[64]; /* of the tokens of a text, where they have some */
static heed_engine *engine;
static heed_error e;

/* ---- a network with the script's numbers ---- */

static double next_number(uint64_t *state)
{
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    return (double)(*state >> 40) / 0x1p23 - 1;
}

static void dress(heed_weights *weights)
{
    for (uint32_t i = 0; i < heed_weights_count(weights); i++) {
        const char *name = heed_weights_name(weights, i);
        heed_tensor *t = heed_weights_find(weights, name);
        const size_t length = strlen(name);
        const int gain = length >= 4 && !strcmp(name + length - 4, "gain");
        uint64_t state = 0xcbf29ce484222325u;
        for (const char *c = name; *c; c++) state = (state ^ (unsigned char)*c) * 0x100000001b3u;
        for (int64_t k = 0; k < heed_tensor_elements(t); k++) {
            const double x = next_number(&state);
            ((float *)t->data)[k] = (float)(t->rank > 1 ? x * 2 / sqrt((double)t->dim[t->rank - 1])
                                            : gain      ? 1 + x / 4
                                                        : x);
        }
    }
}

typedef struct network {
    heed_weights *weights;
    heed_stack *stack;
    heed_session *session;
} network;

static network open_network(heed_engine *with, const char *spec, int dressed)
{
    network n = {.weights = heed_weights_random(with, spec, 5, &e)};
    if (n.weights && dressed) dress(n.weights);
    n.stack = n.weights ? heed_stack_open(with, spec, n.weights, &e) : NULL;
    n.session = n.stack ? heed_session_new(n.stack, &e) : NULL;
    if (!n.session) fail_msg("%s: %s", spec, e.text);
    return n;
}

static void close_network(network *n)
{
    heed_session_free(n->session);
    heed_stack_close(n->stack);
    heed_weights_close(n->weights);
}

/* The results of a text, fed `chunk` tokens at a time; of a pooled one the last row alone. */
static void run(network *n, const int32_t *source, int sources, const int32_t *tokens, int count,
                int chunk, int rows, float *to)
{
    const int64_t width = heed_stack_outputs(n->stack);
    if (sources && heed_session_encode(n->session, source, sources, &e)) fail_msg("%s", e.text);
    if (heed_session_reset(n->session, &e)) fail_msg("%s", e.text);
    for (int at = 0; at < count; at += chunk) {
        const int now = count - at < chunk ? count - at : chunk, keep = rows < now ? rows : now;
        if (heed_session_feed_types(n->session, tokens + at, n->stack->typed ? types + at : NULL,
                                    now, to + at * width, keep, &e))
            fail_msg("%s: %s", heed_stack_spec(n->stack), e.text);
    }
}

/* ---- against PyTorch ---- */

static int read_tokens(const char *key, int32_t *to)
{
    const json_t *list = json_object_get(reference, key);
    for (size_t i = 0; i < json_array_size(list); i++)
        to[i] = (int32_t)json_integer_value(json_array_get(list, i));
    return (int)json_array_size(list);
}

static void compare(const char *spec, const json_t *rows, const float *got, int64_t width)
{
    double most = 0, worst = 0;
    for (size_t r = 0; r < json_array_size(rows); r++)
        for (int64_t i = 0; i < width; i++) {
            const double right =
                json_number_value(json_array_get(json_array_get(rows, r), (size_t)i));
            const double off = fabs(right - (double)got[(int64_t)r * width + i]);
            most = fmax(most, fabs(right));
            worst = off > worst || isnan(off) ? off : worst;
        }
    if (!(worst <= 1e-5 * most)) fail_msg("%s: %g off PyTorch, of %g", spec, worst, most);
}

/* Where tokens halt: of the text that was just fed to a new session. */
static void compare_ponder(network *net, const json_t *one)
{
    double steps, rest, all[2] = {0};
    const json_t *of[] = {json_object_get(one, "steps"), json_object_get(one, "rest")};
    const size_t n = json_array_size(of[0]);
    for (int k = 0; k < 2; k++)
        for (size_t i = 0; i < n; i++) all[k] += json_number_value(json_array_get(of[k], i));
    assert_int_equal(heed_session_ponder(net->session, 0, &steps, &rest), n);
    assert_true(steps == all[0]);
    assert_true(fabs(rest - all[1]) < 1e-5);
}

static void test_reference(void **unused)
{
    int32_t tokens[64], source[64];
    float whole[MOST], parts[MOST];
    (void)unused;
    const int n = read_tokens("tokens", tokens), sources = read_tokens("source", source);
    const json_t *networks = json_object_get(reference, "networks");
    assert_int_equal(json_array_size(networks), 28);
    for (size_t i = 0; i < json_array_size(networks); i++) {
        const json_t *one = json_array_get(networks, i), *rows = json_object_get(one, "results");
        const char *spec = json_string_value(json_object_get(one, "spec"));
        const int kept = (int)json_array_size(rows), encodes = !!strstr(spec, "encoder_layers");
        network net = open_network(engine, spec, 1);
        const int64_t width = heed_stack_outputs(net.stack);
        run(&net, source, encodes ? sources : 0, tokens, n, n, kept, whole);
        compare(spec, rows, whole, width);
        compare_ponder(&net, one);
        if (kept == n) { /* the last rows alone have the bits that they have among all */
            run(&net, source, encodes ? sources : 0, tokens, n, n, 2, parts);
            assert_memory_equal(parts, whole + (n - 2) * width, sizeof(float) * 2 * (size_t)width);
        }
        for (int chunk = 1; strstr(spec, "attention=softmax(causal") && chunk <= 3; chunk += 2) {
            run(&net, source, encodes ? sources : 0, tokens, n, chunk, n, parts);
            compare(spec, rows, parts, width);
        }
        close_network(&net);
    }
}

/* ---- against itself ---- */

static void test_bits(void **unused)
{
    int32_t tokens[64], source[64];
    float first[MOST], again[MOST];
    (void)unused;
    const int n = read_tokens("tokens", tokens), sources = read_tokens("source", source);
    const json_t *networks = json_object_get(reference, "networks");
    for (size_t i = 0; i < json_array_size(networks); i++) {
        const json_t *one = json_array_get(networks, i);
        const char *spec = json_string_value(json_object_get(one, "spec")), *isa;
        const int kept = (int)json_array_size(json_object_get(one, "results"));
        int runs = 0;
        for (uint32_t p = 0; (isa = cpu_path(engine->features & ~(uint64_t)CPU_INEXACT, p)); p++)
            for (uint32_t threads = 1; threads <= 3; threads += 2) {
                heed_options o = {.size = sizeof o, .threads = threads, .isa = isa};
                heed_engine *with = heed_engine_new(&o, &e);
                if (!with) fail_msg("%s", e.text);
                network net = open_network(with, spec, 1);
                const size_t bytes =
                    sizeof(float) * (size_t)kept * (size_t)heed_stack_outputs(net.stack);
                run(&net, source, strstr(spec, "encoder_layers") ? sources : 0, tokens, n, n, kept,
                    runs ? again : first);
                if (runs++ && memcmp(first, again, bytes))
                    fail_msg("%s: other bits on %s with %u threads", spec, isa, threads);
                close_network(&net);
                heed_engine_free(with);
            }
    }
}

/* ---- cross-attention, lists, sessions ---- */

#define NET "vocab=13; width=16; layers=2; heads=4; kv_heads=2; norm=rms; "
#define PAIR(cross)                                                                                \
    NET "attention=softmax(causal=true); cross_attention=" cross                                   \
        "; feedforward=swiglu(hidden=20); encoder_layers=3; encoder_attention=softmax"

static const char *const crossing[] = {
    PAIR("softmax"),
    PAIR("[softmax, linear]"),
    PAIR("performer(features=20)"),
    PAIR("retention"),
    PAIR("gated_delta(gate=softplus)"),
    PAIR("softmax; position=rope; encoder_position=[none, rope]; encoder_vocab=9"),
    PAIR("softmax; position=t5(bidirectional=false); encoder_position=t5; residual=dual"),
};

/* The text sees all of the encoded one and nothing behind itself; the encoded one's length counts,
 * and another text may follow. */
static void test_cross(void **unused)
{
    int32_t tokens[40], source[70];
    float whole[MOST], parts[MOST];
    (void)unused;
    for (int i = 0; i < 40; i++) tokens[i] = i * i * 7 % 13;
    for (int i = 0; i < 70; i++) source[i] = i * i * 5 % 9;
    for (size_t k = 0; k < sizeof crossing / sizeof *crossing; k++) {
        network n = open_network(engine, crossing[k], 0);
        const int last = 39 * 13;
        run(&n, source, 70, tokens, 40, 40, 40, whole);
        for (int i = 0; i < 40 * 13; i++) assert_true(isfinite(whole[i]));
        for (int chunk = 1; chunk < 40; chunk += 12) {
            run(&n, source, 70, tokens, 40, chunk, 40, parts);
            for (int i = 0; i < 40 * 13; i++)
                if (!(fabsf(whole[i] - parts[i]) <= 2e-5f))
                    fail_msg("%s: chunks of %d: %g and %g", crossing[k], chunk, whole[i], parts[i]);
        }
        for (int at = 0; at < 70; at += 69) { /* each token of the other text counts, for all */
            source[at] = (source[at] + 1) % 9;
            run(&n, source, 70, tokens, 40, 40, 40, parts);
            for (int t = 0; t < 40; t++)
                assert_memory_not_equal(whole + t * 13, parts + t * 13, 13 * sizeof *whole);
            source[at] = (source[at] + 8) % 9;
        }
        run(&n, source, 69, tokens, 40, 40, 40, parts);
        assert_memory_not_equal(whole, parts, 13 * sizeof *whole);
        tokens[39] = (tokens[39] + 1) % 13;
        run(&n, source, 70, tokens, 40, 40, 40, parts);
        tokens[39] = (tokens[39] + 12) % 13;
        assert_memory_equal(whole, parts, sizeof *whole * last);
        assert_memory_not_equal(whole + last, parts + last, sizeof *whole * 13);
        close_network(&n);
    }
}

static void test_sessions(void **unused)
{
    const int32_t tokens[] = {1, 2, 3};
    float to[3 * 16];
    (void)unused;
    network n = open_network(engine, PAIR("softmax; context=4"), 0);
    assert_int_equal(heed_session_feed(n.session, tokens, 3, to, 1, &e), HEED_E_ARGUMENT);
    assert_non_null(strstr(e.text, "none was encoded: heed_session_encode comes first"));
    assert_int_equal(heed_session_encode(n.session, tokens, 0, &e), HEED_E_ARGUMENT);
    assert_int_equal(heed_session_encode(n.session, NULL, 3, &e), HEED_E_ARGUMENT);
    assert_int_equal(heed_session_encode(n.session, tokens, 5, &e), HEED_E_ARGUMENT);
    assert_non_null(strstr(e.text, "5 tokens are to be encoded, more than the context of 4"));
    assert_int_equal(heed_session_encode(n.session, tokens, 3, &e), HEED_OK);
    close_network(&n);
    n = open_network(engine, NET "attention=softmax(causal=true); feedforward=none", 0);
    assert_int_equal(heed_session_encode(n.session, tokens, 3, &e), HEED_E_UNSUPPORTED);
    assert_non_null(strstr(e.text, "this network has no encoder"));
    close_network(&n);
    n = open_network(engine, NET "attention=softmax(causal=true); feedforward=none; types=2", 0);
    assert_int_equal(heed_session_feed_types(n.session, tokens, tokens, 1, to, 1, &e), HEED_OK);
    assert_int_equal(heed_session_feed_types(n.session, tokens, tokens, 2, to, 1, &e),
                     HEED_E_ARGUMENT);
    assert_non_null(strstr(e.text, "embed/table"));
    assert_int_equal(heed_session_feed(n.session, tokens, 3, to, 1, &e), HEED_OK);
    close_network(&n);
    n = open_network(engine, NET "attention=softmax; feedforward=none", 0);
    assert_int_equal(heed_session_feed_types(n.session, tokens, tokens, 2, to, 1, &e),
                     HEED_E_UNSUPPORTED);
    assert_non_null(strstr(e.text, "this network has none (types=N)"));
    close_network(&n);
    n = open_network(engine, NET "attention=softmax; feedforward=relu(hidden=9); output=tokens", 0);
    assert_int_equal(heed_stack_outputs(n.stack), 16);
    assert_int_equal(heed_session_feed(n.session, tokens, 3, to, 2, &e), HEED_E_ARGUMENT);
    assert_non_null(strstr(e.text, "2 rows are asked for, and pool/tokens makes one"));
    assert_int_equal(heed_session_feed(n.session, tokens, 2, to, 1, &e), HEED_OK);
    assert_int_equal(heed_session_feed(n.session, tokens, 1, to, 1, &e), HEED_E_UNSUPPORTED);
    close_network(&n);
}

/* A session with an encoded text is saved and goes on elsewhere; bytes that were changed are refused, or
 * taken for another text, and the session that refuses them is as it was. */
static void test_saved(void **unused)
{
    static const int32_t tokens[] = {1, 2, 3, 7, 5}, source[] = {4, 8, 2, 1, 6, 3, 9};
    static char saved[1 << 16], other[1 << 16];
    float first[5 * 13], again[5 * 13];
    uint64_t state = 3;
    (void)unused;
    network n = open_network(engine, PAIR("[softmax, linear]"), 0);
    heed_session *s = heed_session_new(n.stack, &e), *spare = heed_session_new(n.stack, &e);
    assert_int_equal(heed_session_encode(n.session, source, 7, &e), HEED_OK);
    assert_int_equal(heed_session_feed(n.session, tokens, 2, NULL, 0, &e), HEED_OK);
    const int64_t bytes = heed_session_save(n.session, saved, sizeof saved, &e);
    if (bytes < 0) fail_msg("%s", e.text);
    assert_int_equal(heed_session_feed(n.session, tokens + 2, 3, first, 3, &e), HEED_OK);
    if (heed_session_load(s, saved, (uint64_t)bytes, &e) || heed_session_feed(s, tokens + 2, 3, again, 3, &e))
        fail_msg("%s", e.text);
    assert_memory_equal(first, again, sizeof *first * 3 * 13);
    int refused = 0;
    for (int turn = 0; turn < 400; turn++) {
        memcpy(other, saved, (size_t)bytes);
        const int at = turn < 64 ? turn : (int)((next_number(&state) + 1) / 2 * (double)(bytes - 9));
        other[at] = (char)(other[at] + 1 + turn % 200);
        saved_seal(other, (uint64_t)bytes);
        if (heed_session_load(spare, other, (uint64_t)bytes, &e)) refused++;
        else assert_true(heed_session_feed(spare, tokens + 2, 1, again, 1, &e) <= 0);
    }
    assert_in_range(refused, 60, 400);
    assert_int_equal(heed_session_load(s, saved, (uint64_t)bytes - 8, &e), HEED_E_DATA);
    if (heed_session_load(s, saved, (uint64_t)bytes, &e) || heed_session_feed(s, tokens + 2, 3, again, 3, &e))
        fail_msg("%s", e.text);
    assert_memory_equal(first, again, sizeof *first * 3 * 13);
    heed_session_free(s);
    heed_session_free(spare);
    close_network(&n);
}

#define DEEP "vocab=24; width=32; layers=2; heads=4; norm=rms; feedforward=swiglu(hidden=48); "

/* A spec prints in one form, which reads back as the same network. */
static void test_canonical(void **unused)
{
    static const struct {
        const char *spec, *says;
    } rows[] = {
        {NET "attention=softmax(causal=true); position=[rope]; feedforward=[relu(hidden=8), none]",
         "position=[position/rope]; feedforward=[feedforward/relu(hidden=8), none]"},
        {NET "attention=softmax(causal=true); position=[none, alibi]; feedforward=none",
         "position=[none, position/alibi]; feedforward=none"},
        {PAIR("softmax; position=rope; encoder_position=none; encoder_norm=[layer x2, rms]"),
         "encoder_layers=3; encoder_norm=[norm/layer x2, norm/rms]; "
         "encoder_attention=attention/softmax; encoder_position=none"},
        {DEEP "attention=softmax; kv_heads=[4, 2]; value_width=[8 x2]; head_norm=[none, rms]",
         "kv_heads=[4, 2]; norm=norm/rms; attention=attention/softmax; head_norm=[none, norm/rms]"},
        {NET "attention=softmax; feedforward=none; output=hidden; final_norm=none; embed_scale=0.5",
         "embed_scale=0.5; norm=norm/rms; final_norm=none; attention=attention/softmax; "
         "feedforward=none; output=hidden"},
    };
    (void)unused;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        network n = open_network(engine, rows[i].spec, 0);
        const char *text = heed_stack_spec(n.stack);
        if (!strstr(text, rows[i].says)) fail_msg("\"%s\" is not in \"%s\"", rows[i].says, text);
        network again = open_network(engine, text, 0);
        assert_string_equal(text, heed_stack_spec(again.stack));
        close_network(&again);
        close_network(&n);
    }
}

/* ---- inputs that a projection may not make ---- */

/* A log decay is at most 0: what a network makes of its layer's input goes through the op's own
 * function, or is not made. With random weights the state would grow without bound else. */
static void test_gates(void **unused)
{
    static const struct {
        const char *spec;
        int gates;
    } rows[] = {
        {DEEP "attention=retention(causal=true)", 0},
        {DEEP "attention=retention(gate=sigmoid, causal=true)", 1},
        {DEEP "attention=gated_delta(gate=softplus, causal=true)", 1},
        {DEEP "attention=fast_weight(causal=true)", 0},
    };
    int32_t tokens[150];
    float whole[150 * 24], parts[150 * 24];
    (void)unused;
    for (int i = 0; i < 150; i++) tokens[i] = i * i * 7 % 24;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        network n = open_network(engine, rows[i].spec, 0);
        assert_int_equal(heed_weights_find(n.weights, "layers.0.gate.weight") != NULL,
                         rows[i].gates);
        run(&n, NULL, 0, tokens, 150, 150, 150, whole);
        run(&n, NULL, 0, tokens, 150, 7, 150, parts);
        assert_memory_equal(whole, parts, sizeof whole);
        int moves = 0;
        for (int k = 0; k < 150 * 24; k++) {
            assert_true(isfinite(whole[k]));
            moves += fabsf(whole[k]) > 1e-3f;
        }
        assert_true(moves > 150 * 24 / 2); /* not the zeros of a state that overflowed */
        close_network(&n);
    }
}

/* ---- who looks on ---- */

typedef struct onlooker {
    uint32_t flows, steps; /* seen */
    float last[MOST];      /* what flowed out of the last layer that was seen */
} onlooker;

static int32_t look(void *self, heed_session *s, uint32_t done, heed_error *error)
{
    onlooker *o = self;
    (void)error;
    o->steps++;
    for (uint32_t i = 0; i < s->stack->n_flows; i++) {
        if (s->stack->flows[i].steps != done) continue;
        const heed_tensor *x = &s->tensors[s->stack->flows[i].view];
        memcpy(o->last, x->data, x->bytes);
        o->flows++;
    }
    return HEED_OK;
}

/* What is seen to flow out of the last layer is what the network gives where no norm follows, and a
 * session that took what another one has read goes on with its bits. */
static void test_watched(void **unused)
{
    static const char *const wirings[] = {"pre", "post", "sandwich", "parallel", "deepnorm"};
    static const int32_t tokens[] = {1, 5, 2, 9, 4, 7};
    enum { WIDTH = 16, N = 6, LAYERS = 2 };
    (void)unused;
    for (size_t i = 0; i < sizeof wirings / sizeof *wirings; i++) {
        char spec[320];
        float whole[N * WIDTH], rest[2 * WIDTH], twins[2 * WIDTH];
        onlooker o = {0};
        snprintf(
            spec, sizeof spec,
            "vocab=13; width=16; layers=2; heads=2; norm=layer; final_norm=none; residual=%s; "
            "attention=[softmax(causal=true), linear(causal=true)]; feedforward=gelu(hidden=24); "
            "output=hidden",
            wirings[i]);
        network n = open_network(engine, spec, 1);
        n.session->watch = (session_watch){look, &o};
        if (heed_session_feed(n.session, tokens, N, whole, N, &e)) fail_msg("%s", e.text);
        n.session->watch = (session_watch){0};
        assert_int_equal(o.flows, LAYERS + 1);
        assert_int_equal(o.steps, n.stack->tail);
        if (memcmp(o.last, whole, sizeof whole)) fail_msg("%s: another stream is seen", wirings[i]);
        heed_session *twin = heed_session_new(n.stack, &e);
        assert_non_null(twin);
        if (heed_session_reset(n.session, &e) ||
            heed_session_feed(n.session, tokens, N - 2, NULL, 0, &e) ||
            session_take(twin, n.session, &e) ||
            heed_session_feed(n.session, tokens + N - 2, 2, rest, 2, &e) ||
            heed_session_feed(twin, tokens + N - 2, 2, twins, 2, &e))
            fail_msg("%s: %s", wirings[i], e.text);
        assert_memory_equal(twins, rest, sizeof rest);
        heed_session_free(twin);
        close_network(&n);
    }
}

static void test_refused(void **unused)
{
    static const struct {
        const char *spec, *says;
    } wrong[] = {
        {DEEP "attention=gated_delta(causal=true)",
         "column 91: attention/gated_delta(gate=given) takes its input gate as it is, and a "
         "network "
         "makes it by a projection, which gives any number: gate=softplus is right here"},
        {DEEP "attention=retention(gate=given, causal=true)", "gate=sigmoid is right here"},
        {DEEP "attention=fast_weight(beta=given, causal=true)", "beta=sigmoid is right here"},
        {PAIR("gau"), "attention/gau has no input k, so it can not be cross-attention, which takes "
                      "queries, keys and values"},
        {PAIR("softmax(causal=true)"), "cross-attention sees the whole encoded text"},
        {PAIR("shaw(distances=9)"), "the scores of attention/shaw go by how far a key is"},
        {PAIR("softmax(position=alibi)"), "the scores of attention/softmax go by how far a key is"},
        {NET "attention=[softmax(causal=true), linear(causal=true)]; feedforward=none; shared=true",
         "so attention takes one op, not a list"},
        {PAIR("synthesizer_random"), "attention/synthesizer_random has no input q"},
        {PAIR("transformer_xl"), "attention/transformer_xl"},
        {PAIR("softmax; types=2"), "token types are of a network of one stack"},
        {PAIR("sparse(stride=4)"),
         "attention/sparse sees no token behind its own, whatever the mask, so it can not "
         "be cross-attention"},
        {NET "attention=softmax(causal=true); feedforward=none; cross_attention=softmax; "
             "encoder_layers=1; encoder_attention=sparse(stride=4)",
         "so it can not be in an encoder"},
        {NET "attention=softmax(causal=true); feedforward=none; encoder_layers=2",
         "an encoder needs the key encoder_attention as well"},
        {NET "attention=softmax(causal=true); feedforward=none; encoder_norm=rms",
         "encoder_norm is of a network with an encoder, which encoder_layers makes"},
        {NET "attention=softmax; feedforward=none; residual=duel",
         "residual takes pre, post, dual, sandwich, parallel or deepnorm, not \"duel\""},
        {NET "attention=softmax; feedforward=none; output=hidden; tied=true",
         "tied=true is of logits, and this network's output is another"},
        {NET "attention=softmax; feedforward=none; position=[rope x3]",
         "position lists more ops than there are layers, 2"},
        {NET "attention=softmax; feedforward=none; final_norm=[rms]", "final_norm takes one op"},
        {NET "attention=softmax; feedforward=none; softcap=0", "softcap is 0"},
        {NET "attention=softmax; feedforward=none; classes=3",
         "classes is of hidden states or of a row of them all, and this network's output is "
         "logits"},
        {NET "attention=softmax; feedforward=none; pooler=true", "pooler=true is of hidden states"},
        {NET "attention=softmax; feedforward=none; halting=act; residual=dual",
         "a token has one state to keep when it halts, and residual=dual has two streams"},
        {"vocab=13; width=16; layers=1; heads=4; norm=rms; attention=softmax; feedforward=none; "
         "halting=act",
         "column 95: halting is between layers, and there is one"},
        {NET "attention=synthesizer_dense; feedforward=none; halting=act",
         "attention/synthesizer_dense"},
        {NET "attention=softmax; feedforward=none; halting=akt",
         "no halting op is called \"akt\"; nearest is \"act\""},
        {NET "attention=softmax; feedforward=relu(hidden=8); router=top_k",
         "router/top_k: how many experts there are is not known; experts=N tells"},
        {NET "attention=softmax; feedforward=relu(hidden=8); router=top_k(experts=3, k=4)",
         "k is 4, more than there are experts, 3"},
        {NET "attention=softmax; feedforward=none; router=top_k(experts=3)",
         "a router needs a feed-forward"},
        {NET "attention=softmax; feedforward=relu(hidden=8); shared_experts=1",
         "shared_experts is of layers with a router"},
        {NET "attention=softmax; feedforward=relu(hidden=8); shared_gate=gate",
         "shared_gate is of shared_experts, and there are none"},
        {DEEP "attention=softmax; kv_heads=[2, 3]",
         "kv_heads is 3, which does not divide heads, 4"},
        {DEEP "attention=softmax; kv_heads=[2, 4, 4]",
         "kv_heads lists more numbers than there are layers, 2"},
        {NET "attention=softmax; feedforward=none; qk_repeat=3",
         "qk_repeat is 3, which does not divide kv_heads, 2"},
        {NET "attention=softmax; feedforward=none; shared=true; value_width=[4, 8]",
         "so value_width takes one number, not a list"},
        {NET "attention=softmax(causal=true); feedforward=none; head_width=[4, 8]; position=rope",
         "a list, position=[position/rope], is right here"},
        {NET "attention=gau(causal=true); feedforward=none; output_gate=softcap",
         "output_gate takes an op with an input gate, and activation/softcap has none"},
        {NET "attention=softmax(causal=true); feedforward=none; convolution=short",
         "convolution/short"},
        {DEEP "attention=softmax(causal=true); shared=true; halting=act; convolution=short(kernel=3)",
         "goes over the rows of all tokens, and tokens of this network halt"},
        {PAIR("softmax; value_width=[4, 2]"), "value_width takes one number where there is an encoder"},
        {NET "attention=softmax; feedforward=none; output=hidden; auxiliary=1",
         "auxiliary classifiers are of logits, and this network's output is another"},
    };
    (void)unused;
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        heed_weights *w = heed_weights_random(engine, wrong[i].spec, 7, &e);
        heed_stack *s = w ? heed_stack_open(engine, wrong[i].spec, w, &e) : NULL;
        if (s || !strstr(e.text, wrong[i].says))
            fail_msg("%s: \"%s\" is not said in \"%s\"", wrong[i].spec, wrong[i].says, e.text);
        heed_weights_close(w);
    }
}

/* biases=true asks for biases, of random weights too; DeepNorm draws v, o and the feed-forward
 * smaller, by (8 layers)^(-1/4). */
static void test_weights(void **unused)
{
    (void)unused;
    heed_weights *w = heed_weights_random(engine,
                                          NET "attention=softmax; feedforward=relu(hidden=8); "
                                              "biases=true; residual=deepnorm",
                                          3, &e);
    heed_weights *plain = heed_weights_random(engine,
                                              NET "attention=softmax; "
                                                  "feedforward=relu(hidden=8)",
                                              3, &e);
    static const char *const names[] = {"layers.1.q.weight", "layers.1.v.weight",
                                        "layers.0.feedforward.up", "layers.0.o.weight"};
    assert_non_null(heed_weights_find(w, "layers.1.q.bias"));
    assert_non_null(heed_weights_find(w, "layers.0.feedforward.down_bias"));
    assert_null(heed_weights_find(w, "output.bias"));
    assert_null(heed_weights_find(w, "final_norm.gain"));
    assert_null(heed_weights_find(plain, "layers.1.q.bias"));
    for (int i = 0; i < 4; i++) {
        const float *a = heed_weights_find(w, names[i])->data,
                    *b = heed_weights_find(plain, names[i])->data;
        assert_true(fabsf(a[3] / b[3] - (i ? 0.5f : 1.0f)) < 1e-6f); /* 16^(-1/4) */
    }
    heed_weights_close(w);
    heed_weights_close(plain);
}

/* Layers that share their weights: what a network gives whose layers all have copies of them, whole
 * and in parts. */
static void test_shared(void **unused)
{
    static const char *const cases[] = {
        DEEP "attention=softmax(causal=true); biases=true; position=rope",
        DEEP "attention=transformer_xl(causal=true, memory=30); residual=dual",
        DEEP "attention=softmax(causal=true); context=40; position=[learned]",
        DEEP "attention=softmax(causal=true); position=[t5(buckets=8)]; qk_norm=rms",
        DEEP "attention=softmax(causal=true); cross_attention=softmax; encoder_layers=3; "
             "encoder_attention=softmax",
    };
    enum { COUNT = 30 };
    static float shared[MOST], apart[MOST], parts[MOST];
    int32_t tokens[COUNT];
    (void)unused;
    for (int i = 0; i < COUNT; i++) tokens[i] = i * i * 5 % 20;
    for (size_t k = 0; k < sizeof cases / sizeof *cases; k++) {
        char spec[512];
        const int sources = strstr(cases[k], "cross") ? 11 : 0;
        snprintf(spec, sizeof spec, "%s; shared=true", cases[k]);
        network one = open_network(engine, spec, 1), all = open_network(engine, cases[k], 1);
        for (uint32_t i = 0; i < heed_weights_count(all.weights); i++) {
            char name[160];
            const char *own = heed_weights_name(all.weights, i), *layer = strstr(own, "layers.");
            heed_tensor *to = heed_weights_find(all.weights, own);
            snprintf(name, sizeof name, "%s", own);
            if (layer && !strstr(own, "position.")) name[layer - own + 7] = '0';
            const heed_tensor *from = heed_weights_find(one.weights, name);
            if (!from) fail_msg("%s: there is no tensor %s", spec, name);
            memcpy(to->data, from->data, (size_t)heed_tensor_elements(to) * sizeof(float));
        }
        network copies = {.weights = all.weights};
        heed_session_free(all.session), heed_stack_close(all.stack);
        copies.stack = heed_stack_open(engine, cases[k], copies.weights, &e);
        copies.session = copies.stack ? heed_session_new(copies.stack, &e) : NULL;
        if (!copies.session) fail_msg("%s", e.text);
        const size_t bytes = sizeof(float) * COUNT * (size_t)heed_stack_outputs(one.stack);
        assert_true(bytes <= sizeof shared);
        assert_true(heed_weights_count(one.weights) < heed_weights_count(copies.weights));
        run(&one, tokens, sources, tokens, COUNT, COUNT, COUNT, shared);
        run(&copies, tokens, sources, tokens, COUNT, COUNT, COUNT, apart);
        if (memcmp(shared, apart, bytes)) fail_msg("%s: other results than of copies", spec);
        for (int chunk = 1; chunk < 8; chunk += 6) {
            run(&one, tokens, sources, tokens, COUNT, chunk, COUNT, parts);
            if (memcmp(shared, parts, bytes)) fail_msg("%s: in chunks of %d", spec, chunk);
        }
        close_network(&one);
        close_network(&copies);
    }
}

/* ---- tokens that halt ---- */

#define HALTING                                                                                    \
    "vocab=24; width=32; layers=5; heads=4; kv_heads=2; norm=rms; feedforward=swiglu(hidden=48); " \
    "halting="

/* A text with runs of one token, so that many in a row halt early. */
static int make_runs(int32_t *tokens, int count)
{
    for (int i = 0; i < count; i++) tokens[i] = i % 60 < 35 ? 3 : i * i * 7 % 24;
    return count;
}

/* Whole, in parts and token by token: by every kind of attention, with positions of each kind. A text
 * that is followed by another has the bits that it has alone. */
static void test_halting(void **unused)
{
    static const char *const cases[] = {
        HALTING "act; shared=true; attention=softmax(causal=true); position=rope",
        HALTING "act; shared=true; attention=softmax(causal=true, window=20); position=alibi",
        HALTING "act(epsilon=0.2); shared=true; attention=softmax(causal=true); context=200; "
                "position=[learned]",
        HALTING
        "act; attention=[window(left=8, causal=true), softmax(causal=true)]; residual=sandwich",
        HALTING "act; shared=true; attention=linear(causal=true); residual=parallel",
        HALTING "act; shared=true; attention=retention(causal=true); residual=post",
        HALTING "act; shared=true; attention=gau(causal=true); residual=deepnorm",
        HALTING "act; shared=true; attention=softmax(causal=true); router=top_k(experts=4)",
    };
    enum { COUNT = 190 };
    static float whole[COUNT * 24], parts[COUNT * 24];
    int32_t tokens[COUNT];
    (void)unused;
    make_runs(tokens, COUNT);
    for (size_t k = 0; k < sizeof cases / sizeof *cases; k++) {
        network n = open_network(engine, cases[k], 0);
        double steps, rest, again;
        run(&n, NULL, 0, tokens, COUNT, COUNT, COUNT, whole);
        assert_int_equal(heed_session_ponder(n.session, 0, &steps, &rest), COUNT);
        if (!(steps > 1.2 * COUNT && steps < 4.8 * COUNT))
            fail_msg("%s: %g steps", cases[k], steps);
        for (int i = 0; i < COUNT * 24; i++) assert_true(isfinite(whole[i]));
        for (int chunk = 1; chunk < COUNT; chunk += 63) {
            run(&n, NULL, 0, tokens, COUNT, chunk, COUNT, parts);
            if (memcmp(whole, parts, sizeof whole))
                fail_msg("%s: in chunks of %d", cases[k], chunk);
        }
        assert_int_equal(heed_session_ponder(n.session, 0, &again, &rest), 4 * COUNT);
        assert_true(again == 4 * steps);
        close_network(&n);
    }
}

/* As qwen3_next has them, with sizes that are no multiples of anything. */
#define HYBRID                                                                                     \
    "vocab=24; width=32; layers=4; heads=[6 x3, 4]; kv_heads=[6 x3, 2]; head_width=[5 x3, 8]; "     \
    "value_width=[7 x3, 8]; qk_repeat=[3 x3, 1]; norm=rms(offset=1); "                             \
    "attention=[gated_delta(gate=softplus, causal=true) x3, softmax(causal=true)]; "               \
    "convolution=[short(kernel=4) x3, none]; qk_norm=[none x3, rms(offset=1)]; "                   \
    "position=[none x3, rope(width=4)]; head_norm=[rms x3, none]; "                                \
    "output_gate=[gate(function=silu) x3, gate]; feedforward=swiglu(hidden=24); "                  \
    "router=[top_k(experts=5) x3, none]; shared_experts=1; "                                       \
    "shared_feedforward=swiglu(hidden=20); shared_gate=gate"

/* Several texts at once through a network with experts, or whose tokens halt: the bits of each alone. */
static void test_many(void **unused)
{
    static const char *const cases[] = {
        DEEP "attention=softmax(causal=true); router=[none, top_k(experts=5)]; shared_experts=1",
        DEEP "attention=softmax(causal=true); shared=true; halting=act",
        HYBRID,
    };
    enum { MANY = 3 };
    static const int64_t count[MANY] = {7, 1, 30};
    int32_t text[30];
    const int32_t *tokens[MANY] = {text, text, text};
    float row[MANY][24], alone[24], *logits[MANY] = {row[0], row[1], row[2]};
    (void)unused;
    make_runs(text, 30);
    for (size_t k = 0; k < sizeof cases / sizeof *cases; k++) {
        network n = open_network(engine, cases[k], 0);
        heed_session *many[MANY];
        for (int i = 0; i < MANY; i++) assert_non_null(many[i] = heed_session_new(n.stack, &e));
        if (heed_session_feed_many(many, MANY, tokens, count, logits, &e)) fail_msg("%s", e.text);
        for (int i = 0; i < MANY; i++) {
            if (heed_session_reset(n.session, &e) ||
                heed_session_feed(n.session, text, count[i], alone, 1, &e))
                fail_msg("%s", e.text);
            assert_memory_equal(alone, row[i], sizeof alone);
            heed_session_free(many[i]);
        }
        close_network(&n);
    }
}

/* ---- layers of two kinds ---- */

/* Whole, in parts and token by token, on every path: past pages of the convolution, and chunks of the
 * delta rule. */
static void test_hybrid(void **unused)
{
    enum { COUNT = 150 };
    static float whole[COUNT * 24], parts[COUNT * 24];
    int32_t tokens[COUNT];
    const char *isa;
    (void)unused;
    make_runs(tokens, COUNT);
    network n = open_network(engine, HYBRID, 0);
    run(&n, NULL, 0, tokens, COUNT, COUNT, COUNT, whole);
    for (int i = 0; i < COUNT * 24; i++) assert_true(isfinite(whole[i]));
    for (int chunk = 1; chunk < COUNT; chunk += 36) {
        run(&n, NULL, 0, tokens, COUNT, chunk, COUNT, parts);
        if (memcmp(whole, parts, sizeof whole)) fail_msg("in chunks of %d", chunk);
    }
    for (uint32_t p = 0; (isa = cpu_path(engine->features & ~(uint64_t)CPU_INEXACT, p)); p++) {
        heed_options o = {.size = sizeof o, .threads = 1 + 2 * (p % 2), .isa = isa};
        heed_engine *with = heed_engine_new(&o, &e);
        if (!with) fail_msg("%s", e.text);
        network other = open_network(with, HYBRID, 0);
        run(&other, NULL, 0, tokens, COUNT, 40, COUNT, parts);
        if (memcmp(whole, parts, sizeof whole)) fail_msg("other bits on %s", isa);
        close_network(&other);
        heed_engine_free(with);
    }
    close_network(&n);
}

/* Cut back, forked, and read as a tree: what comes after has the bits of a text that was never
 * longer. */
static void test_hybrid_back(void **unused)
{
    enum { COUNT = 90, BACK = 20 };
    static float whole[COUNT * 24];
    float again[24], branch[3 * 24];
    int32_t tokens[COUNT];
    (void)unused;
    make_runs(tokens, COUNT);
    network n = open_network(engine, HYBRID, 0);
    run(&n, NULL, 0, tokens, COUNT, COUNT, COUNT, whole);
    if (heed_session_truncate(n.session, COUNT - BACK, &e)) fail_msg("%s", e.text);
    heed_session *twin = heed_session_fork(n.session, &e);
    if (!twin || heed_session_feed(n.session, tokens + COUNT - BACK, BACK, again, 1, &e))
        fail_msg("%s", e.text);
    assert_memory_equal(again, whole + (COUNT - 1) * 24, sizeof again);
    const int32_t leaves[3] = {tokens[COUNT - BACK], 5, tokens[COUNT - BACK + 1]},
                  parents[3] = {-1, -1, 0};
    heed_tree *tree = heed_tree_read(twin, leaves, parents, 3, branch, &e);
    if (!tree) fail_msg("%s", e.text);
    assert_memory_equal(branch, whole + (COUNT - BACK) * 24, sizeof again);
    assert_memory_equal(branch + 2 * 24, whole + (COUNT - BACK + 1) * 24, sizeof again);
    heed_tree_free(tree);
    heed_session_free(twin);
    close_network(&n);
}

/* With a bias that says so every token halts in the first layer: the network is that of one layer, bit for
 * bit, and no row runs on. */
static void test_halting_at_once(void **unused)
{
    static const char *const spec = HALTING "act; shared=true; attention=softmax(causal=true)",
                             *const single =
                                 "vocab=24; width=32; layers=1; heads=4; kv_heads=2; norm=rms; "
                                 "feedforward=swiglu(hidden=48); attention=softmax(causal=true)";
    static const int32_t tokens[] = {1, 5, 2, 9, 4, 7};
    float halted[6 * 24], one[6 * 24];
    double steps, rest;
    (void)unused;
    network n = open_network(engine, single, 0);
    run(&n, NULL, 0, tokens, 6, 6, 6, one);
    close_network(&n);
    n.weights = heed_weights_random(engine, spec, 5, &e);
    ((float *)heed_weights_find(n.weights, "halting.bias")->data)[0] = 1e4f;
    n.stack = heed_stack_open(engine, spec, n.weights, &e);
    n.session = n.stack ? heed_session_new(n.stack, &e) : NULL;
    if (!n.session) fail_msg("%s", e.text);
    for (int chunk = 6; chunk > 0; chunk -= 5) {
        run(&n, NULL, 0, tokens, 6, chunk, 6, halted);
        assert_memory_equal(halted, one, sizeof one);
        assert_int_equal(n.session->running, 0);
    }
    assert_int_equal(heed_session_ponder(n.session, 0, &steps, &rest), 12);
    assert_true(steps == 12 && rest == 12);
    close_network(&n);
}

static int setup(void **unused)
{
    char path[4096];
    heed_options o = {.size = sizeof o, .threads = 2};
    (void)unused;
    snprintf(path, sizeof path, "%s/models/networks.json", getenv("SRC") ? getenv("SRC") : ".");
    reference = json_load_file(path, 0, NULL);
    engine = heed_engine_new(&o, &e);
    read_tokens("types", types);
    return !reference || !engine;
}

static int teardown(void **unused)
{
    (void)unused;
    json_decref(reference);
    heed_engine_free(engine);
    harness_end();
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reference), cmocka_unit_test(test_bits),
        cmocka_unit_test(test_cross),     cmocka_unit_test(test_sessions),
        cmocka_unit_test(test_canonical), cmocka_unit_test(test_gates),
        cmocka_unit_test(test_saved),     cmocka_unit_test(test_watched),
        cmocka_unit_test(test_refused),   cmocka_unit_test(test_weights),
        cmocka_unit_test(test_shared),    cmocka_unit_test(test_many),
        cmocka_unit_test(test_halting),   cmocka_unit_test(test_halting_at_once),
        cmocka_unit_test(test_hybrid),    cmocka_unit_test(test_hybrid_back),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
