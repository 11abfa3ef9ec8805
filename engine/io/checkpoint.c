/* SPDX-License-Identifier: MIT
 *
 * checkpoint.c: weights from a file of safetensors, or from the folder of a checkpoint, as
 * transformers writes it: config.json and model.safetensors, or files that
 * model.safetensors.index.json names.
 *
 * A GGUF file is taken for such a folder (checkpoint_gguf.c). No copy of it is made: tensors are views of the mapped files, by names of ours, and the spec is
 * an entry of the metadata, as if one file had both. Invariant: the folder is hostile; no file
 * outside of it is opened.
 */
#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "base/grow.h"
#include "io/checkpoint.h"
#include "io/gguf.h"

#define INDEX "model.safetensors.index.json"
#define ONE "model.safetensors"
#define NUMBERS 160 /* bytes of a list of tokens */

/* ---- files ---- */

static char *path_of(const checkpoint *k, const char *name)
{
    char *path;
    return asprintf(&path, "%s/%s", k->folder, name) < 0 ? NULL : path;
}

static int is_there(const checkpoint *k, const char *name)
{
    char *path = path_of(k, name);
    const int there = path && !access(path, F_OK);
    free(path);
    return there;
}

static int32_t open_shard(checkpoint *k, const char *name)
{
    char **path = grow_append(&k->files, &k->n_files, sizeof *path);
    heed_weights **slot = grow_append(&k->made->shards, &k->made->n_shards, sizeof *slot);
    if (!path || !slot || !(*path = path_of(k, name))) return error_memory(k->error);
    return (*slot = safetensors_open(*path, k->error)) ? HEED_OK : k->error->code;
}

/* The name of a file of this folder, and no way out of it. */
static int is_name(const char *name)
{
    const size_t n = strlen(name), end = strlen(".safetensors");
    return n > end && !strcmp(name + n - end, ".safetensors") && *name != '.' && !strchr(name, '/');
}

/* Each file once, in the order of the index. */
static int32_t open_shards(checkpoint *k, const char *path, const json_t *map)
{
    const char *tensor;
    json_t *value, *opened = json_object(); /* {file: its number} */
    int32_t failed = opened ? HEED_OK : error_memory(k->error);
    json_object_foreach((json_t *)map, tensor, value)
    {
        const char *file = json_string_value(value);
        if (failed) break;
        if (!file || !is_name(file))
            failed = error_set(k->error, HEED_E_DATA,
                               "%s: weight_map says of the tensor '%.80s' that it is in " QUOTE
                               ", but the name of a file in this folder that ends in .safetensors "
                               "is right",
                               path, tensor, QUOTED(file ? file : "no text"));
        else if (!json_object_get(opened, file)) {
            failed = open_shard(k, file);
            if (!failed && json_object_set_new(opened, file, json_integer(k->made->n_shards - 1)))
                failed = error_memory(k->error);
        }
        const json_t *number = json_object_get(opened, file ? file : "");
        if (!failed && !heed_weights_find(k->made->shards[json_integer_value(number)], tensor))
            failed = error_set(k->error, HEED_E_DATA,
                               "%s: weight_map says that the tensor '%.80s' is in " QUOTE
                               ", and it is not",
                               path, tensor, QUOTED(file));
    }
    /* and no tensor that the index does not know */
    for (uint32_t s = 0; !failed && s < k->made->n_shards; s++)
        for (uint32_t i = 0; !failed && i < k->made->shards[s]->count; i++)
            if (!json_object_get(map, k->made->shards[s]->items[i].name))
                failed = error_set(k->error, HEED_E_DATA,
                                   "%s: weight_map does not have the tensor '%.80s', which a file "
                                   "has",
                                   path, k->made->shards[s]->items[i].name);
    json_decref(opened);
    return failed;
}

static int32_t open_index(checkpoint *k)
{
    json_error_t wrong;
    char *path = path_of(k, INDEX);
    if (!path) return error_memory(k->error);
    json_t *index = json_load_file(path, JSON_REJECT_DUPLICATES, &wrong);
    const json_t *map = json_object_get(index, "weight_map");
    int32_t failed = HEED_OK;
    if (!index)
        failed =
            error_set(k->error, HEED_E_DATA, "%s: line %d: %.120s", path, wrong.line, wrong.text);
    else if (!json_object_size(map))
        failed = error_set(k->error, HEED_E_DATA,
                           "%s: weight_map is no object of tensors and their files", path);
    else failed = open_shards(k, path, map);
    json_decref(index);
    free(path);
    return failed;
}

static int32_t open_files(checkpoint *k)
{
    static const char *const others[] = {"pytorch_model.bin", "pytorch_model.bin.index.json",
                                         "tf_model.h5", "flax_model.msgpack",
                                         "adapter_config.json"};
    if (is_there(k, INDEX)) return open_index(k);
    if (is_there(k, ONE)) return open_shard(k, ONE);
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        if (is_there(k, others[i]))
            return error_set(k->error, HEED_E_UNSUPPORTED,
                             "%s: the weights are in %s, which is not read; " ONE " or " INDEX
                             " is right: transformers writes them with save_pretrained",
                             k->folder, others[i]);
    return error_set(k->error, HEED_E_DATA,
                     "%s: there is a config.json, but no " ONE " and no " INDEX, k->folder);
}

/* ---- config.json ---- */

static int32_t read_config(checkpoint *k)
{
    config *c = &k->config;
    char known[200];
    TRY(config_open(c, k->folder, k->error));
    const char *type = config_word(c, "model_type", NULL);
    if (c->failed) return c->failed;
    if (config_has(c, "quantization_config")) {
        const char *method = config_word(c, "quantization_config.quant_method", "?");
        return error_set(k->error, HEED_E_UNSUPPORTED,
                         "%s: quantization_config: quant_method is " QUOTE
                         ", and quantised weights are not read; weights of F32, F16 or BF16 are",
                         c->path, QUOTED(method));
    }
    if (!(k->type = checkpoint_type_of(type))) {
        checkpoint_type_names(known, sizeof known);
        return error_set(k->error, HEED_E_UNSUPPORTED,
                         "%s: model_type is " QUOTE ", which is not read; these are: %s", c->path,
                         QUOTED(type), known);
    }
    return HEED_OK;
}

int32_t checkpoint_spec(checkpoint *k)
{
    if (!(k->spec = open_memstream(&k->text, &k->length))) return error_memory(k->error);
    k->type->read(k);
    const int bad = ferror(k->spec), closed = fclose(k->spec);
    return k->config.failed ? k->config.failed : bad || closed ? error_memory(k->error) : HEED_OK;
}

/* Numbers of tokens, "2, 7", of one or of a list; "" if there is none. */
static void put_numbers(char out[NUMBERS], const json_t *value)
{
    size_t n = 0;
    *out = 0;
    for (size_t i = 0; i < (json_is_array(value) ? json_array_size(value) : 1); i++) {
        const json_t *one = json_is_array(value) ? json_array_get(value, i) : value;
        if (!json_is_integer(one) || json_integer_value(one) < 0) continue;
        n += (size_t)snprintf(out + n, NUMBERS - n, "%s%" JSON_INTEGER_FORMAT, n ? ", " : "",
                              json_integer_value(one));
        if (n >= NUMBERS) return;
    }
}

/* The tokens that texts begin and end with, and, of one with an encoder, that what it writes begins
 * with: generation_config.json counts, where it says so. */
static int32_t read_ends(checkpoint *k, char begin[NUMBERS], char end[NUMBERS],
                         char start[NUMBERS])
{
    json_error_t wrong;
    char *path = path_of(k, "generation_config.json");
    json_t *other = NULL;
    if (!path) return error_memory(k->error);
    if (!k->names && !access(path, F_OK) && !(other = json_load_file(path, 0, &wrong))) {
        error_set(k->error, HEED_E_DATA, "%s: line %d: %.120s", path, wrong.line, wrong.text);
        free(path);
        return HEED_E_DATA;
    }
    const json_t *first = config_any(&k->config, "bos_token_id"),
                 *last = config_any(&k->config, "eos_token_id"),
                 *own = json_object_get(other, "eos_token_id");
    const json_t *writes = config_any(&k->config, "decoder_start_token_id"),
                 *pad = json_object_get(k->config.root, "pad_token_id");
    if (!writes) writes = json_object_get(other, "decoder_start_token_id");
    put_numbers(start, writes ? writes : pad);
    put_numbers(begin, first ? first : json_object_get(other, "bos_token_id"));
    put_numbers(end, json_is_integer(own) || json_is_array(own) ? own : last);
    json_decref(other);
    free(path);
    return k->config.failed;
}

/* The names of classes, as heed train writes them: ["comedy", "tragedy"]; "" if there are none. */
static int32_t read_classes(checkpoint *k, char **text)
{
    const json_t *names = k->classes ? json_object_get(k->config.root, "id2label") : NULL;
    json_t *all = json_array();
    for (int64_t c = 0; c < k->classes && names && !k->config.failed; c++) {
        char number[24];
        snprintf(number, sizeof number, "%" JSON_INTEGER_FORMAT, (json_int_t)c);
        json_t *name = json_object_get(names, number);
        if (!json_is_string(name))
            config_wrong(&k->config, "id2label", "a name for each number from 0 on is right");
        else json_array_append(all, name);
    }
    *text = names ? json_dumps(all, JSON_COMPACT) : strdup("");
    json_decref(all);
    return k->config.failed ? k->config.failed : *text ? HEED_OK : error_memory(k->error);
}

static int32_t make(checkpoint *k)
{
    char begin[NUMBERS], end[NUMBERS], start[NUMBERS];
    const int is_gguf = gguf_is(k->folder);
    TRY(is_gguf ? checkpoint_gguf(k) : read_config(k));
    TRY(checkpoint_spec(k));
    TRY(read_ends(k, begin, end, start));
    json_t *unused = config_unused(&k->config);
    k->made->told =
        json_pack("{s:s, s:s, s:o, s:[]}", "model_type", k->type->name, "source",
                  is_gguf ? "the metadata" : "config.json", "unused", unused, "ignored");
    if (k->config.failed) return k->config.failed;
    k->made->header =
        json_pack("{s:{s:s, s:s, s:s, s:s, s:s}}", "__metadata__", "heed.spec", k->text,
                  "heed.tokens", "ids", "heed.begin", begin, "heed.end", end, "heed.start", start);
    if (!k->made->told || !k->made->header) return error_memory(k->error);
    char *classes = NULL;
    const int32_t failed = read_classes(k, &classes);
    if (!failed && *classes)
        json_object_set_new(json_object_get(k->made->header, "__metadata__"), "heed.classes",
                            json_string(classes));
    free(classes);
    if (failed) return failed;
    if (!is_gguf) TRY(open_files(k));
    return checkpoint_tensors(k);
}

/* Or a GGUF file. */
static heed_weights *open_folder(const char *folder, heed_error *error)
{
    checkpoint k = {.folder = folder, .error = error, .made = weights_new(error), .pairs = "half"};
    if (!k.made) return NULL;
    const int32_t failed = make(&k);
    heed_weights *made = k.made;
    config_close(&k.config);
    free(k.text);
    free(k.layer_is);
    for (uint32_t i = 0; i < k.n_files; i++) free(k.files[i]);
    free(k.files);
    if (!failed) return made;
    heed_weights_close(made);
    return NULL;
}

int checkpoint_is(const char *path)
{
    struct stat st;
    char *config;
    if (gguf_is(path)) return 1;
    if (stat(path, &st) || !S_ISDIR(st.st_mode) || asprintf(&config, "%s/config.json", path) < 0)
        return 0;
    const int there = !access(config, F_OK);
    free(config);
    return there;
}

heed_weights *heed_weights_open(const char *path, heed_error *error)
{
    heed_error own;
    if (!error) error = &own;
    return checkpoint_is(path) ? open_folder(path, error) : safetensors_open(path, error);
}
