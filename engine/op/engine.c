/* SPDX-License-Identifier: MIT
 *
 * engine.c: the engine itself: options, features, plugins, pool.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cpu.h"
#include "base/error.h"
#include "base/trust.h"
#include "op/engine.h"
#include "op/load.h"
#include "op/registry.h"
#include "run/pool.h"

heed_engine *engine_make(const heed_options *options, const load_care *care, heed_error *error)
{
    static const heed_options standard = {.size = sizeof standard};
    const heed_options *o = options ? options : &standard;
    if (error) *error = (heed_error){0};
    heed_engine *engine = calloc(1, sizeof *engine);
    if (!engine) { error_memory(error); return NULL; }
    engine->care = care;
    engine->features = cpu_detect();
    const char *isa = o->isa ? o->isa : trust_environment("HEED_ISA");
    if (isa && *isa && cpu_mask(isa, &engine->features, error)) goto failed;
    /* whole: it is a name that cpu_mask knows */
    snprintf(engine->isa, sizeof engine->isa, "%s", isa ? isa : "");
    if (o->host) {
        if (host_make(&engine->own, o->host, o->threads, error)) goto failed;
        engine->host = &engine->own.table;
        engine->lanes = o->threads;
    } else {
        if (!(engine->pool = pool_new(o->threads, o->pinning, o->smt, error))) goto failed;
        engine->host = pool_host(engine->pool);
    }
    if (o->size >= sizeof *o)
        engine->pages = (page_pool){.most = o->page_limit, .full = o->pages_full, .user = o->user};
    const char *folders = o->plugins ? o->plugins : trust_environment("HEED_PLUGINS");
    if (load_find(engine, folders && *folders ? folders : NULL, error)) goto failed;
    return engine;
failed:
    heed_engine_free(engine);
    return NULL;
}

heed_engine *heed_engine_new(const heed_options *options, heed_error *error)
{
    return engine_make(options, NULL, error);
}

void heed_engine_free(heed_engine *engine)
{
    if (!engine) return;
    heed_instance_close(engine->merge);
    pool_free(engine->pool);
    registry_free(&engine->registry);
    free(engine);
}

uint64_t heed_engine_pages(const heed_engine *engine) { return atomic_load(&engine->pages.used); }

/* What cannot be loaded for want of memory is missing then, and tried again the next time. */
uint32_t heed_op_count(const heed_engine *engine)
{
    registry_all(&engine->registry, NULL);
    return engine->registry.count;
}
const heed_op *heed_op_at(const heed_engine *engine, uint32_t i)
{
    return &engine->registry.entries[i]->op;
}
const char *heed_op_plugin(const heed_engine *engine, uint32_t i)
{
    return engine->registry.entries[i]->plugin;
}
const heed_path *heed_op_path(const heed_engine *engine, uint32_t i)
{
    return engine->registry.entries[i]->path;
}
const heed_op *heed_op_find(const heed_engine *engine, const char *id)
{
    const entry *found = registry_find(&engine->registry, id);
    return found ? &found->op : NULL;
}
uint32_t heed_refusal_count(const heed_engine *engine)
{
    registry_all(&engine->registry, NULL);
    return engine->registry.refusal_count;
}
const char *heed_refusal(const heed_engine *engine, uint32_t i, const char **path)
{
    if (path) *path = engine->registry.refusals[i].path;
    return engine->registry.refusals[i].reason;
}
/* Asked at the first call, not when the engine is made: counting cores reads the topology, which
 * takes a while. */
uint32_t heed_lanes(const heed_engine *engine)
{
    return engine->pool ? pool_lanes(engine->pool) : engine->lanes;
}
