/* SPDX-License-Identifier: MIT
 *
 * registry.h: all ops that the engine knows, and the plugins that were refused.
 */
#ifndef HEED_OP_REGISTRY_H
#define HEED_OP_REGISTRY_H

#include <pthread.h>

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
    /* Who can add more: loads the files in which the op may be, or all of them with id NULL. NULL:
     * nobody. */
    int32_t (*bring)(void *source, const char *id, heed_error *error);
    void (*drop)(void *source);
    void *source;
    _Atomic uint32_t pending; /* files that may still be loaded; 0: nothing changes any more */
    pthread_mutex_t lock;     /* of entries and refusals until then; all zeros is an open one */
} registry;

/* Of two ops of one id the one of the lower rank stays, and the other is passed over. A plugin's
 * second one is refused.
 */
HEED_LOCAL int32_t registry_add(registry *r, entry *e, heed_error *error);
/* The same for all ops of a plugin, or for none. */
HEED_LOCAL int32_t registry_add_all(registry *r, entry *const *e, uint32_t n, heed_error *error);
/* NULL if there is none; then `error` is set only if memory ran out. */
HEED_LOCAL const entry *registry_find(const registry *r, const char *id);
/* of what is there; UINT64_MAX = nothing is */
HEED_LOCAL uint64_t registry_rank(const registry *r, const char *id);
/* That `plugin`, which lives as long as the registry, is named after this id, but the op is another
 * one's. */
HEED_LOCAL void registry_note(registry *r, const char *id, const char *plugin);
HEED_LOCAL const entry *registry_seek(const registry *r, const char *id, heed_error *error);
/* Before entries or refusals are gone through: all that there are. */
HEED_LOCAL int32_t registry_all(const registry *r, heed_error *error);
/* The path that `features` run: the last one, but one that gives other bits (HEED_PATH_INEXACT)
 * only if `isa` is its very name or `fast` is set. `isa` may be NULL. */
HEED_LOCAL const heed_path *registry_path(const entry *e, uint64_t features, const char *isa,
                                          int fast);
HEED_LOCAL int32_t registry_refuse(registry *r, const char *path, const char *reason);
/* What may be why an op is not found, into a text: "; 3 plugins were refused, one of
 * them: FILE: REASON". FILE is the one that is named after `id` ("softmax", "attention/softmax" or
 * NULL), else the first. Empty if none was refused. Long paths and reasons are cut: the
 * sentence around has an end too. */
#define REFUSED_TEXT 432
HEED_LOCAL void registry_refused(const registry *r, const char *id, char text[REFUSED_TEXT]);
/* Takes back all that a plugin that is refused after all has left: its entries (`plugin` is
 * compared as a pointer), and the blocks above `block_count`. It has not taken the place of
 * another's. */
HEED_LOCAL void registry_forget(registry *r, const char *plugin, uint32_t block_count);
HEED_LOCAL void registry_free(registry *r);
/* Zeroed memory that lives as long as the registry; NULL if there is none. */
HEED_LOCAL void *registry_alloc(registry *r, size_t bytes);

#endif
