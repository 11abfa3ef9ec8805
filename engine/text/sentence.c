/* SPDX-License-Identifier: MIT
 *
 * sentence.c: how a folder of sentence-transformers makes one vector of a text, and the network that
 * does.
 *
 * Invariant: the folder is hostile; no file outside of it is opened.
 */
#include "text/sentence.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/error.h"

typedef struct reader {
    sentence *to;
    const char *folder;
    heed_error *error;
    char *path; /* of the file that is read */
    json_t *root;
} reader;

/* A file of the folder, which may be absent: then `root` is NULL. */
static int32_t load(reader *r, const char *folder, const char *name)
{
    json_error_t wrong;
    json_decref(r->root);
    free(r->path);
    r->root = NULL;
    if (asprintf(&r->path, "%s/%s%s%s", r->folder, folder, *folder ? "/" : "", name) < 0)
        return r->path = NULL, error_memory(r->error);
    if (access(r->path, F_OK)) return HEED_OK;
    if (!(r->root = json_load_file(r->path, 0, &wrong)))
        return error_set(r->error, HEED_E_DATA, "%s: line %d: %.120s", r->path, wrong.line,
                         wrong.text);
    return HEED_OK;
}

static const struct {
    const char *key, *word, *by; /* of older and of newer files */
} modes[] = {
    {"pooling_mode_mean_tokens", "mean", "mean"},
    {"pooling_mode_cls_token", "cls", "first"},
    {"pooling_mode_max_tokens", "max", "max"},
    {"pooling_mode_lasttoken", "lasttoken", "last"},
    {"pooling_mode_mean_sqrt_len_tokens", "mean_sqrt_len_tokens", NULL},
    {"pooling_mode_weightedmean_tokens", "weightedmean", NULL},
};

static int32_t read_pooling(reader *r, const char *folder)
{
    TRY(load(r, folder, "config.json"));
    const char *word = json_string_value(json_object_get(r->root, "pooling_mode")), *found = NULL;
    int count = 0;
    for (size_t i = 0; i < sizeof modes / sizeof *modes; i++) {
        const int is = json_is_true(json_object_get(r->root, modes[i].key)) ||
                       (word && !strcmp(word, modes[i].word));
        count += is;
        if (is) found = modes[i].key, r->to->by = modes[i].by;
    }
    if (count == 1 && r->to->by) return HEED_OK;
    return error_set(r->error, HEED_E_UNSUPPORTED,
                     "%s: %s, but one of pooling_mode_mean_tokens, _cls_token, _max_tokens and "
                     "_lasttoken is read",
                     r->path,
                     count > 1    ? "several modes of pooling are true"
                     : count == 1 ? found
                                  : "no mode of pooling is true");
}

/* "sentence_transformers.models.Pooling": the last word counts. */
static int32_t read_module(reader *r, const json_t *module)
{
    const char *type = json_string_value(json_object_get(module, "type")),
               *path = json_string_value(json_object_get(module, "path")),
               *dot = type ? strrchr(type, '.') : NULL,
               *name = dot    ? dot + 1
                       : type ? type
                              : "?";
    if (!strcmp(name, "Transformer") && (!path || !*path)) return HEED_OK;
    if (!strcmp(name, "Normalize")) return r->to->l2 = 1, HEED_OK;
    if (strcmp(name, "Pooling") || !path || strchr(path, '/') || *path == '.')
        return error_set(
            r->error, HEED_E_UNSUPPORTED,
            "%s: there is a module " QUOTE " in " QUOTE
            ", but Transformer in \"\", Pooling in a folder of this one, and Normalize "
            "are read",
            r->path, QUOTED(name), QUOTED(path ? path : "?"));
    const reader modules = *r;
    r->root = NULL, r->path = NULL;
    const int32_t failed = read_pooling(r, path);
    json_decref(r->root);
    free(r->path);
    *r = modules;
    return failed;
}

static int32_t read_all(reader *r)
{
    size_t i;
    json_t *module;
    TRY(load(r, "", "sentence_bert_config.json"));
    const json_t *most = json_object_get(r->root, "max_seq_length");
    if (json_is_integer(most) && json_integer_value(most) > 0)
        r->to->most = json_integer_value(most);
    if (json_is_true(json_object_get(r->root, "do_lower_case")))
        return error_set(r->error, HEED_E_UNSUPPORTED,
                         "%s: do_lower_case is true, but only a tokenizer's normalizer makes texts "
                         "small here",
                         r->path);
    TRY(load(r, "", "modules.json"));
    if (!r->root) return HEED_OK;
    r->to->l2 = 0;
    json_array_foreach(r->root, i, module) TRY(read_module(r, module));
    return HEED_OK;
}

int32_t sentence_read(sentence *s, const char *folder, heed_error *error)
{
    reader r = {.to = s, .folder = folder, .error = error};
    *s = (sentence){.l2 = -1};
    const int32_t failed = read_all(&r);
    json_decref(r.root);
    free(r.path);
    return failed;
}

void sentence_change(sentence *s, const char *by, int32_t l2)
{
    if (by || !s->by) s->by = by ? by : "mean";
    if (l2 >= 0 || s->l2 < 0) s->l2 = l2 > 0;
}

char *sentence_spec(const sentence *s, const heed_weights *weights, const char *folder,
                    heed_error *error)
{
    static const char hidden[] = "; output=hidden";
    char *made;
    const char *spec = heed_weights_metadata(weights, "heed.spec"),
               *at = spec ? strstr(spec, hidden) : NULL;
    if (!at) {
        error_set(error, HEED_E_UNSUPPORTED,
                  "%s is no encoder from a checkpoint, such as those of model_type bert and roberta",
                  folder);
        return NULL;
    }
    if (asprintf(&made, "%.*s; output=tokens(by=%s, l2=%s)%s", (int)(at - spec), spec, s->by,
                 s->l2 ? "true" : "false", at + strlen(hidden)) < 0)
        return error_memory(error), NULL;
    return made;
}
