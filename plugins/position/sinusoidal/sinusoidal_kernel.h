/* SPDX-License-Identifier: MIT
 *
 * position/sinusoidal, the maths: one position after another; its row of sines and cosines is made
 * once (kit/core/sleef.h: float64 angles, reduced exactly) and added to all sequences that stand
 * there; the step's, if there is one, is added to it.
 *
 * Error: |y - exact| <= 2^-23 + half an ulp of y, at every position up to 2^31; twice that with a step.
 */
#include <heed/kit.h>
#include <heed/kit/core/grad.h>
#include <heed/kit/core/sleef.h>

#ifdef KIT_FIRST
enum { X, POSITIONS, OUT };
enum { BASE, LAYOUT, EXPONENT, STEP };
enum { INTERLEAVED, HALF };
enum { PAPER, T2T };
typedef struct sinusoidal {
    double base;
    int64_t layout, exponent, step;
    int64_t width; /* M that theta is made for; -1 if not known when opened */
    double theta[];
} sinusoidal;

typedef struct sinusoidal_call {
    const heed_call *call;
    const sinusoidal *self;
    const double *theta;
    int64_t items, items_per_tile; /* item = position of a sequence, t B + b */
} sinusoidal_call;

/* Frequencies for M channels: an odd last channel is a sine if INTERLEAVED, 0 if HALF. */
KIT_INLINE int64_t frequencies(int64_t layout, int64_t m)
{
    return layout == INTERLEAVED ? (m + 1) / 2 : m / 2;
}

KIT_INLINE void make_theta(const sinusoidal *self, double *theta, int64_t m)
{
    int64_t steps = m / 2 > 2 ? m / 2 - 1 : 1;
    kit_frequencies(theta, frequencies(self->layout, m), self->base,
                    self->exponent == PAPER ? 2 : 1,
                    self->exponent == PAPER ? (double)m : (double)steps);
}

/* Floats of a lane's scratch: sines, cosines, the row that they make, and that of the step. */
KIT_INLINE int64_t scratch_floats(int64_t m) { return 6 * kit_lanes((m + 1) / 2); }
#endif

/* The row of a position; `room` is for sines and cosines. */
static void KIT(wave)(const sinusoidal_call *c, int64_t position, float *room, float *row)
{
    const int64_t m = c->call->tensor[X]->dim[2], n = frequencies(c->self->layout, m);
    float *sine = room, *cosine = room + kit_lanes((m + 1) / 2);
    KIT(kit_angles)(sine, cosine, c->theta, n, position);
    if (c->self->layout == INTERLEAVED)
        for (int64_t i = 0; i < n; i++) row[2 * i] = sine[i], row[2 * i + 1] = cosine[i];
    else
        for (int64_t i = 0; i < m; i++) row[i] = i < n ? sine[i] : i < 2 * n ? cosine[i - n] : 0.0f;
}

static void KIT(tile)(void *arg, int64_t tile, uint32_t lane)
{
    const sinusoidal_call *c = arg;
    const heed_tensor *x = c->call->tensor[X], *positions = c->call->tensor[POSITIONS],
                      *out = c->call->tensor[OUT];
    int64_t batch = x->dim[0], m = x->dim[2], last = 0;
    int64_t room = 2 * kit_lanes((m + 1) / 2), xs = x->stride[2], os = out->stride[2];
    float *angles = (float *)(c->call->scratch + lane * c->call->scratch_stride);
    float *row = angles + room, *step = row + room;
    int64_t end =
        (tile + 1) * c->items_per_tile < c->items ? (tile + 1) * c->items_per_tile : c->items;
    if (c->self->step) KIT(wave)(c, c->self->step, angles, step);
    for (int64_t item = tile * c->items_per_tile, fresh = 1; item < end; item++) {
        int64_t index[2] = {item % batch, item / batch};
        int64_t position = positions ? kit_index(positions, kit_at(positions, index, 2)) : index[1];
        if (fresh || position != last) {
            KIT(wave)(c, position, angles, row);
            for (int64_t i = 0; c->self->step && i < m; i++) row[i] += step[i];
            last = position, fresh = 0;
        }
        const char *from = kit_at(x, index, 2);
        char *to = kit_at(out, index, 2);
        for (int64_t i = 0; i < m; i += 16) {
            int w = m - i < 16 ? (int)(m - i) : 16;
            vf v = v_read(from + i * xs * kit_width(x->dtype), x->dtype, xs, w);
            v_write(to + i * os * kit_width(out->dtype), out->dtype, os,
                    v_add(v, v_load_n(row + i, w)), w);
        }
    }
}

static int32_t KIT(forward)(const void *instance, const heed_call *call)
{
    const sinusoidal *self = instance;
    const heed_tensor *x = call->tensor[X];
    int64_t m = x->dim[2], per_tile = 16384 / (m + 1) + 1;
    sinusoidal_call c = {call, self, self->theta, x->dim[0] * x->dim[1], per_tile};
    if (self->width != m) {
        make_theta(self, call->workspace, m);
        c.theta = call->workspace;
    }
    return call->host->parallel_for(call->host, (c.items + per_tile - 1) / per_tile, KIT(tile), &c);
}

/* What is added does not depend on x: its gradient is what comes. */
static void KIT(tile_backward)(void *arg, int64_t row, uint32_t lane)
{
    const heed_grad_call *g = arg;
    const heed_tensor *d = g->gradient[OUT], *to = g->gradient[X];
    const int64_t M = d->dim[2], ds = d->stride[2], ts = to->stride[2];
    (void)lane;
    for (int64_t i = 0; i < M; i += 16) {
        const int n = M - i < 16 ? (int)(M - i) : 16;
        v_write(kit_gradient_row(to, row) + i * ts, HEED_F32, ts,
                v_read(kit_gradient_row(d, row) + i * ds, HEED_F32, ds, n), n);
    }
}

static int32_t KIT(backward)(const void *instance, const heed_grad_call *g)
{
    const heed_tensor *d = g->gradient[OUT];
    (void)instance;
    if (!g->gradient[X]) return HEED_OK;
    return g->call->host->parallel_for(g->call->host, d->dim[0] * d->dim[1], KIT(tile_backward),
                                       (void *)(uintptr_t)g);
}
KIT_BACKWARD(KIT_PORT(X), KIT_PORT(OUT), 0, NULL)

#include <heed/kit/next.h>
#ifdef KIT_AGAIN
#include __FILE_NAME__
#endif
