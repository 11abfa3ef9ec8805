/* SPDX-License-Identifier: MIT
 *
 * heed/kit/core/vec_scalar.h: the vector of 16 floats in portable C. This is the definition; the
 * other paths give its bits.
 */
#ifndef HEED_KIT_VEC_SCALAR_H
#define HEED_KIT_VEC_SCALAR_H
#include <heed/kit/core/half.h>
#include <heed/kit/core/names.h>
#include <heed/kit/core/path.h>

typedef struct { float f[16]; } vf;
typedef struct { uint8_t m[16]; } vm;

#define KIT_LANES                                                                                  \
    KIT_UNROLL_4 for (int l = 0; l < 16; l++) /* all 16 would take a compiler a third longer */
#define KIT_MAP(expression) vf r; KIT_LANES r.f[l] = (expression); return r
#define KIT_TEST(expression) vm r; KIT_LANES r.m[l] = (uint8_t)(expression); return r

KIT_INLINE vf v_load(const float *p) { KIT_MAP(p[l]); }
KIT_INLINE void v_store(float *p, vf x) { KIT_LANES p[l] = x.f[l]; }
KIT_INLINE vf v_load_n(const float *p, int n) { KIT_MAP(l < n ? p[l] : 0.0f); }
KIT_INLINE void v_store_n(float *p, vf x, int n) { for (int l = 0; l < n; l++) p[l] = x.f[l]; }
KIT_INLINE void v_stream(float *p, vf x) { v_store(p, x); }
KIT_INLINE void v_drain(void) {}
KIT_INLINE vf v_set(float x) { KIT_MAP(x); }
KIT_INLINE vf v_add(vf a, vf b) { KIT_MAP(a.f[l] + b.f[l]); }
KIT_INLINE vf v_sub(vf a, vf b) { KIT_MAP(a.f[l] - b.f[l]); }
KIT_INLINE vf v_mul(vf a, vf b) { KIT_MAP(a.f[l] * b.f[l]); }
KIT_INLINE vf v_div(vf a, vf b) { KIT_MAP(a.f[l] / b.f[l]); }
#ifdef __FP_FAST_FMAF /* arm64 has an instruction */
KIT_INLINE vf v_fma(vf a, vf b, vf c) { KIT_MAP(fmaf(a.f[l], b.f[l], c.f[l])); }
#else
/* The same bits as fmaf without a call, two lanes at a time. The product is exact in float64; the
 * error of the sum is known exactly, and where there is one the sum is made odd towards it: an odd
 * one is no midpoint of two floats, so the conversion rounds as it would the exact sum (round to
 * odd: Boldo and Melquiond, doi 10.1109/TC.2007.70819). */
typedef double kit_pair __attribute__((vector_size(16)));
typedef int64_t kit_pair_bits __attribute__((vector_size(16)));
KIT_INLINE vf v_fma(vf a, vf b, vf c)
{
    const kit_pair zero = {0, 0};
    const kit_pair_bits sign = {INT64_MIN, INT64_MIN}, one = {1, 1};
    vf r;
    KIT_UNROLL_4 for (int l = 0; l < 16; l += 2) {
        const kit_pair x = {a.f[l], a.f[l + 1]}, y = {b.f[l], b.f[l + 1]}, z = {c.f[l], c.f[l + 1]};
        const kit_pair product = x * y, sum = product + z, part = sum - product;
        const kit_pair error = (product - (sum - part)) + (z - part);
        const kit_pair outwards =
            (kit_pair)((kit_pair_bits)error ^ ((kit_pair_bits)sum & sign)); /* > 0: from zero */
        const kit_pair_bits less =
            outwards<zero, more = outwards> zero; /* neither, if it is a NaN */
        const kit_pair odd = (kit_pair)(((kit_pair_bits)sum + less) | ((less | more) & one));
        r.f[l] = (float)odd[0], r.f[l + 1] = (float)odd[1];
    }
    return r;
}
#endif
KIT_INLINE vf v_sqrt(vf a) { KIT_MAP(sqrtf(a.f[l])); }
KIT_INLINE vf v_abs(vf a) { KIT_MAP(fabsf(a.f[l])); }
KIT_INLINE vf v_max(vf a, vf b) { KIT_MAP(a.f[l] > b.f[l] ? a.f[l] : b.f[l]); }
KIT_INLINE vf v_min(vf a, vf b) { KIT_MAP(a.f[l] < b.f[l] ? a.f[l] : b.f[l]); }
KIT_INLINE vm v_lt(vf a, vf b) { KIT_TEST(a.f[l] < b.f[l]); }
KIT_INLINE vm v_ge(vf a, vf b) { KIT_TEST(a.f[l] >= b.f[l]); }
KIT_INLINE vm v_eq(vf a, vf b) { KIT_TEST(a.f[l] == b.f[l]); }
KIT_INLINE vm v_and(vm a, vm b) { KIT_TEST(a.m[l] & b.m[l]); }
KIT_INLINE vm v_or(vm a, vm b) { KIT_TEST(a.m[l] | b.m[l]); }
KIT_INLINE vf v_select(vm m, vf a, vf b) { KIT_MAP(m.m[l] ? a.f[l] : b.f[l]); }
KIT_INLINE vf v_swap(vf x) { KIT_MAP(x.f[l ^ 1]); }
KIT_INLINE vf v_pin(vf x) { return x; }

/* x * 2^n, for n = the integer in [-127, 127], -127 standing for 2^-infinity, that `shifted` holds
 * in its low mantissa bits (n + 1.5 * 2^23): a product, so that a NaN stays one whatever its
 * payload. */
KIT_INLINE vf v_scale(vf x, vf shifted)
{
    KIT_MAP(x.f[l] * kit_float((kit_bits(shifted.f[l]) << 23) + 0x3f800000u));
}
/* x = n + r, n the nearest integer (ties to even), kept as n + 1.5 * 2^23; a NaN stays. Below -127,
 * as -127. */
KIT_INLINE vf vr_exp2_split(vf x, vf *t)
{
    x = v_max(v_set(-127.0f), x);
    *t = v_add(x, v_set(12582912.0f));
    return v_sub(x, v_sub(*t, v_set(12582912.0f)));
}
KIT_INLINE vf vr_exp2_join(vf p, vf t) { return v_scale(p, t); } /* p * 2^n, and 0 for n = -127 */

KIT_INLINE vf v_load_f16(const uint16_t *p) { KIT_MAP(kit_from_f16(p[l])); }
KIT_INLINE void v_store_f16(uint16_t *p, vf x) { KIT_LANES p[l] = kit_to_f16(x.f[l]); }
KIT_INLINE vf v_load_bf16(const uint16_t *p) { KIT_MAP(kit_from_bf16(p[l])); }
KIT_INLINE void v_store_bf16(uint16_t *p, vf x) { KIT_LANES p[l] = kit_to_bf16(x.f[l]); }

/* Sum and maximum of the lanes, by halves. */
KIT_INLINE float v_sum(vf x)
{
    for (int h = 8; h > 0; h /= 2)
        for (int l = 0; l < h; l++) x.f[l] = x.f[l] + x.f[l + h];
    return x.f[0];
}
KIT_INLINE float v_hmax(vf x)
{
    for (int h = 8; h > 0; h /= 2)
        for (int l = 0; l < h; l++) x.f[l] = x.f[l] > x.f[l + h] ? x.f[l] : x.f[l + h];
    return x.f[0];
}

/* r[i] lane j <-> r[j] lane i */
KIT_INLINE void v_transpose(vf r[16])
{
    for (int i = 0; i < 16; i++)
        for (int j = 0; j < i; j++) {
            float t = r[i].f[j];
            r[i].f[j] = r[j].f[i];
            r[j].f[i] = t;
        }
}

#undef KIT_MAP
#undef KIT_TEST
#undef KIT_LANES
#endif
