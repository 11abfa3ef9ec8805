/* SPDX-License-Identifier: MIT
 *
 * matrix.c: heed matrix: which ops compose in a network, found by running small ones: every
 * attention with every position and norm, and every pair with a wiring, a feed-forward, a place or
 * a route.
 *
 * What one network does is for matrix_cell.c; here is which there are, and the tables.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "base/grow.h"
#include "check/matrix_cell.h"
#include "command/command.h"
#include "command/interrupt.h"
#include "command/options.h"
#include "command/probe.h"
#include "command/progress.h"
#include "command/table.h"

static const char usage[] =
    "usage: heed matrix [OP] [--pairs] [--json | --markdown] [OPTION ...]\n"
    "\n"
    "  OP          only networks with this op: alibi, attention/window\n"
    "  --pairs     as few networks as have every pair of all of these once\n"
    "  --json      an array of {attention, position, norm, residual, feedforward, place, route, "
    "result, reason, spec}\n"
    "  --markdown  the page docs/matrix.md\n"
    "  --isa PATH  use no more than scalar, avx2, avx512, neon, avx512_bf16 or neon_bf16\n"
    "\n"
    "Each network has random weights and is run whole, in parts and by single tokens. The exit "
    "status is 1 if one of\n"
    "them fails; what is refused is no failure.\n";

static const char *const words[CELL_RESULTS] = {"yes", "near", "whole", "no", "FAILS"};
static const char *const meanings[CELL_RESULTS] = {
    "a text fed whole, in parts and by single tokens has the same logits, bit for bit",
    "the same, within 1e-4 of the largest logit", "it runs, but a text must be fed at once",
    "it is refused, with the reason", "it crashes, hangs, or its parts disagree"};

typedef struct request {
    heed_options options;
    const char *op;
    int pairs, json, markdown;
} request;

typedef struct matrix {
    factor factor[FACTORS];
    cell *cells;
    uint32_t n;
    const char **reasons; /* those of the cells, each once */
    uint32_t n_reasons;
    int pairs, failed;
} matrix;

/* ---- which networks ---- */

/* Pairs of factors that are varied together, beside attention x position x norm. */
static const uint32_t tables[][2] = {
    {BY_ATTENTION, BY_POSITION}, {BY_ATTENTION, BY_WIRING},     {BY_ATTENTION, BY_FEEDFORWARD},
    {BY_POSITION, BY_WIRING},    {BY_POSITION, BY_FEEDFORWARD}, {BY_NORM, BY_WIRING},
    {BY_NORM, BY_FEEDFORWARD},   {BY_WIRING, BY_FEEDFORWARD},   {BY_ATTENTION, BY_PLACE},
    {BY_POSITION, BY_PLACE},     {BY_WIRING, BY_PLACE},         {BY_ATTENTION, BY_ROUTE},
    {BY_POSITION, BY_ROUTE},     {BY_NORM, BY_ROUTE},           {BY_WIRING, BY_ROUTE},
    {BY_FEEDFORWARD, BY_ROUTE},  {BY_PLACE, BY_ROUTE}};
#define TABLES (sizeof tables / sizeof *tables)

static void usual(const matrix *m, uint32_t choice[FACTORS])
{
    for (uint32_t k = 0; k < FACTORS; k++) choice[k] = m->factor[k].usual;
}

static void add(matrix *m, const uint32_t choice[FACTORS])
{
    for (uint32_t i = 0; i < m->n; i++)
        if (!memcmp(m->cells[i].choice, choice, sizeof m->cells->choice)) return;
    cell *slot = grow_append(&m->cells, &m->n, sizeof *slot);
    if (!slot) m->failed = 1;
    else memcpy(slot->choice, choice, sizeof slot->choice), slot->reason = NULL;
}

static void plan_all(matrix *m)
{
    uint32_t c[FACTORS];
    usual(m, c);
    for (c[0] = 0; c[0] < m->factor[0].n; c[0]++)
        for (c[1] = 0; c[1] < m->factor[1].n; c[1]++)
            for (c[2] = 0; c[2] < m->factor[2].n; c[2]++) add(m, c);
    for (size_t t = 1; t < TABLES; t++) {
        const uint32_t row = tables[t][0], column = tables[t][1];
        usual(m, c);
        for (c[row] = 0; c[row] < m->factor[row].n; c[row]++)
            for (c[column] = 0; c[column] < m->factor[column].n; c[column]++) add(m, c);
    }
}

typedef unsigned char pair_set[FACTORS][CHOICES][FACTORS][CHOICES];

/* How many pairs of choices are new; with `keep` they are not any more. */
static int new_pairs(pair_set seen, const uint32_t c[FACTORS], int keep)
{
    int n = 0;
    for (uint32_t k = 0; k < FACTORS; k++)
        for (uint32_t l = 0; l < k; l++) {
            n += !seen[k][c[k]][l][c[l]];
            if (keep) seen[k][c[k]][l][c[l]] = 1;
        }
    return n;
}

/* The next choice of all factors but the first two; 0 behind the last. */
static int next_rest(const matrix *m, uint32_t c[FACTORS])
{
    for (uint32_t k = BY_NORM; k < FACTORS; k++) {
        if (++c[k] < m->factor[k].n) return 1;
        c[k] = 0;
    }
    return 0;
}

/* The rest of a network of which attention and position are chosen: what has the most new pairs. */
static int best_rest(const matrix *m, pair_set seen, uint32_t best[FACTORS])
{
    uint32_t c[FACTORS] = {best[0], best[1]};
    int most = 0;
    do {
        const int n = new_pairs(seen, c, 0);
        if (n > most) most = n, memcpy(best, c, sizeof c);
    } while (next_rest(m, c));
    return most;
}

/* Greedily: until no network has a pair that is new. */
static void plan_pairs(matrix *m)
{
    static pair_set seen;
    uint32_t c[FACTORS], before;
    do {
        before = m->n;
        for (uint32_t i = 0; i < m->factor[0].n; i++)
            for (uint32_t j = 0; j < m->factor[1].n; j++) {
                c[0] = i, c[1] = j;
                if (!best_rest(m, seen, c)) continue;
                new_pairs(seen, c, 1);
                add(m, c);
            }
    } while (m->n > before && !m->failed);
}

/* Only those with the op. */
static int32_t select_op(matrix *m, const char *op, heed_error *error)
{
    const char *names[FACTORS * CHOICES];
    uint32_t n = 0, kept = 0;
    for (uint32_t k = 0; k < FACTORS; k++)
        for (uint32_t i = 0; i < m->factor[k].n; i++) {
            names[n++] = matrix_name(&m->factor[k], i);
            if (strcmp(op, m->factor[k].id[i]) && strcmp(op, names[n - 1])) continue;
            for (uint32_t c = 0; c < m->n; c++)
                if (m->cells[c].choice[k] == i) m->cells[kept++] = m->cells[c];
            m->n = kept;
            return HEED_OK;
        }
    const char *near = error_nearest(op, names, n);
    return error_set(error, HEED_E_ARGUMENT,
                     "no attention, position, norm, wiring or feed-forward is called " QUOTE "%s%s",
                     QUOTED(op), near ? "; nearest is " : "", near ? near : "");
}

/* ---- running them ---- */

static uint32_t reason_number(matrix *m, const char *reason)
{
    for (uint32_t i = 0; i < m->n_reasons; i++)
        if (!strcmp(m->reasons[i], reason)) return i + 1;
    const char **slot = grow_append(&m->reasons, &m->n_reasons, sizeof *slot);
    if (!slot) return m->failed = 1, 0;
    *slot = reason;
    return m->n_reasons;
}

static int32_t run_all(matrix *m, heed_engine *engine, heed_error *error)
{
    interrupt_catch();
    for (uint32_t i = 0; i < m->n; i++) {
        cell *c = &m->cells[i];
        progress_show((double)i / m->n, "network %u of %u, %s with %s", i + 1, m->n,
                      matrix_name(&m->factor[0], c->choice[0]),
                      matrix_name(&m->factor[1], c->choice[1]));
        const int stopped = matrix_run(engine, m->factor, c);
        if (stopped || interrupt_seen)
            return progress_end(), error_set(error, HEED_E_CANCELLED, "interrupted");
    }
    progress_end();
    return HEED_OK;
}

/* ---- the tables ---- */

/* Whether a cell belongs to the field of a table: the factors that it does not vary are usual, but
 * for the norms of the first. */
static int is_in_field(const matrix *m, size_t t, const cell *c, uint32_t row, uint32_t column)
{
    for (uint32_t k = 0; k < FACTORS; k++)
        if (k == tables[t][0] || k == tables[t][1]) {
            if (c->choice[k] != (k == tables[t][0] ? row : column)) return 0;
        } else if (!m->pairs && c->choice[k] != m->factor[k].usual && !(!t && k == BY_NORM)) {
            return 0;
        }
    return 1;
}

/* "yes", "no 3", or, of several that differ, "2 of 3". */
static void field(matrix *m, size_t t, uint32_t row, uint32_t column, char text[32])
{
    const cell *worst = NULL;
    uint32_t all = 0, work = 0;
    for (uint32_t i = 0; i < m->n; i++) {
        const cell *c = &m->cells[i];
        if (!is_in_field(m, t, c, row, column)) continue;
        all++, work += c->result <= CELL_WHOLE;
        if (!worst || c->result > worst->result) worst = c;
    }
    snprintf(text, 32, "%s", worst ? words[worst->result] : "");
    if (!worst || !worst->reason) return;
    const uint32_t number = reason_number(m, worst->reason);
    if (work && work < all) snprintf(text, 32, "%u of %u, %u", work, all, number);
    else snprintf(text, 32, "%s %u", words[worst->result], number);
}

/* Rows and columns of a table that have a field: with OP not all have. */
typedef struct extent {
    uint32_t row[CHOICES], column[CHOICES], rows, columns;
} extent;

static void find_extent(const matrix *m, size_t t, extent *e)
{
    unsigned char is_row[CHOICES] = {0}, is_column[CHOICES] = {0};
    for (uint32_t i = 0; i < m->n; i++) {
        const uint32_t row = m->cells[i].choice[tables[t][0]],
                       column = m->cells[i].choice[tables[t][1]];
        if (is_in_field(m, t, &m->cells[i], row, column)) is_row[row] = is_column[column] = 1;
    }
    e->rows = e->columns = 0;
    for (uint32_t i = 0; i < CHOICES; i++) {
        if (is_row[i]) e->row[e->rows++] = i;
        if (is_column[i]) e->column[e->columns++] = i;
    }
}

static void print_table(matrix *m, size_t t)
{
    const factor *rows = &m->factor[tables[t][0]], *columns = &m->factor[tables[t][1]];
    extent e;
    find_extent(m, t, &e);
    if (!e.rows) return;
    const uint32_t n = e.columns < TABLE_COLUMNS ? e.columns : TABLE_COLUMNS - 1;
    table_column column[TABLE_COLUMNS] = {{rows->key, 0, 12, 0}};
    for (uint32_t c = 0; c < n; c++)
        column[c + 1] = (table_column){matrix_name(columns, e.column[c]), 0, 6, 0};
    table out = {.column = column, .n_columns = n + 1};
    for (uint32_t r = 0; r < e.rows; r++) {
        table_cell(&out, "%s", matrix_name(rows, e.row[r]));
        for (uint32_t c = 0; c < n; c++) {
            char text[32];
            field(m, t, e.row[r], e.column[c], text);
            table_cell(&out, "%s", text);
        }
    }
    printf("%s x %s\n", rows->key, columns->key);
    m->failed |= table_print(&out) != HEED_OK;
    putchar('\n');
}

static void count_results(const matrix *m, uint32_t count[CELL_RESULTS])
{
    memset(count, 0, CELL_RESULTS * sizeof *count);
    for (uint32_t i = 0; i < m->n; i++) count[m->cells[i].result]++;
}

static void print_text(matrix *m)
{
    uint32_t count[CELL_RESULTS];
    for (size_t t = 0; t < TABLES; t++) print_table(m, t);
    for (uint32_t i = 0; i < m->n_reasons; i++) {
        const int at = printf("%3u  ", i + 1);
        table_prose(at, at, m->reasons[i]);
    }
    count_results(m, count);
    printf("%s%u networks\n", m->n_reasons ? "\n" : "", m->n);
    for (uint32_t r = 0; r < CELL_RESULTS; r++)
        if (count[r]) printf("%5u %-5s  ", count[r], words[r]), table_prose(13, 13, meanings[r]);
}

/* ---- as a page, and as JSON ---- */

static void print_page_table(matrix *m, size_t t)
{
    const factor *rows = &m->factor[tables[t][0]], *columns = &m->factor[tables[t][1]];
    char text[32];
    extent e;
    find_extent(m, t, &e);
    if (!e.rows) return;
    printf("\n## `%s` and `%s`\n\n| |", rows->key, columns->key);
    for (uint32_t c = 0; c < e.columns; c++) printf(" %s |", matrix_name(columns, e.column[c]));
    printf("\n|---|");
    for (uint32_t c = 0; c < e.columns; c++) printf("---|");
    for (uint32_t r = 0; r < e.rows; r++) {
        printf("\n| **%s** |", matrix_name(rows, e.row[r]));
        for (uint32_t c = 0; c < e.columns; c++)
            field(m, t, e.row[r], e.column[c], text), printf(" %s |", text);
    }
    putchar('\n');
}

static void print_page(matrix *m)
{
    uint32_t count[CELL_RESULTS];
    count_results(m, count);
    printf(
        "# What composes\n\n"
        "Made by `heed matrix --markdown`, which runs a small network of random weights for "
        "every attention with\nevery position op and norm, and for every pair with a wiring, a "
        "feed-forward, a place, which is the decoder,\nan encoder or the attention between the "
        "two, or a route, by which tokens go through all of each layer, through\nsome of its "
        "experts (a router), or through no more layers than they need (halting): %u networks. In "
        "the first table\na field stands for all norms; in the others, what a table does not vary "
        "is `%s`, `position=%s`, `norm=%s`,\n`residual=%s` and `%s`, in a decoder, by route "
        "`all`. A number is that of the reason, at the end of the page.\n\n",
        m->n, matrix_name(&m->factor[0], m->factor[0].usual),
        matrix_name(&m->factor[1], m->factor[1].usual),
        matrix_name(&m->factor[2], m->factor[2].usual),
        matrix_name(&m->factor[3], m->factor[3].usual),
        matrix_name(&m->factor[4], m->factor[4].usual));
    printf("| | networks | |\n|---|---|---|\n");
    for (uint32_t r = 0; r < CELL_RESULTS; r++)
        if (count[r]) printf("| %s | %u | %s |\n", words[r], count[r], meanings[r]);
    for (size_t t = 0; t < TABLES; t++) print_page_table(m, t);
    printf("\n## Reasons\n\n");
    for (uint32_t i = 0; i < m->n_reasons; i++) printf("%u. %s\n", i + 1, m->reasons[i]);
}

static json_t *json_of(const matrix *m)
{
    json_t *all = json_array();
    char spec[1024];
    int failed = 0;
    for (uint32_t i = 0; i < m->n; i++) {
        const cell *c = &m->cells[i];
        json_t *one = json_object();
        for (uint32_t k = 0; k < FACTORS; k++)
            failed |= json_object_set_new(one, m->factor[k].key,
                                          json_string(m->factor[k].id[c->choice[k]]));
        matrix_spec(m->factor, c, spec, sizeof spec);
        failed |=
            json_object_set_new(one, "result", json_string(words[c->result])) ||
            json_object_set_new(one, "reason", c->reason ? json_string(c->reason) : json_null()) ||
            json_object_set_new(one, "spec", json_string(spec)) || json_array_append_new(all, one);
    }
    return failed ? json_decref(all), NULL : all;
}

/* ---- the command ---- */

static int read_op(void *to, const char *value)
{
    request *r = to;
    if (r->op) return options_usage("matrix takes one op, not also " QUOTE, QUOTED(value));
    r->op = value;
    return 0;
}

static int tell(matrix *m, const request *r)
{
    int status = 0;
    if (r->json) status = command_json(json_of(m));
    else if (r->markdown) print_page(m);
    else print_text(m);
    for (uint32_t i = 0; i < m->n; i++) {
        char spec[1024];
        if (m->cells[i].result != CELL_FAILS) continue;
        matrix_spec(m->factor, &m->cells[i], spec, sizeof spec);
        fprintf(stderr, "heed: %s: %s\n", spec,
                m->cells[i].reason ? m->cells[i].reason : "out of memory");
        status = 1;
    }
    return status;
}

int command_matrix(int argc, char **argv)
{
    static const option options[] = {
        {"", 1, .read = read_op, .values = "OP"},
        {"--pairs", 0, .at = offsetof(request, pairs)},
        {"--json", 0, .at = offsetof(request, json)},
        {"--markdown", 0, .at = offsetof(request, markdown)},
        {"--isa", 1, .at = offsetof(request, options.isa), .values = OPTIONS_PATHS},
        {0}};
    /* one thread: a child is forked for each network */
    request r = {.options = {.size = sizeof r.options, .threads = 1, .pinning = HEED_PIN_NONE}};
    matrix m = {.n = 0};
    heed_error error = {0};
    int status = options_parse(argc, argv, usage, options, &r, NULL);
    if (status) return status;
    if (r.json && r.markdown) return options_usage("--json and --markdown exclude each other");
    heed_engine *engine = inspect_engine(&r.options, probe_plugins(), &error);
    if (!engine) return command_fail(&error);
    matrix_factors(engine, m.factor);
    m.pairs = r.pairs;
    if (r.pairs) plan_pairs(&m);
    else plan_all(&m);
    int32_t failed = m.failed ? error_memory(&error) : HEED_OK;
    if (!failed && r.op) failed = select_op(&m, r.op, &error);
    if (!failed) failed = run_all(&m, engine, &error);
    status = failed ? command_fail(&error) : tell(&m, &r);
    if (!status && m.failed) error_memory(&error), status = command_fail(&error);
    for (uint32_t i = 0; i < m.n; i++) free(m.cells[i].reason);
    free(m.cells);
    free(m.reasons);
    heed_engine_free(engine);
    return status;
}
