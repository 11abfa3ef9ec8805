/* SPDX-License-Identifier: MIT
 *
 * norm/rms, the maths: two passes over a row that is in cache. The mean square is a tree sum (kit/reduce.h); then one
 * exact square root a row, and one rounded quotient and one product an element (kit_divide does it without dividing).
 *
 * Error: |y - exact| <= 4 ulp of y for rows up to 64 Ki; a naive float32 loop has more from 64 elements on.
 */
#include <heed/kit.h>
#include <heed/kit/reduce.h>

#ifdef KIT_FIRST
enum { X, GAIN, OUT };
enum { EPS };
typedef struct rms {
    float eps;
    int32_t has_gain;
    float gain[];
} rms;
#endif

static void KIT(row)(const void *instance, float *y, const float *x, int64_t n)
{
    const rms *self = instance;
    float mean = kit_sum_squares(x, n, 0.0f) / (float)n;
    const kit_divisor root = KIT(kit_by)(sqrtf(mean + self->eps));
    for (int64_t i = 0; i < n; i += 16) {
        int m = n - i < 16 ? (int)(n - i) : 16;
        vf v = kit_divide(m == 16 ? v_load(x + i) : v_load_n(x + i, m), root);
        if (self->has_gain) v = v_mul(v, m == 16 ? v_load(self->gain + i) : v_load_n(self->gain + i, m));
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
