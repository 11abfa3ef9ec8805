/* SPDX-License-Identifier: MIT
 *
 * residual/share, the maths: one multiply-add an element, rounded once, behind one difference a row.
 */
#include <heed/kit.h>

#ifdef KIT_FIRST
enum { X, Y, SHARE, LESS, OUT };
typedef struct share_call {
    const heed_tensor *x, *y, *share, *less, *out;
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
    share_call c = {t[X], t[Y], t[SHARE], t[LESS], t[OUT], rows, per_tile};
    (void)instance;
    return call->host->parallel_for(call->host, (rows + per_tile - 1) / per_tile, KIT(tile), &c);
}

#include <heed/kit/next.h>
#ifdef KIT_AGAIN
#include __FILE_NAME__
#endif
