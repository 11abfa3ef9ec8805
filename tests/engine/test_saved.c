/* SPDX-License-Identifier: MIT
 *
 * test_saved.c: sequences and sessions as bytes. What was saved goes on with the same bits, on another path, in another
 * engine and after a page was dropped; and no bytes whatever are taken for something that they are not.
 */
#include <stdlib.h>
#include <string.h>

#include "lib/harness.h"
#include "base/saved.h"
#include "op/sequence_saved.h"
#include "op/spec.h"

#define COUNT(array) (sizeof(array) / sizeof *(array))
#define CASE(SPEC, AXES, WITHOUT) (call_case){.spec = SPEC, .axes = AXES, .without = WITHOUT}
enum { BATCH = 2 };

static heed_error e;

static int64_t axis(const call *c, char letter) { return c->oracle.axis[letter - 'A']; }

/* Tokens [from, to) of a call, `chunk` at a time. */
static void feed(const call *c, const heed_instance *i, heed_sequence *const *s, int64_t from, int64_t to,
                 int64_t chunk, heed_tensor out[ORACLE_PORTS])
{
    for (int64_t t = from, n; t < to; t += n) {
        heed_tensor view[ORACLE_PORTS] = {0};
        n = to - t < chunk ? to - t : chunk;
        for (uint32_t p = 0; p < c->op->ports.count; p++) {
            const heed_port *port = (const heed_port *)c->op->ports.data + p;
            const heed_tensor *all = out[p].data ? &out[p] : &c->plain[p];
            if (all->data && port->role != HEED_WEIGHT) view[p] = tensor_slice(all, 1, t, n);
        }
        if (call_with(c, i, view, s, &e)) fail_msg("%s [%s], token %d: %s", c->how->spec, c->how->axes, (int)t, e.text);
    }
}

typedef struct blob {
    void *data;
    uint64_t bytes;
} blob;

static blob save(const heed_sequence *s)
{
    const int64_t bytes = heed_sequence_save(s, NULL, 0, &e);
    if (bytes < 0) fail_msg("%s", e.text);
    blob b = {bytes > 0 ? malloc((size_t)bytes) : NULL, (uint64_t)bytes};
    assert_int_equal(heed_sequence_save(s, b.data, b.bytes, &e), bytes);
    return b;
}

static heed_sequence *load(const call *c, const heed_instance *i, blob b)
{
    heed_sequence *s = heed_sequence_load(i, c->oracle.axis, b.data, b.bytes, &e);
    if (!s) fail_msg("%s [%s]: %s", c->how->spec, c->how->axes, e.text);
    return s;
}

/* ---- it goes on ---- */

/* Fed up to `cut`, saved, and fed to the end; the same from the bytes, on every path and at once. */
static void goes_on(const call_case *how, int64_t cut)
{
    const char *paths[8];
    heed_tensor right[ORACLE_PORTS], out[ORACLE_PORTS];
    heed_sequence *s[BATCH];
    blob saved[BATCH], again;
    call c;
    call_make(&c, how);
    const int n = harness_paths(c.op->id, paths);
    const int64_t T = axis(&c, 'T'), B = axis(&c, 'B');
    assert_true(B <= BATCH);
    heed_instance *i = call_open(&c, paths[0], 1);
    outputs_make(&c, right);
    for (int64_t b = 0; b < B; b++)
        if (!(s[b] = heed_sequence_new(i, c.oracle.axis, &e))) fail_msg("%s", e.text);
    feed(&c, i, s, 0, cut, 37, right);
    for (int64_t b = 0; b < B; b++) saved[b] = save(s[b]);
    feed(&c, i, s, cut, T, 11, right);
    for (int64_t b = 0; b < B; b++) heed_sequence_free(s[b]);
    heed_instance_close(i);

    for (int p = 0; p < n; p++) {
        i = call_open(&c, paths[p], 1 + (uint32_t)p);
        outputs_make(&c, out);
        for (int64_t b = 0; b < B; b++) {
            s[b] = load(&c, i, saved[b]);
            assert_int_equal(heed_sequence_length(s[b]), cut);
            again = save(s[b]);
            assert_int_equal(again.bytes, saved[b].bytes);
            assert_memory_equal(again.data, saved[b].data, again.bytes);
            free(again.data);
        }
        for (uint32_t port = 0; port < c.op->ports.count; port++) { /* what was before the cut */
            if (!out[port].data) continue;
            const heed_tensor to = tensor_slice(&out[port], 1, 0, cut), from = tensor_slice(&right[port], 1, 0, cut);
            tensor_copy(&to, &from);
        }
        feed(&c, i, s, cut, T, 11, out);
        if (!outputs_equal(&c, right, out))
            fail_msg("%s [%s], saved at %d and loaded on %s: other bits", how->spec, how->axes, (int)cut, paths[p]);
        for (int64_t b = 0; b < B; b++) { /* and it is a sequence like others */
            heed_sequence *fork = heed_sequence_fork(s[b], &e);
            assert_non_null(fork);
            assert_int_equal(heed_sequence_truncate(fork, 0, &e), HEED_OK);
            heed_sequence_free(fork);
            heed_sequence_free(s[b]);
        }
        outputs_free(out);
        heed_instance_close(i);
    }
    for (int64_t b = 0; b < B; b++) free(saved[b].data);
    outputs_free(right);
    call_free(&c);
}

#define SIZES "B=2,T=500,S=500,H=2,G=1,D=8,E=5"

static void test_goes_on(void **state)
{
    static const char *const specs[] = {
        "attention/softmax(causal=true)", "attention/softmax(causal=true, position=alibi)",
        "attention/window(left=40)", "attention/window(left=40, sinks=3)", "attention/window(left=100, global=120)"};
    static const int64_t cuts[] = {0, 1, 95, 96, 97, 444};
    (void)state;
    for (size_t k = 0; k < COUNT(specs); k++)
        for (size_t n = harness_quick() ? 4 : 0; n < COUNT(cuts); n++)
            goes_on(&CASE(specs[k], SIZES, "key_lengths"), cuts[n]);
    goes_on(&CASE("attention/transformer_xl(memory=50)", "B=2,T=400,S=400,H=2,G=2,D=8,E=8,M=12", "key_lengths"),
            390);
    goes_on(&CASE("attention/transformer_xl(memory=9, same_length=true)", "B=1,T=99,S=99,H=2,G=2,D=8,E=8,M=12",
                  "key_lengths"), 49);
    goes_on(&CASE("attention/shaw(causal=true)", SIZES ",R=9", "key_lengths,+relative_values"), 250);
}

/* ---- nothing is taken for what it is not ---- */

#define SMALL "B=1,T=3,S=3,H=1,G=1,D=2,E=2"
#define HEAD(field) offsetof(saved_sequence, field)

/* A sequence of a call fed to its end, saved. */
static blob saved_of(const call_case *how)
{
    call c;
    heed_tensor out[ORACLE_PORTS];
    call_make(&c, how);
    heed_instance *i = call_open(&c, NULL, 1);
    heed_sequence *s = heed_sequence_new(i, c.oracle.axis, &e);
    outputs_make(&c, out);
    feed(&c, i, &s, 0, axis(&c, 'T'), 500, out);
    blob b = save(s);
    heed_sequence_free(s);
    heed_instance_close(i);
    outputs_free(out);
    call_free(&c);
    return b;
}

/* The bytes are refused for a call, with a sentence that has `text` in it. */
static void refuses(const call_case *how, blob b, const char *text)
{
    call c;
    call_make(&c, how);
    heed_instance *i = call_open(&c, NULL, 1);
    heed_sequence *s = heed_sequence_load(i, c.oracle.axis, b.data, b.bytes, &e);
    if (s || !strstr(e.text, text)) fail_msg("%s: should be refused with \"%s\": %s", how->spec, text, s ? "" : e.text);
    assert_true(e.code < 0);
    heed_instance_close(i);
    call_free(&c);
}

/* The same with one number of so many bytes changed, and a checksum that is right. */
static void refuses_changed(const call_case *how, blob b, size_t at, const void *number, size_t bytes, const char *text)
{
    char kept[8];
    memcpy(kept, (char *)b.data + at, bytes);
    memcpy((char *)b.data + at, number, bytes);
    saved_seal(b.data, b.bytes);
    refuses(how, b, text);
    memcpy((char *)b.data + at, kept, bytes);
    saved_seal(b.data, b.bytes);
}

static void refuses_u32(const call_case *how, blob b, size_t at, uint32_t x, const char *text)
{
    refuses_changed(how, b, at, &x, sizeof x, text);
}

static void refuses_i64(const call_case *how, blob b, size_t at, int64_t x, const char *text)
{
    refuses_changed(how, b, at, &x, sizeof x, text);
}

static void test_refused(void **state)
{
    const call_case how = CASE("attention/softmax(causal=true)", SMALL, "key_lengths");
    const call_case wide = CASE("attention/softmax(causal=true)", "B=1,T=3,S=3,H=1,G=1,D=2,E=3", "key_lengths");
    const call_case swapped = CASE("attention/softmax(causal=true)", "B=1,T=3,S=3,H=1,G=1,D=1,E=3", "key_lengths");
    const call_case other = CASE("attention/window(left=40)", SMALL, "key_lengths");
    const call_case many = CASE("attention/softmax(causal=true)", "B=9,T=7,S=7,H=3,G=1,D=2,E=2", "key_lengths");
    blob b = saved_of(&how), more = {malloc(b.bytes + 1), b.bytes + 1};
    call c;
    (void)state;
    refuses(&other, b, "attention/window: the saved sequence is of attention/softmax");
    refuses(&wide, b, "axis E is 3, but in the sequence 2");
    refuses(&swapped, b, "axis D is 1, but in the sequence 2");
    refuses(&how, (blob){b.data, 0}, "has 0 bytes, but the shortest has");
    refuses_u32(&how, b, 0, 0, "this is no saved sequence: it does not begin with \"heed.seq\"");
    refuses_u32(&how, b, offsetof(saved_frame, schema), 2, "of schema 2.0, but this engine reads 1.0");
    refuses_i64(&how, b, offsetof(saved_frame, bytes), 7, "but says that it has 7");
    refuses_u32(&how, b, HEAD(op), 0x0a416f01, "does not tell what it is of");
    refuses_u32(&how, b, HEAD(op) + SAVED_TEXT - 4, 1, "does not tell what it is of");
    refuses_u32(&how, b, HEAD(op), 0x6f747461, "attention/softmax: the saved sequence is of attontion/softmax");
    refuses_u32(&how, b, HEAD(format) + 4, 0x3631,
                "format kv/f16, version 2; here it is kv/f32, version 2");
    refuses_u32(&how, b, HEAD(version), 1,
                "format kv/f32, version 1; here it is kv/f32, version 2");
    refuses_i64(&how, b, HEAD(page_bytes), 1, "its pages have 1 bytes for 96 tokens, not 1536 for 96");
    refuses_i64(&how, b, HEAD(page_tokens), 0, "its pages have 1536 bytes for 0 tokens");
    refuses_i64(&how, b, HEAD(length), -1, "says that it has -1 tokens; 0 to 2^40 is right");
    refuses_i64(&how, b, HEAD(length), 0, "has 1536 bytes of pages, but 0 tokens without 0 pages are 0 pages of 1536");
    refuses_i64(&how, b, HEAD(length), 97, "but 97 tokens without 0 pages are 2 pages");
    refuses_i64(&how, b, HEAD(length), INT64_MAX, "says that it has 9223372036854775807 tokens");
    refuses_u32(&how, b, HEAD(gone_to), 1, "without the pages from 0 up to 1 of its 1; those from 0 up to 0");
    refuses_i64(&how, b, HEAD(gone), (int64_t)1 << 32 | 7, "without the pages from 7 up to 1");
    memcpy(more.data, b.data, b.bytes);
    refuses(&how, more, "bytes, but says that it has");
    memcpy((char *)more.data + offsetof(saved_frame, bytes), &more.bytes, sizeof more.bytes);
    saved_seal(more.data, more.bytes);
    refuses(&how, more, "has 1537 bytes of pages");

    call_make(&c, &many); /* neither the batch nor the heads of queries matter */
    heed_instance *i = call_open(&c, NULL, 1);
    heed_sequence *s = heed_sequence_new(i, c.oracle.axis, &e);
    char small[100];
    assert_int_equal(heed_sequence_save(s, small, sizeof small, &e), HEED_E_ARGUMENT);
    assert_non_null(strstr(e.text, "bytes, and there is room for 100"));
    heed_sequence_free(s);
    heed_instance_close(i);
    call_free(&c);
    free(more.data);
    free(b.data);
}

/* Pages that are gone are right only where nobody looks for them, in memory too. */
static void test_gone(void **state)
{
    const call_case near = CASE("attention/window(left=40, sinks=3)", SIZES, "key_lengths");
    const call_case far = CASE("attention/window(left=400, sinks=3)", SIZES, "key_lengths");
    const call_case more_sinks = CASE("attention/window(left=40, sinks=99)", SIZES, "key_lengths");
    blob b = saved_of(&CASE(near.spec, "B=1,T=500,S=500,H=2,G=1,D=8,E=5", near.without));
    (void)state;
    refuses(&far, b, "without the pages from 1 up to 3 of its 6; those from 1 up to 1 are out of sight");
    refuses(&more_sinks, b, "without the pages from 1 up to 3 of its 6; those from 2 up to 4");
    refuses_u32(&near, b, HEAD(gone), 0, "without the pages from 0 up to 3");
    refuses_u32(&near, b, HEAD(gone_to), 5, "without the pages from 1 up to 5 of its 6; those from 1 up to 4");
    refuses_u32(&near, b, HEAD(gone_to), 2, "but 500 tokens without 1 pages are 5 pages of 4992");
    /* 2^40 tokens, all but these pages gone: no table of 2^33 places is made */
    const uint32_t gone[] = {1, UINT32_MAX};
    memcpy((char *)b.data + HEAD(gone), gone, sizeof gone);
    refuses_i64(&near, b, HEAD(length), (int64_t)1 << 40, "bytes of pages");
    free(b.data);

    call c;
    heed_tensor out[ORACLE_PORTS];
    call_make(&c, &CASE(near.spec, "B=1,T=500,S=500,H=2,G=1,D=8,E=5", near.without));
    heed_instance *i = call_open(&c, NULL, 1);
    heed_sequence *s = heed_sequence_new(i, c.oracle.axis, &e);
    outputs_make(&c, out);
    feed(&c, i, &s, 0, 499, 100, out);
    heed_opening opening = {.size = sizeof opening};
    heed_instance *wide = heed_instance_open(harness_engine(1), far.spec, &opening, &e);
    assert_non_null(wide);
    heed_tensor view[ORACLE_PORTS] = {0};
    for (uint32_t p = 0; p < c.op->ports.count; p++)
        if (out[p].data || c.plain[p].data) view[p] = tensor_slice(out[p].data ? &out[p] : &c.plain[p], 1, 499, 1);
    assert_int_equal(call_with(&c, wide, view, &s, &e), HEED_E_ARGUMENT);
    assert_non_null(strstr(e.text, "keeps the first 3 and last 39 tokens, less than this call looks at"));
    assert_int_equal(call_with(&c, i, view, &s, &e), HEED_OK);
    heed_instance_close(wide);
    heed_instance_close(i);
    heed_sequence_free(s);
    outputs_free(out);
    call_free(&c);
}

/* Cut to every length, and with every byte changed; and the head again with a checksum that is right: then it is
 * refused, or it is a sequence. */
static void test_damaged(void **state)
{
    const call_case how = CASE("attention/softmax(causal=true)", SMALL, "key_lengths");
    blob b = saved_of(&how);
    unsigned char *bytes = b.data;
    call c;
    (void)state;
    call_make(&c, &how);
    heed_instance *i = call_open(&c, NULL, 1);
    for (uint64_t n = 0; n < b.bytes; n++) {
        unsigned char *cut = malloc(n + !n); /* so that a sanitizer sees its end */
        memcpy(cut, bytes, n);
        assert_null(heed_sequence_load(i, c.oracle.axis, cut, n, &e));
        assert_int_equal(e.code, HEED_E_DATA);
        free(cut);
    }
    for (uint64_t at = 0; at < b.bytes; at++) {
        bytes[at] ^= 1u << at % 8;
        assert_null(heed_sequence_load(i, c.oracle.axis, bytes, b.bytes, &e));
        assert_int_equal(e.code, HEED_E_DATA);
        bytes[at] ^= 1u << at % 8;
    }
    static const unsigned char flips[] = {0x01, 0x02, 0x40, 0x80, 0xff};
    for (size_t at = 0; at < sizeof(saved_sequence); at++)
        for (size_t f = 0; f < COUNT(flips); f++) {
            bytes[at] ^= flips[f];
            saved_seal(bytes, b.bytes);
            heed_sequence *s = heed_sequence_load(i, c.oracle.axis, bytes, b.bytes, &e);
            if (s) assert_true(heed_sequence_length(s) > 0 && heed_sequence_length(s) <= 96);
            else assert_true(e.code < 0 && e.text[0]);
            heed_sequence_free(s);
            bytes[at] ^= flips[f];
        }
    saved_seal(bytes, b.bytes);
    heed_sequence_free(load(&c, i, b));
    heed_instance_close(i);
    call_free(&c);
    free(b.data);
}

/* ---- sessions ---- */

enum { VOCAB = 24, TOKENS = 300, PROMPT = 211 };
#define NETWORK "vocab=24; width=16; layers=2; heads=4; kv_heads=2; context=300; tied=true; norm=rms; " \
                "feedforward=swiglu(hidden=20); attention="
#define MIXED NETWORK "[window(left=20), softmax(causal=true)]"

typedef struct network {
    heed_weights *weights;
    heed_stack *stack;
    heed_session *session;
} network;

static network network_open(const char *spec, uint64_t seed)
{
    network n = {heed_weights_random(harness_engine(1), spec, seed, &e), NULL, NULL};
    n.stack = n.weights ? heed_stack_open(harness_engine(1), spec, n.weights, &e) : NULL;
    n.session = n.stack ? heed_session_new(n.stack, &e) : NULL;
    if (!n.session) fail_msg("%s: %s", spec, e.text);
    return n;
}

static void network_close(network n)
{
    heed_session_free(n.session);
    heed_stack_close(n.stack);
    heed_weights_close(n.weights);
}

static void session_refuses(network n, blob b, const char *text)
{
    if (!heed_session_load(n.session, b.data, b.bytes, &e) || !strstr(e.text, text))
        fail_msg("should be refused with \"%s\": %s", text, e.text);
}

static void feed_tokens(network n, int from, int to, float *logits)
{
    int32_t tokens[TOKENS];
    for (int i = 0; i < TOKENS; i++) tokens[i] = i * i * 7 % VOCAB;
    if (heed_session_feed(n.session, tokens + from, to - from, logits, to - from, &e)) fail_msg("%s", e.text);
}

static void test_session(void **state)
{
    static float right[TOKENS * VOCAB], out[TOKENS * VOCAB];
    network a = network_open(MIXED, 7), same = network_open(MIXED, 7), weights = network_open(MIXED, 8),
            spec = network_open(NETWORK "softmax(causal=true)", 7);
    (void)state;
    feed_tokens(a, 0, PROMPT, right);
    blob b = {NULL, (uint64_t)heed_session_save(a.session, NULL, 0, &e)};
    assert_int_equal(heed_session_save(a.session, &b, 1, &e), HEED_E_ARGUMENT);
    b.data = malloc(b.bytes);
    assert_int_equal(heed_session_save(a.session, b.data, b.bytes, &e), b.bytes);
    feed_tokens(a, PROMPT, TOKENS, right);

    session_refuses(weights, b, "of a network with other weights: their checksum is");
    session_refuses(spec, b, "of the network \"");
    feed_tokens(same, 0, 5, out); /* forgotten */
    for (uint64_t at = 0; at < b.bytes; at += at < 900 ? 1 : 97) { /* damaged: refused */
        ((unsigned char *)b.data)[at] ^= 4;
        assert_int_equal(heed_session_load(same.session, b.data, b.bytes, &e), HEED_E_DATA);
        assert_int_equal(heed_session_load(same.session, b.data, at, &e), HEED_E_DATA);
        if (at >= 24 && at < b.bytes - 8) { /* the same with a checksum that is right: no crash; or it is loaded */
            saved_seal(b.data, b.bytes);
            if (heed_session_load(same.session, b.data, b.bytes, &e)) assert_true(e.text[0] != 0);
        }
        ((unsigned char *)b.data)[at] ^= 4;
        saved_seal(b.data, b.bytes);
    }
    for (int turn = 0; turn < 2; turn++) { /* as often as one likes */
        if (heed_session_load(same.session, b.data, b.bytes, &e)) fail_msg("%s", e.text);
        feed_tokens(same, PROMPT, TOKENS, out);
        assert_memory_equal(out, right, sizeof(float) * VOCAB * (TOKENS - PROMPT));
        memset(out, 0, sizeof out);
    }
    free(b.data);
    network_close(a), network_close(same), network_close(weights), network_close(spec);
}

/* Vectors of the reference implementation, seed 0. */
static void test_checksum(void **state)
{
    static const struct { const char *text; uint64_t sum; } known[] = {
        {"", 0xef46db3751d8e999}, {"a", 0xd24ec4f1a98c6e5b}, {"abc", 0x44bc2cf5ad770999},
        {"Nobody inspects the spammish repetition", 0xfbcea83c8a378bf1}};
    (void)state;
    for (size_t k = 0; k < COUNT(known); k++)
        assert_true(saved_checksum(known[k].text, strlen(known[k].text), 0) == known[k].sum);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_checksum), cmocka_unit_test(test_goes_on),
                                       cmocka_unit_test(test_refused),  cmocka_unit_test(test_gone),
                                       cmocka_unit_test(test_damaged),  cmocka_unit_test(test_session)};
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    harness_end();
    return failed;
}
