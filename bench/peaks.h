/* SPDX-License-Identifier: MIT
 *
 * peaks.h: what the machine can do: multiply-adds, reading, copying.
 */
#ifndef HEED_BENCH_PEAKS_H
#define HEED_BENCH_PEAKS_H

#include "base/local.h"

#define PEAKS_PATHS 5

typedef struct peaks {
    double fma[PEAKS_PATHS]; /* GFLOP/s, float32 sums; 0: this machine has no such path */
    double read, copy;       /* GB/s; a copied byte counts twice, read and written */
} peaks;

typedef struct peaks_meter peaks_meter;

/* Measures on the engine's pool, with all its lanes. `cache_bytes` is what all last-level caches hold. */
peaks_meter *peaks_open(heed_engine *engine, uint64_t cache_bytes, heed_error *error);
void peaks_close(peaks_meter *m);
void peaks_measure(peaks_meter *m, peaks *out);
/* GB/s of reading or copying as many bytes as a case touches: what the caches that hold them can do. Sizes that
 * are nearly equal share one measurement, until peaks_measure begins the next round. */
double peaks_memory(peaks_meter *m, double bytes, int copies);
uint64_t peaks_buffer(const peaks_meter *m); /* bytes that `read` and `copy` go through */
const char *peaks_path(uint32_t index);      /* "scalar" */
uint32_t peaks_of(uint64_t needs);           /* the row of the best path that such features can run */

#endif
