/* SPDX-License-Identifier: MIT
 *
 * field_print.c: measured fields as tables on a terminal.
 */
#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "command/field.h"
#include "command/table.h"

#define SHOWN 4 /* layers of which each distance is shown; the table of layers has all */

static void cell_number(table *t, double x)
{
    if (x != x) table_cell(t, "-");
    else table_cell(t, x != 0 && fabs(x) < 1e-3 ? "%.1e" : "%.3g", x);
}

/* A sentence, in lines that fit. */
__attribute__((format(printf, 1, 2))) static void say(const char *format, ...)
{
    char text[640];
    va_list list;
    va_start(list, format);
    vsnprintf(text, sizeof text, format, list);
    va_end(list);
    table_prose(0, 0, text);
}

static void cell_tokens(table *t, int64_t n)
{
    if (n < 0) table_cell(t, "-");
    else table_cell(t, "%lld", (long long)n);
}

/* ---- perturbation ---- */

/* Layers from the first to the last, SHOWN or all. */
static int64_t shown_layer(const field_network *n, int64_t i)
{
    return n->layers <= SHOWN ? i + 1 : 1 + i * (n->layers - 1) / (SHOWN - 1);
}

static void print_distances(const field_network *n, const field_text *t)
{
    char head[SHOWN][32];
    table_column columns[4 + SHOWN] = {{"distance", 1, 0, 0},
                                       {"lower quartile", 1, 0, 1},
                                       {"loss, median", 1, 0, 0},
                                       {"upper quartile", 1, 0, 1}};
    const int64_t shown = n->layers < SHOWN ? n->layers : SHOWN;
    const int first = n->logits ? 4 : 1;
    for (int64_t i = 0; i < shown; i++) {
        snprintf(head[i], sizeof head[i], "layer %lld", (long long)shown_layer(n, i));
        columns[first + i] = (table_column){head[i], 1, 0, i && i < shown - 1 ? 2 : 0};
    }
    table a = {.column = columns, .n_columns = (uint32_t)(first + shown)};
    printf("\n");
    say("perturbation: another token so far back changes %swhat flows out of a layer at the last "
        "token, relative to its size",
        n->logits ? "the loss of the next token, in nats, and " : "");
    for (int64_t k = 0; k < t->distances; k++) {
        cell_tokens(&a, t->distance[k]);
        if (n->logits) {
            const quartiles loss = field_change(n, t, -1, k);
            cell_number(&a, loss.low);
            cell_number(&a, loss.median);
            cell_number(&a, loss.high);
        }
        for (int64_t i = 0; i < shown; i++)
            cell_number(&a, field_change(n, t, shown_layer(n, i), k).median);
    }
    table_print(&a);
}

static void print_decay(const field_network *n, const field_text *t, int64_t layer)
{
    const decay d = field_decay(n, t, layer);
    const char *what = layer == FIELD_SLOPE ? "the sum of all gradients"
                       : layer < 0          ? "the change of the loss"
                                            : "the change of the last layer";
    if (d.half < 0) {
        say("There is nothing in %s.", what);
        return;
    }
    say("Of %s, half comes from the last %lld of the tokens, 90 %% from the last "
        "%lld, "
        "99 %% from the last %lld.",
        what, (long long)d.half + 1, (long long)d.most + 1, (long long)d.nearly_all + 1);
    if (d.explained > 0.5)
        say("It falls off as %.2g + %.2g (r + 1)^-%.2f, which explains %.0f %% of the variance of "
            "its "
            "logarithm.",
            d.floor, d.scale, d.power, 100 * d.explained);
    else say("It does not fall off as a power of the distance.");
}

/* ---- gradient ---- */

static void print_slopes(const field_network *n, const field_text *t)
{
    static const table_column columns[] = {{"distance", 1, 0, 0},
                                           {"lower quartile", 1, 0, 1},
                                           {"gradient, median", 1, 0, 0},
                                           {"upper quartile", 1, 0, 1}};
    table a = {.column = columns, .n_columns = 4};
    printf("\n");
    say("gradient: the length of that of the loss of the next token to what flows into the first "
        "layer so far back, in nats for a step of length 1");
    for (int64_t k = 0; k < t->distances; k++) {
        const quartiles q = field_change(n, t, FIELD_SLOPE, k);
        cell_tokens(&a, t->distance[k]);
        cell_number(&a, q.low);
        cell_number(&a, q.median);
        cell_number(&a, q.high);
    }
    table_print(&a);
    print_decay(n, t, FIELD_SLOPE);
}

/* ---- truncation ---- */

static void print_lengths(const field_network *n, const field_text *t)
{
    static const table_column columns[] = {
        {"tokens seen", 1, 0, 0},    {"loss, nats", 1, 0, 0}, {"above that with all", 1, 0, 0},
        {"lower quartile", 1, 0, 1}, {"median", 1, 0, 1},     {"upper quartile", 1, 0, 1}};
    table a = {.column = columns, .n_columns = 6};
    printf("\n");
    say("truncation: the loss with the last tokens alone");
    for (int64_t c = 0; c < t->lengths; c++) {
        const quartiles more = field_excess(n, t, c);
        cell_tokens(&a, t->length[c]);
        table_cell(&a, "%.3f",
                   field_quartiles(field_row(n->loss, t, c), n->done[FIELD_TRUNCATION]).mean);
        table_cell(&a, "%.4f", more.mean);
        table_cell(&a, "%.4f", more.low);
        table_cell(&a, "%.4f", more.median);
        table_cell(&a, "%.4f", more.high);
    }
    table_print(&a);
    const int64_t enough = t->length[field_enough(n, t)];
    say("%lld token%s enough: from there on the loss is within %g nats of that with %lld.",
        (long long)enough, enough > 1 ? "s are" : " is", FIELD_NATS, (long long)t->context);
}

/* ---- positions ---- */

/* All networks side by side: how the loss goes on behind the context is a matter of comparison. */
static void print_positions(const field_network *n, uint32_t count, const field_text *t)
{
    char head[FIELD_NETWORKS][24];
    table_column columns[1 + FIELD_NETWORKS] = {{"up to position", 1, 0, 0}};
    uint32_t which[FIELD_NETWORKS], shown = 0;
    for (uint32_t i = 0; i < count; i++) {
        if (!field_has(&n[i], FIELD_POSITION)) continue;
        snprintf(head[i], sizeof head[i], count > 1 ? "network %u" : "loss, nats", i + 1);
        which[shown++] = i, columns[shown] = (table_column){head[i], 1, 0, 0};
    }
    if (!shown) return;
    table a = {.column = columns, .n_columns = 1 + shown};
    printf("\n");
    say("position: the mean loss at the positions of texts of %d contexts, in nats; a context has "
        "%lld tokens",
        FIELD_BEYOND, (long long)t->context);
    for (uint32_t i = 0; i < shown && count > 1; i++)
        say("network %u: %s", which[i] + 1, n[which[i]].path);
    for (int64_t b = 0; b < FIELD_BLOCKS; b++) {
        cell_tokens(&a, field_block_end(t, b));
        for (uint32_t i = 0; i < shown; i++)
            table_cell(&a, "%.3f", field_at(&n[which[i]], t, b).mean);
    }
    table_print(&a);
}

/* ---- layers ---- */

static quartiles of_head(const field_network *n, const field_text *t, int64_t layer, int64_t head)
{
    return field_quartiles(field_row(n->reach, t, layer * n->heads + head),
                           n->done[FIELD_ATTENTION]);
}

/* The heads of a layer by their medians: the nearest, the one in the middle, the farthest. */
static void cell_heads(table *a, const field_network *n, const field_text *t, int64_t layer)
{
    float *median = calloc((size_t)n->heads, sizeof *median);
    double least = NAN, most = NAN, middle = NAN;
    for (int64_t h = 0; median && field_has(n, FIELD_ATTENTION) && h < n->heads; h++) {
        const double x = of_head(n, t, layer, h).median;
        median[h] = (float)x;
        least = fmin(least, x), most = fmax(most, x);
    }
    if (least == least) middle = field_quartiles(median, n->heads).median;
    free(median);
    cell_number(a, least);
    cell_number(a, middle);
    cell_number(a, most);
}

static void cell_row(table *a, const field_network *n, const float *of, const field_text *t,
                     int64_t row)
{
    cell_number(a, of ? field_quartiles(field_row(of, t, row), n->done[FIELD_SIMILARITY]).median
                      : NAN);
}

static void print_layers(const field_network *n, const field_text *t)
{
    static const table_column columns[] = {
        {"layer", 1, 0, 0},          {"can see", 1, 0, 0},     {"half", 1, 0, 1},
        {"90 % of change", 1, 0, 0}, {"99 %", 1, 0, 1},        {"power", 1, 0, 2},
        {"nearest head", 1, 0, 2},   {"middle head", 1, 0, 1}, {"farthest", 1, 0, 1},
        {"cosine", 1, 0, 0},         {"size", 1, 0, 0}};
    table a = {.column = columns, .n_columns = 11};
    printf("\n");
    say("layers: tokens that it can see of %lld, and that its change comes from; how far back "
        "its heads weigh on average; how alike it is to the layer before, and its size",
        (long long)t->context);
    for (int64_t l = 0; l < n->layers; l++) {
        const decay d = field_has(n, FIELD_PERTURBATION) ? field_decay(n, t, l + 1)
                                                         : (decay){-1, -1, -1, NAN, NAN, NAN, NAN};
        const int64_t reach = n->theory.layer[l].reach;
        cell_tokens(&a, l + 1);
        cell_tokens(&a, reach ? reach : -1);
        cell_tokens(&a, d.half < 0 ? -1 : d.half + 1);
        cell_tokens(&a, d.most < 0 ? -1 : d.most + 1);
        cell_tokens(&a, d.nearly_all < 0 ? -1 : d.nearly_all + 1);
        cell_number(&a, d.explained > 0.5 ? d.power : NAN);
        cell_heads(&a, n, t, l);
        cell_row(&a, n, n->similarity, t, l);
        cell_row(&a, n, n->size, t, l + 1);
    }
    table_print(&a);
    if (*n->unweighed) say("%s.", n->unweighed);
}

/* ---- a group ---- */

static void print_group(const field_network *n, uint32_t count, const field_text *t)
{
    static const double hard[] = {0.1, 0.5, 1};
    static const table_column columns[] = {{"network", 0, 12, 0}, {"loss, nats", 1, 0, 0},
                                           {"enough", 1, 0, 0},   {"r = 0.1", 1, 0, 0},
                                           {"0.5", 1, 0, 0},      {"1", 1, 0, 0}};
    table a = {.column = columns, .n_columns = 6};
    printf("\n");
    say("relative effective context length of the group (arXiv 1901.02860, section 4.3), in "
        "steps of %lld, on the share r of the places that are hardest",
        (long long)t->step);
    for (uint32_t i = 0; i < count; i++) {
        table_cell(&a, "%s", n[i].path);
        table_cell(
            &a, "%.3f",
            field_quartiles(field_row(n[i].loss, t, t->lengths - 1), n[i].done[FIELD_TRUNCATION])
                .mean);
        cell_tokens(&a, t->length[field_enough(&n[i], t)]);
        for (int r = 0; r < 3; r++) {
            int64_t tokens = -1;
            field_recl(n, count, i, t, hard[r], &tokens, NULL);
            cell_tokens(&a, tokens);
        }
    }
    table_print(&a);
}

void field_print(const field_network *n, uint32_t count, const field_text *t)
{
    uint32_t scored = 0;
    for (uint32_t i = 0; i < count; i++) {
        if (i) printf("\n");
        say("%s: %lld layers of %lld heads; %lld places of %s, %lld tokens at a time", n[i].path,
            (long long)n[i].layers, (long long)n[i].heads, (long long)t->places, t->path,
            (long long)t->context);
        for (int m = 0; m < FIELD_MEASURES; m++)
            if (*n[i].why[m]) say("no %s: %s", field_measures[m], n[i].why[m]);
        if (field_has(&n[i], FIELD_PERTURBATION)) {
            print_distances(&n[i], t);
            print_decay(&n[i], t, n[i].logits ? -1 : n[i].layers);
        }
        if (field_has(&n[i], FIELD_GRADIENT)) print_slopes(&n[i], t);
        if (field_has(&n[i], FIELD_TRUNCATION)) print_lengths(&n[i], t), scored++;
        if (field_has(&n[i], FIELD_PERTURBATION) || field_has(&n[i], FIELD_ATTENTION) ||
            field_has(&n[i], FIELD_SIMILARITY))
            print_layers(&n[i], t);
    }
    print_positions(n, count, t);
    if (count > 1 && scored == count) print_group(n, count, t);
}
