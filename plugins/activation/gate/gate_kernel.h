/* SPDX-License-Identifier: MIT
 *
 * activation/gate, the maths: the kit's sigmoid, and one product or two. With s the sigmoid of g, the
 * slope of sigmoid is s (1 - s), and that of silu s (1 + g (1 - s)). Error: the kit's of the sigmoid,
 * and a rounding for each product.
 */
#include <heed/kit.h>
#include <heed/kit/core/grad.h>

#ifdef KIT_FIRST
enum { X, GATE, OUT };
enum { FUNCTION };
typedef struct gate {
    int silu;
} gate;

typedef struct gate_call {
    const heed_tensor *x, *gate, *out; /* x: NULL if absent */
    const heed_tensor *dx, *dgate, *d; /* gradients, of backward; NULL: not wanted */
    int64_t rows, rows_per_tile;
    int silu;
} gate_call;

KIT_INLINE int64_t stride_of(const heed_tensor *t) { return t->stride[t->rank - 1]; }
KIT_INLINE char *place_of(const heed_tensor *t, int64_t row, int64_t i)
{
    return kit_row(t, row) + i * stride_of(t) * kit_width(t->dtype);
}
#endif

KIT_INLINE vf KIT(numbers)(const heed_tensor *t, int64_t row, int64_t i, int n)
{
    return v_read(place_of(t, row, i), t->dtype, stride_of(t), n);
}

static void KIT(tile)(void *arg, int64_t tile, uint32_t lane)
{
    const gate_call *c = arg;
    const int64_t width = c->gate->dim[c->gate->rank - 1], last = (tile + 1) * c->rows_per_tile;
    (void)lane;
    for (int64_t r = tile * c->rows_per_tile; r < (last < c->rows ? last : c->rows); r++)
        for (int64_t i = 0; i < width; i += 16) {
            const int n = width - i < 16 ? (int)(width - i) : 16;
            const vf g = KIT(numbers)(c->gate, r, i, n);
            vf y = v_sigmoid(g);
            if (c->silu) y = v_mul(g, y);
            if (c->x) y = v_mul(KIT(numbers)(c->x, r, i, n), y);
            v_write(place_of(c->out, r, i), c->out->dtype, stride_of(c->out), y, n);
        }
}

static int32_t KIT(forward)(const void *instance, const heed_call *call)
{
    const heed_tensor *const *t = call->tensor;
    const int64_t rows = kit_rows(t[GATE]),
                  per_tile = 4096 / (t[GATE]->dim[t[GATE]->rank - 1] + 1) + 1;
    gate_call c = {.x = t[X],
                   .gate = t[GATE],
                   .out = t[OUT],
                   .rows = rows,
                   .rows_per_tile = per_tile,
                   .silu = ((const gate *)instance)->silu};
    return call->host->parallel_for(call->host, (rows + per_tile - 1) / per_tile, KIT(tile), &c);
}

static void KIT(tile_backward)(void *arg, int64_t tile, uint32_t lane)
{
    const gate_call *c = arg;
    const int64_t width = c->d->dim[c->d->rank - 1], last = (tile + 1) * c->rows_per_tile;
    const vf one = v_set(1.0f);
    (void)lane;
    for (int64_t r = tile * c->rows_per_tile; r < (last < c->rows ? last : c->rows); r++)
        for (int64_t i = 0; i < width; i += 16) {
            const int n = width - i < 16 ? (int)(width - i) : 16;
            const vf g = KIT(numbers)(c->gate, r, i, n), s = v_sigmoid(g), rest = v_sub(one, s),
                     y = c->silu ? v_mul(g, s) : s,
                     slope = v_mul(s, c->silu ? v_fma(g, rest, one) : rest);
            vf d = KIT(numbers)(c->d, r, i, n);
            if (c->dx) v_write(place_of(c->dx, r, i), HEED_F32, stride_of(c->dx), v_mul(d, y), n);
            if (!c->dgate) continue;
            if (c->x) d = v_mul(d, KIT(numbers)(c->x, r, i, n));
            v_write(place_of(c->dgate, r, i), HEED_F32, stride_of(c->dgate), v_mul(d, slope), n);
        }
}

static int32_t KIT(backward)(const void *instance, const heed_grad_call *g)
{
    const heed_tensor *const *t = g->call->tensor, *d = g->gradient[OUT];
    const heed_host *host = g->call->host;
    const int64_t rows = kit_rows(t[GATE]),
                  per_tile = 4096 / (t[GATE]->dim[t[GATE]->rank - 1] + 1) + 1;
    gate_call c = {.x = t[X],
                   .gate = t[GATE],
                   .dx = t[X] ? g->gradient[X] : NULL,
                   .dgate = g->gradient[GATE],
                   .d = d,
                   .rows = rows,
                   .rows_per_tile = per_tile,
                   .silu = ((const gate *)instance)->silu};
    return host->parallel_for(host, (rows + per_tile - 1) / per_tile, KIT(tile_backward), &c);
}
KIT_BACKWARD(KIT_PORT(X) | KIT_PORT(GATE), KIT_PORT(OUT), 0, NULL)

#include <heed/kit/next.h>
#ifdef KIT_AGAIN
#include __FILE_NAME__
#endif
