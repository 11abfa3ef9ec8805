/* SPDX-License-Identifier: MIT
 *
 * host.h: an application's own host, as plugins get to see it.
 */
#ifndef HEED_RUN_HOST_H
#define HEED_RUN_HOST_H

#include "base/local.h"

typedef struct host {
    heed_host table; /* what plugins get */
    const heed_host *own;
    uint32_t lanes;
} host;

/* HEED_E_ARGUMENT if it has no parallel_for, or `lanes` is not from 1 to what heed runs. `own` must
 * outlive it; what else it lacks is made up. */
HEED_LOCAL int32_t host_make(host *h, const heed_host *own, uint32_t lanes, heed_error *error);

#endif
