/* SPDX-License-Identifier: MIT
 *
 * test_gguf.c: files of GGUF (models/gguf, made by models/gguf_files.py): their logits within 1e-4 of
 * those of transformers with the weights of the file, and the same tokens in greedy decoding; their
 * texts as tokens and back. What is in blocks has the bits of the same numbers as float32. And what is
 * refused: one sentence, also of files that have faults by chance.
 */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <jansson.h>

#include "lib/mutate.h"
#include "lib/network.h"

static heed_engine *engine;
static heed_weights *reference;
static heed_error e;
static char models[4096], file[] = "/tmp/heed-gguf-XXXXXX.gguf";

static const char *path_of(const char *name)
{
    static char path[4200];
    snprintf(path, sizeof path, "%s/%s.gguf", models, name);
    return path;
}

/* ---- against transformers ---- */

static const char *const files[] = {"llama_f32", "llama_q8_0", "qwen2_mixed", "qwen3_q4_0"};
#define FILES (sizeof files / sizeof *files)

static void test_reference(void **unused)
{
    (void)unused;
    for (size_t i = 0; i < FILES; i++)
        network_check(engine, path_of(files[i]), reference, files[i]);
}

/* ---- blocks ---- */

static float half(const unsigned char *at)
{
    const int exponent = at[1] >> 2 & 31, mantissa = (at[1] & 3) << 8 | at[0];
    const double x = exponent ? ldexp(1024 + mantissa, exponent - 25) : ldexp(mantissa, -24);
    return (float)(at[1] & 0x80 ? -x : x);
}

/* A tensor in blocks as float32, by the words of abi/tensor.h. */
static heed_tensor plain_of(const heed_tensor *t)
{
    heed_tensor made = heed_tensor_of(NULL, HEED_F32, t->rank, t->dim);
    assert_int_equal(heed_tensor_alloc(&made, NULL), 0);
    const int64_t n = heed_tensor_elements(t);
    const int q8 = t->dtype == HEED_Q8_0;
    for (int64_t i = 0; i < n; i++) {
        const unsigned char *b = (const unsigned char *)t->data + i / 32 * (q8 ? 34 : 18);
        const int at = (int)(i % 32);
        const int q = q8 ? (signed char)b[2 + at] : (b[2 + at % 16] >> (at < 16 ? 0 : 4) & 15) - 8;
        ((float *)made.data)[i] = half(b) * (float)q;
    }
    return made;
}

/* What the op makes of x with each of its matrices in blocks, and with the same ones as float32. */
static void check_blocks(const char *spec, const heed_binding *weights, uint32_t count,
                         int64_t rows)
{
    heed_tensor plain[4], x, y[2];
    heed_binding as_plain[4];
    const int64_t width = weights[0].tensor->dim[1], dim[] = {rows, width};
    for (uint32_t i = 0; i < count; i++)
        plain[i] = plain_of(weights[i].tensor),
        as_plain[i] = (heed_binding){weights[i].port, &plain[i]};
    const int is_embed = !strcmp(spec, "embed/table");
    x = heed_tensor_of(NULL, is_embed ? HEED_I32 : HEED_F32, is_embed ? 1 : 2, dim);
    assert_int_equal(heed_tensor_alloc(&x, NULL), 0);
    for (int64_t i = 0; i < heed_tensor_elements(&x); i++)
        if (is_embed) ((int32_t *)x.data)[i] = (int32_t)(i * 7 % weights[0].tensor->dim[0]);
        else ((float *)x.data)[i] = (float)(i * 37 % 101) / 64 - 0.75f;
    for (int form = 0; form < 2; form++) {
        const heed_opening opening = {
            .size = sizeof opening, .n_weights = count, .weights = form ? as_plain : weights};
        heed_instance *op = heed_instance_open(engine, spec, &opening, &e);
        if (!op) fail_msg("%s: %s", spec, e.text);
        const heed_binding in = {is_embed ? "tokens" : "x", &x};
        const int64_t outputs =
                          !strcmp(spec, "linear/projection") ? weights[0].tensor->dim[0] : width,
                      to[] = {rows, outputs};
        y[form] = heed_tensor_of(NULL, HEED_F32, 2, to);
        assert_int_equal(heed_tensor_alloc(&y[form], NULL), 0);
        const heed_binding out = {"out", &y[form]};
        if (heed_run(op, &in, 1, &out, 1, NULL, &e)) fail_msg("%s: %s", spec, e.text);
        heed_instance_close(op);
    }
    if (memcmp(y[0].data, y[1].data, (size_t)y[0].bytes))
        fail_msg("%s, %lld rows", spec, (long long)rows);
    for (uint32_t i = 0; i < count; i++) free(plain[i].data);
    free(x.data), free(y[0].data), free(y[1].data);
}

static void test_blocks(void **unused)
{
    static const char *const names[] = {"llama_q8_0", "qwen2_mixed", "qwen3_q4_0"};
    (void)unused;
    for (size_t i = 0; i < 3; i++)
        for (int64_t rows = 1; rows <= 7; rows += 2) {
            heed_weights *w = heed_weights_open(path_of(names[i]), &e);
            if (!w) fail_msg("%s", e.text);
            const heed_binding table[] = {{"table", heed_weights_find(w, "embed.table")}},
                               o[] = {{"weight", heed_weights_find(w, "layers.0.o.weight")}},
                               gated[] = {
                                   {"gate", heed_weights_find(w, "layers.1.feedforward.gate")},
                                   {"up", heed_weights_find(w, "layers.1.feedforward.up")},
                                   {"down", heed_weights_find(w, "layers.1.feedforward.down")}};
            check_blocks("embed/table", table, 1, rows);
            check_blocks("linear/projection",
                         table[0].tensor ? (heed_binding[]){{"weight", table[0].tensor}} : o, 1,
                         rows);
            check_blocks("linear/projection", o, 1, rows);
            check_blocks("feedforward/swiglu", gated, 3, rows);
            check_blocks("feedforward/swiglu(weights=int8)", gated, 3, rows);
            check_blocks("feedforward/swiglu(weights=int4)", gated, 3, rows);
            heed_weights_close(w);
        }
}

/* Other ports refuse them, and a row that is cut within a block. */
static void test_blocks_refused(void **unused)
{
    heed_weights *w = heed_weights_open(path_of("llama_q8_0"), &e);
    (void)unused;
    if (!w) fail_msg("%s", e.text);
    heed_tensor t = *heed_weights_find(w, "layers.0.o.weight");
    const heed_binding bound = {"weight", &t}, gain = {"gain", &t};
    heed_opening opening = {.size = sizeof opening, .n_weights = 1, .weights = &gain};
    assert_null(heed_instance_open(engine, "norm/rms", &opening, &e));
    assert_non_null(strstr(e.text, "dtype q8_0 is not taken here"));
    opening.weights = &bound;
    t.dim[1] = 16;
    assert_null(heed_instance_open(engine, "linear/projection", &opening, &e));
    assert_non_null(strstr(e.text, "no whole blocks of 32"));
    t.dim[1] = 32, t.stride[0] = 48;
    assert_null(heed_instance_open(engine, "linear/projection", &opening, &e));
    assert_non_null(strstr(e.text, "no whole blocks of 32"));
    t.stride[0] = 64;
    assert_null(heed_instance_open(engine, "linear/projection", &opening, &e));
    assert_non_null(strstr(e.text, "bytes, but"));
    heed_weights_close(w);
}

/* ---- texts ---- */

static void check_text(const char *name, heed_tokenizer *t, const json_t *row)
{
    const json_t *text = json_array_get(row, 0), *right = json_array_get(row, 1),
                 *back = json_array_get(row, 2);
    const int32_t *ids = NULL;
    const char *made = NULL;
    const int64_t n =
        heed_tokenizer_encode(t, json_string_value(text), json_string_length(text), 1, 0, &ids, &e);
    int same = n == (int64_t)json_array_size(right);
    for (int64_t i = 0; same && i < n; i++)
        same = ids[i] == json_integer_value(json_array_get(right, (size_t)i));
    if (!same) fail_msg("%s: other tokens of %s", name, json_string_value(text));
    const int64_t length =
        heed_tokenizer_decode(t, ids, (uint64_t)n, HEED_TEXT_BEGINS | HEED_TEXT_ENDS, &made, &e);
    if (length != (int64_t)json_string_length(back) ||
        (length && memcmp(made, json_string_value(back), (size_t)length)))
        fail_msg("%s: another text of the tokens of %s", name, json_string_value(text));
}

static void test_texts(void **unused)
{
    char path[4200];
    const char *name;
    json_t *rows, *row;
    size_t i;
    (void)unused;
    snprintf(path, sizeof path, "%s/texts.json", models);
    json_t *all = json_load_file(path, 0, NULL);
    assert_non_null(all);
    json_object_foreach(all, name, rows)
    {
        heed_tokenizer *t = heed_tokenizer_open(path_of(name), &e);
        if (!t && e.code == HEED_E_UNSUPPORTED && strstr(e.text, "PCRE2"))
            break; /* built without */
        if (!t) fail_msg("%s", e.text);
        json_array_foreach(rows, i, row) check_text(name, t, row);
        heed_tokenizer_close(t);
    }
    json_decref(all);
}

/* ---- what is refused ---- */

static unsigned char bytes[1 << 18];
static size_t length;

static void load(const char *name)
{
    FILE *f = fopen(path_of(name), "rb");
    if (!f) fail_msg("%s", path_of(name));
    length = fread(bytes, 1, sizeof bytes, f);
    fclose(f);
    assert_true(length > 0 && length < sizeof bytes);
}

static void put(const void *data, size_t n)
{
    FILE *f = fopen(file, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(data, 1, n, f), n);
    assert_int_equal(fclose(f), 0);
}

/* Where the bytes behind a text begin. */
static size_t behind(const char *text)
{
    const size_t n = strlen(text);
    for (size_t i = 0; i + n <= length; i++)
        if (!memcmp(bytes + i, text, n)) return i + n;
    fail_msg("there is no %s", text);
    return 0;
}

/* The same of the last one. */
static size_t behind_last(const char *text)
{
    size_t at = behind(text);
    const size_t n = strlen(text);
    for (size_t i = at; i + n <= length; i++)
        if (!memcmp(bytes + i, text, n)) at = i + n;
    return at;
}

static void refused(const char *what, const char *part)
{
    memset(&e, 0, sizeof e);
    heed_weights *w = heed_weights_open(file, &e);
    if (w) fail_msg("%s: is not refused", what);
    if (!strstr(e.text, part) || strncmp(e.text, file, strlen(file)) || strchr(e.text, '\n'))
        fail_msg("%s: \"%s\" does not say \"%s\"", what, e.text, part);
}

/* Bytes that stand so far behind a text of llama_f32.gguf; or of another file, of which the tokenizer is
 * refused then, and numbers of tokens are still read. */
typedef struct change {
    const char *text;
    int skip;
    const char *to;
    int n;
    const char *part;
    const char *texts; /* that other file */
} change;

#define FAULT(...)                                                                                 \
    {                                                                                              \
        __VA_ARGS__, NULL                                                                          \
    }
static const change changes[] = {
    FAULT("", 0, "GGML", 4, "not a GGUF file"),
    FAULT("GGUF", 0, "\1", 1, "version is 1, but 2 and 3"),
    FAULT("GGUF", 0, "\0\0\0\3", 4, "big-endian"),
    FAULT("GGUF", 4, "\xff\xff\xff\xff\xff\xff\xff\xff", 8, "tensors and"),
    FAULT("GGUF", 12, "\xff\xff\xff\xff\xff\xff\xff\x7f", 8, "keys are said"),
    FAULT("general.name", 0, "\x0d", 1, "general.name is of the type 13"),
    FAULT("general.name", 0, "\x09\0\0\0\x09", 5, "no arrays in it"),
    FAULT("general.name", 0, "\x09\0\0\0\x06\0\0\0\xff\xff\xff\xff\xff\xff\xff\xff", 16,
          "general.name takes 18446744073709551615 bytes"),
    FAULT("general.name", 4, "\xff\xff\xff\xff\xff\xff\xff\xff", 8, "general.name takes 184467"),
    FAULT("general.name", 12, "\xff", 1, "general.name has a text that is no UTF-8"),
    FAULT("general.name", -1, " ", 1, "a key, at byte"),
    FAULT("general.architecture", 12, "mamba", 5,
          "general.architecture is \"mamba\", which is not read"),
    FAULT("llama.block_count", 4, "\0", 1, "\"llama.block_count\" is 0"),
    FAULT("llama.block_count", 4, "\3", 1, "no tensor 'blk.2.attn_norm.weight'"),
    FAULT("llama.block_count", 4, "\1", 1, "'blk.1."),
    FAULT("llama.block_count", -1, "s", 1, "\"llama.block_count\" is missing"),
    FAULT("llama.embedding_length", 4, "\x40", 1,
          "[llama.vocab_size 41, llama.embedding_length 64]"),
    FAULT("llama.attention.value_length", 4, "\7", 1, "\"llama.attention.value_length\" is 7"),
    FAULT("llama.rope.dimension_count", 4, "\4", 1, "\"llama.rope.dimension_count\" is 4"),
    FAULT("llama.rope.scaling.type", 12, "ntk!", 4, "\"llama.rope.scaling.type\" is \"ntk!\""),
    FAULT("llama.rope.scaling.factor", -6, "fictor", 6,
          "\"llama.rope.scaling.fictor\" is 4.0, but this key"),
    FAULT("token_embd.weight", 0, "\0", 1, "'token_embd.weight' has no 1 to 4 axes"),
    FAULT("token_embd.weight", 0, "\5", 1, "'token_embd.weight' has no 1 to 4 axes"),
    FAULT("token_embd.weight", 4, "\0", 1, "has an axis of no size"),
    FAULT("token_embd.weight", 4, "\xff\xff\xff\xff\xff\xff\xff\x7f", 8,
          "a shape that no memory can hold"),
    FAULT("token_embd.weight", 20, "\x0c", 1, "is of the type Q4_K, which is not read; F32"),
    FAULT("token_embd.weight", 20, "\x04", 1, "is of a type that is not known"),
    FAULT("token_embd.weight", 20, "\xff\xff\xff\xff", 4, "is of a type that is not known"),
    FAULT("token_embd.weight", 24, "\1", 1, "alignment, 32, does not divide"),
    FAULT("token_embd.weight", 24, "\0\0\0\0\0\0\xf0\xff", 8, "of the data on, which has"),
    FAULT("token_embd.weight", 24, "\x20", 1, "overlaps tensor"),
    FAULT("blk.0.attn_q.weight", -8, "k", 1, "tensor 'blk.0.attn_k.weight' is there twice"),
    FAULT("blk.0.attn_q.weight", -19, "\xfflk", 3, "the name of a tensor, at byte"),
    {"tokenizer.ggml.model", 12, "unigr", 5,
     "tokenizer.ggml.model is \"unigr\", but gpt2 and llama", "llama_q8_0"},
    {"tokenizer.ggml.pre", 12, "qwen9", 5, "tokenizer.ggml.pre is \"qwen9\", which is not read",
     "qwen2_mixed"},
};

static void texts_refused(const change *c)
{
    heed_tokenizer *t = heed_tokenizer_open(file, &e);
    if (t) fail_msg("%s is not refused", c->to);
    if (!strstr(e.text, c->part) && !strstr(e.text, "PCRE2")) fail_msg("%s", e.text);
    heed_weights *w = heed_weights_open(file, &e);
    assert_non_null(w);
    heed_weights_close(w);
}

static void test_refused(void **unused)
{
    (void)unused;
    for (size_t i = 0; i < sizeof changes / sizeof *changes; i++) {
        const change *c = &changes[i];
        load(c->texts ? c->texts : "llama_f32");
        memcpy(bytes + (ptrdiff_t)behind(c->text) + c->skip, c->to, (size_t)c->n);
        put(bytes, length);
        if (c->texts) texts_refused(c);
        else refused(c->part, c->part);
    }
    load("llama_f32");
    unlink(file);
    refused("no file", "cannot be opened");
    put("", 0);
    refused("nothing", "empty");
    put(bytes, length / 2);
    refused("half a file", "cut short");
}

/* A file that ends at any byte of its head is cut short. */
static void test_cut(void **unused)
{
    const size_t step = getenv("HEED_TEST_QUICK") ? 37 : 1;
    (void)unused;
    load("llama_f32");
    const size_t head = behind("blk.1.ffn_down.weight");
    for (size_t n = 1; n < head; n += step) {
        put(bytes, n);
        refused("a part", "cut short");
    }
}

/* ---- faults by chance ---- */

/* Some bytes become those of numbers that are too large, or another fault of mutate.h. */
static size_t damage(unsigned char *at, size_t n, uint64_t *chance)
{
    static const unsigned char odd[] = {0, 1, 0x7F, 0x80, 0xFF, 8, 9, 32};
    if (mutate_chance(chance) % 2) return mutate((char *)at, n, chance);
    for (uint64_t left = 1 + mutate_chance(chance) % 3; left; left--) {
        const size_t from = mutate_chance(chance) % n, most = n - from < 8 ? n - from : 8;
        memset(at + from, odd[mutate_chance(chance) % sizeof odd],
               1 + mutate_chance(chance) % most);
    }
    return n;
}

/* A head with zeros behind it, which take no place on the disk. */
static void put_head(const void *head, size_t n, size_t all)
{
    put(head, n);
    assert_int_equal(truncate(file, (off_t)all), 0);
}

static void fuzz(const char *name, const char *last, long count, uint64_t *chance)
{
    load(name);
    unsigned char *changed = malloc(length + 64);
    const size_t head = behind_last(last) + 40;
    long opened = 0;
    for (long i = 0; i < count; i++) {
        memcpy(changed, bytes, head);
        const size_t now = damage(changed, head, chance);
        put_head(changed, now, now + length - head);
        memset(&e, 0, sizeof e);
        heed_weights *w = heed_weights_open(file, &e);
        if (!w && (!e.code || !*e.text)) fail_msg("%s, run %ld: no sentence", name, i);
        opened += w != NULL;
        if (i % 8 == 0) { /* what a tokenizer makes of it */
            memset(&e, 0, sizeof e);
            heed_tokenizer *t = heed_tokenizer_open(file, &e);
            if (!t && (!e.code || !*e.text)) fail_msg("%s, run %ld: no sentence", name, i);
            heed_tokenizer_close(t);
        }
        heed_weights_close(w);
    }
    if (count >= 100 && !(opened > 0 && opened < count))
        fail_msg("%s: %ld of %ld are opened", name, opened, count);
    free(changed);
}

/* HEED_FUZZ=N asks for N runs (tests/fuzz.sh). */
static void test_fuzz(void **unused)
{
    const char *asked = getenv("HEED_FUZZ"), *seed = getenv("HEED_FUZZ_SEED");
    const long count = asked ? atol(asked) : getenv("HEED_TEST_QUICK") ? 20 : 2000;
    uint64_t chance = seed ? strtoull(seed, NULL, 10) : 1;
    (void)unused;
    fuzz("llama_f32", "output.weight", count - count / 8, &chance);
    fuzz("qwen2_mixed", "output_norm.weight", count / 16 + 1, &chance);
    fuzz("llama_q8_0", "output.weight", count / 16 + 1, &chance);
}

static int setup(void **unused)
{
    (void)unused;
    const int made = mkstemps(file, 5);
    return network_begin("gguf", models, &engine, &reference) || made < 0 || close(made);
}

static int teardown(void **unused)
{
    (void)unused;
    unlink(file);
    network_end(engine, reference);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reference),      cmocka_unit_test(test_blocks),
        cmocka_unit_test(test_blocks_refused), cmocka_unit_test(test_texts),
        cmocka_unit_test(test_refused),        cmocka_unit_test(test_cut),
        cmocka_unit_test(test_fuzz),
    };
    cmocka_set_test_filter(getenv("HEED_TEST_ONLY"));
    return cmocka_run_group_tests(tests, setup, teardown);
}
