/* SPDX-License-Identifier: MIT
 *
 * norm/batch, the maths: a channel's mean and factor, made once a call, then one walk over the rows
 * as of any norm.
 *
 * Statistics of a call are two passes, over the rows of 64 channels at a time: the mean, then
 * squares of what is left of it. Sums go in runs of 64 rows, each added to the sum of runs, so that
 * the error grows with the root of the rows; the order depends on the number of rows alone.
 *
 * Error: |y - exact| <= 4 ulp of y - bias, besides what rounding of the mean does where |mean| >>
 * sqrt(variance).
 */
#include <heed/kit.h>
#include <heed/kit/reduce/reduce.h>

#ifdef KIT_FIRST
enum { X, GAIN, BIAS, MEAN, VARIANCE, OUT };
enum { EPS, STATISTICS };
enum { BATCH_STRIP = 64 };
typedef struct batch {
    double eps;
    int of_call;
    const float *weight[OUT]; /* NULL: absent */
    float room[];
} batch;

/* A call: by channel, in the workspace, y = (power x - mean) factor. A power is 1, or a power of
 * two for a channel whose squares would overflow or vanish. */
typedef struct batch_call {
    const batch *self;
    const heed_tensor *x;
    float *mean, *factor, *power;
} batch_call;
KIT_INLINE uint64_t batch_workspace(int64_t M)
{
    return 3 * (uint64_t)kit_lanes(M) * sizeof(float);
}
#endif

/* Sums over the rows of channels [at, at + n), n <= 64, of power x - shift and of its square. */
static void KIT(column_sums)(const heed_tensor *x, int64_t at, int64_t n, const float *power,
                             const float *shift, float *first, float *second)
{
    const int64_t step = x->stride[x->rank - 1], bytes = step * kit_width(x->dtype),
                  rows = kit_rows(x);
    memset(first, 0, BATCH_STRIP * sizeof *first), memset(second, 0, BATCH_STRIP * sizeof *second);
    for (int64_t r = 0; r < rows; r += 64) {
        vf sum[4], squares[4];
        for (int j = 0; j < 4; j++) sum[j] = squares[j] = v_set(0.0f);
        for (int64_t i = r; i < r + 64 && i < rows; i++) {
            const char *row = kit_row(x, i) + at * bytes;
            for (int j = 0; 16 * j < n; j++) {
                const vf v = v_read(row + 16 * j * bytes, x->dtype, step,
                                    n - 16 * j < 16 ? (int)(n - 16 * j) : 16);
                const vf d = v_sub(v_mul(v, v_load(power + 16 * j)), v_load(shift + 16 * j));
                sum[j] = v_add(sum[j], d), squares[j] = v_fma(d, d, squares[j]);
            }
        }
        for (int j = 0; j < 4; j++) {
            v_store(first + 16 * j, v_add(v_load(first + 16 * j), sum[j]));
            v_store(second + 16 * j, v_add(v_load(second + 16 * j), squares[j]));
        }
    }
}

/* The powers of two of channels whose sums have failed; returns whether there is one. */
static int KIT(column_powers)(const heed_tensor *x, int64_t at, int64_t n, const float *second,
                              double eps, float *power)
{
    const int64_t step = x->stride[x->rank - 1] * kit_width(x->dtype), rows = kit_rows(x);
    int any = 0;
    for (int64_t i = 0; i < n; i++) {
        if (!kit_sums_fail((kit_sums){0, second[i]}, eps)) continue;
        float most = 0;
        for (int64_t r = 0; r < rows; r++) {
            float v;
            kit_read_row(&v, kit_row(x, r) + (at + i) * step, x->dtype, 1, 1);
            if (!(fabsf(v) <= most)) most = fabsf(v);
        }
        power[i] = kit_power_of(most);
        any |= power[i] != 1.0f;
    }
    return any;
}

/* Mean and factor of 64 channels. */
static void KIT(channels)(void *arg, int64_t tile, uint32_t lane)
{
    const batch_call *c = arg;
    const batch *self = c->self;
    const int64_t M = c->x->dim[c->x->rank - 1], at = tile * BATCH_STRIP;
    const int64_t n = M - at < BATCH_STRIP ? M - at : BATCH_STRIP;
    const double share = 1 / (double)kit_rows(c->x);
    float mean[BATCH_STRIP], first[BATCH_STRIP] = {0}, second[BATCH_STRIP] = {0},
                             power[BATCH_STRIP];
    (void)lane;
    for (int i = 0; i < BATCH_STRIP; i++) power[i] = 1.0f;
    for (int again = 0; again < 2 && self->of_call; again++) {
        memset(mean, 0, sizeof mean);
        KIT(column_sums)(c->x, at, n, power, mean, first, second);
        for (int64_t i = 0; i < n; i++) mean[i] = (float)((double)first[i] * share);
        KIT(column_sums)(c->x, at, n, power, mean, first, second);
        if (again || !KIT(column_powers)(c->x, at, n, second, self->eps, power)) break;
    }
    for (int64_t i = 0; i < n; i++) {
        const float *const *w = self->weight;
        const double rest = (double)first[i] * share,
                     square = (double)second[i] * share - rest * rest;
        const double kept = w[VARIANCE] ? (double)w[VARIANCE][at + i] : 1;
        const double variance = !self->of_call ? kept : square < 0 ? 0 : square;
        c->mean[at + i] = self->of_call ? (float)((double)mean[i] + rest)
                          : w[MEAN]     ? w[MEAN][at + i]
                                        : 0.0f;
        const double eps = self->eps * (double)power[i] * (double)power[i];
        c->power[at + i] = power[i];
        c->factor[at + i] = (float)((w[GAIN] ? (double)w[GAIN][at + i] : 1) / sqrt(variance + eps));
    }
}

static void KIT(apply)(const void *instance, kit_moments moments, float *y, const float *x,
                       int64_t at, int64_t n)
{
    const batch_call *c = instance;
    const float *bias = c->self->weight[BIAS];
    (void)moments;
    for (int64_t i = 0; i < n; i += 16) {
        const int m = n - i < 16 ? (int)(n - i) : 16;
        const vf v =
            v_mul(v_read(x + i, HEED_F32, 1, m), v_read(c->power + at + i, HEED_F32, 1, m));
        const vf d = v_sub(v, v_read(c->mean + at + i, HEED_F32, 1, m));
        const vf f = v_read(c->factor + at + i, HEED_F32, 1, m);
        v_write(y + i, HEED_F32, 1,
                bias ? v_fma(d, f, v_read(bias + at + i, HEED_F32, 1, m)) : v_mul(d, f), m);
    }
}

static int32_t KIT(forward)(const void *instance, const heed_call *call)
{
    const heed_tensor *x = call->tensor[X];
    const int64_t M = HEED_AXIS(call->axis, 'M');
    float *room = call->workspace;
    batch_call c = {instance, x, room, room + kit_lanes(M), room + 2 * kit_lanes(M)};
    if (c.self->of_call && kit_rows(x) == 1)
        return kit_fail(call->sink, HEED_E_ARGUMENT,
                        "statistics=batch needs two tokens in a call at least, and this one has 1");
    int32_t failed = call->host->parallel_for(call->host, (M + BATCH_STRIP - 1) / BATCH_STRIP,
                                              KIT(channels), &c);
    if (failed) return failed;
    return KIT(kit_rowwise_run)((kit_rowwise){
        .call = call, .instance = &c, .x = x, .out = call->tensor[OUT], .apply = KIT(apply)});
}

#include <heed/kit/next.h>
#ifdef KIT_AGAIN
#include __FILE_NAME__
#endif
