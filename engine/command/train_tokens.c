/* SPDX-License-Identifier: MIT
 *
 * train_tokens.c: tokens that are no bytes: the tokenizer by which heed train makes them of texts, and
 * what the result says of them, so that every command takes texts to it.
 *
 * They are those of --tokenizer, else of the model that is gone on from: a checkpoint's folder, a GGUF
 * file, or a file that heed train has made.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "command/file.h"
#include "command/train.h"
#include "io/gguf.h"

static const char *const keys[TRAIN_NOTES] = {[TRAIN_TOKENS] = "heed.tokens",
                                              [TRAIN_BEGIN] = "heed.begin",
                                              [TRAIN_END] = "heed.end",
                                              [TRAIN_START] = "heed.start",
                                              [TRAIN_TOKENIZER] = "heed.tokenizer"};

static int is_file(const char *folder, const char *name)
{
    char *path;
    if (asprintf(&path, "%s/%s", folder, name) < 0) return 0;
    const int there = !access(path, F_OK);
    free(path);
    return there;
}

/* Whether a model has a tokenizer of its own. */
static int has_one(const char *path, const heed_weights *w)
{
    return heed_weights_metadata(w, "heed.tokenizer") || gguf_is(path) ||
           is_file(path, "tokenizer.json");
}

int32_t train_tokens_open(train_tokens *t, const char *given, const char *network,
                          const heed_weights *weights, int texts, heed_error *error)
{
    const char *kind = weights ? heed_weights_metadata(weights, "heed.tokens") : NULL;
    const int ids = given || (kind && !strcmp(kind, "ids"));
    if (!ids) return HEED_OK;
    for (int i = 0; i < TRAIN_NOTES; i++) {
        const char *text = weights ? heed_weights_metadata(weights, keys[i]) : NULL;
        if (i == TRAIN_TOKENIZER) continue;
        if (!(t->note[i] = strdup(i == TRAIN_TOKENS ? "ids" : text ? text : "")))
            return error_memory(error);
    }
    t->path = given ? given : weights && has_one(network, weights) ? network : NULL;
    if (!t->path) return HEED_OK;
    if (!(t->note[TRAIN_TOKENIZER] = tokenizer_json(t->path, error))) return error->code;
    if (texts && !(t->tokenizer = tokenizer_open(t->path, error))) return error->code;
    return HEED_OK;
}

int32_t train_tokens_begin(train_tokens *t, int64_t bos, heed_error *error)
{
    char *text;
    if (!t->note[TRAIN_BEGIN] || *t->note[TRAIN_BEGIN] || bos < 0) return HEED_OK;
    if (asprintf(&text, "%lld", (long long)bos) < 0) return error_memory(error);
    free(t->note[TRAIN_BEGIN]);
    t->note[TRAIN_BEGIN] = text;
    return HEED_OK;
}

void train_tokens_close(train_tokens *t)
{
    tokenizer_close(t->tokenizer);
    for (int i = 0; i < TRAIN_NOTES; i++) free(t->note[i]);
}

int64_t train_tokens_number(const train_tokens *t, uint32_t which)
{
    char *end;
    if (!t->note[which]) return -1;
    const int64_t number = strtoll(t->note[which], &end, 10);
    return end == t->note[which] ? -1 : number;
}

uint32_t train_tokens_notes(const train_tokens *t, weights_note *notes)
{
    uint32_t n = 0;
    for (int i = 0; i < TRAIN_NOTES; i++)
        if (t->note[i]) notes[n++] = (weights_note){keys[i], t->note[i]};
    return n;
}

int32_t train_tokens_encode(const train_tokens *t, const char *name, const void *text, size_t n,
                            int special, int64_t vocab, int64_t most, id_list *to,
                            heed_error *error)
{
    const size_t before = to->n;
    TRY(tokenizer_encode(t->tokenizer, name, text, n, special, 0, to, error));
    if (most && to->n - before > (size_t)most) {
        to->n = before; /* once more, with the special tokens behind what is left */
        TRY(tokenizer_encode(t->tokenizer, name, text, n, special, (size_t)most, to, error));
    }
    for (size_t i = before; i < to->n; i++)
        if (to->at[i] >= vocab)
            return error_set(error, HEED_E_DATA,
                             "%s: the tokenizer makes token %d of it, but the network has those "
                             "from 0 to %lld (vocab)",
                             name, to->at[i], (long long)vocab - 1);
    return HEED_OK;
}

/* ---- in a folder ---- */

static int32_t copy(const char *from, const char *to, const char *name, heed_error *error)
{
    char *path = NULL, *made = NULL;
    unsigned char *bytes = NULL;
    size_t n;
    int32_t failed = HEED_OK;
    if (asprintf(&path, "%s/%s", from, name) < 0) path = NULL;
    if (asprintf(&made, "%s/%s", to, name) < 0) made = NULL;
    if (!path || !made) failed = error_memory(error);
    else if (!access(path, F_OK)) {
        failed = file_read(path, &bytes, &n, error);
        if (!failed) failed = file_write(made, (char *)bytes, n, error);
    }
    free(path), free(made), free(bytes);
    return failed;
}

int32_t train_tokens_write(const train_tokens *t, const char *folder, heed_error *error)
{
    static const char *const files[] = {"tokenizer.json",          "tokenizer_config.json",
                                        "special_tokens_map.json", "added_tokens.json",
                                        "chat_template.jinja",     "generation_config.json"};
    char *path;
    int32_t failed = HEED_OK;
    if (!t->path) return HEED_OK;
    if (is_file(t->path, "tokenizer.json")) {
        for (size_t i = 0; i < sizeof files / sizeof *files && !failed; i++)
            failed = copy(t->path, folder, files[i], error);
        return failed;
    }
    if (asprintf(&path, "%s/tokenizer.json", folder) < 0) return error_memory(error);
    failed = file_write(path, t->note[TRAIN_TOKENIZER], strlen(t->note[TRAIN_TOKENIZER]), error);
    free(path);
    return failed;
}
