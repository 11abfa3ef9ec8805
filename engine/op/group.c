/* SPDX-License-Identifier: MIT
 *
 * group.c: ranks that work on one text together: how they come together, what each has of the rows
 * of a text, and the calls of heed.partial/1. group_run.c shares the keys of one call, and
 * group_attend.c those of a text that is remembered.
 */
#ifdef HAVE_CONFIG_H
#include "config.h"
#endif

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "op/engine.h"
#include "op/group.h"
#include "op/instance.h"
#include "op/load.h"
#include "op/sequence.h"

#ifndef PACKAGE_VERSION
#define PACKAGE_VERSION "unversioned"
#endif
/* What ranks must have alike to understand each other. */
#define SPEAKS "heed " PACKAGE_VERSION " with " HEED_PARTIAL_ID

heed_group *heed_group_new(heed_engine *engine, const heed_transport *transport, double seconds,
                           heed_error *error)
{
    heed_group *g = NULL;
    if (error) *error = (heed_error){0};
    if (!transport || !transport->ranks || transport->rank >= transport->ranks)
        return error_set(error, HEED_E_ARGUMENT, "the transport is NULL, or has no ranks"), NULL;
    if (!(seconds > 0 && seconds <= 1e6))
        error_set(error, HEED_E_ARGUMENT,
                  "%g seconds to wait for a rank are asked for; above 0 and up to 1e6 is right",
                  seconds);
    else if (!(g = calloc(1, sizeof *g))) error_memory(error);
    if (!g) {
        heed_transport own = *transport;
        own.close(&own, 1);
        return NULL;
    }
    g->engine = engine;
    if (!exchange_begin(&g->x, transport, seconds, SPEAKS, error)) return g;
    heed_group_free(g);
    return NULL;
}

heed_group *heed_group_join(heed_engine *engine, const char *name, double seconds,
                            heed_error *error)
{
    heed_transport t;
    if (error) *error = (heed_error){0};
    if (load_transport(engine, name, &t, error)) return NULL;
    heed_group *g = heed_group_new(engine, &t, seconds, error);
    return g;
}

void heed_group_free(heed_group *g)
{
    if (!g) return;
    exchange_end(&g->x);
    free(g);
}

uint32_t heed_group_rank(const heed_group *g) { return g->x.t.rank; }
uint32_t heed_group_ranks(const heed_group *g) { return g->x.t.ranks; }

void heed_group_counted(const heed_group *g, uint64_t *sent, uint64_t *received, double *seconds)
{
    if (sent) *sent = g->x.count.sent;
    if (received) *received = g->x.count.received;
    if (seconds) *seconds = g->x.count.seconds;
}

void heed_group_share(uint32_t rank, uint32_t ranks, int64_t rows, int64_t *first, int64_t *count)
{
    const int64_t blocks = 2 * (int64_t)ranks, which[2] = {rank, blocks - 1 - rank};
    const int64_t size = rows / blocks, rest = rows % blocks;
    for (int i = 0; i < 2; i++) {
        first[i] = which[i] * size + (which[i] < rest ? which[i] : rest);
        count[i] = size + (which[i] < rest);
    }
}

int32_t heed_group_agree(heed_group *g, const void *alike, uint64_t bytes, int32_t failed,
                         heed_error *error)
{
    return group_agree(g, group_hash(0, alike, bytes), failed, error);
}

uint64_t group_hash(uint64_t hash, const void *bytes, size_t n)
{
    const unsigned char *p = bytes;
    for (size_t i = 0; i < n; i++) hash = (hash ^ p[i]) * 0x100000001b3u + 0x9e3779b97f4a7c15u;
    return hash;
}

int32_t group_agree(heed_group *g, uint64_t what, int32_t failed, heed_error *error)
{
    exchange_stand stand = {.what = what, .failed = failed};
    return exchange_agree(&g->x, &stand, error);
}

/* ---- heed.partial/1 ---- */

const heed_partial *group_partial(const heed_instance *i, heed_error *error)
{
    const char *id = i->entry->op.id;
    const heed_path *path = i->path;
    if (path->flags & HEED_PATH_INEXACT)
        return error_set(error, HEED_E_UNSUPPORTED,
                         "%s: the path %s gives other bits than the rest, and ranks share what is "
                         "exact alone",
                         id, path->name),
               NULL;
    const heed_partial *p = path->get_extension ? path->get_extension(HEED_PARTIAL_ID) : NULL;
    if (p && p->size >= offsetof(heed_partial, seen) && p->span > 0) return p;
    return error_set(error, HEED_E_UNSUPPORTED,
                     "%s has no %s, by which ranks share the keys of a text; it runs on one", id,
                     HEED_PARTIAL_ID),
           NULL;
}

void group_seen(const prepared *c, const heed_instance *i, const heed_partial *p,
                heed_partial_call *x, int64_t spans, unsigned char *span)
{
    const int tells = HEED_HAS(p, seen) && p->seen;
    memset(span, !tells, (size_t)spans);
    x->call = &c->call;
    if (tells) p->seen(i->memory, x, span);
    if (!memchr(span, 1, (size_t)spans)) span[0] = 1;
}

int group_sees(const unsigned char *span, int64_t spans, tree_node node)
{
    const int64_t first = node.index << node.level, left = spans - first,
                  most = (int64_t)1 << node.level;
    return left > 0 && memchr(span + first, 1, (size_t)(left < most ? left : most)) != NULL;
}

typedef struct part {
    const heed_partial *p;
    heed_partial_call *x;
    int32_t *again; /* NULL: compute */
} part;

static int32_t measure_part(void *arg, const heed_instance *i, const heed_call *call,
                            heed_call_size *size)
{
    const part *w = arg;
    w->x->call = call;
    return w->p->measure(i->memory, w->x, size);
}

static int32_t run_part(void *arg, const heed_instance *i, const heed_call *call)
{
    const part *w = arg;
    w->x->call = call;
    return w->again ? w->p->finish(i->memory, w->x, w->again) : w->p->compute(i->memory, w->x);
}

int32_t group_compute(prepared *c, const heed_instance *i, const heed_partial *p,
                      heed_partial_call *x, heed_error *error)
{
    part w = {p, x, NULL};
    return call_compute(c, i, &(call_work){measure_part, run_part, &w}, error);
}

int32_t group_finish(prepared *c, const heed_instance *i, const heed_partial *p,
                     heed_partial_call *x, int32_t *again, heed_error *error)
{
    part w = {p, x, again};
    return call_compute(c, i, &(call_work){measure_part, run_part, &w}, error);
}
