/* SPDX-License-Identifier: MIT
 *
 * test_stack.c: networks from specs: the canonical text, every error, the wiring against the same ops run by hand, and
 * sessions: feeds in parts, logits of the last tokens, failures that are taken back.
 *
 * The model is a small one with random weights, written to a file here. Truth about the numbers of a trained model is
 * models/reference.json.
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

#include "model/session.h"
#include "op/spec.h"

enum { V = 24, M = 16, LAYERS = 3, H = 4, G = 2, D = 4, F = 20, LONG = 1100 };

#define SIZES "vocab=24; width=16; layers=3; heads=4; kv_heads=2; "
#define OPS "norm=rms; attention=softmax(causal=true); position=rope; feedforward=swiglu; tied=true"
#define CANONICAL_OPS                                                                                                  \
    "norm=norm/rms; attention=attention/softmax(causal=true); position=position/rope; "                                \
    "feedforward=feedforward/swiglu; tied=true"

static heed_engine *engine;
static heed_error e;

/* ---- a model ---- */

typedef struct edit {
    const char *from, *to; /* tensor `from` is called `to`; NULL: it is left out, or is one more */
} edit;

static double next_random(uint64_t *state)
{
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    return (double)(*state >> 33) / 0x1p30 - 1;
}

static void add(char *header, float *data, size_t *n, uint64_t *state, const edit *change, const char *name, int rows,
                int columns)
{
    size_t count = (size_t)(rows ? rows : 1) * (size_t)columns;
    if (change && change->from && !strcmp(name, change->from)) {
        if (!change->to) return;
        name = change->to;
    }
    size_t at = strlen(header);
    at += (size_t)sprintf(header + at, "%s\"%s\":{\"dtype\":\"F32\",\"shape\":[", at > 1 ? "," : "", name);
    at += (size_t)(rows ? sprintf(header + at, "%d,%d", rows, columns) : sprintf(header + at, "%d", columns));
    sprintf(header + at, "],\"data_offsets\":[%zu,%zu]}", *n * 4, (*n + count) * 4);
    for (size_t i = 0; i < count; i++) data[(*n)++] = (float)((rows ? 0 : 1) + next_random(state) * (rows ? 0.5 : 0.1));
}

static heed_weights *model(const edit *change)
{
    static char header[16384], name[64];
    static float data[1 << 16];
    static const struct { const char *name; int rows, columns; } layer[] = {
        {"attention_norm.gain", 0, M}, {"q.weight", H * D, M},   {"k.weight", G * D, M},
        {"v.weight", G * D, M},        {"o.weight", M, H * D},   {"feedforward_norm.gain", 0, M},
        {"feedforward.gate", F, M},    {"feedforward.up", F, M}, {"feedforward.down", M, F},
    };
    uint64_t state = 1, length;
    size_t n = 0;
    strcpy(header, "{");
    add(header, data, &n, &state, change, "embed.table", V, M);
    add(header, data, &n, &state, change, "final_norm.gain", 0, M);
    for (int l = 0; l < LAYERS; l++)
        for (size_t i = 0; i < sizeof layer / sizeof *layer; i++) {
            sprintf(name, "layers.%d.%s", l, layer[i].name);
            add(header, data, &n, &state, change, name, layer[i].rows, layer[i].columns);
        }
    if (change && !change->from) add(header, data, &n, &state, NULL, change->to, 0, M);
    strcat(header, "}");
    while (strlen(header) % 8) strcat(header, " ");
    length = strlen(header);

    char path[] = "/tmp/heed-stack.XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, &length, 8), 8);
    assert_int_equal(write(fd, header, length), length);
    assert_int_equal(write(fd, data, n * 4), n * 4);
    close(fd);
    heed_weights *w = heed_weights_open(path, &e);
    unlink(path);
    if (!w) fail_msg("%s", e.text);
    return w;
}

static heed_weights *weights; /* without an edit */

static heed_stack *open_stack(const char *spec)
{
    heed_stack *s = heed_stack_open(engine, spec, weights, &e);
    if (!s) fail_msg("%s: %s", spec, e.text);
    return s;
}

static heed_session *open_session(heed_stack *s)
{
    heed_session *session = heed_session_new(s, &e);
    if (!session) fail_msg("%s", e.text);
    return session;
}

static void some_tokens(int32_t *tokens, int n)
{
    uint64_t state = 7;
    for (int i = 0; i < n; i++) tokens[i] = (int32_t)((next_random(&state) + 1) / 2 * V);
}

/* ---- specs ---- */

static void test_canonical(void **unused)
{
    static const struct { const char *text, *canonical; } rows[] = {
        {SIZES OPS, SIZES CANONICAL_OPS},
        {"tied=true;feedforward=swiglu;position=rope ; attention = [softmax(causal=true) x3];\n"
         "norm=rms;kv_heads=2;heads=4;layers=3;width=16;vocab=24",
         SIZES CANONICAL_OPS},
        {SIZES "head_width=4; context=0; residual=pre; " OPS, SIZES CANONICAL_OPS},
        {SIZES "norm=rms; attention=[softmax(causal=true) x2, softmax]; feedforward=swiglu(hidden=20); position=alibi; "
               "tied=true",
         SIZES "norm=norm/rms; attention=[attention/softmax(causal=true) x2, attention/softmax]; "
               "position=position/alibi; feedforward=feedforward/swiglu(hidden=20); tied=true"},
        {SIZES "norm=rms; attention=[softmax(causal=true), softmax]; feedforward=swiglu; tied=true",
         SIZES "norm=norm/rms; attention=[attention/softmax(causal=true), attention/softmax]; "
               "feedforward=feedforward/swiglu; tied=true"},
    };
    (void)unused;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        heed_stack *s = open_stack(rows[i].text);
        assert_string_equal(heed_stack_spec(s), rows[i].canonical);
        heed_stack *again = open_stack(heed_stack_spec(s));
        assert_string_equal(heed_stack_spec(again), rows[i].canonical);
        assert_int_equal(heed_stack_number(s, "kv_heads"), 2);
        assert_int_equal(heed_stack_number(s, "context"), -1);
        assert_int_equal(heed_stack_number(s, "nonsense"), -1);
        heed_stack_close(s);
        heed_stack_close(again);
    }
}

static void test_wrong(void **unused)
{
    static const struct {
        const char *spec, *says;
    } rows[] = {
        {"", "the spec is empty"},
        {"vocab=24", "the key width is missing"},
        {SIZES OPS "; contxt=4", "unknown key \"contxt\" of a stack; nearest is context"},
        {SIZES OPS "; contxt=4", "nearest is context; it takes vocab, width, layers, heads, "},
        {SIZES OPS "; dropout=4",
         "unknown key \"dropout\" of a stack; it takes vocab, width, layers, heads, "},
        {SIZES OPS "; residual=past", "residual takes pre, post, dual, sandwich, parallel or "},
        {SIZES OPS "; layers=3", "given twice"},
        {SIZES OPS "; head_width=0", "head_width is 0"},
        {SIZES OPS "; bos=24", "bos is 24"},
        {SIZES "norm=rms; attention=softmaks; feedforward=swiglu", "nearest is \"softmax\""},
        {SIZES "norm=rms; attention=norm/rms; feedforward=swiglu",
         "attention takes an op of kind attention, not norm/rms"},
        {SIZES "norm=rms; final_norm=[rms]; attention=softmax; feedforward=swiglu",
         "final_norm takes one op, not a list"},
        {SIZES "norm=rms; attention=[softmax x4]; feedforward=swiglu",
         "more ops than there are layers"},
        {SIZES "norm=rms; attention=softmax(position=alibi); position=alibi; feedforward=swiglu",
         "has a position op of its own"},
        {SIZES "norm=rms; attention=softmax(position=rope); feedforward=swiglu; tied=true",
         "does not act on scores"},
        {"vocab=24; width=16; layers=3; heads=3; norm=rms; attention=softmax; feedforward=swiglu",
         "3 heads do not divide the width 16, so head_width must be given\n"},
        {"heads=6; vocab=24; width=16; layers=3; norm=rms; attention=softmax; feedforward=swiglu",
         "spec, line 1, column 7: 6 heads do not divide the width 16"},
        {"heads=4; kv_heads=3; vocab=24; width=16; layers=3; " OPS,
         "spec, line 1, column 19: kv_heads is 3, which does not divide heads, 4\n"},
        {"vocab=24; width=16; layers=3; kv_heads=8; heads=4; " OPS,
         "column 40: kv_heads is 8, which does not divide"},
        {"kv_heads=3; heads=4; head_width=8; vocab=24; width=16; layers=3; " OPS,
         "column 10: kv_heads is 3"},
        {"vocab=24; width=16; layers=3;\nheads=3;\nkv_heads=2;\n" OPS,
         "line 3, column 10: kv_heads is 2, which does not divide heads, 3\n  kv_heads=2;\n        "
         "   ^"},
        {"vocab=24; width=16; layers=4; heads=4; kv_heads=2; " OPS,
         "no tensor \"layers.3.q.weight\" of the shape [16, 16]"},
        {"vocab=24; width=16; layers=2; heads=4; kv_heads=2; " OPS,
         "\"layers.2.attention_norm.gain\" that nothing in this network uses"},
        {"vocab=24; width=16; layers=3; heads=4; " OPS,
         "layers.0.k: linear/projection: port weight: axis N is 8, but it is known to be 16"},
        {SIZES "residual=post; " OPS, "\"final_norm.gain\" that nothing in this network uses"},
        {SIZES "norm=rms; attention=softmax; feedforward=swiglu(hidden=21); tied=true",
         "axis F is 20, but it is known to be 21"},
        {SIZES "norm=rms; attention=softmax; feedforward=swiglu",
         "no tensor \"output.weight\" of the shape [24, 16]"},
    };
    (void)unused;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        assert_null(heed_stack_open(engine, rows[i].spec, weights, &e));
        if (!strstr(e.text, rows[i].says)) fail_msg("%s: not \"%s\" but \"%s\"", rows[i].spec, rows[i].says, e.text);
        assert_null(heed_stack_open(engine, rows[i].spec, weights, NULL));
    }
    assert_null(heed_stack_open(engine, NULL, weights, &e));
    assert_non_null(strstr(e.text, "heed.spec"));
}

static void test_tensor_names(void **unused)
{
    static const struct { edit change; const char *says; } rows[] = {
        {{"layers.1.q.weight", "layers.1.q.wieght"},
         "no tensor \"layers.1.q.weight\" of the shape [16, 16], weight of linear/projection; "
         "nearest of those that nothing uses is \"layers.1.q.wieght\""},
        {{"layers.1.attention_norm.gain", "layers.1.attenton_norm.gain"},
         "nearest of those that it could use is \"layers.1.attention_norm.gain\""},
        {{"layers.2.feedforward.down", NULL},
         "no tensor \"layers.2.feedforward.down\" of the shape [16, 20], down of feedforward/swiglu"},
        {{NULL, "layers.0.o.bais"}, "nearest of those that it could use is \"layers.0.o.bias\""},
    };
    (void)unused;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        heed_weights *w = model(&rows[i].change);
        assert_null(heed_stack_open(engine, SIZES OPS, w, &e));
        if (!strstr(e.text, rows[i].says)) fail_msg("not \"%s\" but \"%s\"", rows[i].says, e.text);
        heed_weights_close(w);
    }
    edit no_final = {"final_norm.gain", NULL}; /* post has none */
    heed_weights *post = model(&no_final);
    heed_stack *p = heed_stack_open(engine, SIZES "context=9; residual=post; bos=3; norm=rms; attention=softmax; "
                                    "feedforward=[swiglu, swiglu]; position=none; tied=true", post, &e);
    assert_non_null(p);
    assert_string_equal(heed_stack_spec(p), SIZES "context=9; residual=post; norm=norm/rms; "
                        "attention=attention/softmax; feedforward=feedforward/swiglu; tied=true; bos=3");
    heed_stack_close(p);
    heed_weights_close(post);
    edit bias = {NULL, "layers.0.o.bias"}; /* an optional one is used where it is there */
    heed_weights *w = model(&bias);
    heed_stack *s = heed_stack_open(engine, SIZES OPS, w, &e);
    assert_non_null(s);
    heed_stack_close(s);
    heed_weights_close(w);
}

/* ---- the wiring, by hand ---- */

/* out = op(x, y), with one weight; x, y and out are rows of the widths given. y and weight may be absent. */
static void apply(const char *spec, const char *port, const char *tensor, const char *xs, heed_tensor x, const char *ys,
                  heed_tensor *y, heed_tensor out)
{
    heed_binding bound = {port, tensor ? heed_weights_find(weights, tensor) : NULL};
    heed_opening opening = {.size = sizeof opening, .n_weights = tensor != NULL, .weights = &bound};
    heed_instance *i = heed_instance_open(engine, spec, &opening, &e);
    heed_binding in[] = {{xs, &x}, {ys, y}}, to = {"out", &out};
    if (!i || heed_run(i, in, y ? 2 : 1, &to, 1, NULL, &e)) fail_msg("%s", e.text);
    heed_instance_close(i);
}

static void by_hand(const int32_t *tokens, int n, float *logits)
{
    static float xs[64 * M], hs[64 * M], ys[64 * M], qs[64 * M], ks[64 * G * D], vs[64 * G * D], as[64 * M];
    char name[5][64];
#define ROWS(data, width) heed_tensor_of(data, HEED_F32, 3, (int64_t[]){1, n, width})
#define HEADS(data, heads) heed_tensor_of(data, HEED_F32, 4, (int64_t[]){1, n, heads, D})
    heed_tensor x = ROWS(xs, M), h = ROWS(hs, M), y = ROWS(ys, M);
    apply("embed/table", "table", "embed.table", "tokens",
          heed_tensor_of((void *)tokens, HEED_I32, 2, (int64_t[]){1, n}), NULL, NULL, x);
    for (int l = 0; l < LAYERS; l++) {
        static const char *const what[] = {"attention_norm.gain", "q.weight", "k.weight", "v.weight", "o.weight"};
        for (int i = 0; i < 5; i++) sprintf(name[i], "layers.%d.%s", l, what[i]);
        apply("norm/rms", "gain", name[0], "x", x, NULL, NULL, h);
        apply("linear/projection", "weight", name[1], "x", h, NULL, NULL, ROWS(qs, H * D));
        apply("linear/projection", "weight", name[2], "x", h, NULL, NULL, ROWS(ks, G * D));
        apply("linear/projection", "weight", name[3], "x", h, NULL, NULL, ROWS(vs, G * D));
        heed_tensor q = HEADS(qs, H), k = HEADS(ks, G), v = HEADS(vs, G), a = HEADS(as, H), gate, up, down;
        apply("position/rope", NULL, NULL, "x", q, NULL, NULL, q);
        apply("position/rope", NULL, NULL, "x", k, NULL, NULL, k);
        heed_instance *i = heed_instance_open(engine, "attention/softmax(causal=true)", NULL, &e);
        heed_binding in[] = {{"q", &q}, {"k", &k}, {"v", &v}}, out = {"out", &a};
        assert_int_equal(heed_run(i, in, 3, &out, 1, NULL, &e), 0);
        heed_instance_close(i);
        apply("linear/projection", "weight", name[4], "x", ROWS(as, H * D), NULL, NULL, y);
        apply("residual/add", NULL, NULL, "x", x, "y", &y, x);
        sprintf(name[0], "layers.%d.feedforward_norm.gain", l);
        apply("norm/rms", "gain", name[0], "x", x, NULL, NULL, h);
        sprintf(name[1], "layers.%d.feedforward.gate", l);
        sprintf(name[2], "layers.%d.feedforward.up", l);
        sprintf(name[3], "layers.%d.feedforward.down", l);
        gate = *heed_weights_find(weights, name[1]);
        up = *heed_weights_find(weights, name[2]);
        down = *heed_weights_find(weights, name[3]);
        heed_binding w[] = {{"gate", &gate}, {"up", &up}, {"down", &down}}, hin = {"x", &h}, yout = {"out", &y};
        heed_opening opening = {.size = sizeof opening, .n_weights = 3, .weights = w};
        heed_instance *f = heed_instance_open(engine, "feedforward/swiglu", &opening, &e);
        assert_int_equal(heed_run(f, &hin, 1, &yout, 1, NULL, &e), 0);
        heed_instance_close(f);
        apply("residual/add", NULL, NULL, "x", x, "y", &y, x);
    }
    apply("norm/rms", "gain", "final_norm.gain", "x", x, NULL, NULL, h);
    apply("linear/projection", "weight", "embed.table", "x", h, NULL, NULL, ROWS(logits, V));
}

static void test_wiring(void **unused)
{
    int32_t tokens[40];
    static float got[40 * V], right[40 * V];
    (void)unused;
    some_tokens(tokens, 40);
    heed_stack *s = open_stack(SIZES OPS);
    heed_session *session = open_session(s);
    assert_int_equal(heed_session_feed(session, tokens, 40, got, 40, &e), 0);
    by_hand(tokens, 40, right);
    assert_memory_equal(got, right, sizeof got);
    heed_session_free(session);
    heed_stack_close(s);
}

/* ---- sessions ---- */

static void test_parts(void **unused)
{
    static const int sizes[] = {1, 7, 300, 512, LONG}; /* of a feed */
    static int32_t tokens[LONG];
    static float whole[LONG * V], parts[LONG * V], last[3 * V];
    float most = 0;
    (void)unused;
    some_tokens(tokens, LONG);
    heed_stack *s = open_stack(SIZES OPS);
    heed_session *session = open_session(s);
    assert_int_equal(heed_session_feed(session, tokens, LONG, whole, LONG, &e), 0);
    for (int i = 0; i < LONG * V; i++) most = fmaxf(most, fabsf(whole[i]));
    for (size_t k = 0; k < sizeof sizes / sizeof *sizes; k++) {
        assert_int_equal(heed_session_reset(session, &e), 0);
        for (int at = 0, n; at < LONG; at += n) {
            n = LONG - at < sizes[k] ? LONG - at : sizes[k];
            assert_int_equal(heed_session_feed(session, tokens + at, n, parts + at * V, n, &e), 0);
        }
        for (int i = 0; i < LONG * V; i++) assert_true(fabsf(parts[i] - whole[i]) <= 1e-5f * most);
        if (sizes[k] >= 512) assert_memory_equal(parts, whole, sizeof whole);
    }
    assert_int_equal(heed_session_reset(session, &e), 0);
    assert_int_equal(heed_session_feed(session, tokens, 3, NULL, 0, &e), 0);
    assert_int_equal(heed_session_reset(session, &e), 0);
    /* the logits of the last rows are those of all */
    assert_int_equal(heed_session_feed(session, tokens, LONG, last, 3, &e), 0);
    for (int i = 0; i < 3 * V; i++) assert_true(fabsf(last[i] - whole[(LONG - 3) * V + i]) <= 1e-5f * most);
    assert_int_equal(heed_session_feed(session, tokens, 0, NULL, 0, &e), 0);
    heed_session_free(session);
    heed_stack_close(s);
}

static void test_failures(void **unused)
{
    static int32_t tokens[700];
    static float right[V], got[V];
    (void)unused;
    some_tokens(tokens, 700);
    heed_stack *s = open_stack(SIZES "context=700; " OPS);
    heed_session *a = open_session(s), *b = open_session(s);
    assert_int_equal(heed_session_feed(a, tokens, 20, NULL, 0, &e), 0);
    assert_int_equal(heed_session_feed(b, tokens, 20, NULL, 0, &e), 0);
    tokens[600] = V; /* in the second chunk, so that the first has run */
    assert_true(heed_session_feed(a, tokens + 20, 680, got, 1, &e) < 0);
    assert_non_null(strstr(e.text, "24"));
    assert_true(heed_session_feed(a, tokens, 681, got, 1, &e) < 0);
    assert_non_null(strstr(e.text, "more than the context of 700"));
    assert_true(heed_session_feed(a, tokens, 5, got, 6, &e) < 0);
    assert_true(heed_session_feed(a, tokens, -1, got, 0, &e) < 0);
    assert_true(heed_session_feed(a, NULL, 1, got, 0, &e) < 0);
    assert_true(heed_session_feed(a, tokens, 1, NULL, 1, NULL) < 0);
    assert_int_equal(heed_session_feed(a, tokens + 20, 30, got, 1, &e), 0);
    assert_int_equal(heed_session_feed(b, tokens + 20, 30, right, 1, &e), 0);
    assert_memory_equal(got, right, sizeof got);
    heed_session_free(a);
    heed_session_free(b);
    heed_stack_close(s);
}

/* Without a causal mask every token sees all of its feed, which is then not cut. */
static void test_not_causal(void **unused)
{
    static int32_t tokens[700];
    static float before[V], after[V];
    static float all[700 * V];
    (void)unused;
    some_tokens(tokens, 700);
    heed_stack *s = open_stack(SIZES "norm=rms; attention=softmax; feedforward=swiglu; tied=true");
    heed_session *session = open_session(s);
    assert_int_equal(heed_session_feed(session, tokens, 700, all, 700, &e), 0);
    memcpy(before, all, sizeof before);
    tokens[699] = (tokens[699] + 1) % V;
    assert_int_equal(heed_session_reset(session, &e), 0);
    assert_int_equal(heed_session_feed(session, tokens, 700, all, 700, &e), 0);
    memcpy(after, all, sizeof after);
    assert_memory_not_equal(before, after, sizeof before);
    /* in parts it would be another text: the first ones would not have seen the last */
    assert_int_equal(heed_session_reset(session, &e), 0);
    assert_int_equal(heed_session_feed(session, tokens, 699, all, 1, &e), 0);
    assert_int_equal(heed_session_feed(session, tokens + 699, 1, all, 1, &e), HEED_E_UNSUPPORTED);
    assert_non_null(strstr(e.text, "attention/softmax is not causal"));
    assert_int_equal(heed_session_reset(session, &e), 0);
    assert_int_equal(heed_session_feed(session, tokens, 700, all, 700, &e), 0);
    assert_memory_equal(all, after, sizeof after);
    heed_session_free(session);
    heed_stack_close(s);
}

/* Tokens of a prefix see each other, however long the feed is; the others do not see ahead. */
static void test_prefix(void **unused)
{
    enum { PREFIX = 900 };
    static int32_t tokens[LONG];
    static float before[LONG * V], after[LONG * V];
    (void)unused;
    some_tokens(tokens, LONG);
    heed_stack *s = open_stack(SIZES "norm=rms; position=rope; attention=softmax(causal=true, prefix=900); "
                               "feedforward=swiglu; tied=true");
    heed_session *session = open_session(s);
    for (int at = PREFIX - 1; at < PREFIX + 1; at++) {
        assert_int_equal(heed_session_reset(session, &e), 0);
        assert_int_equal(heed_session_feed(session, tokens, LONG, before, LONG, &e), 0);
        tokens[at] = (tokens[at] + 1) % V;
        assert_int_equal(heed_session_reset(session, &e), 0);
        assert_int_equal(heed_session_feed(session, tokens, LONG, after, LONG, &e), 0);
        for (int t = 0; t < LONG; t++) {
            int differs = memcmp(before + t * V, after + t * V, V * sizeof *before) != 0;
            if (differs != (at < PREFIX || t >= at))
                fail_msg("token %d %s token %d", t, differs ? "sees" : "does not see", at);
        }
    }
    /* in parts: the prefix at once, or not at all */
    assert_int_equal(heed_session_reset(session, &e), 0);
    assert_int_equal(heed_session_feed(session, tokens, PREFIX - 1, before, 1, &e), 0);
    assert_int_equal(heed_session_feed(session, tokens + PREFIX - 1, 1, before, 1, &e), HEED_E_ARGUMENT);
    assert_non_null(strstr(e.text, "the first 900 tokens see one another (prefix), so they are fed at once, not 899"));
    assert_int_equal(heed_session_reset(session, &e), 0);
    assert_int_equal(heed_session_feed(session, tokens, PREFIX, before, PREFIX, &e), 0);
    assert_int_equal(heed_session_feed(session, tokens + PREFIX, LONG - PREFIX, before + PREFIX * V, LONG - PREFIX, &e), 0);
    for (int i = 0; i < LONG * V; i++)
        if (!(fabsf(before[i] - after[i]) < 1e-4f)) fail_msg("token %d: %g and %g", i / V, before[i], after[i]);
    heed_session_free(session);
    heed_stack_close(s);
}
/* ---- several sequences at once ---- */

enum { MANY = 5, TEXT = 700 };
#define RANDOM_OPS                                                                                 \
    "norm=rms; attention=softmax(causal=true); position=rope; feedforward=swiglu(hidden=20); "     \
    "tied=true"

/* Feeds many sessions in steps of different and of equal length; each has the logits of one that is alone. */
static void feed_many_of(const char *spec)
{
    static const int64_t steps[][MANY] = {{3, 0, 1, 40, 17}, {1, 1, 1, 1, 1}, {0, 600, 2, 1, 1},
                                          {1, 1, 1, 1, 1},   {4, 4, 4, 4, 4}, {0, 0, 0, 0, 0}};
    static int32_t text[MANY][TEXT];
    heed_weights *w = heed_weights_random(engine, spec, 3, &e);
    if (!w) fail_msg("%s: %s", spec, e.text);
    heed_stack *stack = heed_stack_open(engine, spec, w, &e);
    if (!stack) fail_msg("%s: %s", spec, e.text);
    const size_t row = (size_t)heed_stack_outputs(stack);
    heed_session *many[MANY], *alone[MANY];
    float *logits[MANY], *right = malloc(row * sizeof *right);
    int64_t at[MANY] = {0};
    uint64_t state = 9;
    for (int i = 0; i < MANY; i++) {
        many[i] = heed_session_new(stack, &e), alone[i] = heed_session_new(stack, &e);
        assert_true(many[i] && alone[i]);
        logits[i] = malloc(row * sizeof **logits);
        for (int t = 0; t < TEXT; t++) text[i][t] = (int32_t)(fabs(next_random(&state)) * 23);
    }
    for (size_t n = 0; n < sizeof steps / sizeof *steps; n++) {
        const int32_t *tokens[MANY];
        for (int i = 0; i < MANY; i++)
            tokens[i] = text[i] + at[i], memset(logits[i], 0x5a, row * sizeof **logits);
        if (heed_session_feed_many(many, MANY, tokens, steps[n], logits, &e))
            fail_msg("%s: %s", spec, e.text);
        for (int i = 0; i < MANY; i++) {
            memset(right, 0x5a, row * sizeof *right);
            if (heed_session_feed(alone[i], tokens[i], steps[n][i], right, steps[n][i] > 0, &e))
                fail_msg("%s", e.text);
            if (memcmp(right, logits[i], row * sizeof *right))
                fail_msg("%s: step %d: session %d of many has other logits than alone", spec,
                         (int)n, i);
            assert_int_equal(many[i]->length, alone[i]->length);
            at[i] += steps[n][i];
        }
    }
    for (int i = 0; i < MANY; i++)
        heed_session_free(many[i]), heed_session_free(alone[i]), free(logits[i]);
    free(right);
    heed_stack_close(stack);
    heed_weights_close(w);
}

static void test_many(void **unused)
{
    (void)unused;
    feed_many_of(SIZES RANDOM_OPS);
    feed_many_of(SIZES "norm=layer; attention=softmax(causal=true, cache=int8, position=alibi); "
                       "feedforward=gelu(hidden=20)");
    feed_many_of(SIZES "norm=rms; attention=softmax(causal=true, cache=int4); position=rope; "
                       "feedforward=swiglu(hidden=20)");
    feed_many_of(
        "vocab=24; width=16; layers=4; heads=4; kv_heads=2; norm=rms; "
        "attention=[window(causal=true, left=50), fast_weight(causal=true)]; position=rope; "
        "feedforward=swiglu(hidden=20)");
}

/* Networks whose texts are fed at once: each session is reset before it is fed. */
static void feed_whole_of(const char *spec)
{
    static const int64_t lengths[][MANY] = {
        {3, 3, 3, 40, 17}, {300, 300, 2, 0, 2}, {600, 1, 1, 513, 1}, {5, 5, 5, 5, 5}};
    int32_t text[TEXT];
    heed_weights *w = heed_weights_random(engine, spec, 3, &e);
    heed_stack *stack = w ? heed_stack_open(engine, spec, w, &e) : NULL;
    if (!stack) fail_msg("%s: %s", spec, e.text);
    const size_t row = (size_t)heed_stack_outputs(stack);
    heed_session *many[MANY], *alone = heed_session_new(stack, &e);
    float *logits[MANY], *right = malloc(row * sizeof *right);
    uint64_t state = 9;
    for (int t = 0; t < TEXT; t++) text[t] = (int32_t)(fabs(next_random(&state)) * 23);
    for (int i = 0; i < MANY; i++)
        many[i] = heed_session_new(stack, &e), logits[i] = malloc(row * sizeof **logits);
    for (size_t n = 0; n < sizeof lengths / sizeof *lengths; n++) {
        const int32_t *tokens[MANY];
        for (int i = 0; i < MANY; i++) {
            assert_int_equal(heed_session_reset(many[i], &e), HEED_OK);
            tokens[i] = text + 7 * i, memset(logits[i], 0x5a, row * sizeof **logits);
        }
        if (heed_session_feed_many(many, MANY, tokens, lengths[n], logits, &e))
            fail_msg("%s: %s", spec, e.text);
        for (int i = 0; i < MANY; i++) {
            memset(right, 0x5a, row * sizeof *right);
            assert_int_equal(heed_session_reset(alone, &e), HEED_OK);
            if (heed_session_feed(alone, tokens[i], lengths[n][i], right, lengths[n][i] > 0, &e))
                fail_msg("%s", e.text);
            if (memcmp(right, logits[i], row * sizeof *right))
                fail_msg("%s: case %d: session %d of many has another result than alone", spec,
                         (int)n, i);
            assert_int_equal(many[i]->length, lengths[n][i]);
        }
    }
    for (int i = 0; i < MANY; i++) heed_session_free(many[i]), free(logits[i]);
    free(right);
    heed_session_free(alone), heed_stack_close(stack), heed_weights_close(w);
}

static void test_many_whole(void **unused)
{
    (void)unused;
    feed_whole_of(SIZES
                  "norm=layer; residual=post; attention=softmax; position=learned; "
                  "feedforward=gelu(hidden=20); output=tokens(by=mean, l2=true); context=700");
    feed_whole_of(SIZES "norm=rms; attention=softmax(cache=int8); feedforward=swiglu(hidden=20); "
                        "output=tokens(by=first); pooler=true; classes=3");
    feed_whole_of(SIZES "norm=rms; attention=softmax(causal=true, prefix=9); position=rope; "
                        "feedforward=swiglu(hidden=20)");
    feed_whole_of(SIZES "norm=rms; attention=softmax; position=rope; "
                        "feedforward=swiglu(hidden=20); output=hidden");
}

static void test_many_wrong(void **unused)
{
    (void)unused;
    heed_weights *w = heed_weights_random(engine, SIZES RANDOM_OPS "; context=8", 3, &e);
    heed_stack *stack = heed_stack_open(engine, SIZES RANDOM_OPS "; context=8", w, &e),
               *other = heed_stack_open(engine, SIZES RANDOM_OPS "; context=8", w, &e);
    assert_true(stack && other);
    heed_session *s[3] = {heed_session_new(stack, &e), heed_session_new(stack, &e),
                          heed_session_new(other, &e)};
    const int32_t text[9] = {1, 2, 3, 4, 5, 6, 7, 8, 9}, *tokens[3] = {text, text, text};
    const int64_t fit[] = {2, 3, 4}, long_one[] = {2, 9, 0}, less[] = {-1, 0, 0};
    assert_int_equal(heed_session_feed_many(s, 2, tokens, fit, NULL, &e), HEED_OK);
    assert_true(heed_session_feed_many(s, 2, tokens, long_one, NULL, &e));
    assert_string_equal(e.text, "session 1: 9 tokens after 3 are more than the context of 8");
    assert_int_equal(s[0]->length, 2); /* none was fed */
    assert_true(heed_session_feed_many(s, 3, tokens, fit, NULL, &e));
    assert_string_equal(e.text, "session 2 is of another stack than session 0");
    assert_true(
        heed_session_feed_many((heed_session *[]){s[0], s[1], s[0]}, 3, tokens, fit, NULL, &e));
    assert_string_equal(e.text, "session 2 is session 0 once more");
    assert_true(heed_session_feed_many(s, 2, tokens, less, NULL, &e));
    assert_string_equal(e.text, "session 0: -1 tokens are fed; 0 or more is right");
    assert_int_equal(heed_session_feed_many(s, 0, NULL, NULL, NULL, &e), HEED_OK);
    for (int i = 0; i < 3; i++) heed_session_free(s[i]);
    heed_stack_close(stack), heed_stack_close(other), heed_weights_close(w);
}

/* ---- forks and cuts ---- */

/* A fork goes on as the session that it was made of would, and neither changes the other; a session that is cut
 * back goes on as if it had read no more. */
static void fork_and_cut(const char *spec)
{
    enum { BEGIN = 130, MORE = 40, CUT = 120 };
    int32_t text[BEGIN + MORE];
    heed_weights *w = heed_weights_random(engine, spec, 3, &e);
    heed_stack *stack = heed_stack_open(engine, spec, w, &e);
    if (!stack) fail_msg("%s: %s", spec, e.text);
    const size_t row = (size_t)heed_stack_outputs(stack), bytes = row * sizeof(float);
    float *right = malloc(3 * bytes), *other = malloc(bytes);
    uint64_t state = 5;
    for (int t = 0; t < BEGIN + MORE; t++) text[t] = (int32_t)(fabs(next_random(&state)) * 23);
    heed_session *one = heed_session_new(stack, &e), *alone = heed_session_new(stack, &e);
    assert_int_equal(heed_session_feed(alone, text, BEGIN + MORE, right, 1, &e), HEED_OK);
    assert_int_equal(heed_session_reset(alone, &e), HEED_OK);
    assert_int_equal(heed_session_feed(alone, text, CUT, NULL, 0, &e), HEED_OK);
    assert_int_equal(heed_session_feed(alone, text + 1, 3, right + row, 1, &e), HEED_OK);

    assert_int_equal(heed_session_feed(one, text, BEGIN, NULL, 0, &e), HEED_OK);
    heed_session *twin = heed_session_fork(one, &e);
    if (!twin) fail_msg("%s: %s", spec, e.text);
    assert_int_equal(heed_session_length(twin), BEGIN);
    assert_int_equal(heed_session_feed(one, text + BEGIN, MORE, other, 1, &e), HEED_OK);
    assert_memory_equal(other, right, bytes);
    if (heed_session_truncate(twin, CUT, &e)) { /* a recurrence that can not go back is as it was */
        assert_true(strstr(e.text, "fork"));
        assert_int_equal(heed_session_length(twin), BEGIN);
        assert_int_equal(heed_session_feed(twin, text + BEGIN, MORE, other, 1, &e), HEED_OK);
        assert_memory_equal(other, right, bytes);
    } else {
        assert_int_equal(heed_session_length(twin), CUT);
        assert_int_equal(heed_session_feed(twin, text + 1, 3, other, 1, &e), HEED_OK);
        assert_memory_equal(other, right + row, bytes);
    }
    assert_true(heed_session_truncate(one, BEGIN + MORE + 1, &e));
    assert_string_equal(e.text, "a session of 170 tokens can not be cut to 171; 0 to 170 is right");
    heed_session_free(one), heed_session_free(twin), heed_session_free(alone);
    free(right), free(other);
    heed_stack_close(stack), heed_weights_close(w);
}

static void test_fork(void **unused)
{
    (void)unused;
    fork_and_cut(SIZES RANDOM_OPS);
    fork_and_cut(SIZES "norm=layer; attention=softmax(causal=true, cache=int8, position=alibi); "
                       "feedforward=gelu(hidden=20)");
    fork_and_cut(SIZES "norm=rms; attention=softmax(causal=true, cache=int4); position=rope; "
                       "feedforward=swiglu(hidden=20)");
    fork_and_cut("vocab=24; width=16; layers=2; heads=4; kv_heads=2; norm=rms; attention="
                 "[window(causal=true, left=50), fast_weight(causal=true)]; feedforward=swiglu(hidden=20)");
}

/* ---- trees of guesses ---- */

/* Each token of a tree has the logits of its path fed alone, and so has what is fed behind one that is accepted. */
static void tree_of(const char *spec, int64_t begin)
{
    enum { N = 9 };
    static const int32_t parents[N] = {-1, 0, 0, 1, -1, 3, 2, 4, 3};
    const int32_t tokens[N] = {3, 1, 4, 1, 5, 9, 2, 6, 5}, next[2] = {7, 8};
    int32_t text[400];
    heed_weights *w = heed_weights_random(engine, spec, 3, &e);
    heed_stack *stack = heed_stack_open(engine, spec, w, &e);
    if (!stack) fail_msg("%s: %s", spec, e.text);
    const size_t row = (size_t)heed_stack_outputs(stack), bytes = row * sizeof(float);
    float *logits = malloc(N * bytes), *right = malloc(bytes), *got = malloc(bytes);
    uint64_t state = 5;
    for (int64_t t = 0; t < begin; t++) text[t] = (int32_t)(fabs(next_random(&state)) * 23);
    heed_session *s = heed_session_new(stack, &e), *alone = heed_session_new(stack, &e);
    assert_int_equal(heed_session_feed(s, text, begin, NULL, 0, &e), HEED_OK);
    for (int32_t last = 0; last < N; last++) {
        int32_t path[N], n = 0;
        for (int32_t t = last; t >= 0; t = parents[t]) n++;
        for (int32_t t = last, i = n; t >= 0; t = parents[t]) path[--i] = tokens[t];
        heed_tree *tree = heed_tree_read(s, tokens, parents, N, logits, &e);
        if (!tree) fail_msg("%s: %s", spec, e.text);
        assert_int_equal(heed_session_length(s), begin);
        assert_int_equal(heed_session_reset(alone, &e), HEED_OK);
        assert_int_equal(heed_session_feed(alone, text, begin, NULL, 0, &e), HEED_OK);
        assert_int_equal(heed_session_feed(alone, path, n, right, 1, &e), HEED_OK);
        if (memcmp(logits + (size_t)last * row, right, bytes))
            fail_msg("%s: token %d of the tree has other logits than its path alone", spec, last);
        if (last == N - 1) {
            if (heed_tree_accept(tree, last, &e)) fail_msg("%s: %s", spec, e.text);
            assert_int_equal(heed_session_length(s), begin + n);
            assert_int_equal(heed_session_feed(alone, next, 2, right, 1, &e), HEED_OK);
            assert_int_equal(heed_session_feed(s, next, 2, got, 1, &e), HEED_OK);
            assert_memory_equal(got, right, bytes);
            assert_int_equal(heed_tree_accept(tree, N, &e), HEED_E_ARGUMENT);
            assert_string_equal(e.text, "token 9 of a tree of 9 is accepted; 0 to 8 is right");
        }
        heed_tree_free(tree);
    }
    heed_session_free(s), heed_session_free(alone);
    free(logits), free(right), free(got);
    heed_stack_close(stack), heed_weights_close(w);
}

static void test_tree(void **unused)
{
    (void)unused;
    tree_of(SIZES RANDOM_OPS, 94);
    tree_of(SIZES RANDOM_OPS, 390); /* its branches share pages */
    tree_of(SIZES "norm=layer; attention=softmax(causal=true, cache=int4, position=alibi); "
                  "feedforward=gelu(hidden=20)",
            95);
    tree_of(
        "vocab=24; width=16; layers=2; heads=4; kv_heads=2; norm=rms; attention="
        "[window(causal=true, left=50), fast_weight(causal=true)]; feedforward=swiglu(hidden=20)",
        60);
    tree_of(SIZES RANDOM_OPS "; halting=act", 20); /* its rows meet: branch by branch */
}

static void test_tree_wrong(void **unused)
{
    (void)unused;
    heed_weights *w = heed_weights_random(engine, SIZES RANDOM_OPS "; context=8", 3, &e);
    heed_stack *stack = heed_stack_open(engine, SIZES RANDOM_OPS "; context=8", w, &e);
    heed_session *s = heed_session_new(stack, &e);
    static float logits[4 * 24];
    static const int32_t tokens[4] = {1, 2, 3, 4}, cycle[] = {-1, 2, 1, 0}, ahead[] = {-1, 0, 1, 7},
                         chain[] = {-1, 0, 1, 2};
    static const struct {
        const int32_t *parents;
        int64_t n;
        const char *says;
    } cases[] = {
        {cycle, 4,
         "token 1 of the tree has token 2 as its parent; a parent comes before its children, and "
         "that of a "
         "root is -1"},
        {ahead, 4,
         "token 3 of the tree has token 7 as its parent; a parent comes before its children, and "
         "that of a "
         "root is -1"},
        {chain, 65, "a tree has 65 tokens; 1 to 64 is right"},
        {chain, 0, "a tree has 0 tokens; 1 to 64 is right"},
        {NULL, 4, "the parents of a tree are NULL"},
        {chain, 4, "4 tokens after 6 are more than the context of 8"},
    };
    assert_int_equal(heed_session_feed(s, (const int32_t[]){1, 2, 3, 4, 5, 6}, 6, NULL, 0, &e),
                     HEED_OK);
    for (size_t n = 0; n < sizeof cases / sizeof *cases; n++) {
        assert_null(heed_tree_read(s, tokens, cases[n].parents, cases[n].n, logits, &e));
        assert_string_equal(e.text, cases[n].says);
        assert_int_equal(heed_session_length(s), 6);
    }
    heed_tree_free(NULL);
    heed_session_free(s), heed_stack_close(stack), heed_weights_close(w);
}

/* ---- texts that begin alike, and a limit of pages ---- */

/* Reads a text with what a store knows of it, and checks that the logits are those of the whole. */
static void read_with(heed_prefixes *p, heed_stack *stack, const int32_t *text, int64_t n, int64_t expected)
{
    const size_t row = (size_t)heed_stack_outputs(stack);
    float *right = malloc(row * sizeof *right), *got = malloc(row * sizeof *got);
    heed_session *alone = heed_session_new(stack, &e);
    assert_int_equal(heed_session_feed(alone, text, n, right, 1, &e), HEED_OK);
    int64_t known = -1;
    heed_session *s = heed_prefixes_take(p, text, n, &known, &e);
    assert_non_null(s);
    assert_int_equal(known, expected);
    assert_int_equal(heed_session_feed(s, text + known, n - known, got, 1, &e), HEED_OK);
    assert_memory_equal(got, right, row * sizeof *got);
    assert_int_equal(heed_prefixes_put(p, s, text, n, &e), HEED_OK);
    heed_session_free(s), heed_session_free(alone);
    free(right), free(got);
}

static void test_prefixes(void **unused)
{
    (void)unused;
    static const char recurrent[] = "vocab=24; width=16; layers=2; heads=4; norm=rms; attention="
                                    "fast_weight(causal=true); feedforward=swiglu(hidden=20)";
    for (int kind = 0; kind < 2; kind++) {
        const char *spec = kind ? recurrent : SIZES RANDOM_OPS;
        heed_weights *w = heed_weights_random(engine, spec, 3, &e);
        heed_stack *stack = heed_stack_open(engine, spec, w, &e);
        assert_non_null(stack);
        int32_t text[300], other[300];
        for (int t = 0; t < 300; t++) text[t] = t * 7 % 23, other[t] = t < 150 ? text[t] : 5;
        heed_prefixes *p = heed_prefixes_new(stack, 2, &e);
        assert_non_null(p);
        read_with(p, stack, text, 140, 0);
        read_with(p, stack, text, 200, 140);
        read_with(p, stack, text, 200, 199); /* all but the last, which gives logits */
        read_with(p, stack, other, 220, kind ? 140 : 150);
        read_with(p, stack, other + 151, 30, 0);
        int64_t known;
        heed_session *s = heed_prefixes_take(p, text, 1, &known, &e);
        assert_true(s && known == 0 && heed_session_length(s) == 0);
        assert_true(heed_prefixes_put(p, s, text, 1, &e));
        assert_string_equal(e.text, "the session has read 0 tokens; all of them are right here, not 1");
        assert_true(heed_prefixes_drop(p) && heed_prefixes_drop(p) && !heed_prefixes_drop(p));
        heed_session_free(s);
        heed_prefixes_free(p);
        heed_stack_close(stack), heed_weights_close(w);
    }
}

static heed_session *victim;
static int32_t drop_victim(void *user, uint64_t bytes)
{
    (void)bytes;
    ++*(int *)user;
    if (!victim) return 0;
    heed_session_free(victim);
    victim = NULL;
    return 1;
}

static void test_page_limit(void **unused)
{
    (void)unused;
    static const char spec[] = SIZES RANDOM_OPS;
    int asked = 0;
    heed_options options = {.size = sizeof options, .threads = 1, .pinning = HEED_PIN_NONE,
                            .pages_full = drop_victim, .user = &asked};
    heed_engine *one = heed_engine_new(&options, &e);
    heed_weights *w = heed_weights_random(one, spec, 3, &e);
    heed_stack *stack = heed_stack_open(one, spec, w, &e);
    heed_session *s = heed_session_new(stack, &e);
    int32_t text[200] = {0};
    assert_int_equal(heed_session_feed(s, text, 90, NULL, 0, &e), HEED_OK);
    const uint64_t page = heed_engine_pages(one); /* of all layers, a page each */
    assert_true(page > 0 && asked == 0);
    heed_session *twin = heed_session_fork(s, &e);
    assert_int_equal(heed_engine_pages(one), page);
    assert_int_equal(heed_session_feed(twin, text, 1, NULL, 0, &e), HEED_OK);
    assert_int_equal(heed_engine_pages(one), 2 * page); /* it has its own now */
    heed_session_free(twin), heed_session_free(s), heed_stack_close(stack);
    assert_int_equal(heed_engine_pages(one), 0);
    heed_engine_free(one), heed_weights_close(w);

    options.page_limit = 3 * page;
    one = heed_engine_new(&options, &e);
    w = heed_weights_random(one, spec, 3, &e);
    stack = heed_stack_open(one, spec, w, &e);
    heed_session *a = heed_session_new(stack, &e), *b = heed_session_new(stack, &e);
    victim = heed_session_new(stack, &e);
    assert_int_equal(heed_session_feed(victim, text, 10, NULL, 0, &e), HEED_OK);
    assert_int_equal(heed_session_feed(a, text, 90, NULL, 0, &e), HEED_OK);
    assert_int_equal(heed_session_feed(b, text, 90, NULL, 0, &e), HEED_OK);
    assert_int_equal(heed_session_feed(a, text, 90, NULL, 0, &e), HEED_OK); /* at the victim's cost */
    assert_true(!victim && asked == 1);
    assert_int_equal(heed_session_feed(b, text, 90, NULL, 0, &e), HEED_E_MEMORY);
    assert_non_null(strstr(e.text, "over the limit of"));
    assert_int_equal(heed_session_length(b), 90);
    assert_true(heed_engine_pages(one) == 3 * page);
    float *logits = malloc(sizeof *logits * (size_t)heed_stack_outputs(stack));
    assert_int_equal(heed_session_feed(b, text, 2, logits, 1, &e), HEED_OK); /* within its page */
    assert_int_equal(heed_session_feed(a, text, 2, logits, 1, &e), HEED_OK); /* all others go on */
    free(logits);
    heed_session_free(a), heed_session_free(b), heed_stack_close(stack);
    heed_engine_free(one), heed_weights_close(w);
}

static void test_sample(void **unused)
{
    float logits[V] = {0};
    int32_t token = -1, low = -1, high = -1;
    (void)unused;
    heed_stack *s = open_stack(SIZES OPS);
    heed_session *session = open_session(s);
    logits[5] = 3;
    assert_int_equal(heed_session_sample(session, logits, 0, 0.99, &token, &e), 0);
    assert_int_equal(token, 5);
    assert_int_equal(heed_session_sample(session, logits, 1, 0, &low, &e), 0);
    assert_int_equal(heed_session_sample(session, logits, 1, nextafter(1, 0), &high, &e), 0);
    assert_int_equal(low, 0);
    assert_int_equal(high, V - 1);
    assert_true(heed_session_sample(session, logits, -1, 0, &token, &e) < 0);
    assert_true(heed_session_sample(session, logits, NAN, 0, &token, &e) < 0);
    assert_true(heed_session_sample(session, logits, 1, 1, &token, NULL) < 0);
    heed_session_free(session);
    heed_stack_close(s);
}

static int set_up(void **unused)
{
    (void)unused;
    heed_options o = {.size = sizeof o, .threads = 2};
    engine = heed_engine_new(&o, &e);
    if (!engine) return fprintf(stderr, "%s\n", e.text);
    weights = model(NULL);
    return 0;
}

static int tear_down(void **unused)
{
    (void)unused;
    heed_weights_close(weights);
    heed_engine_free(engine);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_canonical),    cmocka_unit_test(test_wrong),
        cmocka_unit_test(test_tensor_names), cmocka_unit_test(test_wiring),
        cmocka_unit_test(test_parts),        cmocka_unit_test(test_failures),
        cmocka_unit_test(test_not_causal),   cmocka_unit_test(test_prefix),
        cmocka_unit_test(test_many),         cmocka_unit_test(test_many_whole),
        cmocka_unit_test(test_many_wrong),   cmocka_unit_test(test_fork),
        cmocka_unit_test(test_tree),         cmocka_unit_test(test_tree_wrong),
        cmocka_unit_test(test_prefixes),     cmocka_unit_test(test_page_limit),
        cmocka_unit_test(test_sample),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
