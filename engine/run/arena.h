/* SPDX-License-Identifier: MIT
 *
 * arena.h: the workspace of a call, kept by the thread that calls.
 */
#ifndef HEED_RUN_ARENA_H
#define HEED_RUN_ARENA_H

#include <stddef.h>

#include "base/local.h"

HEED_LOCAL void *arena_take(size_t bytes); /* 64-byte aligned, not zeroed; NULL if there is none */
HEED_LOCAL void arena_give(void *memory);

#endif
