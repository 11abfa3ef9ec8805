/* SPDX-License-Identifier: MIT
 *
 * norm/batch, the maths: a channel's mean and factor, made once a call, then one walk over the rows
 * as of any norm.
 *
 * Statistics of a call are two passes, over the rows of 64 channels at a time: the mean, then
 * squares of what is left of it. Sums go in runs of 64 rows, each added to the sum of runs, so that
 * the error grows with the root of the rows; the order depends on the number of rows alone.
 *
 * Backward, with h = (power x - mean) scale, scale = factor / gain:
 *
 *     dx = gain scale power (dy - mean(dy) - h mean(dy h))                   means: statistics=batch only
 *     dgain = sum of dy h,  dbias = sum of dy                       over the rows, in the runs of above
 *
 * Error: |y - exact| <= 4 ulp of y - bias, besides what rounding of the mean does where |mean| >>
 * sqrt(variance).
 */
#include <heed/kit.h>
#include <heed/kit/core/grad.h>
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
    float *scale; /* of backward; or NULL */
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
            float v[16]; /* one, and room for a compiler that doubts it */
            kit_read_row(v, kit_row(x, r) + (at + i) * step, x->dtype, 1, 1);
            if (!(fabsf(v[0]) <= most)) most = fabsf(v[0]);
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
        if (c->scale) c->scale[at + i] = (float)(1 / sqrt(variance + eps));
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
    batch_call c = {instance, x, room, room + kit_lanes(M), room + 2 * kit_lanes(M), NULL};
    if (c.self->of_call && kit_rows(x) == 1)
        return kit_fail(call->sink, HEED_E_ARGUMENT,
                        "statistics=batch needs two tokens in a call at least, and this one has 1");
    int32_t failed = call->host->parallel_for(call->host, (M + BATCH_STRIP - 1) / BATCH_STRIP,
                                              KIT(channels), &c);
    if (failed) return failed;
    return KIT(kit_rowwise_run)((kit_rowwise){
        .call = call, .instance = &c, .x = x, .out = call->tensor[OUT], .apply = KIT(apply)});
}

/* ---- backward ---- */

#ifdef KIT_FIRST
typedef struct batch_backward {
    batch_call c;
    const heed_tensor *d, *d_x, *d_gain, *d_bias; /* what comes, and what is wanted */
} batch_backward;

static int32_t measure_backward(const void *instance, const heed_grad_call *g, heed_call_size *size)
{
    (void)instance;
    size->workspace = 4 * (uint64_t)kit_lanes(HEED_AXIS(g->call->axis, 'M')) * sizeof(float);
    return HEED_OK;
}
#endif

/* h and dy of row r, 16 channels from i on, or what is left of them. */
KIT_INLINE void KIT(row_backward)(const batch_backward *w, int64_t r, int64_t i, int n, vf *h,
                                  vf *dy)
{
    const heed_tensor *x = w->c.x;
    const int64_t step = x->stride[x->rank - 1], ds = kit_gradient_stride(w->d);
    const vf v = v_mul(v_read(kit_row(x, r) + i * step * kit_width(x->dtype), x->dtype, step, n),
                       v_load_n(w->c.power + i, n));
    *h = v_mul(v_sub(v, v_load_n(w->c.mean + i, n)), v_load_n(w->c.scale + i, n));
    *dy = v_read(kit_gradient_row(w->d, r) + i * ds, HEED_F32, ds, n);
}

/* The gradient of a weight, from element i on. */
KIT_INLINE void KIT(add_to)(const heed_tensor *t, int64_t i, int n, vf more)
{
    if (!t) return;
    float *to = (float *)t->data + i * t->stride[0];
    v_write(to, HEED_F32, t->stride[0], v_add(v_read(to, HEED_F32, t->stride[0], n), more), n);
}

/* 16 channels: sums over the rows, in runs of 64 of them, then dx. */
static void KIT(channels_backward)(void *arg, int64_t tile, uint32_t lane)
{
    const batch_backward *w = arg;
    const batch *self = w->c.self;
    const int64_t i = 16 * tile, M = w->d->dim[w->d->rank - 1], rows = kit_rows(w->c.x),
                  xs = kit_gradient_stride(w->d_x);
    const int n = M - i < 16 ? (int)(M - i) : 16;
    const vf zero = v_set(0.0f), share = v_set((float)(1 / (double)(rows ? rows : 1)));
    vf first = zero, second = zero, h, dy;
    (void)lane;
    for (int64_t r = 0; r < rows; r += 64) {
        vf sum = zero, product = zero;
        for (int64_t k = r; k < r + 64 && k < rows; k++) {
            KIT(row_backward)(w, k, i, n, &h, &dy);
            sum = v_add(sum, dy), product = v_fma(dy, h, product);
        }
        first = v_add(first, sum), second = v_add(second, product);
    }
    KIT(add_to)(w->d_gain, i, n, second);
    KIT(add_to)(w->d_bias, i, n, first);
    const vf mean = self->of_call ? v_mul(first, share) : zero,
             slope = self->of_call ? v_mul(second, share) : zero;
    vf factor = v_mul(v_load_n(w->c.scale + i, n), v_load_n(w->c.power + i, n));
    if (self->weight[GAIN]) factor = v_mul(factor, v_load_n(self->weight[GAIN] + i, n));
    for (int64_t r = 0; w->d_x && r < rows; r++) {
        KIT(row_backward)(w, r, i, n, &h, &dy);
        v_write(kit_gradient_row(w->d_x, r) + i * xs, HEED_F32, xs,
                v_mul(factor, v_fma(v_sub(zero, h), slope, v_sub(dy, mean))), n);
    }
}

static int32_t KIT(backward)(const void *instance, const heed_grad_call *g)
{
    const heed_host *host = g->call->host;
    const heed_tensor *x = g->call->tensor[X];
    const int64_t M = HEED_AXIS(g->call->axis, 'M');
    float *room = g->call->workspace;
    batch_backward w = {
        {instance, x, room, room + kit_lanes(M), room + 2 * kit_lanes(M), room + 3 * kit_lanes(M)},
        g->gradient[OUT],
        g->gradient[X],
        g->gradient[GAIN],
        g->gradient[BIAS]};
    const int32_t failed =
        host->parallel_for(host, (M + BATCH_STRIP - 1) / BATCH_STRIP, KIT(channels), &w.c);
    return failed ? failed : host->parallel_for(host, (M + 15) / 16, KIT(channels_backward), &w);
}
KIT_BACKWARD(KIT_PORT(X) | KIT_PORT(GAIN) | KIT_PORT(BIAS), KIT_PORT(OUT), 0, measure_backward)

#include <heed/kit/next.h>
#ifdef KIT_AGAIN
#include __FILE_NAME__
#endif
