/* SPDX-License-Identifier: MIT
 *
 * plan_svg.c: a plan as a picture: how much of the text is seen through each layer, and the loss
 * that the data-constrained law gives for so many unique tokens, as far as it was fitted. One file,
 * which needs no other, for light and dark pages.
 */
#include <math.h>

#include "command/svg.h"
#include "command/twin.h"

#define HEIGHT 620
#define POINTS 48 /* of a curve of a law */

/* Names at one height would hide each other, so each has a line of its own. */
static void put_name(FILE *out, const svg_panel *p, uint32_t i, const plan_network *n, int known)
{
    fprintf(out, "<text class=\"n%u\" x=\"%d\" y=\"%.0f\">%s: ", i, SVG_RIGHT + 10,
            p->top + 12 + 18 * i, n->name);
    if (!known) fprintf(out, "outside of the fit</text>\n");
    else
        fprintf(out, "%lld layers x %lld heads</text>\n", (long long)n->plan.number[STACK_LAYERS],
                (long long)n->plan.number[STACK_HEADS]);
}

/* ---- the panels ---- */

static void put_fields(FILE *out, const plan_network *n, uint32_t count)
{
    svg_panel p = {.top = 50, .bottom = 260, .x0 = 0, .x1 = 1, .y0 = 1, .y1 = 2, .log_y = 1};
    char text[64];
    for (uint32_t i = 0; i < count; i++) {
        p.x1 = fmax(p.x1, (double)n[i].field.layers);
        p.y1 = fmax(p.y1, (double)n[i].field.tokens);
    }
    svg_frame(out, &p, "tokens of a document that its last one depends on", "layers");
    for (int i = 0; i <= 4; i++) {
        const double x = round(p.x1 * i / 4), y = pow(p.y1, i / 4.0);
        snprintf(text, sizeof text, "%.0f", x);
        svg_mark_x(out, &p, x, text);
        snprintf(text, sizeof text, "%.0f", y);
        svg_mark_y(out, &p, round(y), text);
    }
    for (uint32_t i = 0; i < count; i++) {
        fprintf(out, "<polyline class=\"curve n%u\" points=\"%.1f,%.1f", i, svg_x(&p, 0),
                svg_y(&p, 1));
        for (int64_t l = 0; l < n[i].field.layers; l++)
            if (n[i].field.layer[l].reach)
                fprintf(out, " %.1f,%.1f", svg_x(&p, (double)(l + 1)),
                        svg_y(&p, (double)n[i].field.layer[l].reach) + 2 * i);
        fprintf(out, "\"/>\n");
        put_name(out, &p, i, &n[i], 1);
    }
}

static void put_losses(FILE *out, const plan_network *n, uint32_t count, const plan_text *text)
{
    const law *l = &laws[LAW_DATA];
    svg_panel p = {.top = 350,
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
    svg_frame(out, &p, "loss by the data-constrained law (arXiv 2305.16264), nats a token", label);
    for (int i = 0; i < 4; i++) svg_mark_x(out, &p, l->least_tokens * pow(10, i), words[i]);
    for (double y = 2; y <= p.y1; y++) {
        snprintf(label, sizeof label, "%.0f", y);
        svg_mark_y(out, &p, y, label);
    }
    for (uint32_t i = 0; i < count; i++) {
        const double N = (double)n[i].parameters;
        int points = 0;
        for (int k = 0; k < POINTS; k++) {
            const double unique = p.x0 * pow(p.x1 / p.x0, k / (POINTS - 1.0));
            if (law_outside(l, N, unique, text->epochs)) continue;
            if (!points++) fprintf(out, "<polyline class=\"curve n%u\" points=\"", i);
            fprintf(out, " %.1f,%.1f", svg_x(&p, unique),
                    svg_y(&p, law_loss(l, N, unique, text->epochs)));
        }
        if (points) fprintf(out, "\"/>\n");
        put_name(out, &p, i, &n[i], points > 0);
    }
    if (text->unique >= p.x0 && text->unique <= p.x1) svg_mark_x(out, &p, text->unique, "");
}

typedef struct drawing {
    const plan_network *network;
    uint32_t count;
    const plan_text *text;
    const twin_study *twins;
} drawing;

static void draw(FILE *out, const void *of)
{
    const drawing *d = of;
    put_fields(out, d->network, d->count);
    put_losses(out, d->network, d->count, d->text);
    if (d->twins) twin_draw(out, d->twins, HEIGHT + 30);
}

void plan_draw(FILE *out, const plan_network *n, uint32_t count, const plan_text *text,
               const twin_study *twins)
{
    svg_put(out, HEIGHT + (twins ? TWIN_PANEL : 0), draw, &(drawing){n, count, text, twins});
}

int32_t plan_picture(const plan_network *n, uint32_t count, const plan_text *text,
                     const twin_study *twins, const char *path, heed_error *error)
{
    return svg_write(path, HEIGHT + (twins ? TWIN_PANEL : 0), draw,
                     &(drawing){n, count, text, twins}, error);
}
