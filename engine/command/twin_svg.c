/* SPDX-License-Identifier: MIT
 *
 * twin_svg.c: a study of twins as a panel of a picture: what is held out, in bits, by the tokens that
 * were read; twins solid, the larger the lower mostly, and the networks as predicted dashed.
 */
#include <math.h>

#include "command/svg.h"
#include "command/twin.h"

#define TALL 210
#define CURVE 60 /* points of a curve that is predicted */

static double tokens_of(const twin_study *s, const twin_point *p)
{
    return (double)(p->step * TWIN_BATCH * s->context);
}

static double predicted(const twin_study *s, uint32_t network, double tokens)
{
    const plan_network *n = &s->network[network];
    return penalty_value(&s->form, network, (double)(n->parameters - n->tables),
                         (double)s->data.cut, tokens);
}

/* From a tenth of a run on, as it is fitted. */
static svg_panel panel_of(const twin_study *s, double top)
{
    const double learned = (double)s->data.cut, all = (double)(s->steps * TWIN_BATCH * s->context);
    svg_panel p = {.top = top + 20,
                   .bottom = top + 20 + TALL,
                   .x0 = all / 10,
                   .x1 = fmax(all, s->epochs * learned),
                   .y0 = INFINITY,
                   .log_x = 1};
    for (uint32_t i = 0; i < s->count; i++) {
        for (uint32_t k = 0; k < TWIN_SIZES; k++) {
            const twin_run *r = twin_whole(s, i, k);
            for (uint32_t m = 0; m < r->points; m++) {
                if (tokens_of(s, &r->point[m]) < p.x0) continue;
                p.y0 = fmin(p.y0, r->point[m].valid), p.y1 = fmax(p.y1, r->point[m].valid);
            }
        }
        if (!*s->result[i].why) p.y0 = fmin(p.y0, s->result[i].best.value);
        if (!*s->result[i].why) p.y1 = fmax(p.y1, s->result[i].last.value);
    }
    if (!(p.y0 < p.y1)) p.y0 = 0, p.y1 = 8;
    p.y0 = floor(5 * p.y0) / 5, p.y1 = ceil(5 * p.y1) / 5;
    return p;
}

static void put_axes(FILE *out, const svg_panel *p, const twin_study *s)
{
    char text[96];
    snprintf(text, sizeof text, "twins solid, networks as predicted dashed: bits per %s held out",
             twin_unit(s));
    svg_frame(out, p, text, "epochs");
    for (double x = 1; x * (double)s->data.cut <= p->x1; x *= 2) {
        if (x * (double)s->data.cut < p->x0) continue;
        snprintf(text, sizeof text, "%.0f", x);
        svg_mark_x(out, p, x * (double)s->data.cut, text);
    }
    const double step = p->y1 - p->y0 > 2 ? 0.5 : 0.2;
    for (double y = ceil(p->y0 / step) * step; y <= p->y1 + 1e-9; y += step) {
        snprintf(text, sizeof text, "%.1f", y);
        svg_mark_y(out, p, y, text);
    }
}

static void put_twins(FILE *out, const svg_panel *p, const twin_study *s, uint32_t network)
{
    for (uint32_t k = 0; k < TWIN_SIZES; k++) {
        const twin_run *r = twin_whole(s, network, k);
        int points = 0;
        for (uint32_t m = 0; m < r->points; m++) {
            const double tokens = tokens_of(s, &r->point[m]);
            if (tokens < p->x0) continue;
            if (!points++) fprintf(out, "<polyline class=\"curve n%u\" points=\"", network);
            fprintf(out, " %.1f,%.1f", svg_x(p, tokens), svg_y(p, r->point[m].valid));
        }
        if (points) fprintf(out, "\"/>\n");
    }
}

static void put_network(FILE *out, const svg_panel *p, const twin_study *s, uint32_t network)
{
    fprintf(out, "<polyline class=\"curve dashed n%u\" points=\"", network);
    const double end = s->epochs * (double)s->data.cut;
    for (int k = 0; k < CURVE; k++) {
        const double tokens = p->x0 * pow(end / p->x0, k / (CURVE - 1.0)),
                     bits = predicted(s, network, tokens);
        fprintf(out, " %.1f,%.1f", svg_x(p, tokens), svg_y(p, fmin(fmax(bits, p->y0), p->y1)));
    }
    fprintf(out, "\"/>\n");
}

void twin_draw(FILE *out, const twin_study *s, double top)
{
    const svg_panel p = panel_of(s, top);
    put_axes(out, &p, s);
    for (uint32_t i = 0; i < s->count; i++) {
        const twin_result *r = &s->result[i];
        put_twins(out, &p, s, i);
        if (!*r->why && s->epochs * (double)s->data.cut > p.x0) put_network(out, &p, s, i);
        fprintf(out, "<text class=\"n%u\" x=\"%d\" y=\"%.0f\">%s: ", i, SVG_RIGHT + 10,
                p.top + 12 + 18 * i, s->network[i].name);
        if (*r->why) fprintf(out, "too far to tell</text>\n");
        else fprintf(out, "%.3f at least</text>\n", r->best.value);
    }
}
