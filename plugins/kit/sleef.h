/* SPDX-License-Identifier: MIT
 *
 * heed/kit/sleef.h: the functions that the kit takes from SLEEF (www.sleef.org), and the angles of positions. Include it
 * in a kernel file and link with -lsleef.
 *
 * Only names with `finz` and an instruction set are used: these give the same bits on every path, and unlike the short
 * names they keep no writable pointer. They are declared here because <sleef.h> hides those wider than the compiler's
 * flags. The one-number forms of `finz` execute FMA; an x86 CPU without it takes `cinz`, and the promise of equal bits
 * ends there: kit_sleef_fma(), asked once when an instance is made, tells which.
 */
#ifndef HEED_KIT_SLEEF_ONCE
#define HEED_KIT_SLEEF_ONCE
#if defined __x86_64__
#include <cpuid.h>
#endif

typedef struct { float x, y; } kit_sleef_pair;
kit_sleef_pair Sleef_finz_sincosf1_u10purecfma(float);
kit_sleef_pair Sleef_cinz_sincosf1_u10purec(float);
double Sleef_finz_powd1_u10purecfma(double, double);
double Sleef_cinz_powd1_u10purec(double, double);

static __attribute__((unused)) int kit_sleef_fma(void)
{
#if defined __x86_64__
    const unsigned fma = 1u << 12, osxsave = 1u << 27, avx = 1u << 28;
    unsigned a, b, c, d;
    if (!__get_cpuid(1, &a, &b, &c, &d) || (c & (fma | osxsave | avx)) != (fma | osxsave | avx)) return 0;
    __asm__ volatile("xgetbv" : "=a"(a), "=d"(d) : "c"(0)); /* does the system save the wide registers? */
    return (a & 6) == 6;
#else
    return 1;
#endif
}

/* theta[k] = base^(-step k) for k in [0, n), zeros up to whole vectors: within 2 ulp (float64), the same on all paths. */
static __attribute__((unused)) void kit_frequencies(double *theta, int64_t n, double base, double numerator, double denominator,
                                                    int fma)
{
    for (int64_t k = 0; k < kit_lanes(n); k++) {
        double exponent = -(numerator * (double)k) / denominator;
        theta[k] = k >= n ? 0.0 : fma ? Sleef_finz_powd1_u10purecfma(base, exponent) : Sleef_cinz_powd1_u10purec(base, exponent);
    }
}
#endif

#if defined KIT_AVX512
typedef struct { __m512 x, y; } KIT(kit_sleef_pair);
KIT(kit_sleef_pair) Sleef_finz_sincosf16_u10avx512f(__m512);
#elif defined KIT_AVX2
typedef struct { __m256 x, y; } KIT(kit_sleef_pair);
KIT(kit_sleef_pair) Sleef_finz_sincosf8_u10avx2(__m256);
#elif defined KIT_NEON
typedef struct { float32x4_t x, y; } KIT(kit_sleef_pair);
KIT(kit_sleef_pair) Sleef_finz_sincosf4_u10advsimd(float32x4_t);
#endif

/* sin and cos within 1 ulp; `fma` matters to the scalar path only. */
KIT_INLINE void KIT(v_sincos)(vf x, vf *sine, vf *cosine, int fma)
{
#if defined KIT_AVX512
    KIT(kit_sleef_pair) r = Sleef_finz_sincosf16_u10avx512f(x);
    *sine = r.x, *cosine = r.y;
#elif defined KIT_AVX2
    KIT(kit_sleef_pair) a = Sleef_finz_sincosf8_u10avx2(x.a), b = Sleef_finz_sincosf8_u10avx2(x.b);
    *sine = (vf){a.x, b.x}, *cosine = (vf){a.y, b.y};
#elif defined KIT_NEON
    for (int i = 0; i < 4; i++) {
        KIT(kit_sleef_pair) r = Sleef_finz_sincosf4_u10advsimd(x.val[i]);
        sine->val[i] = r.x, cosine->val[i] = r.y;
    }
#else
    for (int l = 0; l < 16; l++) {
        kit_sleef_pair r = fma ? Sleef_finz_sincosf1_u10purecfma(x.f[l]) : Sleef_cinz_sincosf1_u10purec(x.f[l]);
        sine->f[l] = r.x, cosine->f[l] = r.y;
    }
#endif
    (void)fma;
}

/* sin and cos of position * theta[k], k in [0, n), written up to whole vectors. The product is exact, in two float64;
 * it is reduced by 2 pi in two float64, and what float32 drops of the rest is put back by the addition theorem. So the
 * angle of any position up to 2^44 is right to 2^-46 turns, and the result within 2 ulp of 1. */
static __attribute__((unused)) void KIT(kit_angles)(float *sine, float *cosine, const double *theta, int64_t n, int64_t position,
                                                    int with_fma)
{
    const double at = (double)position, shifter = 0x1.8p52;
    for (int64_t k = 0; k < n; k += 16) {
        float high[16], low[16];
        for (int l = 0; l < 16; l++) {
            double angle = at * theta[k + l], rest = fma(at, theta[k + l], -angle);
            double turns = fma(angle, 0x1.45f306dc9c883p-3, shifter) - shifter;
            double r = fma(-turns, 0x1.921fb54442d18p2, angle);
            r = fma(-turns, 0x1.1a62633145c07p-52, r) + rest;
            high[l] = (float)r;
            low[l] = (float)(r - (double)high[l]);
        }
        vf s, c, d = v_load(low);
        KIT(v_sincos)(v_load(high), &s, &c, with_fma);
        v_store(sine + k, v_fma(d, c, s));
        v_store(cosine + k, v_fma(v_sub(v_set(0.0f), d), s, c));
    }
}
