/* SPDX-License-Identifier: MIT
 *
 * heed/kit/core/vr.h: one register of the machine, for kernels whose lanes never meet: 16 floats
 * where the vector is one register (or is left to the compiler), 8 with AVX2, whose vector of two
 * would halve the tiles that 16 registers hold. A lane's sums are the same sequence at any width,
 * so the width changes no bit.
 *
 * vr_fma_unless(w, a, b, c) is c where w < 0. With AVX2 it looks at the sign alone, which a NaN may
 * have too: where that matters w goes through vr_below_zero first.
 */
#ifndef KIT_HAS_VR
#define KIT_HAS_VR
#include <heed/kit/core/vec.h>

#if defined KIT_AVX2
typedef __m256 vr;
KIT_INLINE vr vr_load(const float *p) { return _mm256_loadu_ps(p); }
KIT_INLINE void vr_store(float *p, vr x) { _mm256_storeu_ps(p, x); }
KIT_INLINE vr vr_set(float x) { return _mm256_set1_ps(x); }
KIT_INLINE vr vr_add(vr a, vr b) { return _mm256_add_ps(a, b); }
KIT_INLINE vr vr_sub(vr a, vr b) { return _mm256_sub_ps(a, b); }
KIT_INLINE vr vr_mul(vr a, vr b) { return _mm256_mul_ps(a, b); }
KIT_INLINE vr vr_fma(vr a, vr b, vr c) { return _mm256_fmadd_ps(a, b, c); }
KIT_INLINE vr vr_max(vr a, vr b) { return _mm256_max_ps(a, b); }
KIT_INLINE vr vr_pin(vr x) { __asm__("" : "+x"(x)); return x; }
KIT_INLINE vr vr_fma_unless(vr w, vr a, vr b, vr c)
{
    return _mm256_blendv_ps(_mm256_fmadd_ps(a, b, c), c, w);
}
KIT_INLINE vr vr_below_zero(vr w) { return _mm256_cmp_ps(w, _mm256_setzero_ps(), _CMP_LT_OQ); }
KIT_INLINE vr vr_exp2_split(vr x, vr *t)
{
    x = _mm256_max_ps(_mm256_set1_ps(-127.0f), x);
    *t = _mm256_round_ps(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
    return _mm256_sub_ps(x, *t);
}
KIT_INLINE vr vr_exp2_join(
    vr p, vr t) /* the sum ends in the bits of t + 127, an exponent; 2^-127 comes out as 0 */
{
    const __m256i exponent =
        _mm256_castps_si256(_mm256_add_ps(t, _mm256_set1_ps(12582912.0f + 127.0f)));
    return _mm256_mul_ps(p, _mm256_castsi256_ps(_mm256_slli_epi32(exponent, 23)));
}
#else
typedef vf vr;
KIT_INLINE vr vr_load(const float *p) { return v_load(p); }
KIT_INLINE void vr_store(float *p, vr x) { v_store(p, x); }
KIT_INLINE vr vr_set(float x) { return v_set(x); }
KIT_INLINE vr vr_add(vr a, vr b) { return v_add(a, b); }
KIT_INLINE vr vr_sub(vr a, vr b) { return v_sub(a, b); }
KIT_INLINE vr vr_mul(vr a, vr b) { return v_mul(a, b); }
KIT_INLINE vr vr_fma(vr a, vr b, vr c) { return v_fma(a, b, c); }
KIT_INLINE vr vr_max(vr a, vr b) { return v_max(a, b); }
KIT_INLINE vr vr_pin(vr x) { return v_pin(x); }
KIT_INLINE vr vr_below_zero(vr w) { return w; }
#if defined KIT_AVX512
KIT_INLINE vr vr_fma_unless(vr w, vr a, vr b, vr c)
{
    return _mm512_mask3_fmadd_ps(a, b, c, _mm512_cmp_ps_mask(w, _mm512_setzero_ps(), _CMP_NLT_UQ));
}
#else
KIT_INLINE vr vr_fma_unless(vr w, vr a, vr b, vr c)
{
    return v_select(v_lt(w, v_set(0.0f)), c, v_fma(a, b, c));
}
#endif
#endif

#endif
