/* SPDX-License-Identifier: MIT
 *
 * generate_print.c: what heed generate prints of its tokens: their text, up to one that ends it and
 * no half character, or their numbers.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "command/generate.h"

static int32_t put(const void *bytes, size_t n, heed_error *error)
{
    if (!n || (fwrite(bytes, 1, n, stdout) == n && !fflush(stdout))) return HEED_OK;
    return error_set(error, HEED_E_SYSTEM, "standard output: %s", strerror(errno));
}

static int32_t put_id(int32_t id, const char *before, heed_error *error)
{
    char text[16];
    return put(text, (size_t)snprintf(text, sizeof text, "%s%d", before, id), error);
}

/* Prints what has come of tokens, up to a text that ends it; *ends: there was one. */
static int32_t put_made(generate_job *j, int all, int *ends, heed_error *error)
{
    j->shown.n = 0;
    *ends |= stops_put(&j->stops, j->made.at, j->made.n, all, &j->shown);
    if (j->stops.held.failed || j->shown.failed || j->made.failed) return error_memory(error);
    return put(j->shown.at, j->shown.n, error);
}

/* A token of those that were made. */
int32_t generate_put_token(generate_job *j, int32_t token, int *ends, heed_error *error)
{
    const char byte = (char)token;
    if (j->ids_path) return put_id(token, " ", error);
    j->made.n = 0;
    if (j->model.tokenizer) TRY(tokenizer_put(j->model.tokenizer, token, &j->made, error));
    else if (token <= UINT8_MAX) bytes_put(&j->made, &byte, 1);
    return put_made(j, 0, ends, error);
}

/* The prompt, as it was given; what a tokenizer makes of tokens goes on with its text. */
int32_t generate_put_prompt(generate_job *j, const unsigned char *prompt, size_t length,
                            heed_error *error)
{
    if (!j->ids_path && !j->chat && !generate_has_encoder(j)) TRY(put(prompt, length, error));
    const story *s = &j->stories[0]; /* they all begin alike */
    const int64_t n = j->read;
    for (int64_t i = 0; j->ids_path && i < n; i++) TRY(put_id(s->text[i], i ? " " : "", error));
    if (!j->model.tokenizer) return HEED_OK;
    tokenizer_begin(j->model.tokenizer);
    for (int64_t i = 0; i < n; i++)
        TRY(tokenizer_put(j->model.tokenizer, s->text[i], &j->made, error));
    return tokenizer_end(j->model.tokenizer, &j->made, error);
}

/* What waits for the rest of a character, or of a text that would have ended it. */
int32_t generate_put_rest(generate_job *j, heed_error *error)
{
    int ends = 0;
    if (j->ids_path) return HEED_OK;
    j->made.n = 0;
    if (j->model.tokenizer) TRY(tokenizer_end(j->model.tokenizer, &j->made, error));
    return put_made(j, 1, &ends, error);
}

int32_t generate_put_story(generate_job *j, int64_t i, const unsigned char *prompt, size_t length,
                           heed_error *error)
{
    const story *s = &j->stories[i];
    char title[64];
    const int n = snprintf(title, sizeof title, "%s==> seed %lld <==\n", i ? "\n" : "",
                           (long long)j->seed + (long long)i);
    int ends = 0;
    TRY(put(title, (size_t)n, error));
    TRY(generate_put_prompt(j, prompt, length, error));
    for (int64_t t = j->read; t < s->n && !ends; t++)
        TRY(generate_put_token(j, s->text[t], &ends, error));
    return generate_put_rest(j, error);
}
