/* SPDX-License-Identifier: MIT
 *
 * behind.c: tiles of work, and messages between them. What it costs is one question to the transport
 * a tile of one thread.
 */
#include "run/behind.h"

typedef struct work {
    behind *b;
    heed_tile_fn fn;
    void *arg;
} work;

static void tile_and_messages(void *arg, int64_t tile, uint32_t lane)
{
    const work *w = arg;
    w->fn(w->arg, tile, lane);
    if (!pthread_equal(pthread_self(), w->b->caller)) return;
    for (int i = 0; i < 2; i++)
        if (w->b->posts[i]) exchange_look(w->b->x, w->b->posts[i]);
}

static int32_t behind_parallel_for(const heed_host *host, int64_t tiles, heed_tile_fn fn, void *arg)
{
    behind *b = host->self;
    work w = {b, fn, arg};
    b->caller = pthread_self();
    return b->own->parallel_for(b->own, tiles, tile_and_messages, &w);
}

static void behind_log(const heed_host *host, uint32_t level, const char *text)
{
    const behind *b = host->self;
    b->own->log(b->own, level, text);
}

static int32_t behind_cancelled(const heed_host *host)
{
    const behind *b = host->self;
    return b->own->cancelled(b->own);
}

static const void *behind_extension(const heed_host *host, const char *id)
{
    const behind *b = host->self;
    return b->own->get_extension(b->own, id);
}

void behind_make(behind *b, const heed_host *own, exchange *x)
{
    *b = (behind){.table = {.size = sizeof b->table,
                            .self = b,
                            .parallel_for = behind_parallel_for,
                            .log = behind_log,
                            .cancelled = behind_cancelled,
                            .get_extension = behind_extension},
                  .own = own,
                  .x = x};
}
