/* SPDX-License-Identifier: MIT
 *
 * heed/kit/reduce/backward.h: the backward of a norm over rows,
 *
 *     h = scale (power x - centre), y = gain h + bias, g = gain dy
 *     dx = scale power (g - mean(g) - h mean(g h))                       mean(g): centred norms only
 *     dgain = sum over rows of dy h,  dbias = sum over rows of dy
 *
 * (arXiv 1607.06450 and 1910.07467, differentiated). What forward knew of a row is measured again.
 * Include it once in a kernel file.
 *
 * The means are tree sums as those of kit/reduce/reduce.h; sums over rows are chains of a block,
 * and a tree over the blocks (kit/core/grad.h).
 */
#include <heed/kit/core/grad.h>
#include <heed/kit/reduce/blocks.h>
#include <heed/kit/reduce/reduce.h>

#ifndef HEED_KIT_REDUCE_BACKWARD_ONCE
#define HEED_KIT_REDUCE_BACKWARD_ONCE
typedef struct kit_norm_backward {
    const heed_grad_call *c;
    const void *instance;
    const heed_tensor *x, *residual;  /* as of the forward; residual NULL: none */
    const heed_tensor *d_out, *d_sum; /* what comes; NULL: 0 */
    const heed_tensor *d_x, *d_residual, *d_gain, *d_bias; /* what is wanted */
    const float *gain;                                     /* NULL: 1 */
    int centred;
    kit_moments (*measure)(const void *instance, const float *row, int64_t width);
    int64_t rows, width, pitch; /* kit_norm_backward_run sets these and the sums of the blocks */
    float *gains, *biases;
} kit_norm_backward;

/* A row is read into a lane's scratch; each block has two rows of sums. */
static __attribute__((unused)) int32_t
kit_norm_measure_backward(const void *instance, const heed_grad_call *c, heed_call_size *size)
{
    const int64_t rows = kit_rows(c->call->tensor[0]),
                  pitch = kit_lanes(HEED_AXIS(c->call->axis, 'M'));
    (void)instance;
    size->scratch = kit_line((uint64_t)pitch * sizeof(float));
    size->workspace = (uint64_t)(2 * kit_blocks(rows) * pitch) * sizeof(float);
    return HEED_OK;
}

/* A row on its way: what is read of it, and where its gradients go. */
typedef struct kit_norm_row {
    const float *x, *dy, *ds;
    float *dx, *dr, *gains, *biases;
    kit_moments m;
} kit_norm_row;
#endif

/* h of 16 elements, or of what is left of a row. */
KIT_INLINE vf KIT(kit_norm_h)(const kit_norm_row *r, int64_t i, int n)
{
    const vf x = v_mul(v_read(r->x + i, HEED_F32, 1, n), v_set(r->m.power));
    return v_mul(v_sub(x, v_set(r->m.centre)), v_set(r->m.scale));
}
KIT_INLINE vf KIT(kit_norm_dy)(const kit_norm_backward *w, const kit_norm_row *r, int64_t i, int n)
{
    const int64_t stride = kit_gradient_stride(w->d_out);
    return r->dy ? v_read(r->dy + i * stride, HEED_F32, stride, n) : v_set(0.0f);
}
KIT_INLINE vf KIT(kit_norm_g)(const kit_norm_backward *w, vf dy, int64_t i, int n)
{
    return w->gain ? v_mul(dy, v_read(w->gain + i, HEED_F32, 1, n)) : dy;
}

/* Sums over a row: `first` of g, `second` of g h. */
static kit_sums KIT(kit_norm_sums)(const kit_norm_backward *w, const kit_norm_row *r)
{
    const vf zero = v_set(0.0f);
    vf first = zero, second[4] = {zero, zero, zero, zero}, g[4];
    for (int64_t i = 0; i < w->width; i += 64) {
        KIT_UNROLL for (int j = 0; j < 4; j++)
        {
            const int64_t at = i + 16 * j, left = w->width - at;
            const int n = left <= 0 ? 0 : left < 16 ? (int)left : 16;
            g[j] = zero;
            if (n == 0) continue;
            g[j] = KIT(kit_norm_g)(w, KIT(kit_norm_dy)(w, r, at, n), at, n);
            second[j] = v_fma(g[j], KIT(kit_norm_h)(r, at, n), second[j]);
        }
        first = v_add(first, v_add(v_add(g[0], g[1]), v_add(g[2], g[3])));
    }
    return (kit_sums){v_sum(first),
                      v_sum(v_add(v_add(second[0], second[1]), v_add(second[2], second[3])))};
}

static void KIT(kit_norm_row_backward)(const kit_norm_backward *w, const kit_norm_row *r)
{
    const kit_sums sums = KIT(kit_norm_sums)(w, r);
    const double share = 1.0 / (double)w->width;
    const vf mean = v_set(w->centred ? (float)((double)sums.first * share) : 0.0f),
             slope = v_set((float)((double)sums.second * share)),
             scale = v_set(r->m.scale * r->m.power);
    const int64_t sum_stride = kit_gradient_stride(w->d_sum),
                  x_stride = kit_gradient_stride(w->d_x),
                  r_stride = kit_gradient_stride(w->d_residual);
    for (int64_t i = 0; i < w->width; i += 16) {
        const int n = w->width - i < 16 ? (int)(w->width - i) : 16;
        const vf h = KIT(kit_norm_h)(r, i, n), dy = KIT(kit_norm_dy)(w, r, i, n),
                 g = v_sub(KIT(kit_norm_g)(w, dy, i, n), mean);
        vf dx = v_mul(scale, v_fma(v_sub(v_set(0.0f), h), slope, g));
        if (!r->dy) dx = v_set(0.0f);
        if (r->ds) dx = v_add(dx, v_read(r->ds + i * sum_stride, HEED_F32, sum_stride, n));
        if (r->dx) v_write(r->dx + i * x_stride, HEED_F32, x_stride, dx, n);
        if (r->dr) v_write(r->dr + i * r_stride, HEED_F32, r_stride, dx, n);
        if (r->gains) v_store(r->gains + i, v_fma(dy, h, v_load(r->gains + i)));
        if (r->biases) v_store(r->biases + i, v_add(dy, v_load(r->biases + i)));
    }
}

/* A tile of the parallel work is a block of rows. */
static void KIT(kit_norm_block_backward)(void *arg, int64_t block, uint32_t lane)
{
    const kit_norm_backward *w = arg;
    const heed_call *call = w->c->call;
    const heed_tensor *x = w->x, *y = w->residual;
    float *room = (float *)(call->scratch + lane * call->scratch_stride);
    const size_t bytes = (size_t)w->pitch * sizeof(float);
    kit_norm_row r = {.gains = w->gains ? w->gains + block * w->pitch : NULL,
                      .biases = w->biases ? w->biases + block * w->pitch : NULL};
    if (r.gains) memset(r.gains, 0, bytes);
    if (r.biases) memset(r.biases, 0, bytes);
    for (int64_t n = block * KIT_BLOCK_ROWS; n < kit_block_end(block, w->rows); n++) {
        r.x = room;
        if (y)
            kit_add_row(room, kit_row(x, n), x->dtype, x->stride[x->rank - 1], kit_row(y, n),
                        y->dtype, y->stride[y->rank - 1], w->width);
        else if (kit_is_plain(x)) r.x = (const float *)kit_row(x, n);
        else kit_read_row(room, kit_row(x, n), x->dtype, x->stride[x->rank - 1], w->width);
        r.dy = kit_gradient_row(w->d_out, n), r.ds = kit_gradient_row(w->d_sum, n);
        r.dx = kit_gradient_row(w->d_x, n), r.dr = kit_gradient_row(w->d_residual, n);
        r.m = w->measure(w->instance, r.x, w->width);
        KIT(kit_norm_row_backward)(w, &r);
    }
}

static int32_t KIT(kit_norm_backward_run)(kit_norm_backward w)
{
    const heed_call *call = w.c->call;
    w.rows = kit_rows(w.x), w.width = w.x->dim[w.x->rank - 1], w.pitch = kit_lanes(w.width);
    const int64_t blocks = kit_blocks(w.rows);
    w.gains = w.d_gain ? call->workspace : NULL;
    w.biases = w.d_bias ? (float *)call->workspace + blocks * w.pitch : NULL;
    int32_t failed = call->host->parallel_for(call->host, blocks, KIT(kit_norm_block_backward), &w);
    if (!failed && w.gains)
        failed = KIT(kit_add_blocks)(call,
                                     (kit_block_sums){w.gains, blocks, w.width, w.pitch, w.d_gain});
    if (!failed && w.biases)
        failed = KIT(kit_add_blocks)(
            call, (kit_block_sums){w.biases, blocks, w.width, w.pitch, w.d_bias});
    return failed;
}
