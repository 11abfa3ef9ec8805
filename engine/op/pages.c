/* SPDX-License-Identifier: MIT
 *
 * pages.c: pages are made and dropped, and their bytes are counted against the engine's limit.
 *
 * Invariant: `used` is the bytes of the pages that are there. It is raised before a page is made, so
 * two threads that ask at once can not both have the last one.
 */
#include <stdlib.h>
#include <string.h>

#include "op/pages.h"

static int reserve(page_pool *pool, uint64_t bytes)
{
    uint64_t used = atomic_load(&pool->used);
    do {
        if (pool->most && (used > pool->most || bytes > pool->most - used)) return 0;
    } while (!atomic_compare_exchange_weak(&pool->used, &used, used + bytes));
    return 1;
}

/* Asks the application to free something, as long as that helps. */
static int32_t reserve_or_ask(page_pool *pool, uint64_t bytes, heed_error *error)
{
    while (!reserve(pool, bytes)) {
        const uint64_t before = atomic_load(&pool->used);
        if (pool->full && pool->full(pool->user, bytes) && atomic_load(&pool->used) < before)
            continue;
        return error_set(error, HEED_E_MEMORY,
                         "what is remembered has %llu bytes already, and %llu more are over the "
                         "limit of %llu (page_limit)",
                         (unsigned long long)before, (unsigned long long)bytes,
                         (unsigned long long)pool->most);
    }
    return HEED_OK;
}

page *page_new(page_pool *pool, uint64_t bytes, const void *content, heed_error *error)
{
    if (reserve_or_ask(pool, bytes, error)) return NULL;
    page *p = malloc(sizeof *p);
    void *memory = p ? aligned_alloc(64, (bytes + 63) & ~(uint64_t)63) : NULL;
    if (!memory) {
        free(p);
        atomic_fetch_sub(&pool->used, bytes);
        error_memory(error);
        return NULL;
    }
    if (content) memcpy(memory, content, bytes);
    else memset(memory, 0, bytes);
    *p = (page){.users = 1, .bytes = bytes, .pool = pool, .memory = memory};
    return p;
}

void page_drop(page *p)
{
    if (!p || atomic_fetch_sub(&p->users, 1) > 1) return;
    atomic_fetch_sub(&p->pool->used, p->bytes);
    free(p->memory);
    free(p);
}
