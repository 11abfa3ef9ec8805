/* SPDX-License-Identifier: MIT
 *
 * wordpiece.c: the longest token that a word begins with, then the longest that its rest begins
 * with, until the word ends; a word that has no such row of tokens is unknown as a whole.
 */
#include <jansson.h>

#include "base/error.h"
#include "text/model.h"

typedef struct wordpiece {
    vocab *vocab;
    int32_t unknown;
    int64_t most; /* characters of a word that is looked at */
    bytes prefix, text;
    size_t longest; /* token, in bytes */
} wordpiece;

static void *open_wordpiece(const field *f, vocab *v)
{
    size_t n;
    wordpiece *w = calloc(1, sizeof *w);
    if (!w) return NULL;
    const field list = field_key(f, "vocab"), unknown = field_key(f, "unk_token");
    w->vocab = v;
    vocab_read(v, &list);
    w->most = field_int(f, "max_input_chars_per_word", 0, INT32_MAX, 100);
    const char *text = field_text(f, "continuing_subword_prefix", "##", &n);
    bytes_put(&w->prefix, text, n);
    text = field_text(f, "unk_token", "[UNK]", &n);
    w->unknown = vocab_find(v, text, n);
    if (w->unknown < 0) field_wrong(&unknown, "it is not among the tokens of model.vocab");
    for (int32_t id = 0; id < v->n_words; id++)
        if (v->word[id].id >= 0 && v->word[id].n > w->longest) w->longest = v->word[id].n;
    if (w->prefix.failed) field_no_memory(f);
    return w;
}

static void close_wordpiece(void *model)
{
    wordpiece *w = model;
    if (!w) return;
    free(w->prefix.at);
    free(w->text.at);
    free(w);
}

/* The longest token from `at` on, and where it ends; -1: there is none. */
static int32_t longest_at(wordpiece *w, const char *text, size_t n, size_t at, size_t *end)
{
    const size_t in_front = at ? w->prefix.n : 0;
    size_t length = n - at;
    w->text.n = 0;
    if (in_front) bytes_put(&w->text, w->prefix.at, in_front);
    bytes_put(&w->text, text + at, length);
    if (w->text.failed) return -1;
    if (in_front + length > w->longest) {
        length = w->longest > in_front ? w->longest - in_front : 0;
        while (length && ((unsigned char)text[at + length] & 0xC0) == 0x80) length--;
    }
    while (length) {
        const int32_t id = vocab_find(w->vocab, w->text.at, in_front + length);
        if (id >= 0) return *end = at + length, id;
        do length--;
        while (length && ((unsigned char)text[at + length] & 0xC0) == 0x80);
    }
    return -1;
}

static int32_t encode(void *model, const char *text, size_t n, id_list *to, heed_error *error)
{
    wordpiece *w = model;
    const size_t before = to->n;
    int64_t characters = 0;
    for (size_t i = 0; i < n; i += utf8_length(text[i])) characters++;
    int32_t id = characters > w->most ? -1 : 0;
    for (size_t at = 0; at < n && id >= 0;) {
        id = longest_at(w, text, n, at, &at);
        if (id >= 0) id_list_put(to, id);
    }
    if (w->text.failed) return error_memory(error);
    if (id >= 0) return HEED_OK;
    to->n = before;
    id_list_put(to, w->unknown);
    return HEED_OK;
}

const model_type model_wordpiece = {"WordPiece", open_wordpiece, encode, close_wordpiece};
