/* SPDX-License-Identifier: MIT
 *
 * generate_prompt.c: the prompt of heed generate, as tokens: its bytes, those of a tokenizer, or
 * numbers.
 */
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "command/generate.h"
#include "model/stack.h"
#include "text/chat.h"

/* The prompt behind bos, as tokens. */
static int32_t read_bytes(const generate_job *j, const unsigned char *prompt, size_t length,
                          id_list *to, heed_error *error)
{
    const int64_t bos = heed_stack_number(j->model.stack, "bos");
    if (bos < 0 && !length)
        return error_set(error, HEED_E_ARGUMENT,
                         "%s has no token to begin with (bos), so a prompt is needed",
                         j->model_path ? j->model_path : "the spec");
    if (length > SIZE_MAX / 8) return error_memory(error);
    if (bos >= 0) id_list_put(to, (int32_t)bos);
    for (size_t i = 0; i < length; i++) id_list_put(to, prompt[i]);
    return HEED_OK;
}

/* The same by a tokenizer, with what its models read around a text. */
static int32_t read_text(const generate_job *j, const unsigned char *prompt, size_t length,
                         id_list *to, heed_error *error)
{
    const int64_t begin = model_token(&j->model, "heed.begin");
    const char *name = j->prompt_path ? j->prompt_path : "--prompt", *text = (const char *)prompt;
    bytes message = {0};
    int32_t failed = HEED_OK;
    if (j->chat) failed = chat_prompt(j->model_path, j->system, text, length, &message, error);
    if (!failed && j->chat) text = message.at, length = message.n;
    if (!failed) failed = model_encode(&j->model, name, text, length, !j->chat, 0, to, error);
    free(message.at);
    if (failed) return failed;
    if (!to->n && begin >= 0) id_list_put(to, (int32_t)begin);
    if (to->n || to->failed) return HEED_OK;
    return error_set(error, HEED_E_ARGUMENT,
                     "%s has no token to begin with (bos_token_id), so a prompt is needed",
                     j->model_path);
}

static int32_t read_numbers(const generate_job *j, id_list *to, heed_error *error)
{
    int64_t n;
    TRY(model_read_ids(&j->model, j->ids_path, &to->at, &n, error));
    to->n = (size_t)n, to->room = to->n + 1;
    if (n) return HEED_OK;
    return error_set(error, HEED_E_DATA, "%s: has no token to begin with", j->ids_path);
}

/* A story that has its beginning, and room for what will be made. */
static int32_t start_story(generate_job *j, int64_t i, const id_list *list, heed_error *error)
{
    const int64_t vocab = heed_stack_number(j->model.stack, "vocab");
    story *s = &j->stories[i];
    *s = (story){.session = i ? NULL : j->model.session,
                 .text = calloc(list->n + (size_t)j->tokens + 1, sizeof *s->text),
                 .logits = calloc((size_t)vocab, sizeof *s->logits),
                 .seen = calloc((size_t)vocab, 1),
                 .n = (int64_t)list->n,
                 .chance = (uint64_t)j->seed + (uint64_t)i};
    if (!s->text || !s->logits || !s->seen) return error_memory(error);
    memcpy(s->text, list->at, list->n * sizeof *list->at);
    for (size_t t = 0; t < list->n; t++) s->seen[list->at[t]] = 1;
    return HEED_OK;
}

int generate_has_encoder(const generate_job *j)
{
    return heed_stack_number(j->model.stack, "encoder_layers") > 0;
}

/* Of a network with an encoder: that is what reads the prompt, and what is made begins with a token
 * of its own. */
static int32_t start_source(generate_job *j, id_list *list, heed_error *error)
{
    int64_t first = model_token(&j->model, "heed.start");
    if (first < 0) first = heed_stack_number(j->model.stack, "bos");
    if (first < 0)
        return error_set(
            error, HEED_E_ARGUMENT,
            "%s has no token that what is made begins with (decoder_start_token_id, or "
            "bos)",
            j->model_path ? j->model_path : "the spec");
    j->source = *list;
    *list = (id_list){0};
    id_list_put(list, (int32_t)first);
    return HEED_OK;
}

/* What comes first. Numbers of tokens are all that there is. */
int32_t generate_start(generate_job *j, const unsigned char *prompt, size_t length,
                       heed_error *error)
{
    j->stories = calloc((size_t)j->parallel, sizeof *j->stories);
    if (!j->stories) return error_memory(error);
    if (!j->ids_path && j->model_path) TRY(model_open_text(&j->model, j->model_path, error));
    if (j->chat && !j->model.tokenizer)
        return error_set(error, HEED_E_UNSUPPORTED,
                         "%s: --chat needs a checkpoint with a tokenizer.json and a chat_template",
                         j->model_path ? j->model_path : "the spec");
    if (j->model.stack->ahead)
        return error_set(error, HEED_E_DATA,
                         "%s is no language model: tokens of %s, which is not causal, see those "
                         "behind them, and there "
                         "are none yet",
                         j->model_path ? j->model_path : "the spec", j->model.stack->ahead);
    id_list list = {0};
    int32_t failed = j->ids_path          ? read_numbers(j, &list, error)
                     : j->model.tokenizer ? read_text(j, prompt, length, &list, error)
                                          : read_bytes(j, prompt, length, &list, error);
    if (!failed && generate_has_encoder(j)) failed = start_source(j, &list, error);
    if (!failed && (list.failed || j->source.failed)) failed = error_memory(error);
    j->read = (int64_t)list.n;
    for (int64_t i = 0; !failed && i < j->parallel; i++) failed = start_story(j, i, &list, error);
    free(list.at);
    return failed;
}
