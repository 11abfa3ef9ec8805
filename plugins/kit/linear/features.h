/* SPDX-License-Identifier: MIT
 *
 * heed/kit/linear/features.h: the features of keys and queries that come with the kit. A part of
 * kit/linear/linear.h.
 *
 *     elu       x + 1 where x > 0, e^x elsewhere                    arXiv 2006.16236, equation 7
 *     dpfp      e_i e_(i - j), j = 1 .. nu, of e = [relu x, relu -x]  arXiv 2102.11174, section 5.3
 *
 * A NaN passes through all of them.
 */
#ifndef KIT_HAS_LINEAR_FEATURES
#define KIT_HAS_LINEAR_FEATURES
#include <heed/kit/linear/hooks.h>

/* e^x for x <= 0, within 2 ulp down to 2^-126; 0 below. */
KIT_INLINE vf KIT(linear_exp)(vf x)
{
    const vf log2e = v_set(0x1.715476p+0f), below = v_set(0x1.4ae0c0p-26f);
    float f[16], g[16];
    x = v_max(v_set(-88.0f), x);
    const vf y = v_mul(x, log2e), rest = v_fma(x, below, v_fma(x, log2e, v_sub(v_set(0.0f), y)));
    vr r[16 / VR_LANES], t[16 / VR_LANES], p[16 / VR_LANES];
    static const float c[] = {0x1.3cea88p-7f, 0x1.c6b752p-5f, 0x1.ebf9bcp-3f, 0x1.62e42ap-1f, 1.0f};
    v_store(f, y), v_store(g, rest);
    KIT_UNROLL for (int i = 0; i < 16 / VR_LANES; i++) {
        r[i] = vr_exp2_split(vr_load(f + i * VR_LANES), &t[i]);
        r[i] = vr_add(r[i], vr_load(g + i * VR_LANES));
        p[i] = vr_fma(vr_set(0x1.5bba14p-10f), r[i], vr_set(c[0]));
    }
    KIT_UNROLL for (int k = 1; k < 5; k++)
        KIT_UNROLL for (int i = 0; i < 16 / VR_LANES; i++) p[i] = vr_fma(p[i], r[i], vr_set(c[k]));
    KIT_UNROLL for (int i = 0; i < 16 / VR_LANES; i++)
        vr_store(f + i * VR_LANES, vr_exp2_join(p[i], t[i]));
    return v_load(f);
}

KIT_INLINE vf KIT(linear_relu)(vf x) { return v_max(v_set(0.0f), x); }

/* One row of features: `to` has room for whole vectors, x is zeros behind D. */
KIT_INLINE void KIT(linear_row)(const kit_linear_op *op, const float *x, int64_t D, float *to,
                                float *own)
{
    const int64_t twice = 2 * D;
    switch (op->map) {
        case LINEAR_ELU:
            for (int64_t d = 0; d < D; d += 16) {
                const vf v = v_load(x + d), zero = v_set(0.0f);
                v_store(to + d, v_select(v_lt(zero, v), v_add(v, v_set(1.0f)),
                                         KIT(linear_exp)(v_min(zero, v))));
            }
            break;
        case LINEAR_RELU:
            for (int64_t d = 0; d < D; d += 16) v_store(to + d, KIT(linear_relu)(v_load(x + d)));
            break;
        case LINEAR_IDENTITY:
            for (int64_t d = 0; d < D; d += 16) v_store(to + d, v_load(x + d));
            break;
        default: /* e stands twice in a row, so that e_(i - j) is a shift; d from the end: what
                    spills is overwritten */
            for (int64_t d = 0; d < D; d += 16) v_store(own + d, KIT(linear_relu)(v_load(x + d)));
            for (int64_t d = 0; d < D; d += 16)
                v_store(own + D + d, KIT(linear_relu)(v_sub(v_set(0.0f), v_load(x + d))));
            for (int64_t i = 0; i < twice; i += 16) {
                const int m = twice - i < 16 ? (int)(twice - i) : 16;
                v_store_n(own + twice + i, v_load_n(own + i, m), m);
            }
            for (int64_t j = 1; j <= op->nu; j++)
                for (int64_t i = 0; i < twice; i += 16) {
                    const int m = twice - i < 16 ? (int)(twice - i) : 16;
                    const int64_t back = j % twice;
                    const vf y = v_mul(v_load_n(own + i, m), v_load_n(own + twice + i - back, m));
                    v_store_n(to + (j - 1) * twice + i, y, m);
                }
    }
}

/* Zeros behind the last feature, for sums over whole vectors. */
KIT_INLINE void KIT(linear_pad)(float *to, int64_t F)
{
    if (F % 16) v_store(to + F / 16 * 16, v_load_n(to + F / 16 * 16, (int)(F % 16)));
}

/* Divided by the sum of the features, or by their length. */
KIT_INLINE void KIT(linear_norm)(const kit_linear_op *op, float *to, int64_t F)
{
    vf sum = v_set(0.0f);
    for (int64_t d = 0; d < F; d += 16) {
        const vf x = v_load(to + d);
        sum = op->unit ? v_fma(x, x, sum) : v_add(sum, x);
    }
    const double total = (double)v_sum(sum) + (double)op->map_eps;
    const vf factor = v_set(total == 0 ? 0.0f : (float)(1 / (op->unit ? sqrt(total) : total)));
    for (int64_t d = 0; d < F; d += 16) v_store(to + d, v_mul(v_load(to + d), factor));
}

static __attribute__((unused)) void KIT(linear_map)(const kit_linear *l, const kit_linear_rows *r,
                                                    float *to)
{
    for (int i = 0; i < r->n; i++, to += l->pitch) {
        KIT(linear_row)(l->op, r->x + i * r->pitch, l->D, to, r->own);
        if (!l->op->unit && !l->op->sum_normalise) continue;
        KIT(linear_pad)(to, l->F);
        KIT(linear_norm)(l->op, to, l->F);
    }
}

#endif
