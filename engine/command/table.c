/* SPDX-License-Identifier: MIT
 *
 * table.c: tables and texts that fit the terminal.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/grow.h"
#include "command/table.h"

#define USUAL 80
#define NARROW 20 /* less than that nobody has */
#define GAP 2     /* blanks between two columns */

int table_width(int fd)
{
    const char *said = getenv("COLUMNS");
    long columns = said ? strtol(said, NULL, 10) : 0;
    struct winsize size;
    if (columns >= NARROW && columns < TABLE_NO_WIDTH) return (int)columns;
    if (!isatty(fd)) return TABLE_NO_WIDTH;
    return !ioctl(fd, TIOCGWINSZ, &size) && size.ws_col >= NARROW ? size.ws_col : USUAL;
}

/* Columns of the first `bytes` of a text in UTF-8. */
static int columns_of(const char *text, size_t bytes)
{
    int n = 0;
    for (size_t i = 0; i < bytes; i++) n += ((unsigned char)text[i] & 0xc0) != 0x80;
    return n;
}

static int length(const char *text) { return columns_of(text, strlen(text)); }

/* ---- filling ---- */

static void append(table *t, char *text)
{
    char **slot = grow_append(&t->cell, &t->n, sizeof *slot);
    if (slot) *slot = text;
    else free(text), t->failed = 1;
}

static void append_formatted(table *t, const char *format, va_list list)
{
    char *text;
    if (vasprintf(&text, format, list) >= 0) append(t, text);
    else t->failed = 1;
}

void table_cell(table *t, const char *format, ...)
{
    va_list list;
    va_start(list, format);
    append_formatted(t, format, list);
    va_end(list);
}

void table_line(table *t, const char *format, ...)
{
    va_list list;
    va_start(list, format);
    append_formatted(t, format, list);
    va_end(list);
    for (uint32_t c = 1; c < t->n_columns; c++) append(t, NULL);
}

/* ---- the rule ---- */

static int total(const table *t, const int *width)
{
    int all = t->indent, n = 0;
    for (uint32_t c = 0; c < t->n_columns; c++)
        if (width[c] > 0) all += width[c], n++;
    return all + GAP * (n ? n - 1 : 0);
}

static void natural(const table *t, int *width)
{
    for (uint32_t c = 0; c < t->n_columns; c++)
        width[c] = t->headless ? 1 : length(t->column[c].head);
    for (uint32_t i = 0; i + t->n_columns <= t->n; i += t->n_columns)
        for (uint32_t c = 0; c < t->n_columns; c++) {
            const char *cell = t->cell[i + c];
            if (t->n_columns > 1 && !t->cell[i + 1]) continue; /* a line of its own */
            if (cell && length(cell) > width[c]) width[c] = length(cell);
        }
}

/* Cuts the widest of those that may be, by one column at a time; whether it fits then. */
static int cut(const table *t, int *width, int room)
{
    while (total(t, width) > room) {
        int widest = -1;
        for (uint32_t c = 0; c < t->n_columns; c++) {
            const int least = t->column[c].least;
            if (least && width[c] > least && (widest < 0 || width[c] > width[widest]))
                widest = (int)c;
        }
        if (widest < 0) return 0;
        width[widest]--;
    }
    return 1;
}

/* The width of each column; 0: it is left out. */
static void fit(const table *t, int *width, int room)
{
    int full[TABLE_COLUMNS];
    natural(t, full);
    memcpy(width, full, sizeof full);
    for (int turn = 1; !cut(t, width, room) && turn <= TABLE_COLUMNS; turn++) {
        for (uint32_t c = 0; c < t->n_columns; c++)
            if (t->column[c].leave == turn) full[c] = 0;
        memcpy(width, full, sizeof full);
    }
}

/* ---- printing ---- */

static void put_cell(const char *text, int width, const table_column *c, int last)
{
    int n = length(text), blanks = width - n;
    if (n > width) {
        const int kept = width > 3 ? width - 3 : 0;
        int bytes = 0;
        while (text[bytes] && columns_of(text, (size_t)bytes + 1) <= kept) bytes++;
        printf("%.*s%.*s", bytes, text, width - kept, "...");
    } else if (c->right) printf("%*s%s", blanks, "", text);
    else printf("%s%*s", text, last ? 0 : blanks, "");
}

static void put_row(const table *t, char *const *cell, const int *width)
{
    int last = -1;
    for (uint32_t c = 0; c < t->n_columns; c++) /* no blanks at the end of a line */
        if (width[c] && *(cell ? cell[c] : t->column[c].head)) last = (int)c;
    printf("%*s", t->indent, "");
    for (int c = 0, first = 1; c <= last; c++) {
        if (!width[c]) continue;
        if (!first) printf("%*s", GAP, "");
        put_cell(cell ? cell[c] : t->column[c].head, width[c], &t->column[c], c == last);
        first = 0;
    }
    putchar('\n');
}

int32_t table_clear(table *t)
{
    for (uint32_t i = 0; i < t->n; i++) free(t->cell[i]);
    free(t->cell);
    t->cell = NULL, t->n = 0;
    return t->failed ? HEED_E_MEMORY : HEED_OK;
}

int32_t table_print(table *t)
{
    int width[TABLE_COLUMNS] = {0};
    if (!t->failed) {
        fit(t, width, table_width(STDOUT_FILENO));
        if (!t->headless) put_row(t, NULL, width);
        for (uint32_t i = 0; i + t->n_columns <= t->n; i += t->n_columns) {
            int line = t->n_columns > 1 && !t->cell[i + 1];
            if (line) printf("%s\n", t->cell[i]);
            else put_row(t, t->cell + i, width);
        }
    }
    return table_clear(t);
}

/* ---- texts ---- */

void table_prose(int at, int indent, const char *text)
{
    const int width = table_width(STDOUT_FILENO);
    if (indent > width / 2) indent = width / 2;
    for (int first = 1; *text; first = 0) {
        size_t word = strcspn(text, " ");
        int n = columns_of(text, word);
        if (!first && at + 1 + n > width) printf("\n%*s", indent, ""), at = indent;
        else if (!first) putchar(' '), at++;
        printf("%.*s", (int)word, text);
        at += n;
        text += word;
        text += *text == ' ';
    }
    putchar('\n');
}

/* Where the second part of a line begins: behind the first two blanks that follow a word. */
static size_t second_part(const char *line, size_t n)
{
    size_t at = 0;
    while (at < n && line[at] == ' ') at++;
    const size_t first = at;
    for (; at + 1 < n; at++)
        if (line[at] == ' ' && line[at + 1] == ' ') {
            while (at < n && line[at] == ' ') at++;
            return at;
        }
    return first;
}

void table_usage(const char *text)
{
    const size_t width = (size_t)table_width(STDOUT_FILENO);
    while (*text) {
        size_t n = strcspn(text, "\n"), part = n > width ? second_part(text, n) : n;
        if (n > width) {
            char *rest = strndup(text + part, n - part);
            printf("%.*s", (int)part, text);
            if (rest) table_prose((int)part, (int)part, rest);
            free(rest);
        } else printf("%.*s\n", (int)n, text);
        text += n + (text[n] == '\n');
    }
}
