/* SPDX-License-Identifier: MIT
 *
 * unicode.h: kinds of characters and normal forms, by utf8proc.
 *
 * Where the tokenizers package has a table of its own for a kind, what the kind is called there is
 * said; tables of other versions of Unicode differ in characters that were added between them.
 */
#ifndef HEED_TEXT_UNICODE_H
#define HEED_TEXT_UNICODE_H

#include "base/local.h"
#include "text/bytes.h"

/* Whether a character is of a kind. */
typedef int unicode_kind(uint32_t c);

HEED_LOCAL unicode_kind unicode_space;       /* White_Space */
HEED_LOCAL unicode_kind unicode_number;      /* Nd, Nl, No */
HEED_LOCAL unicode_kind unicode_punctuation; /* P, and all marks of ASCII, among them $ and + */
HEED_LOCAL unicode_kind unicode_other;       /* C: controls, formats, private and unassigned */
HEED_LOCAL unicode_kind unicode_accent;      /* Mn */
HEED_LOCAL unicode_kind unicode_mark;        /* M */
HEED_LOCAL unicode_kind unicode_word;        /* \w: letters, marks, digits, connectors */
HEED_LOCAL unicode_kind unicode_chinese;     /* ideographs, as BERT counts them */

HEED_LOCAL void unicode_put_lower(bytes *to, uint32_t c);

enum { UNICODE_NFC, UNICODE_NFD, UNICODE_NFKC, UNICODE_NFKD };
/* Sets *to; 0: no memory. */
HEED_LOCAL int unicode_form(int form, const char *text, size_t n, bytes *to);

/* Where the grapheme that begins at `at` ends. */
HEED_LOCAL size_t unicode_grapheme(const char *text, size_t n, size_t at);

#endif
