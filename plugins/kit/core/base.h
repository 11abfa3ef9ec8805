/* SPDX-License-Identifier: MIT
 *
 * heed/kit/core/base.h: what every header of the kit stands on: the C library's headers, the
 * contract, and the words KIT(), KIT_INLINE, KIT_KERNEL and KIT_UNROLL. Nothing here depends on the
 * path.
 */
#ifndef HEED_KIT_BASE_H
#define HEED_KIT_BASE_H

#ifdef __FAST_MATH__
#error                                                                                             \
    "heed: -ffast-math would break the equality of bits between paths; build this plugin without it"
#endif

#include <float.h>
#include <math.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#if defined __x86_64__
#include <immintrin.h>
#elif defined __aarch64__
#include <arm_neon.h>
#endif

#include <heed/abi/abi.h>

#if defined __clang__
#pragma STDC FP_CONTRACT OFF
#define KIT_UNROLL _Pragma("clang loop unroll(full)")
#define KIT_UNROLL_4 _Pragma("clang loop unroll_count(4)")
#else
#pragma GCC optimize("fp-contract=off")
#define KIT_UNROLL _Pragma("GCC unroll 32")
#define KIT_UNROLL_4 _Pragma("GCC unroll 4")
#endif

#define KIT_INLINE static inline __attribute__((always_inline, unused))
#define KIT_KERNEL static __attribute__((noinline, unused))

#define KIT_JOIN_(a, b) a##b
#define KIT_JOIN(a, b) KIT_JOIN_(a, b)
#define KIT(name) KIT_JOIN(name, KIT_SUFFIX)
#endif
