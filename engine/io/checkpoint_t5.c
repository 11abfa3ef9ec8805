/* SPDX-License-Identifier: MIT
 *
 * checkpoint_t5.c: the model type t5, an encoder and a decoder (arXiv 1910.10683): its config.json as
 * the spec of a network, and the table of its tensors.
 *
 * Scores are not scaled, and a table of the first layer, which all share, adds what each bucket of
 * distances has. T5 1.0 divides what flows out of the last norm by the root of the width, where the
 * output is tied to the embedding: the gains of that norm are copied with it.
 */
#include "io/checkpoint.h"

#define ROW(...) CHECKPOINT_ROW(__VA_ARGS__)
#define GAIN(ours, theirs) ROW(ours ".gain", theirs ".weight", "M")
#define ATTENTION(ours, theirs)                                                                    \
    ROW(ours "q.weight", theirs ".q.weight", "QM"), ROW(ours "k.weight", theirs ".k.weight", "QM"), \
        ROW(ours "v.weight", theirs ".v.weight", "QM"),                                            \
        ROW(ours "o.weight", theirs ".o.weight", "MQ")
#define FEEDFORWARD(ours, theirs)                                                                  \
    ROW(ours ".up", theirs ".wi.weight", "FM", .when = CHECKPOINT_PLAIN),                          \
        ROW(ours ".gate", theirs ".wi_0.weight", "FM", .when = CHECKPOINT_GATED),                  \
        ROW(ours ".up", theirs ".wi_1.weight", "FM", .when = CHECKPOINT_GATED),                    \
        ROW(ours ".down", theirs ".wo.weight", "MF")
#define ENCODER "encoder.block.*.layer."
#define DECODER "decoder.block.*.layer."

static const checkpoint_row rows[] = {
    ROW("embed.table", "shared.weight", "VM"),
    ROW("encoder.position.table",
        "encoder.block.0.layer.0.SelfAttention.relative_attention_bias.weight", "BH"),
    GAIN("encoder.layers.*.attention_norm", ENCODER "0.layer_norm"),
    ATTENTION("encoder.layers.*.", ENCODER "0.SelfAttention"),
    GAIN("encoder.layers.*.feedforward_norm", ENCODER "1.layer_norm"),
    FEEDFORWARD("encoder.layers.*.feedforward", ENCODER "1.DenseReluDense"),
    GAIN("encoder.final_norm", "encoder.final_layer_norm"),
    ROW("position.table", "decoder.block.0.layer.0.SelfAttention.relative_attention_bias.weight",
        "BH"),
    GAIN("layers.*.attention_norm", DECODER "0.layer_norm"),
    ATTENTION("layers.*.", DECODER "0.SelfAttention"),
    GAIN("layers.*.cross_norm", DECODER "1.layer_norm"),
    ATTENTION("layers.*.cross.", DECODER "1.EncDecAttention"),
    GAIN("layers.*.feedforward_norm", DECODER "2.layer_norm"),
    FEEDFORWARD("layers.*.feedforward", DECODER "2.DenseReluDense"),
    ROW("final_norm.gain", "decoder.final_layer_norm.weight", "M", .when = CHECKPOINT_UNSCALED),
    ROW("final_norm.gain", "decoder.final_layer_norm.weight", "M", .when = CHECKPOINT_SCALED,
        .form = CHECKPOINT_DIVIDE),
    ROW("output.weight", "lm_head.weight", "VM", .when = CHECKPOINT_UNTIED),
};

/* A size from a key; CONFIG_MUST: it must be there. */
static int64_t size(checkpoint *k, char letter, const char *key, int64_t usual)
{
    k->key[letter - 'A'] = key;
    return CHECKPOINT_SIZE(k, letter) = config_int(&k->config, key, 1, 1 << 24, usual);
}

static void put_layers(checkpoint *k, const char *prefix, const char *attention, int both)
{
    fprintf(k->spec, "; %sattention=softmax(%sscale=1); %sposition=t5(buckets=%lld, max_distance=%lld%s)",
            prefix, attention, prefix, (long long)CHECKPOINT_SIZE(k, 'B'),
            (long long)config_int(&k->config, "relative_attention_max_distance", 2, 1 << 16, 128),
            both ? "" : ", bidirectional=false");
}

static void read(checkpoint *k)
{
    static const char *const ops[] = {"relu", "geglu(approximate=tanh)", "swiglu", "gelu"};
    config *c = &k->config;
    char number[32];
    size(k, 'V', "vocab_size", CONFIG_MUST);
    size(k, 'F', "d_ff", CONFIG_MUST);
    size(k, 'B', "relative_attention_num_buckets", 32);
    const int64_t width = size(k, 'M', "d_model", CONFIG_MUST),
                  heads = size(k, 'H', "num_heads", CONFIG_MUST), each = size(k, 'D', "d_kv", 64);
    CHECKPOINT_SIZE(k, 'Q') = heads * each;
    k->heads = heads;
    k->encoder_layers = config_int(c, "num_layers", 1, 10000, CONFIG_MUST);
    k->layers = config_int(c, "num_decoder_layers", 1, 10000, k->encoder_layers);
    config_only(c, "is_encoder_decoder", 1);
    config_only(c, "is_decoder", 0);
    config_int(c, "n_positions", 0, INT32_MAX, 0); /* what it was trained on: nothing is made of it */
    const int which =
        config_choice(c, "feed_forward_proj", "relu", "relu, gated-gelu, gated-silu, gelu");
    const int tied = config_flag(c, "tie_word_embeddings", 1);
    const int scaled = config_flag(c, "scale_decoder_outputs", tied);
    k->when |= (which == 1 || which == 2 ? CHECKPOINT_GATED : CHECKPOINT_PLAIN) |
               (scaled ? CHECKPOINT_SCALED : CHECKPOINT_UNSCALED) | (tied ? 0 : CHECKPOINT_UNTIED);
    fprintf(k->spec, "vocab=%lld; width=%lld; layers=%lld; heads=%lld; head_width=%lld",
            (long long)CHECKPOINT_SIZE(k, 'V'), (long long)width, (long long)k->layers,
            (long long)heads, (long long)each);
    fprintf(k->spec, "; norm=rms(eps=%s); feedforward=%s; cross_attention=softmax(scale=1)",
            config_number(number, config_real(c, "layer_norm_epsilon", 0, 1, 1e-6)), ops[which]);
    put_layers(k, "", "causal=true, ", 0);
    fprintf(k->spec, "; encoder_layers=%lld", (long long)k->encoder_layers);
    put_layers(k, "encoder_", "", 1);
    if (tied) fputs("; tied=true", k->spec);
}

const checkpoint_type checkpoint_t5 = {
    "t5",
    read,
    rows,
    sizeof rows / sizeof *rows,
    {""},
    /* the table once more, in files of old, and a table that no layer uses */
    {"encoder.embed_tokens.weight", "decoder.embed_tokens.weight",
     "EncDecAttention.relative_attention_bias.weight"},
    NULL, /* it is not written: gains are divided where it is read */
    NULL,
    NULL,
};
