/* SPDX-License-Identifier: MIT
 *
 * error.h: errors as one sentence, and the nearest known name to a word.
 */
#ifndef HEED_BASE_ERROR_H
#define HEED_BASE_ERROR_H

#include <string.h>

#include "base/local.h"

/* Writes the sentence and returns the code. `error` may be NULL. */
HEED_LOCAL int32_t error_set(heed_error *error, int32_t code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
HEED_LOCAL int32_t error_memory(heed_error *error); /* "out of memory" */
/* Of the names given, the nearest to `word` by edit distance, or NULL if none is near. */
HEED_LOCAL const char *error_nearest(const char *word, const char *const *names, uint32_t count);

/* Appends "<intro>a, b, c" to a text in `size` bytes, ending in "..." where not all fit; nothing if
 * there is no name. */
HEED_LOCAL void error_list(char *text, size_t size, const char *intro, const char *const *names,
                           uint32_t count);

/* Passes a failure on. */
#define TRY(call) do { int32_t code_ = (call); if (code_) return code_; } while (0)

/* A word of the user's inside a sentence: in quotes, and cut if it is endless. */
#define QUOTE "\"%.48s%s\""
#define QUOTED(word) (word), (strlen(word) > 48 ? "..." : "")

#endif
