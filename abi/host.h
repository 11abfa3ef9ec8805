/* SPDX-License-Identifier: MIT
 *
 * heed/abi/host.h: what a plugin may ask of its host. It arrives by pointer; a plugin links against no engine symbol.
 */
#ifndef HEED_ABI_HOST_H
#define HEED_ABI_HOST_H

#include "base.h"

/* One tile of parallel work, on one lane. Two tiles with the same lane never run at once. */
typedef void (*heed_tile_fn)(void *arg, int64_t tile, uint32_t lane);

typedef struct heed_host {
    uint32_t size;
    uint32_t reserved;
    void *self;

    /* Runs fn(arg, i, lane) for i in [0, tiles), each once, and returns when all have ended. lane < the call's lanes.
     * The number of tiles must follow from shapes alone, never from the number of lanes: then results do not depend on
     * the machine. Not to be called from inside a tile: that runs the tiles on the calling lane, one after another.
     * [any] Returns HEED_OK, or HEED_E_CANCELLED when some tiles were skipped. */
    int32_t (*parallel_for)(const struct heed_host *host, int64_t tiles, heed_tile_fn fn, void *arg);

    /* A line for the host's log; level 0 = error, 1 = warning, 2 = information. [any] */
    void (*log)(const struct heed_host *host, uint32_t level, const char *text);

    /* Nonzero when the result of the running call is no longer wanted. [any] */
    int32_t (*cancelled)(const struct heed_host *host);

    /* A service by id, or NULL. [any] */
    const void *(*get_extension)(const struct heed_host *host, const char *id);
} heed_host;

#endif
