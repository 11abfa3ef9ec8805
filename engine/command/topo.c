/* SPDX-License-Identifier: MIT
 *
 * topo.c: heed topo, the machine as the engine sees it and where its workers would run. It decides
 * nothing: what it prints comes from cpu.c and topology.c, and the plan is the one that a pool with
 * the same options makes.
 */
#include "base/cpu.h"
#include "base/error.h"
#include "command/command.h"
#include "command/options.h"
#include "run/pool.h"
#include "run/topology.h"

#include <hwloc.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char usage[] = "usage: heed topo [OPTION]...\n"
                            "Shows cores, caches and NUMA nodes that this process may use, and on "
                            "which core each worker would run.\n"
                            "\n"
                            "  --threads N         workers; 0, the standard, is one a core, or "
                            "what a quota of CPU time allows\n"
                            "  --pin POLICY        compact: neighbours share caches (standard); "
                            "scatter: over packages, NUMA nodes and\n"
                            "                      caches; none\n"
                            "  --smt               a worker a hardware thread, not a core\n"
                            "  --synthetic STRING  plan for another machine, in hwloc's words: "
                            "\"pack:2 [numa] l3:8 core:8 pu:2\"\n"
                            "  --json              the same as JSON\n"
                            "  -h, --help          this text\n";

static const char *const policies[] = {
    [HEED_PIN_COMPACT] = "compact",
    [HEED_PIN_SCATTER] = "scatter",
    [HEED_PIN_NONE] = "none",
};

typedef struct options {
    heed_options engine; /* first: threads and pinning are read into it */
    int smt, json;
    const char *synthetic;
} options;

/* ---- small writers ---- */

/* Appends to a text of 4096 bytes; what does not fit is cut off. */
typedef struct text {
    char s[4096];
    size_t n;
} text;

static void put(text *t, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void put(text *t, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    int n = vsnprintf(t->s + t->n, sizeof t->s - t->n, format, args);
    va_end(args);
    if (n > 0) t->n += (size_t)n < sizeof t->s - t->n ? (size_t)n : sizeof t->s - t->n - 1;
}

/* "0-63,128-191", with a step "0-126:2", in the order given. */
static void put_runs(text *t, const int32_t *v, uint32_t n)
{
    for (uint32_t i = 0, end; i < n; i = end) {
        for (end = i + 1; end < n && end + 1 < n && v[end + 1] - v[end] == v[i + 1] - v[i];) end++;
        int32_t step = i + 1 < n ? v[i + 1] - v[i] : 0;
        if (end > i + 1 || (end < n && step == 1)) end++; /* `end` was the last of the run */
        else end = i + 1;
        int32_t length = (int32_t)(end - i);
        put(t, "%s%d", i ? "," : "", v[i]);
        if (length > 1 && step == 0) put(t, " x%d", length);
        else if (length > 1) put(t, "-%d", v[end - 1]);
        if (length > 1 && step != 0 && step != 1) put(t, ":%d", step);
    }
}

static void put_bytes(text *t, uint64_t bytes)
{
    static const char *const units[] = {"bytes", "KiB", "MiB", "GiB", "TiB"};
    double x = (double)bytes;
    int u = 0;
    for (; x >= 1024 && u < 4; u++) x /= 1024;
    put(t, x < 10 && x != (double)(int)x ? "%.1f %s" : "%.0f %s", x, units[u]);
}

static char *cpu_list(hwloc_const_bitmap_t set)
{
    char *s = NULL;
    return set && hwloc_bitmap_list_asprintf(&s, set) >= 0 ? s : NULL;
}

static int number(hwloc_topology_t t, hwloc_obj_type_t type)
{
    int n = t ? hwloc_get_nbobjs_by_type(t, type) : 0;
    return n > 0 ? n : 0;
}

/* ---- caches, grouped by what is equal ---- */

typedef struct cache {
    unsigned level;
    char type; /* 'd' data, 'i' instructions, ' ' both */
    uint64_t bytes;
    uint32_t count, cores; /* how many there are; cores that share one */
} cache;

#define CACHES 16

static int same(const cache *a, const cache *b)
{
    return a->level == b->level && a->type == b->type && a->bytes == b->bytes &&
           a->cores == b->cores;
}

static uint32_t find_caches(hwloc_topology_t t, cache *out)
{
    uint32_t n = 0;
    for (int depth = hwloc_topology_get_depth(t); depth-- > 0;) {
        if (!hwloc_obj_type_is_cache(hwloc_get_depth_type(t, depth))) continue;
        for (hwloc_obj_t o = NULL; (o = hwloc_get_next_obj_by_depth(t, depth, o));) {
            int cores = hwloc_get_nbobjs_inside_cpuset_by_type(t, o->cpuset, HWLOC_OBJ_CORE);
            hwloc_obj_cache_type_t type = o->attr->cache.type;
            char letter = type == HWLOC_OBJ_CACHE_DATA          ? 'd'
                          : type == HWLOC_OBJ_CACHE_INSTRUCTION ? 'i'
                                                                : ' ';
            cache c = {o->attr->cache.depth, letter, o->attr->cache.size, 1,
                       cores > 0 ? (uint32_t)cores : 1};
            uint32_t i = 0;
            while (i < n && !same(&out[i], &c)) i++;
            if (i < n) out[i].count++;
            else if (n < CACHES) out[n++] = c;
        }
    }
    return n;
}

/* ---- for people ---- */

static void print_machine(hwloc_topology_t t, const options *o)
{
    char brand[128];
    text line = {.n = 0};
    if (o->synthetic) {
        printf("machine   synthetic, %s\n", o->synthetic);
    } else {
        const char *name;
        uint64_t features = cpu_detect();
        for (uint32_t i = 0; (name = cpu_path(features, i)); i++)
            put(&line, "%s%s", i ? ", " : "", name);
        printf("machine   %s\npaths     %s\n", cpu_brand(brand, sizeof brand), line.s);
    }
    if (!t) return; /* the plan says why */
    static const struct {
        hwloc_obj_type_t type;
        const char *name;
    } things[] = {{HWLOC_OBJ_PACKAGE, "package"},
                  {HWLOC_OBJ_NUMANODE, "NUMA node"},
                  {HWLOC_OBJ_CORE, "core"},
                  {HWLOC_OBJ_PU, "hardware thread"}};
    for (size_t i = 0; i < sizeof things / sizeof *things; i++) {
        int n = number(t, things[i].type);
        printf("%s%d %s%s", i ? ", " : "has       ", n, things[i].name, &"s"[n == 1]);
    }
    printf("\n");
    cache caches[CACHES];
    uint32_t n = find_caches(t, caches);
    for (uint32_t i = n; i-- > 0;) {
        const cache *c = &caches[i];
        line = (text){.n = 0};
        put_bytes(&line, c->bytes);
        printf("%-9s %u x L%u%.*s, %s", i + 1 == n ? "caches" : "", c->count, c->level,
               c->type != ' ', &c->type, line.s);
        if (c->cores == 1) printf(", one core's\n");
        else printf(", shared by %u cores\n", c->cores);
    }
    for (hwloc_obj_t node = NULL;
         (node = hwloc_get_next_obj_by_type(t, HWLOC_OBJ_NUMANODE, node));) {
        char *cpus = cpu_list(node->cpuset);
        line = (text){.n = 0};
        if (node->attr->numanode.local_memory) { /* a synthetic machine tells none */
            put_bytes(&line, node->attr->numanode.local_memory);
            put(&line, ", ");
        }
        printf("%-9s node %u: %sCPUs %s\n", node->logical_index ? "" : "memory",
               node->logical_index, line.s, cpus ? cpus : "?");
        free(cpus);
    }
}

/* A row for each package and NUMA node: its workers, and their cores in the same order. */
static void print_plan(const topology_plan *plan, const char *unpinned, int known)
{
    /* hwloc alone knows what a core has */
    const char *slot = plan->smt || !known ? "hardware thread" : "core";
    printf("plan      %u worker%s on %u %s%s", plan->workers, &"s"[plan->workers == 1],
           plan -> slots, slot, &"s"[plan->slots == 1]);
    if (plan->pinning != HEED_PIN_NONE) printf(", %s", policies[plan->pinning]);
    if (plan->quota > 0) printf(", a quota of %.3g CPU%s", plan->quota, &"s"[plan->quota == 1]);
    if (unpinned) printf(", %s", unpinned);
    if (plan->crowd > 1) printf(", oversubscribed: up to %u workers on one %s", plan->crowd, slot);
    printf("\n");
    if (!plan->place[0].cpus) return;

    int32_t *worker = calloc(plan->workers, sizeof *worker),
            *core = calloc(plan->workers, sizeof *core);
    char *printed = calloc(plan->workers, 1);
    hwloc_bitmap_t cpus = hwloc_bitmap_alloc();
    for (uint32_t i = 0; worker && core && printed && cpus && i < plan->workers; i++) {
        const topology_place *first = &plan->place[i];
        uint32_t n = 0;
        if (printed[i]) continue;
        hwloc_bitmap_zero(cpus);
        for (uint32_t k = i; k < plan->workers; k++) {
            const topology_place *p = &plan->place[k];
            if (p->package != first->package || p->node != first->node) continue;
            printed[k] = 1;
            worker[n] = (int32_t)k;
            core[n++] = p->core;
            hwloc_bitmap_or(cpus, cpus, p->cpus);
        }
        text workers = {.n = 0}, cores = {.n = 0};
        put_runs(&workers, worker, n);
        put_runs(&cores, core, n);
        char *list = cpu_list(cpus);
        const char *gap =
            workers.n + cores.n + strlen(list ? list : "") < 64 ? " " : "\n            ";
        printf("          package %d, node %d: worker%s %s%son core%s %s%s(CPUs %s)\n",
               first->package, first->node, &"s"[n == 1], workers.s, gap, &"s"[n == 1], cores.s,
               gap, list ? list : "?");
        free(list);
    }
    free(worker), free(core), free(printed), hwloc_bitmap_free(cpus);
    printf("          worker 0 is the calling thread, which keeps its own affinity\n");
}

/* ---- for programs ---- */

static json_t *json_cpus(hwloc_const_bitmap_t set)
{
    char *list = cpu_list(set);
    json_t *j = list ? json_string(list) : json_null();
    free(list);
    return j;
}

static json_t *json_number(int32_t n)
{
    return n < 0 ? json_null() : json_integer(n);
}

/* jansson passes a failed allocation on: NULL at the end, if anything failed. */
static json_t *json_topo(hwloc_topology_t t, const options *o, const topology_plan *plan,
                         const char *unpinned)
{
    json_t *paths = json_array(), *nodes = json_array(), *caches = json_array(),
           *places = json_array();
    char brand[128];
    const char *name;
    uint64_t features = o->synthetic ? 0 : cpu_detect();
    for (uint32_t i = 0; !o->synthetic && (name = cpu_path(features, i)); i++)
        json_array_append_new(paths, json_string(name));
    for (hwloc_obj_t node = NULL;
         t && (node = hwloc_get_next_obj_by_type(t, HWLOC_OBJ_NUMANODE, node));) {
        json_int_t bytes = (json_int_t)node->attr->numanode.local_memory;
        json_array_append_new(nodes, json_pack("{s:i, s:I, s:o}", "node", (int)node->logical_index,
                                               "bytes", bytes, "cpus", json_cpus(node->cpuset)));
    }
    cache found[CACHES];
    for (uint32_t i = t ? find_caches(t, found) : 0; i-- > 0;) {
        const cache *c = &found[i];
        const char *type = c->type == 'd' ? "data" : c->type == 'i' ? "instruction" : "unified";
        json_array_append_new(caches, json_pack("{s:i, s:s, s:I, s:i, s:i}", "level", (int)c->level,
                                                "type", type, "bytes", (json_int_t)c->bytes,
                                                "count", (int)c->count, "cores", (int)c->cores));
    }
    for (uint32_t i = 0; i < plan->workers; i++) {
        const topology_place *p = &plan->place[i];
        json_array_append_new(places,
                              json_pack("{s:i, s:o, s:o, s:o, s:o}", "worker", (int)i, "core",
                                        json_number(p->core), "package", json_number(p->package),
                                        "node", json_number(p->node), "cpus", json_cpus(p->cpus)));
    }
    json_t *quota = plan->quota > 0 ? json_real(plan->quota) : json_null();
    json_t *j =
        json_pack("{s:i, s:i, s:b, s:s, s:b, s:i, s:o, s:s?, s:o}", "workers", (int)plan->workers,
                  "slots", (int)plan->slots, "smt", (int)plan->smt, "pinning",
                  policies[plan->pinning], "oversubscribed", plan->crowd > 1, "workers_per_slot",
                  (int)plan->crowd, "quota", quota, "unpinned", unpinned, "places", places);
    return json_pack("{s:s?, s:s?, s:o, s:i, s:i, s:i, s:o, s:o, s:o}", "cpu",
                     o->synthetic ? NULL : cpu_brand(brand, sizeof brand), "synthetic",
                     o->synthetic, "paths", paths, "packages", number(t, HWLOC_OBJ_PACKAGE),
                     "cores", number(t, HWLOC_OBJ_CORE), "hardware_threads",
                     number(t, HWLOC_OBJ_PU), "nodes", nodes, "caches", caches, "plan", j);
}

/* ---- the command ---- */

int command_topo(int argc, char **argv)
{
    static const option known[] = {
        {"--threads", 1, .read = options_threads},
        {"--pin", 1, .read = options_pin, .values = "compact scatter none"},
        {"--smt", 0, .at = offsetof(options, smt)},
        {"--synthetic", 1, .at = offsetof(options, synthetic)},
        {"--json", 0, .at = offsetof(options, json)},
        {0}};
    options o = {.engine.pinning = HEED_PIN_COMPACT};
    heed_error error = {0}, unread = {0};
    int status = options_parse(argc, argv, usage, known, &o, NULL);
    if (status) return status;
    hwloc_topology_t t = topology_open(o.synthetic, o.synthetic ? &error : &unread);
    topology_plan *plan =
        t || !o.synthetic ? topology_plan_make(t, o.engine.threads, o.engine.pinning, o.smt, &error)
                          : NULL;
    if (plan) {
        char why[sizeof unread.text + 16];
        int failed = t ? topology_try(t, plan) : 0;
        snprintf(why, sizeof why, "not pinned: %s",
                 !t       ? unread.text
                 : failed ? strerror(failed)
                          : "not asked for");
        const char *unpinned = !t || failed || o.engine.pinning == HEED_PIN_NONE ? why : NULL;
        if (o.json) {
            json_t *j = json_topo(t, &o, plan, unpinned);
            if (!j) error_memory(&error);
            else if (!json_dumpf(j, stdout, JSON_INDENT(2))) printf("\n");
            json_decref(j);
        } else {
            print_machine(t, &o);
            print_plan(plan, unpinned, t != NULL);
        }
        if (!error.text[0] && (fflush(stdout) || ferror(stdout)))
            error_set(&error, HEED_E_SYSTEM, "standard output cannot be written");
    }
    if (error.text[0]) fprintf(stderr, "heed: %s\n", error.text);
    topology_plan_free(plan);
    topology_close(t);
    return error.text[0] ? 1 : 0;
}
