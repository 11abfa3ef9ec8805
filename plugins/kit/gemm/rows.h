/* SPDX-License-Identifier: MIT
 *
 * heed/kit/gemm/rows.h: weights of 16 bits that are read where they are given, a long row for each output,
 * in a mapped file say. A part of kit/gemm/gemm.h.
 *
 * A product wants lines of 16 outputs for each k, so some links of a panel are turned when their time
 * comes: 16 rows times 8 links, 16 bytes of each row, become 8 lines of float32. That takes fewer
 * instructions than the memory takes time. Nothing is packed when an instance is made, and nothing is
 * kept.
 */
#include <heed/kit.h>

#ifndef HEED_KIT_ROWS_ONCE
#define HEED_KIT_ROWS_ONCE

/* A matrix where it is: rows of `outputs`, `pitch` bytes apart. */
typedef struct kit_place {
    const char *at;
    int64_t pitch, outputs;
} kit_place;

enum { KIT_ROWS_LINKS = 8 }; /* that are turned at once */
#endif

/* Lines [0, 8) of 16 rows from `at` on. The rows of a 128-bit lane are neighbours: 4 times 4 pairs of
 * links are turned in each. */
#if defined KIT_AVX512
KIT_INLINE __m512i KIT(kit_rows_lanes)(const char *at, int64_t pitch)
{
    __m512i m = _mm512_castsi128_si512(_mm_loadu_si128((const void *)at));
    m = _mm512_mask_broadcast_i32x4(m, 0x00F0, _mm_loadu_si128((const void *)(at + 4 * pitch)));
    m = _mm512_mask_broadcast_i32x4(m, 0x0F00, _mm_loadu_si128((const void *)(at + 8 * pitch)));
    return _mm512_mask_broadcast_i32x4(m, 0xF000, _mm_loadu_si128((const void *)(at + 12 * pitch)));
}
KIT_INLINE void KIT(kit_rows_pair)(int is_f16, __m512i pair, float *to)
{
    if (is_f16) {
        v_store(to, _mm512_cvtph_ps(_mm512_cvtepi32_epi16(pair)));
        v_store(to + 16, _mm512_cvtph_ps(_mm512_cvtepi32_epi16(_mm512_srli_epi32(pair, 16))));
    } else {
        v_store(to, _mm512_castsi512_ps(_mm512_slli_epi32(pair, 16)));
        v_store(to + 16,
                _mm512_castsi512_ps(_mm512_and_si512(pair, _mm512_set1_epi32((int)0xFFFF0000u))));
    }
}
KIT_INLINE void KIT(kit_rows_turn)(int is_f16, const char *at, int64_t pitch, float *to)
{
    const __m512i a = KIT(kit_rows_lanes)(at, pitch), b = KIT(kit_rows_lanes)(at + pitch, pitch),
                  c = KIT(kit_rows_lanes)(at + 2 * pitch, pitch),
                  d = KIT(kit_rows_lanes)(at + 3 * pitch, pitch);
    const __m512i ab = _mm512_unpacklo_epi32(a, b), cd = _mm512_unpacklo_epi32(c, d),
                  AB = _mm512_unpackhi_epi32(a, b), CD = _mm512_unpackhi_epi32(c, d);
    KIT(kit_rows_pair)(is_f16, _mm512_unpacklo_epi64(ab, cd), to);
    KIT(kit_rows_pair)(is_f16, _mm512_unpackhi_epi64(ab, cd), to + 32);
    KIT(kit_rows_pair)(is_f16, _mm512_unpacklo_epi64(AB, CD), to + 64);
    KIT(kit_rows_pair)(is_f16, _mm512_unpackhi_epi64(AB, CD), to + 96);
}
#elif defined KIT_AVX2
KIT_INLINE __m256i KIT(kit_rows_lanes)(const char *at, int64_t pitch)
{
    return _mm256_inserti128_si256(_mm256_castsi128_si256(_mm_loadu_si128((const void *)at)),
                                   _mm_loadu_si128((const void *)(at + 4 * pitch)), 1);
}
/* The lower halves of 8 pairs, as float32. */
KIT_INLINE __m256 KIT(kit_rows_halves)(__m256i pair)
{
    const __m256i low = _mm256_blend_epi16(pair, _mm256_setzero_si256(), 0xAA),
                  packed = _mm256_permute4x64_epi64(_mm256_packus_epi32(low, low), 0x08);
    return _mm256_cvtph_ps(_mm256_castsi256_si128(packed));
}
KIT_INLINE void KIT(kit_rows_pair)(int is_f16, __m256i pair, float *to)
{
    if (is_f16) {
        _mm256_storeu_ps(to, KIT(kit_rows_halves)(pair));
        _mm256_storeu_ps(to + 16, KIT(kit_rows_halves)(_mm256_srli_epi32(pair, 16)));
    } else {
        _mm256_storeu_ps(to, _mm256_castsi256_ps(_mm256_slli_epi32(pair, 16)));
        _mm256_storeu_ps(
            to + 16, _mm256_castsi256_ps(_mm256_blend_epi16(_mm256_setzero_si256(), pair, 0xAA)));
    }
}
KIT_INLINE void KIT(kit_rows_turn)(int is_f16, const char *at, int64_t pitch, float *to)
{
    KIT_UNROLL for (int half = 0; half < 2; half++, at += 8 * pitch, to += 8)
    {
        const __m256i a = KIT(kit_rows_lanes)(at, pitch),
                      b = KIT(kit_rows_lanes)(at + pitch, pitch),
                      c = KIT(kit_rows_lanes)(at + 2 * pitch, pitch),
                      d = KIT(kit_rows_lanes)(at + 3 * pitch, pitch);
        const __m256i ab = _mm256_unpacklo_epi32(a, b), cd = _mm256_unpacklo_epi32(c, d),
                      AB = _mm256_unpackhi_epi32(a, b), CD = _mm256_unpackhi_epi32(c, d);
        KIT(kit_rows_pair)(is_f16, _mm256_unpacklo_epi64(ab, cd), to);
        KIT(kit_rows_pair)(is_f16, _mm256_unpackhi_epi64(ab, cd), to + 32);
        KIT(kit_rows_pair)(is_f16, _mm256_unpacklo_epi64(AB, CD), to + 64);
        KIT(kit_rows_pair)(is_f16, _mm256_unpackhi_epi64(AB, CD), to + 96);
    }
}
#elif defined KIT_NEON
KIT_INLINE uint32x4_t KIT(kit_rows_load)(const char *at)
{
    return vreinterpretq_u32_u8(vld1q_u8((const uint8_t *)at));
}
KIT_INLINE void KIT(kit_rows_pair)(int is_f16, uint32x4_t pair, float *to)
{
    if (is_f16) {
        vst1q_f32(to, vcvt_f32_f16(vreinterpret_f16_u16(vmovn_u32(pair))));
        vst1q_f32(to + 16, vcvt_f32_f16(vreinterpret_f16_u16(vshrn_n_u32(pair, 16))));
    } else {
        vst1q_f32(to, vreinterpretq_f32_u32(vshlq_n_u32(pair, 16)));
        vst1q_f32(to + 16, vreinterpretq_f32_u32(vandq_u32(pair, vdupq_n_u32(0xFFFF0000u))));
    }
}
KIT_INLINE void KIT(kit_rows_turn)(int is_f16, const char *at, int64_t pitch, float *to)
{
    for (int four = 0; four < 4; four++, at += 4 * pitch, to += 4) {
        const uint32x4x2_t ab = vtrnq_u32(KIT(kit_rows_load)(at), KIT(kit_rows_load)(at + pitch)),
                           cd = vtrnq_u32(KIT(kit_rows_load)(at + 2 * pitch),
                                          KIT(kit_rows_load)(at + 3 * pitch));
        for (int odd = 0; odd < 2; odd++) {
            const uint32x4_t low =
                                 vcombine_u32(vget_low_u32(ab.val[odd]), vget_low_u32(cd.val[odd])),
                             high = vcombine_u32(vget_high_u32(ab.val[odd]),
                                                 vget_high_u32(cd.val[odd]));
            KIT(kit_rows_pair)(is_f16, low, to + 32 * odd);
            KIT(kit_rows_pair)(is_f16, high, to + 64 + 32 * odd);
        }
    }
}
#else
KIT_INLINE void KIT(kit_rows_turn)(int is_f16, const char *at, int64_t pitch, float *to)
{
    for (int l = 0; l < 16; l++)
        for (int k = 0; k < KIT_ROWS_LINKS; k++) {
            uint16_t half;
            memcpy(&half, at + l * pitch + 2 * k, sizeof half);
            to[16 * k + l] = is_f16 ? kit_from_f16(half) : kit_from_bf16(half);
        }
}
#endif

/* Links [k, k + n) of the panel that begins at a row, as lines of float32; zeros where there are no
 * outputs. While that goes on the lines of memory at `ahead`, as many of as many rows, are fetched. */
KIT_INLINE void KIT(kit_rows_unpack)(int is_f16, const kit_place *w, int64_t row, int64_t k,
                                     int64_t n, const char *ahead, float *to)
{
    const int64_t outputs = w->outputs - row < 16 ? w->outputs - row : 16;
    const char *at = w->at + row * w->pitch + 2 * k;
    int64_t i = 0;
    for (; outputs == 16 && i + KIT_ROWS_LINKS <= n; i += KIT_ROWS_LINKS) {
        if (i % 32 == 0)
            for (int l = 0; l < 16; l++) __builtin_prefetch(ahead + l * w->pitch + 2 * i);
        KIT(kit_rows_turn)(is_f16, at + 2 * i, w->pitch, to + 16 * i);
    }
    for (; i < n; i += KIT_ROWS_LINKS) {
        const int64_t left = n - i < KIT_ROWS_LINKS ? n - i : KIT_ROWS_LINKS;
        char part[16 * 2 * KIT_ROWS_LINKS] = {0};
        float lines[16 * KIT_ROWS_LINKS];
        for (int64_t l = 0; l < outputs; l++)
            memcpy(part + l * 2 * KIT_ROWS_LINKS, at + l * w->pitch + 2 * i, (size_t)(2 * left));
        KIT(kit_rows_turn)(is_f16, part, 2 * KIT_ROWS_LINKS, lines);
        memcpy(to + 16 * i, lines, (size_t)(16 * left) * sizeof(float));
    }
}
