/* SPDX-License-Identifier: MIT
 *
 * compare.c: heed compare: records of heed bench and of bench/peers/run side by side.
 *
 * Records come from other machines, and are not believed: every value is checked before it is used, and no byte that a
 * terminal would obey is printed. Invariant: nothing is printed before all files have been read and found right.
 */
#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench.h"

static const char usage[] =
    "usage: heed compare A.json [B.json ...]\n"
    "Puts records side by side: of heed bench --json, from any machines, and of bench/peers/run --json.\n"
    "\n"
    "A case is a spec, shape and dtype; its rows are the paths, threads and files. \"to A\" is a row's time over that\n"
    "of the first file with the same path and threads (of its fastest path, where it has not that one: then this is\n"
    "named); \"equal\" where the two differ by less than their spread. A peer is put beside heed in its own file.\n"
    "\n"
    "Results must have the same bits on every path and machine, unless a path is inexact by name. A row that has not\n"
    "is marked, and the exit status is 1.\n";

#define FILES_MAX 26                    /* they are called A to Z */
#define BYTES_MAX ((size_t)16 << 20)    /* of one file; a case takes 700 */

/* A line of the table. Texts belong to the records. NAN, NULL = not told. */
typedef struct row {
    uint32_t file, index;                 /* index: in the order read */
    uint32_t group;                       /* index of the first row with the same spec, shape and dtype */
    uint32_t owner;                       /* of a peer: heed's row that it was measured beside; else its own index */
    const char *spec, *shape, *dtype, *path;
    int64_t threads;
    double seconds, spread, fraction;
    const char *limit, *hash;             /* hash NULL: there is none, or it need not agree */
} row;

typedef struct comparison {
    const char *paths[FILES_MAX];
    json_t *records[FILES_MAX];
    uint32_t files, n_rows, room;
    row *rows;
    heed_error *error;
} comparison;

/* ---- values, checked ---- */

enum { TEXT = 1, NUMBER = 2, COUNT = 4, OBJECT = 8, LIST = 16, ABSENT = 32 }; /* ABSENT: may be null, or not be there */

/* Where in which file. */
typedef struct place {
    comparison *all;
    const char *file;
    char at[64]; /* "cases[3]", "" = the whole record */
} place;

static int32_t refuse(const place *p, const char *format, ...) __attribute__((format(printf, 2, 3)));
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

/* Nothing that moves a cursor: neither ASCII's control characters nor U+0080 to U+009f. jansson has checked UTF-8. */
static int is_plain(const char *text)
{
    for (const unsigned char *c = (const unsigned char *)text; *c; c++)
        if (*c < ' ' || *c == 0x7f || (*c == 0xc2 && c[1] < 0xa0)) return 0;
    return 1;
}

static int fits(const json_t *j, int kinds)
{
    return (kinds & TEXT && json_is_string(j)) || (kinds & OBJECT && json_is_object(j)) ||
           (kinds & LIST && json_is_array(j)) || (kinds & NUMBER && json_is_number(j) && json_number_value(j) >= 0) ||
           (kinds & COUNT && json_is_integer(j) && json_integer_value(j) >= 1);
}

/* The value of a key, of one of the kinds. 0, or the error after *out was left as it is. */
static int32_t get(const place *p, const json_t *object, const char *key, int kinds, const json_t **out)
{
    const json_t *j = json_object_get(object, key);
    const char *dot = *p->at ? "." : "";
    if (kinds & ABSENT && (!j || json_is_null(j))) return *out = NULL, HEED_OK;
    if (!j) return refuse(p, "%s has no %s", *p->at ? p->at : "the record", key);
    if (!fits(j, kinds) && json_is_number(j) && kinds & (NUMBER | COUNT))
        return refuse(p, "%s%s%s is %g, not %s", p->at, dot, key, json_number_value(j), kind_name(kinds));
    if (!fits(j, kinds)) return refuse(p, "%s%s%s is %s, not %s", p->at, dot, key, value_name(j), kind_name(kinds));
    if (json_is_string(j) && !is_plain(json_string_value(j)))
        return refuse(p, "%s%s%s has a control character in it", p->at, dot, key);
    *out = j;
    return HEED_OK;
}

static int32_t get_text(const place *p, const json_t *object, const char *key, int absent, const char **out)
{
    const json_t *j = NULL;
    int32_t failed = get(p, object, key, TEXT | absent, &j);
    *out = j ? json_string_value(j) : NULL;
    return failed;
}

static int32_t get_number(const place *p, const json_t *object, const char *key, int absent, double *out)
{
    const json_t *j = NULL;
    int32_t failed = get(p, object, key, NUMBER | absent, &j);
    *out = j ? json_number_value(j) : NAN;
    return failed;
}

/* ---- records ---- */

static row *new_row(comparison *all, uint32_t file)
{
    if (all->n_rows == all->room) {
        uint32_t room = all->room ? 2 * all->room : 64;
        row *larger = realloc(all->rows, room * sizeof *larger);
        if (!larger) return error_memory(all->error), NULL;
        all->rows = larger;
        all->room = room;
    }
    row *r = &all->rows[all->n_rows];
    *r = (row){.file = file, .index = all->n_rows, .owner = all->n_rows};
    all->n_rows++;
    return r;
}

/* What heed and its peers have alike. */
static int32_t read_times(const place *p, const json_t *j, row *r)
{
    int32_t failed = get_number(p, j, "median_s", ABSENT, &r->seconds);
    if (!failed) failed = get_number(p, j, "spread", ABSENT, &r->spread);
    if (!failed) failed = get_number(p, j, "fraction", ABSENT, &r->fraction);
    return !failed && r->seconds == 0 ? refuse(p, "%s.median_s is 0, and no call takes no time", p->at) : failed;
}

static int32_t read_peer(place *p, const json_t *j, uint32_t owner)
{
    row *r = new_row(p->all, p->all->rows[owner].file);
    if (!r) return HEED_E_MEMORY;
    const row *heed = &p->all->rows[owner];
    *r = (row){.file = heed->file, .index = r->index, .owner = owner, .spec = heed->spec, .shape = heed->shape,
               .dtype = heed->dtype, .threads = heed->threads, .limit = heed->limit};
    if (!json_is_object(j)) return refuse(p, "%s is %s, not an object", p->at, value_name(j));
    int32_t failed = get_text(p, j, "name", 0, &r->path);
    return failed ? failed : read_times(p, j, r);
}

static int32_t read_case(place *p, const json_t *j, uint32_t file, size_t index)
{
    const json_t *threads = NULL, *peers = NULL;
    double bound = 0;
    row *r = new_row(p->all, file);
    if (!r) return HEED_E_MEMORY;
    uint32_t owner = r->index;
    if (!json_is_object(j)) return refuse(p, "%s is %s, not an object", p->at, value_name(j));
    int32_t failed = get_text(p, j, "spec", 0, &r->spec);
    if (!failed) failed = get_text(p, j, "shape", 0, &r->shape);
    if (!failed) failed = get_text(p, j, "dtype", 0, &r->dtype);
    if (!failed) failed = get_text(p, j, "path", 0, &r->path);
    if (!failed) failed = get_text(p, j, "limit", 0, &r->limit);
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
    return refuse(p, "the schema is " SPEC_QUOTE ", not heed.bench/1 or heed.peers/1", SPEC_QUOTED(schema));
}

static int32_t check_machine(place *p, const json_t *record)
{
    static const char *const texts[] = {"cpu", "heed_version", "compiler", "date"};
    const json_t *machine = NULL, *peaks = NULL, *fma = NULL, *one;
    const char *key, *text;
    double number;
    int32_t failed = get(p, record, "machine", OBJECT, &machine);
    if (!failed) failed = get(p, record, "peaks", OBJECT | ABSENT, &peaks);
    snprintf(p->at, sizeof p->at, "machine");
    for (size_t i = 0; i < sizeof texts / sizeof *texts && !failed; i++)
        failed = get_text(p, machine, texts[i], 0, &text);
    if (!failed) failed = get_number(p, machine, "cores", 0, &number);
    if (failed || !peaks) return failed;
    snprintf(p->at, sizeof p->at, "peaks");
    failed = get(p, peaks, "fma_gflops", OBJECT, &fma);
    if (!failed) failed = get_number(p, peaks, "read_gbps", 0, &number);
    if (!failed) failed = get_number(p, peaks, "copy_gbps", 0, &number);
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
    if (*n > BYTES_MAX) return refuse(p, "is larger than %zu MiB, which no record is", BYTES_MAX >> 20);
    return *n ? HEED_OK : refuse(p, "is empty");
}

static int32_t read_record(comparison *all, uint32_t file)
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

/* ---- order: cases as they first come, in them threads, paths, files ---- */

static int by_index(const row *a, const row *b) { return (a->index > b->index) - (a->index < b->index); }

static int by_case(const row *a, const row *b)
{
    int order = strcmp(a->spec, b->spec);
    if (!order) order = strcmp(a->shape, b->shape);
    return order ? order : strcmp(a->dtype, b->dtype);
}

static int by_case_then_index(const void *a, const void *b)
{
    int order = by_case(a, b);
    return order ? order : by_index(a, b);
}

static int is_peer(const row *r) { return r->owner != r->index; }

static int by_group(const void *x, const void *y)
{
    const row *a = x, *b = y;
    if (a->group != b->group) return a->group < b->group ? -1 : 1;
    if (a->threads != b->threads) return a->threads < b->threads ? -1 : 1;
    if (is_peer(a) != is_peer(b)) return is_peer(a) - is_peer(b);
    int order = strcmp(a->path, b->path);
    return order ? order : by_index(a, b);
}

static void arrange(comparison *all)
{
    if (!all->n_rows) return;
    qsort(all->rows, all->n_rows, sizeof *all->rows, by_case_then_index);
    for (uint32_t i = 0; i < all->n_rows; i++) {
        row *r = &all->rows[i];
        r->group = i && !by_case(r - 1, r) ? r[-1].group : r->index;
    }
    qsort(all->rows, all->n_rows, sizeof *all->rows, by_group);
}

/* ---- the table ---- */

static char letter(const row *r) { return (char)('A' + r->file); }

static const char *text_of(const json_t *j, const char *key) { return json_string_value(json_object_get(j, key)); }
static double number_of(const json_t *j, const char *key) { return json_number_value(json_object_get(j, key)); }

static void print_machine(const comparison *all, uint32_t file, int width)
{
    const json_t *machine = json_object_get(all->records[file], "machine");
    const json_t *peaks = json_object_get(all->records[file], "peaks");
    const char *key, *comma = "peaks ";
    json_t *one;
    printf("%c  %-*s  %s, %.0f cores; heed %s, %s; %s\n", (char)('A' + file), width, all->paths[file],
           text_of(machine, "cpu"), number_of(machine, "cores"), text_of(machine, "heed_version"),
           text_of(machine, "compiler"), text_of(machine, "date"));
    if (!json_is_object(peaks)) return;
    printf("   %-*s  ", width, "");
    json_object_foreach(json_object_get(peaks, "fma_gflops"), key, one) {
        printf("%s%s %.1f", comma, key, json_number_value(one));
        comma = ", ";
    }
    printf(" GFLOP/s; reading %.1f, copying %.1f GB/s\n", number_of(peaks, "read_gbps"), number_of(peaks, "copy_gbps"));
}

/* What a row's time is put beside: a peer's owner; else in the first file the row of the same path, or the fastest.
 * Rows of the first file itself: nothing. */
static const row *base_of(const row *r, const row *group, uint32_t n)
{
    const row *fastest = NULL;
    for (uint32_t i = 0; i < n; i++) {
        const row *g = &group[i];
        if (is_peer(r) && g->index == r->owner) return g;
        if (is_peer(r) || is_peer(g) || !r->file || g->file || g->threads != r->threads || isnan(g->seconds)) continue;
        if (!strcmp(g->path, r->path)) return g;
        if (!fastest || g->seconds < fastest->seconds) fastest = g;
    }
    return fastest;
}

static void print_ratio(const row *r, const row *base)
{
    char text[32] = "", note[64] = "";
    if (base && !isnan(r->seconds) && !isnan(base->seconds)) {
        double ratio = r->seconds / base->seconds, spread = fmax(r->spread, base->spread); /* fmax leaves out a NAN */
        const char *other = strcmp(base->path, r->path) ? base->path : "";
        const char *equal = fabs(ratio - 1) <= spread ? "equal" : "";
        snprintf(text, sizeof text, "%.2f", ratio);
        snprintf(note, sizeof note, "%s%.32s%s%s", *other ? "of " : "", other, *other && *equal ? ", " : "", equal);
    }
    printf("  %6s %-16s", text, note);
}

/* Returns 1 if the row has other bits than the first of its case that has any. */
static int print_row(const row *r, const row *group, uint32_t n, int path_width)
{
    char time[32], share[32] = "", spread[32] = "";
    const row *first = group;
    while (first < r && !first->hash) first++;
    int differs = first->hash && r->hash && strcmp(first->hash, r->hash) != 0;
    if (!isnan(r->fraction)) snprintf(share, sizeof share, "%.0f %% of %.8s", 100 * r->fraction, r->limit);
    if (!isnan(r->spread)) snprintf(spread, sizeof spread, "%.0f %%", 100 * r->spread);
    printf("  %-4c  %-*s  %7lld  %9s", letter(r), path_width, r->path, (long long)r->threads,
           isnan(r->seconds) ? "-" : report_time(r->seconds, time, sizeof time));
    print_ratio(r, base_of(r, group, n));
    printf("  %-13s  %6s", share, spread);
    if (differs) printf("  other bits than %c %s", letter(first), first->path);
    printf("\n");
    return differs;
}

static uint32_t print_cases(const comparison *all)
{
    uint32_t differ = 0;
    int width = (int)strlen("path");
    for (uint32_t i = 0; i < all->n_rows; i++)
        if ((int)strlen(all->rows[i].path) > width) width = (int)strlen(all->rows[i].path);
    if (all->n_rows)
        printf("\n  %-4s  %-*s  %7s  %9s  %6s %-16s  %-13s  %6s\n", "file", width, "path", "threads", "time", "to A",
               "", "share of peak", "spread");
    for (uint32_t i = 0, n; i < all->n_rows; i += n) {
        const row *group = &all->rows[i];
        for (n = 1; i + n < all->n_rows && group[n].group == group->group; n++) {}
        printf("\n%s  %s  %s\n", group->spec, group->shape, group->dtype);
        for (uint32_t r = 0; r < n; r++) differ += (uint32_t)print_row(&group[r], group, n, width);
    }
    return differ;
}

static int print(const comparison *all)
{
    int width = 0;
    for (uint32_t f = 0; f < all->files; f++)
        if ((int)strlen(all->paths[f]) > width) width = (int)strlen(all->paths[f]);
    for (uint32_t f = 0; f < all->files; f++) print_machine(all, f, width);
    uint32_t differ = print_cases(all);
    if (!differ) return 0;
    heed_error e;
    error_set(&e, HEED_E_DATA, "%u row%s marked: the same spec, shape and dtype gave other bits", differ,
              differ == 1 ? " is" : "s are");
    return cmd_fail(&e);
}

/* ---- the command ---- */

static int read_path(void *to, const char *value)
{
    comparison *all = to;
    if (all->files == FILES_MAX) return cmd_usage("compare takes at most %d files", FILES_MAX);
    all->paths[all->files++] = value;
    return 0;
}

int cmd_compare(int argc, char **argv)
{
    static const cmd_option table[] = {{"", 1, read_path}, {0}};
    heed_error error = {0};
    comparison all = {.error = &error};
    int status = cmd_parse(argc, argv, usage, table, &all, NULL);
    if (!status && !all.files) status = cmd_usage("compare needs a record, as heed bench --json writes it");
    if (status) return status;
    int32_t failed = HEED_OK;
    for (uint32_t f = 0; f < all.files && !failed; f++) failed = read_record(&all, f);
    if (!failed) arrange(&all);
    status = failed ? cmd_fail(&error) : print(&all);
    for (uint32_t f = 0; f < all.files; f++) json_decref(all.records[f]);
    free(all.rows);
    return status;
}
