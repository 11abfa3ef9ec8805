/* SPDX-License-Identifier: MIT
 *
 * twin_print.c: a study of twins as tables on a terminal, and as JSON.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "command/parts.h"
#include "command/twin.h"

/* ---- tables ---- */

static double epochs_of(const twin_study *s, int64_t step)
{
    return (double)(step * TWIN_BATCH * s->context) / (double)s->data.cut;
}

static void print_twins(const sheet *p, const twin_study *s)
{
    static const table_column columns[] = {{"twin of", 0, 0, 0},    {"parameters", 1, 0, 0},
                                           {"layers", 1, 0, 0},     {"heads", 1, 0, 2},
                                           {"width", 1, 0, 2},      {"rate", 1, 0, 1},
                                           {"least bits", 1, 0, 0}, {"at epoch", 1, 0, 0},
                                           {"gap there", 1, 0, 0},  {"at the end", 1, 0, 0}};
    table t = {.column = columns, .n_columns = 10};
    char amount[32];
    sheet_head(
        p,
        "twins on %.80s: %lld steps of %d texts of %lld tokens, which are %.3g epochs of the "
        "%lld %ss that are learned; %lld are held out",
        s->path, (long long)s->steps, TWIN_BATCH, (long long)s->context, epochs_of(s, s->steps),
        (long long)s->data.cut, twin_unit(s), (long long)(s->data.n - s->data.cut));
    for (uint32_t i = 0; i < s->count; i++)
        for (uint32_t k = 0; k < TWIN_SIZES; k++) {
            const twin_shape *shape = &s->shape[i][k];
            const twin_run *r = twin_whole(s, i, k);
            const twin_point *low = twin_lowest(r);
            table_cell(&t, "%s", s->network[i].name);
            table_cell(&t, "%s", parts_amount(shape->body, amount, sizeof amount));
            table_cell(&t, "%lld", (long long)shape->layers);
            table_cell(&t, "%lld", (long long)shape->heads);
            table_cell(&t, "%lld", (long long)shape->width);
            table_cell(&t, "%g", r->rate);
            table_cell(&t, low ? "%.3f" : "-", low ? low->valid : 0);
            table_cell(&t, low ? "%.3g" : "-", low ? epochs_of(s, low->step) : 0);
            table_cell(&t, low ? "%.3f" : "-", low ? low->valid - low->train : 0);
            table_cell(&t, low ? "%.3f" : "-", low ? r->point[r->points - 1].valid : 0);
        }
    sheet_table(p, &t);
}

static void cell_number(table *t, const twin_number *x, int digits)
{
    table_cell(t, "%.*f (%.*f to %.*f)", digits, x->value, digits, x->low, digits, x->high);
}

static void print_results(const sheet *p, const twin_study *s)
{
    static const table_column columns[] = {
        {"", 0, 0, 0},         {"least bits", 1, 0, 0}, {"after epochs", 1, 0, 0},
        {"it turns", 1, 0, 0}, {"gap there", 1, 0, 2},  {"at the end", 1, 0, 1},
        {"gap", 1, 0, 3}};
    table t = {.column = columns, .n_columns = 7};
    sheet_head(
        p,
        "predicted of the networks themselves, for up to %.3g epochs (90 %% of what chance would "
        "make of it)",
        s->epochs);
    for (uint32_t i = 0; i < s->count; i++) {
        const twin_result *r = &s->result[i];
        if (*r->why) {
            table_line(&t, "%s: %s", s->network[i].name, r->why);
            continue;
        }
        table_cell(&t, "%s", s->network[i].name);
        cell_number(&t, &r->best, 3);
        cell_number(&t, &r->turn, 1);
        table_cell(&t, "%.2f", r->turns);
        cell_number(&t, &r->gap, 3);
        cell_number(&t, &r->last, 3);
        cell_number(&t, &r->last_gap, 3);
    }
    sheet_table(p, &t);
}

/* How likely each gets below each other one. */
static void print_pairs(const sheet *p, const twin_study *s)
{
    table_column columns[1 + PENALTY_GROUPS] = {{"probability that it is below", 0, 0, 0}};
    table t = {.column = columns, .n_columns = 1 + s->count};
    for (uint32_t i = 0; i < s->count; i++)
        columns[1 + i] = (table_column){s->network[i].name, 1, 0, 0};
    for (uint32_t i = 0; i < s->count; i++) {
        table_cell(&t, "%s", s->network[i].name);
        for (uint32_t k = 0; k < s->count; k++) {
            const int told = i != k && !*s->result[i].why && !*s->result[k].why;
            table_cell(&t, told ? "%.2f" : "-", told ? s->result[i].better[k] : 0);
        }
    }
    sheet_head(p, "%s", "");
    sheet_table(p, &t);
}

void twin_print(const sheet *p, const twin_study *s)
{
    char *verdict = twin_verdict(s);
    print_twins(p, s);
    print_results(p, s);
    if (s->count > 1) print_pairs(p, s);
    sheet_prose(
        p, 0,
        "Another seed makes %.4f bits of difference, and the form leaves %.2f %% of the bits.",
        s->noise, 100 * s->spread);
    sheet_head(p, "%s", p->html ? "verdict of the twins" : "");
    if (verdict) sheet_prose(p, 0, "%s", verdict);
    free(verdict);
}

/* ---- JSON ---- */

static json_t *json_number(const twin_number *x, int known)
{
    return known ? json_pack("{s:f, s:f, s:f}", "value", x->value, "low", x->low, "high", x->high)
                 : json_null();
}

static json_t *json_result(const twin_study *s, uint32_t i)
{
    const twin_result *r = &s->result[i];
    const int known = !*r->why;
    json_t *better = json_array(), *twins = json_array();
    for (uint32_t k = 0; k < s->count; k++)
        json_array_append_new(better, known && isfinite(r->better[k]) && i != k
                                          ? json_real(r->better[k])
                                          : json_null());
    for (uint32_t k = 0; k < TWIN_SIZES; k++)
        json_array_append_new(twins,
                              json_pack("{s:s, s:f, s:I, s:I, s:I}", "spec", s->shape[i][k].spec,
                                        "parameters_without_tables", s->shape[i][k].body, "layers",
                                        (json_int_t)s->shape[i][k].layers, "heads",
                                        (json_int_t)s->shape[i][k].heads, "width",
                                        (json_int_t)s->shape[i][k].width));
    return json_pack("{s:s, s:s?, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "name",
                     s->network[i].name, "why", known ? NULL : r->why, "least_bits",
                     json_number(&r->best, known), "epochs", json_number(&r->turn, known), "turns",
                     known ? json_real(r->turns) : json_null(), "gap", json_number(&r->gap, known),
                     "last_bits", json_number(&r->last, known), "last_gap",
                     json_number(&r->last_gap, known), "better", better, "twins", twins);
}

json_t *twin_json(const twin_study *s)
{
    char *verdict = twin_verdict(s);
    json_t *networks = json_array();
    for (uint32_t i = 0; i < s->count; i++) json_array_append_new(networks, json_result(s, i));
    json_t *all =
        json_pack("{s:s, s:s, s:I, s:I, s:I, s:I, s:I, s:f, s:f, s:f, s:f, s:o, s:o, s:s?}", "text",
                  s->path, "unit", twin_unit(s), "learned", (json_int_t)s->data.cut, "held_out",
                  (json_int_t)(s->data.n - s->data.cut), "context", (json_int_t)s->context, "batch",
                  (json_int_t)TWIN_BATCH, "steps", (json_int_t)s->steps, "share", s->share,
                  "epochs", s->epochs, "noise", s->noise, "spread", s->spread, "networks", networks,
                  "runs", twin_record_list(s), "verdict", verdict);
    free(verdict);
    return all;
}
