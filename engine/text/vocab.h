/* SPDX-License-Identifier: MIT
 *
 * vocab.h: tokens by their text and by their number, and all tokens that a text begins with.
 */
#ifndef HEED_TEXT_VOCAB_H
#define HEED_TEXT_VOCAB_H

#include "text/bytes.h"
#include "text/fields.h"

#define VOCAB_MOST (1 << 24) /* tokens */

typedef struct vocab_word {
    size_t at; /* in `text` */
    uint32_t n;
    int32_t id; /* -1: none */
} vocab_word;

typedef struct vocab {
    bytes text;
    vocab_word *slot; /* [mask + 1], by hash; of two with one text the later counts */
    uint32_t mask, count;
    vocab_word *word;           /* by number */
    int32_t n_words, word_room; /* the largest number + 1 */
} vocab;

HEED_LOCAL int vocab_put(vocab *v, const char *text, size_t n, int32_t id); /* 0: no memory */
HEED_LOCAL int32_t vocab_find(const vocab *v, const char *text, size_t n);  /* -1: there is none */
/* NULL: there is no token of that number */
HEED_LOCAL const char *vocab_text(const vocab *v, int32_t id, size_t *n);
HEED_LOCAL void vocab_free(vocab *v);
/* {"the": 5, ...} */
HEED_LOCAL void vocab_read(vocab *v, const field *object);

HEED_LOCAL uint64_t vocab_hash(const char *text, size_t n);

/* Texts with a number each, for finding those that another text begins with. */
typedef struct trie_word {
    const char *text;
    size_t n;
    int32_t id;
} trie_word;

typedef struct trie_node {
    uint32_t first, end; /* of its children, one beside the other; while it is made: of its words */
    int32_t id;          /* of the text that ends here, or -1 */
    unsigned char byte;  /* that leads here */
} trie_node;

typedef struct trie {
    trie_node *node; /* [0] is the root */
    uint32_t n_nodes;
    uint32_t root[256]; /* its children by their byte, 0: none */
} trie;

/* Sorts the words; of two equal ones the later counts. 0: no memory. */
HEED_LOCAL int trie_make(trie *t, trie_word *word, size_t n);
HEED_LOCAL void trie_free(trie *t);

/* From a node on by one byte: another node, or 0. */
static inline uint32_t trie_step(const trie *t, uint32_t node, unsigned char byte)
{
    if (!node) return t->root[byte];
    uint32_t low = t->node[node].first, high = t->node[node].end;
    while (low < high) {
        const uint32_t middle = low + (high - low) / 2;
        if (t->node[middle].byte == byte) return middle;
        if (t->node[middle].byte < byte) low = middle + 1;
        else high = middle;
    }
    return 0;
}

#endif
