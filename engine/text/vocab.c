/* SPDX-License-Identifier: MIT
 *
 * vocab.c: tokens by their text and by their number.
 */
#include "text/vocab.h"

#include <jansson.h>

#include "base/grow.h"

uint64_t vocab_hash(const char *text, size_t n)
{
    uint64_t sum = n * 0x9E3779B97F4A7C15u, word;
    for (; n >= 8; text += 8, n -= 8) {
        memcpy(&word, text, 8);
        sum = (sum ^ word) * 0xD6E8FEB86659FD93u;
        sum ^= sum >> 32;
    }
    for (word = 0; n; n--) word = word << 8 | (unsigned char)text[n - 1];
    sum = (sum ^ word) * 0xD6E8FEB86659FD93u;
    return sum ^ sum >> 32;
}

static vocab_word *look(const vocab *v, const char *text, size_t n)
{
    for (uint32_t i = (uint32_t)vocab_hash(text, n) & v->mask;; i = (i + 1) & v->mask) {
        vocab_word *w = &v->slot[i];
        if (w->id < 0 || (w->n == n && !memcmp(v->text.at + w->at, text, n))) return w;
    }
}

static int make_room(vocab *v)
{
    if (v->slot && v->count < v->mask / 2) return 1;
    vocab larger = *v;
    larger.mask = v->slot ? 2 * v->mask + 1 : 255;
    larger.slot = reallocarray(NULL, (size_t)larger.mask + 1, sizeof *larger.slot);
    if (!larger.slot) return 0;
    for (uint32_t i = 0; i <= larger.mask; i++) larger.slot[i] = (vocab_word){.id = -1};
    for (uint32_t i = 0; v->slot && i <= v->mask; i++)
        if (v->slot[i].id >= 0)
            *look(&larger, v->text.at + v->slot[i].at, v->slot[i].n) = v->slot[i];
    free(v->slot);
    *v = larger;
    return 1;
}

/* By number, up to `id`; the array is doubled, since numbers come in order. */
static int make_words(vocab *v, int32_t id)
{
    int32_t room = v->word_room ? v->word_room : 256;
    while (room <= id) room *= 2;
    if (room > v->word_room) {
        vocab_word *larger = reallocarray(v->word, (size_t)room, sizeof *larger);
        if (!larger) return 0;
        v->word = larger, v->word_room = room;
    }
    for (; v->n_words <= id; v->n_words++) v->word[v->n_words] = (vocab_word){.id = -1};
    return 1;
}

int vocab_put(vocab *v, const char *text, size_t n, int32_t id)
{
    if (!bytes_room(&v->text, n + 1) || !make_room(v) || !make_words(v, id)) return 0;
    vocab_word *w = look(v, text, n);
    v->count += w->id < 0;
    *w = v->word[id] = (vocab_word){.at = v->text.n, .n = (uint32_t)n, .id = id};
    bytes_put(&v->text, text, n);
    return 1;
}

int32_t vocab_find(const vocab *v, const char *text, size_t n)
{
    return v->slot ? look(v, text, n)->id : -1;
}

const char *vocab_text(const vocab *v, int32_t id, size_t *n)
{
    if (id < 0 || id >= v->n_words || v->word[id].id < 0) return NULL;
    *n = v->word[id].n;
    return v->text.at + v->word[id].at;
}

void vocab_free(vocab *v)
{
    free(v->text.at);
    free(v->slot);
    free(v->word);
}

void vocab_read(vocab *v, const field *object)
{
    const char *text;
    json_t *number;
    if (!json_is_object(object->value)) field_wrong(object, "an object of tokens is right");
    if (object->of->failed) return;
    json_object_foreach((json_t *)object->value, text, number)
    {
        field f = field_key(object, text);
        const int64_t id = field_as_int(&f, 0, VOCAB_MOST - 1);
        if (object->of->failed) return;
        if (!vocab_put(v, text, strlen(text), (int32_t)id)) {
            field_no_memory(object);
            return;
        }
    }
}

/* ---- all that a text begins with ---- */

static int by_text(const void *a, const void *b)
{
    const trie_word *x = a, *y = b;
    const size_t n = x->n < y->n ? x->n : y->n;
    const int order = n ? memcmp(x->text, y->text, n) : 0;
    if (order) return order;
    if (x->n != y->n) return x->n < y->n ? -1 : 1;
    return x->id < y->id ? -1 : x->id > y->id;
}

/* Level by level: a node's words are those from `first` to `end`, until its children are made. */
int trie_make(trie *t, trie_word *word, size_t n)
{
    *t = (trie){0};
    if (n > UINT32_MAX / 2) return 0;
    if (n) qsort(word, n, sizeof *word, by_text);
    trie_node *root = grow_append(&t->node, &t->n_nodes, sizeof *root);
    if (!root) return 0;
    *root = (trie_node){.end = (uint32_t)n, .id = -1};
    uint32_t level_end = 1;
    size_t depth = 0;
    for (uint32_t i = 0; i < t->n_nodes; i++) {
        if (i == level_end) depth++, level_end = t->n_nodes;
        uint32_t at = t->node[i].first;
        const uint32_t end = t->node[i].end;
        for (; at < end && word[at].n == depth; at++) t->node[i].id = word[at].id;
        t->node[i].first = t->n_nodes;
        while (at < end) {
            const unsigned char byte = (unsigned char)word[at].text[depth];
            trie_node *child = grow_append(&t->node, &t->n_nodes, sizeof *child);
            if (!child) return 0;
            *child = (trie_node){.first = at, .id = -1, .byte = byte};
            while (at < end && (unsigned char)word[at].text[depth] == byte) at++;
            child->end = at;
            if (!i) t->root[byte] = t->n_nodes - 1;
        }
        t->node[i].end = t->n_nodes;
    }
    return 1;
}

void trie_free(trie *t) { free(t->node); }
