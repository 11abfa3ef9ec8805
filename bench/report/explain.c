/* SPDX-License-Identifier: MIT
 *
 * explain.c: heed bench --explain: which algorithm an op chooses for a shape, and how long it would
 * take at the peaks of this machine. Nothing of the op is run; what it tells of itself
 * (heed.cost/1) and what the machine can do is all.
 */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "bench/bench.h"
#include "bench/case/case.h"
#include "bench/report/explain.h"
#include "bench/report/report.h"
#include "bench/report/row.h"

/* "8.59 G", or "-" for what is not known. */
static const char *amount(double x, char *text, size_t n)
{
    static const char prefix[] = " kMGTPE";
    int p = 0;
    if (!(x > 0)) return "-";
    for (; x >= 999.5 && prefix[p + 1]; p++) x /= 1000;
    snprintf(text, n, "%.*f %c", !p || x >= 99.95 ? 0 : x >= 9.995 ? 1 : 2, x, prefix[p]);
    return text;
}

static void print_case(const bench *b, const bench_case *c, const int *width)
{
    char flops[32], executed[32], bytes[32], time[32];
    report_row r = row_sum_up(b, c);
    printf("%-*s  %-*s  %-*s  %8s  %8s  %8s  %-5s  %9s  %s\n", width[0], bench_case_spec(c),
           width[1], bench_case_shape(c), width[2], bench_case_path(c)->name,
           amount(c->cost.flops, flops, sizeof flops),
           amount(c->cost.executed, executed, sizeof executed),
           amount(c->cost.bytes, bytes, sizeof bytes), r.limit,
           row_time(r.predicted, time, sizeof time), c->cost.algorithm ? c->cost.algorithm : "-");
}

void explain_table(const bench *b)
{
    int width[3];
    report_head(b);
    report_widths(b, width);
    printf("\n%-*s  %-*s  %-*s  %8s  %8s  %8s  %-5s  %9s  %s\n", width[0], "spec", width[1],
           "shape", width[2], "path", "flops", "executed", "bytes", "limit", "predicted",
           "algorithm");
    for (uint32_t i = 0; i < b->n_cases; i++) print_case(b, &b->cases[i], width);
}
