/* SPDX-License-Identifier: MIT
 *
 * position/rope, the maths: one position after another; its sines and cosines are made once (kit/sleef.h: float64
 * angles, reduced exactly) and turn the vectors of all heads, and of all sequences that stand at the same position.
 *
 *   a' = fma(a, cos, -(b sin)),   b' = fma(b, cos, a sin)
 *
 * Error: |y - exact| <= 2^-22 (|a| + |b|), at every position up to 2^31. A NaN stays in its pair.
 */
#include <heed/kit.h>
#include <heed/kit/sleef.h>

#ifdef KIT_FIRST
enum { X, POSITIONS, OUT };
enum { BASE, PAIRS, WIDTH };
enum { INTERLEAVED, HALF };
typedef struct rope {
    double base;
    int64_t pairs, width; /* width 0: all of D */
    int64_t count;        /* of theta: 0 if D was not known when opened */
    double theta[];
} rope;

typedef struct rope_call {
    const heed_call *call;
    const rope *self;
    const double *theta;
    int64_t width, items, items_per_tile; /* item = position of a sequence, t B + b */
} rope_call;

/* Floats of a lane's scratch: sines and cosines, both again as the lanes want them, and one vector. */
KIT_INLINE int64_t scratch_floats(int64_t width, int64_t d) { return 6 * kit_lanes(width / 2) + kit_lanes(d); }
#endif

/* y may be x; `sine` and `cosine` have one entry a pair if HALF, else two, the first sine of each pair negative. */
static void KIT(turn)(float *y, const float *x, const float *sine, const float *cosine, int64_t width,
                      int64_t d, int64_t pairs)
{
    int64_t half = width / 2;
    if (pairs == INTERLEAVED)
        for (int64_t i = 0; i < width; i += 16) {
            int n = width - i < 16 ? (int)(width - i) : 16;
            vf v = n == 16 ? v_load(x + i) : v_load_n(x + i, n);
            v = v_fma(v, v_load(cosine + i), v_mul(v_swap(v), v_load(sine + i)));
            if (n == 16) v_store(y + i, v); else v_store_n(y + i, v, n);
        }
    else
        for (int64_t i = 0; i < half; i += 16) {
            int n = half - i < 16 ? (int)(half - i) : 16;
            vf a = v_load_n(x + i, n), b = v_load_n(x + half + i, n), s = v_load(sine + i), c = v_load(cosine + i);
            v_store_n(y + i, v_fma(a, c, v_mul(b, v_sub(v_set(0.0f), s))), n);
            v_store_n(y + half + i, v_fma(b, c, v_mul(a, s)), n);
        }
    if (y != x) memcpy(y + width, x + width, (size_t)(d - width) * sizeof(float));
}

static void KIT(tile)(void *arg, int64_t tile, uint32_t lane)
{
    const rope_call *c = arg;
    const heed_tensor *x = c->call->tensor[X], *positions = c->call->tensor[POSITIONS], *out = c->call->tensor[OUT];
    int64_t batch = x->dim[0], heads = x->dim[2], d = x->dim[3], width = c->width, n = kit_lanes(width / 2), last = 0;
    float *sine = (float *)(c->call->scratch + lane * c->call->scratch_stride), *cosine = sine + n, *row = sine + 6 * n;
    const float *s = sine, *k = cosine;
    int64_t end = (tile + 1) * c->items_per_tile < c->items ? (tile + 1) * c->items_per_tile : c->items;
    for (int64_t item = tile * c->items_per_tile, fresh = 1; item < end; item++) {
        int64_t index[3] = {item % batch, item / batch, 0};
        int64_t position = positions ? kit_index(positions, kit_at(positions, index, 2)) : index[1];
        if (fresh || position != last) {
            KIT(kit_angles)(sine, cosine, c->theta, width / 2, position);
            if (c->self->pairs == INTERLEAVED) {
                float *s2 = sine + 2 * n, *k2 = sine + 4 * n;
                for (int64_t i = 0; i < n; i++) {
                    s2[2 * i] = -sine[i], s2[2 * i + 1] = sine[i];
                    k2[2 * i] = k2[2 * i + 1] = cosine[i];
                }
                s = s2, k = k2;
            }
            last = position, fresh = 0;
        }
        for (index[2] = 0; index[2] < heads; index[2]++) {
            const char *from = kit_at(x, index, 3);
            char *to = kit_at(out, index, 3);
            if (x->dtype == HEED_F32 && out->dtype == HEED_F32 && x->stride[3] == 1 && out->stride[3] == 1) {
                KIT(turn)((float *)to, (const float *)from, s, k, width, d, c->self->pairs);
            } else {
                kit_read_row(row, from, x->dtype, x->stride[3], d);
                KIT(turn)(row, row, s, k, width, d, c->self->pairs);
                kit_write_row(to, out->dtype, out->stride[3], row, d);
            }
        }
    }
}

static int32_t KIT(forward)(const void *instance, const heed_call *call)
{
    const rope *self = instance;
    const heed_tensor *x = call->tensor[X];
    int64_t width = self->width ? self->width : x->dim[3], per_tile = 16384 / (x->dim[2] * x->dim[3] + 1) + 1;
    rope_call c = {call, self, self->theta, width, x->dim[0] * x->dim[1], per_tile};
    if (self->count != width / 2) {
        kit_frequencies(call->workspace, width / 2, self->base, 2, (double)width);
        c.theta = call->workspace;
    }
    return call->host->parallel_for(call->host, (c.items + per_tile - 1) / per_tile, KIT(tile), &c);
}

#include <heed/kit/next.h>
#ifdef KIT_AGAIN
#include __FILE_NAME__
#endif
