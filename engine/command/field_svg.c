/* SPDX-License-Identifier: MIT
 *
 * field_svg.c: measured fields as a picture: what another token changes by its distance; through
 * each layer, how many tokens it can see and how many its change comes from; the loss by the tokens
 * that are seen; and the loss behind the end of a context.
 */
#include <math.h>

#include "command/field.h"
#include "command/svg.h"

#define PANEL 300 /* from one to the next */
#define TALL 210

typedef struct drawing {
    const field_network *network;
    uint32_t count;
    const field_text *text;
} drawing;

static svg_panel panel_at(int number)
{
    const double top = 50 + PANEL * number;
    return (svg_panel){.top = top, .bottom = top + TALL};
}

/* Powers of a base up to the end of the axis, on which one more than the number of tokens
 * stands. */
static void mark_tokens_x(FILE *out, const svg_panel *p, double plus)
{
    char text[32];
    for (double x = 1; x - plus <= p->x1; x *= 4) {
        snprintf(text, sizeof text, "%.0f", x - plus);
        svg_mark_x(out, p, x, text);
    }
}

static void mark_powers_y(FILE *out, const svg_panel *p)
{
    char text[32];
    const double first = ceil(log10(p->y0) - 1e-9), last = floor(log10(p->y1) + 1e-9),
                 step = last - first > 6 ? 2 : 1;
    for (double e = first; e <= last; e += step) {
        snprintf(text, sizeof text, "%.0e", pow(10, e));
        svg_mark_y(out, p, pow(10, e), text);
    }
}

/* The next name of a panel: those of curves stand below each other. Of a path the last part, without
 * what says that it is a file of weights. */
static void put_name(FILE *out, const svg_panel *p, int line, int colour, const char *path)
{
    const char *slash = strrchr(path, '/'), *name = slash && slash[1] ? slash + 1 : path;
    char text[24];
    snprintf(text, sizeof text, "%.*s", (int)strcspn(name, ".("), name);
    fprintf(out, "<text class=\"n%d\" x=\"%d\" y=\"%.0f\">", colour, SVG_RIGHT + 10,
            p->top + 12 + 17 * line);
    svg_text(out, *text ? text : path);
    fprintf(out, "</text>\n");
}

static void put_note(FILE *out, const svg_panel *p, int line, int colour, const char *text)
{
    fprintf(out, "<text class=\"n%d\" x=\"%d\" y=\"%.0f\">%s</text>\n", colour, SVG_RIGHT + 10,
            p->top + 12 + 17 * line, text);
}

/* ---- changes ---- */

static double at_least(const svg_panel *p, double y) { return y > p->y0 ? y : p->y0; }

/* The lower quartiles, and back along the upper ones. */
static void put_band(FILE *out, const svg_panel *p, const field_network *n, const field_text *t,
                     int64_t layer, int colour)
{
    fprintf(out, "<polygon class=\"band n%d\" points=\"", colour);
    for (int64_t i = 0; i < 2 * t->distances; i++) {
        const int64_t k = i < t->distances ? i : 2 * t->distances - 1 - i;
        const quartiles q = field_change(n, t, layer, k);
        fprintf(out, "%s%.1f,%.1f", i ? " " : "", svg_x(p, (double)t->distance[k] + 1),
                svg_y(p, at_least(p, i < t->distances ? q.low : q.high)));
    }
    fprintf(out, "\"/>\n");
}

static void put_change(FILE *out, const svg_panel *p, const field_network *n, const field_text *t,
                       int64_t layer, int colour)
{
    fprintf(out, "<polyline class=\"curve n%d\" points=\"", colour);
    for (int64_t k = 0; k < t->distances; k++)
        fprintf(out, "%s%.1f,%.1f", k ? " " : "", svg_x(p, (double)t->distance[k] + 1),
                svg_y(p, at_least(p, field_change(n, t, layer, k).median)));
    fprintf(out, "\"/>\n");
}

static void put_fit(FILE *out, const svg_panel *p, const field_network *n, const field_text *t,
                    int64_t layer, int colour)
{
    const decay d = field_decay(n, t, layer);
    if (d.power != d.power) return;
    fprintf(out, "<polyline class=\"curve dashed n%d\" points=\"", colour);
    for (int64_t k = 1; k < t->distances; k++)
        fprintf(
            out, "%s%.1f,%.1f", k > 1 ? " " : "", svg_x(p, (double)t->distance[k] + 1),
            svg_y(p, at_least(p, d.floor + d.scale * pow((double)t->distance[k] + 1, -d.power))));
    fprintf(out, "\"/>\n");
}

/* The layer whose change stands for a network: -1 for the loss. */
static int64_t shown(const field_network *n, int measure)
{
    return measure == FIELD_GRADIENT ? FIELD_SLOPE : n->logits ? -1 : n->layers;
}

static void name_changes(FILE *out, const svg_panel *p, const drawing *d, int measure)
{
    int predicts = 1;
    for (uint32_t i = 0; i < d->count; i++) predicts &= d->network[i].logits;
    svg_frame(out, p,
              measure == FIELD_GRADIENT ? "gradient of the loss to what flows into the first layer"
              : predicts ? "what another token changes: the loss of the next one, nats"
                         : "what another token changes: the loss, or the last layer, relative",
              "tokens before the last one");
}

static void put_changes(FILE *out, const drawing *d, int number, int measure)
{
    const field_text *t = d->text;
    svg_panel p = panel_at(number);
    p.log_x = p.log_y = 1, p.x0 = 1, p.x1 = (double)t->context, p.y0 = INFINITY, p.y1 = 0;
    for (uint32_t i = 0; i < d->count; i++)
        for (int64_t k = 0; k < t->distances && field_has(&d->network[i], measure); k++) {
            const quartiles q = field_change(&d->network[i], t, shown(&d->network[i], measure), k);
            if (q.low > 0) p.y0 = fmin(p.y0, q.low);
            if (q.high > 0) p.y1 = fmax(p.y1, q.high);
        }
    if (!(p.y1 > 0)) p.y0 = 0.1, p.y1 = 1;
    p.y1 = pow(10, ceil(log10(p.y1)));
    p.y0 = fmax(fmin(pow(10, floor(log10(p.y0))), p.y1 / 10), p.y1 * 1e-8);
    name_changes(out, &p, d, measure);
    mark_tokens_x(out, &p, 1);
    mark_powers_y(out, &p);
    for (uint32_t i = 0; i < d->count; i++) {
        const field_network *n = &d->network[i];
        if (!field_has(n, measure)) continue;
        put_band(out, &p, n, t, shown(n, measure), (int)i);
        put_change(out, &p, n, t, shown(n, measure), (int)i);
        put_fit(out, &p, n, t, shown(n, measure), (int)i);
        put_name(out, &p, 2 * (int)i, (int)i, n->path);
        put_note(out, &p, 2 * (int)i + 1, (int)i, "dashed: the fit");
    }
}

/* ---- layers ---- */

static void put_depths(FILE *out, const drawing *d, int number)
{
    svg_panel p = panel_at(number);
    char text[32];
    p.log_y = 1, p.x1 = 1, p.y0 = 1, p.y1 = (double)d->text->context;
    for (uint32_t i = 0; i < d->count; i++) p.x1 = fmax(p.x1, (double)d->network[i].layers);
    svg_frame(out, &p,
              "tokens: dashed, that can be seen; solid, that 90 % of the change comes from",
              "layers");
    for (int i = 0; i <= 4; i++) {
        snprintf(text, sizeof text, "%.0f", round(p.x1 * i / 4));
        svg_mark_x(out, &p, round(p.x1 * i / 4), text);
    }
    for (double y = 1; y <= p.y1; y *= 4) {
        snprintf(text, sizeof text, "%.0f", y);
        svg_mark_y(out, &p, y, text);
    }
    for (uint32_t i = 0; i < d->count; i++) {
        const field_network *n = &d->network[i];
        fprintf(out, "<polyline class=\"curve dashed n%u\" points=\"%.1f,%.1f", i, svg_x(&p, 0),
                svg_y(&p, 1));
        for (int64_t l = 0; l < n->layers; l++)
            if (n->theory.layer[l].reach)
                fprintf(out, " %.1f,%.1f", svg_x(&p, (double)(l + 1)),
                        svg_y(&p, (double)n->theory.layer[l].reach));
        fprintf(out, "\"/>\n<polyline class=\"curve n%u\" points=\"%.1f,%.1f", i, svg_x(&p, 0),
                svg_y(&p, 1));
        for (int64_t l = 0; l < n->layers && field_has(n, FIELD_PERTURBATION); l++) {
            const int64_t most = field_decay(n, d->text, l + 1).most;
            if (most >= 0)
                fprintf(out, " %.1f,%.1f", svg_x(&p, (double)(l + 1)), svg_y(&p, (double)most + 1));
        }
        fprintf(out, "\"/>\n");
        put_name(out, &p, (int)i, (int)i, n->path);
    }
}

/* ---- lengths ---- */

static void put_lengths(FILE *out, const drawing *d, int number)
{
    const field_text *t = d->text;
    svg_panel p = panel_at(number);
    char text[32];
    p.log_x = 1, p.x0 = 1, p.x1 = (double)t->context, p.y0 = INFINITY;
    for (uint32_t i = 0; i < d->count; i++)
        for (int64_t c = 0; c < t->lengths && field_has(&d->network[i], FIELD_TRUNCATION); c++) {
            const double y = field_quartiles(field_row(d->network[i].loss, t, c),
                                             d->network[i].done[FIELD_TRUNCATION])
                                 .mean;
            p.y0 = fmin(p.y0, y), p.y1 = fmax(p.y1, y);
        }
    p.y0 = floor(2 * p.y0) / 2, p.y1 = ceil(2 * p.y1) / 2;
    svg_frame(out, &p, "loss of the next token, nats", "tokens that are seen");
    mark_tokens_x(out, &p, 0);
    for (double y = p.y0; y <= p.y1; y += p.y1 - p.y0 > 3 ? 1 : 0.5) {
        snprintf(text, sizeof text, "%.1f", y);
        svg_mark_y(out, &p, y, text);
    }
    for (uint32_t i = 0; i < d->count; i++) {
        const field_network *n = &d->network[i];
        if (!field_has(n, FIELD_TRUNCATION)) continue;
        fprintf(out, "<polyline class=\"curve n%u\" points=\"", i);
        for (int64_t c = 0; c < t->lengths; c++)
            fprintf(
                out, "%s%.1f,%.1f", c ? " " : "", svg_x(&p, (double)t->length[c]),
                svg_y(&p,
                      field_quartiles(field_row(n->loss, t, c), n->done[FIELD_TRUNCATION]).mean));
        fprintf(out, "\"/>\n");
        snprintf(text, sizeof text, "enough: %lld", (long long)t->length[field_enough(n, t)]);
        put_name(out, &p, 2 * (int)i, (int)i, n->path);
        put_note(out, &p, 2 * (int)i + 1, (int)i, text);
    }
}

/* ---- positions ---- */

/* The loss along a text that goes on behind the context, whose end is a dashed line. */
static void put_positions(FILE *out, const drawing *d, int number)
{
    const field_text *t = d->text;
    svg_panel p = panel_at(number);
    char text[32];
    p.x1 = (double)t->beyond, p.y0 = INFINITY;
    for (uint32_t i = 0; i < d->count; i++)
        for (int64_t b = 0; b < FIELD_BLOCKS && field_has(&d->network[i], FIELD_POSITION); b++) {
            const double y = field_at(&d->network[i], t, b).mean;
            p.y0 = fmin(p.y0, y), p.y1 = fmax(p.y1, y);
        }
    p.y0 = floor(2 * p.y0) / 2, p.y1 = ceil(2 * p.y1) / 2;
    svg_frame(out, &p, "loss of the next token, nats; dashed: the end of the context", "position");
    for (int i = 0; i <= FIELD_BEYOND; i++) {
        snprintf(text, sizeof text, "%lld", (long long)t->beyond * i / FIELD_BEYOND);
        svg_mark_x(out, &p, p.x1 * i / FIELD_BEYOND, text);
    }
    for (double y = p.y0; y <= p.y1; y += p.y1 - p.y0 > 3 ? 1 : 0.5) {
        snprintf(text, sizeof text, "%.1f", y);
        svg_mark_y(out, &p, y, text);
    }
    fprintf(out, "<polyline class=\"curve dashed n7\" points=\"%.1f,%.1f %.1f,%.1f\"/>\n",
            svg_x(&p, (double)t->context), p.top, svg_x(&p, (double)t->context), p.bottom);
    for (uint32_t i = 0; i < d->count; i++) {
        const field_network *n = &d->network[i];
        if (!field_has(n, FIELD_POSITION)) continue;
        fprintf(out, "<polyline class=\"curve n%u\" points=\"", i);
        for (int64_t b = 0; b < FIELD_BLOCKS; b++) {
            const double from = b ? (double)field_block_end(t, b - 1) : 0,
                         to = (double)field_block_end(t, b);
            fprintf(out, "%s%.1f,%.1f", b ? " " : "", svg_x(&p, (from + to) / 2),
                    svg_y(&p, field_at(n, t, b).mean));
        }
        fprintf(out, "\"/>\n");
        put_name(out, &p, (int)i, (int)i, n->path);
    }
}

/* ---- the picture ---- */

static int any_has(const drawing *d, int measure)
{
    for (uint32_t i = 0; i < d->count; i++)
        if (field_has(&d->network[i], measure)) return 1;
    return 0;
}

/* What can be seen stands beside all that is measured within a context. */
static int has_depths(const drawing *d)
{
    for (int m = 0; m < FIELD_MEASURES; m++)
        if (m != FIELD_POSITION && any_has(d, m)) return 1;
    return 0;
}

static int panels_of(const drawing *d)
{
    return has_depths(d) + any_has(d, FIELD_PERTURBATION) + any_has(d, FIELD_GRADIENT) +
           any_has(d, FIELD_TRUNCATION) + any_has(d, FIELD_POSITION);
}

static void draw(FILE *out, const void *of)
{
    const drawing *d = of;
    int number = 0;
    if (any_has(d, FIELD_PERTURBATION)) put_changes(out, d, number++, FIELD_PERTURBATION);
    if (any_has(d, FIELD_GRADIENT)) put_changes(out, d, number++, FIELD_GRADIENT);
    if (has_depths(d)) put_depths(out, d, number++);
    if (any_has(d, FIELD_TRUNCATION)) put_lengths(out, d, number++);
    if (any_has(d, FIELD_POSITION)) put_positions(out, d, number);
}

int32_t field_picture(const field_network *n, uint32_t count, const field_text *t, const char *path,
                      heed_error *error)
{
    const drawing d = {n, count, t};
    return svg_write(path, PANEL * panels_of(&d), draw, &d, error);
}
