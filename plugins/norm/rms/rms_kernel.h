/* SPDX-License-Identifier: MIT
 *
 * norm/rms, the maths: two passes over a row that is in cache. The mean square is a tree sum
 * (kit/reduce/reduce.h); the factor 1 / sqrt(mean + eps) is made in float64 and rounded once a row;
 * then one product an element, one more for the gain. A row whose squares overflow, or vanish
 * beside no eps, is measured again, multiplied with a power of two first.
 *
 * Error: |y - exact| <= 4 ulp of y for rows up to 64 Ki; a naive float32 loop has more from 64
 * elements on.
 */
#include <heed/kit.h>
#include <heed/kit/reduce/reduce.h>
#include <heed/kit/reduce/backward.h>

#ifdef KIT_FIRST
enum { X, RESIDUAL, GAIN, OUT, SUM };
enum { EPS, OFFSET };
typedef struct rms {
    double eps;
    int64_t has_gain;
    float gain[];
} rms;
#endif

/* A row whose squares have overflowed, or vanished beside no eps: times a power of two. */
KIT_KERNEL kit_moments KIT(measure_again)(const rms *self, const float *x, int64_t n)
{
    const float power = KIT(kit_power)(x, n);
    const kit_sums sums = KIT(kit_sums_of)(1, x, n, 0.0f, power);
    const double mean = (double)sums.second * (1.0 / (double)n),
                 eps = self->eps * (double)power * (double)power;
    return (kit_moments){0.0f, (float)(1.0 / sqrt(mean + eps)), power};
}

static kit_moments KIT(measure)(const void *instance, const float *x, int64_t n)
{
    const rms *self = instance;
    const kit_sums sums = kit_sums_about(x, n, 0.0f);
    if (kit_sums_fail(sums, self->eps)) return KIT(measure_again)(self, x, n);
    const double mean = (double)sums.second * (1.0 / (double)n);
    return (kit_moments){0.0f, (float)(1.0 / sqrt(mean + self->eps)), 1.0f};
}

/* One vector, or what is left of a row. */
KIT_INLINE void KIT(scale)(const float *gain, vf factor, float *y, const float *x, int m)
{
    vf v = v_mul(v_read(x, HEED_F32, 1, m), factor);
    if (gain) v = v_mul(v, v_read(gain, HEED_F32, 1, m));
    v_write(y, HEED_F32, 1, v, m);
}

static void KIT(apply)(const void *instance, kit_moments moments, float *y, const float *x,
                       int64_t at, int64_t n)
{
    const rms *self = instance;
    const float *gain = self->has_gain ? self->gain + at : NULL;
    const vf factor = v_set(moments.scale);
    int64_t i = 0;
    x = KIT(kit_rescale)(moments, y, x, n);
    for (; i + 16 <= n; i += 16) KIT(scale)(gain ? gain + i : NULL, factor, y + i, x + i, 16);
    if (i < n) KIT(scale)(gain ? gain + i : NULL, factor, y + i, x + i, (int)(n - i));
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

/* The gradients, as kit/reduce/backward.h has them: the norm is not centred. */
static int32_t KIT(backward)(const void *instance, const heed_grad_call *c)
{
    const rms *self = instance;
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
                            .gain = self->has_gain ? self->gain : NULL,
                            .measure = KIT(measure)});
}
KIT_BACKWARD_WITH(HEED_GRAD_ROWS, KIT_PORT(X) | KIT_PORT(RESIDUAL) | KIT_PORT(GAIN),
                  KIT_PORT(OUT) | KIT_PORT(SUM), 0, kit_norm_measure_backward)

#include <heed/kit/next.h>
#ifdef KIT_AGAIN
#include __FILE_NAME__
#endif
