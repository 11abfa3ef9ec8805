/* SPDX-License-Identifier: MIT
 *
 * fields.h: tokenizer.json, key by key, with the place of each for sentences.
 *
 * After the first failure, which `failed` and `error` keep, every function gives its default, so
 * that who reads ten keys looks once.
 */
#ifndef HEED_TEXT_FIELDS_H
#define HEED_TEXT_FIELDS_H

#include <stddef.h>

#include "base/local.h"

struct json_t;

typedef struct fields {
    char *path; /* of the file */
    struct json_t *root;
    heed_error *error;
    int32_t failed;
} fields;

/* One value: "normalizer.normalizers[1]". NULL: it is absent, or null. */
typedef struct field {
    fields *of;
    const struct json_t *value;
    char where[96];
} field;

HEED_LOCAL int32_t fields_open(fields *f, const char *folder, heed_error *error);
HEED_LOCAL void fields_close(fields *f);

HEED_LOCAL field field_root(fields *f);
HEED_LOCAL field field_key(const field *in, const char *key);
HEED_LOCAL field field_item(const field *in, size_t index);
HEED_LOCAL size_t field_count(const field *in); /* of a list's items */
/* A list: fails if it is none. */
HEED_LOCAL size_t field_list(const field *in);

/* A key's text, which may have NULs; `usual` NULL: it must be there. */
HEED_LOCAL const char *field_text(const field *in, const char *key, const char *usual, size_t *n);
HEED_LOCAL const char *field_word(const field *in, const char *key, const char *usual);
HEED_LOCAL int field_flag(const field *in, const char *key, int usual);
HEED_LOCAL int64_t field_int(const field *in, const char *key, int64_t min, int64_t max,
                             int64_t usual);
/* The field itself, as a text or as a number. */
HEED_LOCAL const char *field_as_text(const field *f, size_t *n);
HEED_LOCAL int64_t field_as_int(const field *f, int64_t min, int64_t max);
HEED_LOCAL double field_as_real(const field *f);
/* Which of the words in `right`, "Removed, Isolated", its key has, from 0 on. */
HEED_LOCAL int field_choice(const field *in, const char *key, const char *usual, const char *right);
/* "PATH: WHERE is VALUE, but <right>", if nothing has failed before. */
HEED_LOCAL void field_wrong(const field *f, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
HEED_LOCAL void field_no_memory(const field *f);

#endif
