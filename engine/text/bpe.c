/* SPDX-License-Identifier: MIT
 *
 * bpe.c: byte pair encoding (Sennrich, Haddow and Birch 2016): of all pairs of neighbours in a word
 * the one that was learned first is merged, the leftmost of equal ones, until none is left.
 *
 * The pairs wait in a heap by rank and place. One whose tokens have been merged away is recognised
 * by its rank when it comes up, so nothing is ever searched for or moved.
 */
#include <jansson.h>

#include "base/error.h"
#include "text/model.h"

#define NONE (-1)
#define DIRECT                                                                                     \
    0x180 /* characters whose tokens are found without a hash, those for bytes among them */

typedef struct merge {
    uint64_t pair; /* left << 32 | right, EMPTY: none */
    uint32_t rank;
    int32_t made;
} merge;
#define EMPTY UINT64_MAX

typedef struct symbol {
    int32_t id, next, previous; /* id NONE: merged into the one before */
} symbol;

typedef struct bpe {
    vocab *vocab;
    merge *slot; /* [mask + 1], by hash */
    uint32_t mask, ranks;
    int32_t direct[DIRECT], byte[256];
    int32_t unknown;
    int fuses_unknown, falls_back, ignores_merges;
    bytes prefix, suffix, text; /* of all but the first character, of the last, and the two */
    symbol *symbol;
    uint64_t *heap; /* rank << 32 | place of the left one */
    size_t n_symbols, n_heap, symbol_room;
} bpe;

/* ---- the pairs ---- */

static uint32_t hash_of(uint64_t pair)
{
    pair *= 0x9E3779B97F4A7C15u;
    return (uint32_t)(pair >> 32 ^ pair >> 54);
}

static merge *look(const bpe *b, uint64_t pair)
{
    uint32_t i = hash_of(pair) & b->mask;
    while (b->slot[i].pair != pair && b->slot[i].pair != EMPTY) i = (i + 1) & b->mask;
    return &b->slot[i];
}

static uint64_t pair_of(int32_t left, int32_t right)
{
    return (uint64_t)(uint32_t)left << 32 | (uint32_t)right;
}

/* "a b", or ["a", "b"], or ["a", "b", 7] with a rank that several may have; *rank stays if none is said. */
static int read_pair(const field *f, const char *text[2], size_t n[2], uint32_t *rank)
{
    const size_t items = json_is_array(f->value) ? field_count(f) : 0;
    const int ranked = items == 3 && json_is_integer(json_array_get(f->value, 2));
    if (ranked) {
        const field last = field_item(f, 2);
        *rank = (uint32_t)field_as_int(&last, 0, INT32_MAX);
    }
    if (items == 2 || ranked) {
        for (size_t i = 0; i < 2; i++) {
            const field one = field_item(f, i);
            text[i] = field_as_text(&one, &n[i]);
        }
        return !f->of->failed;
    }
    size_t all;
    text[0] = json_is_array(f->value) ? "" : field_as_text(f, &all);
    if (f->of->failed) return 0;
    const char *space = *text[0] ? memchr(text[0], ' ', all) : NULL;
    if (!space || memchr(space + 1, ' ', all - (size_t)(space + 1 - text[0]))) {
        field_wrong(f, "two tokens with a space between them are right");
        return 0;
    }
    text[1] = space + 1;
    n[0] = (size_t)(space - text[0]), n[1] = all - n[0] - 1;
    return 1;
}

/* The token that two make: the right one without the prefix of those that continue a word. */
static int32_t join(bpe *b, const char *text[2], const size_t n[2])
{
    const size_t cut = n[1] >= b->prefix.n ? b->prefix.n : n[1];
    b->text.n = 0;
    bytes_put(&b->text, text[0], n[0]);
    bytes_put(&b->text, text[1] + cut, n[1] - cut);
    return vocab_find(b->vocab, b->text.at ? b->text.at : "", b->text.n);
}

static void read_merges(bpe *b, const field *list)
{
    const size_t count = field_list(list);
    uint64_t room = 256;
    while (room < 2 * (uint64_t)count) room *= 2;
    if (room > UINT32_MAX / 2) field_wrong(list, "so many are not read");
    if (list->of->failed) return;
    b->mask = (uint32_t)room - 1;
    b->slot = reallocarray(NULL, room, sizeof *b->slot);
    for (uint64_t i = 0; b->slot && i < room; i++) b->slot[i].pair = EMPTY;
    if (!b->slot) field_no_memory(list);
    for (size_t i = 0; i < count && !list->of->failed; i++) {
        const char *text[2];
        size_t n[2];
        int32_t id[2];
        uint32_t rank = (uint32_t)i;
        const field f = field_item(list, i);
        if (!read_pair(&f, text, n, &rank)) return;
        for (int side = 0; side < 2; side++) {
            id[side] = vocab_find(b->vocab, text[side], n[side]);
            if (id[side] < 0)
                field_wrong(&f, "the %s of the two is not among the tokens of model.vocab",
                            side ? "second" : "first");
        }
        const int32_t made = join(b, text, n);
        if (made < 0) field_wrong(&f, "what the two make is not among the tokens of model.vocab");
        if (b->text.failed) field_no_memory(list);
        if (!list->of->failed) /* of two with one pair the later counts */
            *look(b, pair_of(id[0], id[1])) = (merge){pair_of(id[0], id[1]), rank, made};
    }
}

/* ---- reading ---- */

static void find_direct(bpe *b)
{
    for (uint32_t c = 0; c < DIRECT; c++) {
        b->text.n = 0;
        utf8_put(&b->text, c);
        b->direct[c] = b->text.at ? vocab_find(b->vocab, b->text.at, b->text.n) : NONE;
    }
    model_byte_tokens(b->vocab, b->byte);
}

static void read_affix(bytes *to, const field *f, const char *key)
{
    size_t n;
    const char *text = field_text(f, key, "", &n);
    bytes_put(to, text, n);
    if (to->failed) field_no_memory(f);
}

static void *open_bpe(const field *f, vocab *v)
{
    size_t n;
    bpe *b = calloc(1, sizeof *b);
    if (!b) return NULL;
    const field list = field_key(f, "vocab"), merges = field_key(f, "merges"),
                dropout = field_key(f, "dropout"), unknown = field_key(f, "unk_token");
    b->vocab = v, b->unknown = NONE;
    vocab_read(v, &list);
    if (dropout.value && json_number_value(dropout.value) != 0)
        field_wrong(&dropout, "merges are not left out by chance here, so 0 or null is right");
    b->fuses_unknown = field_flag(f, "fuse_unk", 0);
    b->falls_back = field_flag(f, "byte_fallback", 0);
    b->ignores_merges = field_flag(f, "ignore_merges", 0);
    read_affix(&b->prefix, f, "continuing_subword_prefix");
    read_affix(&b->suffix, f, "end_of_word_suffix");
    read_merges(b, &merges);
    if (unknown.value) {
        const char *text = field_as_text(&unknown, &n);
        b->unknown = vocab_find(v, text, n);
        if (b->unknown < 0) field_wrong(&unknown, "it is not among the tokens of model.vocab");
    }
    find_direct(b);
    if (b->text.failed) field_no_memory(f);
    return b;
}

static void close_bpe(void *model)
{
    bpe *b = model;
    if (!b) return;
    free(b->slot);
    free(b->prefix.at);
    free(b->suffix.at);
    free(b->text.at);
    free(b->symbol);
    free(b->heap);
    free(b);
}

/* ---- characters ---- */

static void add_symbol(bpe *b, int32_t id) { b->symbol[b->n_symbols++] = (symbol){.id = id}; }

static int32_t token_of(bpe *b, const char *at, size_t length, int is_first, int is_last)
{
    const int in_front = !is_first && b->prefix.n, behind = is_last && b->suffix.n;
    if (!in_front && !behind) {
        size_t same;
        const uint32_t c = utf8_at(at, &same);
        return c < DIRECT ? b->direct[c] : vocab_find(b->vocab, at, length);
    }
    b->text.n = 0;
    if (in_front) bytes_put(&b->text, b->prefix.at, b->prefix.n);
    bytes_put(&b->text, at, length);
    if (behind) bytes_put(&b->text, b->suffix.at, b->suffix.n);
    return vocab_find(b->vocab, b->text.at, b->text.n);
}

/* A character that is no token, as the tokens of its bytes; 0: one of them is missing. */
static int add_bytes(bpe *b, const char *at, size_t length)
{
    for (size_t i = 0; i < length; i++)
        if (b->byte[(unsigned char)at[i]] < 0) return 0;
    for (size_t i = 0; i < length; i++) add_symbol(b, b->byte[(unsigned char)at[i]]);
    return 1;
}

static void add_characters(bpe *b, const char *text, size_t n)
{
    int waits = 0; /* an unknown one, for others to be fused with it */
    size_t length;
    b->n_symbols = 0;
    for (size_t i = 0; i < n; i += length) {
        length = utf8_length(text[i]);
        const int32_t id = token_of(b, text + i, length, !i, i + length == n);
        if (id >= 0) {
            if (waits) add_symbol(b, b->unknown);
            waits = 0;
            add_symbol(b, id);
        } else if (!(b->falls_back && add_bytes(b, text + i, length)) && b->unknown >= 0) {
            if (waits && !b->fuses_unknown) add_symbol(b, b->unknown);
            waits = 1;
        }
    }
    if (waits) add_symbol(b, b->unknown);
}

/* ---- merging ---- */

static void push(bpe *b, uint64_t key)
{
    size_t at = b->n_heap++;
    for (; at && b->heap[(at - 1) / 2] > key; at = (at - 1) / 2)
        b->heap[at] = b->heap[(at - 1) / 2];
    b->heap[at] = key;
}

static uint64_t pop(bpe *b)
{
    const uint64_t least = b->heap[0], last = b->heap[--b->n_heap];
    size_t at = 0, child;
    while ((child = 2 * at + 1) < b->n_heap) {
        if (child + 1 < b->n_heap && b->heap[child + 1] < b->heap[child]) child++;
        if (b->heap[child] >= last) break;
        b->heap[at] = b->heap[child];
        at = child;
    }
    b->heap[at] = last;
    return least;
}

/* The pair at a place waits, if there is one. */
static void offer(bpe *b, int32_t left)
{
    const int32_t right = left < 0 ? NONE : b->symbol[left].next;
    if (right < 0) return;
    const merge *m = look(b, pair_of(b->symbol[left].id, b->symbol[right].id));
    if (m->pair != EMPTY) push(b, (uint64_t)m->rank << 32 | (uint32_t)left);
}

static void merge_all(bpe *b)
{
    const int32_t n = (int32_t)b->n_symbols;
    b->n_heap = 0;
    for (int32_t i = 0; i < n; i++)
        b->symbol[i].previous = i - 1, b->symbol[i].next = i + 1 < n ? i + 1 : NONE;
    for (int32_t i = 0; i < n; i++) offer(b, i);
    while (b->n_heap) {
        const uint64_t top = pop(b);
        const int32_t at = (int32_t)(uint32_t)top, right = b->symbol[at].next;
        if (b->symbol[at].id == NONE || right < 0) continue;
        const merge *m = look(b, pair_of(b->symbol[at].id, b->symbol[right].id));
        if (m->pair == EMPTY || m->rank != top >> 32) continue;
        b->symbol[at].id = m->made;
        b->symbol[right].id = NONE;
        b->symbol[at].next = b->symbol[right].next;
        if (b->symbol[at].next >= 0) b->symbol[b->symbol[at].next].previous = at;
        offer(b, b->symbol[at].previous);
        offer(b, at);
    }
}

static int32_t encode(void *model, const char *text, size_t n, id_list *to, heed_error *error)
{
    bpe *b = model;
    if (b->ignores_merges) {
        const int32_t whole = vocab_find(b->vocab, text, n);
        if (whole >= 0) return id_list_put(to, whole), HEED_OK;
    }
    /* each merge offers two pairs more, and there are fewer merges than characters */
    if (n > INT32_MAX / 4) return error_memory(error);
    if (b->symbol_room < n + 1) {
        free(b->symbol);
        free(b->heap);
        b->symbol_room = 2 * n + 64;
        b->symbol = reallocarray(NULL, b->symbol_room, sizeof *b->symbol);
        b->heap = reallocarray(NULL, 3 * b->symbol_room, sizeof *b->heap);
        if (!b->symbol || !b->heap) return b->symbol_room = 0, error_memory(error);
    }
    add_characters(b, text, n);
    if (b->text.failed) return error_memory(error);
    merge_all(b);
    for (size_t i = 0; i < b->n_symbols; i++)
        if (b->symbol[i].id != NONE) id_list_put(to, b->symbol[i].id);
    return HEED_OK;
}

const model_type model_bpe = {"BPE", open_bpe, encode, close_bpe};
