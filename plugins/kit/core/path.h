/* SPDX-License-Identifier: MIT
 *
 * heed/kit/core/path.h: begins the next path: its suffix, which KIT(name) appends, and the region
 * in which functions have its instructions. The paths come in the order scalar, AVX2, AVX-512, or
 * scalar, NEON; <heed/kit/next.h> ends one.
 *
 * Where another path is faster, the scalar one is compiled with -O2: the same speed, as it is plain
 * loops over 16 lanes, and the plugin has 8 % less code and takes 10 % less time to compile. Where
 * it is the only path it keeps -O3. A build without optimisation, for gdb, stays one.
 *
 * Every header of the kit leads here and includes what it needs, so that it compiles alone, as the
 * copy of the first path: an editor that opens it sees all names defined. A header about one path
 * asks for that one (vec_avx2.h).
 */
#include <heed/kit/core/base.h>

#if defined __OPTIMIZE__ && !defined __clang__ && (defined __x86_64__ || defined __aarch64__)
#define KIT_SMALL_SCALAR
#endif

#ifndef KIT_SUFFIX /* else this path has begun */
#if !defined KIT_DID_SCALAR
#define KIT_DID_SCALAR
#define KIT_FIRST
#define KIT_SCALAR 1
#define KIT_SUFFIX _scalar
#define VR_LANES 16
#ifdef KIT_SMALL_SCALAR
#pragma GCC push_options
#pragma GCC optimize("O2")
#endif

#elif defined __x86_64__ && !defined KIT_DID_AVX2
#define KIT_DID_AVX2
#define KIT_AVX2 1
#define KIT_SUFFIX _avx2
#define VR_LANES 8
#if defined __clang__
#pragma clang attribute push(__attribute__((target("avx2,fma,f16c,bmi,bmi2,lzcnt,movbe"))),        \
                             apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx2,fma,f16c,bmi,bmi2,lzcnt,movbe")
#endif

#elif defined __x86_64__
#define KIT_DID_LAST
#define KIT_AVX512 1
#define KIT_SUFFIX _avx512
#define VR_LANES 16
#if defined __clang__
#pragma clang attribute push(                                                                      \
    __attribute__((target(                                                                         \
        "avx512f,avx512bw,avx512cd,avx512dq,avx512vl,avx2,fma,f16c,bmi,bmi2,lzcnt,movbe"))),       \
    apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx512f,avx512bw,avx512cd,avx512dq,avx512vl,avx2,fma,f16c,bmi,bmi2,lzcnt,movbe")
#endif

#elif defined __aarch64__
#define KIT_DID_LAST
#define KIT_NEON 1
#define KIT_SUFFIX _neon
#define VR_LANES 16
#endif
#endif
