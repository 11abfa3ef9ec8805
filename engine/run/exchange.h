/* SPDX-License-Identifier: MIT
 *
 * exchange.h: what ranks do together, over a transport: they say how they stand, and send each other
 * bytes. Whoever waits does so for a limited time, and then names the rank that did not come.
 */
#ifndef HEED_RUN_EXCHANGE_H
#define HEED_RUN_EXCHANGE_H

#include "base/local.h"

/* What was sent and received, and how long this rank has waited for it. */
typedef struct exchange_count {
    uint64_t messages, sent, received; /* bytes */
    double seconds;
} exchange_count;

typedef struct exchange {
    heed_transport t;
    int64_t milliseconds; /* to wait for a rank, besides what this one has worked itself */
    double since;         /* when the last agreement ended */
    char (*host)[64];     /* [ranks] */
    uint64_t turn;        /* of this rank's agreements */
    int broken;           /* a rank has failed: nothing more is sent */
    int lost;             /* and perhaps not all of the others know */
    exchange_count count;
} exchange;

/* Messages that are under way. */
typedef struct exchange_posts {
    struct exchange_post *post;
    uint32_t count;
    int32_t failed; /* while somebody looked after them, and with which rank */
    uint32_t other;
} exchange_posts;

/* How a rank stands: `what` it is about to do, which is the same for all, how that has gone so far,
 * and one bit, of which all get whether any has it. */
typedef struct exchange_stand {
    uint64_t what;
    int32_t failed;
    int32_t flag;
} exchange_stand;

/* Takes the transport over. `speaks` is what all must speak alike, such as a version. */
HEED_LOCAL int32_t exchange_begin(exchange *x, const heed_transport *t, double seconds,
                                  const char *speaks, heed_error *error);
HEED_LOCAL void exchange_end(exchange *x);

/* All ranks call it. If one has failed, or is about to do something else, all fail, each with the
 * sentence of the first that has; `error` is this rank's own before. A failure ends the exchange. */
HEED_LOCAL int32_t exchange_agree(exchange *x, exchange_stand *stand, heed_error *error);

/* Posts a message of any length; to or from this rank itself there is none. */
HEED_LOCAL int32_t exchange_send(exchange *x, exchange_posts *posts, uint32_t to, const void *bytes,
                                 uint64_t n, heed_error *error);
HEED_LOCAL int32_t exchange_receive(exchange *x, exchange_posts *posts, uint32_t from, void *bytes,
                                    uint64_t n, heed_error *error);
/* Has the transport move what it can now, and waits for nothing. */
HEED_LOCAL void exchange_look(exchange *x, exchange_posts *posts);
/* Waits for all of them; also after a failure, with `failed`: they are given up then. */
HEED_LOCAL int32_t exchange_wait(exchange *x, exchange_posts *posts, int32_t failed,
                                 heed_error *error);

/* Everybody gets everybody's part of `all`: rank r has filled the bytes [at[r], at[r + 1]). */
HEED_LOCAL int32_t exchange_gather(exchange *x, void *all, const uint64_t *at, heed_error *error);

#endif
