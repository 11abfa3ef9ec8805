/* SPDX-License-Identifier: MIT
 *
 * test_call.c: what an op sees of a call, through an op that computes nothing and keeps what it was handed: views of
 * inputs that repeat, the kinds of mask that come with inputs, the path that a spec or an opening asks for; and what
 * never reaches an op, with its sentence. The mask's meaning is for test_masks.
 */
#include <stdlib.h>
#include <string.h>

#include "lib/harness.h"

#include "op/engine.h"
#include "op/registry.h"
#include "op/spec.h"
#include "op/vet.h"

#define COUNT(array) (sizeof(array) / sizeof *(array))
#define TABLE(array) {array, COUNT(array), sizeof *(array)}

/* ---- the op ---- */

enum { Q, K, BIAS, DOCUMENTS, QUERY_DOCUMENTS, KEY_LENGTHS, SUM, ROOT, OUT, LSE, PORTS };
#define IN(name, axes, flags, dtype) {sizeof(heed_port), HEED_INPUT, flags, HEED_BIT(dtype), 0, 0, name, axes, "seen"}
static const heed_port ports[] = {
    [Q] = IN("q", "B T H", 0, HEED_F32),
    [K] = IN("k", "B S H", 0, HEED_F32),
    [BIAS] = IN("bias", "B H T S", HEED_PORT_OPTIONAL | HEED_PORT_REPEATS, HEED_F32),
    [DOCUMENTS] = IN("documents", "B S", HEED_PORT_OPTIONAL, HEED_I32),
    [QUERY_DOCUMENTS] = IN("query_documents", "B T", HEED_PORT_OPTIONAL, HEED_I32),
    [KEY_LENGTHS] = IN("key_lengths", "B", HEED_PORT_OPTIONAL, HEED_I64),
    [SUM] = IN("sum", "T S", HEED_PORT_OPTIONAL, HEED_F32),
    [ROOT] = IN("root", "T S", HEED_PORT_OPTIONAL, HEED_F32),
    [OUT] = {sizeof(heed_port), HEED_OUTPUT, HEED_PORT_IN_PLACE, HEED_BIT(HEED_F32), 0, 0, "out", "B T H", "like q"},
    [LSE] = {sizeof(heed_port), HEED_OUTPUT, HEED_PORT_IN_PLACE | HEED_PORT_OPTIONAL, HEED_BIT(HEED_F32), 0, 0, "lse",
             "T S", "like sum"},
};

static struct {
    int calls;
    const char *path;
    uint32_t kinds;
    heed_tensor bias;
} seen;

static int32_t keep(const heed_call *call, const char *path)
{
    seen.calls++;
    seen.path = path;
    seen.kinds = call->mask->kinds;
    if (call->tensor[BIAS]) seen.bias = *call->tensor[BIAS];
    return HEED_OK;
}
static int32_t forward(const void *instance, const heed_call *call) { return (void)instance, keep(call, "scalar"); }
static int32_t forward_rough(const void *instance, const heed_call *c) { return (void)instance, keep(c, "rough"); }
static const heed_path paths[] = {
    {sizeof(heed_path), 0, 0, "scalar", forward, NULL},
    {sizeof(heed_path), HEED_PATH_INEXACT, 0, "rough", forward_rough, NULL},
};

static int32_t measure(const heed_open *open, uint64_t *bytes) { return (void)open, *bytes = 0, HEED_OK; }
static int32_t init(void *memory, const heed_open *open) { return (void)memory, (void)open, HEED_OK; }
static int32_t measure_state(const void *instance, const int64_t *axis, heed_state_size *size)
{
    (void)instance, (void)axis;
    size->format = "none", size->page_bytes = 64, size->page_tokens = 16;
    return HEED_OK;
}

static const heed_op op = {
    .size = sizeof op, .masks = HEED_MASK_CAUSAL | HEED_MASK_DOCUMENTS | HEED_MASK_KEY_LENGTHS, .id = "attention/seen",
    .version = "1.0", .summary = "keeps what it was handed", .ports = TABLE(ports), .paths = TABLE(paths),
    .measure = measure, .init = init, .measure_state = measure_state,
};

static int setup(void **state)
{
    (void)state;
    heed_error e;
    heed_engine *engine = harness_engine(1);
    entry *made = vet_op(&engine->registry, &op, "test", &e);
    if (!made) fail_msg("%s", e.text);
    made->path = registry_path(made, engine->features, engine->isa, 0);
    return registry_add(&engine->registry, made, &e);
}

static int teardown(void **state)
{
    (void)state;
    harness_end();
    return 0;
}

/* ---- calls ---- */

enum { B = 2, T = 3, S = 5, H = 4 };
static float memory[4 * B * T * S * H];
static int32_t ids[B * S];
static int64_t lengths[B];

/* Runs it with these inputs behind q and k, or before them. */
static int32_t run(const heed_instance *i, const heed_binding *more, uint32_t n, int first, heed_sequence *const *s,
                   heed_error *e)
{
    heed_tensor q = heed_tensor_of(memory, HEED_F32, 3, (int64_t[]){B, T, H});
    heed_tensor k = heed_tensor_of(memory, HEED_F32, 3, (int64_t[]){B, S, H});
    heed_tensor out = heed_tensor_of(memory + 3 * B * T * S * H, HEED_F32, 3, q.dim);
    heed_binding in[8], o = {"out", &out};
    uint32_t count = 0;
    if (!first) in[count++] = (heed_binding){"q", &q}, in[count++] = (heed_binding){"k", &k};
    for (uint32_t x = 0; x < n; x++) in[count++] = more[x];
    if (first) in[count++] = (heed_binding){"k", &k}, in[count++] = (heed_binding){"q", &q};
    memset(&seen, 0, sizeof seen);
    return heed_run(i, in, count, &o, 1, s, e);
}

static heed_instance *open_op(const char *spec, const char *isa)
{
    heed_error e;
    heed_opening opening = {.size = sizeof opening, .isa = isa};
    heed_instance *i = heed_instance_open(harness_engine(1), spec, &opening, &e);
    if (!i) fail_msg("%s: %s", spec, e.text);
    return i;
}

/* Axes of size 1 arrive with the call's size and stride 0, the others as they lie, whatever is bound first. */
static void test_repeats(void **state)
{
    (void)state;
    static const int64_t full[] = {B, H, T, S};
    heed_instance *i = open_op("attention/seen", NULL);
    for (int once = 0; once < 16; once++)
        for (int first = 0; first < 2; first++) {
            heed_error e;
            int64_t dim[4];
            for (int a = 0; a < 4; a++) dim[a] = once >> a & 1 ? 1 : full[a];
            heed_tensor bias = heed_tensor_of(memory, HEED_F32, 4, dim), before = bias;
            if (run(i, &(heed_binding){"bias", &bias}, 1, first, NULL, &e))
                fail_msg("axes 0x%x once: %s", once, e.text);
            assert_memory_equal(&bias, &before, sizeof bias); /* the caller's tensor is only read */
            assert_ptr_equal(seen.bias.data, memory);
            for (int a = 0; a < 4; a++) {
                assert_int_equal(seen.bias.dim[a], full[a]);
                assert_int_equal(seen.bias.stride[a], once >> a & 1 ? 0 : bias.stride[a]);
            }
        }
    heed_instance_close(i);
}

/* What is wrong with an input that repeats is said in the caller's sizes, and no op is called. */
static void test_repeats_wrongly(void **state)
{
    (void)state;
    static const struct {
        int64_t dim[4];
        int32_t rank;
        int64_t short_of, shift;
        int first;
        const char *says;
    } cases[] = {
        {{B, H, T, 2}, 4, 0, 0, 0, "port bias: axis S is 2, but in port k 5; 1 fits any size"},
        {{B, H, T, 2}, 4, 0, 0, 1, "port k: axis S is 5, but in port bias 2"},
        {{1, 1, 1, 0}, 4, 0, 0, 0, "port bias: axis S is 0, but in port k 5; 1 fits any size"},
        {{1, 1, T, -S}, 4, 0, 0, 0, "port bias: axis S is -5"},
        {{1, T, S}, 3, 0, 0, 0, "port bias: the tensor has 3 axes, but the port has B H T S"},
        {{1, 1, T, S}, 4, 1, 0, 0, "port bias: its sizes and strides reach 60 bytes, but 59 are valid"},
        {{1, 1, 1, 1}, 4, 1, 0, 0, "port bias: its sizes and strides reach 4 bytes, but 3 are valid"},
        {{1, 1, 1, 1}, 4, 0, 1, 0, "port bias: its address is no multiple"},
    };
    heed_instance *i = open_op("attention/seen", NULL);
    for (size_t n = 0; n < COUNT(cases); n++) {
        heed_error e;
        heed_tensor bias = heed_tensor_of(memory, HEED_F32, cases[n].rank, cases[n].dim);
        bias.bytes -= (uint64_t)cases[n].short_of;
        bias.data = (char *)memory + cases[n].shift;
        assert_int_equal(run(i, &(heed_binding){"bias", &bias}, 1, cases[n].first, NULL, &e), HEED_E_SHAPE);
        if (!strstr(e.text, cases[n].says)) fail_msg("case %d says: %s", (int)n, e.text);
        assert_int_equal(seen.calls, 0);
    }
    heed_tensor none = heed_tensor_of(NULL, HEED_F32, 4, (int64_t[]){1, 1, 1, S});
    heed_error e;
    assert_int_equal(run(i, &(heed_binding){"bias", &none}, 1, 0, NULL, &e), HEED_E_SHAPE);
    assert_non_null(strstr(e.text, "port bias: the tensor has no data"));
    heed_instance_close(i);
}

/* An output may be the first input with its axes, which need not be the first one; and none with other axes. */
static void test_in_place(void **state)
{
    (void)state;
    static const struct { const char *in, *out; int right; } cases[] = {
        {"q", "out", 1}, {"sum", "lse", 1}, {"root", "lse", 0}, {"bias", "lse", 0}, {"k", "out", 0}, {"q", "lse", 0},
    };
    heed_instance *i = open_op("attention/seen", NULL);
    for (size_t n = 0; n < COUNT(cases); n++) {
        heed_error e;
        const int64_t dim[] = {1, T, S}, keys[] = {1, S, S}, wide[] = {1, 1, T, S}; /* B = 1, H = S */
        heed_tensor q = heed_tensor_of(memory, HEED_F32, 3, dim), k = heed_tensor_of(memory + 50, HEED_F32, 3, keys);
        heed_tensor sum = heed_tensor_of(memory + 100, HEED_F32, 2, dim + 1), root = sum, lse = sum, out = q;
        heed_tensor bias = heed_tensor_of(memory + 200, HEED_F32, 4, wide);
        heed_binding in[] = {{"q", &q}, {"k", &k}, {"sum", &sum}, {"root", &root}, {"bias", &bias}};
        heed_binding to[] = {{"out", &out}, {"lse", &lse}};
        root.data = memory + 150, lse.data = memory + 250, out.data = memory + 300;
        for (size_t x = 0; x < COUNT(in); x++)
            if (!strcmp(in[x].port, cases[n].in))
                (strcmp(cases[n].out, "lse") ? &out : &lse)->data = in[x].tensor->data;
        int32_t failed = heed_run(i, in, COUNT(in), to, 2, NULL, &e);
        if ((failed == 0) != cases[n].right)
            fail_msg("%s in %s: %s", cases[n].out, cases[n].in, failed ? e.text : "passes");
        if (failed) assert_non_null(strstr(e.text, "shares memory with port"));
    }
    heed_instance_close(i);
}

/* Inputs bring kinds of mask with them; a sequence takes none of these. */
static void test_mask_inputs(void **state)
{
    (void)state;
    heed_tensor documents = heed_tensor_of(ids, HEED_I32, 2, (int64_t[]){B, S});
    heed_tensor asked = heed_tensor_of(ids, HEED_I32, 2, (int64_t[]){B, T});
    heed_tensor valid = heed_tensor_of(lengths, HEED_I64, 1, (int64_t[]){B});
    const heed_binding all[] = {{"documents", &documents}, {"query_documents", &asked}, {"key_lengths", &valid}};
    static const struct { unsigned set; uint32_t kinds; const char *says, *with_sequences; } cases[] = {
        {0, 0, NULL, NULL},
        {1, HEED_MASK_DOCUMENTS, NULL, "documents and sequences exclude each other: a sequence is one document"},
        {3, HEED_MASK_DOCUMENTS, NULL, "documents and sequences exclude each other"},
        {4, HEED_MASK_KEY_LENGTHS, NULL, "key_lengths and sequences exclude each other: a sequence knows its length"},
        {7, HEED_MASK_KEY_LENGTHS | HEED_MASK_DOCUMENTS, NULL, "key_lengths and sequences exclude each other"},
        {2, 0, "query_documents needs the input documents", "query_documents needs the input documents"},
        {6, 0, "query_documents needs the input documents", "query_documents needs the input documents"},
    };
    for (int causal = 0; causal < 2; causal++) {
        heed_instance *i = open_op(causal ? "attention/seen(causal=true)" : "attention/seen", NULL);
        heed_sequence *s[B];
        for (int b = 0; b < B; b++) assert_non_null(s[b] = heed_sequence_new(i, NULL, NULL));
        for (size_t n = 0; n < COUNT(cases); n++)
            for (int with = 0; with < 2; with++) {
                heed_error e;
                heed_binding more[3];
                uint32_t count = 0;
                const char *says = with ? cases[n].with_sequences : cases[n].says;
                for (unsigned x = 0; x < 3; x++)
                    if (cases[n].set >> x & 1) more[count++] = all[x];
                int32_t failed = run(i, more, count, 0, with ? s : NULL, &e);
                if (!failed != !says || (says && !strstr(e.text, says))) fail_msg("case %d says: %s", (int)n, e.text);
                assert_int_equal(seen.calls, !failed);
                if (!failed) assert_int_equal(seen.kinds, cases[n].kinds | (causal ? HEED_MASK_CAUSAL : 0u));
            }
        for (int b = 0; b < B; b++) heed_sequence_free(s[b]);
        heed_instance_close(i);
    }
}

/* Nobody gets other bits without having asked for them. */
static void test_accuracy(void **state)
{
    (void)state;
    static const struct { const char *spec, *isa, *path; } cases[] = {
        {"attention/seen", NULL, "scalar"},
        {"attention/seen(accuracy=exact)", NULL, "scalar"},
        {"attention/seen(accuracy=fast)", NULL, "rough"},
        {"attention/seen", "all", "scalar"},
        {"attention/seen", "scalar", "scalar"},
        {"attention/seen(accuracy=fast)", "scalar", "rough"},
    };
    for (size_t n = 0; n < COUNT(cases); n++) {
        heed_error e;
        heed_instance *i = open_op(cases[n].spec, cases[n].isa);
        assert_string_equal(heed_instance_path(i)->name, cases[n].path);
        if (run(i, NULL, 0, 0, NULL, &e)) fail_msg("%s", e.text);
        assert_string_equal(seen.path, cases[n].path);
        heed_instance_close(i);
    }
    heed_instance *i = open_op("norm/rms(accuracy=fast)", NULL), *plain = open_op("norm/rms", NULL);
    assert_ptr_equal(heed_instance_path(i), heed_instance_path(plain)); /* it has no other */
    assert_string_equal(heed_instance_spec(i), "norm/rms(accuracy=fast)");
    heed_instance_close(i);
    heed_instance_close(plain);
}

/* ---- an application's own host ---- */

/* One thread, which says that it has two lanes, or gives away a third; its result is not wanted any more after some
 * questions. */
static struct {
    int asked, most, tiles;
    uint32_t lane;
} app;

static int32_t app_for(const heed_host *host, int64_t tiles, heed_tile_fn fn, void *arg)
{
    assert_ptr_equal(host->self, &app);
    for (int64_t i = 0; i < tiles; i++, app.tiles++) fn(arg, i, app.lane);
    return HEED_OK;
}
static int32_t app_cancelled(const heed_host *host) { return assert_ptr_equal(host->self, &app), app.asked++ >= app.most; }

static const heed_host app_host = {.size = sizeof app_host, .self = &app, .parallel_for = app_for,
                                   .cancelled = app_cancelled};

static heed_engine *app_engine(const heed_host *host, uint32_t threads, heed_error *e)
{
    heed_options o = {.size = sizeof o, .host = host, .threads = threads};
    return heed_engine_new(&o, e);
}

static void test_host(void **state)
{
    (void)state;
    static float x[4096 * 64], y[4096 * 64];
    heed_error e;
    heed_host bare = {.size = sizeof bare}, cut = app_host, plain = {.size = sizeof plain, .self = &app,
                                                                     .parallel_for = app_for};
    cut.size = offsetof(heed_host, parallel_for);
    const heed_host *const wrong[] = {&bare, &cut};
    for (size_t i = 0; i < COUNT(wrong); i++) {
        assert_null(app_engine(wrong[i], 2, &e));
        assert_int_equal(e.code, HEED_E_ARGUMENT);
        assert_non_null(strstr(e.text, "parallel_for"));
    }
    static const uint32_t counts[] = {0, 4097, UINT32_MAX};
    for (size_t i = 0; i < COUNT(counts); i++) {
        assert_null(app_engine(&app_host, counts[i], &e));
        assert_non_null(strstr(e.text, "`threads`"));
    }

    heed_tensor in = heed_tensor_of(x, HEED_F32, 2, (int64_t[]){4096, 64}), out = in;
    heed_binding ib = {"x", &in}, ob = {"out", &out};
    out.data = y;
    for (int with = 0; with < 2; with++) {
        heed_engine *engine = app_engine(with ? &app_host : &plain, 2, &e);
        heed_instance *rms = engine ? heed_instance_open(engine, "norm/rms", NULL, &e) : NULL;
        if (!rms) fail_msg("%s", e.text);
        app.asked = app.tiles = 0, app.most = INT32_MAX, app.lane = 1;
        assert_int_equal(heed_run(rms, &ib, 1, &ob, 1, NULL, &e), HEED_OK);
        const int tiles = app.tiles;
        assert_true(tiles > 1);
        app.lane = 2; /* it has lanes 0 and 1 */
        assert_int_equal(heed_run(rms, &ib, 1, &ob, 1, NULL, &e), HEED_E_ARGUMENT);
        app.lane = 0;
        for (int most = 0; with && most <= tiles; most++) { /* it is asked before the op, and before each tile */
            app.asked = 0, app.most = most;
            assert_int_equal(heed_run(rms, &ib, 1, &ob, 1, NULL, &e), HEED_E_CANCELLED);
            assert_string_equal(e.text, "norm/rms: cancelled");
            assert_true(app.asked > most);
        }
        app.asked = 0, app.most = tiles + 1;
        assert_int_equal(heed_run(rms, &ib, 1, &ob, 1, NULL, &e), HEED_OK);
        heed_instance_close(rms);
        heed_engine_free(engine);
    }
}

/* A whole network, stopped at any question: between its layers and in them. The session is as it was. */
static void test_cancelled_session(void **state)
{
    (void)state;
    static const int32_t tokens[] = {72, 101, 108, 108, 111};
    static float right[1024], logits[1024];
    char path[600];
    heed_error e;
    snprintf(path, sizeof path, "%s/models/plays.safetensors", getenv("SRC") ? getenv("SRC") : ".");
    app.most = INT32_MAX, app.lane = 0;
    heed_weights *w = heed_weights_open(path, NULL);
    if (!w) skip();
    heed_engine *engine = app_engine(&app_host, 1, &e);
    heed_stack *stack = heed_stack_open(engine, NULL, w, &e);
    heed_session *session = stack ? heed_session_new(stack, &e) : NULL;
    if (!session) fail_msg("%s", e.text);
    const size_t bytes = sizeof *logits * (size_t)heed_stack_number(stack, "vocab");
    assert_true(bytes <= sizeof logits);
    app.asked = 0;
    assert_int_equal(heed_session_feed(session, tokens, 2, right, 1, &e), HEED_OK);
    assert_int_equal(heed_session_feed(session, tokens + 2, 3, right, 1, &e), HEED_OK);
    const int all = app.asked;
    assert_true(all > 20);
    for (int most = 0; most < all; most += 1 + most / 8) {
        heed_session_reset(session, &e);
        app.most = INT32_MAX;
        assert_int_equal(heed_session_feed(session, tokens, 2, logits, 1, &e), HEED_OK);
        app.asked = 0, app.most = most;
        int32_t code = heed_session_feed(session, tokens + 2, 3, logits, 1, &e);
        if (code) assert_int_equal(code, HEED_E_CANCELLED);
        app.most = INT32_MAX;
        if (code) assert_int_equal(heed_session_feed(session, tokens + 2, 3, logits, 1, &e), HEED_OK);
        assert_memory_equal(logits, right, bytes);
    }
    heed_session_free(session);
    heed_stack_close(stack);
    heed_weights_close(w);
    heed_engine_free(engine);
}

/* Names that are not there get a sentence. */
static void test_null(void **state)
{
    (void)state;
    heed_error e;
    heed_instance *i = open_op("attention/seen", NULL);
    heed_tensor t = heed_tensor_of(memory, HEED_F32, 3, (int64_t[]){B, T, H});
    heed_binding nameless[] = {{"q", &t}, {NULL, &t}}, whole[] = {{"q", &t}, {"k", &t}};
    assert_int_equal(heed_run(i, nameless, 2, NULL, 0, NULL, &e), HEED_E_ARGUMENT);
    assert_string_equal(e.text, "attention/seen: the name of input 1 is NULL");
    assert_int_equal(heed_run(i, whole, 2, nameless + 1, 1, NULL, &e), HEED_E_ARGUMENT);
    assert_string_equal(e.text, "attention/seen: the name of output 0 is NULL");
    assert_int_equal(heed_run(i, NULL, 2, NULL, 0, NULL, &e), HEED_E_ARGUMENT);
    assert_non_null(strstr(e.text, "the list of them is NULL"));
    assert_int_equal(heed_infer(i, whole, 2, NULL, &t, &e), HEED_E_ARGUMENT);
    assert_null(heed_instance_open(harness_engine(1), NULL, NULL, &e));
    assert_non_null(strstr(e.text, "spec"));
    heed_opening opening = {.size = sizeof opening, .n_weights = 1, .weights = nameless + 1};
    assert_null(heed_instance_open(harness_engine(1), "norm/rms", &opening, &e));
    assert_string_equal(e.text, "norm/rms: the name of weight 0 is NULL");
    opening.weights = NULL;
    assert_null(heed_instance_open(harness_engine(1), "norm/rms", &opening, &e));
    assert_non_null(strstr(e.text, "the list of them is NULL"));
    heed_instance_close(i);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_repeats),     cmocka_unit_test(test_repeats_wrongly), cmocka_unit_test(test_in_place),
        cmocka_unit_test(test_mask_inputs), cmocka_unit_test(test_accuracy),
        cmocka_unit_test(test_host),        cmocka_unit_test(test_cancelled_session), cmocka_unit_test(test_null),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
