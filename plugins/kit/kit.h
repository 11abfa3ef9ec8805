/* SPDX-License-Identifier: MIT
 *
 * heed/kit.h: the kit, for kernels that are written once and compiled once per path.
 *
 * A kernel file begins with this header and ends with <heed/kit/next.h>, which makes the file read
 * itself again for the next path (scalar, AVX2, AVX-512 or NEON), each time inside a region with
 * that path's instructions:
 *
 *     #include <heed/kit.h>
 *     static void KIT(twice)(float *y, const float *x, int64_t n)
 *     { ... v_store(y + i, v_add(v, v)) ... }
 *     #include <heed/kit/next.h>
 *     #ifdef KIT_AGAIN
 *     #include __FILE_NAME__
 *     #else
 *     ... tables, once ...
 *     #endif
 *
 * KIT(name) is the name of this path's copy; KIT_PATHS_FORWARD lists all copies of `forward` for
 * the table of paths. Types and tables that the kernel needs stand before it, inside `#ifdef
 * KIT_FIRST`, or in the file that includes the kernel.
 *
 * Names: everything that begins with kit_, KIT_, HEED_, heed_, v_ or vr_ belongs to the kit, and so
 * do the words vf, vm and vr, which are macros (core/names.h): a variable or a struct's member of
 * such a name is rewritten to that of the path. Parts that a kernel includes reserve more: FLASH_
 * and KIT(flash_...) those of flash/, SCORE_TERM and KIT(score_...) those of score/, BF16_, bf16_
 * and vp_ flash/bf16.h. All other names are the plugin's own.
 *
 * Tools: every header compiles alone, as the copy of the scalar path; `ctags -R` in the top folder
 * of heed finds a function whose name stands in KIT() by .ctags.d/heed.ctags.
 *
 * The one invariant: the same lanes, the same operations in the same order on every path, so that
 * all paths give the same bits. Therefore no a * b + c is fused by the compiler (v_fma and fmaf say
 * it), and there is no -ffast-math.
 */
#include <heed/kit/core/plugin.h>
#include <heed/kit/core/vec.h>
#include <heed/kit/core/vr.h>
#include <heed/kit/core/math.h>
#include <heed/kit/core/load.h>
