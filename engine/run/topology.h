/* SPDX-License-Identifier: MIT
 *
 * topology.h: the machine as hwloc tells it, and the plan where threads go.
 */
#ifndef HEED_RUN_TOPOLOGY_H
#define HEED_RUN_TOPOLOGY_H

#include "base/local.h"

struct hwloc_topology; /* hwloc_topology_t and hwloc_bitmap_t point at these; hwloc.h stays out of here */
struct hwloc_bitmap_s;

/* Where one worker goes. Numbers are hwloc's logical ones; -1 = the machine does not tell, or it is not pinned. */
typedef struct topology_place {
    struct hwloc_bitmap_s *cpus; /* a whole core, or with SMT a hardware thread; NULL = not to be pinned */
    int32_t core, package, node;
} topology_place;

typedef struct topology_plan {
    uint32_t workers;
    uint32_t slots;  /* cores, or with SMT hardware threads, that this process may use */
    uint32_t crowd;  /* most workers on one slot; above 1 the plan is oversubscribed */
    uint32_t pinning, smt;
    double quota;    /* CPUs whose time this process may use, by its control groups; 0 = no limit */
    topology_place *place; /* [workers]; 0 is the calling thread's, which nobody binds to it unasked */
} topology_plan;

/* This machine, as far as this process may use it (taskset, containers, mpirun); or hwloc's synthetic one. Takes
 * milliseconds. NULL where hwloc cannot read it, and where it is not asked: in a process with the rights of another
 * user, where it would print, and where it would run out of memory. */
HEED_LOCAL struct hwloc_topology *topology_open(const char *synthetic, heed_error *error);
HEED_LOCAL void topology_close(struct hwloc_topology *t);
/* workers 0 = one a slot, or as many as the quota has CPUs, rounded up. Binds nothing. t NULL = an unknown machine:
 * nothing is pinned. */
HEED_LOCAL topology_plan *topology_plan_make(struct hwloc_topology *t, uint32_t workers, uint32_t pinning, uint32_t smt,
                                             heed_error *error);
HEED_LOCAL void topology_plan_free(topology_plan *plan);
/* Binds the calling thread to a worker's place. 0, or the errno for which it is not pinned. */
HEED_LOCAL int topology_bind(struct hwloc_topology *t, const topology_plan *plan, uint32_t worker);
/* Whether the plan can be had: binds the calling thread to every place in turn, and back. 0, or the first errno. */
HEED_LOCAL int topology_try(struct hwloc_topology *t, const topology_plan *plan);

#endif
