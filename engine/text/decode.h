/* SPDX-License-Identifier: MIT
 *
 * decode.h: how tokens become a text, as they come: the "decoder" of tokenizer.json, as a list of
 * steps.
 *
 * What comes out is whole characters: bytes that are a part of one wait for the rest of it.
 */
#ifndef HEED_TEXT_DECODE_H
#define HEED_TEXT_DECODE_H

#include "text/pattern.h"

typedef struct decode_step {
    uint32_t kind; /* which of those in decode.c */
    int whole;     /* what comes here is one text, and no list of tokens */
    pattern pattern;
    bytes content;
    int64_t start, stop; /* what is stripped at most */
    int cleans, keeps;   /* spaces in front of marks go; one in front of the first token stays */

    /* while a text is made */
    bytes held, text;
    int64_t count; /* of tokens so far, or of characters that were stripped */
} decode_step;

typedef struct decoder {
    const fields *of; /* whose path is told */
    decode_step *step;
    uint32_t n_steps;
} decoder;

HEED_LOCAL void decoder_read(decoder *d, const field *f); /* value NULL: spaces between tokens */
HEED_LOCAL void decoder_close(decoder *d);

/* Another text begins. */
HEED_LOCAL void decoder_begin(decoder *d);
/* One token more, and what is certain of the text now is appended. */
HEED_LOCAL int32_t decoder_put(decoder *d, const char *token, size_t n, bytes *to,
                               heed_error *error);
/* The text ends, or those that made its beginning do: what has waited is appended. */
HEED_LOCAL int32_t decoder_end(decoder *d, bytes *to, heed_error *error);

#endif
