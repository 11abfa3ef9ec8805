/* SPDX-License-Identifier: MIT
 *
 * topology.c: which core each worker runs on. Not the threads themselves, nor when they run: pool.c.
 *
 * A plan follows from the topology, the number of workers and the policy alone, so the plan for any machine can be
 * computed on any other from a synthetic topology. Invariant: no slot has two workers while another one has none.
 */
#include "base/error.h"
#include "run/pool.h"
#include "run/quota.h"
#include "run/topology.h"

#include <errno.h>
#include <hwloc.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <unistd.h>

/* IS_THISSYSTEM: what it reads may be bound to. DONT_CHANGE_BINDING: an application's thread that comes by here must
 * not be moved over all cores while the CPUID back-end looks at them; sysfs tells enough (and this halves the time). */
#define FLAGS \
    (HWLOC_TOPOLOGY_FLAG_IS_THISSYSTEM | HWLOC_TOPOLOGY_FLAG_RESTRICT_TO_CPUBINDING | \
     HWLOC_TOPOLOGY_FLAG_DONT_CHANGE_BINDING)

/* Numbers of CPUs that this process may run on: `first` of them, and how many. A set is as long as the kernel wants it.
 * Where that cannot be had it is one CPU, number 0. */
static uint32_t cpus_of_process(int *first)
{
    *first = 0;
    for (int bits = CPU_SETSIZE; bits <= 1 << 20; bits *= 4) {
        size_t bytes = CPU_ALLOC_SIZE(bits);
        cpu_set_t *set = CPU_ALLOC(bits);
        if (!set) break;
        int n = sched_getaffinity(0, bytes, set) ? 0 : CPU_COUNT_S(bytes, set), cpu = 0;
        while (n > 0 && !CPU_ISSET_S(cpu, bytes, set)) cpu++;
        CPU_FREE(set);
        if (n > 0) return *first = cpu, (uint32_t)n;
    }
    return 1;
}

/* Whether the kernel tells its CPUs: without, as in a chroot that has no /sys, hwloc writes so on standard error. What it
 * writes of firmware that contradicts itself only its variable HWLOC_HIDE_ERRORS=2 can silence: the command sets that,
 * before it has threads; a library must not. */
static int machine_shows(void)
{
    static const char *const files[] = {"core_cpus", "thread_siblings"}; /* since Linux 5.3, and before */
    char path[80];
    int cpu, shown = 0;
    cpus_of_process(&cpu);
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        snprintf(path, sizeof path, "/sys/devices/system/cpu/cpu%d/topology/%s", cpu, files[i]);
        shown |= !access(path, R_OK);
    }
    return shown;
}

/* hwloc 2.9 crashes, or tells of an empty machine, where memory runs out: it is asked only when what it needs could be
 * had just before. That is 0.4 MB on a small machine, and 30 KB for each CPU of a large one. */
static int memory_is_there(void)
{
    int first;
    uint32_t cpus = cpus_of_process(&first);
    void *volatile block = malloc(((size_t)1 << 20) + cpus * ((size_t)64 << 10)); /* volatile: not to be left out */
    free(block);
    return block != NULL;
}

/* All that the plan goes by. hwloc has called a machine loaded that had no CPUs, for want of memory. */
static int is_whole(hwloc_topology_t t)
{
    int cpus = hwloc_get_nbobjs_by_type(t, HWLOC_OBJ_PU);
    for (int i = 0; i < cpus; i++) {
        hwloc_obj_t o = hwloc_get_obj_by_type(t, HWLOC_OBJ_PU, (unsigned)i);
        if (!o || !o->cpuset || hwloc_bitmap_iszero(o->cpuset)) return 0;
    }
    return cpus > 0 && hwloc_get_root_obj(t);
}

hwloc_topology_t topology_open(const char *synthetic, heed_error *error)
{
    hwloc_topology_t t;
    /* Plugins that HWLOC_PLUGINS_PATH names are loaded as soon as hwloc starts; it has no way to be told not to. */
    if (getauxval(AT_SECURE)) {
        error_set(error, HEED_E_UNSUPPORTED,
                  "hwloc is not asked with the rights of another user, as the environment could make it load code");
        return NULL;
    }
    if (!synthetic && !machine_shows()) {
        error_set(error, HEED_E_SYSTEM, "/sys/devices/system/cpu does not show the CPUs");
        return NULL;
    }
    if (!memory_is_there() || hwloc_topology_init(&t)) {
        error_memory(error);
        return NULL;
    }
    if (synthetic && hwloc_topology_set_synthetic(t, synthetic)) {
        error_set(error, HEED_E_ARGUMENT, "hwloc does not understand the synthetic machine \"%.200s\"", synthetic);
    } else if (!synthetic && hwloc_topology_set_flags(t, FLAGS)) {
        error_set(error, HEED_E_SYSTEM, "this hwloc is too old");
    } else if (hwloc_topology_load(t) || !is_whole(t)) {
        error_set(error, HEED_E_SYSTEM, "hwloc cannot read %s", synthetic ? "the synthetic machine" : "this machine");
    } else {
        return t;
    }
    hwloc_topology_destroy(t);
    return NULL;
}

void topology_close(hwloc_topology_t t)
{
    if (t) hwloc_topology_destroy(t);
}

/* ---- cores in the order in which they get workers ---- */

/* Cores under o, into out. Compact: in the tree's order. Scatter: at every level (package, NUMA group, cache) one core
 * of each child in turn, so that w workers use as many packages, then nodes, then caches as w can. `spare` and `rank`
 * are scratch of out's length. A machine that knows no cores has its hardware threads for them. */
static uint32_t order(hwloc_obj_t o, int scatter, hwloc_obj_t *out, hwloc_obj_t *spare, uint32_t *rank)
{
    if (o->type == HWLOC_OBJ_CORE || o->type == HWLOC_OBJ_PU) return *out = o, 1;
    uint32_t n = 0, done = 0;
    hwloc_obj_t *lists = scatter ? spare : out, *other = scatter ? out : spare;
    for (hwloc_obj_t child = o->first_child; child; child = child->next_sibling) {
        uint32_t m = order(child, scatter, lists + n, other + n, rank + n);
        for (uint32_t k = 0; k < m; k++) rank[n + k] = k;
        n += m;
    }
    if (scatter)
        for (uint32_t turn = 0; done < n; turn++)
            for (uint32_t i = 0; i < n; i++)
                if (rank[i] == turn) out[done++] = spare[i];
    return n;
}

static int32_t package_of(hwloc_topology_t t, hwloc_obj_t core)
{
    hwloc_obj_t package = hwloc_get_ancestor_obj_by_type(t, HWLOC_OBJ_PACKAGE, core);
    return package ? (int32_t)package->logical_index : -1;
}

static int32_t node_of(hwloc_topology_t t, hwloc_obj_t core)
{
    for (hwloc_obj_t node = NULL; (node = hwloc_get_next_obj_by_type(t, HWLOC_OBJ_NUMANODE, node));)
        if (hwloc_bitmap_isincluded(core->cpuset, node->cpuset)) return (int32_t)node->logical_index;
    return -1;
}

/* Slots: the cores, or with SMT every core's first hardware thread, then every core's second, and so on: a core gets a
 * second worker only when all have one. Returns how many were written; out is of `limit`. */
static uint32_t slots(hwloc_topology_t t, hwloc_obj_t *core, uint32_t cores, uint32_t smt, topology_place *out,
                      uint32_t limit)
{
    uint32_t n = 0, before;
    unsigned turn = 0;
    do {
        before = n;
        for (uint32_t i = 0; i < cores && n < limit; i++) {
            hwloc_obj_t o = core[i];
            if (smt) o = hwloc_get_obj_inside_cpuset_by_type(t, core[i]->cpuset, HWLOC_OBJ_PU, turn);
            if (!o) continue;
            out[n++] = (topology_place){.cpus = o->cpuset, .core = (int32_t)core[i]->logical_index,
                                        .package = package_of(t, core[i]), .node = node_of(t, core[i])};
        }
        turn++;
    } while (smt && n > before && n < limit);
    return n;
}

/* ---- the plan ---- */

static uint32_t count(hwloc_topology_t t, uint32_t smt)
{
    int first;
    if (!t) return cpus_of_process(&first);
    int cores = hwloc_get_nbobjs_by_type(t, HWLOC_OBJ_CORE), threads = hwloc_get_nbobjs_by_type(t, HWLOC_OBJ_PU);
    return (uint32_t)(smt || cores < 1 ? threads : cores);
}

/* Fills plan->place; places hold copies of the topology's cpusets. 0 if memory ran out. */
static int assign(hwloc_topology_t t, topology_plan *plan)
{
    uint32_t used = plan->workers < plan->slots ? plan->workers : plan->slots;
    uint32_t all = count(t, 1); /* the most that order() can meet */
    hwloc_obj_t *core = calloc(all, sizeof *core), *spare = calloc(all, sizeof *spare);
    uint32_t *rank = calloc(all, sizeof *rank);
    topology_place *slot = calloc(used, sizeof *slot);
    int done = core && spare && rank && slot;
    if (done) {
        uint32_t cores = order(hwloc_get_root_obj(t), plan->pinning == HEED_PIN_SCATTER, core, spare, rank);
        used = slots(t, core, cores, plan->smt, slot, used);
        done = used > 0;
    }
    for (uint32_t i = 0; done && i < plan->workers; i++) {
        plan->place[i] = slot[i % used];
        plan->place[i].cpus = hwloc_bitmap_dup(slot[i % used].cpus);
        done = plan->place[i].cpus != NULL;
    }
    free(core), free(spare), free(rank), free(slot);
    return done;
}

topology_plan *topology_plan_make(hwloc_topology_t t, uint32_t workers, uint32_t pinning, uint32_t smt,
                                  heed_error *error)
{
    topology_plan *plan = calloc(1, sizeof *plan);
    uint32_t n = count(t, smt);
    double quota = !t || hwloc_topology_is_thissystem(t) ? quota_cpus("") : 0;
    if (!workers) workers = quota_lanes(quota, n < POOL_LANES_MAX ? n : POOL_LANES_MAX);
    if (plan) {
        *plan = (topology_plan){workers, n, (workers + n - 1) / n, pinning, smt, quota, NULL};
        plan->place = calloc(workers, sizeof *plan->place);
    }
    if (!plan || !plan->place) {
        topology_plan_free(plan);
        error_memory(error);
        return NULL;
    }
    for (uint32_t i = 0; i < workers; i++) plan->place[i] = (topology_place){NULL, -1, -1, -1};
    if (t && pinning != HEED_PIN_NONE && !assign(t, plan)) {
        topology_plan_free(plan);
        error_memory(error);
        return NULL;
    }
    return plan;
}

void topology_plan_free(topology_plan *plan)
{
    if (!plan) return;
    for (uint32_t i = 0; plan->place && i < plan->workers; i++) hwloc_bitmap_free(plan->place[i].cpus);
    free(plan->place);
    free(plan);
}

/* ---- binding ---- */

static int bind_to(hwloc_topology_t t, hwloc_const_bitmap_t cpus)
{
    errno = 0;
    return hwloc_set_cpubind(t, cpus, HWLOC_CPUBIND_THREAD) ? (errno ? errno : EINVAL) : 0;
}

int topology_bind(hwloc_topology_t t, const topology_plan *plan, uint32_t worker)
{
    return plan->place[worker].cpus ? bind_to(t, plan->place[worker].cpus) : 0;
}

int topology_try(hwloc_topology_t t, const topology_plan *plan)
{
    hwloc_bitmap_t former = hwloc_bitmap_alloc();
    if (!former) return ENOMEM;
    int failed = hwloc_get_cpubind(t, former, HWLOC_CPUBIND_THREAD) ? (errno ? errno : EINVAL) : 0;
    if (!failed) {
        for (uint32_t i = 0; i < plan->workers && i < plan->slots && !failed; i++) failed = topology_bind(t, plan, i);
        bind_to(t, former);
    }
    hwloc_bitmap_free(former);
    return failed;
}
