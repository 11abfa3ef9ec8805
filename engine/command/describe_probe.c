/* SPDX-License-Identifier: MIT
 *
 * describe_probe.c: heed describe --probe: networks side by side while they read tokens of chance:
 * how large what flows between their layers is, and how alike to the layer before. With weights of
 * chance that is what the wiring does by itself, before anything is learned.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/random.h"
#include "command/command.h"
#include "command/depth.h"
#include "command/describe.h"
#include "command/file.h"
#include "command/model.h"
#include "command/svg.h"
#include "command/table.h"
#include "model/field.h"
#include "op/engine.h"

#define USUAL_TOKENS 256

typedef struct probed {
    const char *given;
    model model;
    depth depth;
    int64_t tokens;
} probed;

typedef struct probe {
    probed network[PROBE_NETWORKS];
    uint32_t count;
    int64_t layers; /* of the deepest */
} probe;

/* ---- reading ---- */

/* Tokens that one call may have; 0: any number. */
static int32_t find_longest(const probed *n, int64_t *longest, heed_error *error)
{
    stack_plan plan = {0};
    int32_t failed =
        stack_plan_read(&plan, &n->model.engine->registry, heed_stack_spec(n->model.stack), error);
    if (!failed) failed = field_longest(&plan, longest, error);
    stack_plan_free(&plan);
    return failed;
}

static int32_t read_tokens(probed *n, uint64_t seed, heed_error *error)
{
    const int64_t vocab = heed_stack_number(n->model.stack, "vocab");
    int64_t longest;
    TRY(find_longest(n, &longest, error));
    int32_t *token = calloc((size_t)n->tokens, sizeof *token);
    if (!token) return error_memory(error);
    for (int64_t i = 0; i < n->tokens; i++)
        token[i] = (int32_t)(random_next(&seed) % (uint64_t)vocab);
    const int32_t failed =
        depth_read(&n->depth, n->model.session, token, n->tokens, longest, error);
    free(token);
    return failed;
}

static int32_t open_network(probed *n, const probe_request *r, int64_t tokens, heed_error *error)
{
    const int file = model_is_file(n->given);
    TRY(model_open_any(&n->model, &r->options, file ? n->given : NULL, file ? NULL : n->given,
                       (uint64_t)r->seed, error));
    const int64_t context = heed_stack_number(n->model.stack, "context");
    if (context >= 0 && tokens > context && r->shape)
        return error_set(error, HEED_E_ARGUMENT,
                         "--shape T=%lld is more than the context of %lld that %.80s has",
                         (long long)tokens, (long long)context, n->given);
    n->tokens = context >= 0 && tokens > context ? context : tokens;
    return depth_open(&n->depth, n->model.engine, n->model.stack, error);
}

static int32_t read_all(probe *p, const probe_request *r, heed_error *error)
{
    int64_t tokens = 0;
    int decode = 0;
    if (r->svg) TRY(file_check(r->svg, error));
    if (r->shape) TRY(model_shape(r->shape, &tokens, &decode, error));
    if (decode)
        return error_set(error, HEED_E_ARGUMENT, "--probe reads a text at once: --shape T=N");
    for (; p->count < r->count; p->count++) {
        probed *n = &p->network[p->count];
        n->given = r->word[p->count];
        TRY(open_network(n, r, tokens ? tokens : USUAL_TOKENS, error));
        TRY(read_tokens(n, (uint64_t)r->seed, error));
        if (n->depth.layers > p->layers) p->layers = n->depth.layers;
    }
    return HEED_OK;
}

/* ---- as a table, and as JSON ---- */

static void print(const probe *p)
{
    char head[2 * PROBE_NETWORKS][16];
    table_column columns[1 + 2 * PROBE_NETWORKS] = {{"layer", 1, 0, 0}};
    table t = {.column = columns, .n_columns = 1 + 2 * p->count};
    for (uint32_t i = 0; i < p->count; i++) {
        printf("%c  ", 'A' + (int)i);
        table_prose(3, 3, p->network[i].given);
        for (int k = 0; k < 2; k++) {
            snprintf(head[2 * i + k], sizeof *head, "%c %s", 'A' + (int)i, k ? "size" : "cosine");
            columns[1 + 2 * i + k] = (table_column){head[2 * i + k], 1, 0, 0};
        }
    }
    char text[256];
    snprintf(text, sizeof text,
             "what flows out of each layer, %lld tokens of chance having been read: the cosine "
             "between it and what flowed in, and its size, the root of its mean square; layer 0 is "
             "what flows into the first",
             (long long)p->network[0].tokens);
    printf("\n");
    table_prose(0, 0, text);
    for (int64_t l = 0; l <= p->layers; l++) {
        table_cell(&t, "%lld", (long long)l);
        for (uint32_t i = 0; i < p->count; i++) {
            const depth *d = &p->network[i].depth;
            if (l && l <= d->layers) table_cell(&t, "%.4f", d->similarity[l - 1]);
            else table_cell(&t, "-");
            if (l <= d->layers) table_cell(&t, "%.4g", d->size[l]);
            else table_cell(&t, "-");
        }
    }
    table_print(&t);
}

static json_t *number(double x) { return isfinite(x) ? json_real(x) : json_null(); }

static json_t *json_of(const probe *p)
{
    json_t *all = json_array();
    for (uint32_t i = 0; i < p->count; i++) {
        const probed *n = &p->network[i];
        json_t *cosine = json_array(), *size = json_array();
        for (int64_t l = 0; l <= n->depth.layers; l++) {
            json_array_append_new(size, number(n->depth.size[l]));
            if (l) json_array_append_new(cosine, number(n->depth.similarity[l - 1]));
        }
        json_array_append_new(all,
                              json_pack("{s:s, s:s, s:I, s:o, s:o}", "network", n->given, "spec",
                                        heed_stack_spec(n->model.stack), "tokens",
                                        (json_int_t)n->tokens, "cosine", cosine, "size", size));
    }
    return all;
}

/* ---- as a picture: equal curves would hide each other, so each is a little lower ---- */

/* What is unlike in networks is often their wiring: its name, or else the letter of the table. */
static void put_names(FILE *out, const svg_panel *panel, const probe *p)
{
    for (uint32_t i = 0; i < p->count; i++) {
        const char *spec = heed_stack_spec(p->network[i].model.stack),
                   *wiring = strstr(spec, "; residual=");
        wiring = wiring ? wiring + strlen("; residual=") : "pre";
        fprintf(out, "<text class=\"n%u\" x=\"%d\" y=\"%.0f\">%c: %.*s</text>\n", i, SVG_RIGHT + 10,
                panel->top + 12 + 18 * i, 'A' + (int)i, (int)strcspn(wiring, ";"), wiring);
    }
}

static void put_layers(FILE *out, const svg_panel *panel, const probe *p)
{
    char text[32];
    for (int i = 0; i <= 4; i++) {
        const double x = round((double)p->layers * i / 4);
        snprintf(text, sizeof text, "%.0f", x);
        svg_mark_x(out, panel, x, text);
    }
    put_names(out, panel, p);
}

static void put_cosines(FILE *out, const probe *p)
{
    svg_panel panel = {.top = 50, .bottom = 260, .x1 = (double)p->layers, .y0 = 0, .y1 = 1};
    char text[32];
    svg_frame(out, &panel, "cosine between what flows into a layer and out of it", "layer");
    for (uint32_t i = 0; i < p->count; i++)
        for (int64_t l = 0; l < p->network[i].depth.layers; l++)
            panel.y0 = fmin(panel.y0, p->network[i].depth.similarity[l]);
    for (double y = ceil(4 * panel.y0) / 4; y <= 1; y += 0.25) {
        snprintf(text, sizeof text, "%.2f", y);
        svg_mark_y(out, &panel, y, text);
    }
    put_layers(out, &panel, p);
    for (uint32_t i = 0; i < p->count; i++) {
        fprintf(out, "<polyline class=\"curve n%u\" points=\"", i);
        for (int64_t l = 0; l < p->network[i].depth.layers; l++)
            fprintf(out, " %.1f,%.1f", svg_x(&panel, (double)(l + 1)),
                    svg_y(&panel, p->network[i].depth.similarity[l]) + 2 * i);
        fprintf(out, "\"/>\n");
    }
}

static void put_sizes(FILE *out, const probe *p)
{
    svg_panel panel = {
        .top = 350, .bottom = 560, .x1 = (double)p->layers, .y0 = INFINITY, .y1 = 0, .log_y = 1};
    char text[32];
    for (uint32_t i = 0; i < p->count; i++)
        for (int64_t l = 0; l <= p->network[i].depth.layers; l++) {
            const double y = p->network[i].depth.size[l];
            if (y > 0) panel.y0 = fmin(panel.y0, y), panel.y1 = fmax(panel.y1, y);
        }
    panel.y0 = exp2(floor(log2(panel.y0))), panel.y1 = exp2(ceil(log2(panel.y1) + 1e-9));
    svg_frame(out, &panel, "size of what flows out of a layer", "layer");
    for (double y = panel.y0; y <= panel.y1; y *= panel.y1 / panel.y0 > 64 ? 4 : 2) {
        snprintf(text, sizeof text, "%g", y);
        svg_mark_y(out, &panel, y, text);
    }
    put_layers(out, &panel, p);
    for (uint32_t i = 0; i < p->count; i++) {
        fprintf(out, "<polyline class=\"curve n%u\" points=\"", i);
        for (int64_t l = 0; l <= p->network[i].depth.layers; l++)
            if (p->network[i].depth.size[l] > 0)
                fprintf(out, " %.1f,%.1f", svg_x(&panel, (double)l),
                        svg_y(&panel, p->network[i].depth.size[l]) + 2 * i);
        fprintf(out, "\"/>\n");
    }
}

static void draw(FILE *out, const void *of)
{
    put_cosines(out, of);
    put_sizes(out, of);
}

int describe_probe(const probe_request *r)
{
    heed_error error = {0};
    probe *p = calloc(1, sizeof *p);
    if (!p) return command_fail(&(heed_error){.code = HEED_E_MEMORY, .text = "out of memory"});
    int32_t failed = read_all(p, r, &error);
    if (!failed && r->svg) failed = svg_write(r->svg, 620, draw, p, &error);
    int status = failed ? command_fail(&error) : 0;
    if (!failed && r->json) status = command_json(json_of(p));
    else if (!failed && (!r->svg || strcmp(r->svg, "-"))) print(p);
    for (uint32_t i = 0; i < PROBE_NETWORKS; i++) {
        depth_close(&p->network[i].depth);
        model_close(&p->network[i].model);
    }
    free(p);
    return status;
}
