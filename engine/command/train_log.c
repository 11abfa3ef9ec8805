/* SPDX-License-Identifier: MIT
 *
 * train_log.c: how a training goes, as lines, JSON and a picture of its curves; and where its time
 * went.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/grow.h"
#include "command/svg.h"
#include "command/table.h"
#include "command/train.h"

int32_t train_log_add(train_log *l, train_report r, heed_error *error)
{
    train_report *slot = grow_append(&l->reports, &l->count, sizeof *slot);
    if (!slot) return error_memory(error);
    *slot = r;
    return HEED_OK;
}

/* ---- lines ---- */

static json_t *number(double x) { return isfinite(x) ? json_real(x) : json_null(); }

static void print_json(const train_log *l, const train_now *now)
{
    const train_report *r = &l->reports[l->count - 1];
    char train[32], valid[32];
    snprintf(train, sizeof train, "train_bits_per_%s", l->unit);
    snprintf(valid, sizeof valid, "valid_bits_per_%s", l->unit);
    json_t *line = json_pack(
        "{s:I, s:I, s:o, s:o, s:o, s:o, s:o, s:o, s:f, s:f}", "step", (json_int_t)r->step, "steps",
        (json_int_t)l->steps, train, number(r->train), valid, number(r->valid), "gap",
        number(r->valid - r->train), "rate", number(now->rate), "loss", number(now->loss), "norm",
        number(now->norm), "seconds", now->seconds, "tokens_per_second", now->tokens_per_second);
    if (line && isfinite(r->train_right)) {
        json_object_set_new(line, "train_accuracy", number(r->train_right));
        json_object_set_new(line, "valid_accuracy", number(r->valid_right));
    }
    if (line && isfinite(r->ponder)) json_object_set_new(line, "mean_steps", number(r->ponder));
    if (line && now->n_spans) {
        json_t *spans = json_array();
        for (uint32_t i = 0; i < now->n_spans; i++)
            json_array_append_new(spans, json_real(now->spans[i]));
        json_object_set_new(line, "mean_spans", spans);
    }
    if (line) json_dumpf(line, stdout, JSON_COMPACT);
    json_decref(line);
    putchar('\n');
    fflush(stdout);
}

void train_log_print(const train_log *l, const train_now *now)
{
    const train_report *r = &l->reports[l->count - 1];
    const long left = (long)(now->left + 0.5);
    if (l->json) {
        print_json(l, now);
        return;
    }
    printf("step %*lld  train %.4f", snprintf(NULL, 0, "%lld", (long long)l->steps),
           (long long)r->step, r->train);
    if (isfinite(r->valid)) printf("  held out %.4f  gap %.4f", r->valid, r->valid - r->train);
    printf(" bits per %s", l->unit);
    if (isfinite(r->train_right)) printf("  accuracy %.1f %%", 100 * r->train_right);
    if (isfinite(r->valid_right)) printf(", held out %.1f %%", 100 * r->valid_right);
    if (isfinite(r->ponder)) printf("  %.2f layers a token", r->ponder);
    for (uint32_t i = 0; i < now->n_spans; i++)
        printf("%s%.1f", i ? " " : "  spans ", now->spans[i]);
    printf("  rate %.2e  %.0f %s/s  %ld:%02ld left\n", now->rate, now->tokens_per_second,
           l->examples ? "examples" : "tokens", left / 60, left % 60);
    fflush(stdout);
}

/* ---- kept over an interruption ---- */

json_t *train_log_save(const train_log *l)
{
    json_t *all = json_array();
    for (uint32_t i = 0; i < l->count; i++) {
        const train_report *r = &l->reports[i];
        json_array_append_new(all,
                              json_pack("[I, o, o, o, o, o]", (json_int_t)r->step, number(r->train),
                                        number(r->valid), number(r->train_right),
                                        number(r->valid_right), number(r->ponder)));
    }
    return all;
}

static double number_at(const json_t *row, size_t i)
{
    const json_t *x = json_array_get(row, i);
    return json_is_number(x) ? json_number_value(x) : NAN;
}

int32_t train_log_load(train_log *l, const json_t *from, const char *path, heed_error *error)
{
    size_t i;
    json_t *row;
    json_array_foreach(from, i, row)
    {
        const json_t *step = json_array_get(row, 0);
        if (!json_is_integer(step))
            return error_set(error, HEED_E_DATA, "%s: report %zu has no step", path, i);
        const train_report r = {json_integer_value(step), number_at(row, 1), number_at(row, 2),
                                number_at(row, 3),        number_at(row, 4), number_at(row, 5)};
        TRY(train_log_add(l, r, error));
    }
    return HEED_OK;
}

/* ---- a picture ---- */

#define HEIGHT 340

typedef struct drawing {
    const train_log *log;
    const char *title;
} drawing;

static double value_of(const train_report *r, int valid) { return valid ? r->valid : r->train; }

static void put_curve(FILE *out, const svg_panel *p, const train_log *l, int valid)
{
    int points = 0;
    for (uint32_t i = 0; i < l->count; i++) {
        const double y = value_of(&l->reports[i], valid);
        if (!isfinite(y)) continue;
        if (!points++)
            fprintf(out, "<polyline class=\"curve n%d%s\" points=\"", valid,
                    valid ? "" : " dashed");
        fprintf(out, " %.1f,%.1f", svg_x(p, (double)l->reports[i].step), svg_y(p, y));
    }
    if (!points) return;
    fprintf(out, "\"/>\n<text class=\"n%d\" x=\"%d\" y=\"%.0f\">%s: %.4f</text>\n", valid,
            SVG_RIGHT + 10, p->top + 12 + 18 * valid, valid ? "held out" : "learned",
            value_of(&l->reports[l->count - 1], valid));
}

static void draw(FILE *out, const void *of)
{
    const drawing *d = of;
    const train_log *l = d->log;
    svg_panel p = {.top = 50, .bottom = 280, .x0 = 0, .x1 = 1, .y0 = INFINITY, .y1 = 0};
    char text[64];
    p.x1 = (double)l->steps;
    for (uint32_t i = 0; i < l->count; i++)
        for (int valid = 0; valid < 2; valid++) {
            const double y = value_of(&l->reports[i], valid);
            if (isfinite(y)) p.y0 = fmin(p.y0, y), p.y1 = fmax(p.y1, y);
        }
    if (!(p.y0 <= p.y1)) p.y0 = 0, p.y1 = 1;
    p.y0 = floor(2 * p.y0) / 2, p.y1 = floor(2 * p.y1) / 2 + 0.5;
    snprintf(text, sizeof text, "bits per %s, without dropout", l->unit);
    svg_frame(out, &p, text, "steps");
    for (int i = 0; i <= 4; i++) {
        snprintf(text, sizeof text, "%.0f", p.x1 * i / 4);
        svg_mark_x(out, &p, p.x1 * i / 4, text);
    }
    for (double y = p.y0; y <= p.y1 + 1e-9; y += p.y1 - p.y0 > 3 ? 1 : 0.5) {
        snprintf(text, sizeof text, "%.1f", y);
        svg_mark_y(out, &p, y, text);
    }
    for (int valid = 0; valid < 2; valid++) put_curve(out, &p, l, valid);
    fprintf(out, "<text x=\"%d\" y=\"%d\">", SVG_LEFT, HEIGHT - 8);
    svg_text(out, d->title);
    fprintf(out, "</text>\n");
}

int32_t train_log_picture(const train_log *l, const char *title, const char *path,
                          heed_error *error)
{
    return svg_write(path, HEIGHT, draw, &(drawing){l, title}, error);
}

/* ---- what was learned ---- */

void train_log_spans(const heed_trainer *t)
{
    for (uint32_t k = 0; k < t->n_spans; k++) {
        const optimiser_tensor *of = &t->optimiser.tensors[t->spans[k].weight];
        printf("%s: %.0f tokens at most; heads:", of->name, t->spans[k].limit);
        for (int64_t h = 0; h < of->n; h++)
            printf(" %.1f", t->spans[k].limit * (double)of->weight[h]);
        putchar('\n');
    }
    const char *part;
    double mean;
    for (uint32_t k = 0; (mean = tape_reach(t->tape, k, &part)) >= 0; k++)
        printf("%s: tokens look %.1f back on the average\n", part, mean);
}

uint32_t train_log_span_count(const heed_trainer *t)
{
    uint32_t n = 0;
    while (tape_reach(t->tape, n, NULL) >= 0) n++;
    return t->n_spans + n;
}

void train_log_span_means(const heed_trainer *t, double *means)
{
    for (uint32_t k = t->n_spans; k < train_log_span_count(t); k++)
        means[k] = tape_reach(t->tape, k - t->n_spans, NULL);

    for (uint32_t k = 0; k < t->n_spans; k++) {
        const optimiser_tensor *of = &t->optimiser.tensors[t->spans[k].weight];
        double sum = 0;
        for (int64_t h = 0; h < of->n; h++) sum += (double)of->weight[h];
        means[k] = t->spans[k].limit * sum / (double)of->n;
    }
}

double train_log_ponder(const heed_trainer *t)
{
    double steps, rest;
    const int64_t tokens = tape_ponder(t->tape, &steps, &rest);
    return tokens ? steps / (double)tokens : NAN;
}

/* ---- where the time went ---- */

int32_t train_log_profile(const heed_trainer *t, double seconds, heed_error *error)
{
    static const char *const names[TRAINER_TIMES] = {
        [TAPE_ATTENTION] = "attention",   [TAPE_PRODUCTS] = "products",
        [TAPE_NORMS] = "norms",           [TAPE_OTHERS] = "embedding, positions, sums",
        [TAPE_DROPOUT] = "dropout",       [TRAINER_LOSS] = "losses",
        [TRAINER_OPTIMISER] = "optimiser"};
    static const table_column columns[] = {
        {"part", 0, 0, 0}, {"seconds", 1, 0, 0}, {"share", 1, 0, 0}};
    double of[TRAINER_TIMES], rest = seconds;
    table all = {.column = columns, .n_columns = 3};
    trainer_seconds(t, of);
    for (int i = 0; i < TRAINER_TIMES; i++) {
        table_cell(&all, "%s", names[i]);
        table_cell(&all, "%.2f", of[i]);
        table_cell(&all, "%.1f %%", 100 * of[i] / seconds);
        rest -= of[i];
    }
    table_cell(&all, "data, files and the rest");
    table_cell(&all, "%.2f", rest);
    table_cell(&all, "%.1f %%", 100 * rest / seconds);
    const int32_t failed = table_print(&all);
    return failed ? error_memory(error) : HEED_OK;
}
