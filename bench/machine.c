/* SPDX-License-Identifier: MIT
 *
 * machine.c: the machine that a record is of: processor, caches, topology, compiler, versions.
 */
#ifdef HAVE_CONFIG_H
#include "config.h"
#endif

#include <hwloc.h>
#include <stdio.h>
#include <string.h>
#include <sys/utsname.h>
#include <time.h>

#include "base/cpu.h"
#include "bench/bench.h"
#include "bench/count.h"
#include "bench/machine.h"
#include "inspect.h"

#ifdef __GLIBC__
#include <gnu/libc-version.h>
#define LIBC gnu_get_libc_version()
#else
#define LIBC "unknown"
#endif
#ifndef PACKAGE_VERSION
#define PACKAGE_VERSION "unversioned"
#endif
#if defined __clang__
#define COMPILER "clang " __clang_version__
#else
#define COMPILER "gcc " __VERSION__
#endif

const char *machine_version(void) { return PACKAGE_VERSION; }

/* Under qemu's arm64 the names that can be asked for are those of the machine around it. */
const char *machine_cpu(char *buffer, size_t n)
{
#if defined __aarch64__
    if (count_emulator()) return snprintf(buffer, n, "arm64, as qemu-aarch64 emulates it"), buffer;
#endif
    return cpu_brand(buffer, n);
}

uint64_t machine_cache_bytes(void)
{
    uint64_t bytes = 0;
    hwloc_topology_t t = inspect_topology(NULL);
    const hwloc_obj_type_t last = t && hwloc_get_nbobjs_by_type(t, HWLOC_OBJ_L3CACHE) > 0
                                      ? HWLOC_OBJ_L3CACHE
                                      : HWLOC_OBJ_L2CACHE;
    for (hwloc_obj_t c = NULL; t && (c = hwloc_get_next_obj_by_type(t, last, c));)
        bytes += c->attr->cache.size;
    if (t) hwloc_topology_destroy(t);
    return bytes;
}

/* Caches by level, from the nearest: how many there are, and of what size. */
static json_t *json_caches(hwloc_topology_t t)
{
    static const hwloc_obj_type_t types[] = {HWLOC_OBJ_L1CACHE, HWLOC_OBJ_L2CACHE,
                                             HWLOC_OBJ_L3CACHE, HWLOC_OBJ_L4CACHE};
    json_t *caches = json_array();
    for (int i = 0; t && i < (int)(sizeof types / sizeof *types); i++) {
        hwloc_obj_t first = hwloc_get_obj_by_type(t, types[i], 0);
        if (!first) continue;
        json_int_t bytes = (json_int_t)first->attr->cache.size;
        int n = hwloc_get_nbobjs_by_type(t, types[i]);
        json_array_append_new(
            caches, json_pack("{s:i, s:I, s:i}", "level", i + 1, "bytes", bytes, "count", n));
    }
    return caches;
}

static int count(hwloc_topology_t t, hwloc_obj_type_t type)
{
    int n = t ? hwloc_get_nbobjs_by_type(t, type) : 0;
    return n > 0 ? n : 0;
}

static json_t *json_topology(const bench *b, hwloc_topology_t t)
{
    char why[128];
    const char *unpinned = inspect_unpinned(b->engine, why, sizeof why);
    return json_pack("{s:i, s:i, s:i, s:i, s:b}", "packages", count(t, HWLOC_OBJ_PACKAGE),
                     "numa_nodes", count(t, HWLOC_OBJ_NUMANODE), "cores", count(t, HWLOC_OBJ_CORE),
                     "threads", count(t, HWLOC_OBJ_PU), "pinned", !unpinned);
}

static json_t *json_versions(void)
{
    char hwloc[16];
    unsigned v = hwloc_get_api_version();
    snprintf(hwloc, sizeof hwloc, "%u.%u.%u", v >> 16, v >> 8 & 0xff, v & 0xff);
    return json_pack("{s:s, s:s, s:s, s:s}", "heed", PACKAGE_VERSION, "hwloc", hwloc, "jansson",
                     JANSSON_VERSION, "libc", LIBC);
}

static json_t *json_paths(const bench *b)
{
    const char *name;
    json_t *paths = json_array();
    for (uint32_t i = 0; (name = cpu_path(inspect_features(b->engine), i)); i++)
        json_array_append_new(paths, json_string(name));
    return paths;
}

json_t *machine_json(const bench *b)
{
    char brand[128], os[sizeof(struct utsname)] = "?", date[32] = "?";
    struct utsname u;
    struct tm tm;
    time_t now = time(NULL);
    if (!uname(&u)) snprintf(os, sizeof os, "%s %s %s", u.sysname, u.release, u.machine);
    if (gmtime_r(&now, &tm)) strftime(date, sizeof date, "%Y-%m-%dT%H:%M:%SZ", &tm);
    hwloc_topology_t t = inspect_topology(NULL);
    json_t *j = json_pack("{s:s, s:s?, s:o, s:i, s:i, s:o, s:o, s:s, s:s, s:s, s:o, s:s}", "cpu",
                          machine_cpu(brand, sizeof brand), "emulator", count_emulator(), "paths",
                          json_paths(b), "cores", count(t, HWLOC_OBJ_CORE), "threads",
                          count(t, HWLOC_OBJ_PU), "caches", json_caches(t), "topology",
                          json_topology(b, t), "os", os, "compiler", COMPILER, "heed_version",
                          PACKAGE_VERSION, "versions", json_versions(), "date", date);
    if (t) hwloc_topology_destroy(t);
    return j;
}
