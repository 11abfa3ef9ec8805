/* SPDX-License-Identifier: MIT
 *
 * svg.c: pictures of curves, as SVG.
 */
#include <math.h>
#include <stdlib.h>

#include "base/error.h"
#include "command/file.h"
#include "command/svg.h"

#define WIDTH 720

static double part(double x, double a, double b, int logarithmic)
{
    if (logarithmic) x = log(x), a = log(a), b = log(b);
    return b > a ? (x - a) / (b - a) : 0;
}

double svg_x(const svg_panel *p, double x)
{
    return SVG_LEFT + (SVG_RIGHT - SVG_LEFT) * part(x, p->x0, p->x1, p->log_x);
}

double svg_y(const svg_panel *p, double y)
{
    return p->bottom - (p->bottom - p->top) * part(y, p->y0, p->y1, p->log_y);
}

static void put_head(FILE *out, int height)
{
    fprintf(out,
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %d %d\" "
            "font-family=\"sans-serif\" font-size=\"12\">\n"
            "<style>\n"
            "svg { background: #fff; color: #222 } text { fill: currentColor }\n"
            ".grid { stroke: currentColor; stroke-opacity: .15 } .curve { fill: none; "
            "stroke-width: 2 }\n"
            ".dashed { stroke-dasharray: 5 4 } .band { stroke: none; fill-opacity: .18 }\n",
            WIDTH, height);
    static const char *const colour[SVG_COLOURS][2] = {
        {"#0b62a4", "#6cb4ee"}, {"#c2410c", "#fb923c"}, {"#15803d", "#6ee7a0"},
        {"#7e22ce", "#c79bf2"}, {"#a16207", "#fcd34d"}, {"#be185d", "#f9a8d4"},
        {"#0f766e", "#5eead4"}, {"#475569", "#cbd5e1"}};
    for (int dark = 0; dark < 2; dark++) {
        if (dark)
            fprintf(out, "@media (prefers-color-scheme: dark) {\n"
                         "svg { background: #111; color: #ddd }\n");
        for (int i = 0; i < SVG_COLOURS; i++)
            fprintf(out,
                    ".n%d { stroke: %s } text.n%d { stroke: none; fill: %s } "
                    ".band.n%d { stroke: none; fill: %s }\n",
                    i, colour[i][dark], i, colour[i][dark], i, colour[i][dark]);
    }
    fprintf(out, "}\n</style>\n");
}

void svg_frame(FILE *out, const svg_panel *p, const char *title, const char *below)
{
    fprintf(out, "<text x=\"%d\" y=\"%.0f\" font-size=\"14\">%s</text>\n", SVG_LEFT, p->top - 14,
            title);
    fprintf(out, "<text x=\"%d\" y=\"%.0f\" text-anchor=\"middle\">%s</text>\n",
            (SVG_LEFT + SVG_RIGHT) / 2, p->bottom + 34, below);
}

void svg_mark_x(FILE *out, const svg_panel *p, double x, const char *text)
{
    fprintf(out,
            "<line class=\"grid\" x1=\"%.1f\" x2=\"%.1f\" y1=\"%.0f\" y2=\"%.0f\"/>"
            "<text x=\"%.1f\" y=\"%.0f\" text-anchor=\"middle\">%s</text>\n",
            svg_x(p, x), svg_x(p, x), p->top, p->bottom, svg_x(p, x), p->bottom + 16, text);
}

void svg_mark_y(FILE *out, const svg_panel *p, double y, const char *text)
{
    fprintf(out,
            "<line class=\"grid\" x1=\"%d\" x2=\"%d\" y1=\"%.1f\" y2=\"%.1f\"/>"
            "<text x=\"%d\" y=\"%.1f\" text-anchor=\"end\">%s</text>\n",
            SVG_LEFT, SVG_RIGHT, svg_y(p, y), svg_y(p, y), SVG_LEFT - 8, svg_y(p, y) + 4, text);
}

void svg_text(FILE *out, const char *text)
{
    for (; *text; text++) {
        if (*text == '<') fputs("&lt;", out);
        else if (*text == '&') fputs("&amp;", out);
        else if ((unsigned char)*text >= ' ') fputc(*text, out);
    }
}

void svg_put(FILE *out, int height, void (*draw)(FILE *out, const void *of), const void *of)
{
    put_head(out, height);
    draw(out, of);
    fprintf(out, "</svg>\n");
}

int32_t svg_write(const char *path, int height, void (*draw)(FILE *out, const void *of),
                  const void *of, heed_error *error)
{
    char *picture = NULL;
    size_t length;
    FILE *out = open_memstream(&picture, &length);
    if (!out) return error_memory(error);
    svg_put(out, height, draw, of);
    int32_t failed = ferror(out) ? error_memory(error) : HEED_OK;
    if (fclose(out)) failed = error_memory(error);
    if (!failed) failed = file_write(path, picture, length, error);
    free(picture);
    return failed;
}
