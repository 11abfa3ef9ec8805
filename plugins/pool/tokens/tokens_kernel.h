/* SPDX-License-Identifier: MIT
 *
 * pool/tokens, the maths: a tile is a sequence, joined by kit/reduce/pool.h; the length of the row,
 * which l2 divides by, is made in float64.
 *
 * Error: that of the sum, |y - exact| <= T 2^-24 mean |x|.
 */
#include <heed/kit.h>
#include <heed/kit/reduce/pool.h>

#ifdef KIT_FIRST
enum { X, KEY_LENGTHS, OUT };
enum { BY, L2 };
typedef struct pool {
    int64_t by, l2;
} pool;

typedef struct pool_call {
    const pool *self;
    const heed_call *call;
    const heed_tensor *d_out, *d_x; /* of backward */
} pool_call;

enum { ROWS = 3 }; /* that backward computes with: the row, its gradient, where the largest are */

/* What a row is divided by. */
KIT_INLINE double length_of(const float *row, int64_t width)
{
    double squares = 0;
    for (int64_t i = 0; i < width; i++) squares += (double)row[i] * (double)row[i];
    return sqrt(squares) > 1e-12 || squares != squares ? sqrt(squares) : 1e-12;
}

/* Of row / length the gradient of the row: of its length too, unless that was too small to count. */
static void through_length(const float *row, float *d, int64_t width)
{
    const double length = length_of(row, width);
    double along = 0;
    for (int64_t i = 0; i < width; i++) along += (double)row[i] / length * (double)d[i];
    if (length <= 1e-12) along = 0;
    for (int64_t i = 0; i < width; i++)
        d[i] = (float)(((double)d[i] - (double)row[i] / length * along) / length);
}
#endif

static void KIT(tile)(void *arg, int64_t b, uint32_t lane)
{
    const pool_call *c = arg;
    const heed_tensor *x = c->call->tensor[X], *out = c->call->tensor[OUT];
    const int64_t width = x->dim[2], end = kit_pool_end(x, c->call->tensor[KEY_LENGTHS], b);
    float *row = (float *)c->call->workspace + b * kit_lanes(width);
    (void)lane;
    KIT(kit_pool_join)(x, b, end, c->self->by, row);
    if (c->self->l2) {
        const double length = length_of(row, width);
        for (int64_t i = 0; i < width; i++) row[i] = (float)((double)row[i] / length);
    }
    kit_write_row(kit_row(out, b), out->dtype, out->stride[1], row, width);
}

static int32_t KIT(forward)(const void *instance, const heed_call *call)
{
    pool_call c = {.self = instance, .call = call};
    return call->host->parallel_for(call->host, call->tensor[X]->dim[0], KIT(tile), &c);
}

static void KIT(tile_backward)(void *arg, int64_t b, uint32_t lane)
{
    const pool_call *c = arg;
    const heed_tensor *x = c->call->tensor[X];
    const int64_t by = c->self->by, width = x->dim[2], pitch = kit_lanes(width),
                  end = kit_pool_end(x, c->call->tensor[KEY_LENGTHS], b);
    float *row = (float *)c->call->workspace + b * ROWS * pitch, *d = row + pitch, *at = d + pitch;
    (void)lane;
    kit_read_row(d, kit_row(c->d_out, b), HEED_F32, c->d_out->stride[1], width);
    if (c->self->l2) {
        KIT(kit_pool_join)(x, b, end, by, row);
        through_length(row, d, width);
    }
    const vf count = v_set((float)end);
    for (int64_t i = 0; by == KIT_POOL_MEAN && end > 0 && i < pitch; i += 16)
        v_store(d + i, v_div(v_load(d + i), count));
    if (by == KIT_POOL_MAX) KIT(kit_pool_find)(x, b, end, at);
    KIT(kit_pool_hand_back)
    (c->d_x, b, end,
     &(kit_pool_gradient){.every = by == KIT_POOL_MEAN ? d : NULL,
                          .first = by == KIT_POOL_FIRST ? d : NULL,
                          .last = by == KIT_POOL_LAST ? d : NULL,
                          .most = by == KIT_POOL_MAX ? d : NULL,
                          .at = at});
}

static int32_t KIT(backward)(const void *instance, const heed_grad_call *g)
{
    const heed_call *call = g->call;
    pool_call c = {instance, call, g->gradient[OUT], g->gradient[X]};
    if (!c.d_x || !c.d_out) return HEED_OK;
    return call->host->parallel_for(call->host, call->tensor[X]->dim[0], KIT(tile_backward), &c);
}

static int32_t KIT(measure_backward)(const void *instance, const heed_grad_call *g,
                                     heed_call_size *size)
{
    const heed_tensor *x = g->call->tensor[X];
    (void)instance;
    size->workspace = (uint64_t)(ROWS * x->dim[0] * kit_lanes(x->dim[2])) * sizeof(float);
    return HEED_OK;
}
KIT_BACKWARD(KIT_PORT(X), KIT_PORT(OUT), 0, KIT(measure_backward))

#include <heed/kit/next.h>
#ifdef KIT_AGAIN
#include __FILE_NAME__
#endif
