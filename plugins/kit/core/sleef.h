/* SPDX-License-Identifier: MIT
 *
 * heed/kit/core/sleef.h: what the kit takes from SLEEF (www.sleef.org), and the angles of
 * positions, which need it. Include it in a kernel file and link with -lsleef.
 *
 * Only forms for one number are used, and of these the `cinz ... purec` names: they give the same
 * bits on every machine, with FMA or without, and unlike the short names they keep no writable
 * pointer. The forms for vectors can not be called from a kernel: clang hands a __m512 over on the
 * stack unless the whole file is compiled for AVX-512, whatever the function's target is. Vectors
 * have the kit's own v_sincos, v_phi, v_tanh and v_log instead (kit/core/math.h).
 */
#ifndef KIT_HAS_SLEEF
#define KIT_HAS_SLEEF
#include <heed/kit.h>

#ifndef HEED_KIT_SLEEF_ONCE
#define HEED_KIT_SLEEF_ONCE

double Sleef_cinz_powd1_u10purec(double, double);

/* theta[k] = base^(-k numerator / denominator), k in [0, n), then zeros up to whole vectors; within
 * 2 ulp (float64). */
static __attribute__((unused)) void kit_frequencies(double *theta, int64_t n, double base,
                                                    double numerator, double denominator)
{
    for (int64_t k = 0; k < n; k++)
        theta[k] = Sleef_cinz_powd1_u10purec(base, -(numerator * (double)k) / denominator);
    for (int64_t k = n; k < kit_lanes(n); k++) theta[k] = 0.0;
}
#endif

/* sin and cos of position * theta[k], k in [0, n), written up to whole vectors. The product is
 * exact, in two float64; it is reduced by pi / 2 in two float64; what float32 drops of the rest
 * comes back by the addition theorem. For positions up to 2^40 nothing is lost but what theta
 * itself is off by; the results are within 2 ulp. */
static __attribute__((unused)) void KIT(kit_angles)(float *sine, float *cosine, const double *theta,
                                                    int64_t n, int64_t position)
{
    const double at = (double)position, shifter = 0x1.8p52;
    for (int64_t k = 0; k < n; k += 16) {
        float high[16], low[16], odd[16], sign[16], cosign[16];
        for (int l = 0; l < 16; l++) {
            double angle = at * theta[k + l], rest = fma(at, theta[k + l], -angle);
            double shifted = fma(angle, 0x1.45f306dc9c883p-1, shifter),
                   quarters = shifted - shifter;
            double r = fma(-quarters, 0x1.921fb54442d18p0, angle);
            uint64_t quadrant; /* in the low bits */
            r = fma(-quarters, 0x1.1a62633145c07p-54, r) + rest;
            memcpy(&quadrant, &shifted, 8);
            high[l] = (float)r;
            low[l] = (float)(r - (double)high[l]);
            odd[l] = (float)(int32_t)(quadrant & 1);
            sign[l] = 1.0f - (float)(int32_t)(quadrant & 2);
            cosign[l] = 1.0f - (float)(int32_t)((quadrant + 1) & 2);
        }
        vf s, c, d = v_load(low);
        v_sincos(v_load(high), &s, &c);
        vf s1 = v_fma(d, c, s), c1 = v_fma(v_sub(v_set(0.0f), d), s, c);
        vm swap = v_lt(v_set(0.5f), v_load(odd));
        v_store(sine + k, v_mul(v_load(sign), v_select(swap, c1, s1)));
        v_store(cosine + k, v_mul(v_load(cosign), v_select(swap, s1, c1)));
    }
}
#endif
