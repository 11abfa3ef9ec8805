/* SPDX-License-Identifier: MIT
 *
 * normalize.h: what is done to a text before it is split: the "normalizer" of tokenizer.json, as a
 * list of steps.
 */
#ifndef HEED_TEXT_NORMALIZE_H
#define HEED_TEXT_NORMALIZE_H

#include "text/charsmap.h"
#include "text/pattern.h"

typedef struct normalize_step {
    uint32_t kind; /* which of those in normalize.c */
    int32_t form;  /* NFC and its like; of a strip: 1 left, 2 right */
    pattern pattern;
    bytes content; /* what is put in front, or in the place of the pattern */
    charsmap map;
} normalize_step;

typedef struct normalizer {
    const fields *of; /* whose path is told */
    normalize_step *step;
    uint32_t n_steps;
    bytes text[2]; /* of the last step and of the one before */
} normalizer;

HEED_LOCAL void normalizer_read(normalizer *z, const field *f); /* value NULL: nothing is done */
HEED_LOCAL void normalizer_close(normalizer *z);

/* Points *text at what becomes of it, which lasts until the next call. */
HEED_LOCAL int32_t normalizer_run(normalizer *z, const char **text, size_t *n, heed_error *error);

#endif
