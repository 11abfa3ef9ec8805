/* SPDX-License-Identifier: MIT
 *
 * added.h: the tokens that were added to a model: "added_tokens" of tokenizer.json. Wherever their
 * text stands they are tokens, and what lies between them is split into words.
 */
#ifndef HEED_TEXT_ADDED_H
#define HEED_TEXT_ADDED_H

#include "text/normalize.h"
#include "text/vocab.h"

typedef struct added_token {
    bytes text;
    int32_t id;
    int single_word, lstrip, rstrip, normalized, special;
} added_token;

typedef struct added {
    added_token *token;
    uint32_t n_tokens;
    vocab words;          /* of all of them */
    trie raw, normalized; /* of those that are looked for before and after normalizing */
} added;

/* A part of a text: a token, or, with NULL, what lies between two. */
typedef int32_t added_part(void *context, const char *text, size_t n, const added_token *token,
                           heed_error *error);

HEED_LOCAL void added_read(added *a, const field *f, const vocab *model, normalizer *z);
HEED_LOCAL void added_close(added *a);
/* Parts by the tokens of one of the two tries, in order. */
HEED_LOCAL int32_t added_split(const added *a, const trie *t, const char *text, size_t n,
                               added_part *part, void *context, heed_error *error);
HEED_LOCAL const added_token *added_find(const added *a, int32_t id); /* NULL: it is none */

#endif
