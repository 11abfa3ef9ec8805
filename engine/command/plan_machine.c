/* SPDX-License-Identifier: MIT
 *
 * plan_machine.c: the least time that a network takes on a machine, by what that can do at best: the
 * peaks of a record that heed bench wrote. No op reaches them, so no call is faster, and how much
 * slower it is docs/figures.md tells. The record is anybody's.
 */
#include <stdio.h>
#include <string.h>

#include <jansson.h>

#include "base/error.h"
#include "command/plan.h"

static int32_t wrong(const char *path, const char *what, heed_error *error)
{
    return error_set(error, HEED_E_DATA,
                     "%s: %s; heed bench --peaks-only --json FILE writes a record with peaks", path,
                     what);
}

static double number(const json_t *of, const char *key)
{
    return json_number_value(json_object_get(of, key));
}

/* The fastest of the paths that give the same bits. */
static void find_path(plan_machine *m, json_t *rates)
{
    const char *path;
    json_t *rate;
    json_object_foreach(rates, path, rate)
    {
        if (strstr(path, "_bf16") || !(json_number_value(rate) > m->gflops)) continue;
        m->gflops = json_number_value(rate);
        snprintf(m->path, sizeof m->path, "%s", path);
    }
}

static void find_cache(plan_machine *m, const json_t *caches)
{
    double level = 0;
    for (size_t i = 0; i < json_array_size(caches); i++) {
        const json_t *c = json_array_get(caches, i);
        if (number(c, "level") < level) continue;
        level = number(c, "level");
        m->cache = number(c, "bytes") * number(c, "count");
    }
}

static int32_t read_record(plan_machine *m, const char *path, const json_t *record,
                           heed_error *error)
{
    const json_t *machine = json_object_get(record, "machine"),
                 *peaks = json_object_get(record, "peaks");
    const char *cpu = json_string_value(json_object_get(machine, "cpu"));
    if (!cpu || !*cpu) return wrong(path, "it is no record of heed bench", error);
    find_path(m, json_object_get(peaks, "fma_gflops"));
    find_cache(m, json_object_get(machine, "caches"));
    m->gbps = number(peaks, "read_gbps");
    m->copy_gbps = number(peaks, "copy_gbps");
    if (!(m->gflops > 0 && m->gbps > 0)) return wrong(path, "it has no peaks", error);
    snprintf(m->cpu, sizeof m->cpu, "%s", cpu);
    if (!(m->copy_gbps > 0)) m->copy_gbps = m->gbps;
    return plan_cases_read(m, json_object_get(record, "cases"), error);
}

int32_t plan_machine_read(plan_machine *m, const char *path, heed_error *error)
{
    json_error_t why;
    json_t *record = json_load_file(path, JSON_REJECT_DUPLICATES, &why);
    if (!record)
        return error_set(error, HEED_E_DATA, "%s: %s", path,
                         why.line > 0 ? "it is no JSON" : why.text);
    const int32_t failed = read_record(m, path, record, error);
    json_decref(record);
    return failed;
}

/* What fits the caches may come from there, so its bytes are no bound. Of a text that is read at once
 * the weights alone come from memory for certain. */
static double least(const plan_machine *m, double flops, double bytes)
{
    const double counted = 1e-9 * flops / m->gflops,
                 moved = bytes > m->cache ? 1e-9 * bytes / m->gbps : 0;
    return counted > moved ? counted : moved;
}

void plan_least_times(plan_network *n, const plan_machine *m)
{
    const plan_cost *c = &n->cost;
    if (!*m->cpu || *c->why) return;
    n->least_read = least(m, c->prefill_flops, 4 * n->matrices);
    n->least_train = least(m, 3 * c->prefill_flops, 4 * n->matrices);
    if (c->decodes) n->least_token = least(m, c->token_flops, c->token_bytes);
}
