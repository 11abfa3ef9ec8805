/* SPDX-License-Identifier: MIT
 *
 * machine.h: what it runs on.
 */
#ifndef HEED_BENCH_MACHINE_H
#define HEED_BENCH_MACHINE_H

#include <jansson.h>

#include "bench/bench.h"

const char *machine_cpu(char *buffer, size_t n); /* the processor's name; returns buffer */
const char *machine_version(void);               /* of heed */
uint64_t machine_cache_bytes(void);              /* of all last-level caches */
json_t *machine_json(const bench *b);

#endif
