/* SPDX-License-Identifier: MIT
 *
 * checkpoint_gguf.c: a GGUF file as a checkpoint: its metadata takes the place of config.json, under the
 * names of a table, and its tensors those of a file of safetensors.
 *
 * What config.json says and GGUF does not is found in the tensors: whether the output is tied, which
 * biases there are. In files of the architecture llama the rows of q and k stand so that neighbours
 * turn together, so nothing has to be put back: the position op is told (`pairs`). Invariant: what a
 * key of the architecture would change is read, or it is refused (config_unused).
 */
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/grow.h"
#include "io/checkpoint.h"
#include "io/gguf.h"

#define FIRST_LAYER "blk.0."

static const config_name keys[] = {
    {"vocab_size", "*.vocab_size"},
    {"hidden_size", "*.embedding_length"},
    {"num_hidden_layers", "*.block_count"},
    {"num_attention_heads", "*.attention.head_count"},
    {"num_key_value_heads", "*.attention.head_count_kv"},
    {"head_dim", "*.attention.key_length"},
    {"intermediate_size", "*.feed_forward_length"},
    {"max_position_embeddings", "*.context_length"},
    {"rms_norm_eps", "*.attention.layer_norm_rms_epsilon"},
    {"rope_theta", "*.rope.freq_base"},
    {"rope_scaling.type", "*.rope.scaling.type"},
    {"rope_scaling.factor", "*.rope.scaling.factor"},
    {"rope_scaling.original_max_position_embeddings", "*.rope.scaling.original_context_length"},
    {"bos_token_id", "tokenizer.ggml.bos_token_id"},
    {"eos_token_id", "tokenizer.ggml.eos_token_id"},
    /* asked for here alone */
    {"value width", "*.attention.value_length"},
    {"turning channels", "*.rope.dimension_count"},
    {"turn token", "tokenizer.ggml.eot_token_id"},
    {NULL, NULL},
};

static const checkpoint_name tensors[] = {
    {"~embed_tokens.", "token_embd."},
    {"~norm.", "output_norm."},
    {"lm_head.", "output."},
    {"~layers.*.input_layernorm.", "blk.*.attn_norm."},
    {"~layers.*.self_attn.q_proj.", "blk.*.attn_q."},
    {"~layers.*.self_attn.k_proj.", "blk.*.attn_k."},
    {"~layers.*.self_attn.v_proj.", "blk.*.attn_v."},
    {"~layers.*.self_attn.o_proj.", "blk.*.attn_output."},
    {"~layers.*.self_attn.q_norm.", "blk.*.attn_q_norm."},
    {"~layers.*.self_attn.k_norm.", "blk.*.attn_k_norm."},
    {"~layers.*.post_attention_layernorm.", "blk.*.ffn_norm."},
    {"~layers.*.mlp.gate_proj.", "blk.*.ffn_gate."},
    {"~layers.*.mlp.up_proj.", "blk.*.ffn_up."},
    {"~layers.*.mlp.down_proj.", "blk.*.ffn_down."},
    {NULL, NULL},
};

/* general.architecture, the model_type that computes the same, and which channels turn together. */
static const struct {
    const char *name, *type, *pairs;
    int says_width; /* config.json of the type has head_dim */
} architectures[] = {
    {"llama", "llama", "interleaved", 1},
    {"qwen2", "qwen2", "half", 0},
    {"qwen3", "qwen3", "half", 1},
};
#define ARCHITECTURES (sizeof architectures / sizeof *architectures)

/* ---- keys ---- */

/* Texts and lists of the tokenizer are not among the keys of the network. */
static int is_of_network(const gguf_value *v)
{
    return strncmp(v->key, "tokenizer.", 10) || !strcmp(v->key, "tokenizer.ggml.bos_token_id") ||
           !strcmp(v->key, "tokenizer.ggml.eos_token_id") ||
           !strcmp(v->key, "tokenizer.ggml.eot_token_id");
}

static int32_t copy_keys(checkpoint *k, const gguf *g)
{
    k->config.root = json_object();
    for (uint32_t i = 0; k->config.root && i < g->n_values; i++) {
        if (!is_of_network(&g->value[i])) continue;
        json_t *value = gguf_json(g, &g->value[i]);
        if (!value) return k->error->code;
        if (json_object_set_new(k->config.root, g->value[i].key, value))
            return error_memory(k->error);
    }
    return k->config.root ? HEED_OK : error_memory(k->error);
}

/* A key that GGUF says otherwise, or not at all. */
static int32_t put(checkpoint *k, const char *path, json_t *value)
{
    char room[CONFIG_KEY];
    const char *key = config_key(&k->config, path, room);
    return value && !json_object_set_new(k->config.root, key, value) ? HEED_OK
                                                                     : error_memory(k->error);
}

static void drop(checkpoint *k, const char *path)
{
    char room[CONFIG_KEY];
    json_object_del(k->config.root, config_key(&k->config, path, room));
}

/* Whether the file has a tensor. */
static int has(const checkpoint *k, const char *name)
{
    return heed_weights_find(k->made->shards[0], name) != NULL;
}

/* A head's width, which is one here for keys, values and the channels that turn. */
static int32_t put_width(checkpoint *k, int says_width)
{
    config *c = &k->config;
    const int64_t heads = config_int(c, "num_attention_heads", 1, 1 << 20, CONFIG_MUST),
                  all = config_int(c, "hidden_size", 1, INT32_MAX, CONFIG_MUST),
                  width = config_int(c, "head_dim", 1, INT32_MAX, all / heads ? all / heads : 1);
    config_only(c, "value width", width);
    config_only(c, "turning channels", width);
    if (c->failed) return c->failed;
    if (!says_width && width * heads == all) drop(k, "head_dim");
    else TRY(put(k, "head_dim", json_integer(width)));
    CHECKPOINT_SIZE(k, 'R') = width / 2;
    return HEED_OK;
}

/* "none" is what is not said in config.json. */
static void drop_scaling(checkpoint *k)
{
    const char *type = config_has(&k->config, "rope_scaling.type")
                           ? config_word(&k->config, "rope_scaling.type", "")
                           : "none";
    if (strcmp(type, "none")) return;
    drop(k, "rope_scaling.type");
    drop(k, "rope_scaling.factor");
    drop(k, "rope_scaling.original_max_position_embeddings");
}

/* A text ends at either of two tokens. */
static int32_t put_ends(checkpoint *k)
{
    const json_t *end = config_any(&k->config, "eos_token_id"),
                 *turn = config_any(&k->config, "turn token");
    if (!json_is_integer(end) || !json_is_integer(turn)) return HEED_OK;
    return put(k, "eos_token_id",
               json_pack("[II]", json_integer_value(end), json_integer_value(turn)));
}

static int32_t put_rest(checkpoint *k, const gguf *g, int says_width)
{
    const gguf_value *words = gguf_find(g, "tokenizer.ggml.tokens");
    TRY(put_width(k, says_width));
    drop_scaling(k);
    TRY(put_ends(k));
    if (!config_has(&k->config, "vocab_size") && words && gguf_is_list(words))
        TRY(put(k, "vocab_size", json_integer((json_int_t)words->count)));
    if (!has(k, "output.weight")) TRY(put(k, "tie_word_embeddings", json_true()));
    if (has(k, FIRST_LAYER "attn_q.bias") && strcmp(k->type->name, "qwen2"))
        TRY(put(k, "attention_bias", json_true()));
    if (has(k, FIRST_LAYER "ffn_gate.bias")) TRY(put(k, "mlp_bias", json_true()));
    if (has(k, "rope_freqs.weight")) k->when |= CHECKPOINT_LISTED;
    return k->config.failed;
}

/* ---- the file ---- */

/* Takes its map, and views its tensors, which are sorted again by name. */
static int32_t put_shard(checkpoint *k, gguf *g)
{
    char **path = grow_append(&k->files, &k->n_files, sizeof *path);
    heed_weights **slot = grow_append(&k->made->shards, &k->made->n_shards, sizeof *slot);
    if (!path || !slot || !(*path = strdup(k->folder)) || !(*slot = weights_new(k->error)))
        return error_memory(k->error);
    heed_weights *w = *slot;
    w->map = g->map, w->size = g->size;
    g->map = NULL;
    w->items = calloc((size_t)g->n_tensors + 1, sizeof *w->items);
    if (!w->items) return error_memory(k->error);
    for (; w->count < g->n_tensors; w->count++) {
        gguf_tensor *t = &g->tensor[w->count];
        weights_item *to = &w->items[w->count];
        to->tensor = heed_tensor_of(w->map + g->data + t->begin, t->dtype, t->rank, t->dim);
        to->name = to->own = t->name;
        t->name = NULL;
    }
    if (w->count) qsort(w->items, w->count, sizeof *w->items, weights_by_name);
    return HEED_OK;
}

static int32_t refuse_type(checkpoint *k, const char *name)
{
    char known[120] = "";
    for (size_t i = 0, n = 0; i < ARCHITECTURES; i++)
        n += (size_t)snprintf(known + n, sizeof known - n, "%s%s", i ? ", " : "",
                              architectures[i].name);
    return error_set(k->error, HEED_E_UNSUPPORTED,
                     "%s: general.architecture is " QUOTE ", which is not read; these are: %s",
                     k->folder, QUOTED(name), known);
}

static int32_t read(checkpoint *k, gguf *g)
{
    config *c = &k->config;
    size_t which = 0;
    TRY(copy_keys(k, g));
    const char *name = json_string_value(json_object_get(c->root, "general.architecture"));
    while (which < ARCHITECTURES && name && strcmp(architectures[which].name, name)) which++;
    if (!name || which == ARCHITECTURES) return refuse_type(k, name ? name : "no text");
    c->names = keys, c->architecture = architectures[which].name;
    k->pairs = architectures[which].pairs;
    k->type = checkpoint_type_of(architectures[which].type);
    if (json_integer_value(json_object_get(c->root, "split.count")) > 1)
        return error_set(k->error, HEED_E_UNSUPPORTED,
                         "%s: split.count is %" JSON_INTEGER_FORMAT
                         ", but one file is read: llama-gguf-split --merge makes one",
                         k->folder, json_integer_value(json_object_get(c->root, "split.count")));
    TRY(put_shard(k, g));
    return put_rest(k, g, architectures[which].says_width);
}

int32_t checkpoint_gguf(checkpoint *k)
{
    gguf g;
    k->names = tensors;
    k->config = (config){.error = k->error, .used = json_object(), .path = strdup(k->folder)};
    int32_t failed = k->config.used && k->config.path ? gguf_open(&g, k->folder, k->error)
                                                      : (g = (gguf){0}, error_memory(k->error));
    if (!failed) failed = read(k, &g);
    gguf_close(&g);
    return failed;
}
