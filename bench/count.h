/* SPDX-License-Identifier: MIT
 *
 * count.h: executed instructions, where there is an emulator.
 */
#ifndef HEED_BENCH_COUNT_H
#define HEED_BENCH_COUNT_H

#include "bench/case/case.h"

/* The file that bench/machines/qemu_count.c keeps. */
typedef struct bench_counter {
    char magic[16], target[40]; /* "heed.count/1", "aarch64" */
    volatile uint64_t instructions;
} bench_counter;

const char *count_emulator(void); /* "qemu-aarch64" if this process runs under it, else NULL */
/* Mapped for as long as the process lives; NULL and a sentence if it does not count this process. */
const bench_counter *count_open(const char *path, heed_error *error);
int32_t count_measure(bench_case *c, const bench_counter *counter, heed_error *error);

#endif
