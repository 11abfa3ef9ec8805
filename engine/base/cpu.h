/* SPDX-License-Identifier: MIT
 *
 * cpu.h: what this processor can do, and IEEE arithmetic for a thread.
 */
#ifndef HEED_BASE_CPU_H
#define HEED_BASE_CPU_H

#include <stddef.h>

#include "base/local.h"

HEED_LOCAL uint64_t cpu_detect(void);                 /* set of HEED_CPU_* that can run here, XCR0 included */
/* Lowers `features` to those of a named path: "scalar", "avx2", "avx512", "avx512_bf16", "neon", "neon_bf16"; "all", ""
 * and NULL leave them. A name that needs what `features` lack is an error, and so is one that does not exist. */
HEED_LOCAL int32_t cpu_mask(const char *isa, uint64_t *features, heed_error *error);
/* Features of which an op has paths that give other bits than the rest. */
#define CPU_INEXACT ((uint64_t)(HEED_CPU_AVX512_BF16 | HEED_CPU_NEON_BF16))
/* Name of the index-th path that `features` can run, lowest first; NULL behind the last. */
HEED_LOCAL const char *cpu_path(uint64_t features, uint32_t index);
/* The processor's name as it tells it, into buffer; returns buffer. */
HEED_LOCAL const char *cpu_brand(char *buffer, size_t n);
/* Sets the calling thread to IEEE arithmetic (round to nearest, subnormals kept, no traps), whatever the application
 * chose; returns the former mode, for cpu_float_restore. Some 5 ns. */
HEED_LOCAL uint64_t cpu_float_plain(void);
HEED_LOCAL void cpu_float_restore(uint64_t former);

#endif
