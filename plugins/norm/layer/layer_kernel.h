/* SPDX-License-Identifier: MIT
 *
 * norm/layer, the maths: passes over a row that is in cache. The mean is a tree sum (kit/reduce.h), corrected by the
 * mean of what it leaves over, so that a constant row gives exactly the bias; the variance is the mean square of the
 * differences, never E[x^2] - E[x]^2.
 *
 * Error: |y - exact| <= 4 ulp of |y| plus 2^-24 gain max|x| / sqrt(var + eps), for rows up to 64 Ki.
 */
#include <heed/kit.h>
#include <heed/kit/reduce.h>

#ifdef KIT_FIRST
enum { X, GAIN, BIAS, OUT };
enum { EPS };
typedef struct layer {
    float eps;
    int32_t has_gain, has_bias;
    int64_t width;
    float weight[]; /* gain [width], bias [width]: whichever there are */
} layer;
#endif

static void KIT(row)(const void *instance, float *y, const float *x, int64_t n)
{
    const layer *self = instance;
    const float *gain = self->weight, *bias = self->weight + (self->has_gain ? self->width : 0);
    float mean = kit_sum(x, n, 0.0f) / (float)n;
    mean += kit_sum(x, n, mean) / (float)n;
    float variance = kit_sum_squares(x, n, mean) / (float)n;
    const kit_divisor root = KIT(kit_by)(sqrtf(variance + self->eps));
    const vf centre = v_set(mean);
    for (int64_t i = 0; i < n; i += 16) {
        int m = n - i < 16 ? (int)(n - i) : 16;
        vf v = kit_divide(v_sub(m == 16 ? v_load(x + i) : v_load_n(x + i, m), centre), root);
        if (self->has_gain) v = v_mul(v, m == 16 ? v_load(gain + i) : v_load_n(gain + i, m));
        if (self->has_bias) v = v_add(v, m == 16 ? v_load(bias + i) : v_load_n(bias + i, m));
        if (m == 16) v_store(y + i, v); else v_store_n(y + i, v, m);
    }
}

static int32_t KIT(forward)(const void *instance, const heed_call *call)
{
    return KIT(kit_rowwise_run)(call, instance, call->tensor[X], call->tensor[OUT], KIT(row));
}

#include <heed/kit/next.h>
#ifdef KIT_AGAIN
#include __FILE_NAME__
#endif
