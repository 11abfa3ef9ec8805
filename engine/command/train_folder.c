/* SPDX-License-Identifier: MIT
 *
 * train_folder.c: a network that has learned as a folder that Hugging Face's transformers opens:
 * config.json, model.safetensors and, where tokens are bytes, a tokenizer.json that says so.
 *
 * One form is known, that of Llama. Whether a network has it is not guessed: the spec that the form's
 * config would be read as must be the network's own, and each of its tensors must have a name there.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/error.h"
#include "command/file.h"
#include "command/train.h"
#include "model/stack_plan.h"
#include "op/engine.h"
#include "text/byte_chars.h"

#define ENDLESS 131072 /* what a network of any context says of its longest text */

/* Names of a tensor here and there; N stands for the layer. */
static const char *const names[][2] = {
    {"embed.table", "model.embed_tokens.weight"},
    {"layers.N.attention_norm.gain", "model.layers.N.input_layernorm.weight"},
    {"layers.N.q.weight", "model.layers.N.self_attn.q_proj.weight"},
    {"layers.N.k.weight", "model.layers.N.self_attn.k_proj.weight"},
    {"layers.N.v.weight", "model.layers.N.self_attn.v_proj.weight"},
    {"layers.N.o.weight", "model.layers.N.self_attn.o_proj.weight"},
    {"layers.N.feedforward_norm.gain", "model.layers.N.post_attention_layernorm.weight"},
    {"layers.N.feedforward.gate", "model.layers.N.mlp.gate_proj.weight"},
    {"layers.N.feedforward.up", "model.layers.N.mlp.up_proj.weight"},
    {"layers.N.feedforward.down", "model.layers.N.mlp.down_proj.weight"},
    {"final_norm.gain", "model.norm.weight"},
    {"output.weight", "lm_head.weight"},
};

int train_folder_is(const char *path)
{
    struct stat s;
    const size_t n = strlen(path);
    return (n && path[n - 1] == '/') || (!stat(path, &s) && S_ISDIR(s.st_mode));
}

/* ---- whether it has that form ---- */

/* What of the config stands in settings of ops, not in numbers of the network. */
typedef struct form {
    double eps, base;
    int64_t hidden;
    int tied;
} form;

static const heed_value *setting(const stack_plan *p, uint32_t part, const char *key)
{
    const stack_part *t = &p->parts[part];
    const resolved *op = t->count ? t->op[0] : NULL;
    for (uint32_t i = 0; op && i < op->entry->op.params.count; i++)
        if (!strcmp(entry_param(op->entry, i)->key, key)) return &op->value[i];
    return NULL;
}

/* The spec that the config of such a network is read as, in its one form; NULL: no memory. */
static char *spec_of(const registry *r, const stack_plan *own, const form *f, heed_error *error)
{
    const int64_t *n = own->number;
    char eps[32], base[32], hidden[48] = "", context[48] = "", bos[32] = "", *text, *printed = NULL;
    stack_plan p = {0};
    spec_number(eps, f->eps), spec_number(base, f->base);
    if (strstr(own->parts[STACK_PART_FEEDFORWARD].text[0], "hidden="))
        snprintf(hidden, sizeof hidden, "(hidden=%lld)", (long long)f->hidden);
    if (n[STACK_CONTEXT] >= 0)
        snprintf(context, sizeof context, "; context=%lld", (long long)n[STACK_CONTEXT]);
    if (n[STACK_BOS] >= 0) snprintf(bos, sizeof bos, "; bos=%lld", (long long)n[STACK_BOS]);
    if (asprintf(&text,
                 "vocab=%lld; width=%lld; layers=%lld; heads=%lld; kv_heads=%lld; head_width=%lld; "
                 "norm=rms(eps=%s); attention=softmax(causal=true); "
                 "position=rope(base=%s, pairs=half); feedforward=swiglu%s%s%s%s",
                 (long long)n[STACK_VOCAB], (long long)n[STACK_WIDTH], (long long)n[STACK_LAYERS],
                 (long long)n[STACK_HEADS], (long long)n[STACK_KV_HEADS],
                 (long long)n[STACK_HEAD_WIDTH], eps, base, hidden, context,
                 f->tied ? "; tied=true" : "", bos) < 0)
        return error_memory(error), NULL;
    if (!stack_plan_read(&p, r, text, error) && !(printed = stack_plan_print(&p)))
        error_memory(error);
    stack_plan_free(&p);
    free(text);
    return printed;
}

/* A tensor's name there, malloc'ed; NULL: it has none. */
static char *name_there(const char *name)
{
    char key[128], *made = NULL;
    long long layer = -1;
    int end = 0;
    if (sscanf(name, "layers.%lld.%n", &layer, &end) == 1 && end)
        snprintf(key, sizeof key, "layers.N.%s", name + end);
    else snprintf(key, sizeof key, "%s", name);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        const char *to = names[i][1], *at = strstr(to, ".N.");
        if (strcmp(names[i][0], key)) continue;
        if (!at) return strdup(to);
        if (asprintf(&made, "%.*s.%lld.%s", (int)(at - to), to, layer, at + 3) < 0) return NULL;
        return made;
    }
    return NULL;
}

static int32_t refuse(const char *path, const char *spec, const char *why, heed_error *error)
{
    return error_set(
        error, HEED_E_UNSUPPORTED,
        "%s: as a folder for transformers only a network of Llama's form can be written "
        "(residual=pre, norm=rms, attention=softmax(causal=true), "
        "position=rope(pairs=half), feedforward=swiglu, output=logits, no biases); this "
        "one is %.300s%s",
        path, spec, why);
}

static int32_t read_form(const heed_trainer *t, const char *path, form *f, heed_error *error)
{
    const char *spec = heed_stack_spec(t->stack);
    const registry *r = &t->engine->registry;
    const heed_tensor *up = heed_weights_find(t->weights, "layers.0.feedforward.up");
    stack_plan own = {0};
    char *right = NULL;
    int32_t failed = stack_plan_read(&own, r, spec, error);
    if (!failed) {
        const heed_value *eps = setting(&own, STACK_PART_NORM, "eps"),
                         *base = setting(&own, STACK_PART_POSITION, "base");
        *f = (form){eps ? eps->f : 0, base ? base->f : 0, up && up->rank == 2 ? up->dim[0] : 0,
                    own.choice[STACK_TIED]};
        if (!eps || !base || !f->hidden) failed = refuse(path, spec, "", error);
        else if (!(right = spec_of(r, &own, f, error))) failed = error->code;
        else if (strcmp(right, spec)) failed = refuse(path, spec, "", error);
    }
    for (uint32_t i = 0; i < t->weights->count && !failed; i++) {
        char *name = name_there(t->weights->items[i].name);
        if (!name) failed = refuse(path, t->weights->items[i].name, ", a tensor of it", error);
        free(name);
    }
    stack_plan_free(&own);
    free(right);
    return failed;
}

int32_t train_folder_check(const heed_trainer *t, const char *path, heed_error *error)
{
    form f;
    TRY(read_form(t, path, &f, error));
    if (!mkdir(path, 0777) || errno == EEXIST) return HEED_OK;
    return error_set(error, HEED_E_SYSTEM, "%.200s: %s", path, strerror(errno));
}

/* ---- its files ---- */

/* Writes and frees. */
static int32_t write_json(const char *folder, const char *name, json_t *of, heed_error *error)
{
    char *path = NULL, *text = of ? json_dumps(of, JSON_INDENT(2)) : NULL;
    if (asprintf(&path, "%s/%s", folder, name) < 0) path = NULL;
    const int32_t failed =
        path && text ? file_write(path, text, strlen(text), error) : error_memory(error);
    free(path), free(text);
    json_decref(of);
    return failed;
}

static json_t *config_of(const heed_trainer *t, const form *f, uint32_t dtype)
{
    const int64_t *n = t->stack->number, context = n[STACK_CONTEXT];
    json_t *all = json_pack(
        "{s:[s], s:s, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:f, s:{s:f, s:s}, s:s, s:b, s:b, "
        "s:b, "
        "s:s, s:n, s:n}",
        "architectures", "LlamaForCausalLM", "model_type", "llama", "vocab_size",
        (json_int_t)n[STACK_VOCAB], "hidden_size", (json_int_t)n[STACK_WIDTH], "num_hidden_layers",
        (json_int_t)n[STACK_LAYERS], "num_attention_heads", (json_int_t)n[STACK_HEADS],
        "num_key_value_heads", (json_int_t)n[STACK_KV_HEADS], "head_dim",
        (json_int_t)n[STACK_HEAD_WIDTH], "intermediate_size", (json_int_t)f->hidden,
        "max_position_embeddings", (json_int_t)(context >= 0 ? context : ENDLESS), "rms_norm_eps",
        f->eps, "rope_parameters", "rope_theta", f->base, "rope_type", "default", "hidden_act",
        "silu", "attention_bias", 0, "mlp_bias", 0, "tie_word_embeddings", f->tied, "dtype",
        dtype == HEED_F32   ? "float32"
        : dtype == HEED_F16 ? "float16"
                            : "bfloat16",
        "eos_token_id", "pad_token_id");
    if (all && n[STACK_BOS] >= 0)
        json_object_set_new(all, "bos_token_id", json_integer(n[STACK_BOS]));
    else if (all) json_object_set_new(all, "bos_token_id", json_null());
    return all;
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

int32_t train_folder_write(const heed_trainer *t, const char *folder, uint32_t dtype, int numbers,
                           heed_error *error)
{
    static const weights_note note = {"format", "pt"};
    const int64_t bos = t->stack->number[STACK_BOS];
    char *path = NULL;
    form f;
    TRY(read_form(t, folder, &f, error));
    TRY(write_json(folder, "config.json", config_of(t, &f, dtype), error));
    if (!numbers && t->stack->number[STACK_VOCAB] >= 256) {
        TRY(write_json(folder, "tokenizer.json", tokenizer_of(bos), error));
        TRY(write_json(folder, "tokenizer_config.json",
                       json_pack("{s:s, s:b}", "tokenizer_class", "PreTrainedTokenizerFast",
                                 "clean_up_tokenization_spaces", 0),
                       error));
    }
    if (asprintf(&path, "%s/model.safetensors", folder) < 0) return error_memory(error);
    const int32_t failed =
        trainer_export(t, path, dtype, &(trainer_form){name_there, &note, 1}, error);
    free(path);
    return failed;
}
