/* SPDX-License-Identifier: MIT
 *
 * residual/share, the maths: one multiply-add an element, rounded once, behind one difference a row.
 * Backward hands the gradient on, times the weight to y; a weight's is the product of two rows.
 */
#include <heed/kit.h>
#include <heed/kit/core/grad.h>

#ifdef KIT_FIRST
enum { X, Y, SHARE, LESS, OUT };
typedef struct share_call {
    const heed_tensor *x, *y, *share, *less, *out;
    const heed_tensor *const *d; /* gradients, of backward */
    int64_t rows, rows_per_tile;
} share_call;

KIT_INLINE int64_t stride_of(const heed_tensor *t) { return t->stride[t->rank - 1]; }
KIT_INLINE char *place_of(const heed_tensor *t, int64_t row, int64_t i)
{
    return kit_row(t, row) + i * stride_of(t) * kit_width(t->dtype);
}
#endif

/* The number of a row, in all lanes. */
KIT_INLINE vf KIT(number)(const heed_tensor *t, int64_t row)
{
    float f[16];
    v_store(f, v_read(kit_element(t, row), t->dtype, 1, 1));
    return v_set(f[0]);
}

static void KIT(tile)(void *arg, int64_t tile, uint32_t lane)
{
    const share_call *c = arg;
    const int64_t width = c->x->dim[c->x->rank - 1], last = (tile + 1) * c->rows_per_tile;
    (void)lane;
    for (int64_t r = tile * c->rows_per_tile; r < (last < c->rows ? last : c->rows); r++) {
        vf weight = KIT(number)(c->share, r);
        if (c->less) weight = v_sub(weight, KIT(number)(c->less, r));
        for (int64_t i = 0; i < width; i += 16) {
            const int n = width - i < 16 ? (int)(width - i) : 16;
            const vf x = v_read(place_of(c->x, r, i), c->x->dtype, stride_of(c->x), n),
                     y = v_read(place_of(c->y, r, i), c->y->dtype, stride_of(c->y), n);
            v_write(place_of(c->out, r, i), c->out->dtype, stride_of(c->out), v_fma(weight, y, x),
                    n);
        }
    }
}

static int32_t KIT(forward)(const void *instance, const heed_call *call)
{
    const heed_tensor *const *t = call->tensor;
    const int64_t rows = kit_rows(t[X]), per_tile = 16384 / (t[X]->dim[t[X]->rank - 1] + 1) + 1;
    share_call c = {t[X], t[Y], t[SHARE], t[LESS], t[OUT], NULL, rows, per_tile};
    (void)instance;
    return call->host->parallel_for(call->host, (rows + per_tile - 1) / per_tile, KIT(tile), &c);
}

/* to = factor d, of a row; NULL: not wanted. */
static void KIT(hand_on)(const heed_tensor *to, const heed_tensor *d, int64_t row, vf factor)
{
    const int64_t width = d->dim[d->rank - 1];
    for (int64_t i = 0; to && i < width; i += 16) {
        const int n = width - i < 16 ? (int)(width - i) : 16;
        v_write(place_of(to, row, i), HEED_F32, stride_of(to),
                v_mul(factor, v_read(place_of(d, row, i), HEED_F32, stride_of(d), n)), n);
    }
}

/* The sum of d y over a row. */
static float KIT(product)(const heed_tensor *d, const heed_tensor *y, int64_t row)
{
    const int64_t width = d->dim[d->rank - 1];
    vf sum = v_set(0.0f);
    for (int64_t i = 0; i < width; i += 16) {
        const int n = width - i < 16 ? (int)(width - i) : 16;
        sum = v_fma(v_read(place_of(d, row, i), HEED_F32, stride_of(d), n),
                    v_read(place_of(y, row, i), y->dtype, stride_of(y), n), sum);
    }
    return v_sum(sum);
}

static void KIT(tile_backward)(void *arg, int64_t tile, uint32_t lane)
{
    const share_call *c = arg;
    const heed_tensor *d = c->d[OUT], *share = c->d[SHARE], *less = c->d[LESS];
    const int64_t last = (tile + 1) * c->rows_per_tile;
    (void)lane;
    for (int64_t r = tile * c->rows_per_tile; r < (last < c->rows ? last : c->rows); r++) {
        vf weight = KIT(number)(c->share, r);
        if (c->less) weight = v_sub(weight, KIT(number)(c->less, r));
        KIT(hand_on)(c->d[X], d, r, v_set(1.0f));
        KIT(hand_on)(c->d[Y], d, r, weight);
        if (!share && !less) continue;
        const float of = KIT(product)(d, c->y, r);
        if (share) *(float *)(void *)kit_element(share, r) = of;
        if (less) *(float *)(void *)kit_element(less, r) = -of;
    }
}

static int32_t KIT(backward)(const void *instance, const heed_grad_call *g)
{
    const heed_tensor *const *t = g->call->tensor, *d = g->gradient[OUT];
    const heed_host *host = g->call->host;
    if (!d) return HEED_OK;
    const int64_t rows = kit_rows(d), per_tile = 16384 / (d->dim[d->rank - 1] + 1) + 1;
    share_call c = {t[X], t[Y], t[SHARE], t[LESS], NULL, g->gradient, rows, per_tile};
    (void)instance;
    return host->parallel_for(host, (rows + per_tile - 1) / per_tile, KIT(tile_backward), &c);
}
KIT_BACKWARD(KIT_PORT(X) | KIT_PORT(Y) | KIT_PORT(SHARE) | KIT_PORT(LESS), KIT_PORT(OUT), 0, NULL)

#include <heed/kit/next.h>
#ifdef KIT_AGAIN
#include __FILE_NAME__
#endif
