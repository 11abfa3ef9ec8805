/* SPDX-License-Identifier: MIT
 *
 * tokenizer.c: texts as the numbers of tokens and back.
 *
 * A text goes through the parts of tokenizer.json in this order: added tokens that are looked for in
 * the text as it is, the normalizer, added tokens that are looked for behind it, the pre-tokenizer,
 * the model, the post-processor; and tokens through the decoder.
 */
#include "text/tokenizer.h"

#include <jansson.h>

#include "base/error.h"
#include "text/added.h"
#include "text/decode.h"
#include "text/model.h"
#include "text/normalize.h"
#include "text/split.h"

#define SLOTS (1u << 15)           /* of words that are remembered */
#define WORD_MOST 128              /* bytes of one */
#define REMEMBERED_MOST (4u << 20) /* bytes of all, before all are forgotten */

/* A word that was made into tokens. */
typedef struct remembered {
    size_t text, ids; /* where they begin */
    uint32_t n, count;
} remembered;

struct tokenizer {
    fields fields;
    vocab vocab;
    normalizer normalizer;
    splitter splitter;
    const model_type *type;
    void *model;
    added added;
    decoder decoder;
    id_list front, behind; /* what models read around a text */

    remembered *word; /* [SLOTS], by hash */
    bytes texts;
    id_list ids;
};

/* ---- reading ---- */

static void read_model(tokenizer *t, const field *f)
{
    static const model_type *const types[] = {&model_bpe, &model_wordpiece, &model_unigram};
    const field type = field_key(f, "type");
    if (!f->value) field_wrong(f, "a model is needed");
    /* files of old do not say it of BPE, which alone has merges */
    const field merges = field_key(f, "merges");
    const int which =
        !type.value && merges.value ? 0 : field_choice(f, "type", NULL, "BPE, WordPiece, Unigram");
    if (f->of->failed) return;
    t->type = types[which];
    t->model = t->type->open(f, &t->vocab);
    if (!t->model) field_no_memory(f);
}

static void put_ids(id_list *to, const field *list)
{
    for (size_t i = 0; i < field_list(list); i++) {
        const field id = field_item(list, i);
        id_list_put(to, (int32_t)field_as_int(&id, 0, VOCAB_MOST - 1));
    }
}

/* [{"SpecialToken": {"id": "<s>"}}, {"Sequence": {"id": "A"}}] */
static void read_template(const field *f, id_list *front, id_list *behind)
{
    const field list = field_key(f, "single"), all = field_key(f, "special_tokens");
    int sequences = 0;
    for (size_t i = 0; i < field_list(&list) && !f->of->failed; i++) {
        const field item = field_item(&list, i), special = field_key(&item, "SpecialToken"),
                    sequence = field_key(&item, "Sequence");
        sequences += sequence.value != NULL;
        if (sequence.value) continue;
        const field token = field_key(&all, field_word(&special, "id", NULL)),
                    numbers = field_key(&token, "ids");
        if (!f->of->failed) put_ids(sequences ? behind : front, &numbers);
    }
    if (sequences != 1) field_wrong(&list, "it is read with one Sequence in it");
}

/* ["[SEP]", 102] */
static int32_t read_pair(const field *f, const char *key)
{
    const field pair = field_key(f, key), id = field_item(&pair, 1);
    return (int32_t)field_as_int(&id, 0, VOCAB_MOST - 1);
}

static void put_all(id_list *to, const id_list *from)
{
    for (size_t i = 0; i < from->n; i++) id_list_put(to, from->at[i]);
}

/* Around what those before have put around the text. */
static void read_post(tokenizer *t, const field *f, int depth)
{
    static const char types[] =
        "Sequence, TemplateProcessing, BertProcessing, RobertaProcessing, ByteLevel";
    const int type = field_choice(f, "type", NULL, types);
    const field list = field_key(f, "processors");
    id_list front = {0};
    if (f->of->failed) return;
    if (type == 0)
        for (size_t i = 0; i < field_list(&list) && !f->of->failed; i++) {
            const field item = field_item(&list, i);
            if (depth > 8) field_wrong(f, "at most 8 sequences in one another are read");
            else read_post(t, &item, depth + 1);
        }
    if (type == 1) read_template(f, &front, &t->behind);
    if (type == 2 || type == 3) {
        id_list_put(&front, read_pair(f, "cls"));
        id_list_put(&t->behind, read_pair(f, "sep"));
    }
    if (type && front.n) {
        put_all(&front, &t->front);
        free(t->front.at);
        t->front = front;
    } else free(front.at);
    if (t->front.failed || t->behind.failed) field_no_memory(f);
}

static void read_all(tokenizer *t)
{
    const field root = field_root(&t->fields), model = field_key(&root, "model"),
                normal = field_key(&root, "normalizer"), split = field_key(&root, "pre_tokenizer"),
                post = field_key(&root, "post_processor"),
                tokens = field_key(&root, "added_tokens"), decode = field_key(&root, "decoder");
    normalizer_read(&t->normalizer, &normal);
    splitter_read(&t->splitter, &split);
    read_model(t, &model);
    if (!t->fields.failed) added_read(&t->added, &tokens, &t->vocab, &t->normalizer);
    if (!t->fields.failed && post.value) read_post(t, &post, 0);
    decoder_read(&t->decoder, &decode);
    t->word = calloc(SLOTS, sizeof *t->word);
    if (!t->word) field_no_memory(&root);
}

tokenizer *tokenizer_open(const char *folder, heed_error *error)
{
    heed_error own;
    if (!error) error = &own;
    tokenizer *t = calloc(1, sizeof *t);
    if (!t) return error_memory(error), NULL;
    if (!fields_open(&t->fields, folder, error)) read_all(t);
    /* sentences later need its path alone */
    json_decref(t->fields.root);
    t->fields.root = NULL;
    if (!t->fields.failed) return t;
    tokenizer_close(t);
    return NULL;
}

char *tokenizer_json(const char *path, heed_error *error)
{
    fields f;
    char *text = NULL;
    if (!fields_open(&f, path, error) && !(text = json_dumps(f.root, JSON_COMPACT)))
        error_memory(error);
    fields_close(&f);
    return text;
}

void tokenizer_close(tokenizer *t)
{
    if (!t) return;
    if (t->type) t->type->close(t->model);
    normalizer_close(&t->normalizer);
    splitter_close(&t->splitter);
    decoder_close(&t->decoder);
    added_close(&t->added);
    vocab_free(&t->vocab);
    fields_close(&t->fields);
    free(t->front.at);
    free(t->behind.at);
    free(t->word);
    free(t->texts.at);
    free(t->ids.at);
    free(t);
}

/* ---- a text to numbers ---- */

typedef struct work {
    tokenizer *t;
    const char *begin; /* of the text */
    int first;         /* nothing stands in front of the part */
    id_list *to;
} work;

static int32_t put_new_word(tokenizer *t, const char *text, size_t n, id_list *to,
                            heed_error *error)
{
    const size_t before = to->n;
    TRY(t->type->encode(t->model, text, n, to, error));
    if (to->failed) return error_memory(error);
    if (n > WORD_MOST) return HEED_OK;
    if (t->texts.n + n > REMEMBERED_MOST) {
        memset(t->word, 0, SLOTS * sizeof *t->word);
        t->texts.n = t->ids.n = 0;
    }
    const remembered w = {t->texts.n, t->ids.n, (uint32_t)n, (uint32_t)(to->n - before)};
    bytes_put(&t->texts, text, n);
    for (size_t i = before; i < to->n; i++) id_list_put(&t->ids, to->at[i]);
    if (t->texts.failed || t->ids.failed) return error_memory(error);
    t->word[vocab_hash(text, n) & (SLOTS - 1)] = w;
    return HEED_OK;
}

static int32_t put_word(void *context, const char *text, size_t n, heed_error *error)
{
    const work *w = context;
    tokenizer *t = w->t;
    if (n > WORD_MOST) return put_new_word(t, text, n, w->to, error);
    const remembered *known = &t->word[vocab_hash(text, n) & (SLOTS - 1)];
    if (known->n != n || memcmp(t->texts.at + known->text, text, n))
        return put_new_word(t, text, n, w->to, error);
    for (uint32_t i = 0; i < known->count; i++) id_list_put(w->to, t->ids.at[known->ids + i]);
    return HEED_OK;
}

static int32_t put_normal(void *context, const char *text, size_t n, const added_token *token,
                          heed_error *error)
{
    work *w = context;
    const int first = w->first;
    w->first = 0;
    if (!token) return splitter_run(&w->t->splitter, text, n, first, put_word, w, error);
    id_list_put(w->to, token->id);
    return HEED_OK;
}

static int32_t put_raw(void *context, const char *text, size_t n, const added_token *token,
                       heed_error *error)
{
    work *w = context;
    w->first = text == w->begin;
    if (token) return id_list_put(w->to, token->id), HEED_OK;
    TRY(normalizer_run(&w->t->normalizer, &text, &n, error));
    return added_split(&w->t->added, &w->t->added.normalized, text, n, put_normal, w, error);
}

int32_t tokenizer_encode(tokenizer *t, const char *name, const char *text, size_t n, int special,
                         size_t most, id_list *to, heed_error *error)
{
    const size_t valid = utf8_valid(text, n), before = to->n,
                 around = special ? t->front.n + t->behind.n : 0;
    if (valid < n)
        return error_set(error, HEED_E_DATA,
                         "%s: byte %zu is 0x%02X, which is no UTF-8 there, as the text for a "
                         "tokenizer has to be",
                         name, valid, (unsigned char)text[valid]);
    work w = {.t = t, .begin = text, .to = to};
    if (special) put_all(to, &t->front);
    TRY(added_split(&t->added, &t->added.raw, text, n, put_raw, &w, error));
    if (most && to->n - before + (special ? t->behind.n : 0) > most)
        to->n = before + (special ? t->front.n : 0) + (most > around ? most - around : 0);
    if (special) put_all(to, &t->behind);
    return to->failed ? error_memory(error) : HEED_OK;
}

/* ---- and back ---- */

void tokenizer_begin(tokenizer *t) { decoder_begin(&t->decoder); }

int32_t tokenizer_put(tokenizer *t, int32_t id, bytes *to, heed_error *error)
{
    size_t n;
    const added_token *token = added_find(&t->added, id);
    const char *text = token ? token->text.at : vocab_text(&t->vocab, id, &n);
    if (token) n = token->text.n;
    /* a number that no token has gives nothing, as there */
    if (!text || (token && token->special)) return HEED_OK;
    return decoder_put(&t->decoder, text, n, to, error);
}

int32_t tokenizer_end(tokenizer *t, bytes *to, heed_error *error)
{
    return decoder_end(&t->decoder, to, error);
}
