/* SPDX-License-Identifier: MIT
 *
 * registry.h: all ops that the engine knows, and the plugins that were refused.
 */
#ifndef HEED_OP_REGISTRY_H
#define HEED_OP_REGISTRY_H

#include "op/entry.h"

typedef struct refusal {
    char *path, *reason;
} refusal;

typedef struct registry {
    entry **entries; /* sorted by id */
    uint32_t count;
    refusal *refusals;
    uint32_t refusal_count;
    void **blocks; /* memory of the copies */
    uint32_t block_count;
} registry;

HEED_LOCAL int32_t registry_add(registry *r, entry *e, heed_error *error); /* refuses a second op of the same id */
HEED_LOCAL const entry *registry_find(const registry *r, const char *id);
/* The path that `features` run: the last one, but one that gives other bits (HEED_PATH_INEXACT) only if `isa` is its
 * very name or `fast` is set. `isa` may be NULL. */
HEED_LOCAL const heed_path *registry_path(const entry *e, uint64_t features, const char *isa, int fast);
HEED_LOCAL int32_t registry_refuse(registry *r, const char *path, const char *reason);
/* Takes back all that a plugin that is refused after all has left: its entries (`plugin` is compared as a pointer), and
 * the blocks above `block_count`. */
HEED_LOCAL void registry_forget(registry *r, const char *plugin, uint32_t block_count);
HEED_LOCAL void registry_free(registry *r);
/* Zeroed memory that lives as long as the registry; NULL if there is none. */
HEED_LOCAL void *registry_alloc(registry *r, size_t bytes);

#endif
