/* SPDX-License-Identifier: MIT
 *
 * table.h: tables that fit the terminal.
 *
 * On a terminal they are as wide as that, 80 columns where it does not say; anywhere else, into a
 * pipe or a file, nothing is cut, for it is read by programs. COLUMNS in the environment says a
 * width for both. What is too wide is mended by one rule: columns with a `least` are cut, ending in
 * "...", the widest first; if that is not enough, columns with a `leave` are left out, 1 before 2.
 * JSON and what is not in a table are never cut.
 */
#ifndef HEED_COMMAND_TABLE_H
#define HEED_COMMAND_TABLE_H

#include <limits.h>

#include "base/local.h"

#define TABLE_COLUMNS 16
#define TABLE_NO_WIDTH (INT_MAX / 2) /* what is written there has no end of a line to fit */

typedef struct table_column {
    const char *head;
    int right; /* numbers stand at the right */
    int least; /* it may be cut to so many columns; 0: it is not */
    int leave; /* its turn to be left out; 0: never */
} table_column;

typedef struct table {
    const table_column *column;
    uint32_t n_columns;
    int indent, headless;
    char **cell; /* row by row; NULL: none, the first of its row is a line of its own */
    uint32_t n;
    int failed; /* no memory */
} table;

/* Columns of what is behind a descriptor. */
int table_width(int fd);
/* The next cell of a row. */
void table_cell(table *t, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* A line between rows. */
void table_line(table *t, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* To standard output, and frees it. HEED_E_MEMORY if something is missing for want of memory. */
int32_t table_print(table *t);
/* The same without printing it. */
int32_t table_clear(table *t);

/* A text of one line to standard output, its first line beginning at column `at`; what does not fit
 * goes on, word by word, below it at column `indent`. An end of line follows. */
void table_prose(int at, int indent, const char *text);
/* Lines such as those of a usage, "  --option VALUE  what it does": one that is too long goes on
 * below its second part. */
void table_usage(const char *text);

#endif
