/* SPDX-License-Identifier: MIT
 *
 * checkpoint_types.c: the model types that are read: for each how its config.json becomes the
 * spec of a network (docs/networks.md), and the table of its tensors.
 *
 * What a type computes is that of its modeling_*.py in transformers, and what a missing key means
 * stands in its configuration_*.py. A key that is read must be read by its type, so that those that
 * are left can be told, or refused. Invariant: nothing here depends on the tensors.
 */
#include <jansson.h>
#include <math.h>
#include <stdarg.h>
#include <string.h>

#include "io/checkpoint.h"

#define MOST (1 << 24)
#define ROW(...) CHECKPOINT_ROW(__VA_ARGS__)
#define ROWS(rows) rows, sizeof(rows) / sizeof *(rows)
/* of a decoder that tells texts apart */
#define SCORE ROW("output.weight", "score.weight", "LM", .when = CHECKPOINT_CLASSES)

static void put(checkpoint *k, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void put(checkpoint *k, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vfprintf(k->spec, format, args);
    va_end(args);
}

/* ---- what types have in common ---- */

/* Names of the keys that types write differently. */
typedef struct keys {
    const char *vocab, *width, *layers, *heads, *context;
} keys;
static const keys usual_keys = {"vocab_size", "hidden_size", "num_hidden_layers",
                                "num_attention_heads", "max_position_embeddings"};

static void set(checkpoint *k, uint32_t flag, int is) { k->when |= is ? flag : 0; }

/* Size L, of a network that tells texts apart: its class is called so. */
static void begin_classes(checkpoint *k)
{
    static const char end[] = "ForSequenceClassification";
    config *c = &k->config;
    const json_t *called = json_array_get(config_any(c, "architectures"), 0);
    const size_t length = json_string_length(called);
    if (length < strlen(end) || strcmp(json_string_value(called) + length - strlen(end), end))
        return;
    const int64_t names = (int64_t)json_object_size(config_any(c, "id2label"));
    k->classes = config_int(c, "num_labels", 1, MOST, names ? names : 2);
    if (names && k->classes != names)
        config_wrong(c, "num_labels", "id2label has %lld", (long long)names);
    config_choice(c, "problem_type", "single_label_classification", "single_label_classification");
    CHECKPOINT_SIZE(k, 'L') = k->classes;
    k->key['L' - 'A'] = "id2label";
    set(k, CHECKPOINT_CLASSES, 1);
}

/* Sizes V M C, D, Q and K, and the beginning of the spec. A type with kv_heads or head_width of its
 * own has their keys. */
static void begin(checkpoint *k, const keys *key, int own_kv_heads, int own_head_width,
                  int64_t head_width)
{
    config *c = &k->config;
    checkpoint_size(k, 'V', key->vocab, CONFIG_MUST);
    checkpoint_size(k, 'M', key->width, CONFIG_MUST);
    if (key->context) checkpoint_size(k, 'C', key->context, CONFIG_MUST);
    k->layers = config_int(c, key->layers, 1, 10000, CONFIG_MUST);
    k->heads = config_int(c, key->heads, 1, 1 << 20, CONFIG_MUST);
    begin_classes(k);
    const int64_t width = CHECKPOINT_SIZE(k, 'M'),
                  groups = own_kv_heads
                               ? config_int(c, "num_key_value_heads", 1, k->heads, k->heads)
                               : k->heads;
    if (k->heads % groups)
        config_wrong(c, "num_key_value_heads", "it must divide %s, %lld", key->heads,
                     (long long)k->heads);
    if (!head_width) head_width = width / k->heads;
    if (own_head_width) head_width = config_int(c, "head_dim", 1, MOST, head_width);
    if (!head_width || (head_width * k->heads != width && !own_head_width))
        config_wrong(c, key->heads, "it must divide %s, %lld", key->width, (long long)width);
    CHECKPOINT_SIZE(k, 'D') = head_width;
    CHECKPOINT_SIZE(k, 'Q') = head_width * k->heads;
    CHECKPOINT_SIZE(k, 'K') = head_width * groups;
    CHECKPOINT_SIZE(k, 'N') = head_width * (k->heads + 2 * groups);
    put(k, "vocab=%lld; width=%lld; layers=%lld; heads=%lld; kv_heads=%lld; head_width=%lld",
        (long long)CHECKPOINT_SIZE(k, 'V'), (long long)width, (long long)k->layers,
        (long long)k->heads, (long long)groups, (long long)head_width);
}

static void put_context(checkpoint *k, int64_t most)
{
    const int64_t context = CHECKPOINT_SIZE(k, 'C');
    put(k, "; context=%lld", (long long)(most && most < context ? most : context));
}

/* "; norm=rms(eps=1e-05)" */
static void put_norm(checkpoint *k, const char *op, const char *key, double usual)
{
    char number[32];
    put(k, "; norm=%s(eps=%s)", op,
        config_number(number, config_real(&k->config, key, 0, 1, usual)));
}

/* The output of a decoder: classes of the last token, or logits, whose weights may be the embedding. */
static void put_output(checkpoint *k, int usual)
{
    const int tied = config_flag(&k->config, "tie_word_embeddings", usual);
    set(k, CHECKPOINT_UNTIED, !tied && !k->classes);
    if (k->classes) put(k, "; output=tokens(by=last); classes=%lld", (long long)k->classes);
    else if (tied) put(k, "; tied=true");
}

/* Activations, and the ops that have them; gelu_new and gelu_pytorch_tanh are the same approximation. */
static const char plain_words[] = "gelu, gelu_new, gelu_pytorch_tanh, gelu_fast, relu";
static const char gated_words[] = "silu, swish, gelu_pytorch_tanh, gelu_new, gelu";
static const char *const plain_ops[] = {"gelu", "gelu(approximate=tanh)", "gelu(approximate=tanh)",
                                        "gelu(approximate=tanh)", "relu"};
static const char *const gated_ops[] = {"swiglu", "swiglu", "geglu(approximate=tanh)",
                                        "geglu(approximate=tanh)", "geglu"};

/* A feed-forward by its activation. */
static void put_feedforward(checkpoint *k, const char *key, const char *usual, int gated)
{
    const int which = config_choice(&k->config, key, usual, gated ? gated_words : plain_words);
    put(k, "; feedforward=%s", (gated ? gated_ops : plain_ops)[which]);
}

/* The first word of an op that both arrays have at the same place. */
static const char *word_of(const char *op, const char *const *ops, int count, const char *words)
{
    static _Thread_local char word[32];
    for (int i = 0; i < count; i++, words += strcspn(words, ",") + 2)
        if (!strcmp(ops[i], op)) {
            snprintf(word, sizeof word, "%.*s", (int)strcspn(words, ","), words);
            return word;
        }
    return NULL;
}

const char *checkpoint_activation(const char *op)
{
    const char *word = word_of(op, plain_ops, 5, plain_words);
    return word ? word : word_of(op, gated_ops, 5, gated_words);
}

/* Which layers have a window: as layer_types says, else by `rule`. */
typedef struct windows {
    int64_t window;                                  /* 0: none has */
    int (*rule)(const checkpoint *k, int64_t layer); /* NULL: all have */
    const char *settings;                            /* of each attention, ", softcap=50" */
} windows;

static int has_window(checkpoint *k, const windows *w, const json_t *types, int64_t layer)
{
    const char *type = json_string_value(json_array_get(types, (size_t)layer));
    if (!types) return w->window && (!w->rule || w->rule(k, layer));
    if (type && !strcmp(type, "full_attention")) return 0;
    if (type && !strcmp(type, "sliding_attention") && w->window) return 1;
    config_wrong(&k->config, "layer_types",
                 type && w->window ? "full_attention and sliding_attention are read"
                                   : "sliding_attention needs a sliding_window");
    return 0;
}

/* sliding_window counts the token itself, as `left` does. */
static void put_attention(checkpoint *k, const windows *w)
{
    const json_t *types = config_array(&k->config, "layer_types", k->layers);
    put(k, "; attention=[");
    for (int64_t l = 0; l < k->layers; l++) {
        if (has_window(k, w, types, l))
            put(k, "%swindow(left=%lld%s)", l ? ", " : "", (long long)w->window, w->settings);
        else put(k, "%ssoftmax(causal=true%s)", l ? ", " : "", w->settings);
    }
    put(k, "]");
}

static const checkpoint_rope usual_rope = {.theta_key = "rope_theta", .theta = 10000, .scaled = 1};

static void put_rope(checkpoint *k, const checkpoint_rope *r)
{
    put(k, "; position=");
    checkpoint_rope_write(k, r);
}

/* Longest texts that the frequencies are right for: with longrope those of the short list. */
static int64_t rope_limit(checkpoint *k)
{
    const int64_t most = CHECKPOINT_SIZE(k, 'C');
    return !k->factors[0]
               ? 0
               : config_int(&k->config, "original_max_position_embeddings", 2, 1 << 30,
                            config_int(&k->config,
                                       "rope_parameters.original_max_position_embeddings", 2,
                                       1 << 30, most));
}

static void put_rope_and_context(checkpoint *k, const checkpoint_rope *r)
{
    put_rope(k, r);
    put_context(k, rope_limit(k));
}

/* ---- llama, mistral, qwen2, qwen3 ---- */

static const checkpoint_row llama_rows[] = {
    ROW("embed.table", "~embed_tokens.weight", "VM"),
    ROW("layers.*.attention_norm.gain", "~layers.*.input_layernorm.weight", "M"),
    ROW("layers.*.q.weight", "~layers.*.self_attn.q_proj.weight", "QM"),
    ROW("layers.*.k.weight", "~layers.*.self_attn.k_proj.weight", "KM"),
    ROW("layers.*.v.weight", "~layers.*.self_attn.v_proj.weight", "KM"),
    ROW("layers.*.q.bias", "~layers.*.self_attn.q_proj.bias", "Q", .when = CHECKPOINT_BIAS_QKV),
    ROW("layers.*.k.bias", "~layers.*.self_attn.k_proj.bias", "K", .when = CHECKPOINT_BIAS_QKV),
    ROW("layers.*.v.bias", "~layers.*.self_attn.v_proj.bias", "K", .when = CHECKPOINT_BIAS_QKV),
    ROW("layers.*.q_norm.gain", "~layers.*.self_attn.q_norm.weight", "D",
        .when = CHECKPOINT_QK_NORM),
    ROW("layers.*.k_norm.gain", "~layers.*.self_attn.k_norm.weight", "D",
        .when = CHECKPOINT_QK_NORM),
    ROW("layers.*.o.weight", "~layers.*.self_attn.o_proj.weight", "MQ"),
    ROW("layers.*.o.bias", "~layers.*.self_attn.o_proj.bias", "M", .when = CHECKPOINT_BIAS_O),
    ROW("layers.*.feedforward_norm.gain", "~layers.*.post_attention_layernorm.weight", "M"),
    ROW("layers.*.feedforward.gate", "~layers.*.mlp.gate_proj.weight", "FM"),
    ROW("layers.*.feedforward.up", "~layers.*.mlp.up_proj.weight", "FM"),
    ROW("layers.*.feedforward.down", "~layers.*.mlp.down_proj.weight", "MF"),
    ROW("layers.*.feedforward.gate_bias", "~layers.*.mlp.gate_proj.bias", "F",
        .when = CHECKPOINT_BIAS_MLP),
    ROW("layers.*.feedforward.up_bias", "~layers.*.mlp.up_proj.bias", "F",
        .when = CHECKPOINT_BIAS_MLP),
    ROW("layers.*.feedforward.down_bias", "~layers.*.mlp.down_proj.bias", "M",
        .when = CHECKPOINT_BIAS_MLP),
    ROW("final_norm.gain", "~norm.weight", "M"),
    ROW("output.weight", "lm_head.weight", "VM", .when = CHECKPOINT_UNTIED),
    SCORE,
    ROW("position.short_factors", "rope_freqs.weight", "R", .when = CHECKPOINT_LISTED),
    ROW("position.long_factors", "rope_freqs.weight", "R", .when = CHECKPOINT_LISTED),
};

static void begin_llama(checkpoint *k, int own_head_width, int64_t head_width)
{
    begin(k, &usual_keys, 1, own_head_width, head_width);
    checkpoint_size(k, 'F', "intermediate_size", CONFIG_MUST);
    put_norm(k, "rms", "rms_norm_eps", 1e-6);
    put_feedforward(k, "hidden_act", "silu", 1);
}

static void end_llama(checkpoint *k, const windows *w)
{
    put_attention(k, w);
    put_rope_and_context(k, &usual_rope);
    put_output(k, 0);
}

static void read_llama(checkpoint *k)
{
    const int biases = config_flag(&k->config, "attention_bias", 0);
    begin_llama(k, 1, 0);
    set(k, CHECKPOINT_BIAS_QKV | CHECKPOINT_BIAS_O, biases);
    set(k, CHECKPOINT_BIAS_MLP, config_flag(&k->config, "mlp_bias", 0));
    end_llama(k, &(windows){.settings = ""});
}

/* What a config of Llama's family begins with, in the order in which it is written. */
#define LLAMA_WRITTEN                                                                              \
    {"vocab_size", "vocab"}, {"hidden_size", "width"}, {"num_hidden_layers", "layers"},            \
        {"num_attention_heads", "heads"}, {"max_position_embeddings", "context"},                  \
        {"num_key_value_heads", "kv_heads"}, {"head_dim", "head_width"},                           \
        {"intermediate_size", "hidden"}, {"hidden_act", "activation"},                             \
        {"rms_norm_eps", "norm.eps"}, {"rope_parameters.rope_theta", "position.base"},             \
    {                                                                                              \
        "rope_parameters.rope_type", "=\"default\""                                                \
    }

static const checkpoint_key llama_written[] = {LLAMA_WRITTEN,
                                               {"attention_bias", "biases"},
                                               {"mlp_bias", "feedforward_biases"},
                                               {"tie_word_embeddings", "tied"},
                                               {0}};

static void read_mistral(checkpoint *k)
{
    begin_llama(k, 1, 0);
    /* absent is 4096 there, null is none */
    const int absent = !json_object_get(k->config.root, "sliding_window");
    end_llama(k, &(windows){
                     .window = config_int(&k->config, "sliding_window", 1, MOST, absent ? 4096 : 0),
                     .settings = ""});
}

static const checkpoint_key mistral_written[] = {
    LLAMA_WRITTEN, {"sliding_window", "attention.left"}, {"tie_word_embeddings", "tied"}, {0}};

static int behind_full(const checkpoint *k, int64_t layer)
{
    return layer >= json_integer_value(json_object_get(k->config.root, "max_window_layers"));
}

/* With use_sliding_window false the window is there in the file, and does not count. */
static windows qwen_windows(checkpoint *k)
{
    config *c = &k->config;
    const int uses = config_flag(c, "use_sliding_window", 0);
    const int64_t window = config_int(c, "sliding_window", 0, INT32_MAX, 4096);
    config_int(c, "max_window_layers", 0, INT32_MAX, uses ? CONFIG_MUST : 0);
    return (windows){.window = uses ? window : 0, .rule = behind_full, .settings = ""};
}

static void read_qwen2(checkpoint *k)
{
    begin_llama(k, 0, 0);
    set(k, CHECKPOINT_BIAS_QKV, 1);
    const windows w = qwen_windows(k);
    end_llama(k, &w);
}

static void read_qwen3(checkpoint *k)
{
    char number[32];
    begin_llama(k, 1, 128);
    set(k, CHECKPOINT_BIAS_QKV | CHECKPOINT_BIAS_O, config_flag(&k->config, "attention_bias", 0));
    set(k, CHECKPOINT_QK_NORM, 1);
    put(k, "; qk_norm=rms(eps=%s)",
        config_number(number, config_real(&k->config, "rms_norm_eps", 0, 1, 1e-6)));
    const windows w = qwen_windows(k);
    end_llama(k, &w);
}

static const checkpoint_key qwen3_written[] = {LLAMA_WRITTEN,
                                               {"attention_bias", "biases"},
                                               {"use_sliding_window", "=false"},
                                               {"tie_word_embeddings", "tied"},
                                               {0}};

/* ---- phi3 ---- */

static const checkpoint_row phi3_rows[] = {
    ROW("embed.table", "~embed_tokens.weight", "VM"),
    ROW("layers.*.attention_norm.gain", "~layers.*.input_layernorm.weight", "M"),
    ROW("layers.*.q.weight", "~layers.*.self_attn.qkv_proj.weight", "NM", .take = "Q", .skip = ""),
    ROW("layers.*.k.weight", "~layers.*.self_attn.qkv_proj.weight", "NM", .take = "K", .skip = "Q"),
    ROW("layers.*.v.weight", "~layers.*.self_attn.qkv_proj.weight", "NM", .take = "K",
        .skip = "QK"),
    ROW("layers.*.o.weight", "~layers.*.self_attn.o_proj.weight", "MQ"),
    ROW("layers.*.feedforward_norm.gain", "~layers.*.post_attention_layernorm.weight", "M"),
    ROW("layers.*.feedforward.gate", "~layers.*.mlp.gate_up_proj.weight", "UM", .take = "F",
        .skip = ""),
    ROW("layers.*.feedforward.up", "~layers.*.mlp.gate_up_proj.weight", "UM", .take = "F",
        .skip = "F"),
    ROW("layers.*.feedforward.down", "~layers.*.mlp.down_proj.weight", "MF"),
    ROW("final_norm.gain", "~norm.weight", "M"),
    ROW("output.weight", "lm_head.weight", "VM", .when = CHECKPOINT_UNTIED),
    SCORE,
};

static void read_phi3(checkpoint *k)
{
    checkpoint_rope rope = usual_rope;
    begin(k, &usual_keys, 1, 0, 0);
    checkpoint_size(k, 'F', "intermediate_size", CONFIG_MUST);
    CHECKPOINT_SIZE(k, 'U') = 2 * CHECKPOINT_SIZE(k, 'F');
    put_norm(k, "rms", "rms_norm_eps", 1e-5);
    put_feedforward(k, "hidden_act", "silu", 1);
    put_attention(k, &(windows){.window = config_int(&k->config, "sliding_window", 1, MOST, 0),
                                .settings = ""});
    rope.part_key = "partial_rotary_factor", rope.part = 1;
    put_rope_and_context(k, &rope);
    put_output(k, 0);
}

/* ---- gpt2 ---- */

#define FUSED(part, from, to)                                                                      \
    ROW("layers.*." part ".weight", "~h.*.attn.c_attn.weight", "MN", .form = CHECKPOINT_TRANSPOSE, \
        .take = to, .skip = from),                                                                 \
        ROW("layers.*." part ".bias", "~h.*.attn.c_attn.bias", "N", .take = to, .skip = from)
static const checkpoint_row gpt2_rows[] = {
    ROW("embed.table", "~wte.weight", "VM"),
    ROW("position.table", "~wpe.weight", "CM"),
    ROW("layers.*.attention_norm.gain", "~h.*.ln_1.weight", "M"),
    ROW("layers.*.attention_norm.bias", "~h.*.ln_1.bias", "M"),
    FUSED("q", "", "Q"),
    FUSED("k", "Q", "K"),
    FUSED("v", "QK", "K"),
    ROW("layers.*.o.weight", "~h.*.attn.c_proj.weight", "QM", .form = CHECKPOINT_TRANSPOSE),
    ROW("layers.*.o.bias", "~h.*.attn.c_proj.bias", "M"),
    ROW("layers.*.feedforward_norm.gain", "~h.*.ln_2.weight", "M"),
    ROW("layers.*.feedforward_norm.bias", "~h.*.ln_2.bias", "M"),
    ROW("layers.*.feedforward.up", "~h.*.mlp.c_fc.weight", "MF", .form = CHECKPOINT_TRANSPOSE),
    ROW("layers.*.feedforward.up_bias", "~h.*.mlp.c_fc.bias", "F"),
    ROW("layers.*.feedforward.down", "~h.*.mlp.c_proj.weight", "FM", .form = CHECKPOINT_TRANSPOSE),
    ROW("layers.*.feedforward.down_bias", "~h.*.mlp.c_proj.bias", "M"),
    ROW("final_norm.gain", "~ln_f.weight", "M"),
    ROW("final_norm.bias", "~ln_f.bias", "M"),
    ROW("output.weight", "lm_head.weight", "VM", .when = CHECKPOINT_UNTIED),
    SCORE,
};

/* Scores are divided by the root of the width of a head, or not, and by the number of the layer. */
static void put_gpt2_attention(checkpoint *k)
{
    const int scaled = config_flag(&k->config, "scale_attn_weights", 1),
              by_layer = config_flag(&k->config, "scale_attn_by_inverse_layer_idx", 0);
    const double scale = scaled ? 1 / sqrt((double)CHECKPOINT_SIZE(k, 'D')) : 1;
    char number[32];
    if (scaled && !by_layer) {
        put(k, "; attention=softmax(causal=true)");
        return;
    }
    put(k, "; attention=[");
    for (int64_t l = 0; l < k->layers; l++)
        put(k, "%ssoftmax(causal=true, scale=%s)", l ? ", " : "",
            config_number(number, by_layer ? scale / (double)(l + 1) : scale));
    put(k, "]");
}

static void read_gpt2(checkpoint *k)
{
    static const keys gpt2_keys = {"vocab_size", "n_embd", "n_layer", "n_head", "n_positions"};
    begin(k, &gpt2_keys, 0, 0, 0);
    checkpoint_size(k, 'F', "n_inner", 4 * CHECKPOINT_SIZE(k, 'M'));
    config_only(&k->config, "add_cross_attention", 0);
    config_int(&k->config, "n_ctx", 0, INT32_MAX, 0); /* n_positions once more, in old files */
    put_norm(k, "layer", "layer_norm_epsilon", 1e-5);
    put_feedforward(k, "activation_function", "gelu_new", 0);
    put_gpt2_attention(k);
    put(k, "; position=learned");
    put_context(k, 0);
    put_output(k, 1);
}

static const checkpoint_key gpt2_written[] = {{"vocab_size", "vocab"},
                                              {"n_embd", "width"},
                                              {"n_layer", "layers"},
                                              {"n_head", "heads"},
                                              {"n_positions", "context"},
                                              {"n_inner", "hidden"},
                                              {"activation_function", "activation"},
                                              {"layer_norm_epsilon", "norm.eps"},
                                              {"tie_word_embeddings", "tied"},
                                              {0}};

/* ---- gpt_neox ---- */

#define HEADS(part, from)                                                                          \
    ROW("layers.*." part ".weight", "~layers.*.attention.query_key_value.weight", "NM",            \
        .form = CHECKPOINT_INTERLEAVE, .take = "Q", .skip = from),                                 \
        ROW("layers.*." part ".bias", "~layers.*.attention.query_key_value.bias", "N",             \
            .form = CHECKPOINT_INTERLEAVE, .take = "Q", .skip = from, .when = CHECKPOINT_BIAS_QKV)
static const checkpoint_row gpt_neox_rows[] = {
    ROW("embed.table", "~embed_in.weight", "VM"),
    ROW("layers.*.attention_norm.gain", "~layers.*.input_layernorm.weight", "M"),
    ROW("layers.*.attention_norm.bias", "~layers.*.input_layernorm.bias", "M"),
    HEADS("q", ""),
    HEADS("k", "D"),
    HEADS("v", "DD"),
    ROW("layers.*.o.weight", "~layers.*.attention.dense.weight", "MQ"),
    ROW("layers.*.o.bias", "~layers.*.attention.dense.bias", "M", .when = CHECKPOINT_BIAS_O),
    ROW("layers.*.feedforward_norm.gain", "~layers.*.post_attention_layernorm.weight", "M"),
    ROW("layers.*.feedforward_norm.bias", "~layers.*.post_attention_layernorm.bias", "M"),
    ROW("layers.*.feedforward.up", "~layers.*.mlp.dense_h_to_4h.weight", "FM"),
    ROW("layers.*.feedforward.up_bias", "~layers.*.mlp.dense_h_to_4h.bias", "F"),
    ROW("layers.*.feedforward.down", "~layers.*.mlp.dense_4h_to_h.weight", "MF"),
    ROW("layers.*.feedforward.down_bias", "~layers.*.mlp.dense_4h_to_h.bias", "M"),
    ROW("final_norm.gain", "~final_layer_norm.weight", "M"),
    ROW("final_norm.bias", "~final_layer_norm.bias", "M"),
    ROW("output.weight", "embed_out.weight", "VM", .when = CHECKPOINT_UNTIED),
    SCORE,
};

static void read_gpt_neox(checkpoint *k)
{
    config *c = &k->config;
    begin(k, &usual_keys, 0, 0, 0);
    checkpoint_size(k, 'F', "intermediate_size", CONFIG_MUST);
    set(k, CHECKPOINT_BIAS_QKV | CHECKPOINT_BIAS_O, config_flag(c, "attention_bias", 1));
    config_only(c, "is_decoder", 0);
    if (config_flag(c, "use_parallel_residual", 1)) put(k, "; residual=parallel");
    put_norm(k, "layer", "layer_norm_eps", 1e-5);
    put_feedforward(k, "hidden_act", "gelu", 0);
    put(k, "; attention=softmax(causal=true)");
    put_rope_and_context(k, &(checkpoint_rope){.theta_key = "rotary_emb_base",
                                               .theta = 10000,
                                               .part_key = "rotary_pct",
                                               .part = 0.25,
                                               .scaled = 1});
    put_output(k, 0);
}

static const checkpoint_key gpt_neox_written[] = {
    {"vocab_size", "vocab"},
    {"hidden_size", "width"},
    {"num_hidden_layers", "layers"},
    {"num_attention_heads", "heads"},
    {"max_position_embeddings", "context"},
    {"intermediate_size", "hidden"},
    {"hidden_act", "activation"},
    {"layer_norm_eps", "norm.eps"},
    {"attention_bias", "biases"},
    {"use_parallel_residual", "parallel"},
    {"rope_parameters.rope_theta", "position.base"},
    {"rope_parameters.rope_type", "=\"default\""},
    {"rope_parameters.partial_rotary_factor", "turned"},
    {"tie_word_embeddings", "tied"},
    {0}};

/* ---- opt ---- */

#define BOTH(ours, theirs, shape, rows, bias)                                                      \
    ROW("layers.*." ours ".weight", "~layers.*." theirs ".weight", shape),                         \
        ROW("layers.*." ours ".bias", "~layers.*." theirs ".bias", rows, .when = bias)
#define NORM(ours, theirs, flags)                                                                  \
    ROW(ours ".gain", theirs ".weight", "M", .when = flags),                                       \
        ROW(ours ".bias", theirs ".bias", "M", .when = flags)
static const checkpoint_row opt_rows[] = {
    ROW("embed.table", "~embed_tokens.weight", "VM"),
    ROW("position.table", "~embed_positions.weight", "PM"),
    NORM("layers.*.attention_norm", "~layers.*.self_attn_layer_norm", CHECKPOINT_AFFINE),
    BOTH("q", "self_attn.q_proj", "QM", "Q", CHECKPOINT_BIAS_QKV),
    BOTH("k", "self_attn.k_proj", "KM", "K", CHECKPOINT_BIAS_QKV),
    BOTH("v", "self_attn.v_proj", "KM", "K", CHECKPOINT_BIAS_QKV),
    BOTH("o", "self_attn.out_proj", "MQ", "M", CHECKPOINT_BIAS_O),
    NORM("layers.*.feedforward_norm", "~layers.*.final_layer_norm", CHECKPOINT_AFFINE),
    ROW("layers.*.feedforward.up", "~layers.*.fc1.weight", "FM"),
    ROW("layers.*.feedforward.up_bias", "~layers.*.fc1.bias", "F", .when = CHECKPOINT_BIAS_MLP),
    ROW("layers.*.feedforward.down", "~layers.*.fc2.weight", "MF"),
    ROW("layers.*.feedforward.down_bias", "~layers.*.fc2.bias", "M", .when = CHECKPOINT_BIAS_MLP),
    NORM("final_norm", "~final_layer_norm", CHECKPOINT_AFFINE | CHECKPOINT_FINAL_NORM),
    ROW("output.weight", "lm_head.weight", "VM", .when = CHECKPOINT_UNTIED),
    SCORE,
};

static void read_opt(checkpoint *k)
{
    config *c = &k->config;
    begin(k, &usual_keys, 0, 0, 0);
    checkpoint_size(k, 'F', "ffn_dim", CONFIG_MUST);
    CHECKPOINT_SIZE(k, 'P') = CHECKPOINT_SIZE(k, 'C') + 2; /* two rows before that of position 0 */
    config_only(c, "word_embed_proj_dim", CHECKPOINT_SIZE(k, 'M'));
    const int before = config_flag(c, "do_layer_norm_before", 1),
              last = before && !config_flag(c, "_remove_final_layer_norm", 0);
    set(k, CHECKPOINT_BIAS_QKV | CHECKPOINT_BIAS_O | CHECKPOINT_BIAS_MLP,
        config_flag(c, "enable_bias", 1));
    set(k, CHECKPOINT_AFFINE, config_flag(c, "layer_norm_elementwise_affine", 1));
    set(k, CHECKPOINT_FINAL_NORM, last);
    put(k, "; residual=%s", before ? "pre" : "post");
    if (before && !last) put(k, "; final_norm=none");
    put(k, "; norm=layer(eps=1e-5)");
    put_feedforward(k, "activation_function", "relu", 0);
    put(k, "; attention=softmax(causal=true); position=learned(offset=2)");
    put_context(k, 0);
    put_output(k, 1);
}

/* ---- bert, roberta ---- */

#define ENCODER(ours, theirs, shape, rows)                                                         \
    ROW("layers.*." ours ".weight", "~encoder.layer.*." theirs ".weight", shape),                  \
        ROW("layers.*." ours ".bias", "~encoder.layer.*." theirs ".bias", rows)
#define ENCODER_ROWS                                                                               \
    ROW("embed.table", "~embeddings.word_embeddings.weight", "VM"),                                \
        ROW("position.table", "~embeddings.position_embeddings.weight", "PM",                      \
            .plus = "~embeddings.token_type_embeddings.weight", .plus_shape = "TM"),               \
        NORM("embed_norm", "~embeddings.LayerNorm", 0),                                            \
        ENCODER("q", "attention.self.query", "QM", "Q"),                                           \
        ENCODER("k", "attention.self.key", "KM", "K"),                                             \
        ENCODER("v", "attention.self.value", "KM", "K"),                                           \
        ENCODER("o", "attention.output.dense", "MQ", "M"),                                         \
        NORM("layers.*.attention_norm", "~encoder.layer.*.attention.output.LayerNorm", 0),         \
        ROW("layers.*.feedforward.up", "~encoder.layer.*.intermediate.dense.weight", "FM"),        \
        ROW("layers.*.feedforward.up_bias", "~encoder.layer.*.intermediate.dense.bias", "F"),      \
        ROW("layers.*.feedforward.down", "~encoder.layer.*.output.dense.weight", "MF"),            \
        ROW("layers.*.feedforward.down_bias", "~encoder.layer.*.output.dense.bias", "M"),          \
        NORM("layers.*.feedforward_norm", "~encoder.layer.*.output.LayerNorm", 0)
#define CLASSIFIER(ours, theirs, shape, rows)                                                      \
    ROW(ours ".weight", theirs ".weight", shape, .when = CHECKPOINT_CLASSES),                      \
        ROW(ours ".bias", theirs ".bias", rows, .when = CHECKPOINT_CLASSES)
static const checkpoint_row bert_rows[] = {
    ENCODER_ROWS,
    CLASSIFIER("pooler", "~pooler.dense", "MM", "M"),
    CLASSIFIER("output", "classifier", "LM", "L"),
};
/* the pooler stands with the classes there */
static const checkpoint_row roberta_rows[] = {
    ENCODER_ROWS,
    CLASSIFIER("pooler", "classifier.dense", "MM", "M"),
    CLASSIFIER("output", "classifier.out_proj", "LM", "L"),
};

/* All tokens of a text are of the first type. `skipped` rows of positions are in front of the
 * first token's. */
static void read_encoder(checkpoint *k, int64_t skipped)
{
    config *c = &k->config;
    char number[32];
    begin(k, &usual_keys, 0, 0, 0);
    checkpoint_size(k, 'F', "intermediate_size", CONFIG_MUST);
    checkpoint_size(k, 'T', "type_vocab_size", 2);
    checkpoint_size(k, 'P', "max_position_embeddings", CONFIG_MUST);
    config_only(c, "is_decoder", 0);
    config_only(c, "add_cross_attention", 0);
    config_choice(c, "position_embedding_type", "absolute", "absolute");
    config_flag(c, "tie_word_embeddings", 1); /* of heads, which are not read */
    CHECKPOINT_SIZE(k, 'C') -= skipped;
    if (CHECKPOINT_SIZE(k, 'C') < 1)
        config_wrong(c, "max_position_embeddings", "more than pad_token_id + 1 is right");
    put(k, "; residual=post; embed_norm=layer(eps=%s)",
        config_number(number, config_real(c, "layer_norm_eps", 0, 1, 1e-12)));
    put_norm(k, "layer", "layer_norm_eps", 1e-12);
    put_feedforward(k, "hidden_act", "gelu", 0);
    put(k, "; attention=softmax; position=learned(offset=%lld)", (long long)skipped);
    if (k->classes)
        put(k, "; output=tokens(by=first); pooler=true; classes=%lld", (long long)k->classes);
    else put(k, "; output=hidden");
    put_context(k, 0);
}

static void read_bert(checkpoint *k) { read_encoder(k, 0); }

static const checkpoint_key bert_written[] = {{"vocab_size", "vocab"},
                                              {"hidden_size", "width"},
                                              {"num_hidden_layers", "layers"},
                                              {"num_attention_heads", "heads"},
                                              {"max_position_embeddings", "context"},
                                              {"intermediate_size", "hidden"},
                                              {"hidden_act", "activation"},
                                              {"layer_norm_eps", "norm.eps"},
                                              {"type_vocab_size", "=2"},
                                              {"is_decoder", "=false"},
                                              {"position_embedding_type", "=\"absolute\""},
                                              {0}};

static void read_roberta(checkpoint *k)
{
    read_encoder(k, config_int(&k->config, "pad_token_id", 0, 1 << 20, 1) + 1);
}

/* ---- gemma2, gemma3_text ---- */

#define GAIN(ours, theirs) ROW("layers.*." ours ".gain", "~layers.*." theirs ".weight", "M")
static const checkpoint_row gemma_rows[] = {
    ROW("embed.table", "~embed_tokens.weight", "VM"),
    GAIN("attention_norm", "input_layernorm"),
    GAIN("attention_out_norm", "post_attention_layernorm"),
    GAIN("feedforward_norm", "pre_feedforward_layernorm"),
    GAIN("feedforward_out_norm", "post_feedforward_layernorm"),
    BOTH("q", "self_attn.q_proj", "QM", "Q", CHECKPOINT_BIAS_QKV),
    BOTH("k", "self_attn.k_proj", "KM", "K", CHECKPOINT_BIAS_QKV),
    BOTH("v", "self_attn.v_proj", "KM", "K", CHECKPOINT_BIAS_QKV),
    BOTH("o", "self_attn.o_proj", "MQ", "M", CHECKPOINT_BIAS_O),
    ROW("layers.*.q_norm.gain", "~layers.*.self_attn.q_norm.weight", "D",
        .when = CHECKPOINT_QK_NORM),
    ROW("layers.*.k_norm.gain", "~layers.*.self_attn.k_norm.weight", "D",
        .when = CHECKPOINT_QK_NORM),
    ROW("layers.*.feedforward.gate", "~layers.*.mlp.gate_proj.weight", "FM"),
    ROW("layers.*.feedforward.up", "~layers.*.mlp.up_proj.weight", "FM"),
    ROW("layers.*.feedforward.down", "~layers.*.mlp.down_proj.weight", "MF"),
    ROW("final_norm.gain", "~norm.weight", "M"),
    ROW("output.weight", "lm_head.weight", "VM", .when = CHECKPOINT_UNTIED),
    SCORE,
};

static int every_second(const checkpoint *k, int64_t layer) { return (void)k, layer % 2 == 0; }

/* All but every sixth, or as the file says. */
static int but_every_sixth(const checkpoint *k, int64_t layer)
{
    const json_t *each = json_object_get(k->config.root, "sliding_window_pattern");
    return (layer + 1) % (each ? json_integer_value(each) : 6) != 0;
}

/* Their root of the width is that of float32, also where the weights are of fewer bits. */
static void begin_gemma(checkpoint *k)
{
    char number[32];
    config *c = &k->config;
    begin(k, &usual_keys, 1, 1, 256);
    checkpoint_size(k, 'F', "intermediate_size", CONFIG_MUST);
    config_only(c, "use_bidirectional_attention", 0);
    set(k, CHECKPOINT_BIAS_QKV | CHECKPOINT_BIAS_O, config_flag(c, "attention_bias", 0));
    put(k, "; residual=sandwich; embed_scale=%s",
        config_number(number, (double)sqrtf((float)CHECKPOINT_SIZE(k, 'M'))));
    put(k, "; norm=rms(eps=%s, offset=1)",
        config_number(number, config_real(c, "rms_norm_eps", 0, 1, 1e-6)));
    config_word(c, "hidden_act", ""); /* of old files; hidden_activation counts */
    put_feedforward(k, "hidden_activation", "gelu_pytorch_tanh", 1);
}

/* ", scale=0.0625, softcap=50", of each attention; and the cap of logits. A cap of scores that is
 * usually below 0 is one that this type's code does not use, whatever the file says. */
static void put_caps(checkpoint *k, char settings[96], double attention, double logits)
{
    char number[32];
    config *c = &k->config;
    const double scalar = config_real(c, "query_pre_attn_scalar", 1e-3, 1e6, 256);
    const int own = !json_object_get(c->root, "attn_logit_softcapping"),
              own_last = !json_object_get(c->root, "final_logit_softcapping");
    int n = snprintf(settings, 96, ", scale=%s", config_number(number, 1 / sqrt(scalar)));
    const double cap = config_real(c, "attn_logit_softcapping", 1e-6, 1e6, own ? attention : 0);
    if (cap > 0 && attention >= 0)
        snprintf(settings + n, 96 - (size_t)n, ", softcap=%s", config_number(number, cap));
    logits = config_real(c, "final_logit_softcapping", 1e-6, 1e6, own_last ? logits : 0);
    if (logits > 0 && !k->classes) put(k, "; softcap=%s", config_number(number, logits));
}

static void read_gemma2(checkpoint *k)
{
    char settings[96];
    begin_gemma(k);
    put_caps(k, settings, 50, 30);
    put_attention(k, &(windows){.window = config_int(&k->config, "sliding_window", 1, MOST, 4096),
                                .rule = every_second,
                                .settings = settings});
    put_rope_and_context(k, &usual_rope);
    put_output(k, 1);
}

/* Layers with a window have positions of their own. */
static void put_two_ropes(checkpoint *k, const windows *w)
{
    const checkpoint_rope rope[] = {
        {.layers = "full_attention", .theta_key = "rope_theta", .theta = 1e6, .scaled = 1},
        {.layers = "sliding_attention", .theta_key = "rope_local_base_freq", .theta = 1e4}};
    const json_t *types = config_array(&k->config, "layer_types", k->layers);
    put(k, "; position=[");
    for (int64_t l = 0; l < k->layers; l++) {
        put(k, "%s", l ? ", " : "");
        checkpoint_rope_write(k, &rope[has_window(k, w, types, l)]);
    }
    put(k, "]");
}

static void read_gemma3(checkpoint *k)
{
    char settings[96], number[32];
    config *c = &k->config;
    begin_gemma(k);
    put_caps(k, settings, -1, 0);
    set(k, CHECKPOINT_QK_NORM, 1);
    put(k, "; qk_norm=rms(eps=%s, offset=1)",
        config_number(number, config_real(c, "rms_norm_eps", 0, 1, 1e-6)));
    config_int(c, "sliding_window_pattern", 1, 10000, 6);
    const windows w = {.window = config_int(c, "sliding_window", 1, MOST, 4096),
                       .rule = but_every_sixth,
                       .settings = settings};
    put_attention(k, &w);
    put_two_ropes(k, &w);
    put_context(k, 0);
    put_output(k, 1);
}

/* ---- bloom ---- */

#define FUSED_HEADS(part, from)                                                                    \
    ROW("layers.*." part ".weight", "~h.*.self_attention.query_key_value.weight", "NM",            \
        .form = CHECKPOINT_INTERLEAVE, .take = "Q", .skip = from),                                 \
        ROW("layers.*." part ".bias", "~h.*.self_attention.query_key_value.bias", "N",             \
            .form = CHECKPOINT_INTERLEAVE, .take = "Q", .skip = from)
static const checkpoint_row bloom_rows[] = {
    ROW("embed.table", "~word_embeddings.weight", "VM"),
    NORM("embed_norm", "~word_embeddings_layernorm", 0),
    NORM("layers.*.attention_norm", "~h.*.input_layernorm", 0),
    FUSED_HEADS("q", ""),
    FUSED_HEADS("k", "D"),
    FUSED_HEADS("v", "DD"),
    ROW("layers.*.o.weight", "~h.*.self_attention.dense.weight", "MQ"),
    ROW("layers.*.o.bias", "~h.*.self_attention.dense.bias", "M"),
    NORM("layers.*.feedforward_norm", "~h.*.post_attention_layernorm", 0),
    ROW("layers.*.feedforward.up", "~h.*.mlp.dense_h_to_4h.weight", "FM"),
    ROW("layers.*.feedforward.up_bias", "~h.*.mlp.dense_h_to_4h.bias", "F"),
    ROW("layers.*.feedforward.down", "~h.*.mlp.dense_4h_to_h.weight", "MF"),
    ROW("layers.*.feedforward.down_bias", "~h.*.mlp.dense_4h_to_h.bias", "M"),
    NORM("final_norm", "~ln_f", 0),
    ROW("output.weight", "lm_head.weight", "VM", .when = CHECKPOINT_UNTIED),
    SCORE,
};

static void read_bloom(checkpoint *k)
{
    config *c = &k->config;
    const keys bloom_keys = {"vocab_size", config_has(c, "n_embed") ? "n_embed" : "hidden_size",
                             config_has(c, "n_layer") ? "n_layer" : "num_hidden_layers",
                             config_has(c, "n_head") ? "n_head" : "num_attention_heads", NULL};
    begin(k, &bloom_keys, 0, 0, 0);
    CHECKPOINT_SIZE(k, 'F') = 4 * CHECKPOINT_SIZE(k, 'M');
    config_only(c, "apply_residual_connection_post_layernorm", 0);
    put(k, "; embed_norm=layer(eps=1e-5)");
    put_norm(k, "layer", "layer_norm_epsilon", 1e-5);
    put(k, "; feedforward=gelu(approximate=tanh); attention=softmax(causal=true); position=alibi");
    put_output(k, 1);
}

static const checkpoint_key bloom_written[] = {
    {"vocab_size", "vocab"},
    {"hidden_size", "width"},
    {"n_layer", "layers"},
    {"n_head", "heads"},
    {"layer_norm_epsilon", "norm.eps"},
    {"apply_residual_connection_post_layernorm", "=false"},
    {"tie_word_embeddings", "tied"},
    {0}};

/* ---- all types ---- */

/* what stands on an encoder, for tasks of its own */
#define BERT_HEADS "embeddings.position_ids", "pooler.", "cls.", "lm_head.", "classifier."
/* name, class, reader, rows, then what begins names, what is not read, and keys that are written */
#define TYPE(name, model, head, read, rows, prefixes, ignored, keys)                               \
    {                                                                                              \
        name, read, ROWS(rows), {NAMES prefixes}, {NAMES ignored}, model, head, keys               \
    }
#define NAMES(...) __VA_ARGS__
#define LM "ForCausalLM"
static const checkpoint_type types[] = {
    TYPE("llama", "Llama", LM, read_llama, llama_rows, ("model."), ("rotary_emb.inv_freq"),
         llama_written),
    TYPE("mistral", "Mistral", LM, read_mistral, llama_rows, ("model."), (0), mistral_written),
    TYPE("qwen2", "Qwen2", LM, read_qwen2, llama_rows, ("model."), (0), NULL),
    TYPE("qwen3", "Qwen3", LM, read_qwen3, llama_rows, ("model."), (0), qwen3_written),
    TYPE("gpt2", "GPT2", "LMHeadModel", read_gpt2, gpt2_rows, ("transformer.", ""),
         (".attn.bias", ".attn.masked_bias"), gpt2_written),
    TYPE("gpt_neox", "GPTNeoX", LM, read_gpt_neox, gpt_neox_rows, ("gpt_neox."),
         (".attention.bias", ".attention.masked_bias", "rotary_emb.inv_freq"), gpt_neox_written),
    TYPE("opt", "OPT", LM, read_opt, opt_rows, ("model.decoder.", "decoder."), (0), NULL),
    TYPE("phi3", "Phi3", LM, read_phi3, phi3_rows, ("model."), (0), NULL),
    TYPE("gemma2", "Gemma2", LM, read_gemma2, gemma_rows, ("model."), (0), NULL),
    TYPE("gemma3_text", "Gemma3", LM, read_gemma3, gemma_rows, ("model."), (0), NULL),
    TYPE("bloom", "Bloom", LM, read_bloom, bloom_rows, ("transformer.", ""), (0), bloom_written),
    TYPE("bert", "Bert", "Model", read_bert, bert_rows, ("bert.", ""), (BERT_HEADS), bert_written),
    TYPE("roberta", "Roberta", "Model", read_roberta, roberta_rows, ("roberta.", ""), (BERT_HEADS),
         NULL),
};

#define N_TYPES (sizeof types / sizeof *types)

const checkpoint_type *checkpoint_type_at(size_t i)
{
    static const checkpoint_type *const others[] = {&checkpoint_t5, &checkpoint_qwen3_next};
    return i < N_TYPES ? &types[i] : i - N_TYPES < 2 ? others[i - N_TYPES] : NULL;
}

const checkpoint_type *checkpoint_type_of(const char *name)
{
    const checkpoint_type *t;
    for (size_t i = 0; (t = checkpoint_type_at(i)); i++)
        if (!strcmp(t->name, name)) return t;
    return NULL;
}

void checkpoint_type_names(char *out, size_t size)
{
    size_t n = 0;
    const checkpoint_type *t;
    for (size_t i = 0; (t = checkpoint_type_at(i)) && n < size; i++)
        n += (size_t)snprintf(out + n, size - n, "%s%s", i ? ", " : "", t->name);
}
