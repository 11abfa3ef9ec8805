/* SPDX-License-Identifier: MIT
 *
 * compare.c: heed compare: records of heed bench and of bench/peers/run side by side.
 *
 * Invariant: nothing is printed before all files have been read and found right.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "command/command.h"
#include "command/options.h"
#include "command/table.h"
#include "bench/report/record.h"
#include "bench/report/report.h"
#include "bench/report/row.h"

static const char usage[] =
    "usage: heed compare A.json [B.json ...]\n"
    "Puts records side by side: of heed bench --json, from any machines, and of bench/peers/run "
    "--json.\n"
    "\n"
    "A case is a spec, shape and dtype; its rows are the paths, threads and files. \"to A\" is a "
    "row's time over that\n"
    "of the first file with the same path and threads (of its fastest path, where it has not that "
    "one: then this is\n"
    "named); \"equal\" where the two differ by less than their spread. A peer is put beside heed "
    "in its own file.\n"
    "Instructions that an emulator counted stand in the column of the time, and are put beside "
    "other counts only.\n"
    "The head says of each file which paths were timed on hardware, which were counted under qemu, "
    "which neither.\n"
    "\n"
    "Results must have the same bits on every path and machine, unless a path is inexact by name. "
    "A row that has not\n"
    "is marked, and the exit status is 1. Cases that not all files have are counted at the end.\n";

/* ---- order: cases as they first come, in them threads, paths, files ---- */

static int by_index(const record_row *a, const record_row *b)
{
    return (a->index > b->index) - (a->index < b->index);
}

static int by_case(const record_row *a, const record_row *b)
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

static int is_peer(const record_row *r) { return r->owner != r->index; }

static int by_group(const void *x, const void *y)
{
    const record_row *a = x, *b = y;
    if (a->group != b->group) return a->group < b->group ? -1 : 1;
    if (a->threads != b->threads) return a->threads < b->threads ? -1 : 1;
    if (is_peer(a) != is_peer(b)) return is_peer(a) - is_peer(b);
    int order = strcmp(a->path, b->path);
    return order ? order : by_index(a, b);
}

static void arrange(record_set *all)
{
    if (!all->n_rows) return;
    qsort(all->rows, all->n_rows, sizeof *all->rows, by_case_then_index);
    for (uint32_t i = 0; i < all->n_rows; i++) {
        record_row *r = &all->rows[i];
        r->group = i && !by_case(r - 1, r) ? r[-1].group : r->index;
    }
    qsort(all->rows, all->n_rows, sizeof *all->rows, by_group);
}

/* ---- the table ---- */

static char letter(const record_row *r) { return (char)('A' + r->file); }

static const char *text_of(const json_t *j, const char *key)
{
    return json_string_value(json_object_get(j, key));
}
static double number_of(const json_t *j, const char *key)
{
    return json_number_value(json_object_get(j, key));
}

/* What a row tells; counts and times are never put beside each other. */
static int is_counted(const record_row *r) { return !isnan(r->instructions); }
static double amount(const record_row *r) { return is_counted(r) ? r->instructions : r->seconds; }

static void print_machine(const record_set *all, uint32_t file, int width)
{
    const json_t *machine = json_object_get(all->records[file], "machine");
    const json_t *best = json_object_get(all->records[file], "peaks");
    const char *key, *comma = "peaks ";
    json_t *one;
    const char *emulator = text_of(machine, "emulator"),
               *suite = text_of(all->records[file], "suite");
    printf("%c  %-*s  %s, %.0f cores; heed %s, %s; %s", (char)('A' + file), width, all->paths[file],
           text_of(machine, "cpu"), number_of(machine, "cores"), text_of(machine, "heed_version"),
           text_of(machine, "compiler"), text_of(machine, "date"));
    if (suite) printf("; suite %s", suite);
    if (emulator) printf("; emulated by %s", emulator);
    printf("\n");
    if (!json_is_object(best)) return;
    printf("   %-*s  ", width, "");
    json_object_foreach(json_object_get(best, "fma_gflops"), key, one) {
        printf("%s%s %.1f", comma, key, json_number_value(one));
        comma = ", ";
    }
    printf(" GFLOP/s; reading %.1f, copying %.1f GB/s\n", number_of(best, "read_gbps"),
           number_of(best, "copy_gbps"));
}

/* What is known of each path of a file: a time of real hardware, a count of an emulator, or
 * neither. */
static void print_paths(const record_set *all, uint32_t file, int width)
{
    enum { TIMED, COUNTED, NEITHER, KINDS };
    static const char *const how[KINDS] = {"timed on hardware", "counted under ", "not timed"};
    const json_t *machine = json_object_get(all->records[file], "machine");
    const char *emulator = text_of(machine, "emulator"), *after = "";
    const json_t *paths = json_object_get(machine, "paths");
    uint8_t kind[32] = {0};
    for (size_t p = 0; p < json_array_size(paths) && p < sizeof kind; p++) {
        const char *path = json_string_value(json_array_get(paths, p));
        kind[p] = NEITHER;
        for (uint32_t i = 0; i < all->n_rows && path; i++) {
            const record_row *r = &all->rows[i];
            if (r->file != file || is_peer(r) || strcmp(r->path, path)) continue;
            if (is_counted(r) && emulator) kind[p] = COUNTED;
            else if (!isnan(r->seconds) && !emulator) kind[p] = TIMED;
        }
    }
    for (int k = 0; k < KINDS; k++) {
        const char *before = after;
        for (size_t p = 0; p < json_array_size(paths) && p < sizeof kind; p++) {
            const char *path = json_string_value(json_array_get(paths, p));
            if (kind[p] != k || !path) continue;
            if (!*after) printf("   %-*s  ", width, "");
            printf("%s%s", before, path);
            before = ", ", after = "; ";
        }
        if (strcmp(before, ", ")) continue;
        printf(" %s%s", how[k], k == COUNTED ? emulator : "");
    }
    if (*after) printf("\n");
}

/* What a row's time is put beside: a peer's owner; else in the first file the row of the same path,
 * or the fastest. Rows of the first file itself: nothing. */
static const record_row *base_of(const record_row *r, const record_row *group, uint32_t n)
{
    const record_row *fastest = NULL;
    for (uint32_t i = 0; i < n; i++) {
        const record_row *g = &group[i];
        if (is_peer(r) && g->index == r->owner) return g;
        if (is_peer(r) || is_peer(g) || !r->file || g->file || g->threads != r->threads ||
            isnan(amount(g)))
            continue;
        if (is_counted(r) != is_counted(g)) continue;
        if (!strcmp(g->path, r->path)) return g;
        if (!fastest || amount(g) < amount(fastest)) fastest = g;
    }
    return fastest;
}

static void add_ratio(table *t, const record_row *r, const record_row *base)
{
    char text[32] = "", note[64] = "";
    if (base && !isnan(amount(r)) && !isnan(amount(base))) {
        /* fmax leaves out a NAN */
        double ratio = amount(r) / amount(base), spread = fmax(r->spread, base->spread);
        const char *other = strcmp(base->path, r->path) ? base->path : "";
        const char *equal = fabs(ratio - 1) <= spread ? "equal" : "";
        snprintf(text, sizeof text, "%.2f", ratio);
        snprintf(note, sizeof note, "%s%.32s%s%s", *other ? "of " : "", other,
                 *other && *equal ? ", " : "", equal);
    }
    table_cell(t, *note ? "%6s %s" : *text ? "%6s" : "", text, note);
}

/* The first row of a case that has a hash; its last row, if none has. */
static const record_row *first_hash(const record_row *group, uint32_t n)
{
    uint32_t i = 0;
    while (i + 1 < n && !group[i].hash) i++;
    return &group[i];
}

/* Of other bits than the first of its case that has any. */
static int differs(const record_row *r, const record_row *group, uint32_t n)
{
    const record_row *first = first_hash(group, n);
    return first->hash && r->hash && strcmp(first->hash, r->hash) != 0;
}

/* Run once for its hash, and held against nothing: there is no more to see, while it agrees. */
static int is_silent(const record_row *r) { return isnan(amount(r)) && !*r->limit && !is_peer(r); }

static void add_row(table *t, const record_row *r, const record_row *group, uint32_t n)
{
    char time[32], share[32] = "-", spread[32] = "", other[128] = "";
    if (!isnan(r->fraction))
        snprintf(share, sizeof share, "%.0f %% of %.8s", 100 * r->fraction, r->limit);
    if (!isnan(r->spread)) snprintf(spread, sizeof spread, "%.0f %%", 100 * r->spread);
    if (is_counted(r)) row_count(r->instructions, time, sizeof time - 6), strcat(time, " instr");
    else if (isnan(r->seconds)) strcpy(time, "-");
    else row_time(r->seconds, time, sizeof time);
    table_cell(t, "%c", letter(r));
    table_cell(t, "%s", r->path);
    table_cell(t, "%lld", (long long)r->threads);
    table_cell(t, "%s", time);
    add_ratio(t, r, base_of(r, group, n));
    table_cell(t, "%s", share);
    table_cell(t, "%s", spread);
    if (differs(r, group, n))
        snprintf(other, sizeof other, "other bits than %c %s", letter(first_hash(group, n)),
                 first_hash(group, n)->path);
    table_cell(t, "%s%s%s", r->noisy ? "noisy" : "", r->noisy && *other ? "  " : "", other);
}

static uint32_t print_cases(const record_set *all)
{
    static const table_column columns[] = {
        {"file", 0, 0, 0},    {"path", 0, 8, 0},          {"threads", 1, 0, 1}, {"time", 1, 0, 0},
        {"  to A", 0, 12, 0}, {"share of peak", 0, 0, 3}, {"spread", 1, 0, 2},  {"", 0, 12, 0},
    };
    table t = {.column = columns, .n_columns = 8, .indent = 2};
    uint32_t differ = 0;
    for (uint32_t i = 0, n; i < all->n_rows; i += n) {
        const record_row *group = &all->rows[i];
        for (n = 1; i + n < all->n_rows && group[n].group == group->group; n++) {}
        int shown = 0;
        for (uint32_t r = 0; r < n; r++) {
            int other = differs(&group[r], group, n);
            differ += (uint32_t)other;
            if (is_silent(&group[r]) && !other) continue;
            if (!shown++) table_line(&t, "\n%s  %s  %s", group->spec, group->shape, group->dtype);
            add_row(&t, &group[r], group, n);
        }
    }
    if (all->n_rows) printf("\n");
    if (all->n_rows) table_print(&t);
    return differ;
}

/* How many cases have hashes that can be compared, and what of them. */
static void print_hashes(const record_set *all, uint32_t differ)
{
    uint32_t cases = 0;
    for (uint32_t i = 0, n, hashes; i < all->n_rows; i += n) {
        for (n = hashes = 0; i + n < all->n_rows && all->rows[i + n].group == all->rows[i].group;
             n++)
            hashes += all->rows[i + n].hash != NULL;
        cases += hashes > 1;
    }
    if (cases && !differ)
        printf("\n%u case%s gave the same bits on every path and in every file\n", cases,
               cases == 1 ? "" : "s");
}

/* Cases that are in some files and not in others: how many of which. */
static void print_absent(const record_set *all)
{
    uint32_t absent[RECORD_FILES] = {0};
    for (uint32_t i = 0, n; i < all->n_rows; i += n) {
        const record_row *group = &all->rows[i];
        uint32_t has[RECORD_FILES] = {0};
        for (n = 0; i + n < all->n_rows && group[n].group == group->group; n++)
            has[group[n].file] = 1;
        for (uint32_t f = 0; f < all->files; f++) absent[f] += !has[f];
    }
    const char *before = "\n";
    for (uint32_t f = 0; f < all->files; f++) {
        if (!absent[f]) continue;
        printf("%s%c lacks %u case%s that others have\n", before, (char)('A' + f), absent[f],
               &"s"[absent[f] == 1]);
        before = "";
    }
}

static int print(const record_set *all)
{
    int width = 0;
    for (uint32_t f = 0; f < all->files; f++)
        if ((int)strlen(all->paths[f]) > width) width = (int)strlen(all->paths[f]);
    for (uint32_t f = 0; f < all->files; f++) {
        print_machine(all, f, width);
        print_paths(all, f, width);
    }
    uint32_t differ = print_cases(all);
    print_hashes(all, differ);
    print_absent(all);
    if (!differ) return 0;
    heed_error e;
    error_set(&e, HEED_E_DATA, "%u row%s marked: the same spec, shape and dtype gave other bits",
              differ, differ == 1 ? " is" : "s are");
    return command_fail(&e);
}

/* ---- the command ---- */

static int read_path(void *to, const char *value)
{
    record_set *all = to;
    if (all->files == RECORD_FILES)
        return options_usage("compare takes at most %d files", RECORD_FILES);
    all->paths[all->files++] = value;
    return 0;
}

int command_compare(int argc, char **argv)
{
    static const option table[] = {{"", 1, .read = read_path, .values = "FILE"}, {0}};
    heed_error error = {0};
    record_set all = {.error = &error};
    int status = options_parse(argc, argv, usage, table, &all, NULL);
    if (!status && !all.files)
        status = options_usage("compare needs a record, as heed bench --json writes it");
    if (status) return status;
    int32_t failed = HEED_OK;
    for (uint32_t f = 0; f < all.files && !failed; f++) failed = record_read(&all, f);
    if (!failed) arrange(&all);
    status = failed ? command_fail(&error) : print(&all);
    record_free(&all);
    return status;
}
