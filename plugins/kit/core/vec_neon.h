/* SPDX-License-Identifier: MIT
 *
 * heed/kit/core/vec_neon.h: the vector of 16 floats as four NEON q registers.
 */
#ifndef HEED_KIT_VEC_NEON_H
#define HEED_KIT_VEC_NEON_H
#ifndef KIT_SUFFIX /* read alone: as the copy of this path */
#define KIT_DID_SCALAR
#endif
#include <heed/kit/core/half.h>
#include <heed/kit/core/names.h>
#include <heed/kit/core/path.h>

typedef float32x4x4_t vf;
typedef uint32x4x4_t vm;

#define KIT_QUADS for (int i = 0; i < 4; i++)
#define KIT_MAP(expression) vf r; KIT_UNROLL KIT_QUADS r.val[i] = (expression); return r
#define KIT_TEST(expression) vm r; KIT_UNROLL KIT_QUADS r.val[i] = (expression); return r

KIT_INLINE vf v_load(const float *p) { KIT_MAP(vld1q_f32(p + 4 * i)); }
KIT_INLINE void v_store(float *p, vf x) { KIT_UNROLL KIT_QUADS vst1q_f32(p + 4 * i, x.val[i]); }
KIT_INLINE vf v_load_n(const float *p, int n)
{
    float t[16] = {0};
    memcpy(t, p, sizeof(float) * (size_t)n);
    return v_load(t);
}
KIT_INLINE void v_store_n(float *p, vf x, int n)
{
    float t[16];
    v_store(t, x);
    memcpy(p, t, sizeof(float) * (size_t)n);
}
KIT_INLINE void v_stream(float *p, vf x) { v_store(p, x); }
KIT_INLINE void v_drain(void) {}
KIT_INLINE vf v_set(float x) { KIT_MAP(vdupq_n_f32(x)); }
KIT_INLINE vf v_add(vf a, vf b) { KIT_MAP(vaddq_f32(a.val[i], b.val[i])); }
KIT_INLINE vf v_sub(vf a, vf b) { KIT_MAP(vsubq_f32(a.val[i], b.val[i])); }
KIT_INLINE vf v_mul(vf a, vf b) { KIT_MAP(vmulq_f32(a.val[i], b.val[i])); }
KIT_INLINE vf v_div(vf a, vf b) { KIT_MAP(vdivq_f32(a.val[i], b.val[i])); }
KIT_INLINE vf v_fma(vf a, vf b, vf c) { KIT_MAP(vfmaq_f32(c.val[i], a.val[i], b.val[i])); }
KIT_INLINE vf v_sqrt(vf a) { KIT_MAP(vsqrtq_f32(a.val[i])); }
KIT_INLINE vf v_abs(vf a) { KIT_MAP(vabsq_f32(a.val[i])); }
KIT_INLINE vf v_max(vf a, vf b)
{
    KIT_MAP(vbslq_f32(vcgtq_f32(a.val[i], b.val[i]), a.val[i], b.val[i]));
}
KIT_INLINE vf v_min(vf a, vf b)
{
    KIT_MAP(vbslq_f32(vcltq_f32(a.val[i], b.val[i]), a.val[i], b.val[i]));
}
KIT_INLINE vm v_lt(vf a, vf b) { KIT_TEST(vcltq_f32(a.val[i], b.val[i])); }
KIT_INLINE vm v_ge(vf a, vf b) { KIT_TEST(vcgeq_f32(a.val[i], b.val[i])); }
KIT_INLINE vm v_eq(vf a, vf b) { KIT_TEST(vceqq_f32(a.val[i], b.val[i])); }
KIT_INLINE vm v_and(vm a, vm b) { KIT_TEST(vandq_u32(a.val[i], b.val[i])); }
KIT_INLINE vm v_or(vm a, vm b) { KIT_TEST(vorrq_u32(a.val[i], b.val[i])); }
KIT_INLINE vf v_select(vm m, vf a, vf b) { KIT_MAP(vbslq_f32(m.val[i], a.val[i], b.val[i])); }
KIT_INLINE vf v_swap(vf x) { KIT_MAP(vrev64q_f32(x.val[i])); }
KIT_INLINE vf v_pin(vf x) { return x; }

KIT_INLINE vf v_scale(vf x, vf shifted)
{
    uint32x4_t one = vdupq_n_u32(0x3f800000u);
    KIT_MAP(vmulq_f32(x.val[i], vreinterpretq_f32_u32(vaddq_u32(
                                    vshlq_n_u32(vreinterpretq_u32_f32(shifted.val[i]), 23), one))));
}
KIT_INLINE vf vr_exp2_split(vf x, vf *t)
{
    x = v_max(v_set(-127.0f), x);
    *t = v_add(x, v_set(12582912.0f));
    return v_sub(x, v_sub(*t, v_set(12582912.0f)));
}
KIT_INLINE vf vr_exp2_join(vf p, vf t) { return v_scale(p, t); } /* 2^-127 comes out as 0 */

KIT_INLINE vf v_load_f16(const uint16_t *p)
{
    KIT_MAP(vcvt_f32_f16(vreinterpret_f16_u16(vld1_u16(p + 4 * i))));
}
KIT_INLINE void v_store_f16(uint16_t *p, vf x)
{
    KIT_UNROLL KIT_QUADS vst1_u16(p + 4 * i, vreinterpret_u16_f16(vcvt_f16_f32(x.val[i])));
}
KIT_INLINE vf v_load_bf16(const uint16_t *p)
{
    KIT_MAP(vreinterpretq_f32_u32(vshll_n_u16(vld1_u16(p + 4 * i), 16)));
}
/* As kit_to_bf16: to the nearest, ties to even; a NaN keeps its upper half, made quiet. */
KIT_INLINE void v_store_bf16(uint16_t *p, vf x)
{
    KIT_UNROLL KIT_QUADS {
        const uint32x4_t u = vreinterpretq_u32_f32(x.val[i]), high = vshrq_n_u32(u, 16);
        const uint32x4_t odd = vandq_u32(high, vdupq_n_u32(1));
        const uint32x4_t r = vshrq_n_u32(vaddq_u32(u, vaddq_u32(odd, vdupq_n_u32(0x7fff))), 16);
        vst1_u16(p + 4 * i, vmovn_u32(vbslq_u32(vceqq_f32(x.val[i], x.val[i]), r,
                                                vorrq_u32(high, vdupq_n_u32(0x40)))));
    }
}

KIT_INLINE float v_sum(vf x)
{
    float32x4_t y = vaddq_f32(vaddq_f32(x.val[0], x.val[2]), vaddq_f32(x.val[1], x.val[3]));
    float32x2_t z = vadd_f32(vget_low_f32(y), vget_high_f32(y));
    return vget_lane_f32(z, 0) + vget_lane_f32(z, 1);
}
KIT_INLINE float v_hmax(vf x)
{
    float t[16];
    v_store(t, x);
    for (int h = 8; h > 0; h /= 2)
        for (int l = 0; l < h; l++) t[l] = t[l] > t[l + h] ? t[l] : t[l + h];
    return t[0];
}

/* Sixteen blocks of 4 x 4. */
KIT_INLINE void v_transpose(vf r[16])
{
    vf t[16];
    KIT_UNROLL for (int i = 0; i < 4; i++)
        KIT_UNROLL for (int j = 0; j < 4; j++) {
        float32x4x2_t a = vtrnq_f32(r[4 * i].val[j], r[4 * i + 1].val[j]),
                      b = vtrnq_f32(r[4 * i + 2].val[j], r[4 * i + 3].val[j]);
        t[4 * j].val[i] = vcombine_f32(vget_low_f32(a.val[0]), vget_low_f32(b.val[0]));
        t[4 * j + 1].val[i] = vcombine_f32(vget_low_f32(a.val[1]), vget_low_f32(b.val[1]));
        t[4 * j + 2].val[i] = vcombine_f32(vget_high_f32(a.val[0]), vget_high_f32(b.val[0]));
        t[4 * j + 3].val[i] = vcombine_f32(vget_high_f32(a.val[1]), vget_high_f32(b.val[1]));
        }
    KIT_UNROLL for (int i = 0; i < 16; i++) r[i] = t[i];
}

#undef KIT_MAP
#undef KIT_TEST
#undef KIT_QUADS
#endif
