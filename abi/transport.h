/* SPDX-License-Identifier: MIT
 *
 * heed/abi/transport.h: how processes, or threads, that work together send each other bytes.
 *
 * A transport connects `ranks` sides that are numbered from 0. It sends messages in host memory and
 * knows nothing of tensors. The engine makes all that needs several messages, gathering and
 * agreeing, out of these few functions, so that it can say who is late. libheed links against no
 * network library: a transport is a shared object of its own, transport_NAME.so, that is loaded by
 * the rules of plugins and exports heed_transport_v0; or a table that an application fills itself.
 *
 * All functions are called by one thread at a time of each rank, not always the same one. Messages
 * from one rank to another arrive in the order in which they are sent, and each is received by the
 * receive of the same turn, with the same number of bytes, which is at most HEED_MESSAGE_MOST.
 */
#ifndef HEED_ABI_TRANSPORT_H
#define HEED_ABI_TRANSPORT_H

#include "base.h"

#define HEED_MESSAGE_MOST ((uint64_t)1 << 30)

typedef struct heed_transport {
    uint32_t size;
    uint32_t rank, ranks; /* this one, of so many */
    uint32_t reserved;
    void *self;
    const char *name; /* "mpi"; static storage */
    const char *host; /* of this rank, for sentences; lives as long as the transport */
    heed_sink *sink;  /* why a function failed; of the transport */

    /* Begins to send to, or to receive from, another rank; the bytes belong to the transport until
     * `wait` has said that it is done. HEED_OK and a request, or an error. */
    int32_t (*send)(const struct heed_transport *t, uint32_t to, const void *bytes, uint64_t n,
                    void **request);
    int32_t (*receive)(const struct heed_transport *t, uint32_t from, void *bytes, uint64_t n,
                       void **request);
    /* Waits for one, so many milliseconds at most: HEED_OK, done, and *request is NULL; 1, not yet;
     * or an error. */
    int32_t (*wait)(const struct heed_transport *t, void **request, int64_t milliseconds);
    /* Gives one up: its bytes are not touched any more, and *request is NULL. */
    void (*abandon)(const struct heed_transport *t, void **request);
    /* Leaves. failed 1: the work has not ended well, so other ranks must not wait for this one. */
    void (*close)(struct heed_transport *t, int32_t failed);
} heed_transport;

/* The one exported symbol of a transport's file: joins the others, with the `abi` of the engine's
 * headers, fills *to, whose `size` says how much the engine can read, and returns HEED_OK; or fails
 * and says why. */
typedef int32_t heed_transport_fn(uint32_t abi, heed_transport *to, const heed_sink *sink);
#define HEED_TRANSPORT_ENTRY_NAME "heed_transport_v0"

#endif
