/* SPDX-License-Identifier: MIT
 *
 * split.h: how a text becomes words, each of which is made into tokens by itself: the
 * "pre_tokenizer" of tokenizer.json, as a list of steps.
 */
#ifndef HEED_TEXT_SPLIT_H
#define HEED_TEXT_SPLIT_H

#include "text/pattern.h"

typedef struct split_span {
    size_t begin, end;
} split_span;

typedef struct split_step {
    uint32_t kind; /* which of those in split.c */
    int32_t how;   /* a behaviour, or a scheme of what is put in front */
    int invert;    /* what does not match is what splits */
    pattern pattern;
    bytes content; /* that stands for a space */
    bytes text;    /* of the word that is being changed */
} split_step;

typedef struct splitter {
    const fields *of; /* whose path is told */
    split_step *step;
    uint32_t n_steps;
} splitter;

/* A word, as it is after all steps. */
typedef int32_t split_word(void *context, const char *text, size_t n, heed_error *error);

HEED_LOCAL void splitter_read(splitter *s, const field *f); /* value NULL: the text is the word */
HEED_LOCAL void splitter_close(splitter *s);
/* Calls `word` for each. `first`: nothing stands in front of the text. */
HEED_LOCAL int32_t splitter_run(splitter *s, const char *text, size_t n, int first,
                                split_word *word, void *context, heed_error *error);

#endif
