/* SPDX-License-Identifier: MIT
 *
 * heed/kit/core/vec_avx2.h: the vector of 16 floats as two ymm.
 */
#ifndef HEED_KIT_VEC_AVX2_H
#define HEED_KIT_VEC_AVX2_H
#ifndef KIT_SUFFIX /* read alone: as the copy of this path */
#define KIT_DID_SCALAR
#endif
#include <heed/kit/core/half.h>
#include <heed/kit/core/names.h>
#include <heed/kit/core/path.h>

typedef struct { __m256 a, b; } vf;
typedef struct { __m256 a, b; } vm;

#define KIT_BOTH(f) (vf){f(x.a, y.a), f(x.b, y.b)}
#define KIT_TEST(predicate)                                                                        \
    (vm) { _mm256_cmp_ps(x.a, y.a, predicate), _mm256_cmp_ps(x.b, y.b, predicate) }

/* Eight lanes of all ones for the lanes below n. */
KIT_INLINE __m256i KIT(v_below)(int n)
{
    return _mm256_cmpgt_epi32(_mm256_set1_epi32(n), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}

KIT_INLINE vf v_load(const float *p) { return (vf){_mm256_loadu_ps(p), _mm256_loadu_ps(p + 8)}; }
KIT_INLINE void v_store(float *p, vf x) { _mm256_storeu_ps(p, x.a); _mm256_storeu_ps(p + 8, x.b); }
KIT_INLINE vf v_load_n(const float *p, int n)
{
    return (vf){_mm256_maskload_ps(p, KIT(v_below)(n)),
                _mm256_maskload_ps(p + 8, KIT(v_below)(n - 8))};
}
KIT_INLINE void v_store_n(float *p, vf x, int n)
{
    _mm256_maskstore_ps(p, KIT(v_below)(n), x.a);
    _mm256_maskstore_ps(p + 8, KIT(v_below)(n - 8), x.b);
}
KIT_INLINE void v_stream(float *p, vf x) { _mm256_stream_ps(p, x.a); _mm256_stream_ps(p + 8, x.b); }
KIT_INLINE void v_drain(void) { _mm_sfence(); }
KIT_INLINE vf v_set(float x) { __m256 t = _mm256_set1_ps(x); return (vf){t, t}; }
KIT_INLINE vf v_add(vf x, vf y) { return KIT_BOTH(_mm256_add_ps); }
KIT_INLINE vf v_sub(vf x, vf y) { return KIT_BOTH(_mm256_sub_ps); }
KIT_INLINE vf v_mul(vf x, vf y) { return KIT_BOTH(_mm256_mul_ps); }
KIT_INLINE vf v_div(vf x, vf y) { return KIT_BOTH(_mm256_div_ps); }
KIT_INLINE vf v_max(vf x, vf y) { return KIT_BOTH(_mm256_max_ps); }
KIT_INLINE vf v_min(vf x, vf y) { return KIT_BOTH(_mm256_min_ps); }
KIT_INLINE vf v_fma(vf x, vf y, vf z)
{
    return (vf){_mm256_fmadd_ps(x.a, y.a, z.a), _mm256_fmadd_ps(x.b, y.b, z.b)};
}
KIT_INLINE vf v_sqrt(vf x) { return (vf){_mm256_sqrt_ps(x.a), _mm256_sqrt_ps(x.b)}; }
KIT_INLINE vf v_abs(vf x)
{
    __m256 sign = _mm256_set1_ps(-0.0f);
    return (vf){_mm256_andnot_ps(sign, x.a), _mm256_andnot_ps(sign, x.b)};
}
KIT_INLINE vm v_lt(vf x, vf y) { return KIT_TEST(_CMP_LT_OQ); }
KIT_INLINE vm v_ge(vf x, vf y) { return KIT_TEST(_CMP_GE_OQ); }
KIT_INLINE vm v_eq(vf x, vf y) { return KIT_TEST(_CMP_EQ_OQ); }
KIT_INLINE vm v_and(vm x, vm y) { return (vm){_mm256_and_ps(x.a, y.a), _mm256_and_ps(x.b, y.b)}; }
KIT_INLINE vm v_or(vm x, vm y) { return (vm){_mm256_or_ps(x.a, y.a), _mm256_or_ps(x.b, y.b)}; }
KIT_INLINE vf v_select(vm m, vf x, vf y)
{
    return (vf){_mm256_blendv_ps(y.a, x.a, m.a), _mm256_blendv_ps(y.b, x.b, m.b)};
}
KIT_INLINE vf v_swap(vf x)
{
    return (vf){_mm256_permute_ps(x.a, 0xb1), _mm256_permute_ps(x.b, 0xb1)};
}
KIT_INLINE vf v_pin(vf x) { __asm__("" : "+x"(x.a), "+x"(x.b)); return x; }

KIT_INLINE __m256 KIT(v_scale_half)(__m256 x, __m256 shifted)
{
    __m256i power = _mm256_add_epi32(_mm256_slli_epi32(_mm256_castps_si256(shifted), 23),
                                     _mm256_set1_epi32(0x3f800000));
    return _mm256_mul_ps(x, _mm256_castsi256_ps(power));
}
KIT_INLINE vf v_scale(vf x, vf y) { return KIT_BOTH(KIT(v_scale_half)); }

KIT_INLINE vf v_load_f16(const uint16_t *p)
{
    return (vf){_mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)p)),
                _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)(p + 8)))};
}
KIT_INLINE void v_store_f16(uint16_t *p, vf x)
{
    _mm_storeu_si128((__m128i *)p,
                     _mm256_cvtps_ph(x.a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
    _mm_storeu_si128((__m128i *)(p + 8),
                     _mm256_cvtps_ph(x.b, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
}
KIT_INLINE __m256 KIT(v_widen_bf16)(const uint16_t *p)
{
    return _mm256_castsi256_ps(
        _mm256_slli_epi32(_mm256_cvtepu16_epi32(_mm_loadu_si128((const __m128i *)p)), 16));
}
KIT_INLINE vf v_load_bf16(const uint16_t *p)
{
    return (vf){KIT(v_widen_bf16)(p), KIT(v_widen_bf16)(p + 8)};
}
/* As kit_to_bf16: to the nearest, ties to even; a NaN keeps its upper half, made quiet. */
KIT_INLINE __m256i KIT(v_narrow_bf16)(__m256 x)
{
    const __m256i u = _mm256_castps_si256(x), high = _mm256_srli_epi32(u, 16);
    const __m256i odd = _mm256_and_si256(high, _mm256_set1_epi32(1));
    const __m256i r = _mm256_srli_epi32(
        _mm256_add_epi32(u, _mm256_add_epi32(odd, _mm256_set1_epi32(0x7fff))), 16);
    return _mm256_blendv_epi8(r, _mm256_or_si256(high, _mm256_set1_epi32(0x40)),
                              _mm256_castps_si256(_mm256_cmp_ps(x, x, _CMP_UNORD_Q)));
}
KIT_INLINE void v_store_bf16(uint16_t *p, vf x)
{
    const __m256i y = _mm256_packus_epi32(KIT(v_narrow_bf16)(x.a),
                                          KIT(v_narrow_bf16)(x.b)); /* quarters 0 2 1 3 */
    _mm256_storeu_si256((__m256i *)p, _mm256_permute4x64_epi64(y, 0xd8));
}

#define KIT_HALVE(name, op8, op4)                                                                  \
    KIT_INLINE float name(vf x)                                                                    \
    {                                                                                              \
        __m256 y = op8(x.a, x.b);                                                                  \
        __m128 w = op4(_mm256_castps256_ps128(y), _mm256_extractf128_ps(y, 1));                    \
        w = op4(w, _mm_movehl_ps(w, w));                                                           \
        return _mm_cvtss_f32(op4(w, _mm_shuffle_ps(w, w, 1)));                                     \
    }
KIT_HALVE(v_sum, _mm256_add_ps, _mm_add_ps)
KIT_HALVE(v_hmax, _mm256_max_ps, _mm_max_ps)
#undef KIT_HALVE
/* Four quarters of 8 x 8. */
KIT_INLINE void KIT(v_turn)(__m256 *const *r)
{
    __m256 s[8], t[8];
    KIT_UNROLL for (int i = 0; i < 8; i += 2) {
        s[i] = _mm256_unpacklo_ps(*r[i], *r[i + 1]);
        s[i + 1] = _mm256_unpackhi_ps(*r[i], *r[i + 1]);
    }
    KIT_UNROLL for (int i = 0; i < 8; i += 4)
        KIT_UNROLL for (int j = 0; j < 2; j++) {
            t[i + 2 * j] = _mm256_shuffle_ps(s[i + j], s[i + 2 + j], 0x44);
            t[i + 2 * j + 1] = _mm256_shuffle_ps(s[i + j], s[i + 2 + j], 0xee);
        }
    KIT_UNROLL for (int i = 0; i < 4; i++) {
        *r[i] = _mm256_permute2f128_ps(t[i], t[i + 4], 0x20);
        *r[i + 4] = _mm256_permute2f128_ps(t[i], t[i + 4], 0x31);
    }
}
KIT_INLINE void v_transpose(vf r[16])
{
    __m256 *quarter[4][8];
    KIT_UNROLL for (int i = 0; i < 8; i++) {
        quarter[0][i] = &r[i].a, quarter[1][i] = &r[i].b;
        quarter[2][i] = &r[i + 8].a, quarter[3][i] = &r[i + 8].b;
    }
    KIT_UNROLL for (int q = 0; q < 4; q++) KIT(v_turn)(quarter[q]);
    KIT_UNROLL for (int i = 0; i < 8; i++) {
        __m256 t = r[i].b;
        r[i].b = r[i + 8].a;
        r[i + 8].a = t;
    }
}

#undef KIT_BOTH
#undef KIT_TEST
#endif
