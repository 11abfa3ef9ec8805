/* SPDX-License-Identifier: MIT
 *
 * sheet.h: what a command tells, in tables and sentences: on the terminal, or as one page of HTML that
 * needs no other file, for light and dark.
 */
#ifndef HEED_COMMAND_SHEET_H
#define HEED_COMMAND_SHEET_H

#include <stdio.h>

#include "command/table.h"

typedef struct sheet {
    FILE *html; /* NULL: standard output, as text */
} sheet;

/* What stands above the next table; an empty line on the terminal if there is no text. */
void sheet_head(const sheet *p, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Frees the table's cells. */
int32_t sheet_table(const sheet *p, table *t);
/* A sentence; on the terminal its lines but the first begin at column `indent`. */
void sheet_prose(const sheet *p, int indent, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* The same with a name in front of it. */
void sheet_item(const sheet *p, const char *name, const char *text);

/* The frame of a page of HTML; `title` is the command line's, and may be anything. */
void sheet_begin(const sheet *p, const char *title);
void sheet_end(const sheet *p);

#endif
