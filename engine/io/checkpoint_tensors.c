/* SPDX-License-Identifier: MIT
 *
 * checkpoint_tensors.c: the rows of a model_type's table as tensors: each one of ours is a view
 * of one of theirs, or, where rows of heads lie between one another, a copy.
 *
 * Invariant: each of theirs is used, or is among those that the type does not read, or is refused.
 */
#include <inttypes.h>
#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/grow.h"
#include "io/checkpoint.h"

#define NAME CHECKPOINT_NAME
#define SHAPE 160 /* of a shape in a sentence */

typedef struct their {
    const char *name;
    const heed_tensor *tensor;
    const char *file;
    int used;
} their;

typedef struct map {
    checkpoint *k;
    their *at; /* sorted by name */
    uint32_t count;
    const char *prefix;
} map;

/* ---- theirs ---- */

static int by_name(const void *a, const void *b)
{
    return strcmp(((const their *)a)->name, ((const their *)b)->name);
}

static int32_t gather(map *m)
{
    const heed_weights *made = m->k->made;
    for (uint32_t s = 0; s < made->n_shards; s++)
        for (uint32_t i = 0; i < made->shards[s]->count; i++) {
            const weights_item *item = &made->shards[s]->items[i];
            their *t = grow_append(&m->at, &m->count, sizeof *t);
            if (!t) return error_memory(m->k->error);
            *t = (their){item->name, &item->tensor, m->k->files[s], 0};
        }
    if (m->count) qsort(m->at, m->count, sizeof *m->at, by_name);
    for (uint32_t i = 1; i < m->count; i++)
        if (!strcmp(m->at[i].name, m->at[i - 1].name))
            return error_set(m->k->error, HEED_E_DATA, "%s: tensor '%.80s' is in two of the files",
                             m->k->folder, m->at[i].name);
    return HEED_OK;
}

static their *find(const map *m, const char *name)
{
    const their key = {.name = name};
    return m->count ? bsearch(&key, m->at, m->count, sizeof key, by_name) : NULL;
}

const char *checkpoint_name_of(char out[NAME], const char *pattern, const char *prefix,
                               int64_t layer, int64_t expert)
{
    size_t n = 0;
    for (const char *p = pattern; *p && n + 1 < NAME; p++)
        if (*p == '*' || *p == '#')
            n += (size_t)snprintf(out + n, NAME - n, "%lld",
                                  (long long)(*p == '*' ? layer : expert));
        else if (*p == '~') n += (size_t)snprintf(out + n, NAME - n, "%s", prefix);
        else out[n++] = *p;
    out[n < NAME ? n : NAME - 1] = 0;
    return out;
}

/* The same of one of theirs: in a GGUF file the beginning has another name. */
static const char *their_name(const map *m, char out[NAME], const char *pattern, int64_t layer,
                              int64_t expert)
{
    char renamed[NAME];
    for (const checkpoint_name *n = m->k->names; n && n->theirs; n++) {
        const size_t length = strlen(n->theirs);
        if (strncmp(pattern, n->theirs, length)) continue;
        snprintf(renamed, sizeof renamed, "%s%s", n->name, pattern + length);
        return checkpoint_name_of(out, renamed, "", layer, expert);
    }
    return checkpoint_name_of(out, pattern, m->prefix, layer, expert);
}

/* What a shape and the tensors that there are follow from. */
static const char *source_of(const checkpoint *k)
{
    return k->names ? "its metadata" : "config.json";
}

/* What their names begin with: the first row is of a tensor that every checkpoint has. */
static void find_prefix(map *m)
{
    const checkpoint_type *t = m->k->type;
    char name[NAME];
    m->prefix = t->prefixes[0] ? t->prefixes[0] : "";
    for (int i = 0; i < 4 && t->prefixes[i]; i++)
        if (find(m, checkpoint_name_of(name, t->rows[0].theirs, t->prefixes[i], 0, 0))) {
            m->prefix = t->prefixes[i];
            return;
        }
}

/* ---- shapes ---- */

int64_t checkpoint_sum(const checkpoint *k, const char *letters)
{
    int64_t n = 0;
    for (const char *l = letters; *l; l++) n += CHECKPOINT_SIZE(k, *l);
    return n;
}

/* "[vocab_size 61, hidden_size 16]" */
static void right_shape(const checkpoint *k, const char *letters, char out[SHAPE])
{
    size_t n = (size_t)snprintf(out, SHAPE, "[");
    for (const char *l = letters; *l; l++) {
        char room[CONFIG_KEY];
        const char *own = k->key[*l - 'A'], *key = own ? config_key(&k->config, own, room) : NULL;
        n += (size_t)snprintf(out + n, SHAPE - n, "%s%s%s%" PRId64, l > letters ? ", " : "",
                              key ? key : "", key ? " " : "", CHECKPOINT_SIZE(k, *l));
    }
    snprintf(out + n, SHAPE - n, "]");
}

static int32_t check_shape(const checkpoint *k, const their *from, const char *letters)
{
    const heed_tensor *t = from->tensor;
    char shape[24 * HEED_MAX_RANK + 8], right[SHAPE];
    int same = (size_t)t->rank == strlen(letters);
    for (int i = 0; same && i < t->rank; i++) same = t->dim[i] == CHECKPOINT_SIZE(k, letters[i]);
    const int blocks = t->dtype == HEED_Q8_0 || t->dtype == HEED_Q4_0; /* of a matrix */
    if (same && (t->dtype == HEED_F32 || t->dtype == HEED_F16 || t->dtype == HEED_BF16 ||
                 (blocks && t->rank == 2)))
        return HEED_OK;
    if (same)
        return error_set(k->error, HEED_E_DATA,
                         "%s: tensor '%.80s' is of the type %s, but F32, F16 or BF16 is right",
                         from->file, from->name, weights_type(t->dtype));
    size_t n = (size_t)snprintf(shape, sizeof shape, "[");
    for (int i = 0; i < t->rank; i++)
        n += (size_t)snprintf(shape + n, sizeof shape - n, "%s%" PRId64, i ? ", " : "", t->dim[i]);
    snprintf(shape + n, sizeof shape - n, "]");
    right_shape(k, letters, right);
    return error_set(k->error, HEED_E_DATA,
                     "%s: tensor '%.80s' has the shape %s, but by %s it is %s", from->file,
                     from->name, shape, source_of(k), right);
}

/* ---- forms ---- */

/* How far a view reaches. */
static int32_t reach(heed_tensor *t)
{
    int64_t last = 1;
    for (int i = 0; i < t->rank; i++) last += (t->dim[i] - 1) * t->stride[i];
    t->bytes = (uint64_t)last * heed_dtype_bytes(t->dtype);
    return HEED_OK;
}

/* How many heads' rows a tensor has. */
static int64_t heads_of(const checkpoint *k, const checkpoint_row *r)
{
    return r->heads ? CHECKPOINT_SIZE(k, r->heads) : k->heads;
}

/* Rows skip .. skip + each of every head's, one head after another. */
static int32_t interleave(const checkpoint *k, const checkpoint_row *r, weights_item *to)
{
    const heed_tensor from = to->tensor;
    const int64_t heads = heads_of(k, r), all = from.dim[0] / heads,
                  each = checkpoint_sum(k, r->take) / heads;
    const size_t row = (size_t)from.stride[0] * heed_dtype_bytes(from.dtype);
    int64_t dim[HEED_MAX_RANK];
    memcpy(dim, from.dim, sizeof dim);
    dim[0] = heads * each;
    to->tensor = heed_tensor_of(NULL, from.dtype, from.rank, dim);
    TRY(heed_tensor_alloc(&to->tensor, k->error));
    to->copy = to->tensor.data;
    for (int64_t h = 0; h < heads; h++)
        memcpy((char *)to->copy + (size_t)(h * each) * row,
               (const char *)from.data + (size_t)(h * all + checkpoint_sum(k, r->skip)) * row,
               (size_t)each * row);
    return HEED_OK;
}

/* An element of any of the three types. */
static float number_at(const heed_tensor *t, int64_t index)
{
    uint16_t half;
    uint32_t bits;
    float x;
    if (t->dtype == HEED_F32) return ((const float *)t->data)[index];
    memcpy(&half, (const char *)t->data + 2 * index, sizeof half);
    bits = (uint32_t)half << 16;
    if (t->dtype == HEED_F16) {
        /* a half's exponent is put where a float has it; times 2^112 makes up for the other bias */
        bits = (bits & 0x80000000u) | (uint32_t)(half & 0x7FFF) << 13;
        memcpy(&x, &bits, sizeof x);
        return (half & 0x7C00) == 0x7C00 ? (half & 0x8000 ? -INFINITY : INFINITY) : x * 0x1p112f;
    }
    memcpy(&x, &bits, sizeof x);
    return x;
}

/* A copy of float32, divided by the root of the width, as the output does not. */
static int32_t divide(const checkpoint *k, weights_item *to)
{
    const heed_tensor from = to->tensor;
    const double root = sqrt((double)CHECKPOINT_SIZE(k, 'M'));
    to->tensor = heed_tensor_of(NULL, HEED_F32, from.rank, from.dim);
    TRY(heed_tensor_alloc(&to->tensor, k->error));
    to->copy = to->tensor.data;
    for (int64_t i = 0; i < heed_tensor_elements(&from); i++)
        ((float *)to->copy)[i] = (float)((double)number_at(&from, i) / root);
    return HEED_OK;
}

static int32_t form(const checkpoint *k, const checkpoint_row *r, weights_item *to)
{
    heed_tensor *t = &to->tensor;
    if (r->form & CHECKPOINT_INTERLEAVE) return interleave(k, r, to);
    if (r->form & CHECKPOINT_DIVIDE) return divide(k, to);
    if (r->form & CHECKPOINT_TRANSPOSE && t->rank == 2) {
        const int64_t dim = t->dim[0], stride = t->stride[0];
        t->dim[0] = t->dim[1], t->dim[1] = dim;
        t->stride[0] = t->stride[1], t->stride[1] = stride;
    }
    if (r->form & CHECKPOINT_FLAT) {
        t->rank = 2;
        t->dim[1] = t->dim[2], t->stride[1] = t->stride[2];
    }
    if (!r->take) return HEED_OK;
    t->data =
        (char *)t->data + checkpoint_sum(k, r->skip) * t->stride[0] * heed_dtype_bytes(t->dtype);
    t->dim[0] = checkpoint_sum(k, r->take);
    return reach(t);
}

/* A row of another tensor is added to all, such as that of the one type that tokens have. */
static int32_t add_row(map *m, const checkpoint_row *r, weights_item *to)
{
    checkpoint *k = m->k;
    char name[NAME], *origin;
    const heed_tensor from = to->tensor;
    their *t = find(m, their_name(m, name, r->plus, 0, 0));
    if (!t)
        return error_set(k->error, HEED_E_DATA,
                         "%s: there is no tensor '%s', which model_type \"%s\" has", k->folder,
                         name, k->type->name);
    TRY(check_shape(k, t, r->plus_shape));
    t->used = 1;
    to->tensor = heed_tensor_of(NULL, HEED_F32, from.rank, from.dim);
    TRY(heed_tensor_alloc(&to->tensor, k->error));
    to->copy = to->tensor.data;
    for (int64_t i = 0; i < from.dim[0] * from.dim[1]; i++)
        ((float *)to->copy)[i] = number_at(&from, i) + number_at(t->tensor, i % from.dim[1]);
    if (asprintf(&origin, "%s + row 0 of %s, copied", to->origin, name) < 0)
        return error_memory(k->error);
    free(to->origin);
    to->origin = origin;
    return HEED_OK;
}

/* "NAME, transposed, rows 64 to 127" */
static char *origin_of(const checkpoint *k, const checkpoint_row *r, const char *name)
{
    char rows[80] = "", *text;
    const int64_t skip = r->skip ? checkpoint_sum(k, r->skip) : 0,
                  take = r->take ? checkpoint_sum(k, r->take) : 0;
    if (r->form & CHECKPOINT_INTERLEAVE)
        snprintf(rows, sizeof rows, ", rows %" PRId64 " to %" PRId64 " of each head, copied", skip,
                 skip + take / heads_of(k, r) - 1);
    else if (r->take)
        snprintf(rows, sizeof rows, ", rows %" PRId64 " to %" PRId64, skip, skip + take - 1);
    if (r->form & CHECKPOINT_DIVIDE)
        snprintf(rows, sizeof rows, " / sqrt(%" PRId64 "), copied", CHECKPOINT_SIZE(k, 'M'));
    return asprintf(&text, "%s%s%s", name, r->form & CHECKPOINT_TRANSPOSE ? ", transposed" : "",
                    rows) < 0
               ? NULL
               : text;
}

static int32_t add(map *m, const checkpoint_row *r, int64_t layer, int64_t expert)
{
    checkpoint *k = m->k;
    char ours[NAME], theirs[NAME], right[SHAPE];
    their *t = find(m, their_name(m, theirs, r->theirs, layer, expert));
    right_shape(k, r->shape, right);
    if (!t)
        return error_set(
            k->error, HEED_E_DATA,
            "%s: there is no tensor '%s', which model_type \"%s\" has; its shape would be %s",
            k->folder, theirs, k->type->name, right);
    TRY(check_shape(k, t, r->shape));
    weights_item *to = grow_append(&k->made->items, &k->made->count, sizeof *to);
    if (!to) return error_memory(k->error);
    t->used = 1;
    to->tensor = *t->tensor;
    to->name = to->own = strdup(checkpoint_name_of(ours, r->ours, "", layer, expert));
    to->origin = origin_of(k, r, theirs);
    if (!to->own || !to->origin) return error_memory(k->error);
    return r->plus ? add_row(m, r, to) : form(k, r, to);
}

/* ---- those that are left ---- */

static int is_ignored(const checkpoint_type *t, const char *name)
{
    for (int i = 0; i < 6 && t->ignored[i]; i++) {
        const size_t n = strlen(t->ignored[i]), length = strlen(name);
        if (t->ignored[i][n - 1] == '.' ? strstr(name, t->ignored[i]) != NULL
                                        : length >= n && !strcmp(name + length - n, t->ignored[i]))
            return 1;
    }
    return 0;
}

/* The output's weights beside a table that they are tied to, which must then be the same. */
static int32_t check_tied(const map *m, const checkpoint_row *r, their *output)
{
    char name[NAME];
    const their *table = find(m, their_name(m, name, m->k->type->rows[0].theirs, 0, 0));
    TRY(check_shape(m->k, output, r->shape));
    output->used = 1;
    if (table->tensor->dtype == output->tensor->dtype &&
        !memcmp(table->tensor->data, output->tensor->data, (size_t)table->tensor->bytes))
        return HEED_OK;
    return error_set(m->k->error, HEED_E_DATA,
                     "%s: tie_word_embeddings is true, but the tensors '%s' and '%s' differ",
                     output->file, output->name, table->name);
}

static int32_t check_rest(const map *m, json_t *ignored)
{
    const checkpoint_type *type = m->k->type;
    char name[NAME];
    for (uint32_t i = 0; i < type->n_rows; i++) {
        const checkpoint_row *r = &type->rows[i];
        their *t = r->when == CHECKPOINT_UNTIED && !(m->k->when & CHECKPOINT_UNTIED)
                       ? find(m, their_name(m, name, r->theirs, 0, 0))
                       : NULL;
        if (t) TRY(check_tied(m, r, t));
        if (t && json_array_append_new(ignored, json_string(t->name)))
            return error_memory(m->k->error);
    }
    for (const their *t = m->at; t < m->at + m->count; t++) {
        if (t->used) continue;
        if (!is_ignored(type, t->name))
            return error_set(m->k->error, HEED_E_DATA,
                             "%s: the tensor '%.80s' is none that model_type \"%s\" has, with %s",
                             t->file, t->name, type->name,
                             m->k->names ? "its metadata" : "this config.json");
        if (json_array_append_new(ignored, json_string(t->name))) return error_memory(m->k->error);
    }
    return HEED_OK;
}

/* ---- longrope's lists, which are in config.json ---- */

static int32_t add_factors(checkpoint *k)
{
    static const char *const names[] = {"position.short_factors", "position.long_factors"};
    for (int i = 0; i < 2 && k->factors[i]; i++) {
        const int64_t n = (int64_t)json_array_size(k->factors[i]);
        weights_item *to = grow_append(&k->made->items, &k->made->count, sizeof *to);
        if (!to) return error_memory(k->error);
        to->tensor = heed_tensor_of(NULL, HEED_F32, 1, &n);
        to->name = to->own = strdup(names[i]);
        to->origin = strdup(i ? "config.json, long_factor" : "config.json, short_factor");
        if (!to->own || !to->origin) return error_memory(k->error);
        TRY(heed_tensor_alloc(&to->tensor, k->error));
        to->copy = to->tensor.data;
        for (int64_t j = 0; j < n; j++)
            ((float *)to->copy)[j] =
                (float)json_number_value(json_array_get(k->factors[i], (size_t)j));
    }
    return HEED_OK;
}

int64_t checkpoint_layers(const checkpoint *k, const checkpoint_row *r)
{
    return !strchr(r->ours, '*')              ? 1
           : !strncmp(r->ours, "encoder.", 8) ? k->encoder_layers
                                              : k->layers;
}

/* A row of a layer, if that has one: a tensor, or one of each expert. */
static int32_t add_row_of(map *m, const checkpoint_row *r, int64_t layer)
{
    const checkpoint *k = m->k;
    const int64_t count = strchr(r->ours, '#') ? k->experts : 1;
    if (r->of && (!k->layer_is || !(k->layer_is[layer] & r->of))) return HEED_OK;
    for (int64_t e = 0; e < count; e++) TRY(add(m, r, layer, e));
    return HEED_OK;
}

static int32_t map_all(map *m)
{
    checkpoint *k = m->k;
    TRY(gather(m));
    find_prefix(m);
    for (uint32_t i = 0; i < k->type->n_rows; i++) {
        const checkpoint_row *r = &k->type->rows[i];
        const int64_t layers = checkpoint_layers(k, r);
        for (int64_t l = 0; l < layers && (k->when & r->when) == r->when; l++)
            TRY(add_row_of(m, r, l));
    }
    TRY(add_factors(k));
    TRY(check_rest(m, json_object_get(k->made->told, "ignored")));
    qsort(k->made->items, k->made->count, sizeof *k->made->items, weights_by_name);
    return HEED_OK;
}

int32_t checkpoint_tensors(checkpoint *k)
{
    map m = {.k = k};
    const int32_t failed = map_all(&m);
    free(m.at);
    return failed;
}
