/* SPDX-License-Identifier: MIT
 *
 * heed/kit/next.h: ends one path's copy of a kernel file; defines KIT_AGAIN while there is another
 * path to compile.
 */
#if defined KIT_AVX2 || defined KIT_AVX512 || (defined KIT_SCALAR && defined KIT_SMALL_SCALAR)
#if defined __clang__
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif
#endif

#undef KIT_FIRST
#undef KIT_SCALAR
#undef KIT_AVX2
#undef KIT_AVX512
#undef KIT_NEON
#undef KIT_SUFFIX
#undef VR_LANES

#undef KIT_AGAIN
#if !defined KIT_DID_LAST && (defined __x86_64__ || defined __aarch64__)
#define KIT_AGAIN
#else /* all paths done: another kernel file may start over */
#undef KIT_DID_SCALAR
#undef KIT_DID_AVX2
#undef KIT_DID_LAST
#endif

/* The next copy includes all this again. The words of the vector have copies for all paths in the
 * end, which another kernel file of the same plugin goes on to use. */
#if !defined KIT_AGAIN && !defined KIT_CORE_COMPLETE
#define KIT_CORE_COMPLETE
#endif
#ifndef KIT_CORE_COMPLETE
#undef KIT_HAS_VR
#undef KIT_HAS_MATH
#undef KIT_HAS_LOAD
#endif
#undef KIT_HAS_VEC_BF16
#undef KIT_HAS_SLEEF
#undef KIT_HAS_REDUCE
#undef KIT_HAS_GEMM
#undef KIT_HAS_CONV
#undef KIT_HAS_LINEAR_HOOKS
#undef KIT_HAS_LINEAR_FEATURES
#undef KIT_HAS_LINEAR_TILE
#undef KIT_HAS_LINEAR_CHUNK
#undef KIT_HAS_LINEAR_RUN
#undef KIT_HAS_LINEAR_OP
#undef KIT_HAS_SCORE
#undef KIT_HAS_PRODUCT
#undef KIT_HAS_HALVES
#undef KIT_HAS_CACHE_ROWS
#undef KIT_HAS_FLASH_BACKWARD
#undef KIT_HAS_FLASH_UNIT
#undef KIT_HAS_FLASH_HOOKS
#undef KIT_HAS_FLASH_BLOCK
#undef KIT_HAS_FLASH_SCORES
#undef KIT_HAS_FLASH_MANY
#undef KIT_HAS_FLASH_FEW
#undef KIT_HAS_FLASH_RELATIVE
#undef KIT_HAS_FLASH_RELATIVE_VALUES
#undef KIT_HAS_FLASH_BF16
#undef KIT_HAS_FLASH_SPANS
#undef KIT_HAS_FLASH_TASK
#undef KIT_HAS_FLASH_SHARED
#undef KIT_HAS_FLASH_OP
#undef KIT_HAS_FLASH_SPAN
#undef KIT_HAS_LINEAR
