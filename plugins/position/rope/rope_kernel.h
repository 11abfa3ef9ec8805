/* SPDX-License-Identifier: MIT
 *
 * position/rope, the maths: a tile is a block of some positions of some sequences. The sines and
 * cosines of a position are made once (kit/core/sleef.h: float64 angles, reduced exactly) and turn
 * the vectors of all heads, and of all sequences of the tile that stand there. Sequence by
 * sequence, so that memory is read and written in long runs.
 *
 *   a' = fma(a, cos, -(b sin)),   b' = fma(b, cos, a sin)
 *
 * Backward turns the gradients of `out` the other way: the same work with sines of the other sign.
 *
 * Error: |y - exact| <= 2^-22 (|a| + |b|), times the amplitude of a scaled rule, at every position
 * up to 2^31. A NaN stays in its pair.
 */
#include <heed/kit.h>
#include <heed/kit/core/grad.h>
#include <heed/kit/core/sleef.h>
#include <heed/kit/position/rotary.h>

#ifdef KIT_FIRST
enum { X, POSITIONS, OUT };
enum { INTERLEAVED, HALF };
typedef struct rope {
    kit_rotary rotary;
    float amplitude;      /* of cosines and sines; 1 in most networks */
    int64_t pairs, width; /* width 0: all of D */
    int64_t count;        /* of theta: 0 if D was not known when opened */
    double theta[];
} rope;

enum {
    BLOCK = 16,
    AHEAD = 2
}; /* positions of a tile; tokens that are fetched before they are read */
typedef struct rope_call {
    const heed_call *call;
    const heed_tensor *x, *out; /* what is turned: the call's, or gradients */
    const rope *self;
    const double *theta;
    int64_t width, blocks, batch_per_tile;
    int streams; /* out goes around the caches */
    int back;    /* turns the other way */
} rope_call;

/* Floats of a lane's scratch: sines and cosines of a block, as the lanes want them; those of one
 * position as they are made; and vectors on their way. */
KIT_INLINE int64_t table_floats(int64_t width) { return 2 * kit_lanes(width / 2); }
KIT_INLINE int64_t scratch_floats(int64_t width, int64_t d)
{
    return 2 * (BLOCK + 1) * table_floats(width) + kit_lanes(d > KIT_PIECE ? d : KIT_PIECE);
}

/* As of the forward: rope_op.h. */
static int32_t rope_measure_call(const void *instance, const heed_call *call, heed_call_size *size);
static int32_t rope_measure_backward(const void *instance, const heed_grad_call *g,
                                     heed_call_size *size)
{
    return rope_measure_call(instance, g->call, size);
}
#endif

/* One vector of pairs (2k, 2k + 1), n channels of it; `sine` and `cosine` have two entries a pair,
 * the first sine of each negative. */
KIT_INLINE void KIT(turn_next)(float *y, const float *x, const float *sine, const float *cosine,
                               int n)
{
    vf v = v_read(x, HEED_F32, 1, n);
    v_write(y, HEED_F32, 1, v_fma(v, v_load(cosine), v_mul(v_swap(v), v_load(sine))), n);
}

/* One vector of pairs (k, k + half), n of them; `sine` and `cosine` have one entry a pair. */
KIT_INLINE void KIT(turn_far)(float *y, const float *x, const float *sine, const float *cosine,
                              int64_t half, int n)
{
    vf a = v_read(x, HEED_F32, 1, n), b = v_read(x + half, HEED_F32, 1, n), s = v_load(sine),
       c = v_load(cosine);
    v_write(y, HEED_F32, 1, v_fma(a, c, v_mul(b, v_sub(v_set(0.0f), s))), n);
    v_write(y + half, HEED_F32, 1, v_fma(b, c, v_mul(a, s)), n);
}

/* One head; y may be x. */
KIT_INLINE void KIT(turn)(float *y, const float *x, const float *sine, const float *cosine,
                          int64_t width, int64_t d, int64_t pairs)
{
    int64_t half = width / 2, i = 0;
    if (pairs == INTERLEAVED) {
        for (; i + 16 <= width; i += 16) KIT(turn_next)(y + i, x + i, sine + i, cosine + i, 16);
        if (i < width) KIT(turn_next)(y + i, x + i, sine + i, cosine + i, (int)(width - i));
    } else {
        for (; i + 16 <= half; i += 16) KIT(turn_far)(y + i, x + i, sine + i, cosine + i, half, 16);
        if (i < half) KIT(turn_far)(y + i, x + i, sine + i, cosine + i, half, (int)(half - i));
    }
    if (y != x && width < d) memcpy(y + width, x + width, (size_t)(d - width) * sizeof(float));
}

/* Sines and cosines of a position, n pairs, to `sine` and `cosine` as turn() wants them. */
static void KIT(fill)(const rope_call *c, float *sine, float *cosine, float *made, int64_t position)
{
    int64_t n = kit_lanes(c->width / 2);
    const int half = c->self->pairs == HALF;
    float *s = half ? sine : made, *t = half ? cosine : made + n;
    KIT(kit_angles)(s, t, c->theta, c->width / 2, position);
    if (c->self->amplitude != 1.0f)
        for (int64_t i = 0; i < n; i++) s[i] *= c->self->amplitude, t[i] *= c->self->amplitude;
    for (int64_t i = 0; c->back && i < n; i++) s[i] = -s[i];
    if (half) return;
    for (int64_t i = 0; i < n; i++) {
        sine[2 * i] = -made[i], sine[2 * i + 1] = made[i];
        cosine[2 * i] = cosine[2 * i + 1] = made[n + i];
    }
}

/* A token that is read soon, while the angles of another are made. */
KIT_INLINE void KIT(fetch)(const rope_call *c, int64_t b, int64_t t)
{
    const heed_tensor *x = c->x;
    if (c->streams && t < x->dim[1] && kit_is_plain(x) && x->stride[2] == x->dim[3])
        kit_prefetch(kit_at(x, (int64_t[]){b, t}, 2),
                     x->dim[2] * x->dim[3] * (int64_t)sizeof(float));
}

/* All heads of a token. Where they go around the caches, as many at a time as make a piece. */
static void KIT(token)(const rope_call *c, int64_t b, int64_t t, const float *sine,
                       const float *cosine, float *room)
{
    const heed_tensor *x = c->x, *out = c->out;
    int64_t heads = x->dim[2], d = x->dim[3], together = 1, n;
    int64_t xs = x->stride[2] * kit_width(x->dtype), os = out->stride[2] * kit_width(out->dtype);
    const char *from = kit_at(x, (int64_t[]){b, t}, 2);
    char *to = kit_at(out, (int64_t[]){b, t}, 2);
    int plain = kit_is_plain(x), in_place = kit_is_plain(out) && !c->streams;
    if (plain && in_place) {
        for (int64_t h = 0; h < heads; h++, from += xs, to += os)
            KIT(turn)((float *)to, (const float *)from, sine, cosine, c->width, d, c->self->pairs);
        return;
    }
    if (c->streams && out->stride[2] == d && 2 * d <= KIT_PIECE) together = d ? KIT_PIECE / d : 1;
    for (int64_t h = 0; h < heads; h += n, to += n * os) {
        n = heads - h < together ? heads - h : together;
        for (int64_t i = 0; i < n; i++, from += xs) {
            float *y = room + i * d;
            if (!plain) kit_read_row(y, from, x->dtype, x->stride[3], d);
            KIT(turn)(y, plain ? (const float *)from : y, sine, cosine, c->width, d,
                      c->self->pairs);
        }
        kit_put_row(out, to, room, n * d, c->streams);
    }
}

static void KIT(tile)(void *arg, int64_t tile, uint32_t lane)
{
    const rope_call *c = arg;
    const heed_tensor *x = c->x, *positions = c->call->tensor[POSITIONS];
    int64_t first = tile % c->blocks * BLOCK, row = tile / c->blocks * c->batch_per_tile;
    int64_t n = x->dim[1] - first < BLOCK ? x->dim[1] - first : BLOCK;
    int64_t end = row + c->batch_per_tile < x->dim[0] ? row + c->batch_per_tile : x->dim[0];
    int64_t size = table_floats(c->width),
            stands[BLOCK]; /* at which position the entries of the table stand */
    float *table = (float *)(c->call->scratch + lane * c->call->scratch_stride),
          *made = table + 2 * BLOCK * size;
    for (int64_t b = row; b < end; b++)
        for (int64_t i = 0; i < n; i++) {
            int64_t index[2] = {b, first + i};
            int64_t position =
                positions ? kit_index(positions, kit_at(positions, index, 2)) : index[1];
            float *sine = table + 2 * i * size, *cosine = sine + size;
            KIT(fetch)(c, b, first + i + AHEAD);
            if (b == row || stands[i] != position)
                KIT(fill)(c, sine, cosine, made, stands[i] = position);
            KIT(token)(c, b, first + i, sine, cosine, made + 2 * size);
        }
    v_drain();
}

static int32_t KIT(run)(const rope *self, const heed_call *call, const heed_tensor *x,
                        const heed_tensor *out, int back)
{
    int64_t d = x->dim[3], width = self->width ? self->width : d,
            blocks = (x->dim[1] + BLOCK - 1) / BLOCK;
    int64_t token = x->dim[2] * d, block = x->dim[1] < BLOCK ? x->dim[1] : BLOCK;
    int64_t rows = 32768 / (block * token + 1) + 1; /* of a tile: about 32 Ki elements */
    rope_call c = {call, x, out, self, self->theta, width, blocks, rows, kit_streams(out), back};
    if (self->count != width / 2) {
        kit_rotary_frequencies(&self->rotary, call->workspace, width);
        c.theta = call->workspace;
    }
    return call->host->parallel_for(call->host, blocks * ((x->dim[0] + rows - 1) / rows), KIT(tile),
                                    &c);
}

static int32_t KIT(forward)(const void *instance, const heed_call *call)
{
    return KIT(run)(instance, call, call->tensor[X], call->tensor[OUT], 0);
}

static int32_t KIT(backward)(const void *instance, const heed_grad_call *g)
{
    if (!g->gradient[X]) return HEED_OK;
    return KIT(run)(instance, g->call, g->gradient[OUT], g->gradient[X], 1);
}
KIT_BACKWARD(KIT_PORT(X), KIT_PORT(OUT), 0, rope_measure_backward)

#include <heed/kit/next.h>
#ifdef KIT_AGAIN
#include __FILE_NAME__
#endif
