/* SPDX-License-Identifier: MIT
 *
 * added.c: the tokens that were added to a model.
 *
 * At each place the longest counts. Invariant: parts cover the text.
 */
#include "text/added.h"

#include <jansson.h>

#include "base/error.h"
#include "base/grow.h"

#define TOKENS_MOST (1u << 20)

/* ---- reading ---- */

static void read_token(added *a, const field *f, const vocab *model)
{
    size_t n;
    const field content = field_key(f, "content"), number = field_key(f, "id");
    const char *text = field_as_text(&content, &n);
    const int64_t id = field_as_int(&number, 0, VOCAB_MOST - 1);
    if (f->of->failed || !n) return;
    added_token *t = grow_append(&a->token, &a->n_tokens, sizeof *t);
    if (!t) {
        field_no_memory(f);
        return;
    }
    /* what the model has by this text keeps its number there */
    const int32_t own = vocab_find(model, text, n);
    t->id = own >= 0 ? own : (int32_t)id;
    t->special = field_flag(f, "special", 0);
    t->single_word = field_flag(f, "single_word", 0);
    t->lstrip = field_flag(f, "lstrip", 0);
    t->rstrip = field_flag(f, "rstrip", 0);
    t->normalized = field_flag(f, "normalized", !t->special);
    bytes_put(&t->text, text, n);
    if (t->text.failed || !vocab_put(&a->words, text, n, t->id)) field_no_memory(f);
}

/* The trie of those that are `normalized` or not; its numbers are places in the list. */
static void make_trie(added *a, const field *f, trie *t, int normalized, normalizer *z)
{
    size_t n_words = 0;
    trie_word *word = calloc((size_t)a->n_tokens + 1, sizeof *word);
    bytes *own = calloc((size_t)a->n_tokens + 1, sizeof *own);
    if (!word || !own) field_no_memory(f);
    for (uint32_t i = 0; i < a->n_tokens && !f->of->failed; i++) {
        const char *text = a->token[i].text.at;
        size_t n = a->token[i].text.n;
        if (a->token[i].normalized != normalized) continue;
        if (normalized) {
            const int32_t failed = normalizer_run(z, &text, &n, f->of->error);
            if (failed) f->of->failed = failed;
            bytes_put(&own[i], text, n);
            text = own[i].at;
        }
        if (own[i].failed) field_no_memory(f);
        if (n) word[n_words++] = (trie_word){text, n, (int32_t)i};
    }
    if (!f->of->failed && !trie_make(t, word, n_words)) field_no_memory(f);
    for (uint32_t i = 0; own && i < a->n_tokens; i++) free(own[i].at);
    free(own);
    free(word);
}

void added_read(added *a, const field *f, const vocab *model, normalizer *z)
{
    const size_t count = f->value ? field_list(f) : 0;
    if (count > TOKENS_MOST) field_wrong(f, "so many are not read");
    for (size_t i = 0; i < count && !f->of->failed; i++) {
        const field token = field_item(f, i);
        read_token(a, &token, model);
    }
    if (f->of->failed) return;
    make_trie(a, f, &a->raw, 0, z);
    if (!f->of->failed) make_trie(a, f, &a->normalized, 1, z);
}

void added_close(added *a)
{
    for (uint32_t i = 0; i < a->n_tokens; i++) free(a->token[i].text.at);
    free(a->token);
    vocab_free(&a->words);
    trie_free(&a->raw);
    trie_free(&a->normalized);
}

/* ---- looking for them ---- */

static size_t before(const char *text, size_t at)
{
    do at--;
    while (at && ((unsigned char)text[at] & 0xC0) == 0x80);
    return at;
}

static int stands_alone(const char *text, size_t n, size_t begin, size_t end)
{
    size_t length;
    return (!begin || !unicode_word(utf8_at(text + before(text, begin), &length))) &&
           (end == n || !unicode_word(utf8_at(text + end, &length)));
}

/* The longest token at a place; -1: there is none. */
static int32_t longest(const trie *t, const char *text, size_t n, size_t at, size_t *end)
{
    int32_t found = -1;
    for (uint32_t node = 0; at < n && (node = trie_step(t, node, (unsigned char)text[at++]));)
        if (t->node[node].id >= 0) found = t->node[node].id, *end = at;
    return found;
}

int32_t added_split(const added *a, const trie *t, const char *text, size_t n, added_part *part,
                    void *context, heed_error *error)
{
    size_t from = 0, end, length; /* from: what has no part yet */
    for (size_t at = 0; at < n; at = end) {
        end = at + 1;
        const int32_t which = t->root[(unsigned char)text[at]] ? longest(t, text, n, at, &end) : -1;
        if (which < 0) {
            end = at + 1;
            continue;
        }
        const added_token *token = &a->token[which];
        size_t begin = at, stop = end;
        if (token->single_word && !stands_alone(text, n, at, end)) continue;
        while (token->lstrip && begin > from &&
               unicode_space(utf8_at(text + before(text, begin), &length)))
            begin = before(text, begin);
        while (token->rstrip && stop < n && unicode_space(utf8_at(text + stop, &length)))
            stop += length;
        if (begin > from) TRY(part(context, text + from, begin - from, NULL, error));
        TRY(part(context, text + begin, stop - begin, token, error));
        from = stop;
    }
    return from < n ? part(context, text + from, n - from, NULL, error) : HEED_OK;
}

const added_token *added_find(const added *a, int32_t id)
{
    size_t n;
    const char *text = vocab_text(&a->words, id, &n);
    for (uint32_t i = 0; text && i < a->n_tokens; i++)
        if (a->token[i].id == id && a->token[i].text.n == n &&
            !memcmp(a->token[i].text.at, text, n))
            return &a->token[i];
    return NULL;
}
