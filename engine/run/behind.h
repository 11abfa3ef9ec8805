/* SPDX-License-Identifier: MIT
 *
 * behind.h: a host for work behind which messages are on their way.
 */
#ifndef HEED_RUN_BEHIND_H
#define HEED_RUN_BEHIND_H

#include <pthread.h>

#include "run/exchange.h"

/* Not to be moved. */
typedef struct behind {
    heed_host table; /* what plugins get */
    const heed_host *own;
    exchange *x;
    exchange_posts *posts[2]; /* that are looked after */
    pthread_t caller;
} behind;

/* The same host, but that the thread which is inside of the call looks after the messages between its
 * tiles: many transports move bytes only while they are asked. */
HEED_LOCAL void behind_make(behind *b, const heed_host *own, exchange *x);

#endif
