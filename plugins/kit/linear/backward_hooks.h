/* SPDX-License-Identifier: MIT
 *
 * heed/kit/linear/backward_hooks.h: the twins of linear/hooks.h, which a variant whose hooks are its
 * own defines before it includes kit/linear/backward.h, and what stands where it does not: the
 * backward of the features that come with the kit, and of strengths. A part of kit/linear/backward.h.
 */
#ifndef KIT_HAS_LINEAR_BACKWARD_HOOKS
#define KIT_HAS_LINEAR_BACKWARD_HOOKS
#include <heed/kit/linear/features.h>

/* From the gradients of r->n rows of features, at df + i l->pitch, to those of the rows that they
 * are of, at to + i l->D16; f are the features, r as LINEAR_FEATURES has it. df may be changed. */
#ifndef LINEAR_FEATURES_BACK
#define LINEAR_FEATURES_BACK(l, r, f, df, to) KIT(linear_map_back)(l, r, f, df, to)
#endif

/* From d[i], the gradients of r->n log decays, to those of the gate, in their place; `sums` are two
 * numbers of this sequence and head, to which gradients of weights are added. */
#ifndef LINEAR_DECAY_BACK
#define LINEAR_DECAY_BACK(l, r, d, sums) ((void)0)
#endif

/* The same for strengths and beta. */
#ifndef LINEAR_STRENGTH_BACK
#define LINEAR_STRENGTH_BACK(l, r, d) KIT(linear_beta_back)(l, r, d)
#endif

#ifndef HEED_KIT_LINEAR_BACKWARD_HOOKS_ONCE
#define HEED_KIT_LINEAR_BACKWARD_HOOKS_ONCE
/* Floats that r->own has for LINEAR_FEATURES_BACK. */
KIT_INLINE int64_t kit_linear_back_own(const kit_linear *l)
{
    return l->F16 + 10 * l->D16 + 64 + (l->op->own_rows ? KIT_LINEAR_CHUNK * l->D16 : 0);
}
#endif

/* The slope of relu times d; a NaN of x stays. */
KIT_INLINE vf KIT(linear_relu_back)(vf x, vf d)
{
    const vf zero = v_set(0.0f);
    return v_select(v_lt(zero, x), d, v_select(v_eq(x, x), zero, x));
}

/* dpfp: e_i is in the products of each shift twice, with e_(i - j) and with e_(i + j). e and the
 * gradients of a shift stand twice in a row, so that both are shifts. */
KIT_INLINE void KIT(linear_dpfp_back)(const kit_linear_op *op, const float *x, const float *df,
                                      int64_t D, float *to, float *own)
{
    const int64_t n = 2 * D;
    float *e = own, *twice = e + 4 * D + 16, *de = twice + 4 * D + 16;
    for (int64_t i = 0; i < n; i++) {
        const float v = i < D ? x[i] : -x[i - D];
        e[i] = e[n + i] = v > 0 ? v : v == v ? 0.0f : v;
        de[i] = 0.0f;
    }
    for (int64_t j = 1; j <= op->nu; j++) {
        const int64_t back = n ? j % n : 0;
        memcpy(twice, df + (j - 1) * n, (size_t)n * sizeof(float));
        memcpy(twice + n, df + (j - 1) * n, (size_t)n * sizeof(float));
        for (int64_t i = 0; i < n; i += 16) {
            const int m = n - i < 16 ? (int)(n - i) : 16;
            vf sum = v_load_n(de + i, m);
            sum = v_fma(v_load_n(twice + i, m), v_load_n(e + n + i - back, m), sum);
            sum = v_fma(v_load_n(twice + i + back, m), v_load_n(e + i + back, m), sum);
            v_store_n(de + i, sum, m);
        }
    }
    for (int64_t d = 0; d < D; d += 16) {
        const int m = D - d < 16 ? (int)(D - d) : 16;
        const vf v = v_load(x + d), minus = v_sub(v_set(0.0f), v);
        v_store(to + d, v_sub(KIT(linear_relu_back)(v, v_load_n(de + d, m)),
                              KIT(linear_relu_back)(minus, v_load_n(de + D + d, m))));
    }
}

/* One row: from the gradients of features that are not divided. */
KIT_INLINE void KIT(linear_row_back)(const kit_linear_op *op, const float *x, const float *df,
                                     int64_t D, float *to, float *own)
{
    const vf zero = v_set(0.0f);
    if (op->map == LINEAR_DPFP) {
        KIT(linear_dpfp_back)(op, x, df, D, to, own);
        return;
    }
    for (int64_t d = 0; d < D; d += 16) {
        const vf v = v_load(x + d), g = v_load(df + d);
        v_store(to + d, op->map == LINEAR_ELU
                            ? v_select(v_lt(zero, v), g, v_mul(KIT(linear_exp)(v_min(zero, v)), g))
                        : op->map == LINEAR_RELU ? KIT(linear_relu_back)(v, g)
                                                 : g);
    }
}

/* y = f / s: df = (dy - y . dy) / s of a sum, and (dy - y (y . dy)) / s of a length. */
KIT_INLINE void KIT(linear_norm_back)(const kit_linear_op *op, const float *raw, const float *f,
                                      float *df, int64_t F)
{
    vf sum = v_set(0.0f), dot = sum;
    for (int64_t d = 0; d < F; d += 16) {
        const int m = F - d < 16 ? (int)(F - d) : 16;
        const vf x = v_load_n(raw + d, m);
        sum = op->unit ? v_fma(x, x, sum) : v_add(sum, x);
        dot = v_fma(v_load_n(f + d, m), v_load_n(df + d, m), dot);
    }
    const double total = (double)v_sum(sum) + (double)op->map_eps;
    const vf factor = v_set(total == 0 ? 0.0f : (float)(1 / (op->unit ? sqrt(total) : total))),
             inner = v_set(-v_sum(dot));
    for (int64_t d = 0; d < F; d += 16) {
        const vf y = op->unit ? v_load(f + d) : v_set(1.0f);
        v_store(df + d, v_mul(v_fma(y, inner, v_load(df + d)), factor));
    }
}

static __attribute__((unused)) void KIT(linear_map_back)(const kit_linear *l,
                                                         const kit_linear_rows *r, const float *f,
                                                         float *df, float *to)
{
    const int divided = l->op->unit || l->op->sum_normalise;
    for (int i = 0; i < r->n; i++, f += l->pitch, df += l->pitch, to += l->D16) {
        const float *x = r->x + i * r->pitch;
        if (divided) {
            KIT(linear_row)(l->op, x, l->D, r->own, r->own + l->F16);
            KIT(linear_norm_back)(l->op, r->own, f, df, l->F);
        }
        KIT(linear_row_back)(l->op, x, df, l->D, to, r->own);
    }
}

static __attribute__((unused)) void KIT(linear_beta_back)(const kit_linear *l,
                                                          const kit_linear_rows *r, float *d)
{
    float beta[KIT_LINEAR_CHUNK] = {0};
    const float eta = l->op->eta != 0.0f ? l->op->eta : 1.0f;
    for (int i = 0; i < r->n; i++)
        beta[i] = kit_linear_number(l->beta, (const int64_t[]){r->b, r->t + i, r->head}, 3);
    for (int i = 0; i < r->n; i += 16) {
        const vf s = v_sigmoid(v_load(beta + i)),
                 slope = l->op->raw_beta ? v_set(1.0f) : v_mul(s, v_sub(v_set(1.0f), s));
        v_store(d + i, v_mul(v_mul(v_load(d + i), slope), v_set(eta)));
    }
}

#endif
