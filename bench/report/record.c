/* SPDX-License-Identifier: MIT
 *
 * record.c: records of heed bench and of bench/peers/run, read for heed compare.
 *
 * They come from other machines and are not believed: every value is checked before it is used, and
 * a text with a byte that a terminal would obey is refused. Invariant: what has been read needs no
 * further check.
 */
#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/grow.h"
#include "bench/report/record.h"

#define BYTES_MAX ((size_t)16 << 20) /* of one file; a case takes 700 */

/* ---- values, checked ---- */

/* ABSENT: may be null, or not be there */
enum { TEXT = 1, NUMBER = 2, COUNT = 4, OBJECT = 8, LIST = 16, TRUTH = 32, ABSENT = 64 };

/* Where in which file. */
typedef struct place {
    record_set *all;
    const char *file;
    char at[64]; /* "cases[3]", "" = the whole record */
} place;

static int32_t refuse(const place *p, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
static int32_t refuse(const place *p, const char *format, ...)
{
    char text[512];
    va_list list;
    va_start(list, format);
    vsnprintf(text, sizeof text, format, list);
    va_end(list);
    for (char *c = text; *c; c++)
        if ((unsigned char)*c < ' ' || *c == 0x7f) *c = '?';
    return error_set(p->all->error, HEED_E_DATA, "%s: %s", p->file, text);
}

static const char *kind_name(int kinds)
{
    if (kinds & TEXT) return "a text";
    if (kinds & COUNT) return "a whole number from 1 on";
    if (kinds & NUMBER) return "a number from 0 on";
    if (kinds & TRUTH) return "true or false";
    return kinds & OBJECT ? "an object" : "a list";
}

static const char *value_name(const json_t *j)
{
    switch (json_typeof(j)) {
    case JSON_STRING: return "a text";
    case JSON_OBJECT: return "an object";
    case JSON_ARRAY: return "a list";
    case JSON_INTEGER:
    case JSON_REAL: return "a number";
    case JSON_NULL: return "null";
    default: return json_is_true(j) ? "true" : "false";
    }
}

/* Nothing that moves a cursor: neither ASCII's control characters nor U+0080 to U+009f. jansson has
 * checked UTF-8. */
static int is_plain(const char *text)
{
    for (const unsigned char *c = (const unsigned char *)text; *c; c++)
        if (*c < ' ' || *c == 0x7f || (*c == 0xc2 && c[1] < 0xa0)) return 0;
    return 1;
}

static int fits(const json_t *j, int kinds)
{
    return (kinds & TEXT && json_is_string(j)) || (kinds & OBJECT && json_is_object(j)) ||
           (kinds & LIST && json_is_array(j)) || (kinds & TRUTH && json_is_boolean(j)) ||
           (kinds & NUMBER && json_is_number(j) && json_number_value(j) >= 0) ||
           (kinds & COUNT && json_is_integer(j) && json_integer_value(j) >= 1);
}

/* The value of a key, of one of the kinds. 0, or the error after *out was left as it is. */
static int32_t get(const place *p, const json_t *object, const char *key, int kinds,
                   const json_t **out)
{
    const json_t *j = json_object_get(object, key);
    const char *dot = *p->at ? "." : "";
    if (kinds & ABSENT && (!j || json_is_null(j))) return *out = NULL, HEED_OK;
    if (!j) return refuse(p, "%s has no %s", *p->at ? p->at : "the record", key);
    if (!fits(j, kinds) && json_is_number(j) && kinds & (NUMBER | COUNT))
        return refuse(p, "%s%s%s is %g, not %s", p->at, dot, key, json_number_value(j),
                      kind_name(kinds));
    if (!fits(j, kinds))
        return refuse(p, "%s%s%s is %s, not %s", p->at, dot, key, value_name(j), kind_name(kinds));
    if (json_is_string(j) && !is_plain(json_string_value(j)))
        return refuse(p, "%s%s%s has a control character in it", p->at, dot, key);
    *out = j;
    return HEED_OK;
}

static int32_t get_text(const place *p, const json_t *object, const char *key, int absent,
                        const char **out)
{
    const json_t *j = NULL;
    int32_t failed = get(p, object, key, TEXT | absent, &j);
    *out = j ? json_string_value(j) : NULL;
    return failed;
}

static int32_t get_number(const place *p, const json_t *object, const char *key, int absent,
                          double *out)
{
    const json_t *j = NULL;
    int32_t failed = get(p, object, key, NUMBER | absent, &j);
    *out = j ? json_number_value(j) : NAN;
    return failed;
}

/* ---- records ---- */

static record_row *new_row(record_set *all, uint32_t file)
{
    const uint32_t at = all->n_rows;
    record_row *r = grow_append(&all->rows, &all->n_rows, sizeof *r);
    if (!r) return error_memory(all->error), NULL;
    *r = (record_row){.file = file, .index = at, .owner = at};
    return r;
}

/* What heed and its peers have alike. */
static int32_t read_times(const place *p, const json_t *j, record_row *r)
{
    const json_t *noisy = NULL;
    int32_t failed = get_number(p, j, "median_s", ABSENT, &r->seconds);
    if (!failed) failed = get_number(p, j, "instructions", ABSENT, &r->instructions);
    if (!failed) failed = get(p, j, "noisy", TRUTH | ABSENT, &noisy);
    r->noisy = json_is_true(noisy);
    if (!failed) failed = get_number(p, j, "spread", ABSENT, &r->spread);
    if (!failed) failed = get_number(p, j, "fraction", ABSENT, &r->fraction);
    if (!failed && !isnan(r->seconds) && !isnan(r->instructions))
        return refuse(p, "%s has median_s and instructions: it is either timed or counted", p->at);
    if (!failed && r->instructions == 0)
        return refuse(p, "%s.instructions is 0, and no call has none", p->at);
    return !failed && r->seconds == 0
               ? refuse(p, "%s.median_s is 0, and no call takes no time", p->at)
               : failed;
}

static int32_t read_peer(place *p, const json_t *j, uint32_t owner)
{
    record_row *r = new_row(p->all, p->all->rows[owner].file);
    if (!r) return HEED_E_MEMORY;
    const record_row *heed = &p->all->rows[owner];
    *r = (record_row){.file = heed->file,
                      .index = r->index,
                      .owner = owner,
                      .spec = heed->spec,
                      .shape = heed->shape,
                      .dtype = heed->dtype,
                      .threads = heed->threads,
                      .limit = heed->limit};
    if (!json_is_object(j)) return refuse(p, "%s is %s, not an object", p->at, value_name(j));
    int32_t failed = get_text(p, j, "name", 0, &r->path);
    return failed ? failed : read_times(p, j, r);
}

static int32_t read_case(place *p, const json_t *j, uint32_t file, size_t index)
{
    const json_t *threads = NULL, *peers = NULL;
    double bound = 0;
    record_row *r = new_row(p->all, file);
    if (!r) return HEED_E_MEMORY;
    uint32_t owner = r->index;
    if (!json_is_object(j)) return refuse(p, "%s is %s, not an object", p->at, value_name(j));
    int32_t failed = get_text(p, j, "spec", 0, &r->spec);
    if (!failed) failed = get_text(p, j, "shape", 0, &r->shape);
    if (!failed) failed = get_text(p, j, "dtype", 0, &r->dtype);
    if (!failed) failed = get_text(p, j, "path", 0, &r->path);
    if (!failed) failed = get_text(p, j, "limit", ABSENT, &r->limit);
    if (!failed && !r->limit) r->limit = "";
    if (!failed) failed = get_text(p, j, "hash", ABSENT, &r->hash);
    if (!failed) failed = get(p, j, "threads", COUNT, &threads);
    if (!failed) failed = read_times(p, j, r);
    if (!failed) failed = get_number(p, j, "bound", ABSENT, &bound);
    if (!failed) failed = get(p, j, "peers", LIST | ABSENT, &peers);
    if (failed) return failed;
    r->threads = json_integer_value(threads);
    if (bound != 0) r->hash = NULL; /* it may be off, or (NAN) by nobody knows how much */
    for (size_t i = 0; i < json_array_size(peers) && !failed; i++) {
        snprintf(p->at, sizeof p->at, "cases[%zu].peers[%zu]", index, i);
        failed = read_peer(p, json_array_get(peers, i), owner);
    }
    return failed;
}

static int32_t check_schema(const place *p, const json_t *record)
{
    static const char *const known[] = {"heed.bench/1", "heed.peers/1"};
    const char *schema;
    int32_t failed = get_text(p, record, "schema", 0, &schema);
    for (size_t i = 0; i < sizeof known / sizeof *known && !failed; i++)
        if (!strcmp(schema, known[i])) return HEED_OK;
    if (failed) return failed;
    return refuse(p, "the schema is " QUOTE ", not heed.bench/1 or heed.peers/1", QUOTED(schema));
}

static int32_t check_machine(place *p, const json_t *record)
{
    static const char *const texts[] = {"cpu", "heed_version", "compiler", "date"};
    const json_t *machine = NULL, *best = NULL, *fma = NULL, *one;
    const char *key, *text;
    double number;
    int32_t failed = get_text(p, record, "suite", ABSENT, &text);
    if (!failed) failed = get(p, record, "machine", OBJECT, &machine);
    if (!failed) failed = get(p, record, "peaks", OBJECT | ABSENT, &best);
    snprintf(p->at, sizeof p->at, "machine");
    for (size_t i = 0; i < sizeof texts / sizeof *texts && !failed; i++)
        failed = get_text(p, machine, texts[i], 0, &text);
    if (!failed) failed = get_text(p, machine, "emulator", ABSENT, &text);
    if (!failed) failed = get_number(p, machine, "cores", 0, &number);
    if (failed || !best) return failed;
    snprintf(p->at, sizeof p->at, "peaks");
    failed = get(p, best, "fma_gflops", OBJECT, &fma);
    if (!failed) failed = get_number(p, best, "read_gbps", 0, &number);
    if (!failed) failed = get_number(p, best, "copy_gbps", 0, &number);
    snprintf(p->at, sizeof p->at, "peaks.fma_gflops");
    json_object_foreach((json_t *)(uintptr_t)fma, key, one) {
        if (failed) break;
        if (!is_plain(key)) return refuse(p, "peaks.fma_gflops has a control character in a name");
        failed = get_number(p, fma, key, 0, &number);
    }
    return failed;
}

static int32_t read_bytes(const place *p, char **bytes, size_t *n)
{
    FILE *f = fopen(p->file, "rb");
    if (!f) return error_set(p->all->error, HEED_E_SYSTEM, "%s: %s", p->file, strerror(errno));
    if (!(*bytes = malloc(BYTES_MAX + 1))) return fclose(f), error_memory(p->all->error);
    *n = fread(*bytes, 1, BYTES_MAX + 1, f);
    int bad = ferror(f), cause = errno;
    fclose(f);
    if (bad) return error_set(p->all->error, HEED_E_SYSTEM, "%s: %s", p->file, strerror(cause));
    if (*n > BYTES_MAX)
        return refuse(p, "is larger than %zu MiB, which no record is", BYTES_MAX >> 20);
    return *n ? HEED_OK : refuse(p, "is empty");
}

int32_t record_read(record_set *all, uint32_t file)
{
    place p = {.all = all, .file = all->paths[file]};
    char *bytes = NULL;
    size_t n = 0;
    json_error_t e;
    int32_t failed = read_bytes(&p, &bytes, &n);
    json_t *record = failed ? NULL : json_loadb(bytes, n, JSON_REJECT_DUPLICATES, &e);
    free(bytes);
    if (failed) return failed;
    if (!record) return refuse(&p, "line %d, column %d: no JSON: %s", e.line, e.column, e.text);
    all->records[file] = record;
    if (!json_is_object(record)) return refuse(&p, "is %s, not a record", value_name(record));
    const json_t *cases = NULL;
    failed = check_schema(&p, record);
    if (!failed) failed = get(&p, record, "cases", LIST, &cases);
    if (!failed) failed = check_machine(&p, record);
    for (size_t i = 0; i < json_array_size(cases) && !failed; i++) {
        snprintf(p.at, sizeof p.at, "cases[%zu]", i);
        failed = read_case(&p, json_array_get(cases, i), file, i);
    }
    return failed;
}

void record_free(record_set *all)
{
    for (uint32_t f = 0; f < all->files; f++) json_decref(all->records[f]);
    free(all->rows);
}
