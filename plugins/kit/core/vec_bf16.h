/* SPDX-License-Identifier: MIT
 *
 * heed/kit/core/vec_bf16.h: vp, 16 pairs of bfloat16, for flash/bf16.h: those of the dot
 * instruction of AVX-512 (vdpbf16ps) and of Armv8.6 (bfdot). A pair is 32 bits, its first half low.
 * Both instructions take subnormals as 0 and sum in float32; they round a sum of two products
 * differently, so each path has bits of its own.
 *
 * Of a compiler's two ways to have bfdot, gcc's is used: clang 14 knows no such target for a
 * function.
 */
#ifndef KIT_SUFFIX /* read alone: as the copy of the path that has these instructions */
#define KIT_DID_SCALAR
#define KIT_DID_AVX2
#endif
#ifndef KIT_HAS_VEC_BF16
#define KIT_HAS_VEC_BF16
#include <heed/kit/core/vec.h>

#if defined KIT_AVX512

#define BF16_TARGET                                                                                \
    __attribute__((target("avx512bf16,avx512f,avx512bw,avx512cd,avx512dq,avx512vl,avx2,fma,f16c,"  \
                          "bmi,bmi2,lzcnt,movbe")))
#define BF16_INLINE KIT_INLINE BF16_TARGET
#define BF16_PANEL 8 /* keys or channels of a register tile */
#define BF16_WIDE 3  /* groups of 16 rows of one */

typedef __m512i vp;

BF16_INLINE vp vp_load(const uint32_t *p) { return _mm512_loadu_si512(p); }
BF16_INLINE void vp_store(uint32_t *p, vp x) { _mm512_storeu_si512(p, x); }
BF16_INLINE vp vp_set(uint32_t pair) { return _mm512_set1_epi32((int32_t)pair); }
BF16_INLINE vp vp_ones(void) { return vp_set(0x3f803f80u); }
BF16_INLINE vp vp_bits(vf x) { return (vp)x; }
BF16_INLINE vf vp_dot(vp a, vp b, vf c) { return _mm512_dpbf16_ps(c, (__m512bh)a, (__m512bh)b); }

/* Pairs whose bits under `half` are not these. */
BF16_INLINE vm vp_differs(vp x, uint32_t half, uint32_t bits)
{
    return _mm512_cmpneq_epi32_mask(_mm512_and_si512(x, vp_set(half)), vp_set(bits));
}
BF16_INLINE vm vp_not(vm m) { return (vm)~m; }
/* Sets these bits where a mask is not. */
BF16_INLINE vp vp_mark(vp x, vm spared, uint32_t bits)
{
    return _mm512_mask_or_epi32(x, vp_not(spared), x, vp_set(bits));
}

/* 32 floats in a row; the bits of 16 pairs. */
BF16_INLINE vf vp_narrow(vf first, vf second) { return (vf)_mm512_cvtne2ps_pbh(second, first); }
/* a[0], b[0], a[1], b[1] ... */
BF16_INLINE vp vp_zip(vf a, vf b)
{
    static const uint16_t order[32] = {0,  16, 1,  17, 2,  18, 3,  19, 4,  20, 5,
                                       21, 6,  22, 7,  23, 8,  24, 9,  25, 10, 26,
                                       11, 27, 12, 28, 13, 29, 14, 30, 15, 31};
    return _mm512_permutexvar_epi16(_mm512_loadu_si512(order), (__m512i)_mm512_cvtne2ps_pbh(b, a));
}
/* The upper halves of two vectors, the first's low. */
BF16_INLINE vp vp_uppers(vp low, vp high)
{
    return _mm512_mask_blend_epi16(0xaaaaaaaau, _mm512_srli_epi32(low, 16), high);
}

/* To panels of BF16_PANEL, `size` apart. */
BF16_INLINE void vp_store_panels(uint32_t *to, int64_t size, vp x)
{
    _mm256_storeu_si256((__m256i *)to, _mm512_castsi512_si256(x));
    _mm256_storeu_si256((__m256i *)(to + size), _mm512_extracti64x4_epi64(x, 1));
}

/* x - floor(x), and p 2^floor(x), for x <= 0. */
BF16_INLINE vf vp_fraction(vf x) { return _mm512_reduce_ps(x, _MM_FROUND_TO_NEG_INF); }
BF16_INLINE vf vp_scale(vf p, vf x) { return _mm512_scalef_ps(p, x); }

#elif defined KIT_NEON

#define BF16_TARGET __attribute__((target("arch=armv8.2-a+bf16")))
#define BF16_INLINE KIT_INLINE BF16_TARGET
#define BF16_PANEL 4
#define BF16_WIDE 1

typedef uint32x4x4_t vp;

#define BF16_QUADS KIT_UNROLL for (int i = 0; i < 4; i++)
#define BF16_MAP(type, expression) type r; BF16_QUADS r.val[i] = (expression); return r

BF16_INLINE vp vp_load(const uint32_t *p) { BF16_MAP(vp, vld1q_u32(p + 4 * i)); }
BF16_INLINE void vp_store(uint32_t *p, vp x) { BF16_QUADS vst1q_u32(p + 4 * i, x.val[i]); }
BF16_INLINE vp vp_set(uint32_t pair) { BF16_MAP(vp, vdupq_n_u32(pair)); }
BF16_INLINE vp vp_ones(void)
{
    uint32_t ones = 0x3f803f80u;
    __asm__(
        ""
        : "+r"(
            ones)); /* gcc 12 writes a constant of bfloat16 as fmov v.8h, which is one of float16 */
    return vp_set(ones);
}
BF16_INLINE vp vp_bits(vf x) { BF16_MAP(vp, vreinterpretq_u32_f32(x.val[i])); }
BF16_INLINE vf vp_dot(vp a, vp b, vf c)
{
    BF16_MAP(vf, vbfdotq_f32(c.val[i], vreinterpretq_bf16_u32(a.val[i]),
                             vreinterpretq_bf16_u32(b.val[i])));
}

BF16_INLINE vm vp_differs(vp x, uint32_t half, uint32_t bits)
{
    BF16_MAP(vm, vmvnq_u32(vceqq_u32(vandq_u32(x.val[i], vdupq_n_u32(half)), vdupq_n_u32(bits))));
}
BF16_INLINE vm vp_not(vm m) { BF16_MAP(vm, vmvnq_u32(m.val[i])); }
BF16_INLINE vp vp_mark(vp x, vm spared, uint32_t bits)
{
    BF16_MAP(vp, vorrq_u32(x.val[i], vbicq_u32(vdupq_n_u32(bits), spared.val[i])));
}

/* 8 floats to 8 halves. */
BF16_INLINE uint16x8_t bf16_eight(float32x4_t a, float32x4_t b)
{
    return vreinterpretq_u16_bf16(vcvtq_high_bf16_f32(vcvtq_low_bf16_f32(a), b));
}
BF16_INLINE vf vp_narrow(vf a, vf b)
{
    BF16_MAP(vf, vreinterpretq_f32_u16(i < 2 ? bf16_eight(a.val[2 * i], a.val[2 * i + 1])
                                            : bf16_eight(b.val[2 * i - 4], b.val[2 * i - 3])));
}
BF16_INLINE vp vp_zip(vf a, vf b)
{
    vp r;
    BF16_QUADS {
        const uint16x8_t x = bf16_eight(a.val[i], b.val[i]);
        r.val[i] = vreinterpretq_u32_u16(vzip1q_u16(x, vextq_u16(x, x, 4)));
    }
    return r;
}
BF16_INLINE vp vp_uppers(vp low, vp high)
{
    BF16_MAP(vp, vsriq_n_u32(high.val[i], low.val[i], 16));
}

BF16_INLINE void vp_store_panels(uint32_t *to, int64_t size, vp x)
{
    BF16_QUADS vst1q_u32(to + i * size, x.val[i]);
}

/* From 2^-127 on down it is 0. */
BF16_INLINE vf vp_fraction(vf x)
{
    x = v_max(v_set(-127.0f), x);
    BF16_MAP(vf, vsubq_f32(x.val[i], vrndmq_f32(x.val[i])));
}
BF16_INLINE vf vp_scale(vf p, vf x)
{
    const uint32x4_t one = vdupq_n_u32(0x3f800000u);
    x = v_max(v_set(-127.0f), x);
    BF16_MAP(
        vf, vmulq_f32(p.val[i],
                      vreinterpretq_f32_u32(vaddq_u32(
                          vshlq_n_u32(vreinterpretq_u32_s32(vcvtmq_s32_f32(x.val[i])), 23), one))));
}
#undef BF16_MAP
#undef BF16_QUADS
#endif
#endif
