/* SPDX-License-Identifier: MIT
 *
 * pool.h: the threads that run tiles.
 */
#ifndef HEED_RUN_POOL_H
#define HEED_RUN_POOL_H

#include <stddef.h>

#include "base/local.h"

#define POOL_LANES_MAX 4096

typedef struct pool pool;

/* The pool's host service. Threads start at the first parallel work. threads 0 = one a core of the cpuset. The calling
 * thread is lane 0 and keeps its own affinity; the others are pinned. A child of fork() runs serially once its parent
 * has done parallel work. [any], pool_free [one] */
HEED_LOCAL pool *pool_new(uint32_t threads, uint32_t pinning, uint32_t smt, heed_error *error);
HEED_LOCAL void pool_free(pool *p);
HEED_LOCAL uint32_t pool_lanes(pool *p); /* with threads 0 the first call reads the topology */
HEED_LOCAL const heed_host *pool_host(pool *p);
/* How many lanes have run at least one tile so far. */
HEED_LOCAL uint32_t pool_ran(pool *p);
/* Binds the calling thread to lane 0's place: for a command's main thread, never for an application's. 0 or an errno.
 * These two not from inside a tile. */
HEED_LOCAL int pool_pin_caller(pool *p);
/* "not pinned: <reason>" if a worker could not be bound as planned (or none was to be), else NULL. */
HEED_LOCAL const char *pool_unpinned(pool *p, char *buffer, size_t n);

#endif
