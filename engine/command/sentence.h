/* SPDX-License-Identifier: MIT
 *
 * sentence.h: how a folder of sentence-transformers makes one vector of a text: modules.json, the
 * config.json of its pooling, and sentence_bert_config.json.
 */
#ifndef HEED_COMMAND_SENTENCE_H
#define HEED_COMMAND_SENTENCE_H

#include "base/local.h"

typedef struct sentence {
    const char *by; /* as pool/tokens has it: "mean", "first", "last", "max"; NULL: not said */
    int l2;         /* 1, 0; -1: not said */
    int64_t most;   /* tokens of a text, with special ones; 0: not said */
} sentence;

/* A folder without modules.json says nothing. */
int32_t sentence_read(sentence *s, const char *folder, heed_error *error);

#endif
