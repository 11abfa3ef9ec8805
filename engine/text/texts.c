/* SPDX-License-Identifier: MIT
 *
 * texts.c: tokenizers, and vectors of texts, for applications: what heed.h has of this room.
 *
 * Results lie in memory of the handle, until the next call, so that nobody has to guess their size.
 */
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "text/chat.h"
#include "text/sentence.h"
#include "text/tokenizer.h"

struct heed_tokenizer {
    tokenizer *inside;
    char *folder;
    id_list tokens;
    bytes text;
};

heed_tokenizer *heed_tokenizer_open(const char *folder, heed_error *error)
{
    if (error) *error = (heed_error){0};
    heed_tokenizer *t = calloc(1, sizeof *t);
    if (!t) return error_memory(error), NULL;
    t->folder = strdup(folder);
    if (!t->folder) error_memory(error);
    else if ((t->inside = tokenizer_open(folder, error))) return t;
    heed_tokenizer_close(t);
    return NULL;
}

void heed_tokenizer_close(heed_tokenizer *t)
{
    if (!t) return;
    tokenizer_close(t->inside);
    free(t->folder);
    free(t->tokens.at);
    free(t->text.at);
    free(t);
}

int64_t heed_tokenizer_encode(heed_tokenizer *t, const char *text, uint64_t n, uint32_t special,
                              uint64_t most, const int32_t **tokens, heed_error *error)
{
    if (error) *error = (heed_error){0};
    t->tokens.n = 0, t->tokens.failed = 0;
    TRY(tokenizer_encode(t->inside, "the text", text, n, special != 0, most, &t->tokens, error));
    *tokens = t->tokens.at;
    return (int64_t)t->tokens.n;
}

int64_t heed_tokenizer_decode(heed_tokenizer *t, const int32_t *tokens, uint64_t n, uint32_t flags,
                              const char **text, heed_error *error)
{
    if (error) *error = (heed_error){0};
    t->text.n = 0, t->text.failed = 0;
    if (flags & HEED_TEXT_BEGINS) tokenizer_begin(t->inside);
    for (uint64_t i = 0; i < n; i++)
        TRY(tokenizer_put(t->inside, tokens[i], &t->text, error));
    if (flags & HEED_TEXT_ENDS) TRY(tokenizer_end(t->inside, &t->text, error));
    if (t->text.failed) return error_memory(error);
    *text = t->text.at;
    return (int64_t)t->text.n;
}

int64_t heed_tokenizer_chat(heed_tokenizer *t, const char *system, const char *prompt, uint64_t n,
                            const char **text, heed_error *error)
{
    heed_error own;
    if (!error) error = &own;
    *error = (heed_error){0};
    t->text.n = 0, t->text.failed = 0;
    TRY(chat_prompt(t->folder, system, prompt, n, &t->text, error));
    *text = t->text.at;
    return (int64_t)t->text.n;
}

int64_t heed_sentence_spec(const heed_weights *weights, const char *folder, const char *pooling,
                           int32_t l2, char *to, uint64_t room, uint64_t *most, heed_error *error)
{
    heed_error own;
    sentence how;
    if (!error) error = &own;
    *error = (heed_error){0};
    TRY(sentence_read(&how, folder, error));
    sentence_change(&how, pooling, l2);
    char *spec = sentence_spec(&how, weights, folder, error);
    if (!spec) return error->code;
    const uint64_t n = strlen(spec) + 1;
    if (most) *most = (uint64_t)how.most;
    if (to && room >= n) memcpy(to, spec, n);
    free(spec);
    if (!to || room >= n) return (int64_t)n;
    return error_set(error, HEED_E_ARGUMENT, "the spec takes %llu bytes, and there is room for %llu",
                     (unsigned long long)n, (unsigned long long)room);
}
