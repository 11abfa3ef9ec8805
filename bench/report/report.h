/* SPDX-License-Identifier: MIT
 *
 * report.h: the table and the JSON record.
 */
#ifndef HEED_BENCH_REPORT_H
#define HEED_BENCH_REPORT_H

#include "bench/bench.h"

void report_head(const bench *b); /* the machine and its peaks */
void report_table(const bench *b);
int32_t report_write(const bench *b, const char *path, heed_error *error); /* the record */

#endif
