/* SPDX-License-Identifier: MIT
 *
 * plan_print.c: a plan as tables on a terminal.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "command/sheet.h"
#include "command/parts.h"
#include "command/plan.h"

#define NETWORKS 8 /* columns beside the first, at most */

/* ---- cells ---- */

static void cell_tokens(table *t, int64_t n)
{
    if (n == FIELD_ALL) table_cell(t, "all");
    else table_cell(t, "%lld", (long long)n);
}

static void cell_amount(table *t, double x, const char *why)
{
    char text[32];
    table_cell(t, "%s", *why ? "-" : parts_amount(x, text, sizeof text));
}

/* ---- the networks ---- */

static void print_specs(const sheet *p, const plan_network *n, uint32_t count)
{
    char text[512];
    for (uint32_t i = 0; i < count; i++) {
        sheet_item(p, n[i].name, n[i].given);
        if (!*n[i].taken) continue;
        snprintf(text, sizeof text, "%s where it is silent: %s",
                 n[i].guessed_width ? "64 channels a head, and" : "Taken", n[i].taken);
        sheet_item(p, "", text);
    }
}

static void add_layer(table *t, const plan_network *n, int64_t first, int64_t last)
{
    const field_layer *l = &n->field.layer[last];
    table_cell(t, "%s", n->name);
    if (last > first) table_cell(t, "%lld-%lld", (long long)first, (long long)last);
    else table_cell(t, "%lld", (long long)first);
    table_cell(t, "%s%s", l->op, l->bound ? ", at most" : "");
    cell_tokens(t, l->back);
    cell_tokens(t, l->ahead);
    table_cell(t, "%.0f", l->mean);
    table_cell(t, "%lld", (long long)l->most);
    if (l->reach) table_cell(t, "%lld", (long long)l->reach);
    else table_cell(t, "-");
}

/* Layers that look alike stand in one row, with what is seen through the last of them; once all is
 * seen nothing changes. */
static void print_layers(const sheet *p, const plan_network *n, uint32_t count)
{
    static const table_column columns[] = {{"", 0, 0, 0},           {"layers", 0, 0, 0},
                                           {"attention", 0, 12, 0}, {"looks back", 1, 0, 3},
                                           {"ahead", 1, 0, 2},      {"keys", 1, 0, 1},
                                           {"most", 1, 0, 4},       {"last token sees", 1, 0, 0}};
    table t = {.column = columns, .n_columns = 8};
    sheet_head(p, "field, layer by layer: a document of %lld tokens", (long long)n->field.tokens);
    for (uint32_t i = 0; i < count; i++) {
        const network_field *f = &n[i].field;
        for (int64_t first = 0, last; first < f->layers; first = last + 1) {
            for (last = first; last + 1 < f->layers && last + 1 != f->needed; last++)
                if (f->layer[last + 1].op != f->layer[first].op) break;
            add_layer(&t, &n[i], first, last);
        }
    }
    sheet_table(p, &t);
}

/* ---- side by side ---- */

typedef struct row {
    const char *head;
    void (*put)(table *t, const plan_network *n);
} row;

static void put_layers(table *t, const plan_network *n)
{
    cell_tokens(t, n->plan.number[STACK_LAYERS]);
}
static void put_heads(table *t, const plan_network *n)
{
    table_cell(t, "%lld x %lld", (long long)n->plan.number[STACK_HEADS],
               (long long)n->plan.number[STACK_HEAD_WIDTH]);
}
static void put_width(table *t, const plan_network *n)
{
    cell_tokens(t, n->plan.number[STACK_WIDTH]);
}
static void put_parameters(table *t, const plan_network *n)
{
    cell_amount(t, (double)n->parameters, "");
}
static void put_body(table *t, const plan_network *n)
{
    cell_amount(t, (double)(n->parameters - n->tables), "");
}
static void put_depth(table *t, const plan_network *n)
{
    const double depth = law_depth((double)n->plan.number[STACK_WIDTH]);
    table_cell(t, depth > 0 ? "%.0f" : "-", depth);
}
static void put_shape(table *t, const plan_network *n)
{
    double width;
    const double depth = law_shape((double)(n->parameters - n->tables), &width);
    if (depth > 0) table_cell(t, "%.0f x %.0f", depth, width);
    else table_cell(t, "-");
}
static void put_reach(table *t, const plan_network *n) { cell_tokens(t, n->field.reach); }
static void put_needed(table *t, const plan_network *n)
{
    if (n->field.needed) cell_tokens(t, n->field.needed);
    else table_cell(t, "too few");
}
static void put_far(table *t, const plan_network *n)
{
    if (n->field.far == FIELD_ALL) table_cell(t, "no end");
    else table_cell(t, "%s%lld", n->field.bound ? "<= " : "", (long long)n->field.far);
}
static void put_loose(table *t, const plan_network *n)
{
    if (n->field.loose) cell_tokens(t, n->field.loose);
    else table_cell(t, "-");
}
static void put_keys(table *t, const plan_network *n)
{
    double sum = 0;
    for (int64_t l = 0; l < n->field.layers; l++) sum += n->field.layer[l].mean;
    table_cell(t, "%.0f", sum / (double)n->field.layers);
}
static void put_prefill(table *t, const plan_network *n)
{
    cell_amount(t, n->cost.prefill_flops, n->cost.why);
}
static void put_token(table *t, const plan_network *n)
{
    cell_amount(t, n->cost.token_flops, n->cost.why);
}
static void put_training(table *t, const plan_network *n)
{
    cell_amount(t, 3 * n->cost.prefill_flops, n->cost.why);
}
static void put_prefill_bytes(table *t, const plan_network *n)
{
    cell_amount(t, n->cost.prefill_bytes, n->cost.why);
}
static void put_token_bytes(table *t, const plan_network *n)
{
    cell_amount(t, n->cost.token_bytes, n->cost.why);
}
static void put_state(table *t, const plan_network *n)
{
    cell_amount(t, n->cost.growing, n->cost.why);
}
static void put_bounded(table *t, const plan_network *n)
{
    cell_amount(t, n->cost.bounded, n->cost.why);
}

static const row rows[] = {
    {"layers", put_layers},
    {"heads x channels", put_heads},
    {"width", put_width},
    {"parameters", put_parameters},
    {"  without tables", put_body},
    {"layers that fit its width", put_depth},
    {"  that and a width, its size", put_shape},
    {"last token sees, tokens", put_reach},
    {"  layers until it is all", put_needed},
    {"  of any text, exact", put_far},
    {"  by the loose rule", put_loose},
    {"keys a query touches", put_keys},
    {"flops: read it", put_prefill},
    {"  decode the last", put_token},
    {"  train on it, 3x", put_training},
    {"bytes: read it", put_prefill_bytes},
    {"  decode the last", put_token_bytes},
    {"state bytes a token", put_state},
    {"  that stop growing", put_bounded},
};

static void cell_seconds(table *t, double s)
{
    if (!(s > 0)) table_cell(t, "-");
    else if (s < 1e-3) table_cell(t, "%.3g us", 1e6 * s);
    else if (s < 1) table_cell(t, "%.3g ms", 1e3 * s);
    else table_cell(t, "%.3g s", s);
}
static void put_least_read(table *t, const plan_network *n) { cell_seconds(t, n->least_read); }
static void put_least_token(table *t, const plan_network *n) { cell_seconds(t, n->least_token); }
static void put_least_train(table *t, const plan_network *n) { cell_seconds(t, n->least_train); }

static void put_read(table *t, const plan_network *n) { cell_seconds(t, n->read); }
static void put_decode(table *t, const plan_network *n) { cell_seconds(t, n->token); }
static void put_train(table *t, const plan_network *n) { cell_seconds(t, n->train); }

/* With a record of a machine; the last three if it has cases. */
static const row times[] = {
    {"least time: read it", put_least_read}, {"  decode the last", put_least_token},
    {"  train on it", put_least_train},      {"predicted: read it", put_read},
    {"  decode the last", put_decode},       {"  train on it", put_train}};

/* State with each codec, where any attention takes one. */
static void add_codecs(table *t, const plan_network *n, uint32_t count)
{
    const plan_cost *first = NULL;
    for (uint32_t i = 0; i < count; i++)
        if (!first && n[i].cost.n_coded && n[i].cost.coded->growing > 0) first = &n[i].cost;
    for (uint32_t k = 0; first && k < first->n_coded; k++) {
        table_cell(t, "  with %s", first->coded[k].id);
        for (uint32_t i = 0; i < count; i++) {
            const double bytes = n[i].cost.n_coded ? n[i].cost.coded[k].growing : 0;
            cell_amount(t, bytes, bytes > 0 ? "" : "-");
        }
    }
}

/* A column for each network; those that do not fit are left out, the last first. */
static void set_columns(table_column *columns, const char *head, const plan_network *n,
                        uint32_t count)
{
    columns[0] = (table_column){.head = head};
    for (uint32_t i = 0; i < count; i++)
        columns[1 + i] =
            (table_column){.head = n[i].name, .right = 1, .leave = i ? (int)(count - i) : 0};
}

static void print_machine(const sheet *p, const plan_machine *m)
{
    if (!*m->cpu) return;
    sheet_prose(
        p, 2,
        "times: at %.0f GFLOP/s, the peak of %s, and %.1f GB/s of memory, as measured on %s; no "
        "call is faster%s",
        m->gflops, m->path, m->gbps, m->cpu,
        m->n_cases ? "; predicted by how much longer its cases took" : "");
}

static void print_sides(const sheet *p, const plan_network *n, uint32_t count,
                        const plan_machine *machine)
{
    table_column columns[1 + NETWORKS];
    char head[64];
    snprintf(head, sizeof head, "a document of %lld", (long long)n->field.tokens);
    set_columns(columns, head, n, count);
    table t = {.column = columns, .n_columns = 1 + count};
    sheet_head(p, "%s", p->html ? "sizes and costs" : "");
    for (size_t r = 0; r < sizeof rows / sizeof *rows; r++) {
        table_cell(&t, "%s", rows[r].head);
        for (uint32_t i = 0; i < count; i++) rows[r].put(&t, &n[i]);
        if (rows[r].put == put_state) add_codecs(&t, n, count);
    }
    for (size_t r = 0; *machine->cpu && r < sizeof times / sizeof *times; r++) {
        if (r >= 3 && !machine->n_cases) break;
        table_cell(&t, "%s", times[r].head);
        for (uint32_t i = 0; i < count; i++) times[r].put(&t, &n[i]);
    }
    sheet_table(p, &t);
    print_machine(p, machine);
    for (uint32_t i = 0; i < count; i++)
        if (*n[i].cost.why) printf("%s: costs are not told: %s\n", n[i].name, n[i].cost.why);
}

/* ---- ranks ---- */

static void print_ranks(const sheet *p, const plan_network *n)
{
    static const table_column columns[] = {{"ranks", 1, 0, 0},  {"read it", 1, 0, 0},
                                           {"faster", 1, 0, 1}, {"efficiency", 1, 0, 0},
                                           {"waits", 1, 0, 0},  {"hidden", 1, 0, 0}};
    table t = {.column = columns, .n_columns = 6};
    const int64_t pay = plan_ranks_pay(n);
    if (!n->n_ranks) return;
    sheet_head(p, "%s on ranks: a simulation", n->name);
    for (uint32_t i = 0; i < n->n_ranks; i++) {
        const plan_ring_time *r = &n->ranks[i];
        table_cell(&t, "%lld", (long long)r->ranks);
        cell_seconds(&t, r->seconds);
        table_cell(&t, "%.2f x", n->ranks[0].seconds / r->seconds);
        table_cell(&t, "%.0f %%", 100 * r->efficiency);
        table_cell(&t, "%.0f %%", 100 * r->waits);
        table_cell(&t, "%.0f %%", 100 * r->hidden);
    }
    sheet_table(p, &t);
    if (pay)
        sheet_prose(p, 2, "beyond %lld ranks twice as many are less than 1.5 times as fast",
                    (long long)pay);
    else sheet_prose(p, 2, "twice as many are at least 1.5 times as fast up to here");
}

/* ---- laws ---- */

static void cell_loss(table *t, int which, const plan_network *n, const plan_text *text)
{
    const char *outside =
        law_outside(&laws[which], (double)n->parameters, text->unique, text->epochs);
    if (outside) table_cell(t, "%s", outside);
    else
        table_cell(t, "%.2f",
                   law_loss(&laws[which], (double)n->parameters, text->unique, text->epochs));
}

static void print_laws(const sheet *p, const plan_network *n, uint32_t count, const plan_text *text)
{
    table_column columns[1 + NETWORKS];
    char amount[32], from[96] = "", often[48] = "";
    set_columns(columns, "loss, nats a token", n, count);
    table t = {.column = columns, .n_columns = 1 + count};
    if (text->data)
        snprintf(from, sizeof from, " (%.60s, at %d bytes each)", text->data, PLAN_BYTES_OF_TOKEN);
    if (text->epochs > 1) snprintf(often, sizeof often, ", each read %g times", text->epochs);
    sheet_head(p, "laws, for %s tokens%s%s", parts_amount(text->unique, amount, sizeof amount),
               from, often);
    for (int which = 0; which < LAWS; which++) {
        table_cell(&t, "%s", laws[which].name);
        for (uint32_t i = 0; i < count; i++) cell_loss(&t, which, &n[i], text);
    }
    table_cell(&t, "tokens for 20 a parameter");
    for (uint32_t i = 0; i < count; i++) cell_amount(&t, 20 * (double)n[i].parameters, "");
    sheet_table(p, &t);
    for (int which = 0; which < LAWS; which++) {
        char a[32], b[32], c[32], d[32];
        const law *l = &laws[which];
        sheet_prose(p, 2, "%s, %s: fitted on %s to %s parameters and %s to %s tokens%s", l->name,
                    l->source, parts_amount(l->least_parameters, a, sizeof a),
                    parts_amount(l->most_parameters, b, sizeof b),
                    parts_amount(l->least_tokens, c, sizeof c),
                    parts_amount(l->most_tokens, d, sizeof d),
                    l->data_star > 0 ? ", repeats among them" : "");
    }
}

/* ---- what else ---- */

static void print_others(const sheet *p, const plan_network *n, uint32_t count,
                         const plan_other *other, const plan_text *text)
{
    static const table_column columns[] = {
        {"a head of", 1, 0, 0},  {"", 0, 0, 0},        {"width", 1, 0, 0},
        {"parameters", 1, 0, 0}, {"read it", 1, 0, 1}, {"data-constrained loss", 1, 0, 0}};
    table t = {.column = columns, .n_columns = 6};
    for (uint32_t i = 0; i < count; i++)
        for (int k = 0; k < 3 && n[i].guessed_width; k++) {
            const plan_network *x = k == 1 ? &n[i] : other[i].at[k / 2];
            table_cell(&t, "%lld", (long long)x->plan.number[STACK_HEAD_WIDTH]);
            table_cell(&t, "%s", n[i].name);
            cell_tokens(&t, x->plan.number[STACK_WIDTH]);
            put_parameters(&t, x);
            put_prefill(&t, x);
            if (text->unique > 0) cell_loss(&t, LAW_DATA, x, text);
            else table_cell(&t, "-");
        }
    if (t.n) sheet_head(p, "if a head had other than 64 channels");
    if (t.n) sheet_table(p, &t);
}

static void print_suggestions(const sheet *p, const plan_network *n, uint32_t count)
{
    static const table_column columns[] = {{"as large as", 0, 0, 0},
                                           {"layers", 1, 0, 0},
                                           {"heads", 1, 0, 0},
                                           {"width", 1, 0, 0},
                                           {"without tables, about", 1, 0, 0}};
    table t = {.column = columns, .n_columns = 5};
    plan_shape shape[PLAN_SHAPES];
    sheet_head(p, "other shapes of about that size");
    for (uint32_t i = 0; i < count; i++) {
        const uint32_t found = plan_suggest(&n[i], shape);
        for (uint32_t k = 0; k < found; k++) {
            table_cell(&t, "%s", n[i].name);
            cell_tokens(&t, shape[k].layers);
            cell_tokens(&t, shape[k].heads);
            cell_tokens(&t, shape[k].width);
            cell_amount(&t, shape[k].body, "");
        }
    }
    sheet_table(p, &t);
}

void plan_print(const sheet *p, const plan_network *n, uint32_t count, const plan_other *other,
                const plan_text *text, int suggest)
{
    char *verdict = plan_verdict(n, count, text);
    print_specs(p, n, count);
    print_layers(p, n, count);
    print_sides(p, n, count, text->machine);
    for (uint32_t i = 0; i < count; i++) print_ranks(p, &n[i]);
    if (text->unique > 0) print_laws(p, n, count, text);
    print_others(p, n, count, other, text);
    if (suggest) print_suggestions(p, n, count);
    sheet_head(p, "%s", p->html ? "verdict" : "");
    if (verdict) sheet_prose(p, 0, "%s", verdict);
    free(verdict);
}
