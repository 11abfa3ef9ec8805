/* SPDX-License-Identifier: MIT
 *
 * without.c: tokenizers where heed was configured without PCRE2 and utf8proc: none is opened.
 */
#include "base/error.h"
#include "text/tokenizer.h"

tokenizer *tokenizer_open(const char *folder, heed_error *error)
{
    error_set(error, HEED_E_UNSUPPORTED,
              "%s/tokenizer.json is not read: this heed was built without PCRE2 and utf8proc "
              "(libpcre2-dev, libutf8proc-dev); --ids FILE.npy takes the numbers of tokens in the "
              "place of a text",
              folder);
    return NULL;
}

char *tokenizer_json(const char *path, heed_error *error)
{
    tokenizer_close(tokenizer_open(path, error));
    return NULL;
}

void tokenizer_close(tokenizer *t) { (void)t; }

int32_t tokenizer_encode(tokenizer *t, const char *name, const char *text, size_t n, int special,
                         size_t most, id_list *to, heed_error *error)
{
    (void)t, (void)name, (void)text, (void)n, (void)special, (void)most, (void)to;
    return error_set(error, HEED_E_UNSUPPORTED, "no tokenizer is open");
}

void tokenizer_begin(tokenizer *t) { (void)t; }

int32_t tokenizer_put(tokenizer *t, int32_t id, bytes *to, heed_error *error)
{
    (void)t, (void)id, (void)to;
    return error_set(error, HEED_E_UNSUPPORTED, "no tokenizer is open");
}

int32_t tokenizer_end(tokenizer *t, bytes *to, heed_error *error)
{
    (void)t, (void)to;
    return error_set(error, HEED_E_UNSUPPORTED, "no tokenizer is open");
}
