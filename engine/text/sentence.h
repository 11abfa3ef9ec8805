/* SPDX-License-Identifier: MIT
 *
 * sentence.h: how a folder of sentence-transformers makes one vector of a text: modules.json, the
 * config.json of its pooling, and sentence_bert_config.json.
 */
#ifndef HEED_TEXT_SENTENCE_H
#define HEED_TEXT_SENTENCE_H

#include "base/local.h"

typedef struct sentence {
    const char *by; /* as pool/tokens has it: "mean", "first", "last", "max"; NULL: not said */
    int l2;         /* 1, 0; -1: not said */
    int64_t most;   /* tokens of a text, with special ones; 0: not said */
} sentence;

/* A folder without modules.json says nothing. */
HEED_LOCAL int32_t sentence_read(sentence *s, const char *folder, heed_error *error);
/* What is not said by the folder, or is to be otherwise: `by` NULL and l2 -1 leave it, and what
 * nobody says is the mean, as it is. */
HEED_LOCAL void sentence_change(sentence *s, const char *by, int32_t l2);
/* The spec of an encoder from a checkpoint, with a pooling op for its output; to be freed. */
HEED_LOCAL char *sentence_spec(const sentence *s, const heed_weights *weights, const char *folder,
                               heed_error *error);

#endif
