/* SPDX-License-Identifier: MIT
 *
 * heed/kit.h: the kit, for kernels that are written once and compiled once per path.
 *
 * A kernel file begins with this header and ends with <heed/kit/next.h>, which makes the file read itself again for the
 * next path (scalar, AVX2, AVX-512 or NEON), each time inside a region with that path's instructions:
 *
 *     #include <heed/kit.h>
 *     static void KIT(twice)(float *y, const float *x, int64_t n) { ... v_store(y + i, v_add(v, v)) ... }
 *     #include <heed/kit/next.h>
 *     #ifdef KIT_AGAIN
 *     #include __FILE_NAME__
 *     #else
 *     ... tables, once ...
 *     #endif
 *
 * KIT(name) is the name of this path's copy; KIT_PATHS_FORWARD lists all copies of `forward` for the table of paths.
 * Types and tables that the kernel needs stand before it, inside `#ifdef KIT_FIRST`, or in the file that includes the
 * kernel.
 *
 * The one invariant: the same lanes, the same operations in the same order on every path, so that all paths give the
 * same bits. Therefore no a * b + c is fused by the compiler (v_fma and fmaf say it), and there is no -ffast-math.
 */
#ifndef HEED_KIT_H
#define HEED_KIT_H

#ifdef __FAST_MATH__
#error "heed: -ffast-math would break the equality of bits between paths; build this plugin without it"
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

#include <heed/kit/core/plugin.h>
#include <heed/kit/core/half.h>
#include <heed/kit/core/names.h>
#endif

/* ---- from here on: once per path ---- */

#if !defined KIT_DID_SCALAR
#define KIT_DID_SCALAR
#define KIT_FIRST
#define KIT_SCALAR 1
#define KIT_SUFFIX _scalar
#include <heed/kit/core/vec_scalar.h>

#elif defined __x86_64__ && !defined KIT_DID_AVX2
#define KIT_DID_AVX2
#define KIT_AVX2 1
#define KIT_SUFFIX _avx2
#if defined __clang__
#pragma clang attribute push(__attribute__((target("avx2,fma,f16c,bmi,bmi2,lzcnt,movbe"))), apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx2,fma,f16c,bmi,bmi2,lzcnt,movbe")
#endif
#include <heed/kit/core/vec_avx2.h>

#elif defined __x86_64__
#define KIT_DID_LAST
#define KIT_AVX512 1
#define KIT_SUFFIX _avx512
#if defined __clang__
#pragma clang attribute push(                                                                                         \
    __attribute__((target("avx512f,avx512bw,avx512cd,avx512dq,avx512vl,avx2,fma,f16c,bmi,bmi2,lzcnt,movbe"))),        \
    apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx512f,avx512bw,avx512cd,avx512dq,avx512vl,avx2,fma,f16c,bmi,bmi2,lzcnt,movbe")
#endif
#include <heed/kit/core/vec_avx512.h>

#elif defined __aarch64__
#define KIT_DID_LAST
#define KIT_NEON 1
#define KIT_SUFFIX _neon
#include <heed/kit/core/vec_neon.h>
#endif

#include <heed/kit/core/vr.h>
#include <heed/kit/core/math.h>
#include <heed/kit/core/load.h>
