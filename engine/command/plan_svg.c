/* SPDX-License-Identifier: MIT
 *
 * plan_svg.c: a plan as a picture: how much of the text is seen through each layer, and the loss
 * that the data-constrained law gives for so many unique tokens, as far as it was fitted. One file,
 * which needs no other, for light and dark pages.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/error.h"
#include "command/file.h"
#include "command/plan.h"

#define WIDTH 720
#define HEIGHT 620
#define LEFT 70
#define RIGHT 560 /* the names of the curves stand behind */
#define POINTS 48 /* of a curve of a law */

/* A panel: where a pair of numbers stands. */
typedef struct panel {
    double top, bottom, x0, x1, y0, y1;
    int log_x, log_y;
} panel;

static double part(double x, double a, double b, int logarithmic)
{
    if (logarithmic) x = log(x), a = log(a), b = log(b);
    return b > a ? (x - a) / (b - a) : 0;
}
static double at_x(const panel *p, double x)
{
    return LEFT + (RIGHT - LEFT) * part(x, p->x0, p->x1, p->log_x);
}
static double at_y(const panel *p, double y)
{
    return p->bottom - (p->bottom - p->top) * part(y, p->y0, p->y1, p->log_y);
}

static void put_head(FILE *out)
{
    fprintf(out,
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %d %d\" "
            "font-family=\"sans-serif\" font-size=\"12\">\n"
            "<style>\n"
            "svg { background: #fff; color: #222 } text { fill: currentColor }\n"
            ".grid { stroke: currentColor; stroke-opacity: .15 } .curve { fill: none; "
            "stroke-width: 2 }\n",
            WIDTH, HEIGHT);
    static const char *const color[][2] = {{"#0b62a4", "#6cb4ee"}, {"#c2410c", "#fb923c"},
                                           {"#15803d", "#6ee7a0"}, {"#7e22ce", "#c79bf2"},
                                           {"#a16207", "#fcd34d"}, {"#be185d", "#f9a8d4"},
                                           {"#0f766e", "#5eead4"}, {"#475569", "#cbd5e1"}};
    for (int i = 0; i < 8; i++)
        fprintf(out, ".n%d { stroke: %s } text.n%d { stroke: none; fill: %s }\n", i, color[i][0], i,
                color[i][0]);
    fprintf(out, "@media (prefers-color-scheme: dark) {\nsvg { background: #111; color: #ddd }\n");
    for (int i = 0; i < 8; i++)
        fprintf(out, ".n%d { stroke: %s } text.n%d { stroke: none; fill: %s }\n", i, color[i][1], i,
                color[i][1]);
    fprintf(out, "}\n</style>\n");
}

static void put_frame(FILE *out, const panel *p, const char *title, const char *below)
{
    fprintf(out, "<text x=\"%d\" y=\"%.0f\" font-size=\"14\">%s</text>\n", LEFT, p->top - 14,
            title);
    fprintf(out, "<text x=\"%d\" y=\"%.0f\" text-anchor=\"middle\">%s</text>\n", (LEFT + RIGHT) / 2,
            p->bottom + 34, below);
}

static void put_mark_x(FILE *out, const panel *p, double x, const char *text)
{
    fprintf(out,
            "<line class=\"grid\" x1=\"%.1f\" x2=\"%.1f\" y1=\"%.0f\" y2=\"%.0f\"/>"
            "<text x=\"%.1f\" y=\"%.0f\" text-anchor=\"middle\">%s</text>\n",
            at_x(p, x), at_x(p, x), p->top, p->bottom, at_x(p, x), p->bottom + 16, text);
}

static void put_mark_y(FILE *out, const panel *p, double y, const char *text)
{
    fprintf(out,
            "<line class=\"grid\" x1=\"%d\" x2=\"%d\" y1=\"%.1f\" y2=\"%.1f\"/>"
            "<text x=\"%d\" y=\"%.1f\" text-anchor=\"end\">%s</text>\n",
            LEFT, RIGHT, at_y(p, y), at_y(p, y), LEFT - 8, at_y(p, y) + 4, text);
}

/* Names at one height would hide each other, so each has a line of its own. */
static void put_name(FILE *out, const panel *p, uint32_t i, const plan_network *n, int known)
{
    fprintf(out, "<text class=\"n%u\" x=\"%d\" y=\"%.0f\">%s: ", i, RIGHT + 10,
            p->top + 12 + 18 * i, n->name);
    if (!known) fprintf(out, "outside of the fit</text>\n");
    else
        fprintf(out, "%lld layers x %lld heads</text>\n", (long long)n->plan.number[STACK_LAYERS],
                (long long)n->plan.number[STACK_HEADS]);
}

/* ---- the panels ---- */

static void put_fields(FILE *out, const plan_network *n, uint32_t count)
{
    panel p = {.top = 50, .bottom = 260, .x0 = 0, .x1 = 1, .y0 = 1, .y1 = 2, .log_y = 1};
    char text[64];
    for (uint32_t i = 0; i < count; i++) {
        p.x1 = fmax(p.x1, (double)n[i].field.layers);
        p.y1 = fmax(p.y1, (double)n[i].field.tokens);
    }
    put_frame(out, &p, "tokens of a document that its last one depends on", "layers");
    for (int i = 0; i <= 4; i++) {
        const double x = round(p.x1 * i / 4), y = pow(p.y1, i / 4.0);
        snprintf(text, sizeof text, "%.0f", x);
        put_mark_x(out, &p, x, text);
        snprintf(text, sizeof text, "%.0f", y);
        put_mark_y(out, &p, round(y), text);
    }
    for (uint32_t i = 0; i < count; i++) {
        fprintf(out, "<polyline class=\"curve n%u\" points=\"%.1f,%.1f", i, at_x(&p, 0),
                at_y(&p, 1));
        for (int64_t l = 0; l < n[i].field.layers; l++)
            if (n[i].field.layer[l].reach)
                fprintf(out, " %.1f,%.1f", at_x(&p, (double)(l + 1)),
                        at_y(&p, (double)n[i].field.layer[l].reach) + 2 * i);
        fprintf(out, "\"/>\n");
        put_name(out, &p, i, &n[i], 1);
    }
}

static void put_losses(FILE *out, const plan_network *n, uint32_t count, const plan_text *text)
{
    const law *l = &laws[LAW_DATA];
    panel p = {.top = 350,
               .bottom = 560,
               .x0 = l->least_tokens,
               .x1 = 100e9,
               .y0 = 1.8,
               .y1 = 3,
               .log_x = 1};
    static const char *const words[] = {"100 M", "1 G", "10 G", "100 G"};
    char label[80];
    for (uint32_t i = 0; i < count; i++)
        p.y1 = fmax(p.y1, law_loss(l, (double)n[i].parameters, p.x0, text->epochs));
    p.y1 = fmin(ceil(p.y1), 12);
    snprintf(label, sizeof label, "unique tokens, each read %g time%s", text->epochs,
             text->epochs > 1 ? "s" : "");
    put_frame(out, &p, "loss by the data-constrained law (arXiv 2305.16264), nats a token", label);
    for (int i = 0; i < 4; i++) put_mark_x(out, &p, l->least_tokens * pow(10, i), words[i]);
    for (double y = 2; y <= p.y1; y++) {
        snprintf(label, sizeof label, "%.0f", y);
        put_mark_y(out, &p, y, label);
    }
    for (uint32_t i = 0; i < count; i++) {
        const double N = (double)n[i].parameters;
        int points = 0;
        for (int k = 0; k < POINTS; k++) {
            const double unique = p.x0 * pow(p.x1 / p.x0, k / (POINTS - 1.0));
            if (law_outside(l, N, unique, text->epochs)) continue;
            if (!points++) fprintf(out, "<polyline class=\"curve n%u\" points=\"", i);
            fprintf(out, " %.1f,%.1f", at_x(&p, unique),
                    at_y(&p, law_loss(l, N, unique, text->epochs)));
        }
        if (points) fprintf(out, "\"/>\n");
        put_name(out, &p, i, &n[i], points > 0);
    }
    if (text->unique >= p.x0 && text->unique <= p.x1) put_mark_x(out, &p, text->unique, "");
}

int32_t plan_picture(const plan_network *n, uint32_t count, const plan_text *text, const char *path,
                     heed_error *error)
{
    char *picture = NULL;
    size_t length;
    FILE *out = open_memstream(&picture, &length);
    if (!out) return error_memory(error);
    put_head(out);
    put_fields(out, n, count);
    put_losses(out, n, count, text);
    fprintf(out, "</svg>\n");
    int32_t failed = ferror(out) ? error_memory(error) : HEED_OK;
    if (fclose(out)) failed = error_memory(error);
    if (!failed) failed = file_write(path, picture, length, error);
    free(picture);
    return failed;
}
