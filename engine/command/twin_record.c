/* SPDX-License-Identifier: MIT
 *
 * twin_record.c: the runs of a study as JSON: what is shown, and what lies in the file of --record,
 * written anew behind each run, so that an interrupted study goes on where it was. Nothing in it
 * follows from the clock but the number of steps and the sizes of twins, which are then what counts.
 * The file is anybody's.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "command/file.h"
#include "command/twin.h"

#define KIND "plan-train/1"

/* ---- looking at the runs ---- */

const char *twin_unit(const twin_study *s) { return s->data.numbers ? "token" : "byte"; }

const twin_point *twin_lowest(const twin_run *r)
{
    const twin_point *best = NULL;
    for (uint32_t i = 0; i < r->points; i++)
        if (!best || r->point[i].valid < best->valid) best = &r->point[i];
    return best;
}

const twin_run *twin_whole(const twin_study *s, uint32_t network, uint32_t size)
{
    for (uint32_t i = 0; i < s->n_runs; i++) {
        const twin_run *r = &s->runs[i];
        if (!r->search && r->network == network && r->size == size && r->fraction >= 1 &&
            r->seed == 1)
            return r;
    }
    return NULL;
}

/* ---- writing them ---- */

static json_t *settings_of(const twin_study *s)
{
    char hash[32];
    json_t *specs = json_array();
    for (uint32_t i = 0; i < s->count; i++)
        json_array_append_new(specs, json_string(s->network[i].text));
    snprintf(hash, sizeof hash, "%016llx", (unsigned long long)s->data.hash);
    return json_pack("{s:o, s:s, s:I, s:I, s:I, s:f}", "specs", specs, "data", hash, "context",
                     (json_int_t)s->context, "learned", (json_int_t)s->data.cut, "steps",
                     (json_int_t)s->steps, "share", s->share);
}

static json_t *json_run(const twin_run *r)
{
    json_t *points = json_array();
    for (uint32_t i = 0; i < r->points; i++)
        json_array_append_new(points, json_pack("[I, f, f]", (json_int_t)r->point[i].step,
                                                r->point[i].train, r->point[i].valid));
    return json_pack("{s:I, s:I, s:f, s:f, s:I, s:I, s:b, s:o}", "network", (json_int_t)r->network,
                     "size", (json_int_t)r->size, "fraction", r->fraction, "rate", r->rate, "seed",
                     (json_int_t)r->seed, "steps", (json_int_t)r->steps, "search", r->search,
                     "points", points);
}

json_t *twin_record_list(const twin_study *s)
{
    json_t *runs = json_array();
    for (uint32_t i = 0; i < s->n_runs; i++)
        if (s->runs[i].done) json_array_append_new(runs, json_run(&s->runs[i]));
    return runs;
}

/* A line for each run. */
int32_t twin_record_save(const twin_study *s, heed_error *error)
{
    if (!s->record) return HEED_OK;
    char *text = NULL;
    size_t length, i;
    json_t *settings = settings_of(s), *runs = twin_record_list(s), *run;
    FILE *out = settings && runs ? open_memstream(&text, &length) : NULL;
    int32_t failed = out ? HEED_OK : error_memory(error);
    if (out) {
        fprintf(out, "{\"heed\": \"%s\", \"epochs\": %.17g, \"settings\":\n", KIND, s->epochs);
        json_dumpf(settings, out, 0);
        fprintf(out, ",\n\"runs\": [");
        json_array_foreach(runs, i, run)
        {
            fputs(i ? ",\n" : "\n", out);
            json_dumpf(run, out, 0);
        }
        fprintf(out, "\n]}\n");
        if (ferror(out)) failed = error_memory(error);
        if (fclose(out)) failed = error_memory(error);
    }
    if (!failed) failed = file_write(s->record, text, length, error);
    free(text);
    json_decref(settings), json_decref(runs);
    return failed;
}

/* ---- reading one ---- */

static int32_t wrong(const twin_study *s, const char *what, heed_error *error)
{
    return error_set(error, HEED_E_DATA,
                     "%s: %s; without it all runs are made, and another --record FILE keeps them",
                     s->record, what);
}

int32_t twin_record_open(twin_study *s, json_t **record, heed_error *error)
{
    json_error_t why;
    *record = NULL;
    if (!s->record) return HEED_OK;
    TRY(file_check(s->record, error));
    if (access(s->record, F_OK)) return HEED_OK;
    *record = json_load_file(s->record, JSON_REJECT_DUPLICATES, &why);
    const char *kind = json_string_value(json_object_get(*record, "heed"));
    const json_t *settings = json_object_get(*record, "settings"),
                 *steps = json_object_get(settings, "steps"),
                 *share = json_object_get(settings, "share");
    if (!kind || strcmp(kind, KIND) || json_integer_value(steps) < 1 ||
        json_integer_value(steps) > TRAIN_MOST || !(json_real_value(share) > 0))
        return wrong(s, "it is no record of heed plan --train", error);
    if (!(s->epochs > 0)) s->epochs = json_real_value(json_object_get(*record, "epochs"));
    if (!s->steps) s->steps = json_integer_value(steps);
    if (!(s->share > 0)) s->share = json_real_value(share);
    return HEED_OK;
}

static twin_run *same_run(const twin_study *s, const json_t *of)
{
    for (uint32_t i = 0; i < s->n_runs; i++) {
        twin_run *r = &s->runs[i];
        if (json_integer_value(json_object_get(of, "network")) == r->network &&
            json_integer_value(json_object_get(of, "size")) == r->size &&
            json_real_value(json_object_get(of, "fraction")) == r->fraction &&
            json_integer_value(json_object_get(of, "seed")) == r->seed &&
            json_boolean_value(json_object_get(of, "search")) == (r->search != 0) &&
            (!r->search || json_real_value(json_object_get(of, "rate")) == r->rate) && !r->done)
            return r;
    }
    return NULL;
}

static int read_points(twin_run *r, const json_t *points)
{
    size_t i;
    json_t *row;
    if (!json_is_array(points) || json_array_size(points) > TWIN_POINTS) return 0;
    json_array_foreach(points, i, row)
    {
        const json_t *train = json_array_get(row, 1), *valid = json_array_get(row, 2);
        twin_point *p = &r->point[i];
        p->step = json_integer_value(json_array_get(row, 0));
        if (p->step < 1 || p->step > r->steps || !json_is_number(train) || !json_is_number(valid))
            return 0;
        p->train = json_number_value(train), p->valid = json_number_value(valid);
        if (!(p->train > 0 && p->valid > 0)) return 0;
    }
    r->points = (uint32_t)json_array_size(points);
    return 1;
}

int32_t twin_record_runs(twin_study *s, const json_t *record, heed_error *error)
{
    json_t *own = settings_of(s), *run;
    const char *key = NULL;
    json_t *value;
    size_t i;
    if (!own) return error_memory(error);
    json_object_foreach(own, key, value)
    {
        if (json_equal(value, json_object_get(json_object_get(record, "settings"), key))) continue;
        char what[64];
        snprintf(what, sizeof what, "its runs are of other %s",
                 !strcmp(key, "data") || !strcmp(key, "learned") ? "text" : key);
        json_decref(own);
        return wrong(s, what, error);
    }
    json_decref(own);
    json_array_foreach(json_object_get(record, "runs"), i, run)
    {
        twin_run *r = same_run(s, run);
        if (!r) return wrong(s, "it has a run that is none of these networks'", error);
        r->rate = json_real_value(json_object_get(run, "rate"));
        if (!(r->rate > 0) || !read_points(r, json_object_get(run, "points")))
            return wrong(s, "a run of it has no numbers", error);
        r->done = 1;
    }
    return HEED_OK;
}
