/* SPDX-License-Identifier: MIT
 *
 * pages.h: the memory of what ops remember: counted pages, and the limit that all of an engine's have.
 */
#ifndef HEED_OP_PAGES_H
#define HEED_OP_PAGES_H

#include <stdatomic.h>

#include "base/error.h"
#include "heed.h"

/* An engine's. */
typedef struct page_pool {
    _Atomic uint64_t used; /* bytes of all pages that are there */
    uint64_t most;         /* 0: as many as there is memory for */
    int32_t (*full)(void *user, uint64_t bytes);
    void *user;
} page_pool;

typedef struct page {
    _Atomic uint32_t users; /* sequences that share it */
    uint64_t bytes;
    page_pool *pool;
    void *memory;
} page;

/* A page with a copy of `content`, or zeros if that is NULL; NULL and a sentence if the limit is reached or
 * there is no memory. */
HEED_LOCAL page *page_new(page_pool *pool, uint64_t bytes, const void *content, heed_error *error);
/* One user less; NULL does nothing. */
HEED_LOCAL void page_drop(page *p);

#endif
