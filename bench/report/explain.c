/* SPDX-License-Identifier: MIT
 *
 * explain.c: heed bench --explain: which algorithm an op chooses for a shape, and how long it would
 * take at the peaks of this machine. Nothing of the op is run; what it tells of itself
 * (heed.cost/1) and what the machine can do is all.
 */
#include <math.h>
#include <stdio.h>

#include "bench/bench.h"
#include "bench/case/case.h"
#include "bench/report/explain.h"
#include "bench/report/report.h"
#include "bench/report/row.h"
#include "command/parts.h"
#include "command/table.h"

static const table_column columns[] = {
    {"spec", 0, 16, 0}, {"shape", 0, 12, 0},    {"path", 0, 0, 3},
    {"flops", 1, 0, 0}, {"executed", 1, 0, 2},  {"bytes", 1, 0, 0},
    {"limit", 0, 0, 1}, {"predicted", 1, 0, 0}, {"algorithm", 0, 10, 4},
};

static void add_case(const bench *b, const bench_case *c, table *t)
{
    char amount[32], time[32];
    report_row r = row_sum_up(b, c);
    table_cell(t, "%s", bench_case_spec(c));
    table_cell(t, "%s", bench_case_shape(c));
    table_cell(t, "%s", bench_case_path(c)->name);
    table_cell(t, "%s", parts_amount(c->cost.flops, amount, sizeof amount));
    table_cell(t, "%s", parts_amount(c->cost.executed, amount, sizeof amount));
    table_cell(t, "%s", parts_amount(c->cost.bytes, amount, sizeof amount));
    table_cell(t, "%s", r.limit);
    table_cell(t, "%s", row_time(r.predicted, time, sizeof time));
    table_cell(t, "%s", c->cost.algorithm ? c->cost.algorithm : "-");
}

void explain_table(const bench *b)
{
    table t = {.column = columns, .n_columns = sizeof columns / sizeof *columns};
    report_head(b);
    printf("\n");
    for (uint32_t i = 0; i < b->n_cases; i++) add_case(b, &b->cases[i], &t);
    table_print(&t);
}
