/* SPDX-License-Identifier: MIT
 *
 * field_record.c: measured fields as JSON, and as rows of CSV. What is not known is null.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "base/error.h"
#include "command/field.h"
#include "command/file.h"

static json_t *number(double x) { return isfinite(x) ? json_real(x) : json_null(); }
static json_t *tokens(int64_t n) { return n < 0 ? json_null() : json_integer(n); }

static json_t *json_quartiles(quartiles q)
{
    return json_pack("{s:o, s:o, s:o, s:o}", "low", number(q.low), "median", number(q.median),
                     "high", number(q.high), "mean", number(q.mean));
}

static json_t *json_decay(decay d)
{
    return json_pack("{s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "half", tokens(d.half), "share_90",
                     tokens(d.most), "share_99", tokens(d.nearly_all), "floor", number(d.floor),
                     "scale", number(d.scale), "power", number(d.power), "explained",
                     number(d.explained));
}

/* ---- the rows: one list for both forms ---- */

typedef void put_row(void *to, const field_network *n, const char *measure, int64_t layer,
                     int64_t head, int64_t at, quartiles q);

static void rows_of_changes(const field_network *n, const field_text *t, put_row *put, void *to)
{
    for (int64_t k = 0; k < t->distances; k++) {
        if (n->logits) put(to, n, "loss_change", -1, -1, t->distance[k], field_change(n, t, -1, k));
        for (int64_t l = 0; l <= n->layers; l++)
            put(to, n, "layer_change", l, -1, t->distance[k], field_change(n, t, l, k));
    }
}

static void rows_of_slopes(const field_network *n, const field_text *t, put_row *put, void *to)
{
    for (int64_t k = 0; k < t->distances; k++)
        put(to, n, "gradient", -1, -1, t->distance[k], field_change(n, t, FIELD_SLOPE, k));
}

static void rows_of_lengths(const field_network *n, const field_text *t, put_row *put, void *to)
{
    for (int64_t c = 0; c < t->lengths; c++) {
        put(to, n, "loss", -1, -1, t->length[c],
            field_quartiles(field_row(n->loss, t, c), n->done[FIELD_TRUNCATION]));
        put(to, n, "loss_excess", -1, -1, t->length[c], field_excess(n, t, c));
    }
}

static void rows_of_positions(const field_network *n, const field_text *t, put_row *put, void *to)
{
    for (int64_t b = 0; b < FIELD_BLOCKS; b++)
        put(to, n, "loss_up_to_position", -1, -1, field_block_end(t, b), field_at(n, t, b));
}

static void rows_of_layers(const field_network *n, const field_text *t, put_row *put, void *to)
{
    const int64_t heads = field_has(n, FIELD_ATTENTION) ? n->heads : 0,
                  done = n->done[FIELD_SIMILARITY];
    for (int64_t l = 0; l < n->layers; l++)
        for (int64_t h = 0; h < heads; h++)
            put(to, n, "attention_distance", l + 1, h, -1,
                field_quartiles(field_row(n->reach, t, l * n->heads + h),
                                n->done[FIELD_ATTENTION]));
    for (int64_t l = 0; l <= n->layers && done; l++) {
        if (l)
            put(to, n, "cosine", l, -1, -1,
                field_quartiles(field_row(n->similarity, t, l - 1), done));
        put(to, n, "size", l, -1, -1, field_quartiles(field_row(n->size, t, l), done));
    }
}

static void all_rows(const field_network *n, const field_text *t, put_row *put, void *to)
{
    if (field_has(n, FIELD_PERTURBATION)) rows_of_changes(n, t, put, to);
    if (field_has(n, FIELD_GRADIENT)) rows_of_slopes(n, t, put, to);
    if (field_has(n, FIELD_TRUNCATION)) rows_of_lengths(n, t, put, to);
    if (field_has(n, FIELD_POSITION)) rows_of_positions(n, t, put, to);
    rows_of_layers(n, t, put, to);
}

/* ---- JSON ---- */

static void put_json(void *to, const field_network *n, const char *measure, int64_t layer,
                     int64_t head, int64_t at, quartiles q)
{
    json_t *row = json_quartiles(q);
    (void)n;
    json_object_set_new(row, "what", json_string(measure));
    if (layer >= 0) json_object_set_new(row, "layer", json_integer(layer));
    if (head >= 0) json_object_set_new(row, "head", json_integer(head));
    if (at >= 0) json_object_set_new(row, "tokens", json_integer(at));
    json_array_append_new(to, row);
}

static json_t *json_recl(const field_network *group, uint32_t count, uint32_t which,
                         const field_text *t)
{
    static const double hard[] = {0.1, 0.5, 1};
    json_t *all = json_array();
    for (uint32_t i = 0; i < count; i++)
        if (!field_has(&group[i], FIELD_TRUNCATION)) count = 0;
    for (int r = 0; r < 3 && count > 1; r++) {
        int64_t length = -1;
        field_recl(group, count, which, t, hard[r], &length, NULL);
        json_array_append_new(all, json_pack("{s:f, s:o}", "r", hard[r], "tokens", tokens(length)));
    }
    return all;
}

static json_t *json_network(const field_network *group, uint32_t count, uint32_t which,
                            const field_text *t)
{
    const field_network *n = &group[which];
    const int perturbed = field_has(n, FIELD_PERTURBATION);
    json_t *layers = json_array(), *rows = json_array(), *why = json_object();
    for (int64_t l = 0; l < n->layers; l++)
        json_array_append_new(
            layers, json_pack("{s:o, s:o}", "can_see", tokens(n->theory.layer[l].reach), "change",
                              perturbed ? json_decay(field_decay(n, t, l + 1)) : json_null()));
    for (int m = 0; m < FIELD_MEASURES; m++)
        if (*n->why[m]) json_object_set_new(why, field_measures[m], json_string(n->why[m]));
    if (*n->unweighed) json_object_set_new(why, "attention_of_a_layer", json_string(n->unweighed));
    all_rows(n, t, put_json, rows);
    return json_pack(
        "{s:s, s:I, s:I, s:I, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "model", n->path, "layers",
        (json_int_t)n->layers, "heads", (json_int_t)n->heads, "can_see",
        (json_int_t)n->theory.reach, "loss_change",
        perturbed && n->logits ? json_decay(field_decay(n, t, -1)) : json_null(), "gradient",
        field_has(n, FIELD_GRADIENT) ? json_decay(field_decay(n, t, FIELD_SLOPE)) : json_null(),
        "enough",
        field_has(n, FIELD_TRUNCATION) ? tokens(t->length[field_enough(n, t)]) : json_null(),
        "relative_effective_context", json_recl(group, count, which, t), "by_layer", layers,
        "not_measured", why, "rows", rows);
}

json_t *field_json(const field_network *n, uint32_t count, const field_text *t)
{
    json_t *networks = json_array();
    for (uint32_t i = 0; i < count; i++)
        json_array_append_new(networks, json_network(n, count, i, t));
    return json_pack("{s:s, s:I, s:I, s:I, s:I, s:o}", "text", t->path, "context",
                     (json_int_t)t->context, "places", (json_int_t)t->places, "step",
                     (json_int_t)t->step, "seed", (json_int_t)t->seed, "networks", networks);
}

/* ---- CSV ---- */

static void put_field(FILE *out, const char *text)
{
    const int plain = !text[strcspn(text, "\",\n\r")];
    if (!plain) fputc('"', out);
    for (; *text; text++) {
        if (*text == '"') fputc('"', out);
        fputc(*text, out);
    }
    if (!plain) fputc('"', out);
}

static void put_csv(void *to, const field_network *n, const char *measure, int64_t layer,
                    int64_t head, int64_t at, quartiles q)
{
    FILE *out = to;
    const int64_t where[] = {layer, head, at};
    const double x[] = {q.low, q.median, q.high, q.mean};
    put_field(out, n->path);
    fprintf(out, ",%s", measure);
    for (int i = 0; i < 3; i++)
        if (where[i] >= 0) fprintf(out, ",%lld", (long long)where[i]);
        else fputc(',', out);
    for (int i = 0; i < 4; i++)
        if (isfinite(x[i])) fprintf(out, ",%.9g", x[i]);
        else fputc(',', out);
    fputc('\n', out);
}

int32_t field_csv(const field_network *n, uint32_t count, const field_text *t, const char *path,
                  heed_error *error)
{
    char *text = NULL;
    size_t length;
    FILE *out = open_memstream(&text, &length);
    if (!out) return error_memory(error);
    fprintf(out, "model,what,layer,head,tokens,low,median,high,mean\n");
    for (uint32_t i = 0; i < count; i++) all_rows(&n[i], t, put_csv, out);
    int32_t failed = ferror(out) ? error_memory(error) : HEED_OK;
    if (fclose(out)) failed = error_memory(error);
    if (!failed) failed = file_write(path, text, length, error);
    free(text);
    return failed;
}
