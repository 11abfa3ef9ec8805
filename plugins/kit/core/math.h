/* SPDX-License-Identifier: MIT
 *
 * heed/kit/core/math.h: functions of a vector. The polynomials are our own least-maximum fits; the
 * bound of each is over all floats of its range and includes rounding. pow, which is needed for a
 * few numbers only, is SLEEF's: <heed/kit/core/sleef.h>.
 */
#ifndef KIT_HAS_MATH
#define KIT_HAS_MATH
#include <heed/kit/core/vr.h>

/* Adding this rounds to an integer, and leaves it in the low mantissa bits. */
#define KIT_SHIFTER 12582912.0f

/* y[i] = 2^x[i] for x <= 0, the softmax's: exactly 1 at 0, exactly 0 below -126.5, within 2 ulp
 * between; a NaN stays. Right up to x = 127 too. Each step is done for all n, so that the steps of
 * one wait for nothing but the others'. */
KIT_INLINE void vr_exp2_each(const int n, vr *y, const vr *x)
{
    static const float c[] = {0x1.3cea88p-7f, 0x1.c6b752p-5f, 0x1.ebf9bcp-3f, 0x1.62e42ap-1f, 1.0f};
    vr t[4], r[4];
    KIT_UNROLL for (int i = 0; i < n; i++) r[i] = vr_exp2_split(x[i], &t[i]);
    KIT_UNROLL for (int i = 0; i < n; i++)
        y[i] = vr_fma(vr_set(0x1.5bba14p-10f), r[i], vr_set(c[0]));
    KIT_UNROLL for (int k = 1; k < 5; k++)
        KIT_UNROLL for (int i = 0; i < n; i++) y[i] = vr_fma(y[i], r[i], vr_set(c[k]));
    KIT_UNROLL for (int i = 0; i < n; i++) y[i] = vr_exp2_join(y[i], t[i]);
}
KIT_INLINE vf v_exp2(vf x)
{
    float f[16];
    vr y[16 / VR_LANES];
    v_store(f, x);
    KIT_UNROLL for (int i = 0; i < 16 / VR_LANES; i++) y[i] = vr_load(f + i * VR_LANES);
    vr_exp2_each(16 / VR_LANES, y, y);
    KIT_UNROLL for (int i = 0; i < 16 / VR_LANES; i++) vr_store(f + i * VR_LANES, y[i]);
    return v_load(f);
}

/* e^x within 2 ulp for -87 <= x <= 88; 0 below, infinity above; a NaN stays. */
KIT_INLINE vf v_exp(vf x)
{
    vf y = v_min(v_set(88.0f), v_max(v_set(-87.0f), x));
    vf shifted = v_fma(y, v_set(0x1.715476p0f), v_set(KIT_SHIFTER));
    vf n = v_sub(shifted, v_set(KIT_SHIFTER));
    vf r = v_fma(n, v_set(-0x1.62e4p-1f),
                 y); /* ln 2 in two parts; the first has 17 bits: n times it is exact */
    r = v_fma(n, v_set(-0x1.7f7d1cp-20f), r);
    vf p = v_set(0x1.6a244cp-10f);
    p = v_fma(p, r, v_set(0x1.1239d4p-7f));
    p = v_fma(p, r, v_set(0x1.5558f2p-5f));
    p = v_fma(p, r, v_set(0x1.555492p-3f));
    p = v_fma(p, r, v_set(0x1.fffffcp-2f));
    p = v_fma(v_mul(r, r), p, r);
    vf e = v_scale(v_add(p, v_set(1.0f)), shifted);
    e = v_select(v_lt(x, v_set(-87.0f)), v_set(0.0f), e);
    return v_select(v_lt(v_set(88.0f), x), v_set(INFINITY), e);
}

/* tanh x within 3 ulp. */
KIT_INLINE vf v_tanh(vf x)
{
    vf a = v_abs(x), z = v_mul(x, x);
    vf p = v_set(-0x1.75e120p-8f);
    p = v_fma(p, z, v_set(0x1.522676p-6f));
    p = v_fma(p, z, v_set(-0x1.b83c54p-5f));
    p = v_fma(p, z, v_set(0x1.110726p-3f));
    p = v_fma(p, z, v_set(-0x1.555532p-2f));
    vf small = v_fma(v_mul(p, z), x, x);
    vf e = v_exp(v_add(a, a));
    vf big = v_sub(v_set(1.0f), v_div(v_set(2.0f), v_add(e, v_set(1.0f))));
    big = v_select(v_lt(x, v_set(0.0f)), v_sub(v_set(0.0f), big), big);
    return v_select(v_lt(a, v_set(0.625f)), small, big);
}

/* 1 / (1 + e^-x), with no overflow on either side. */
KIT_INLINE vf v_sigmoid(vf x)
{
    vf e = v_exp(v_sub(v_set(0.0f), v_abs(x)));
    vf d = v_add(v_set(1.0f), e);
    return v_div(v_select(v_lt(x, v_set(0.0f)), e, v_set(1.0f)), d);
}

/* The normal distribution's integral from -infinity to x, (1 + erf(x / sqrt 2)) / 2: within 4 ulp
 * for x >= 0, 8 ulp for x < 0 down to results of 1e-37, then 0. It is e^(-x^2/2) times a polynomial
 * in 1 / (1 + |x| 5/16), so that nothing cancels on the left. */
KIT_INLINE vf v_phi(vf x)
{
    vf a = v_min(v_set(14.0f), v_abs(x));
    vf t = v_div(v_set(1.0f), v_fma(a, v_set(0.3125f), v_set(1.0f)));
    vf p = v_set(-0x1.2b4112p-6f);
    p = v_fma(p, t, v_set(0x1.1b2ec8p-4f));
    p = v_fma(p, t, v_set(-0x1.29c1aap-4f));
    p = v_fma(p, t, v_set(-0x1.5693c2p-7f));
    p = v_fma(p, t, v_set(-0x1.a59df0p-9f));
    p = v_fma(p, t, v_set(0x1.82baa8p-5f));
    p = v_fma(p, t, v_set(0x1.1cb648p-3f));
    p = v_fma(p, t, v_set(0x1.008ec0p-2f));
    p = v_fma(p, t, v_set(0x1.805846p-2f));
    p = v_mul(t, v_fma(v_sub(t, v_set(1.0f)), p, v_set(0.5f)));
    vf square = v_mul(a, a), rest = v_fma(a, a, v_sub(v_set(0.0f), square)); /* a^2 in two parts */
    vf e = v_exp(v_mul(v_set(-0.5f), square));
    e = v_fma(e, v_mul(v_set(-0.5f), rest), e);
    vf left = v_mul(e, p);
    return v_select(v_lt(x, v_set(0.0f)), left, v_sub(v_set(1.0f), left));
}

/* sin x and cos x within 1.3 ulp for |x| <= pi / 4, an eighth of a turn: reducing larger ones is
 * the caller's work, in float64 (kit_angles of kit/core/sleef.h). */
KIT_INLINE void v_sincos(vf x, vf *sine, vf *cosine)
{
    vf z = v_mul(x, x);
    vf p =
        v_fma(v_fma(v_set(-0x1.994380p-13f), z, v_set(0x1.11073ap-7f)), z, v_set(-0x1.555546p-3f));
    *sine = v_fma(v_mul(x, z), p, x);
    p = v_fma(v_fma(v_set(0x1.99eb4ap-16f), z, v_set(-0x1.6c0c32p-10f)), z, v_set(0x1.55554ap-5f));
    *cosine = v_fma(v_mul(z, z), p, v_fma(v_set(-0.5f), z, v_set(1.0f)));
}

/* ln x within 2 ulp for normal x > 0 (one lane after another: it is for a few numbers, not for
 * inner loops). */
KIT_INLINE vf v_log(vf x)
{
    float f[16];
    v_store(f, x);
    for (int l = 0; l < 16; l++) {
        uint32_t u = kit_bits(f[l]);
        if (!(f[l] >= FLT_MIN && f[l] <= FLT_MAX)) { /* 0, subnormal, negative, infinite or NaN */
            f[l] = f[l] == 0.0f     ? -INFINITY
                   : f[l] > FLT_MAX ? INFINITY
                   : f[l] > 0.0f    ? -87.33654475f
                                    : NAN;
            continue;
        }
        int32_t n = (int32_t)(u - 0x3f3504f3u) >> 23;
        float m = kit_float(u - ((uint32_t)n << 23)); /* in [sqrt 1/2, sqrt 2) */
        float s = (m - 1.0f) / (m + 1.0f), w = s * s;
        float p = fmaf(w, fmaf(w, fmaf(w, 0x1.e2f302p-3f, 0x1.2438f0p-2f), 0x1.999a7ap-2f),
                       0x1.555554p-1f);
        float ln = fmaf(s * w, p, s + s);
        f[l] = fmaf((float)n, 0x1.62e4p-1f, fmaf((float)n, 0x1.7f7d1cp-20f, ln));
    }
    return v_load(f);
}

/* log2 x within 2^-22 for normal x in (0, 1]; exactly 0 at 1. */
KIT_INLINE vf v_log2(vf x)
{
    typedef uint32_t kit_u __attribute__((vector_size(64)));
    typedef int32_t kit_i __attribute__((vector_size(64)));
    typedef float kit_f __attribute__((vector_size(64)));
    float f[16], n[16];
    kit_u u;
    v_store(f, x);
    memcpy(&u, f, sizeof u);
    const kit_i e = (kit_i)(u - 0x3f3504f3u) >> 23;
    const kit_f whole = __builtin_convertvector(e, kit_f);
    u -= (kit_u)e << 23; /* in [sqrt 1/2, sqrt 2) */
    memcpy(f, &u, sizeof f);
    memcpy(n, &whole, sizeof n);
    const vf m = v_load(f), one = v_set(1.0f), s = v_div(v_sub(m, one), v_add(m, one)),
             w = v_mul(s, s);
    vf p = v_fma(w, v_set(0x1.e2f302p-3f), v_set(0x1.2438f0p-2f));
    p = v_fma(w, v_fma(w, p, v_set(0x1.999a7ap-2f)), v_set(0x1.555554p-1f));
    return v_fma(v_fma(v_mul(s, w), p, v_add(s, s)), v_set(0x1.715476p+0f), v_load(n));
}

/* x * unit, for what is added to scores: unit is below 1.97, as log2 e is. Up to 2^127 it is the
 * product; beyond, where that would overflow though x is finite, it goes on along a straight line
 * that ends at 1.97 2^127 for the largest float. So the order stays, and scores so far apart have
 * the weights 1 and 0 in any case; and a sum of it and a score below 2^121 is finite. Infinities
 * and NaNs stay. */
KIT_INLINE float KIT(units_slope)(float unit) { return unit < 0.98f ? unit : 1.97f - unit; }
KIT_INLINE vf v_in_units(vf x, float unit)
{
    const float slope = KIT(units_slope)(unit), rise = (unit - slope) * 0x1p127f;
    const vf a = v_set(slope), c = v_set(rise), product = v_mul(v_set(unit), x);
    return v_max(v_fma(a, x, v_set(-rise)), v_min(v_fma(a, x, c), product));
}
/* What was x where y = v_in_units(x, unit) is on that line, and `near` elsewhere. */
KIT_INLINE vf v_out_of_units(vf y, float unit, vf near)
{
    const float slope = KIT(units_slope)(unit), rise = (unit - slope) * 0x1p127f;
    const vf size = v_abs(y),
             far = v_min(v_set(FLT_MAX), v_div(v_sub(size, v_set(rise)), v_set(slope)));
    const vf x = v_select(v_lt(y, v_set(0.0f)), v_sub(v_set(0.0f), far), far);
    return v_select(v_and(v_lt(v_set(unit * 0x1p127f), size), v_eq(near, near)), x,
                    near); /* a NaN stays */
}

#endif
