/* SPDX-License-Identifier: MIT
 *
 * heed/kit/core/vec.h: the vector of 16 floats, as the path has it.
 */
#include <heed/kit/core/half.h>
#include <heed/kit/core/names.h>
#include <heed/kit/core/path.h>

#if defined KIT_SCALAR
#include <heed/kit/core/vec_scalar.h>
#elif defined KIT_AVX2
#include <heed/kit/core/vec_avx2.h>
#elif defined KIT_AVX512
#include <heed/kit/core/vec_avx512.h>
#else
#include <heed/kit/core/vec_neon.h>
#endif
