/* SPDX-License-Identifier: MIT
 *
 * host.c: between an application's own host and the plugins: what a table need not have is made up,
 * what no plugin could live with is stopped here, and its `cancelled` is asked before every tile,
 * so that no op has to.
 */
#include <stdatomic.h>

#include "base/error.h"
#include "run/host.h"
#include "run/pool.h"

typedef struct job {
    const host *host;
    heed_tile_fn fn;
    void *arg;
    atomic_int cancelled, strayed;
} job;

static void tile(void *arg, int64_t i, uint32_t lane)
{
    job *j = arg;
    if (lane >= j->host->lanes) atomic_store_explicit(&j->strayed, 1, memory_order_relaxed);
    else if (atomic_load_explicit(&j->cancelled, memory_order_relaxed)) return;
    else if (j->host->table.cancelled(&j->host->table))
        atomic_store_explicit(&j->cancelled, 1, memory_order_relaxed);
    else j->fn(j->arg, i, lane);
}

static int32_t parallel_for(const heed_host *table, int64_t tiles, heed_tile_fn fn, void *arg)
{
    const host *h = table->self;
    job j = {.host = h, .fn = fn, .arg = arg};
    int32_t code = h->own->parallel_for(h->own, tiles, tile, &j);
    if (atomic_load(&j.strayed)) return HEED_E_ARGUMENT; /* there is no scratch for such a lane */
    return code ? code : atomic_load(&j.cancelled) ? HEED_E_CANCELLED : HEED_OK;
}

static const heed_host *own_of(const heed_host *table) { return ((const host *)table->self)->own; }

static void log_line(const heed_host *table, uint32_t level, const char *text)
{
    const heed_host *own = own_of(table);
    if (HEED_HAS(own, log) && own->log) own->log(own, level, text);
}

static int32_t cancelled(const heed_host *table)
{
    const heed_host *own = own_of(table);
    return HEED_HAS(own, cancelled) && own->cancelled && own->cancelled(own);
}

static const void *extension(const heed_host *table, const char *id)
{
    const heed_host *own = own_of(table);
    return HEED_HAS(own, get_extension) && own->get_extension ? own->get_extension(own, id) : NULL;
}

int32_t host_make(host *h, const heed_host *own, uint32_t lanes, heed_error *error)
{
    if (!HEED_HAS(own, parallel_for) || !own->parallel_for)
        return error_set(
            error, HEED_E_ARGUMENT,
            "the host has no parallel_for; its table needs that function, and its own size");
    if (!lanes || lanes > POOL_LANES_MAX)
        return error_set(error, HEED_E_ARGUMENT,
                         "with a host of its own an application must say in `threads` how many "
                         "lanes that has, from 1 to "
                         "%d, not %u",
                         POOL_LANES_MAX, lanes);
    *h = (host){{sizeof h->table, 0, h, parallel_for, log_line, cancelled, extension}, own, lanes};
    return HEED_OK;
}
