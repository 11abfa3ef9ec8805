/* SPDX-License-Identifier: MIT
 *
 * train_folder.c: a network that has learned as a folder that Hugging Face's transformers opens:
 * config.json, model.safetensors and, where tokens are bytes, a tokenizer.json that says so.
 * Which model that is finds train_form.c.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/error.h"
#include "command/file.h"
#include "command/train.h"
#include "model/stack.h"
#include "text/byte_chars.h"

int train_folder_is(const char *path)
{
    struct stat s;
    const size_t n = strlen(path);
    return (n && path[n - 1] == '/') || (!stat(path, &s) && S_ISDIR(s.st_mode));
}

/* ---- its files ---- */

/* With as few digits as say the same: 0.1. */
static char *text_of(const json_t *of)
{
    char *text = json_dumps(of, JSON_INDENT(2) | JSON_REAL_PRECISION(15));
    json_t *back = text ? json_loads(text, 0, NULL) : NULL;
    const int same = back && json_equal((json_t *)of, back);
    json_decref(back);
    if (same) return text;
    free(text);
    return json_dumps(of, JSON_INDENT(2));
}

/* Writes and frees. */
static int32_t write_json(const char *folder, const char *name, json_t *of, heed_error *error)
{
    char *path = NULL, *text = of ? text_of(of) : NULL;
    if (asprintf(&path, "%s/%s", folder, name) < 0) path = NULL;
    const int32_t failed =
        path && text ? file_write(path, text, strlen(text), error) : error_memory(error);
    free(path), free(text);
    json_decref(of);
    return failed;
}

/* The character that stands for a byte in byte-level BPE. */
static const char *char_of(unsigned byte, char text[4])
{
    const uint32_t c = byte_char(byte);
    if (c < 0x80) text[0] = (char)c, text[1] = 0;
    else text[0] = (char)(0xC0 | c >> 6), text[1] = (char)(0x80 | (c & 63)), text[2] = 0;
    return text;
}

/* Tokens are bytes: a byte-level BPE without merges, with the token bos in front of a text. */
static json_t *tokenizer_of(int64_t bos)
{
    char text[4];
    json_t *vocab = json_object(), *behind = json_null();
    for (unsigned byte = 0; byte < 256; byte++)
        json_object_set_new(vocab, char_of(byte, text), json_integer((json_int_t)byte));
    if (bos >= 0 && bos < 256)
        behind = json_pack(
            "{s:s, s:[{s:{s:s, s:i}}, {s:{s:s, s:i}}], s:[{s:{s:s, s:i}}, {s:{s:s, s:i}}, {s:{s:s, "
            "s:i}}], s:{s:{s:s, s:[I], s:[s]}}}",
            "type", "TemplateProcessing", "single", "SpecialToken", "id",
            char_of((unsigned)bos, text), "type_id", 0, "Sequence", "id", "A", "type_id", 0, "pair",
            "SpecialToken", "id", text, "type_id", 0, "Sequence", "id", "A", "type_id", 0,
            "Sequence", "id", "B", "type_id", 0, "special_tokens", text, "id", text, "ids",
            (json_int_t)bos, "tokens", text);
    return json_pack("{s:s, s:n, s:n, s:[], s:n, s:{s:s, s:b, s:b, s:b}, s:o, s:{s:s, s:b, s:b, "
                     "s:b}, s:{s:s, s:n, "
                     "s:n, s:n, s:n, s:b, s:b, s:b, s:o, s:[]}}",
                     "version", "1.0", "truncation", "padding", "added_tokens", "normalizer",
                     "pre_tokenizer", "type", "ByteLevel", "add_prefix_space", 0, "trim_offsets", 1,
                     "use_regex", 0, "post_processor", behind, "decoder", "type", "ByteLevel",
                     "add_prefix_space", 0, "trim_offsets", 1, "use_regex", 0, "model", "type",
                     "BPE", "dropout", "unk_token", "continuing_subword_prefix",
                     "end_of_word_suffix", "fuse_unk", 0, "byte_fallback", 0, "ignore_merges", 0,
                     "vocab", vocab, "merges");
}

int32_t train_folder_check(const train_job *j, heed_error *error)
{
    train_form f;
    const int32_t failed = train_form_find(j, &f, error);
    train_form_free(&f);
    if (failed || !mkdir(j->out, 0777) || errno == EEXIST) return failed;
    return error_set(error, HEED_E_SYSTEM, "%.200s: %s", j->out, strerror(errno));
}

/* That of the texts; of bytes one that says so. */
static int32_t write_tokenizer(const train_job *j, heed_error *error)
{
    const int64_t *n = j->trainer->stack->number;
    if (j->tokens.path) return train_tokens_write(&j->tokens, j->out, error);
    if (j->data.numbers || n[STACK_VOCAB] < 256) return HEED_OK;
    TRY(write_json(j->out, "tokenizer.json", tokenizer_of(n[STACK_BOS]), error));
    return write_json(j->out, "tokenizer_config.json",
                      json_pack("{s:s, s:b}", "tokenizer_class", "PreTrainedTokenizerFast",
                                "clean_up_tokenization_spaces", 0),
                      error);
}

int32_t train_folder_write(const train_job *j, heed_error *error)
{
    static const weights_note note = {"format", "pt"};
    char *path = NULL;
    train_form f;
    int32_t failed = train_form_find(j, &f, error);
    if (!failed) failed = write_json(j->out, "config.json", json_incref(f.config), error);
    if (!failed) failed = write_tokenizer(j, error);
    if (!failed && asprintf(&path, "%s/model.safetensors", j->out) < 0)
        path = NULL, failed = error_memory(error);
    if (!failed)
        failed =
            trainer_export(j->trainer, path, j->dtype, &(trainer_file){f.tensors, &note, 1}, error);
    free(path);
    train_form_free(&f);
    return failed;
}
