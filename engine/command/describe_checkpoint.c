/* SPDX-License-Identifier: MIT
 *
 * describe_checkpoint.c: what heed describe tells of a checkpoint beside its network: the keys of
 * config.json that nothing was made of, every tensor with its name there, and those that are not
 * read.
 */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

#include "command/describe.h"
#include "command/table.h"
#include "io/weights.h"

/* "[37, 16]" */
static void shape_of(const heed_tensor *t, char *out, size_t size)
{
    size_t n = (size_t)snprintf(out, size, "[");
    for (int i = 0; i < t->rank && n < size; i++)
        n += (size_t)snprintf(out + n, size - n, "%s%lld", i ? ", " : "", (long long)t->dim[i]);
    if (n < size) snprintf(out + n, size - n, "]");
}

static void print_tensors(const heed_weights *w)
{
    static const table_column columns[] = {{"tensor", 0, 0, 0},
                                           {"type", 0, 0, 1},
                                           {"shape", 0, 0, 1},
                                           {"in the checkpoint", 0, 16, 0}};
    table t = {.column = columns, .n_columns = 4};
    char shape[24 * HEED_MAX_RANK + 8];
    for (const weights_item *i = w->items; i < w->items + w->count; i++) {
        shape_of(&i->tensor, shape, sizeof shape);
        table_cell(&t, "%s", i->name);
        table_cell(&t, "%s", weights_type(i->tensor.dtype));
        table_cell(&t, "%s", shape);
        table_cell(&t, "%s", i->origin);
    }
    table_print(&t);
}

/* One line of prose: the keys with their values. */
static void print_unused(const heed_weights *w)
{
    const char *key, *between = " ";
    json_t *value;
    char *line = NULL;
    size_t length;
    FILE *out = open_memstream(&line, &length);
    if (!out) return;
    fprintf(out, "model_type %s; keys of %s that nothing was made of:",
            json_string_value(json_object_get(w->told, "model_type")),
            json_string_value(json_object_get(w->told, "source")));
    json_object_foreach(json_object_get(w->told, "unused"), key, value)
    {
        char *text = json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT | JSON_ENSURE_ASCII);
        fprintf(out, "%s%s=%.60s", between, key, text ? text : "?");
        free(text);
        between = ", ";
    }
    fputs(*between == ' ' ? " none" : "", out);
    if (!fclose(out)) table_prose(0, 2, line);
    free(line);
}

void describe_checkpoint(const heed_weights *w)
{
    json_t *value;
    size_t i;
    if (!w->told) return;
    printf("\n");
    print_unused(w);
    printf("\n");
    print_tensors(w);
    const json_t *ignored = json_object_get(w->told, "ignored");
    if (json_array_size(ignored)) printf("\ntensors that are not read:\n");
    json_array_foreach(ignored, i, value) printf("  %s\n", json_string_value(value));
}

json_t *describe_checkpoint_json(const heed_weights *w)
{
    if (!w || !w->told) return json_null();
    json_t *tensors = json_array(), *all = json_copy(w->told);
    for (const weights_item *i = w->items; i < w->items + w->count; i++) {
        json_t *shape = json_array();
        for (int d = 0; d < i->tensor.rank; d++)
            json_array_append_new(shape, json_integer(i->tensor.dim[d]));
        json_array_append_new(tensors, json_pack("{s:s, s:s, s:o, s:s}", "name", i->name, "dtype",
                                                 weights_type(i->tensor.dtype), "shape", shape,
                                                 "origin", i->origin));
    }
    json_object_set_new(all, "tensors", tensors);
    return all;
}
