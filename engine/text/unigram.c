/* SPDX-License-Identifier: MIT
 *
 * unigram.c: the row of tokens whose probabilities have the largest product (Kudo 2018), by
 * Viterbi's search: for each place the best row that ends there.
 *
 * Invariant: of equal sums the one that was found first stays, and sums are added from left to
 * right in double, as the tokenizers package does.
 */
#include <jansson.h>
#include <math.h>

#include "base/error.h"
#include "text/model.h"

#define UNKNOWN_COSTS 10 /* more than the least likely token */

typedef struct best {
    double score;
    size_t begin; /* of the last token; SIZE_MAX: none ends here */
    int32_t id;
} best;

typedef struct unigram {
    vocab *vocab;
    trie trie;
    double *score; /* by number */
    double unknown_score;
    int32_t unknown; /* -1: there is none */
    int falls_back;
    int32_t byte[256];
    best *best;
    size_t room;
} unigram;

/* [["<pad>", 0.0], ["a", -3.5], ...], whose place in the list is the number */
static void read_tokens(unigram *u, const field *list)
{
    const size_t count = field_list(list);
    if (count >= VOCAB_MOST) field_wrong(list, "so many are not read");
    if (list->of->failed) return;
    u->score = calloc(count + 1, sizeof *u->score);
    trie_word *word = calloc(count + 1, sizeof *word);
    if (!u->score || !word) field_no_memory(list);
    double least = INFINITY;
    for (size_t i = 0; i < count && !list->of->failed; i++) {
        const field pair = field_item(list, i), text = field_item(&pair, 0),
                    score = field_item(&pair, 1);
        if (field_count(&pair) != 2) field_wrong(&pair, "a token and its score are right");
        word[i].text = field_as_text(&text, &word[i].n);
        word[i].id = (int32_t)i;
        u->score[i] = field_as_real(&score);
        if (u->score[i] < least) least = u->score[i];
        if (!list->of->failed && !vocab_put(u->vocab, word[i].text, word[i].n, (int32_t)i))
            field_no_memory(list);
    }
    u->unknown_score = least - UNKNOWN_COSTS;
    if (!list->of->failed && !trie_make(&u->trie, word, count)) field_no_memory(list);
    free(word);
}

static void *open_unigram(const field *f, vocab *v)
{
    unigram *u = calloc(1, sizeof *u);
    if (!u) return NULL;
    const field list = field_key(f, "vocab");
    u->vocab = v;
    read_tokens(u, &list);
    u->unknown = (int32_t)field_int(f, "unk_id", 0, (int64_t)field_count(&list) - 1, -1);
    u->falls_back = field_flag(f, "byte_fallback", 0);
    model_byte_tokens(v, u->byte);
    return u;
}

static void close_unigram(void *model)
{
    unigram *u = model;
    if (!u) return;
    trie_free(&u->trie);
    free(u->score);
    free(u->best);
    free(u);
}

static void offer(best *to, double score, size_t begin, int32_t id)
{
    if (to->begin == SIZE_MAX || score > to->score) *to = (best){score, begin, id};
}

/* best[i] for each place i where a character begins or the text ends. 0: one is unknown, and there
 * is no token for that. */
static int search(unigram *u, const char *text, size_t n)
{
    u->best[0] = (best){.begin = SIZE_MAX};
    for (size_t i = 1; i <= n; i++) u->best[i] = (best){.begin = SIZE_MAX};
    for (size_t at = 0, length; at < n; at += length) {
        const double here = u->best[at].score;
        int has_character = 0;
        length = utf8_length(text[at]);
        uint32_t node = 0;
        for (size_t end = at; end < n;) {
            node = trie_step(&u->trie, node, (unsigned char)text[end++]);
            if (!node) break;
            const int32_t id = u->trie.node[node].id;
            if (id < 0) continue;
            offer(&u->best[end], u->score[id] + here, at, id);
            has_character |= end == at + length;
        }
        if (has_character) continue;
        if (u->unknown < 0) return 0;
        offer(&u->best[at + length], u->unknown_score + here, at, u->unknown);
    }
    return 1;
}

/* Unknown characters beside one another are one piece. */
static void put(const unigram *u, const char *text, size_t n, int32_t id, id_list *to)
{
    int all = u->falls_back;
    if (id != u->unknown || (id = vocab_find(u->vocab, text, n)) >= 0) {
        id_list_put(to, id);
        return;
    }
    for (size_t i = 0; i < n; i++) all &= u->byte[(unsigned char)text[i]] >= 0;
    for (size_t i = 0; all && i < n; i++) id_list_put(to, u->byte[(unsigned char)text[i]]);
    if (!all) id_list_put(to, u->unknown);
}

static int32_t encode(void *model, const char *text, size_t n, id_list *to, heed_error *error)
{
    unigram *u = model;
    if (u->room < n + 1) {
        free(u->best);
        u->room = 2 * n + 64;
        u->best = reallocarray(NULL, u->room, sizeof *u->best);
        if (!u->best) return u->room = 0, error_memory(error);
    }
    if (!search(u, text, n))
        return error_set(error, HEED_E_DATA,
                         "a character of the text is unknown to the tokenizer, whose model has no "
                         "unk_id");
    /* the way back turns the links around, so that the pieces come in order */
    for (size_t at = n, next = SIZE_MAX; at != SIZE_MAX;) {
        const size_t begin = at ? u->best[at].begin : SIZE_MAX;
        u->best[at].begin = next;
        next = at, at = begin;
    }
    for (size_t begin = 0, end; begin < n; begin = end) {
        end = u->best[begin].begin;
        const int32_t id = u->best[end].id;
        while (id == u->unknown && end < n && u->best[u->best[end].begin].id == id)
            end = u->best[end].begin;
        put(u, text + begin, end - begin, id, to);
    }
    return HEED_OK;
}

const model_type model_unigram = {"Unigram", open_unigram, encode, close_unigram};
