/* SPDX-License-Identifier: MIT
 *
 * activation/softcap, the maths: one division, the kit's tanh, one product. Error: the kit's of tanh,
 * and 2 roundings.
 */
#include <heed/kit.h>
#include <heed/kit/core/grad.h>

#ifdef KIT_FIRST
enum { X, OUT };
enum { CAP };
typedef struct softcap {
    float cap;
} softcap;

typedef struct softcap_call {
    const heed_tensor *x, *out; /* of backward: the gradient of x */
    const heed_tensor *d;       /* ... and of out */
    int64_t rows, rows_per_tile;
    float cap;
} softcap_call;
#endif

static void KIT(tile)(void *arg, int64_t tile, uint32_t lane)
{
    const softcap_call *c = arg;
    const heed_tensor *x = c->x, *out = c->out;
    const int64_t width = x->dim[x->rank - 1], from = x->stride[x->rank - 1],
                  to = out->stride[out->rank - 1];
    const int64_t last = (tile + 1) * c->rows_per_tile;
    const vf cap = v_set(c->cap);
    (void)lane;
    for (int64_t r = tile * c->rows_per_tile; r < (last < c->rows ? last : c->rows); r++)
        for (int64_t i = 0; i < width; i += 16) {
            const int n = width - i < 16 ? (int)(width - i) : 16;
            const vf v = v_read(kit_row(x, r) + i * from * kit_width(x->dtype), x->dtype, from, n);
            v_write(kit_row(out, r) + i * to * kit_width(out->dtype), out->dtype, to,
                    v_mul(cap, v_tanh(v_div(v, cap))), n);
        }
}

static int32_t KIT(forward)(const void *instance, const heed_call *call)
{
    const heed_tensor *x = call->tensor[X];
    const int64_t rows = kit_rows(x), per_tile = 4096 / (x->dim[x->rank - 1] + 1) + 1;
    softcap_call c = {x, call->tensor[OUT], NULL, rows, per_tile, ((const softcap *)instance)->cap};
    return call->host->parallel_for(call->host, (rows + per_tile - 1) / per_tile, KIT(tile), &c);
}

/* dx = (1 - tanh^2(x / cap)) dy */
static void KIT(tile_backward)(void *arg, int64_t tile, uint32_t lane)
{
    const softcap_call *c = arg;
    const heed_tensor *x = c->x;
    const int64_t width = x->dim[x->rank - 1], from = x->stride[x->rank - 1],
                  to = kit_gradient_stride(c->out), ds = kit_gradient_stride(c->d);
    const int64_t last = (tile + 1) * c->rows_per_tile;
    const vf cap = v_set(c->cap), one = v_set(1.0f), zero = v_set(0.0f);
    (void)lane;
    for (int64_t r = tile * c->rows_per_tile; r < (last < c->rows ? last : c->rows); r++)
        for (int64_t i = 0; i < width; i += 16) {
            const int n = width - i < 16 ? (int)(width - i) : 16;
            const vf t = v_tanh(v_div(
                v_read(kit_row(x, r) + i * from * kit_width(x->dtype), x->dtype, from, n), cap));
            v_write(kit_gradient_row(c->out, r) + i * to, HEED_F32, to,
                    v_mul(v_fma(v_sub(zero, t), t, one),
                          v_read(kit_gradient_row(c->d, r) + i * ds, HEED_F32, ds, n)),
                    n);
        }
}

static int32_t KIT(backward)(const void *instance, const heed_grad_call *g)
{
    const heed_tensor *x = g->call->tensor[X];
    const int64_t rows = kit_rows(x), per_tile = 4096 / (x->dim[x->rank - 1] + 1) + 1;
    softcap_call c = {x,    g->gradient[X], g->gradient[OUT],
                      rows, per_tile,       ((const softcap *)instance)->cap};
    if (!c.out) return HEED_OK;
    return g->call->host->parallel_for(g->call->host, (rows + per_tile - 1) / per_tile,
                                       KIT(tile_backward), &c);
}
KIT_BACKWARD(KIT_PORT(X), KIT_PORT(OUT), 0, NULL)

#include <heed/kit/next.h>
#ifdef KIT_AGAIN
#include __FILE_NAME__
#endif
