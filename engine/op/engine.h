/* SPDX-License-Identifier: MIT
 *
 * engine.h: what one engine holds.
 */
#ifndef HEED_OP_ENGINE_H
#define HEED_OP_ENGINE_H

#include "op/load.h"
#include "op/pages.h"
#include "op/registry.h"
#include "run/host.h"
#include "run/pool.h"
#include "run/trace.h"

struct heed_engine {
    registry registry;
    load_files files;
    const load_care *care; /* or NULL */
    uint64_t features; /* after the mask */
    char isa[16];      /* the path that was asked for; "" = none */
    const heed_host *host;
    trace *trace;      /* of its calls, or NULL */
    pool *pool;        /* NULL with an application's own host */
    uint32_t lanes;    /* of an application's own host */
    host own;          /* that host, as plugins see it */
    page_pool pages;   /* of all its sequences */
    heed_instance *_Atomic merge; /* merge/attention, once it has been asked for */
};

/* heed_engine_new, with care in what it loads; `care` must outlive the engine. */
HEED_LOCAL heed_engine *engine_make(const heed_options *options, const load_care *care,
                                    heed_error *error);

#endif
