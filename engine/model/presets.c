/* SPDX-License-Identifier: MIT
 *
 * presets.c: networks of papers, a row each: name, where its numbers stand, and its spec.
 *
 * A preset is a text and nothing else: "preset=llama3_8b; layers=2" reads as its keys, with those
 * that are given beside it in place of its own. What a source does not say, and what is chosen here
 * for it, is in docs/networks.md.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "model/presets.h"
#include "op/spec.h"

static const struct preset {
    const char *name, *source, *spec;
} presets[] = {
    {"vaswani2017_base", "arXiv 1706.03762, table 3",
     "vocab=37000; width=512; layers=6; heads=8; embed_scale=22.627416997969522; residual=post; "
     "norm=layer; attention=softmax(causal=true); cross_attention=softmax; position=sinusoidal; "
     "feedforward=relu(hidden=2048); encoder_layers=6; encoder_attention=softmax; tied=true"},
    {"vaswani2017_big", "arXiv 1706.03762, table 3",
     "vocab=37000; width=1024; layers=6; heads=16; embed_scale=32; residual=post; norm=layer; "
     "attention=softmax(causal=true); cross_attention=softmax; position=sinusoidal; "
     "feedforward=relu(hidden=4096); encoder_layers=6; encoder_attention=softmax; tied=true"},
    {"gopher_280b", "arXiv 2112.11446, table 1",
     "vocab=32000; width=16384; layers=80; heads=128; context=2048; norm=rms; "
     "attention=transformer_xl(causal=true, memory=2048); feedforward=gelu(hidden=65536); "
     "tied=true"},
    {"chinchilla_70b", "arXiv 2203.15556, table 4",
     "vocab=32000; width=8192; layers=80; heads=64; context=2048; norm=rms; "
     "attention=transformer_xl(causal=true, memory=2048); feedforward=gelu(hidden=32768); "
     "tied=true"},
    {"transformer_xl_base", "arXiv 1901.02860, table 1, and its code's run_wt103_base.sh",
     "vocab=267735; width=410; layers=16; heads=10; embed_scale=20.248456731316587; residual=post; "
     "norm=layer; attention=transformer_xl(causal=true, memory=150); "
     "feedforward=relu(hidden=2100); tied=true"},
    {"al_rfou_64", "arXiv 1808.04444",
     "vocab=256; width=512; layers=64; heads=8; context=512; residual=post; norm=layer; "
     "attention=softmax(causal=true); position=[learned]; feedforward=relu(hidden=2048)"},
    {"adaptive_span_small", "arXiv 1905.07799, table 1",
     "vocab=27; width=512; layers=12; heads=8; residual=post; norm=layer; "
     "attention=adaptive_span(limit=8192); feedforward=relu(hidden=2048)"},
    {"adaptive_span_large", "arXiv 1905.07799, table 1",
     "vocab=27; width=768; layers=24; heads=8; residual=post; norm=layer; "
     "attention=adaptive_span(limit=8192); feedforward=relu(hidden=4096)"},
    {"universal_base", "arXiv 1807.03819, and tensor2tensor's universal_transformer_base",
     "vocab=37000; width=1024; layers=6; heads=16; embed_scale=32; shared=true; residual=post; "
     "norm=layer; attention=softmax(causal=true); cross_attention=softmax; "
     "position=[sinusoidal(step=1), sinusoidal(step=2), sinusoidal(step=3), sinusoidal(step=4), "
     "sinusoidal(step=5), sinusoidal(step=6)]; feedforward=relu(hidden=4096); encoder_layers=6; "
     "encoder_attention=softmax; tied=true"},
    {"gpt2", "the checkpoint openai-community/gpt2",
     "vocab=50257; width=768; layers=12; heads=12; context=1024; norm=layer(eps=1e-5); "
     "attention=softmax(causal=true); position=learned; "
     "feedforward=gelu(hidden=3072, approximate=tanh); biases=true; tied=true"},
    {"bert_base", "the checkpoint google-bert/bert-base-uncased",
     "vocab=30522; width=768; layers=12; heads=12; context=512; embed_norm=layer(eps=1e-12); "
     "residual=post; norm=layer(eps=1e-12); attention=softmax; position=learned; "
     "feedforward=gelu(hidden=3072); biases=true; output=hidden"},
    {"llama3_8b", "arXiv 2407.21783, table 3",
     "vocab=128256; width=4096; layers=32; heads=32; kv_heads=8; context=8192; "
     "norm=rms(eps=1e-5); attention=softmax(causal=true); position=rope(base=500000, pairs=half); "
     "feedforward=swiglu(hidden=14336); bos=128000"},
};
#define PRESETS (sizeof presets / sizeof *presets)

static const struct preset *find(const spec *s, const spec_arg *arg, heed_error *error)
{
    const char *names[PRESETS], *word = arg->value->word;
    for (size_t i = 0; i < PRESETS; i++)
        if (word && !arg->value->has_args && !strcmp(word, presets[i].name)) return &presets[i];
    for (size_t i = 0; i < PRESETS; i++) names[i] = presets[i].name;
    const char *near = word ? error_nearest(word, names, PRESETS) : NULL;
    char *known = NULL;
    size_t length;
    FILE *out = open_memstream(&known, &length);
    if (!out) return error_memory(error), NULL;
    for (size_t i = 0; i < PRESETS; i++) fprintf(out, "%s%s", i ? ", " : "", presets[i].name);
    if (fclose(out)) return free(known), error_memory(error), NULL;
    if (word)
        spec_error(s, arg->value->at, error, "no preset is called " QUOTE "%s%s; there are %s",
                   QUOTED(word), near ? "; nearest is " : "", near ? near : "", known);
    else spec_takes(s, arg->value, "preset", known, error);
    free(known);
    return NULL;
}

static int has(const spec *s, const char *key)
{
    for (uint32_t i = 0; i < s->n_keys; i++)
        if (!strcmp(s->keys[i].key, key)) return 1;
    return 0;
}

/* "; key=value" for each key of a spec but `preset`, and but those of another one. */
static int32_t append(FILE *out, const spec *s, const spec *but, heed_error *error)
{
    for (uint32_t i = 0; i < s->n_keys; i++) {
        const char *key = s->keys[i].key;
        if (!strcmp(key, "preset") || (but && has(but, key))) continue;
        char *value = spec_print_node(s->keys[i].value);
        if (!value) return error_memory(error);
        fprintf(out, "%s%s=%s", ftell(out) ? "; " : "", key, value);
        free(value);
    }
    return HEED_OK;
}

/* What the preset says where the text does not, and then the text. */
static int32_t merge(const spec *given, const struct preset *p, char **whole, heed_error *error)
{
    spec *preset = spec_parse(p->spec, 1, error);
    if (!preset) return error->code;
    size_t length;
    FILE *out = open_memstream(whole, &length);
    int32_t failed = out ? append(out, preset, given, error) : error_memory(error);
    if (!failed) failed = append(out, given, NULL, error);
    if (out && fclose(out) && !failed) failed = error_memory(error);
    spec_free(preset);
    return failed;
}

int32_t presets_expand(const char *text, char **whole, heed_error *error)
{
    heed_error unread = {0};
    spec *given = spec_parse(text, 1, &unread);
    int32_t failed = unread.code == HEED_E_MEMORY ? error_memory(error) : HEED_OK;
    *whole = NULL;
    for (uint32_t i = 0; given && i < given->n_keys && !*whole && !failed; i++) {
        if (strcmp(given->keys[i].key, "preset")) continue;
        const struct preset *p = find(given, &given->keys[i], error);
        failed = p ? merge(given, p, whole, error) : error->code;
    }
    spec_free(given);
    if (failed) free(*whole), *whole = NULL;
    return failed;
}
