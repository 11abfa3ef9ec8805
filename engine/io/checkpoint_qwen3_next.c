/* SPDX-License-Identifier: MIT
 *
 * checkpoint_qwen3_next.c: the model type qwen3_next: its config.json as the spec of a network, and the
 * table of its tensors.
 *
 * Most layers have a gated delta rule (arXiv 2412.06464) behind a short convolution, whose heads have
 * numbers and widths of their own; the others softmax with a gate on its output. Rows of their fused
 * projections lie head by head, and are copied once; experts are views.
 */
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "io/checkpoint.h"

/* What a layer is; `of` of a row. */
enum { LINEAR = 1, FULL = 2, SPARSE = 4, DENSE = 8 };

#define ROW(...) CHECKPOINT_ROW(__VA_ARGS__)
#define LAYER(ours, theirs, ...) ROW("layers.*." ours, "~layers.*." theirs, __VA_ARGS__)
/* Rows of each head, of keys or of queries. */
#define HEADS(ours, theirs, shape, letter, from, to, kind, flags)                                  \
    LAYER(ours, theirs, shape, .form = CHECKPOINT_INTERLEAVE, .heads = letter, .skip = from,       \
          .take = to, .of = kind, .when = flags)
#define QKVZ(ours, from, to)                                                                       \
    HEADS(ours, "linear_attn.in_proj_qkvz.weight", "ZM", 'G', from, to, LINEAR, 0)
#define CONVOLUTION(ours, from, to)                                                                \
    LAYER(ours, "linear_attn.conv1d.weight", "XPR", .form = CHECKPOINT_FLAT, .skip = from,         \
          .take = to, .of = LINEAR)
#define MLP(ours, theirs, outer, inner, kind)                                                      \
    LAYER(ours "gate", "mlp." theirs "gate_proj.weight", inner outer, .of = kind),                 \
        LAYER(ours "up", "mlp." theirs "up_proj.weight", inner outer, .of = kind),                 \
        LAYER(ours "down", "mlp." theirs "down_proj.weight", outer inner, .of = kind)

static const checkpoint_row rows[] = {
    ROW("embed.table", "~embed_tokens.weight", "VM"),
    LAYER("attention_norm.gain", "input_layernorm.weight", "M"),
    QKVZ("q.weight", "", "L"),
    QKVZ("k.weight", "B", "L"),
    QKVZ("v.weight", "BB", "W"),
    QKVZ("output_gate.weight", "BBY", "W"),
    HEADS("beta.weight", "linear_attn.in_proj_ba.weight", "HM", 'G', "", "J", LINEAR, 0),
    HEADS("gate.weight", "linear_attn.in_proj_ba.weight", "HM", 'G', "T", "J", LINEAR, 0),
    CONVOLUTION("convolution.q.taps", "", "L"),
    CONVOLUTION("convolution.k.taps", "L", "L"),
    CONVOLUTION("convolution.v.taps", "LL", "W"),
    LAYER("attention.a_log", "linear_attn.A_log", "J", .of = LINEAR),
    LAYER("attention.dt_bias", "linear_attn.dt_bias", "J", .of = LINEAR),
    LAYER("head_norm.gain", "linear_attn.norm.weight", "E", .of = LINEAR),
    LAYER("o.weight", "linear_attn.out_proj.weight", "MW", .of = LINEAR),
    HEADS("q.weight", "self_attn.q_proj.weight", "UM", 'N', "", "Q", FULL, 0),
    HEADS("output_gate.weight", "self_attn.q_proj.weight", "UM", 'N', "D", "Q", FULL, 0),
    LAYER("k.weight", "self_attn.k_proj.weight", "KM", .of = FULL),
    LAYER("v.weight", "self_attn.v_proj.weight", "KM", .of = FULL),
    LAYER("o.weight", "self_attn.o_proj.weight", "MQ", .of = FULL),
    HEADS("q.bias", "self_attn.q_proj.bias", "U", 'N', "", "Q", FULL, CHECKPOINT_BIAS_QKV),
    HEADS("output_gate.bias", "self_attn.q_proj.bias", "U", 'N', "D", "Q", FULL,
          CHECKPOINT_BIAS_QKV),
    LAYER("k.bias", "self_attn.k_proj.bias", "K", .of = FULL, .when = CHECKPOINT_BIAS_QKV),
    LAYER("v.bias", "self_attn.v_proj.bias", "K", .of = FULL, .when = CHECKPOINT_BIAS_QKV),
    LAYER("o.bias", "self_attn.o_proj.bias", "M", .of = FULL, .when = CHECKPOINT_BIAS_O),
    LAYER("q_norm.gain", "self_attn.q_norm.weight", "D", .of = FULL),
    LAYER("k_norm.gain", "self_attn.k_norm.weight", "D", .of = FULL),
    LAYER("feedforward_norm.gain", "post_attention_layernorm.weight", "M"),
    MLP("feedforward.", "", "M", "I", DENSE),
    LAYER("router.weight", "mlp.gate.weight", "AM", .of = SPARSE),
    MLP("experts.#.", "experts.#.", "M", "F", SPARSE),
    MLP("shared_experts.0.", "shared_expert.", "M", "S", SPARSE),
    LAYER("shared_gate.weight", "mlp.shared_expert_gate.weight", "PM", .of = SPARSE),
    ROW("final_norm.gain", "~norm.weight", "M"),
    ROW("output.weight", "lm_head.weight", "VM", .when = CHECKPOINT_UNTIED),
};

/* ---- what each layer is ---- */

static int is_linear(checkpoint *k, const json_t *types, int64_t interval, int64_t layer)
{
    const char *type = json_string_value(json_array_get(types, (size_t)layer));
    if (!types) return (layer + 1) % interval != 0;
    if (type && !strcmp(type, "linear_attention")) return 1;
    if (!type || strcmp(type, "full_attention"))
        config_wrong(&k->config, "layer_types", "linear_attention and full_attention are read");
    return 0;
}

static int is_listed(const json_t *list, int64_t layer)
{
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *one = json_array_get(list, i);
        if (json_is_integer(one) && json_integer_value(one) == layer) return 1;
    }
    return 0;
}

static void read_layers(checkpoint *k)
{
    config *c = &k->config;
    const json_t *types = config_array(c, "layer_types", k->layers),
                 *dense = config_any(c, "mlp_only_layers");
    const int64_t interval = config_int(c, "full_attention_interval", 1, 10000, 4),
                  step = config_int(c, "decoder_sparse_step", 1, 10000, 1);
    if (dense && !json_is_array(dense))
        config_wrong(c, "mlp_only_layers", "a list of layers is right");
    if (!(k->layer_is = calloc((size_t)k->layers, 1))) {
        k->config.failed = error_memory(k->error);
        return;
    }
    for (int64_t l = 0; l < k->layers && !c->failed; l++) {
        const int sparse = k->experts > 0 && (l + 1) % step == 0 && !is_listed(dense, l);
        k->layer_is[l] = (uint8_t)((is_linear(k, types, interval, l) ? LINEAR : FULL) |
                                   (sparse ? SPARSE : DENSE));
    }
}

/* ---- the spec ---- */

/* "; KEY=[a, b, ...]": what layers of a kind have, and the others. */
static void put_list(checkpoint *k, const char *key, int kind, const char *of, const char *others)
{
    fprintf(k->spec, "; %s=[", key);
    for (int64_t l = 0; l < k->layers; l++)
        fprintf(k->spec, "%s%s", l ? ", " : "", k->layer_is[l] & kind ? of : others);
    fputs("]", k->spec);
}

static void put_numbers(checkpoint *k, const char *key, int64_t linear, int64_t full)
{
    char of[24], others[24];
    snprintf(of, sizeof of, "%lld", (long long)linear);
    snprintf(others, sizeof others, "%lld", (long long)full);
    put_list(k, key, LINEAR, of, others);
}

static void put_positions(checkpoint *k)
{
    const checkpoint_rope rope = {.theta_key = "rope_theta",
                                  .part_key = "partial_rotary_factor",
                                  .theta = 10000,
                                  .part = 0.25,
                                  .scaled = 1};
    fputs("; position=[", k->spec);
    for (int64_t l = 0; l < k->layers; l++) {
        fputs(l ? ", " : "", k->spec);
        if (k->layer_is[l] & FULL) checkpoint_rope_write(k, &rope);
        else fputs("none", k->spec);
    }
    fputs("]", k->spec);
    if (k->factors[0])
        config_wrong(&k->config, "rope_parameters", "longrope is not read of this model_type");
}

static void put_experts(checkpoint *k)
{
    config *c = &k->config;
    char router[64];
    const int64_t chosen = config_int(c, "num_experts_per_tok", 1, 65536, 10);
    const int over_chosen = config_flag(c, "norm_topk_prob", 1);
    fputs("; feedforward=swiglu", k->spec);
    if (k->experts <= 0) return;
    if (chosen > k->experts)
        config_wrong(c, "num_experts_per_tok", "it is at most num_experts, %lld",
                     (long long)k->experts);
    snprintf(router, sizeof router, "top_k(k=%lld, over=%s)", (long long)chosen,
             over_chosen ? "chosen" : "all");
    put_list(k, "router", SPARSE, router, "none");
    for (int64_t l = 0; l < k->layers; l++)
        if (k->layer_is[l] & SPARSE) {
            fputs("; shared_experts=1; shared_gate=gate", k->spec);
            return;
        }
}

/* ---- sizes ---- */

static void read_sizes(checkpoint *k)
{
    config *c = &k->config;
    checkpoint_size(k, 'V', "vocab_size", CONFIG_MUST);
    checkpoint_size(k, 'M', "hidden_size", CONFIG_MUST);
    checkpoint_size(k, 'C', "max_position_embeddings", CONFIG_MUST);
    k->layers = config_int(c, "num_hidden_layers", 1, 10000, CONFIG_MUST);
    k->heads = checkpoint_size(k, 'N', "num_attention_heads", CONFIG_MUST);
    const int64_t groups = config_int(c, "num_key_value_heads", 1, 1 << 20, 2),
                  width = checkpoint_size(k, 'D', "head_dim", 256);
    const int64_t keys = checkpoint_size(k, 'G', "linear_num_key_heads", 16),
                  values = checkpoint_size(k, 'J', "linear_num_value_heads", 32),
                  key_width = checkpoint_size(k, 'B', "linear_key_head_dim", 128),
                  value_width = checkpoint_size(k, 'E', "linear_value_head_dim", 128);
    if (k->heads % groups)
        config_wrong(c, "num_key_value_heads", "it must divide num_attention_heads, %lld",
                     (long long)k->heads);
    if (values % keys)
        config_wrong(c, "linear_num_value_heads", "linear_num_key_heads, %lld, must divide it",
                     (long long)keys);
    if (c->failed) return;
    checkpoint_size(k, 'R', "linear_conv_kernel_dim", 4);
    checkpoint_size(k, 'I', "intermediate_size", 5632);
    checkpoint_size(k, 'F', "moe_intermediate_size", 512);
    checkpoint_size(k, 'S', "shared_expert_intermediate_size", 512);
    k->experts = config_int(c, "num_experts", 0, 65536, 512);
    CHECKPOINT_SIZE(k, 'A') = k->experts, k->key['A' - 'A'] = "num_experts";
    CHECKPOINT_SIZE(k, 'Q') = k->heads * width, CHECKPOINT_SIZE(k, 'U') = 2 * k->heads * width;
    CHECKPOINT_SIZE(k, 'K') = groups * width;
    CHECKPOINT_SIZE(k, 'L') = keys * key_width;
    CHECKPOINT_SIZE(k, 'W') = values * value_width;
    CHECKPOINT_SIZE(k, 'X') = 2 * keys * key_width + values * value_width;
    CHECKPOINT_SIZE(k, 'Z') = 2 * keys * key_width + 2 * values * value_width;
    CHECKPOINT_SIZE(k, 'H') = 2 * values;
    CHECKPOINT_SIZE(k, 'T') = values / keys;
    CHECKPOINT_SIZE(k, 'Y') = values / keys * value_width;
    CHECKPOINT_SIZE(k, 'P') = 1;
    read_layers(k);
    if (c->failed) return;
    fprintf(k->spec, "vocab=%lld; width=%lld; layers=%lld", (long long)CHECKPOINT_SIZE(k, 'V'),
            (long long)CHECKPOINT_SIZE(k, 'M'), (long long)k->layers);
    put_numbers(k, "heads", values, k->heads);
    put_numbers(k, "kv_heads", values, groups);
    put_numbers(k, "head_width", key_width, width);
    put_numbers(k, "value_width", value_width, width);
    put_numbers(k, "qk_repeat", values / keys, 1);
}

static void read(checkpoint *k)
{
    config *c = &k->config;
    char eps[32], text[80];
    read_sizes(k);
    config_choice(c, "hidden_act", "silu", "silu, swish");
    k->when |= config_flag(c, "attention_bias", 0) ? CHECKPOINT_BIAS_QKV | CHECKPOINT_BIAS_O : 0;
    config_number(eps, config_real(c, "rms_norm_eps", 0, 1, 1e-6));
    const int tied = config_flag(c, "tie_word_embeddings", 0);
    k->when |= tied ? 0 : CHECKPOINT_UNTIED;
    if (c->failed) return;
    fprintf(k->spec, "; context=%lld; norm=rms(eps=%s, offset=1)",
            (long long)CHECKPOINT_SIZE(k, 'C'), eps);
    put_list(k, "attention", LINEAR, "gated_delta(gate=softplus, causal=true)",
             "softmax(causal=true)");
    snprintf(text, sizeof text, "short(kernel=%lld)", (long long)CHECKPOINT_SIZE(k, 'R'));
    put_list(k, "convolution", LINEAR, text, "none");
    snprintf(text, sizeof text, "rms(eps=%s, offset=1)", eps);
    put_list(k, "qk_norm", LINEAR, "none", text);
    put_positions(k);
    snprintf(text, sizeof text, "rms(eps=%s)", eps);
    put_list(k, "head_norm", LINEAR, text, "none");
    put_list(k, "output_gate", LINEAR, "gate(function=silu)", "gate");
    put_experts(k);
    if (tied) fputs("; tied=true", k->spec);
}

const checkpoint_type checkpoint_qwen3_next = {
    .name = "qwen3_next",
    .read = read,
    .rows = rows,
    .n_rows = sizeof rows / sizeof *rows,
    .prefixes = {"model."},
    .ignored = {"mtp."}, /* it guesses several tokens at once */
};
