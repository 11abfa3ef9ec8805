/* SPDX-License-Identifier: MIT
 *
 * growth.c: how the time of a spec on a path grows with the one size that differs between the
 * shapes: the exponent p of time = c * size^p, by least squares of the logarithms.
 */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "bench/bench.h"
#include "bench/case/case.h"
#include "bench/case/network.h"
#include "command/shape.h"
#include "command/table.h"
#include "bench/report/growth.h"
#include "bench/report/report.h"
#include "bench/report/row.h"

int growth_same(const bench_case *a, const bench_case *b)
{
    return !strcmp(bench_case_spec(a), bench_case_spec(b)) &&
           !strcmp(bench_case_path(a)->name, bench_case_path(b)->name);
}

int growth_first(const bench *b, uint32_t i)
{
    if (!*b->varies || !b->cases[i].seconds) return 0;
    for (uint32_t before = 0; before < i; before++)
        if (growth_same(&b->cases[before], &b->cases[i])) return 0;
    return 1;
}

double growth_size(const bench *b, const bench_case *c)
{
    return (double)(c->network ? network_tokens(c->network)
                               : shape_number(&c->call->shape, b->varies));
}

double growth_exponent(const bench *b, uint32_t first)
{
    double n = 0, x_sum = 0, y_sum = 0, xx = 0, xy = 0;
    for (uint32_t i = first; i < b->n_cases; i++) {
        const bench_case *c = &b->cases[i];
        if (!growth_same(c, &b->cases[first])) continue;
        double x = log(growth_size(b, c)), y = log(row_sum_up(b, c).seconds);
        n++, x_sum += x, y_sum += y, xx += x * x, xy += x * y;
    }
    return (n * xy - x_sum * y_sum) / (n * xx - x_sum * x_sum);
}

void growth_table(const bench *b)
{
    static const table_column columns[] = {{"", 0, 16, 0}, {"", 0, 0, 0}, {"", 0, 0, 0}};
    table t = {.column = columns, .n_columns = 3, .headless = 1};
    char text[80];
    for (uint32_t i = 0; i < b->n_cases; i++) {
        if (!growth_first(b, i)) continue;
        if (!t.n) printf("\n");
        table_cell(&t, "%s", row_spec(&b->cases[i], text, sizeof text));
        table_cell(&t, "%s", bench_case_path(&b->cases[i])->name);
        table_cell(&t, "grows as %s^%.2f", b->varies, growth_exponent(b, i));
    }
    table_print(&t);
}
