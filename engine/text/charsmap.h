/* SPDX-License-Identifier: MIT
 *
 * charsmap.h: SentencePiece's own normal form: a map of short texts to others, "precompiled" as a
 * trie in a double array behind its size, and the texts that the trie's values are offsets of.
 */
#ifndef HEED_TEXT_CHARSMAP_H
#define HEED_TEXT_CHARSMAP_H

#include "text/bytes.h"
#include "text/fields.h"

typedef struct charsmap {
    bytes blob;
    size_t units; /* of the trie, of 4 bytes, behind the first 4 */
} charsmap;

HEED_LOCAL void charsmap_read(charsmap *m, const field *in); /* the key precompiled_charsmap */
HEED_LOCAL void charsmap_close(charsmap *m);
HEED_LOCAL void charsmap_run(const charsmap *m, const char *text, size_t n, bytes *to);

#endif
