/* SPDX-License-Identifier: MIT
 *
 * plan_times.c: how long a network takes on a machine, by a record of heed bench --suite that was made
 * there. Each call has a least time by the machine's peaks, and the record tells how much longer
 * calls of the same op took: that factor is interpolated, in logarithms, between the two cases whose
 * least times are nearest, those of one token apart from those of many. Beyond them it stays.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "command/plan.h"

/* A case of one token, or of one that sees what is remembered. */
static int is_token(const char *shape)
{
    static const char *const one[] = {"T=1", "x=1"};
    for (size_t i = 0; i < 2; i++) {
        const char *at = strstr(shape, one[i]);
        if (at && (!at[3] || at[3] == ',')) return 1;
    }
    return strstr(shape, "decode=") != NULL;
}

static int by_least(const void *a, const void *b)
{
    const plan_case *x = a, *y = b;
    return (x->least > y->least) - (x->least < y->least);
}

int32_t plan_cases_read(plan_machine *m, const json_t *cases, heed_error *error)
{
    const size_t n = json_array_size(cases);
    if (!(m->cases = calloc(n + 1, sizeof *m->cases))) return error_memory(error);
    for (size_t i = 0; i < n; i++) {
        const json_t *c = json_array_get(cases, i);
        const char *spec = json_string_value(json_object_get(c, "spec")),
                   *path = json_string_value(json_object_get(c, "path")),
                   *shape = json_string_value(json_object_get(c, "shape"));
        plan_case now = {.least = json_number_value(json_object_get(c, "predicted_s")),
                         .took = json_number_value(json_object_get(c, "median_s"))};
        if (!spec || !path || !shape || strcmp(path, m->path)) continue;
        if (!(now.least > 0 && now.took > 0) || strcspn(spec, "(") >= sizeof now.op) continue;
        memcpy(now.op, spec, strcspn(spec, "("));
        now.token = is_token(shape);
        m->threads = (int)json_integer_value(json_object_get(c, "threads"));
        m->cases[m->n_cases++] = now;
    }
    qsort(m->cases, m->n_cases, sizeof *m->cases, by_least);
    return HEED_OK;
}

/* By how much a call of that op takes longer than at least; NaN: no case tells. */
static double longer(const plan_machine *m, const char *op, int token, double least)
{
    const plan_case *below = NULL, *above = NULL;
    for (uint32_t i = 0; i < m->n_cases; i++) {
        const plan_case *c = &m->cases[i];
        if (c->token != token || strcmp(c->op, op)) continue;
        if (c->least <= least) below = c;
        else if (!above) above = c;
    }
    if (!below && !above) return NAN;
    if (!below) below = above;
    if (!above) above = below;
    const double a = log(below->took / below->least), b = log(above->took / above->least),
                 width = log(above->least / below->least),
                 share = width > 0 ? log(least / below->least) / width : 0;
    return exp(a + (b - a) * share);
}

static double took(const plan_machine *m, const plan_part *p, int token)
{
    const double rate = p->flops[token] > 0 ? m->gbps : m->copy_gbps,
                 least = 1e-9 * fmax(p->flops[token] / m->gflops, p->bytes[token] / rate),
                 factor = least > 0 ? longer(m, p->op, token, least) : 1;
    /* sums and norms without a case are taken at the rate of memory */
    return p->calls * least * (factor != factor && !(p->flops[token] > 0) ? 1 : factor);
}

double plan_part_seconds(const plan_part *p, const plan_machine *m, int predicted)
{
    return predicted ? took(m, p, 0) : 1e-9 * p->calls * p->flops[0] / m->gflops;
}

void plan_predict_times(plan_network *n, const plan_machine *m)
{
    double all[2] = {0, 0};
    if (!m->n_cases || *n->cost.why || n->cost.untold) return;
    for (uint32_t i = 0; i < n->cost.n_parts; i++)
        for (int token = 0; token < 2; token++) all[token] += took(m, &n->cost.parts[i], token);
    n->read = all[0] > 0 ? all[0] : 0; /* also where one is not a number */
    n->train = 3 * n->read;
    n->token = n->cost.decodes && all[1] > 0 ? all[1] : 0;
}
