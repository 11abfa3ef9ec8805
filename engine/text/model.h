/* SPDX-License-Identifier: MIT
 *
 * model.h: how a word becomes tokens: the "model" of tokenizer.json. A type of model is a row of the
 * table in tokenizer.c.
 */
#ifndef HEED_TEXT_MODEL_H
#define HEED_TEXT_MODEL_H

#include "text/vocab.h"

typedef struct model_type {
    const char *name;
    /* Reads its tokens too; what it gives is closed also after a failure. NULL: no memory. */
    void *(*open)(const field *f, vocab *v);
    int32_t (*encode)(void *model, const char *text, size_t n, id_list *to, heed_error *error);
    void (*close)(void *model);
} model_type;

HEED_LOCAL extern const model_type model_bpe, model_wordpiece, model_unigram;

/* The tokens "<0x00>" to "<0xFF>" that stand for bytes; -1: there is none. */
static inline void model_byte_tokens(const vocab *v, int32_t token[256])
{
    static const char hex[] = "0123456789ABCDEF";
    for (int i = 0; i < 256; i++) {
        const char name[] = {'<', '0', 'x', hex[i >> 4], hex[i & 15], '>'};
        token[i] = vocab_find(v, name, sizeof name);
    }
}

#endif
