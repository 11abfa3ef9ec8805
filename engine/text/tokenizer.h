/* SPDX-License-Identifier: MIT
 *
 * tokenizer.h: texts as the numbers of tokens and back, by the tokenizer.json of a checkpoint's
 * folder. For one thread at a time.
 *
 * The numbers, and the text of them, are those that the tokenizers package gives. Keys about
 * truncation and padding are not used. Where heed was configured without PCRE2 and utf8proc, opening
 * one is refused (without.c).
 */
#ifndef HEED_TEXT_TOKENIZER_H
#define HEED_TEXT_TOKENIZER_H

#include "base/local.h"
#include "text/bytes.h"

typedef struct tokenizer tokenizer;

/* Of a folder, or of a .gguf or .safetensors file that has one. */
HEED_LOCAL tokenizer *tokenizer_open(const char *path, heed_error *error);
/* Its tokenizer.json, malloc'ed; NULL and an error. */
HEED_LOCAL char *tokenizer_json(const char *path, heed_error *error);
HEED_LOCAL void tokenizer_close(tokenizer *t);

/* Appends the tokens of a text; `name` is what it is called in sentences. `special`: with those in
 * front and behind that models read. most > 0: no more than so many, with these. */
HEED_LOCAL int32_t tokenizer_encode(tokenizer *t, const char *name, const char *text, size_t n,
                                    int special, size_t most, id_list *to, heed_error *error);

/* A text from tokens as they come: begin, put each, end. What is appended is whole characters; of
 * special tokens nothing is. After an end tokens may follow that go on with the text. */
HEED_LOCAL void tokenizer_begin(tokenizer *t);
HEED_LOCAL int32_t tokenizer_put(tokenizer *t, int32_t id, bytes *to, heed_error *error);
HEED_LOCAL int32_t tokenizer_end(tokenizer *t, bytes *to, heed_error *error);

#endif
