/* SPDX-License-Identifier: MIT
 *
 * heed/kit/next.h: ends one path's copy of a kernel file; defines KIT_AGAIN while there is another path to compile.
 */
#if (defined KIT_AVX2 || defined KIT_AVX512)
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

#undef KIT_AGAIN
#if !defined KIT_DID_LAST && (defined __x86_64__ || defined __aarch64__)
#define KIT_AGAIN
#else /* all paths done: another kernel file may start over */
#undef KIT_DID_SCALAR
#undef KIT_DID_AVX2
#undef KIT_DID_LAST
#endif
