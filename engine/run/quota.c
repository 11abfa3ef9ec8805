/* SPDX-License-Identifier: MIT
 *
 * quota.c: the CPU time that control groups allow, which no set of CPUs tells: a container that may have half a CPU
 * sees all of them, and a second thread there only gets the first one throttled.
 *
 * Version 2 says it in cpu.max ("50000 100000", or "max"), version 1 in cpu.cfs_quota_us (-1 = none) and
 * cpu.cfs_period_us. A group is bound by all groups above it. Both versions may be there at once. What cannot be read
 * is no quota: nothing here fails. https://docs.kernel.org/admin-guide/cgroup-v2.html
 */
#include "run/quota.h"

#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DEPTH 64 /* groups that are looked at, from the process's own upwards */

/* Not on the stack: the thread that reads may be an application's, with little of it. */
typedef struct search {
    char root[PATH_MAX], name[2 * PATH_MAX], line[3 * PATH_MAX];
    char group[PATH_MAX], base[PATH_MAX], mount[PATH_MAX], folder[3 * PATH_MAX];
    char type[16], options[1024];
    double least;
} search;

static FILE *open_below(search *s, const char *folder, const char *name)
{
    int n = snprintf(s->name, sizeof s->name, "%s/%s", folder, name);
    return n < (int)sizeof s->name ? fopen(s->name, "re") : NULL;
}

/* Numbers from the start of a file; how many. */
static int numbers(search *s, const char *name, double *to, int most)
{
    char text[128] = "", *at = text, *end;
    int n = 0;
    FILE *file = open_below(s, s->folder, name);
    if (!file) return 0;
    if (!fgets(text, sizeof text, file)) text[0] = 0;
    fclose(file);
    for (; n < most; n++, at = end) {
        to[n] = (double)strtoll(at, &end, 10); /* "max" is no number */
        if (end == at) break;
    }
    return n;
}

static void lower(search *s, double quota, double period)
{
    if (quota > 0 && period > 0 && (s->least == 0 || quota / period < s->least)) s->least = quota / period;
}

/* The group in `folder`, and all above it up to the mount point, which is the first `top` characters. */
static void climb(search *s, size_t top)
{
    for (int i = 0; i < DEPTH; i++) {
        double max[2], quota, period;
        if (numbers(s, "cpu.max", max, 2) == 2) lower(s, max[0], max[1]);
        if (numbers(s, "cpu.cfs_quota_us", &quota, 1) && numbers(s, "cpu.cfs_period_us", &period, 1))
            lower(s, quota, period);
        char *cut = strrchr(s->folder + top, '/');
        if (!cut) return;
        *cut = 0;
    }
}

/* Whether a list with commas has the word. */
static int has(const char *list, const char *word)
{
    size_t n = strlen(word), here;
    for (; *list; list += here + (list[here] == ',')) {
        here = strcspn(list, ",");
        if (here == n && !memcmp(list, word, n)) return 1;
    }
    return 0;
}

/* The process's group in the hierarchy of version 2 ("0::PATH"), or in that of version 1 which has the controller cpu
 * ("4:cpu,cpuacct:PATH"). 0 if it is in none. */
static int own_group(search *s, int version)
{
    int found = 0;
    FILE *file = open_below(s, s->root, "proc/self/cgroup");
    while (file && !found && fgets(s->line, sizeof s->line, file)) {
        char *controllers = strchr(s->line, ':'), *group = controllers ? strchr(controllers + 1, ':') : NULL;
        if (!group) continue;
        *group++ = 0;
        group[strcspn(group, "\n")] = 0;
        controllers++;
        if (strlen(group) >= sizeof s->group || !(version == 2 ? !*controllers : has(controllers, "cpu"))) continue;
        strcpy(s->group, group);
        found = 1;
    }
    if (file) fclose(file);
    return found;
}

/* What of the group's path is below the mount. BASE is the group that a mount shows; in a container it is often the
 * process's own. A group that it does not show leaves the mount itself to be looked at. */
static const char *below(const search *s)
{
    size_t n = strcmp(s->base, "/") ? strlen(s->base) : 0;
    int shown = !strncmp(s->group, s->base, n) && (!s->group[n] || s->group[n] == '/') && !strstr(s->group, "/..");
    return shown && strcmp(s->group + n, "/") ? s->group + n : "";
}

/* Looks where the hierarchy is mounted: "36 35 0:31 BASE MOUNT OPTIONS ... - TYPE SOURCE OPTIONS". */
static void look(search *s, int version)
{
    FILE *file = own_group(s, version) ? open_below(s, s->root, "proc/self/mountinfo") : NULL;
    while (file && fgets(s->line, sizeof s->line, file)) {
        const char *rest = strstr(s->line, " - ");
        if (!rest || strlen(s->line) >= sizeof s->base) continue;
        if (sscanf(rest, " - %15s %*s %1023s", s->type, s->options) != 2) continue;
        if (sscanf(s->line, "%*s %*s %*s %s %s", s->base, s->mount) != 2) continue;
        if (version == 2 ? strcmp(s->type, "cgroup2") != 0 : strcmp(s->type, "cgroup") || !has(s->options, "cpu"))
            continue;
        size_t top = (size_t)snprintf(s->folder, sizeof s->folder, "%s%s", s->root, s->mount);
        snprintf(s->folder + top, sizeof s->folder - top, "%s", below(s));
        climb(s, top);
        break;
    }
    if (file) fclose(file);
}

double quota_cpus(const char *root)
{
    search *s = calloc(1, sizeof *s);
    if (!s || strlen(root) >= sizeof s->root) return free(s), 0;
    strcpy(s->root, root);
    look(s, 1);
    look(s, 2);
    double least = s->least;
    free(s);
    return least;
}

uint32_t quota_lanes(double quota, uint32_t slots)
{
    return quota > 0 && ceil(quota) < slots ? (uint32_t)ceil(quota) : slots;
}
