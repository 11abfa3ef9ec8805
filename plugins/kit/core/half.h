/* SPDX-License-Identifier: MIT
 *
 * heed/kit/core/half.h: f16 and bf16, one number at a time, with the bits that F16C and NEON give
 * (round to nearest even, NaNs made quiet).
 */
#ifndef HEED_KIT_HALF_H
#define HEED_KIT_HALF_H
#include <heed/kit/core/base.h>

KIT_INLINE float kit_float(uint32_t bits) { float f; memcpy(&f, &bits, 4); return f; }
KIT_INLINE uint32_t kit_bits(float f) { uint32_t bits; memcpy(&bits, &f, 4); return bits; }

KIT_INLINE float kit_from_bf16(uint16_t h) { return kit_float((uint32_t)h << 16); }
KIT_INLINE uint16_t kit_to_bf16(float f)
{
    uint32_t u = kit_bits(f);
    uint32_t rounded = (u + 0x7fffu + (u >> 16 & 1u)) >> 16;
    return (uint16_t)((u & 0x7fffffffu) > 0x7f800000u ? (u >> 16 | 0x40u) : rounded);
}

KIT_INLINE float kit_from_f16(uint16_t h)
{
    uint32_t sign = (uint32_t)(h & 0x8000u) << 16, exponent = h >> 10 & 31u, mantissa = h & 0x3ffu;
    if (exponent == 0) { /* zero and subnormals: mantissa * 2^-24, exact */
        float f = (float)mantissa * 0x1p-24f;
        return kit_float(kit_bits(f) | sign);
    }
    if (exponent == 31)
        return kit_float(sign | 0x7f800000u | mantissa << 13 | (mantissa ? 0x400000u : 0));
    return kit_float(sign | (exponent + 112u) << 23 | mantissa << 13);
}
KIT_INLINE uint16_t kit_to_f16(float f)
{
    uint32_t u = kit_bits(f), sign = u >> 16 & 0x8000u;
    u &= 0x7fffffffu;
    if (u > 0x7f800000u) return (uint16_t)(sign | 0x7e00u | (u >> 13 & 0x3ffu));
    if (u >= 0x477ff000u) return (uint16_t)(sign | 0x7c00u); /* rounds to 65536 or more */
    if (u < 0x38800000u) { /* subnormal: let the float adder round at 2^-24 */
        float t = kit_float(u) + 0.5f;
        return (uint16_t)(sign | (kit_bits(t) - 0x3f000000u));
    }
    return (uint16_t)(sign | (u - 0x38000000u + 0xfffu + (u >> 13 & 1u)) >> 13);
}

#endif
