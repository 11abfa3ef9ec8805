/* SPDX-License-Identifier: MIT
 *
 * residual/add, the maths: one addition an element, or one multiply-add, rounded once. Backward
 * hands the gradient on, times alpha to the stream.
 */
#include <heed/kit.h>
#include <heed/kit/core/grad.h>

#ifdef KIT_FIRST
enum { X, Y, OUT };
enum { ALPHA };
typedef struct add {
    float alpha;
} add;

typedef struct add_call {
    const heed_tensor *x, *y, *out;
    int64_t rows, rows_per_tile;
    int streams; /* out goes around the caches */
    float alpha;
} add_call;

typedef struct add_backward {
    const heed_tensor *from, *x, *y;
    int64_t rows, rows_per_tile;
    float alpha;
} add_backward;

KIT_INLINE int64_t stride_of(const heed_tensor *t) { return t->stride[t->rank - 1]; }
KIT_INLINE int64_t step_of(const heed_tensor *t) { return stride_of(t) * kit_width(t->dtype); }
#endif

/* n sums. */
static void KIT(sum)(const add_call *c, float *to, const char *a, const char *b, int64_t n)
{
    if (c->alpha == 1.0f) {
        kit_add_row(to, a, c->x->dtype, stride_of(c->x), b, c->y->dtype, stride_of(c->y), n);
        return;
    }
    for (int64_t i = 0; i < n; i += 16) {
        const int m = n - i < 16 ? (int)(n - i) : 16;
        const vf x = v_read(a + i * step_of(c->x), c->x->dtype, stride_of(c->x), m),
                 y = v_read(b + i * step_of(c->y), c->y->dtype, stride_of(c->y), m);
        v_write(to + i, HEED_F32, 1, v_fma(v_set(c->alpha), x, y), m);
    }
}

/* A row piece by piece: sums go to the first-level cache and then to `to`. */
static void KIT(put)(const add_call *c, char *to, const char *a, const char *b, int64_t width)
{
    _Alignas(64) float piece[KIT_PIECE];
    for (int64_t n; width > 0; width -= n) {
        n = c->streams ? KIT_PIECE - kit_past_line(to)
                       : KIT_PIECE; /* the next piece begins a line */
        if (n > width) n = width;
        KIT(sum)(c, piece, a, b, n);
        kit_put_row(c->out, to, piece, n, c->streams);
        a += n * step_of(c->x), b += n * step_of(c->y), to += n * step_of(c->out);
    }
}

static void KIT(tile)(void *arg, int64_t tile, uint32_t lane)
{
    const add_call *c = arg;
    const heed_tensor *x = c->x, *y = c->y, *out = c->out;
    const int64_t width = x->dim[x->rank - 1];
    int64_t end = (tile + 1) * c->rows_per_tile < c->rows ? (tile + 1) * c->rows_per_tile : c->rows;
    int in_place = kit_is_plain(out) && !c->streams;
    (void)lane;
    for (int64_t r = tile * c->rows_per_tile; r < end; r++) {
        const char *a = kit_row(x, r), *b = kit_row(y, r);
        char *to = kit_row(out, r);
        if (in_place) KIT(sum)(c, (float *)to, a, b, width);
        else KIT(put)(c, to, a, b, width);
    }
    v_drain();
}

static int32_t KIT(forward)(const void *instance, const heed_call *call)
{
    const heed_tensor *x = call->tensor[X];
    int64_t rows = kit_rows(x), per_tile = 16384 / (x->dim[x->rank - 1] + 1) + 1;
    add_call c = {x,
                  call->tensor[Y],
                  call->tensor[OUT],
                  rows,
                  per_tile,
                  kit_streams(call->tensor[OUT]),
                  ((const add *)instance)->alpha};
    return call->host->parallel_for(call->host, (rows + per_tile - 1) / per_tile, KIT(tile), &c);
}

/* to = factor from, a row of gradients. */
static void KIT(hand_on)(const heed_tensor *to, const heed_tensor *from, int64_t r, float factor)
{
    const int64_t n = from->dim[from->rank - 1], ts = kit_gradient_stride(to),
                  fs = kit_gradient_stride(from);
    for (int64_t i = 0; to && i < n; i += 16) {
        const int m = n - i < 16 ? (int)(n - i) : 16;
        const vf d = v_read(kit_gradient_row(from, r) + i * fs, HEED_F32, fs, m);
        v_write(kit_gradient_row(to, r) + i * ts, HEED_F32, ts, v_mul(v_set(factor), d), m);
    }
}

static void KIT(tile_backward)(void *arg, int64_t tile, uint32_t lane)
{
    const add_backward *c = arg;
    int64_t end = (tile + 1) * c->rows_per_tile < c->rows ? (tile + 1) * c->rows_per_tile : c->rows;
    (void)lane;
    for (int64_t r = tile * c->rows_per_tile; r < end; r++) {
        KIT(hand_on)(c->x, c->from, r, c->alpha);
        KIT(hand_on)(c->y, c->from, r, 1.0f);
    }
}

static int32_t KIT(backward)(const void *instance, const heed_grad_call *g)
{
    const heed_tensor *const *d = g->gradient;
    const heed_host *host = g->call->host;
    const int64_t rows = kit_rows(d[OUT]),
                  per_tile = 16384 / (d[OUT]->dim[d[OUT]->rank - 1] + 1) + 1;
    add_backward c = {d[OUT], d[X], d[Y], rows, per_tile, ((const add *)instance)->alpha};
    return host->parallel_for(host, (rows + per_tile - 1) / per_tile, KIT(tile_backward), &c);
}
KIT_BACKWARD(KIT_PORT(X) | KIT_PORT(Y), KIT_PORT(OUT), 0, NULL)

#include <heed/kit/next.h>
#ifdef KIT_AGAIN
#include __FILE_NAME__
#endif
