/* SPDX-License-Identifier: MIT
 *
 * norm/layer, the maths: passes over a row that is in cache. The mean is a tree sum
 * (kit/reduce/reduce.h). A second pass sums the differences from it, which corrects it, so that a
 * constant row gives exactly the bias, and their squares: the variance is never E[x^2] - E[x]^2.
 * The factor 1 / sqrt(variance + eps) is made in float64 and rounded once a row.
 *
 * Error: |y - exact| <= 4 ulp of |y| plus 2^-24 gain max|x| / sqrt(var + eps), for rows up to 64
 * Ki.
 */
#include <heed/kit.h>
#include <heed/kit/reduce/reduce.h>
#include <heed/kit/reduce/backward.h>

#ifdef KIT_FIRST
enum { X, RESIDUAL, GAIN, BIAS, OUT, SUM };
enum { EPS, OFFSET };
typedef struct layer {
    double eps;
    int32_t has_gain, has_bias;
    int64_t width;
    float weight[]; /* gain [width], bias [width]: whichever there are */
} layer;
#endif

/* The rest of a measure: from the mean of n numbers, and the sums of what is left of it, to the
 * moments; `power` is what the row was multiplied with. */
KIT_INLINE kit_moments KIT(moments)(const layer *self, kit_sums rest, int64_t n, float mean,
                                    float power)
{
    const double share = 1.0 / (double)n, shift = (double)rest.first * share;
    const double square = (double)rest.second * share - shift * shift;
    const double variance = square < 0.0 ? 0.0 : square; /* a NaN stays */
    const double eps = self->eps * (double)power * (double)power;
    return (kit_moments){(float)((double)mean + shift), (float)(1.0 / sqrt(variance + eps)), power};
}

/* A row whose squares have overflowed, or vanished beside no eps: times a power of two. */
KIT_KERNEL kit_moments KIT(measure_again)(const layer *self, const float *x, int64_t n)
{
    const float power = KIT(kit_power)(x, n);
    const float sum = KIT(kit_sums_of)(1, x, n, 0.0f, power).first;
    const float mean = (float)((double)sum * (1.0 / (double)n));
    return KIT(moments)(self, KIT(kit_sums_of)(1, x, n, mean, power), n, mean, power);
}

static kit_moments KIT(measure)(const void *instance, const float *x, int64_t n)
{
    const layer *self = instance;
    const float mean = (float)((double)kit_sum(x, n) * (1.0 / (double)n));
    const kit_sums rest = kit_sums_about(x, n, mean);
    if (kit_sums_fail(rest, self->eps)) return KIT(measure_again)(self, x, n);
    return KIT(moments)(self, rest, n, mean, 1.0f);
}

/* One vector, or what is left of a row. */
KIT_INLINE void KIT(scale)(const float *gain, const float *bias, kit_moments row, float *y,
                           const float *x, int m)
{
    vf v = v_mul(v_sub(v_read(x, HEED_F32, 1, m), v_set(row.centre)), v_set(row.scale));
    if (gain && bias) v = v_fma(v, v_read(gain, HEED_F32, 1, m), v_read(bias, HEED_F32, 1, m));
    else if (gain) v = v_mul(v, v_read(gain, HEED_F32, 1, m));
    else if (bias) v = v_add(v, v_read(bias, HEED_F32, 1, m));
    v_write(y, HEED_F32, 1, v, m);
}

static void KIT(apply)(const void *instance, kit_moments moments, float *y, const float *x,
                       int64_t at, int64_t n)
{
    const layer *self = instance;
    const float *gain = self->has_gain ? self->weight + at : NULL;
    const float *bias = self->has_bias ? self->weight + (gain ? self->width : 0) + at : NULL;
    int64_t i = 0;
    x = KIT(kit_rescale)(moments, y, x, n);
    for (; i + 16 <= n; i += 16)
        KIT(scale)(gain ? gain + i : NULL, bias ? bias + i : NULL, moments, y + i, x + i, 16);
    if (i < n)
        KIT(scale)(gain ? gain + i : NULL, bias ? bias + i : NULL, moments, y + i, x + i,
                   (int)(n - i));
}

static int32_t KIT(forward)(const void *instance, const heed_call *call)
{
    return KIT(kit_rowwise_run)((kit_rowwise){.call = call,
                                              .instance = instance,
                                              .x = call->tensor[X],
                                              .residual = call->tensor[RESIDUAL],
                                              .out = call->tensor[OUT],
                                              .sum = call->tensor[SUM],
                                              .measure = KIT(measure),
                                              .apply = KIT(apply)});
}

/* The gradients, as kit/reduce/backward.h has them. */
static int32_t KIT(backward)(const void *instance, const heed_grad_call *c)
{
    const layer *self = instance;
    const heed_tensor *const *t = c->call->tensor, *const *d = c->gradient;
    return KIT(kit_norm_backward_run)(
        (kit_norm_backward){.c = c,
                            .instance = instance,
                            .x = t[X],
                            .residual = t[RESIDUAL],
                            .d_out = d[OUT],
                            .d_sum = d[SUM],
                            .d_x = d[X],
                            .d_residual = d[RESIDUAL],
                            .d_gain = d[GAIN],
                            .d_bias = d[BIAS],
                            .gain = self->has_gain ? self->weight : NULL,
                            .centred = 1,
                            .measure = KIT(measure)});
}
KIT_BACKWARD_WITH(HEED_GRAD_ROWS,
                  KIT_PORT(X) | KIT_PORT(RESIDUAL) | KIT_PORT(GAIN) | KIT_PORT(BIAS),
                  KIT_PORT(OUT) | KIT_PORT(SUM), 0, kit_norm_measure_backward)

#include <heed/kit/next.h>
#ifdef KIT_AGAIN
#include __FILE_NAME__
#endif
