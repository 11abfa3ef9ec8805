/* SPDX-License-Identifier: MIT
 *
 * heed/kit/core/vec_avx512.h: the vector of 16 floats as one zmm.
 */
#ifndef HEED_KIT_VEC_AVX512_H
#define HEED_KIT_VEC_AVX512_H
#ifndef KIT_SUFFIX /* read alone: as the copy of this path */
#define KIT_DID_SCALAR
#define KIT_DID_AVX2
#endif
#include <heed/kit/core/half.h>
#include <heed/kit/core/names.h>
#include <heed/kit/core/path.h>

typedef __m512 vf;
typedef __mmask16 vm;

KIT_INLINE vf v_load(const float *p) { return _mm512_loadu_ps(p); }
KIT_INLINE void v_store(float *p, vf x) { _mm512_storeu_ps(p, x); }
KIT_INLINE vf v_load_n(const float *p, int n)
{
    return _mm512_maskz_loadu_ps((__mmask16)((1u << n) - 1), p);
}
KIT_INLINE void v_store_n(float *p, vf x, int n)
{
    _mm512_mask_storeu_ps(p, (__mmask16)((1u << n) - 1), x);
}
KIT_INLINE void v_stream(float *p, vf x) { _mm512_stream_ps(p, x); }
KIT_INLINE void v_drain(void) { _mm_sfence(); }
KIT_INLINE vf v_set(float x) { return _mm512_set1_ps(x); }
KIT_INLINE vf v_add(vf a, vf b) { return _mm512_add_ps(a, b); }
KIT_INLINE vf v_sub(vf a, vf b) { return _mm512_sub_ps(a, b); }
KIT_INLINE vf v_mul(vf a, vf b) { return _mm512_mul_ps(a, b); }
KIT_INLINE vf v_div(vf a, vf b) { return _mm512_div_ps(a, b); }
KIT_INLINE vf v_fma(vf a, vf b, vf c) { return _mm512_fmadd_ps(a, b, c); }
KIT_INLINE vf v_sqrt(vf a) { return _mm512_sqrt_ps(a); }
KIT_INLINE vf v_abs(vf a) { return _mm512_abs_ps(a); }
KIT_INLINE vf v_max(vf a, vf b) { return _mm512_max_ps(a, b); }
KIT_INLINE vf v_min(vf a, vf b) { return _mm512_min_ps(a, b); }
KIT_INLINE vm v_lt(vf a, vf b) { return _mm512_cmp_ps_mask(a, b, _CMP_LT_OQ); }
KIT_INLINE vm v_ge(vf a, vf b) { return _mm512_cmp_ps_mask(a, b, _CMP_GE_OQ); }
KIT_INLINE vm v_eq(vf a, vf b) { return _mm512_cmp_ps_mask(a, b, _CMP_EQ_OQ); }
KIT_INLINE vm v_and(vm a, vm b) { return (vm)(a & b); }
KIT_INLINE vm v_or(vm a, vm b) { return (vm)(a | b); }
KIT_INLINE vf v_select(vm m, vf a, vf b) { return _mm512_mask_blend_ps(m, b, a); }
KIT_INLINE vf v_swap(vf x) { return _mm512_permute_ps(x, 0xb1); }
KIT_INLINE vf v_pin(vf x) { __asm__("" : "+v"(x)); return x; }

KIT_INLINE vf v_scale(vf x, vf shifted)
{
    return _mm512_scalef_ps(x, _mm512_sub_ps(shifted, _mm512_set1_ps(12582912.0f)));
}
KIT_INLINE vf vr_exp2_split(vf x, vf *t)
{
    *t = _mm512_roundscale_ps(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
    return _mm512_sub_ps(x, *t);
}
KIT_INLINE vf vr_exp2_join(vf p, vf t)
{
    return _mm512_maskz_scalef_ps(_mm512_cmp_ps_mask(t, _mm512_set1_ps(-127.0f), _CMP_NLE_UQ), p,
                                  t);
}

KIT_INLINE vf v_load_f16(const uint16_t *p)
{
    return _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)p));
}
KIT_INLINE void v_store_f16(uint16_t *p, vf x)
{
    _mm256_storeu_si256((__m256i *)p,
                        _mm512_cvtps_ph(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
}
KIT_INLINE vf v_load_bf16(const uint16_t *p)
{
    return _mm512_castsi512_ps(
        _mm512_slli_epi32(_mm512_cvtepu16_epi32(_mm256_loadu_si256((const __m256i *)p)), 16));
}
/* As kit_to_bf16: to the nearest, ties to even; a NaN keeps its upper half, made quiet. */
KIT_INLINE void v_store_bf16(uint16_t *p, vf x)
{
    const __m512i u = _mm512_castps_si512(x), high = _mm512_srli_epi32(u, 16);
    const __m512i odd = _mm512_and_si512(high, _mm512_set1_epi32(1));
    const __m512i r = _mm512_srli_epi32(
        _mm512_add_epi32(u, _mm512_add_epi32(odd, _mm512_set1_epi32(0x7fff))), 16);
    const __m512i y = _mm512_mask_or_epi32(r, _mm512_cmp_ps_mask(x, x, _CMP_UNORD_Q), high,
                                           _mm512_set1_epi32(0x40));
    _mm256_storeu_si256((__m256i *)p, _mm512_cvtepi32_epi16(y));
}

#define KIT_HALVE(name, op4, op1)                                                                  \
    KIT_INLINE float name(vf x)                                                                    \
    {                                                                                              \
        __m512 y = op4(x, _mm512_shuffle_f32x4(x, x, 0x4e));                                       \
        __m512 z = op4(y, _mm512_shuffle_f32x4(y, y, 0xb1));                                       \
        __m128 w = _mm512_castps512_ps128(z);                                                      \
        w = op1(w, _mm_movehl_ps(w, w));                                                           \
        return _mm_cvtss_f32(op1(w, _mm_shuffle_ps(w, w, 1)));                                     \
    }
KIT_HALVE(v_sum, _mm512_add_ps, _mm_add_ps)
KIT_HALVE(v_hmax, _mm512_max_ps, _mm_max_ps)
#undef KIT_HALVE
/* Pairs of lanes, of pairs, of quarters, of halves. */
KIT_INLINE void v_transpose(vf r[16])
{
    vf s[16];
    KIT_UNROLL for (int i = 0; i < 16; i += 4) {
        vf a = _mm512_unpacklo_ps(r[i], r[i + 1]), b = _mm512_unpackhi_ps(r[i], r[i + 1]);
        vf c = _mm512_unpacklo_ps(r[i + 2], r[i + 3]), d = _mm512_unpackhi_ps(r[i + 2], r[i + 3]);
        s[i] = _mm512_shuffle_ps(a, c, 0x44);
        s[i + 1] = _mm512_shuffle_ps(a, c, 0xee);
        s[i + 2] = _mm512_shuffle_ps(b, d, 0x44);
        s[i + 3] = _mm512_shuffle_ps(b, d, 0xee);
    }
    KIT_UNROLL for (int i = 0; i < 4; i++) {
        vf a = _mm512_shuffle_f32x4(s[i], s[i + 4], 0x88),
           b = _mm512_shuffle_f32x4(s[i], s[i + 4], 0xdd);
        vf c = _mm512_shuffle_f32x4(s[i + 8], s[i + 12], 0x88),
           d = _mm512_shuffle_f32x4(s[i + 8], s[i + 12], 0xdd);
        r[i] = _mm512_shuffle_f32x4(a, c, 0x88);
        r[i + 4] = _mm512_shuffle_f32x4(b, d, 0x88);
        r[i + 8] = _mm512_shuffle_f32x4(a, c, 0xdd);
        r[i + 12] = _mm512_shuffle_f32x4(b, d, 0xdd);
    }
}

#endif
