/* SPDX-License-Identifier: MIT
 *
 * test_checkpoints.c: folders that transformers wrote (models/checkpoints, made by
 * models/checkpoints.py), of every model_type and with every setting changed: their logits within
 * 1e-4 of the largest, and the same tokens in greedy decoding. Shards have the bits of one file.
 * And what is refused: one sentence that names the file, the key and the value.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <jansson.h>

#include "lib/mutate.h"
#include "lib/network.h"

static heed_engine *engine;
static heed_weights *reference;
static heed_error e;
static char models[4096], folder[] = "/tmp/heed-checkpoint-XXXXXX";

static network open_network(const char *name)
{
    char path[4200];
    snprintf(path, sizeof path, "%s/%s", models, name);
    return network_open(engine, path);
}

static const heed_tensor *reference_of(const char *name, const char *what)
{
    return network_recorded(reference, name, what);
}

/* ---- against transformers ---- */

static void check(const char *name)
{
    char path[4200];
    snprintf(path, sizeof path, "%s/%s", models, name);
    network_check(engine, path, reference, name);
}

static void test_reference(void **unused)
{
    int found = 0;
    (void)unused;
    for (uint32_t i = 0; i < heed_weights_count(reference); i++) {
        char name[64];
        const char *key = heed_weights_name(reference, i), *end = strstr(key, ".tokens");
        if (!end) continue;
        snprintf(name, sizeof name, "%.*s", (int)(end - key), key);
        check(name);
        found++;
    }
    assert_true(found >= 36);
}

/* Of longrope the list for long texts counts where the spec says so. */
static void test_long(void **unused)
{
    const char *name = "phi3_longrope";
    char path[4200], spec[1200];
    const heed_tensor *text = reference_of(name, "text"), *right = reference_of(name, "long");
    (void)unused;
    snprintf(path, sizeof path, "%s/%s", models, name);
    heed_weights *w = heed_weights_open(path, &e);
    if (!w) fail_msg("%s", e.text);
    snprintf(spec, sizeof spec, "%s", heed_weights_metadata(w, "heed.spec"));
    char *context = strstr(spec, "context=56"), *length = strstr(spec, "length=56");
    if (!context || !length) fail_msg("%s", spec);
    memcpy(context, "context=64", 10), memcpy(length, "length=64", 9);
    heed_stack *stack = heed_stack_open(engine, spec, w, &e);
    heed_session *session = stack ? heed_session_new(stack, &e) : NULL;
    if (!session) fail_msg("%s", e.text);
    float *got = calloc((size_t)(right->dim[0] * right->dim[1]), sizeof *got);
    if (heed_session_feed(session, text->data, text->dim[0], got, text->dim[0], &e))
        fail_msg("%s", e.text);
    network_compare("a long text", right, got);
    free(got);
    heed_session_free(session);
    heed_stack_close(stack);
    heed_weights_close(w);
}

/* ---- against itself ---- */

static void test_shards(void **unused)
{
    const heed_tensor *tokens = reference_of("llama_flags", "tokens");
    network one = open_network("llama_flags"), shards = open_network("shards");
    const int64_t count = tokens->dim[0], width = heed_stack_outputs(one.stack);
    float *a = calloc((size_t)(2 * count * width), sizeof *a), *b = a + count * width;
    (void)unused;
    network_feed(&one, tokens->data, count, a, count);
    network_feed(&shards, tokens->data, count, b, count);
    assert_memory_equal(a, b, sizeof *a * (size_t)(count * width));
    free(a);
    network_close(&one);
    network_close(&shards);
}

/* A saved session is of these weights: transposed views and those in the order of the file have their
 * own sum each. */
static void test_saved(void **unused)
{
    static const char *const names[] = {"gpt2", "gpt_neox", "phi3", "qwen3_next"};
    (void)unused;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        const heed_tensor *tokens = reference_of(names[i], "tokens");
        network n = open_network(names[i]), other = open_network(names[i]);
        const int64_t width = heed_stack_outputs(n.stack);
        float *a = calloc((size_t)(2 * width), sizeof *a), *b = a + width;
        network_feed(&n, tokens->data, 10, a, 0);
        const int64_t size = heed_session_save(n.session, NULL, 0, &e);
        assert_true(size > 0);
        void *bytes = malloc((size_t)size);
        assert_int_equal(heed_session_save(n.session, bytes, (uint64_t)size, &e), size);
        if (heed_session_load(other.session, bytes, (uint64_t)size, &e)) fail_msg("%s", e.text);
        network_feed(&n, (int32_t *)tokens->data + 10, 1, a, 1);
        network_feed(&other, (int32_t *)tokens->data + 10, 1, b, 1);
        assert_memory_equal(a, b, sizeof *a * (size_t)width);
        free(bytes);
        free(a);
        network_close(&n);
        network_close(&other);
    }
}

/* ---- what is refused ---- */

static const char *in_folder(const char *name)
{
    static char path[256];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    return path;
}

static void empty_folder(void)
{
    static const char *const names[] = {"config.json", "model.safetensors", "a.safetensors",
                                        "model.safetensors.index.json", "pytorch_model.bin"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) unlink(in_folder(names[i]));
}

static void put(const char *name, const char *text)
{
    FILE *f = fopen(in_folder(name), "w");
    assert_non_null(f);
    fputs(text, f);
    assert_int_equal(fclose(f), 0);
}

/* The folder of a checkpoint, with one key of its config.json changed; value NULL: taken away. */
static void change(const char *from, const char *key, const char *value)
{
    char path[4300];
    empty_folder();
    snprintf(path, sizeof path, "%s/%s/config.json", models, from);
    json_t *config = json_load_file(path, 0, NULL), *object = config;
    assert_non_null(config);
    const char *dot = strchr(key, '.');
    if (dot) object = json_object_get(config, "rope_parameters"), key = dot + 1;
    if (value) json_object_set_new(object, key, json_loads(value, JSON_DECODE_ANY, NULL));
    else json_object_del(object, key);
    assert_int_equal(json_dump_file(config, in_folder("config.json"), 0), 0);
    json_decref(config);
    snprintf(path, sizeof path, "%s/%s/model.safetensors", models, from);
    assert_int_equal(symlink(path, in_folder("model.safetensors")), 0);
}

static void refused(const char *what, const char *parts)
{
    heed_weights *w = heed_weights_open(folder, &e);
    if (w) fail_msg("%s: is not refused", what);
    /* the parts stand one behind another, with | between them */
    const char *at = e.text;
    for (const char *part = parts; *part;) {
        char one[96];
        const size_t n = strcspn(part, "|");
        snprintf(one, sizeof one, "%.*s", (int)n, part);
        if (!(at = strstr(at, one))) fail_msg("%s: \"%s\" does not say \"%s\"", what, e.text, one);
        part += n + (part[n] == '|');
    }
    assert_null(strchr(e.text, '\n'));
}

static void test_config(void **unused)
{
    static const struct {
        const char *from, *key, *value, *parts;
    } bad[] = {
        {"llama", "model_type", "\"mamba\"", "config.json|model_type|mamba|these are: llama"},
        {"llama", "model_type", "\"qwen3_5\"",
         "config.json|model_type|qwen3_5|these are: llama"},
        {"llama", "model_type", NULL, "config.json|\"model_type\" is missing"},
        {"llama", "quantization_config", "{\"quant_method\": \"gptq\", \"bits\": 4}",
         "config.json|quant_method|gptq|not read"},
        {"llama", "quantization_config", "{\"quant_method\": \"awq\"}", "quant_method|awq"},
        {"llama", "rope_parameters", "{\"rope_theta\": 1e4, \"rope_type\": \"mrope\"}",
         "rope_parameters.rope_type|\"mrope\"|yarn"},
        {"llama", "rope_scaling.new", "3", "rope_parameters.new|is 3|not known"},
        {"llama", "rope_parameters.rope_theta", "\"x\"",
         "rope_parameters.rope_theta|\"x\"|a number"},
        {"llama", "rope_parameters.partial_rotary_factor", "0.5", "partial_rotary_factor|0.5"},
        {"llama", "hidden_act", "\"tanh\"", "hidden_act|\"tanh\"|silu"},
        {"llama", "hidden_size", "32",
         "model.embed_tokens.weight'|[37, 16]|[vocab_size 37, hidden_size 32]"},
        {"llama", "num_hidden_layers", "3",
         "model.layers.2.input_layernorm.weight'|[hidden_size 16]"},
        {"llama", "num_hidden_layers", "1", "model.layers.1.|none that model_type \"llama\" has"},
        {"llama", "num_hidden_layers", "0", "num_hidden_layers|is 0|from 1 to 10000"},
        {"llama", "vocab_size", "\"many\"", "vocab_size|\"many\"|a whole number"},
        {"llama", "vocab_size", NULL, "vocab_size\" is missing"},
        {"llama", "num_key_value_heads", "3",
         "num_key_value_heads|is 3|divide num_attention_heads, 4"},
        {"llama", "attn_logit_softcapping", "50.0", "attn_logit_softcapping|is 50.0|not known"},
        {"llama", "num_local_experts", "8", "num_local_experts|is 8|not known"},
        {"llama", "attention_bias", "true", "q_proj.bias'|[16]"},
        {"llama", "tie_word_embeddings", "true", "tie_word_embeddings|lm_head.weight|differ"},
        {"qwen2", "layer_types", "[\"full_attention\", \"linear_attention\"]",
         "layer_types|linear_attention"},
        {"qwen2", "layer_types", "[\"full_attention\"]", "layer_types|a list of 2 values"},
        {"gpt2", "add_cross_attention", "true", "add_cross_attention|is true|false is read"},
        {"opt", "word_embed_proj_dim", "8", "word_embed_proj_dim|is 8|16 is read"},
        {"t5", "feed_forward_proj", "\"gated-relu\"",
         "feed_forward_proj|\"gated-relu\"|gated-gelu"},
        {"t5", "num_decoder_layers", "3",
         "decoder.block.2.layer.0.layer_norm.weight'|[d_model 16]"},
        {"t5", "d_kv", "4", "SelfAttention.q.weight'|[24, 16]|[16, d_model 16]"},
        {"t5", "is_decoder", "true", "is_decoder|is true|false is read"},
        {"phi3", "rope_parameters", "{\"rope_type\": \"longrope\", \"short_factor\": [1]}",
         "rope_parameters.short_factor|[1]|a list of 2 values"},
        {"qwen3_next", "layer_types",
         "[\"full_attention\", \"mamba\", \"full_attention\", \"full_attention\"]",
         "layer_types|mamba|linear_attention and full_attention are read"},
        {"qwen3_next", "num_experts_per_tok", "6", "num_experts_per_tok|is 6|num_experts, 5"},
        {"qwen3_next", "num_experts", "6", "mlp.gate.weight'|[5, 16]|[num_experts 6"},
        {"qwen3_next", "linear_num_value_heads", "3",
         "linear_num_value_heads|is 3|linear_num_key_heads, 2, must divide it"},
        {"qwen3_next", "linear_conv_kernel_dim", "3",
         "linear_attn.conv1d.weight'|[44, 1, 4]|linear_conv_kernel_dim 3"},
        {"qwen3_next", "hidden_act", "\"gelu\"", "hidden_act|\"gelu\"|silu"},
        {"qwen3_next", "mlp_only_layers", "[1]", "layers.1.mlp.gate_proj.weight'|intermediate_size"},
        {"qwen3_next", "decoder_sparse_step", "0", "decoder_sparse_step|is 0|from 1 to 10000"},
    };
    (void)unused;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        change(bad[i].from, bad[i].key, bad[i].value);
        refused(bad[i].key, bad[i].parts);
    }
    /* what is about nothing that is computed */
    change("llama", "my_note", "\"for the lab\"");
    heed_weights *w = heed_weights_open(folder, &e);
    assert_non_null(w);
    heed_weights_close(w);
}

static void test_files(void **unused)
{
    static const struct {
        const char *index, *parts;
    } bad[] = {
        {"{\"weight_map\": {\"a\": \"../../etc/x.safetensors\"}}",
         "index.json|'a'|\"../../etc/x|in this folder"},
        {"{\"weight_map\": {\"a\": \"/etc/passwd\"}}", "'a'|/etc/passwd"},
        {"{\"weight_map\": {\"a\": 3}}", "'a'|no text"},
        {"{\"weight_map\": {\"a\": \"a.safetensors\"}}", "a.safetensors|cannot be opened"},
        {"{\"weight_map\": {\"a\": \"model.safetensors\"}}", "'a'|\"model.safetensors\"|it is not"},
        {"{\"weight_map\": {\"lm_head.weight\": \"model.safetensors\"}}",
         "does not have the tensor"},
        {"{\"weight_map\": []}", "index.json|weight_map is no object"},
        {"{", "index.json|line 1"},
    };
    (void)unused;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        change("llama", "my_note", "1");
        put("model.safetensors.index.json", bad[i].index);
        refused(bad[i].index, bad[i].parts);
    }
    change("llama", "my_note", "1");
    unlink(in_folder("model.safetensors"));
    refused("no weights", "no model.safetensors");
    put("pytorch_model.bin", "x");
    refused("a pickle", "pytorch_model.bin, which is not read");
    put("config.json", "{\"model_type\": ");
    refused("half a file", "config.json|line 1");
    put("config.json", "[1]");
    refused("a list", "config.json|no object");
}

/* Every byte of a file of the folder in turn becomes another: it is opened, or one sentence says why
 * not. */
static void change_each(const char *name, int step)
{
    static const char others[] = {'0', '9', '"', '{', '-', 'e', 0x7F};
    static char text[8192], changed[8192];
    FILE *f = fopen(in_folder(name), "r");
    assert_non_null(f);
    const size_t n = fread(text, 1, sizeof text - 1, f);
    fclose(f);
    for (size_t i = 0; i < n; i += (size_t)step) {
        memcpy(changed, text, n);
        changed[n] = 0;
        changed[i] = others[i % sizeof others];
        put(name, changed);
        memset(&e, 0, sizeof e);
        heed_weights *w = heed_weights_open(folder, &e);
        if (!w && (!e.code || !*e.text)) fail_msg("%s, byte %zu: no sentence", name, i);
        heed_weights_close(w);
    }
    put(name, text);
}

static void test_mutated(void **unused)
{
    (void)unused;
    const int step = getenv("HEED_TEST_QUICK") ? 7 : 1;
    change("phi3_longrope", "my_note", "1");
    change_each("config.json", step);
    change("qwen2_window", "my_note", "1");
    change_each("config.json", step);
    change("llama", "my_note", "1");
    put("model.safetensors.index.json",
        "{\"weight_map\": {\"lm_head.weight\": \"model.safetensors\", \"a\": \"a.safetensors\"}}");
    change_each("model.safetensors.index.json", 1);
}

/* ---- faults by chance ---- */

static char *read_file(const char *path, size_t *n)
{
    char *text = malloc(1 << 18);
    FILE *f = fopen(path, "r");
    if (!f) fail_msg("%s cannot be read", path);
    *n = fread(text, 1, (1 << 18) - 64, f);
    fclose(f);
    return text;
}

/* A file of the folder with faults, count times: it is opened, or one sentence says why not. The
 * mutations are of its first `head` bytes; 0: of all. */
static void fuzz(const char *name, const char *from, size_t head, long count, uint64_t *chance)
{
    char path[4300];
    size_t n;
    snprintf(path, sizeof path, "%s/%s", models, from);
    char *text = read_file(path, &n), *changed = malloc(n + 64);
    if (!head || head > n) head = n;
    for (long i = 0; i < count; i++) {
        memcpy(changed, text, head);
        const size_t now = mutate(changed, head, chance);
        unlink(in_folder(name)); /* it may be a link to one of models/ */
        FILE *f = fopen(in_folder(name), "w");
        assert_non_null(f);
        fwrite(changed, 1, now, f);
        fwrite(text + head, 1, n - head, f);
        fclose(f);
        memset(&e, 0, sizeof e);
        heed_weights *w = heed_weights_open(folder, &e);
        if (!w && (!e.code || !*e.text)) fail_msg("%s, run %ld: no sentence", name, i);
        heed_weights_close(w);
    }
    free(text);
    free(changed);
}

static void link_to(const char *from, const char *name)
{
    char path[4300];
    snprintf(path, sizeof path, "%s/%s/%s", models, from, name);
    unlink(in_folder(name));
    assert_int_equal(symlink(path, in_folder(name)), 0);
}

/* HEED_FUZZ=N asks for N runs of each reader: the index, config.json of all types, and the head of a
 * file of safetensors (tests/fuzz.sh). */
static void test_fuzz(void **unused)
{
    static const char *const types[] = {"llama_llama3", "phi3_longrope", "qwen2_window", "t5_flags",
                                        "gemma3_text_flags", "gpt2_flags", "bert", "opt", "bloom",
                                        "qwen3_next"};
    const long n_types = sizeof types / sizeof *types;
    const char *asked = getenv("HEED_FUZZ"), *seed = getenv("HEED_FUZZ_SEED");
    const long count = asked ? atol(asked) : getenv("HEED_TEST_QUICK") ? 20 : 900;
    uint64_t chance = seed ? strtoull(seed, NULL, 10) : 1;
    char name[80];
    (void)unused;
    empty_folder();
    link_to("shards", "config.json");
    for (int i = 1; i <= 6; i++) {
        snprintf(name, sizeof name, "model-%05d-of-00006.safetensors", i);
        link_to("shards", name);
    }
    fuzz("model.safetensors.index.json", "shards/model.safetensors.index.json", 0, count, &chance);
    for (int i = 1; i <= 6; i++) {
        snprintf(name, sizeof name, "model-%05d-of-00006.safetensors", i);
        unlink(in_folder(name));
    }
    unlink(in_folder("model.safetensors.index.json"));
    for (long i = 0; i < n_types; i++) {
        link_to(types[i], "model.safetensors");
        snprintf(name, sizeof name, "%s/config.json", types[i]);
        fuzz("config.json", name, 0, count / n_types + 1, &chance);
    }
    link_to("llama", "config.json");
    fuzz("model.safetensors", "llama/model.safetensors", 2400, count, &chance);
    unlink(in_folder("model.safetensors"));
}

static int setup(void **unused)
{
    (void)unused;
    return network_begin("checkpoints", models, &engine, &reference) || !mkdtemp(folder);
}

static int teardown(void **unused)
{
    (void)unused;
    empty_folder();
    rmdir(folder);
    network_end(engine, reference);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reference), cmocka_unit_test(test_long),
        cmocka_unit_test(test_shards),    cmocka_unit_test(test_saved),
        cmocka_unit_test(test_config),    cmocka_unit_test(test_files),
        cmocka_unit_test(test_mutated),   cmocka_unit_test(test_fuzz),
    };
    cmocka_set_test_filter(getenv("HEED_TEST_ONLY"));
    return cmocka_run_group_tests(tests, setup, teardown);
}
