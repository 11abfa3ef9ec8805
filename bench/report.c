/* SPDX-License-Identifier: MIT
 *
 * report.c: what was measured, as a table for people and as a record of the schema "heed.bench/1" for programs.
 *
 * Invariant: a record is whole or not there: it is written beside its place, and renamed.
 */
#ifdef HAVE_CONFIG_H
#include "config.h"
#endif

#include <errno.h>
#include <fcntl.h>
#include <hwloc.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

#include "bench.h"

#ifndef PACKAGE_VERSION
#define PACKAGE_VERSION "unversioned"
#endif
#if defined __clang__
#define COMPILER "clang " __clang_version__
#else
#define COMPILER "gcc " __VERSION__
#endif

/* ---- from rounds to one number ---- */

enum { FMA, READ, COPY };
static const char *const limits[] = {[FMA] = "fma", [READ] = "read", [COPY] = "copy"};

/* The median over the rounds of the peak at an offset of `peaks`. */
static double peak(const bench *b, size_t at)
{
    double v[b->rounds];
    for (uint32_t r = 0; r < b->rounds; r++) memcpy(&v[r], (const char *)&b->peaks[r] + at, sizeof *v);
    return bench_median(v, b->rounds);
}

#define PEAK(field) offsetof(peaks, field)

/* Time, rate and share of the peak, from the rounds. */
static void sum_up_times(const bench *b, const bench_case *c, uint32_t path, report_row *row)
{
    double time[b->rounds], ratio[b->rounds], low = INFINITY, high = 0;
    for (uint32_t r = 0; r < b->rounds; r++) {
        double least = row->limit == limits[FMA] ? c->flops / b->peaks[r].fma[path] : c->bytes / c->memory[r];
        time[r] = c->seconds[r];
        ratio[r] = least * 1e-9 / time[r];
        low = fmin(low, time[r]);
        high = fmax(high, time[r]);
    }
    row->seconds = bench_median(time, b->rounds);
    row->fraction = bench_median(ratio, b->rounds);
    row->spread = (high - low) / row->seconds;
    row->gflops = c->flops > 0 ? c->flops / row->seconds * 1e-9 : NAN;
    row->gbps = c->bytes / row->seconds * 1e-9;
}

report_row report_sum_up(const bench *b, const bench_case *c)
{
    double memory[b->rounds], fma[b->rounds];
    uint32_t path = peaks_of(heed_instance_path(c->instance)->needs);
    for (uint32_t r = 0; r < b->rounds; r++) {
        memory[r] = c->memory[r];
        fma[r] = b->peaks[r].fma[path];
    }
    double memory_peak = bench_median(memory, b->rounds), fma_peak = bench_median(fma, b->rounds);
    double done = fmax(c->executed, c->flops), products = c->flops / fma_peak, moves = c->bytes / memory_peak;

    /* what would take longest, were all at its peak */
    int limit = !c->call->stateful && products > moves ? FMA : c->copies ? COPY : READ;
    report_row row = {.c = c, .seconds = NAN, .spread = NAN, .gflops = NAN, .gbps = NAN, .fraction = NAN,
                      .limit = limits[limit], .peak = limit == FMA ? fma_peak : memory_peak,
                      .predicted = fmax(done / fma_peak, moves) * 1e-9};
    if (c->seconds) sum_up_times(b, c, path, &row);
    return row;
}

/* ---- for people ---- */

const char *report_time(double seconds, char *text, size_t n)
{
    static const struct {
        double unit;
        const char *name;
    } units[] = {{1, "s"}, {1e-3, "ms"}, {1e-6, "us"}, {1e-9, "ns"}};
    size_t u = 0;
    while (u < 3 && seconds < units[u].unit) u++;
    double x = seconds / units[u].unit;
    snprintf(text, n, "%.*f %s", x < 10 ? 2 : x < 100 ? 1 : 0, x, units[u].name);
    return text;
}

static void print_peaks(const bench *b)
{
    uint32_t lanes = heed_lanes(b->engine);
    printf("peaks, %u thread%s: multiply-adds", lanes, &"s"[lanes == 1]);
    const char *comma = " ";
    for (uint32_t i = 0; i < PEAKS_PATHS; i++) {
        double p = peak(b, PEAK(fma) + i * sizeof(double));
        if (p > 0) printf("%s%s %.1f", comma, peaks_path(i), p), comma = ", ";
    }
    printf(" GFLOP/s; reading %.1f, copying %.1f GB/s (of %llu MiB)\n", peak(b, PEAK(read)), peak(b, PEAK(copy)),
           (unsigned long long)b->buffer >> 20);
}

void report_head(const bench *b)
{
    char brand[128];
    printf("%s, %u round%s\n", cpu_brand(brand, sizeof brand), b->rounds, &"s"[b->rounds == 1]);
    if (b->peaks) print_peaks(b);
}

static void print_case(const bench *b, const bench_case *c, const int *width)
{
    char time[32], threads[16];
    report_row r = report_sum_up(b, c);
    const heed_path *path = heed_instance_path(c->instance);
    snprintf(threads, sizeof threads, "%u", heed_lanes(b->engine));
    printf("%-*s  %-*s  %-*s  %7s  %8s  ", width[0], heed_instance_spec(c->instance), width[1], c->call->text, width[2],
           path->name, threads, report_time(r.seconds, time, sizeof time));
    if (!strcmp(r.limit, "fma")) printf("%8.1f GFLOP/s", r.gflops);
    else printf("%8.1f GB/s   ", r.gbps);
    printf("  %4.0f %% of %-4s  %4.0f %%", 100 * r.fraction, r.limit, 100 * r.spread);
    if (c->max_error > 0)
        printf("  %s the scalar path by %.2g", path->flags & HEED_PATH_INEXACT ? "inexact, off" : "differs from",
               c->max_error);
    printf("\n");
}

static int wider(int width, const char *text) { return (int)strlen(text) > width ? (int)strlen(text) : width; }

void report_widths(const bench *b, int width[3])
{
    width[0] = (int)strlen("spec"), width[1] = (int)strlen("shape"), width[2] = (int)strlen("path");
    for (uint32_t i = 0; i < b->n_cases; i++) {
        width[0] = wider(width[0], heed_instance_spec(b->cases[i].instance));
        width[1] = wider(width[1], b->cases[i].call->text);
        width[2] = wider(width[2], heed_instance_path(b->cases[i].instance)->name);
    }
}

void report_table(const bench *b)
{
    int width[3];
    report_head(b);
    if (b->overhead) {
        double e = b->overhead->engine_ns, k = b->overhead->kernel_ns;
        printf("overhead of a call: %.0f ns (norm/rms on 16 numbers: %.0f ns through the engine, %.0f ns without)\n",
               e - k, e, k);
    }
    if (!b->n_cases) return;
    report_widths(b, width);
    printf("\n%-*s  %-*s  %-*s  %7s  %8s  %16s  %-14s  %6s\n", width[0], "spec", width[1], "shape", width[2], "path",
           "threads", "time", "rate   ", "share of peak", "spread");
    for (uint32_t i = 0; i < b->n_cases; i++) print_case(b, &b->cases[i], width);
}

/* ---- the machine ---- */

uint64_t report_cache_bytes(void)
{
    uint64_t bytes = 0;
    hwloc_topology_t t = topology_open(NULL, NULL);
    const hwloc_obj_type_t last = t && hwloc_get_nbobjs_by_type(t, HWLOC_OBJ_L3CACHE) > 0 ? HWLOC_OBJ_L3CACHE : HWLOC_OBJ_L2CACHE;
    for (hwloc_obj_t c = NULL; t && (c = hwloc_get_next_obj_by_type(t, last, c));) bytes += c->attr->cache.size;
    topology_close(t);
    return bytes;
}

/* Caches by level, from the nearest: how many there are, and of what size. */
static json_t *json_caches(hwloc_topology_t t)
{
    static const hwloc_obj_type_t types[] = {HWLOC_OBJ_L1CACHE, HWLOC_OBJ_L2CACHE, HWLOC_OBJ_L3CACHE,
                                             HWLOC_OBJ_L4CACHE};
    json_t *caches = json_array();
    for (int i = 0; t && i < (int)(sizeof types / sizeof *types); i++) {
        hwloc_obj_t first = hwloc_get_obj_by_type(t, types[i], 0);
        if (!first) continue;
        json_int_t bytes = (json_int_t)first->attr->cache.size;
        int n = hwloc_get_nbobjs_by_type(t, types[i]);
        json_array_append_new(caches, json_pack("{s:i, s:I, s:i}", "level", i + 1, "bytes", bytes, "count", n));
    }
    return caches;
}

static int count(hwloc_topology_t t, hwloc_obj_type_t type)
{
    int n = t ? hwloc_get_nbobjs_by_type(t, type) : 0;
    return n > 0 ? n : 0;
}

static json_t *json_machine(void)
{
    char brand[128], os[sizeof(struct utsname)] = "?", date[32] = "?";
    struct utsname u;
    struct tm tm;
    time_t now = time(NULL);
    if (!uname(&u)) snprintf(os, sizeof os, "%s %s %s", u.sysname, u.release, u.machine);
    if (gmtime_r(&now, &tm)) strftime(date, sizeof date, "%Y-%m-%dT%H:%M:%SZ", &tm);
    hwloc_topology_t t = topology_open(NULL, NULL);
    json_t *j = json_pack("{s:s, s:i, s:i, s:o, s:s, s:s, s:s, s:s}", "cpu", cpu_brand(brand, sizeof brand),
                          "cores", count(t, HWLOC_OBJ_CORE), "threads", count(t, HWLOC_OBJ_PU),
                          "caches", json_caches(t), "os", os, "compiler", COMPILER, "heed_version", PACKAGE_VERSION,
                          "date", date);
    topology_close(t);
    return j;
}

/* ---- for programs ---- */

#define LAYOUT (JSON_INDENT(2) | JSON_REAL_PRECISION(6))

static json_t *number(double x) { return isfinite(x) ? json_real(x) : json_null(); }

static json_t *json_peaks(const bench *b)
{
    if (!b->peaks) return json_null();
    json_t *fma = json_object();
    for (uint32_t i = 0; i < PEAKS_PATHS; i++) {
        double p = peak(b, PEAK(fma) + i * sizeof(double));
        if (p > 0) json_object_set_new(fma, peaks_path(i), number(p));
    }
    return json_pack("{s:o, s:o, s:o, s:I}", "fma_gflops", fma, "read_gbps", number(peak(b, PEAK(read))),
                     "copy_gbps", number(peak(b, PEAK(copy))), "buffer_bytes", (json_int_t)b->buffer);
}

/* An exact path must give the scalar path's bits: its bound is 0. An inexact one has none that is known here. */
static json_t *json_case(const bench *b, const bench_case *c)
{
    char hash[17];
    report_row r = report_sum_up(b, c);
    const heed_path *path = heed_instance_path(c->instance);
    int ran = c->seconds != NULL;
    snprintf(hash, sizeof hash, "%016llx", (unsigned long long)c->hash);
    json_t *j = json_pack("{s:s, s:s, s:i, s:s, s:s, s:o, s:o, s:o, s:o, s:s, s:o, s:o}",
                          "spec", heed_instance_spec(c->instance), "path", path->name,
                          "threads", (int)heed_lanes(b->engine), "shape", c->call->text,
                          "dtype", heed_dtype_name(c->call->dtype),
                          "median_s", number(r.seconds), "spread", number(r.spread),
                          "gflops", number(r.gflops), "gbps", number(r.gbps),
                          "limit", r.limit, "peak", number(r.peak), "fraction", number(r.fraction));
    json_t *more = json_pack("{s:s?, s:o, s:o, s:o, s:o, s:o, s:o, s:s?, s:s?}", "algorithm", c->algorithm,
                             "flops", number(c->flops > 0 ? c->flops : NAN),
                             "executed_flops", number(c->executed > 0 ? c->executed : NAN),
                             "bytes", number(c->bytes), "predicted_s", number(r.predicted),
                             "max_error", number(ran ? c->max_error : NAN),
                             "bound", number(path->flags & HEED_PATH_INEXACT ? NAN : 0),
                             "hash", ran ? hash : NULL, "judged_shape", ran ? c->judged : NULL);
    int failed = !j || !more || json_object_update(j, more);
    json_decref(more);
    if (failed) json_decref(j);
    return failed ? NULL : j;
}

static json_t *json_overhead(const bench_overhead *o)
{
    if (!o) return json_null();
    return json_pack("{s:o, s:o, s:o}", "engine_ns", number(o->engine_ns), "kernel_ns", number(o->kernel_ns),
                     "difference_ns", number(o->engine_ns - o->kernel_ns));
}

/* jansson passes a failed allocation on: NULL at the end, if anything failed. */
static json_t *json_bench(const bench *b)
{
    json_t *cases = json_array();
    for (uint32_t i = 0; i < b->n_cases; i++)
        if (json_array_append_new(cases, json_case(b, &b->cases[i]))) {
            json_decref(cases);
            return NULL;
        }
    return json_pack("{s:s, s:o, s:i, s:o, s:o, s:o}", "schema", "heed.bench/1", "machine", json_machine(),
                     "rounds", (int)b->rounds, "peaks", json_peaks(b), "overhead", json_overhead(b->overhead),
                     "cases", cases);
}

static int32_t cannot(const char *path, heed_error *error)
{
    return error_set(error, HEED_E_SYSTEM, "%s: cannot be written: %s", path, strerror(errno));
}

int32_t report_check(const char *path, heed_error *error)
{
    struct stat s;
    const char *slash = strrchr(path, '/');
    if (!strcmp(path, "-")) return HEED_OK;
    int exists = !stat(path, &s);
    if (exists && S_ISDIR(s.st_mode)) return errno = EISDIR, cannot(path, error);
    char *folder = slash ? strndup(path, (size_t)(slash - path) + 1) : strdup(".");
    if (!folder) return error_memory(error);
    int refused = (exists && access(path, W_OK)) || ((!exists || S_ISREG(s.st_mode)) && access(folder, W_OK | X_OK));
    free(folder);
    return refused ? cannot(path, error) : HEED_OK;
}

/* Takes fd. */
static int put(int fd, const json_t *j)
{
    FILE *to = fdopen(fd, "w");
    if (!to) return close(fd), 0;
    int bad = json_dumpf(j, to, LAYOUT) || fputc('\n', to) == EOF, cause = errno;
    if (fclose(to)) return 0;
    errno = cause;
    return !bad;
}

static int32_t write_file(const json_t *j, const char *path, heed_error *error)
{
    struct stat s;
    int exists = !stat(path, &s), fd;
    if (exists && !S_ISREG(s.st_mode)) { /* a pipe or device: nothing to rename over */
        fd = open(path, O_WRONLY | O_CLOEXEC);
        return fd >= 0 && put(fd, j) ? HEED_OK : cannot(path, error);
    }
    char *beside = NULL, *target = exists ? realpath(path, NULL) : strdup(path); /* a link stays */
    if (!target || asprintf(&beside, "%s.heed-%ld.tmp", target, (long)getpid()) < 0) {
        free(target);
        return error_memory(error);
    }
    int32_t failed = HEED_OK;
    fd = open(beside, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, exists ? s.st_mode & 0777 : 0666);
    if (fd < 0) {
        failed = cannot(path, error);
    } else if (!put(fd, j) || rename(beside, target)) {
        failed = cannot(path, error);
        unlink(beside);
    }
    free(beside);
    free(target);
    return failed;
}

int32_t report_write(const bench *b, const char *path, heed_error *error)
{
    json_t *j = json_bench(b);
    if (!j) return error_memory(error);
    int32_t failed = HEED_OK;
    if (!strcmp(path, "-")) {
        errno = 0;
        if (json_dumpf(j, stdout, LAYOUT) || putchar('\n') == EOF) failed = cannot("standard output", error);
    } else {
        failed = write_file(j, path, error);
    }
    json_decref(j);
    return failed;
}
