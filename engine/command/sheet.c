/* SPDX-License-Identifier: MIT
 *
 * sheet.c: tables and sentences to the terminal, or to HTML.
 */
#include <stdarg.h>
#include <stdlib.h>

#include "base/error.h"
#include "command/sheet.h"
#include "command/svg.h"

static const char style[] =
    ":root { color-scheme: light dark }\n"
    "body { font: 15px/1.5 sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; "
    "background: #fff; color: #222 }\n"
    "h1 { font-size: 1.3rem } h2 { font-size: 1.05rem; margin-top: 2rem }\n"
    ".wide { overflow-x: auto } table { border-collapse: collapse }\n"
    "th, td { padding: .15rem .8rem .15rem 0; text-align: left; white-space: nowrap; "
    "vertical-align: top }\n"
    ".r { text-align: right } th { border-bottom: 1px solid currentColor; font-weight: 600 }\n"
    "td { border-bottom: 1px solid #8883; white-space: pre } td.line { white-space: normal }\n"
    "p { overflow-wrap: anywhere } svg { max-width: 100%; height: auto }\n"
    "@media (prefers-color-scheme: dark) { body { background: #111; color: #ddd } }\n";

/* ---- HTML ---- */

static void put_cell(FILE *out, const char *tag, const table_column *c, const char *text)
{
    fprintf(out, "<%s%s>", tag, c->right ? " class=\"r\"" : "");
    svg_text(out, text);
    fprintf(out, "</%s>", tag);
}

static void put_row(FILE *out, const table *t, char *const *cell)
{
    const int line = cell && t->n_columns > 1 && !cell[1];
    fprintf(out, "<tr>");
    for (uint32_t c = 0; c < t->n_columns && !line; c++)
        put_cell(out, cell ? "td" : "th", &t->column[c], cell ? cell[c] : t->column[c].head);
    if (line) {
        fprintf(out, "<td class=\"line\" colspan=\"%u\">", t->n_columns);
        svg_text(out, *cell);
        fprintf(out, "</td>");
    }
    fprintf(out, "</tr>\n");
}

int32_t sheet_table(const sheet *p, table *t)
{
    if (!p->html) return table_print(t);
    fprintf(p->html, "<div class=\"wide\"><table>\n");
    if (!t->headless) put_row(p->html, t, NULL);
    for (uint32_t i = 0; i + t->n_columns <= t->n; i += t->n_columns)
        put_row(p->html, t, t->cell + i);
    fprintf(p->html, "</table></div>\n");
    return table_clear(t);
}

/* ---- sentences ---- */

/* The text of a format; NULL: no memory, and then nothing is told. */
static char *format_text(const char *format, va_list list)
{
    char *text;
    return vasprintf(&text, format, list) < 0 ? NULL : text;
}

static void put_html(const sheet *p, const char *tag, const char *text)
{
    fprintf(p->html, "<%s>", tag);
    svg_text(p->html, text);
    fprintf(p->html, "</%s>\n", tag);
}

void sheet_head(const sheet *p, const char *format, ...)
{
    va_list list;
    va_start(list, format);
    char *text = format_text(format, list);
    va_end(list);
    if (!p->html) putchar('\n');
    if (text && *text && p->html) put_html(p, "h2", text);
    else if (text && *text) table_prose(0, 2, text);
    free(text);
}

void sheet_prose(const sheet *p, int indent, const char *format, ...)
{
    va_list list;
    va_start(list, format);
    char *text = format_text(format, list);
    va_end(list);
    if (text && p->html) put_html(p, "p", text);
    else if (text) table_prose(0, indent, text);
    free(text);
}

void sheet_item(const sheet *p, const char *name, const char *text)
{
    if (p->html) {
        fprintf(p->html, "<p><b>%s</b> ", name);
        svg_text(p->html, text);
        fprintf(p->html, "</p>\n");
        return;
    }
    printf("%-3s", name);
    table_prose(3, 3, text);
}

/* ---- the frame ---- */

void sheet_begin(const sheet *p, const char *title)
{
    fprintf(p->html,
            "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
            "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>");
    svg_text(p->html, title);
    fprintf(p->html, "</title>\n<style>\n%s</style>\n</head>\n<body>\n", style);
    put_html(p, "h1", title);
}

void sheet_end(const sheet *p) { fprintf(p->html, "</body>\n</html>\n"); }
