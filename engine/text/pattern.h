/* SPDX-License-Identifier: MIT
 *
 * pattern.h: what a text is searched for: a regular expression by PCRE2, a text, or characters of a
 * kind.
 */
#ifndef HEED_TEXT_PATTERN_H
#define HEED_TEXT_PATTERN_H

#include "text/fields.h"
#include "text/unicode.h"

typedef struct pattern {
    void *code, *match, *context, *stack; /* of PCRE2, or NULL */
    bytes literal;                        /* without code and kind */
    unicode_kind *kind;
} pattern;

/* A regular expression as tokenizers reads it, with Oniguruma and Unicode's classes. */
HEED_LOCAL void pattern_regex(pattern *p, const field *at, const char *text, size_t n);
/* {"Regex": "\\s+"} or {"String": " "} */
HEED_LOCAL void pattern_read(pattern *p, const field *in, const char *key);
HEED_LOCAL void pattern_literal(pattern *p, const char *text, size_t n);
HEED_LOCAL void pattern_close(pattern *p);

/* The first place from `from` on, *begin to *end, which may be empty; 0: there is none, -1: finding
 * out takes too long. */
HEED_LOCAL int pattern_find(const pattern *p, const char *text, size_t n, size_t from,
                            size_t *begin, size_t *end);

/* The text with `by` in the place of each match is appended; -1 as above. */
HEED_LOCAL int pattern_replace(const pattern *p, const bytes *by, const char *text, size_t n,
                               bytes *to);

#endif
