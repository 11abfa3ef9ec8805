/* SPDX-License-Identifier: MIT
 *
 * gguf_tokenizer.c: the tokenizer in the metadata of a GGUF file, as the tokenizer.json that
 * transformers has for the same network, which engine/text/ reads.
 *
 *     tokenizer.ggml.model = gpt2    byte-level BPE: merges, and by tokenizer.ggml.pre how a text is split
 *     tokenizer.ggml.model = llama   SentencePiece's BPE: scores. Two neighbours merge if what they make is a
 *                                    token, the one with the highest score first; so each way to cut a token
 *                                    in two is a merge, whose rank is that of the token's score
 *
 * Others are refused by name.
 */
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "io/gguf.h"

#define TOKENS_MOST (1 << 24)
#define PIECE_MOST 4096      /* bytes of a token that is cut in two */
#define SPACE "\xE2\x96\x81" /* U+2581, which SentencePiece writes for a space */
#define OTHERWISE "; --ids FILE.npy takes the numbers of tokens in the place of a text"

/* The kinds of tokens, tokenizer.ggml.token_type. */
enum { UNKNOWN = 2, CONTROL = 3, USER_DEFINED = 4 };

typedef struct maker {
    gguf g;
    heed_error *error;
    json_t *tokens, *kinds, *scores; /* lists, or NULL */
    size_t count;
    json_t *root;
} maker;

/* ---- the metadata ---- */

static const char *text_of(const maker *m, const char *key, size_t *n)
{
    const gguf_value *v = gguf_find(&m->g, key);
    json_t *text = v && !gguf_is_list(v) ? gguf_json(&m->g, v) : NULL;
    *n = json_is_string(text) ? (size_t)v->count : 0;
    const char *at = json_is_string(text) ? (const char *)v->at : NULL;
    json_decref(text);
    return at;
}

static int word_is(const maker *m, const char *key, const char *word)
{
    size_t n;
    const char *at = text_of(m, key, &n);
    return at && n == strlen(word) && !memcmp(at, word, n);
}

static int flag(const maker *m, const char *key, int usual)
{
    const gguf_value *v = gguf_find(&m->g, key);
    json_t *value = v && !gguf_is_list(v) ? gguf_json(&m->g, v) : NULL;
    const int is = json_is_boolean(value) ? json_is_true(value) : usual;
    json_decref(value);
    return is;
}

/* A list with an item for each token; *to stays NULL where it may be absent. */
static int32_t list(maker *m, const char *key, int must, size_t count, json_t **to)
{
    const gguf_value *v = gguf_find(&m->g, key);
    if (!v && !must) return HEED_OK;
    if (!v || !gguf_is_list(v) || v->count > TOKENS_MOST)
        return error_set(m->error, HEED_E_UNSUPPORTED,
                         "%s: there is no list %s of up to %d items" OTHERWISE, m->g.path, key,
                         TOKENS_MOST);
    if (count && v->count != count)
        return error_set(m->error, HEED_E_DATA, "%s: %s has %llu items, but there are %zu tokens",
                         m->g.path, key, (unsigned long long)v->count, count);
    return (*to = gguf_json(&m->g, v)) ? HEED_OK : m->error->code;
}

static const char *token(const maker *m, int64_t id)
{
    return id < 0 ? NULL : json_string_value(json_array_get(m->tokens, (size_t)id));
}

/* Of a key such as bos_token_id; -1: there is none, or no such token. */
static int64_t token_id(const maker *m, const char *key, int64_t usual)
{
    const gguf_value *v = gguf_find(&m->g, key);
    json_t *value = v && !gguf_is_list(v) ? gguf_json(&m->g, v) : NULL;
    const int64_t id = json_is_integer(value) ? json_integer_value(value) : usual;
    json_decref(value);
    return token(m, id) ? id : -1;
}

static int64_t kind(const maker *m, size_t id)
{
    return m->kinds ? json_integer_value(json_array_get(m->kinds, id)) : 1;
}

static int32_t read_tokens(maker *m)
{
    TRY(list(m, "tokenizer.ggml.tokens", 1, 0, &m->tokens));
    m->count = json_array_size(m->tokens);
    TRY(list(m, "tokenizer.ggml.token_type", 0, m->count, &m->kinds));
    for (size_t i = 0; i < m->count; i++) {
        const json_t *text = json_array_get(m->tokens, i);
        if (!json_is_string(text) || strlen(json_string_value(text)) != json_string_length(text))
            return error_set(m->error, HEED_E_DATA,
                             "%s: tokenizer.ggml.tokens[%zu] is no text without a NUL", m->g.path,
                             i);
    }
    return HEED_OK;
}

/* ---- what both models have ---- */

static int32_t set(maker *m, json_t *in, const char *key, json_t *value)
{
    return json_object_set_new(in, key, value) ? error_memory(m->error) : HEED_OK;
}

/* {"the": 5, ...}, without those that are only found as a whole. */
static int32_t put_vocab(maker *m, json_t *model)
{
    json_t *vocab = json_object();
    for (size_t i = 0; vocab && i < m->count; i++)
        if (kind(m, i) != CONTROL && kind(m, i) != USER_DEFINED)
            TRY(set(m, vocab, token(m, (int64_t)i), json_integer((json_int_t)i)));
    return set(m, model, "vocab", vocab);
}

static int32_t put_added(maker *m)
{
    json_t *added = json_array();
    TRY(set(m, m->root, "added_tokens", added));
    for (size_t i = 0; i < m->count; i++) {
        const int64_t k = kind(m, i);
        if (k != UNKNOWN && k != CONTROL && k != USER_DEFINED) continue;
        json_t *one =
            json_pack("{s:I, s:O, s:b, s:b}", "id", (json_int_t)i, "content",
                      json_array_get(m->tokens, i), "special", k != USER_DEFINED, "normalized", 0);
        if (json_array_append_new(added, one)) return error_memory(m->error);
    }
    return HEED_OK;
}

/* The tokens around a text. */
static int32_t put_around(maker *m, int begins)
{
    json_t *single = json_array(), *special = json_object();
    static const struct {
        const char *flag, *id;
    } side[] = {{"tokenizer.ggml.add_bos_token", "tokenizer.ggml.bos_token_id"},
                {"tokenizer.ggml.add_eos_token", "tokenizer.ggml.eos_token_id"}};
    int32_t failed = set(m, m->root, "post_processor",
                         json_pack("{s:s, s:o?, s:o?}", "type", "TemplateProcessing", "single",
                                   single, "special_tokens", special));
    for (int i = 0; !failed && i < 2; i++) {
        const int64_t id = flag(m, side[i].flag, i ? 0 : begins) ? token_id(m, side[i].id, -1) : -1;
        if (i && json_array_append_new(single, json_pack("{s:{s:s}}", "Sequence", "id", "A")))
            failed = error_memory(m->error);
        if (id < 0 || failed) continue;
        failed = set(m, special, token(m, id), json_pack("{s:[I]}", "ids", (json_int_t)id));
        if (json_array_append_new(single,
                                  json_pack("{s:{s:s}}", "SpecialToken", "id", token(m, id))))
            failed = error_memory(m->error);
    }
    return failed;
}

/* ---- byte-level BPE ---- */

#define ENDINGS "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|"
#define SPACES "| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"
#define BYTES(use_regex)                                                                           \
    "{\"type\": \"ByteLevel\", \"add_prefix_space\": false, \"use_regex\": " use_regex "}"

/* What stands behind a name of tokenizer.ggml.pre: how a text is split, by a pattern or as JSON. */
static const struct {
    const char *name, *pattern, *splits;
    int composes, ignores_merges, begins;
} pres[] = {
    {"gpt-2", NULL, BYTES("true"), 0, 0, 0},
    {"phi-2", NULL, BYTES("true"), 0, 0, 0},
    {"smollm", NULL,
     "{\"type\": \"Sequence\", \"pretokenizers\": [{\"type\": \"Digits\", \"individual_digits\": "
     "true}, " BYTES("true") "]}",
     0, 0, 0},
    {"llama-bpe", ENDINGS "\\p{N}{1,3}" SPACES, NULL, 0, 1, 1},
    {"qwen2", ENDINGS "\\p{N}" SPACES, NULL, 1, 0, 0},
    {"deepseek-r1-qwen", ENDINGS "\\p{N}" SPACES, NULL, 1, 0, 0},
};
#define PRES (sizeof pres / sizeof *pres)

static int32_t put_splits(maker *m, size_t pre)
{
    json_t *made = pres[pre].splits
                       ? json_loads(pres[pre].splits, 0, NULL)
                       : json_pack("{s:s, s:[{s:s, s:{s:s}, s:s, s:b}, {s:s, s:b, s:b}]}", "type",
                                   "Sequence", "pretokenizers", "type", "Split", "pattern", "Regex",
                                   pres[pre].pattern, "behavior", "Isolated", "invert", 0, "type",
                                   "ByteLevel", "add_prefix_space", 0, "use_regex", 0);
    TRY(set(m, m->root, "pre_tokenizer", made));
    if (!pres[pre].composes) return HEED_OK;
    return set(m, m->root, "normalizer", json_pack("{s:s}", "type", "NFC"));
}

static int32_t make_bytes(maker *m, json_t *model)
{
    char known[160] = "";
    size_t pre = 0, length;
    json_t *merges = NULL;
    while (pre < PRES && !word_is(m, "tokenizer.ggml.pre", pres[pre].name)) pre++;
    for (size_t i = 0, n = 0; i < PRES; i++)
        n += (size_t)snprintf(known + n, sizeof known - n, "%s%s", i ? ", " : "", pres[i].name);
    if (pre == PRES) {
        const char *name = text_of(m, "tokenizer.ggml.pre", &length);
        return error_set(
            m->error, HEED_E_UNSUPPORTED,
            "%s: tokenizer.ggml.pre is \"%.*s\", which is not read; these are: %s" OTHERWISE,
            m->g.path, name ? (int)(length > 48 ? 48 : length) : 6, name ? name : "absent", known);
    }
    TRY(list(m, "tokenizer.ggml.merges", 1, 0, &merges));
    TRY(set(m, model, "merges", merges));
    TRY(set(m, model, "ignore_merges", json_boolean(pres[pre].ignores_merges)));
    TRY(put_splits(m, pre));
    TRY(set(m, m->root, "decoder", json_pack("{s:s}", "type", "ByteLevel")));
    return put_around(m, pres[pre].begins);
}

/* ---- SentencePiece's BPE ---- */

typedef struct ranked {
    double score;
    size_t id;
} ranked;

static int by_score(const void *a, const void *b)
{
    const ranked *x = a, *y = b;
    return x->score != y->score ? (x->score > y->score ? -1 : 1)
                                : (x->id > y->id) - (x->id < y->id);
}

/* The ways to cut a token in two others. */
static int32_t put_cuts(maker *m, const json_t *vocab, json_t *merges, size_t id, size_t rank)
{
    char left[PIECE_MOST];
    const char *text = token(m, (int64_t)id);
    const size_t n = strlen(text);
    for (size_t cut = 1; cut < n && n < PIECE_MOST; cut++) {
        if (((unsigned char)text[cut] & 0xC0) == 0x80) continue; /* within a character */
        memcpy(left, text, cut);
        left[cut] = 0;
        if (!json_object_get(vocab, left) || !json_object_get(vocab, text + cut)) continue;
        if (json_array_append_new(merges, json_pack("[ssI]", left, text + cut, (json_int_t)rank)))
            return error_memory(m->error);
    }
    return HEED_OK;
}

static int32_t put_merges(maker *m, json_t *model)
{
    json_t *merges = json_array(), *vocab = json_object_get(model, "vocab");
    ranked *order = calloc(m->count + 1, sizeof *order);
    int32_t failed = set(m, model, "merges", merges);
    if (!order && !failed) failed = error_memory(m->error);
    for (size_t i = 0; !failed && i < m->count; i++) {
        order[i] = (ranked){json_number_value(json_array_get(m->scores, i)), i};
    }
    if (!failed && m->count) qsort(order, m->count, sizeof *order, by_score);
    for (size_t i = 0, rank = 0; !failed && i < m->count; i++) {
        if (i && order[i].score != order[i - 1].score) rank = i;
        if (kind(m, order[i].id) == 1) failed = put_cuts(m, vocab, merges, order[i].id, rank);
    }
    free(order);
    return failed;
}

static int32_t make_pieces(maker *m, json_t *model)
{
    const int prefix = flag(m, "tokenizer.ggml.add_space_prefix", 1);
    const int64_t unknown = token_id(m, "tokenizer.ggml.unknown_token_id", 0);
    TRY(list(m, "tokenizer.ggml.scores", 1, m->count, &m->scores));
    TRY(put_merges(m, model));
    TRY(set(m, model, "byte_fallback", json_true()));
    TRY(set(m, model, "fuse_unk", json_true()));
    if (unknown >= 0 && json_object_get(json_object_get(model, "vocab"), token(m, unknown)))
        TRY(set(m, model, "unk_token", json_string(token(m, unknown))));
    json_t *steps = json_pack("[{s:s, s:{s:s}, s:s}]", "type", "Replace", "pattern", "String", " ",
                              "content", SPACE),
           *back =
               json_pack("[{s:s, s:{s:s}, s:s}, {s:s}, {s:s}]", "type", "Replace", "pattern",
                         "String", SPACE, "content", " ", "type", "ByteFallback", "type", "Fuse");
    if (prefix && (json_array_insert_new(
                       steps, 0, json_pack("{s:s, s:s}", "type", "Prepend", "prepend", SPACE)) ||
                   json_array_append_new(back, json_pack("{s:s, s:s, s:i, s:i}", "type", "Strip",
                                                         "content", " ", "start", 1, "stop", 0)))) {
        json_decref(steps);
        json_decref(back);
        return error_memory(m->error);
    }
    TRY(set(m, m->root, "normalizer",
            json_pack("{s:s, s:o?}", "type", "Sequence", "normalizers", steps)));
    TRY(set(m, m->root, "decoder", json_pack("{s:s, s:o?}", "type", "Sequence", "decoders", back)));
    return put_around(m, 1);
}

/* ---- both files of a folder ---- */

static int32_t make(maker *m)
{
    size_t n;
    json_t *model = json_pack("{s:s}", "type", "BPE");
    m->root = json_object();
    TRY(set(m, m->root, "model", model));
    const int bytes = word_is(m, "tokenizer.ggml.model", "gpt2");
    if (!bytes && !word_is(m, "tokenizer.ggml.model", "llama")) {
        const char *name = text_of(m, "tokenizer.ggml.model", &n);
        return error_set(
            m->error, HEED_E_UNSUPPORTED,
            "%s: tokenizer.ggml.model is \"%.*s\", but gpt2 and llama are read" OTHERWISE,
            m->g.path, name ? (int)(n > 48 ? 48 : n) : 6, name ? name : "absent");
    }
    TRY(read_tokens(m));
    TRY(put_vocab(m, model));
    TRY(put_added(m));
    return bytes ? make_bytes(m, model) : make_pieces(m, model);
}

static int32_t make_chat(maker *m)
{
    static const char *const keys[] = {"bos_token", "eos_token"},
                             *const ids[] = {"tokenizer.ggml.bos_token_id",
                                             "tokenizer.ggml.eos_token_id"};
    const gguf_value *v = gguf_find(&m->g, "tokenizer.chat_template");
    m->root = json_object();
    TRY(read_tokens(m));
    if (v && !gguf_is_list(v)) {
        json_t *text = gguf_json(&m->g, v);
        if (!text) return m->error->code;
        TRY(set(m, m->root, "chat_template", text));
    }
    for (int i = 0; i < 2; i++) {
        const char *text = token(m, token_id(m, ids[i], -1));
        if (text) TRY(set(m, m->root, keys[i], json_string(text)));
    }
    return m->root ? HEED_OK : error_memory(m->error);
}

static json_t *run(const char *path, int32_t (*make_it)(maker *m), heed_error *error)
{
    maker m = {.error = error};
    int32_t failed = gguf_open(&m.g, path, error);
    if (!failed) failed = make_it(&m);
    json_decref(m.tokens);
    json_decref(m.kinds);
    json_decref(m.scores);
    gguf_close(&m.g);
    if (!failed) return m.root;
    json_decref(m.root);
    return NULL;
}

json_t *gguf_tokenizer(const char *path, heed_error *error) { return run(path, make, error); }
json_t *gguf_chat(const char *path, heed_error *error) { return run(path, make_chat, error); }
