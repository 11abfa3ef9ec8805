/* SPDX-License-Identifier: MIT
 *
 * checkpoint_write.c: a network of ours as the folder of a checkpoint: the tables by which one is
 * read, the other way. Of a type's keys config.json is made, and of its rows the tensors.
 *
 * Whether a network has the form of a type is not said by the tables but found out: its config is
 * read as any other, and the spec that comes of it must be the network's. Who calls compares them.
 * Invariant: all tensors of ours become some of theirs; what only they have are biases, and rows that
 * are added, and these are zero.
 */
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "io/checkpoint.h"

/* ---- config.json ---- */

/* Sets a value by a path of keys, and takes it; nonzero: no memory. */
static int set(json_t *in, const char *path, json_t *value)
{
    char key[64];
    const size_t n = strcspn(path, ".");
    if (!path[n]) return json_object_set_new(in, path, value);
    snprintf(key, sizeof key, "%.*s", (int)n, path);
    if (!json_object_get(in, key) && json_object_set_new(in, key, json_object()))
        return json_decref(value), 1;
    return set(json_object_get(in, key), path + n + 1, value);
}

json_t *checkpoint_config(const checkpoint_type *type, checkpoint_says says, void *network)
{
    json_t *all = json_pack("{s:s}", "model_type", type->name);
    for (const checkpoint_key *key = type->keys; all && key->path; key++) {
        json_t *value = *key->says == '=' ? json_loads(key->says + 1, JSON_DECODE_ANY, NULL)
                                          : says(network, key->says);
        if (!value || !set(all, key->path, value)) continue;
        json_decref(all);
        all = NULL;
    }
    return all;
}

int32_t checkpoint_of_config(checkpoint *k, json_t *root, heed_error *error)
{
    *k = (checkpoint){.folder = "config.json", .error = error, .pairs = "half"};
    k->config = (config){.error = error,
                         .root = json_incref(root),
                         .used = json_object(),
                         .path = strdup("config.json")};
    if (!k->config.used || !k->config.path) return error_memory(error);
    const char *type = config_word(&k->config, "model_type", NULL);
    k->type = k->config.failed ? NULL : checkpoint_type_of(type);
    if (!k->type) return error_set(error, HEED_E_UNSUPPORTED, "model_type is not read");
    TRY(checkpoint_spec(k));
    json_decref(config_unused(&k->config));
    return k->config.failed;
}

void checkpoint_close(checkpoint *k)
{
    config_close(&k->config);
    free(k->text);
    free(k->layer_is);
}

/* ---- tensors ---- */

/* One of theirs that is there, or a new one of zeros. */
static heed_tensor *their_tensor(const checkpoint *k, heed_weights *made, const char *pattern,
                                 const char *shape, int64_t layer, heed_error *error)
{
    char name[CHECKPOINT_NAME];
    int64_t dim[HEED_MAX_RANK] = {0};
    const char *prefix = k->type->prefixes[0] ? k->type->prefixes[0] : "";
    checkpoint_name_of(name, pattern, prefix, layer, 0);
    heed_tensor *found = heed_weights_find(made, name);
    if (found) return found;
    for (int i = 0; shape[i]; i++) dim[i] = CHECKPOINT_SIZE(k, shape[i]);
    return weights_add(made, name, (int32_t)strlen(shape), dim, error);
}

/* Where a row of ours is in theirs, before it is transposed. */
static int64_t their_row(const checkpoint *k, const checkpoint_row *r, int64_t all, int64_t row)
{
    const int64_t skip = r->skip ? checkpoint_sum(k, r->skip) : 0;
    if (!(r->form & CHECKPOINT_INTERLEAVE)) return skip + row;
    const int64_t each = checkpoint_sum(k, r->take) / k->heads;
    return row / each * (all / k->heads) + skip + row % each;
}

/* Copies ours into its place; 0: it has not the shape that the row says. */
static int put_rows(const checkpoint *k, const checkpoint_row *r, const heed_tensor *ours,
                    heed_tensor *theirs)
{
    const int turned = (r->form & CHECKPOINT_TRANSPOSE) && theirs->rank == 2;
    const int64_t all = theirs->dim[turned], columns = theirs->rank == 2 ? theirs->dim[!turned] : 1,
                  rows = r->take ? checkpoint_sum(k, r->take) : all;
    const float *from = ours->data;
    float *to = theirs->data;
    if (ours->rank != theirs->rank || ours->dim[0] != rows || ours->rank > 2 ||
        (ours->rank == 2 && ours->dim[1] != columns))
        return 0;
    for (int64_t i = 0; i < rows; i++) {
        const int64_t row = their_row(k, r, all, i);
        for (int64_t j = 0; j < columns; j++)
            to[turned ? j * all + row : row * columns + j] = from[i * columns + j];
    }
    return 1;
}

/* 0: ours lacks it, or has it in another shape; `used` counts those that it has. */
static int32_t put_row(const checkpoint *k, const checkpoint_row *r, int64_t layer,
                       const heed_weights *ours, heed_weights *made, uint32_t *used,
                       heed_error *error)
{
    char name[CHECKPOINT_NAME];
    const heed_tensor *from =
        heed_weights_find(ours, checkpoint_name_of(name, r->ours, "", layer, 0));
    const size_t n = strlen(name);
    if (r->form & CHECKPOINT_DIVIDE || (!from && (n < 4 || strcmp(name + n - 4, "bias"))))
        return error_set(error, HEED_E_UNSUPPORTED, "there is no %s", name);
    heed_tensor *to = their_tensor(k, made, r->theirs, r->shape, layer, error);
    if (!to) return error->code;
    if (from && !put_rows(k, r, from, to))
        return error_set(error, HEED_E_UNSUPPORTED, "%s has another shape", name);
    *used += from != NULL;
    return r->plus && !their_tensor(k, made, r->plus, r->plus_shape, 0, error) ? error->code
                                                                               : HEED_OK;
}

heed_weights *checkpoint_back(const checkpoint *k, const heed_weights *ours, heed_error *error)
{
    heed_weights *made = weights_new(error);
    uint32_t used = 0;
    int32_t failed = made ? HEED_OK : error->code;
    for (uint32_t i = 0; i < k->type->n_rows && !failed; i++) {
        const checkpoint_row *r = &k->type->rows[i];
        if ((k->when & r->when) != r->when) continue;
        for (int64_t l = 0; l < checkpoint_layers(k, r) && !failed; l++)
            failed = put_row(k, r, l, ours, made, &used, error);
    }
    if (!failed && used != ours->count)
        failed = error_set(error, HEED_E_UNSUPPORTED, "it has more tensors than that type");
    if (!failed) return made;
    heed_weights_close(made);
    return NULL;
}
