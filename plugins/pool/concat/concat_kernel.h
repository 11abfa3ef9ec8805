/* SPDX-License-Identifier: MIT
 *
 * pool/concat, the maths: a tile is a sequence, joined in three ways by kit/reduce/pool.h.
 *
 * Error: of the last row and the largest numbers none; of the mean |y - exact| <= T 2^-24 mean |x|.
 */
#include <heed/kit.h>
#include <heed/kit/reduce/pool.h>

#ifdef KIT_FIRST
enum { X, KEY_LENGTHS, OUT };
enum { LAST, MOST, MEAN, ROWS };

typedef struct concat_call {
    const heed_call *call;
    const heed_tensor *d_out, *d_x; /* of backward */
} concat_call;
#endif

static void KIT(tile)(void *arg, int64_t b, uint32_t lane)
{
    static const int64_t by[ROWS] = {KIT_POOL_LAST, KIT_POOL_MAX, KIT_POOL_MEAN};
    const concat_call *c = arg;
    const heed_tensor *x = c->call->tensor[X], *out = c->call->tensor[OUT];
    const int64_t width = x->dim[2], end = kit_pool_end(x, c->call->tensor[KEY_LENGTHS], b);
    float *row = (float *)c->call->workspace + b * kit_lanes(width);
    (void)lane;
    for (int64_t r = 0; r < ROWS; r++) {
        KIT(kit_pool_join)(x, b, end, by[r], row);
        kit_write_row(kit_row(out, b * ROWS + r), out->dtype, out->stride[2], row, width);
    }
}

static int32_t KIT(forward)(const void *instance, const heed_call *call)
{
    concat_call c = {.call = call};
    (void)instance;
    return call->host->parallel_for(call->host, call->tensor[X]->dim[0], KIT(tile), &c);
}

static void KIT(tile_backward)(void *arg, int64_t b, uint32_t lane)
{
    const concat_call *c = arg;
    const heed_tensor *x = c->call->tensor[X], *from = c->d_out;
    const int64_t width = x->dim[2], pitch = kit_lanes(width),
                  end = kit_pool_end(x, c->call->tensor[KEY_LENGTHS], b);
    float *d = (float *)c->call->workspace + b * (ROWS + 1) * pitch, *at = d + ROWS * pitch;
    (void)lane;
    for (int64_t r = 0; r < ROWS; r++)
        kit_read_row(d + r * pitch, kit_row(from, b * ROWS + r), HEED_F32, from->stride[2], width);
    const vf count = v_set((float)end);
    for (int64_t i = MEAN * pitch; end > 0 && i < ROWS * pitch; i += 16)
        v_store(d + i, v_div(v_load(d + i), count));
    KIT(kit_pool_find)(x, b, end, at);
    KIT(kit_pool_hand_back)
    (c->d_x, b, end,
     &(kit_pool_gradient){
         .every = d + MEAN * pitch, .last = d + LAST * pitch, .most = d + MOST * pitch, .at = at});
}

static int32_t KIT(backward)(const void *instance, const heed_grad_call *g)
{
    const heed_call *call = g->call;
    concat_call c = {call, g->gradient[OUT], g->gradient[X]};
    (void)instance;
    if (!c.d_x || !c.d_out) return HEED_OK;
    return call->host->parallel_for(call->host, call->tensor[X]->dim[0], KIT(tile_backward), &c);
}

static int32_t KIT(measure_backward)(const void *instance, const heed_grad_call *g,
                                     heed_call_size *size)
{
    const heed_tensor *x = g->call->tensor[X];
    (void)instance;
    size->workspace = (uint64_t)((ROWS + 1) * x->dim[0] * kit_lanes(x->dim[2])) * sizeof(float);
    return HEED_OK;
}
KIT_BACKWARD(KIT_PORT(X), KIT_PORT(OUT), 0, KIT(measure_backward))

#include <heed/kit/next.h>
#ifdef KIT_AGAIN
#include __FILE_NAME__
#endif
