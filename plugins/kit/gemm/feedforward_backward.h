/* SPDX-License-Identifier: MIT
 *
 * heed/kit/gemm/feedforward_backward.h: the backward of kit/gemm/feedforward.h,
 *
 *     dh = dy down,  dz = dh a'(z)                                          z = up x + up_bias
 *     dg = dh u a'(g),  du = dh a(g)                                        gated: g of the gate, u of up
 *
 * and of the two or three linear maps as kit/gemm/backward.h has it. An op defines
 * FEEDFORWARD_DERIVATIVE(self, z), a vector of a'(z), and includes this behind feedforward.h.
 * Middle values are computed again; they and their gradients are matrices in the workspace, of all
 * rows.
 *
 * Error: gemm.h's of each product, over values with that of those before.
 */
#include <heed/kit/gemm/backward.h>
#ifndef HEED_KIT_FEEDFORWARD_ONCE /* else the kernel has included it */
#include <heed/kit/gemm/feedforward.h>
#endif

#ifndef HEED_KIT_FEEDFORWARD_BACKWARD_ONCE
#define HEED_KIT_FEEDFORWARD_BACKWARD_ONCE

/* What such ops give: all their inputs and weights, which stand in front of the output. */
#define FEEDFORWARD_GIVES (KIT_PORT(FEEDFORWARD_OUT) - 1)
#define GATED_GIVES (KIT_PORT(GATED_OUT) - 1)

/* A backward on its way. Matrices of the rows: z, which becomes dz, its panels those of
 * self->first; and dh, which becomes a(z), or a(g) u. */
typedef struct kit_feedforward_backward {
    const kit_feedforward *self;
    const heed_grad_call *g;
    const heed_tensor *x, *dy;
    kit_feedforward_weights w, d; /* the weights, and their gradients where they are wanted */
    heed_tensor z, h;
    int64_t rows, hidden, width, rows_per_tile;
    float *room; /* for what is packed and summed */
} kit_feedforward_backward;

KIT_INLINE int64_t kit_feedforward_room(int64_t rows, int64_t hidden, int64_t width, int gated)
{
    const int64_t lines = (gated ? 2 : 1) * kit_lanes(hidden);
    const int64_t sizes[] = {
        kit_packed_floats(width, hidden),      kit_packed_floats(lines, width),
        kit_outer_floats(rows, width, hidden), kit_outer_floats(rows, hidden, width),
        kit_column_floats(rows, hidden),       kit_column_floats(rows, width)};
    int64_t most = 0;
    for (int i = 0; i < 6; i++) most = sizes[i] > most ? sizes[i] : most;
    return most;
}

static int32_t kit_feedforward_measure_backward(const void *instance, const heed_grad_call *g,
                                                heed_call_size *size)
{
    const kit_feedforward *self = instance;
    const int64_t rows = kit_rows(g->call->tensor[FEEDFORWARD_X]), hidden = self->down.depth,
                  width = HEED_AXIS(g->call->axis, 'M');
    size->workspace = (uint64_t)(rows * kit_middle_pitch(16 * self->first.panels) +
                                 rows * kit_middle_pitch(hidden) +
                                 kit_feedforward_room(rows, hidden, width, (int)self->gated)) *
                      sizeof(float);
    const uint64_t gemm = kit_gemm_scratch_of(&self->first), outer = kit_outer_scratch(rows);
    const int32_t failed = kit_check_given(&self->first, g->call->sink);
    if (failed) return failed;
    size->scratch = gemm > outer ? gemm : outer;
    return HEED_OK;
}

static kit_feedforward_weights kit_feedforward_tensors(const kit_feedforward *self,
                                                       const heed_tensor *const *t)
{
    if (self->gated)
        return (kit_feedforward_weights){t[GATED_GATE],    t[GATED_GATE_BIAS], t[GATED_UP],
                                         t[GATED_UP_BIAS], t[GATED_DOWN],      t[GATED_DOWN_BIAS]};
    return (kit_feedforward_weights){.up = t[FEEDFORWARD_UP],
                                     .up_bias = t[FEEDFORWARD_UP_BIAS],
                                     .down = t[FEEDFORWARD_DOWN],
                                     .down_bias = t[FEEDFORWARD_DOWN_BIAS]};
}

/* Columns of z, or dz, that are of up, or of the gate. */
KIT_INLINE kit_columns kit_feedforward_columns(const kit_feedforward_backward *b, int gate)
{
    const int gated = b->w.gate != NULL;
    return (kit_columns){&b->z, b->hidden, gated && !gate ? 16 : 0, gated ? 32 : 16};
}
#endif

#ifdef FEEDFORWARD_DERIVATIVE
/* z and dh of some rows become dz and h, 16 hidden channels at a time; zeros behind the last. */
static void KIT(feedforward_middle)(void *arg, int64_t tile, uint32_t lane)
{
    const kit_feedforward_backward *b = arg;
    const kit_feedforward *self = b->self;
    const int64_t from = tile * b->rows_per_tile, left = b->rows - from,
                  end = from + (left < b->rows_per_tile ? left : b->rows_per_tile);
    (void)lane, (void)self;
    for (int64_t r = from; r < end; r++) {
        float *z = (float *)kit_row(&b->z, r), *h = (float *)kit_row(&b->h, r);
        for (int64_t f = 0; f < b->hidden; f += 16) {
            const int n = b->hidden - f < 16 ? (int)(b->hidden - f) : 16;
            float *g = z + (self->gated ? 2 * f : f);
            const vf x = v_load_n(g, n), dh = v_load_n(h + f, n);
            const vf a = FEEDFORWARD_ACTIVATION(self, x), slope = FEEDFORWARD_DERIVATIVE(self, x);
            if (self->gated) {
                const vf u = v_load_n(g + 16, n);
                v_store(g, v_mul(v_mul(dh, u), slope));
                v_store(g + 16, v_mul(dh, a));
                v_store_n(h + f, v_mul(a, u), n);
            } else {
                v_store(g, v_mul(dh, slope));
                v_store_n(h + f, a, n);
            }
        }
    }
}

/* Middle values and their gradients: b->z is dz, b->h is h. */
static int32_t KIT(feedforward_middles)(kit_feedforward_backward *b)
{
    const heed_call *call = b->g->call;
    const kit_feedforward *self = b->self;
    const kit_weights back =
        kit_weights_at(KIT_STORED_F32, b->room, kit_panels(b->hidden), b->width);
    int32_t failed = KIT(kit_gemm_run)(call, &self->first, b->x, 0, &b->z, 0, b->rows, NULL, NULL);
    if (!failed)
        failed = KIT(kit_repack_run)(call, (kit_repack){b->room, b->width, 0, 16, b->w.down});
    if (!failed) failed = KIT(kit_gemm_run)(call, &back, b->dy, 0, &b->h, 0, b->rows, NULL, NULL);
    b->rows_per_tile = 16384 / (b->hidden + 1) + 1;
    return failed ? failed
                  : call->host->parallel_for(call->host,
                                             (b->rows + b->rows_per_tile - 1) / b->rows_per_tile,
                                             KIT(feedforward_middle), b);
}

/* The gradient of x: all rows of gate and up packed as z has its columns. */
static int32_t KIT(feedforward_dx)(kit_feedforward_backward *b, const heed_tensor *dx)
{
    const heed_call *call = b->g->call;
    const int64_t lines = b->z.dim[1], step = b->w.gate ? 32 : 16;
    const kit_weights back =
        kit_weights_at(KIT_STORED_F32, b->room, kit_panels(b->width), lines);
    int32_t failed =
        KIT(kit_repack_run)(call, (kit_repack){b->room, lines, b->w.gate ? 16 : 0, step, b->w.up});
    if (!failed && b->w.gate)
        failed = KIT(kit_repack_run)(call, (kit_repack){b->room, lines, 0, step, b->w.gate});
    return failed ? failed : KIT(kit_gemm_run)(call, &back, &b->z, 0, dx, 0, b->rows, NULL, NULL);
}

/* One linear map's: its weight's gradient and its bias's, where they are wanted. */
static int32_t KIT(feedforward_map)(const kit_feedforward_backward *b, kit_columns dy,
                                    const heed_tensor *x, const heed_tensor *dw,
                                    const heed_tensor *db)
{
    int32_t failed = HEED_OK;
    if (dw) failed = KIT(kit_outer_run)(b->g->call, dy, kit_all_columns(x), b->rows, dw, b->room);
    if (db && !failed) failed = KIT(kit_column_sums)(b->g->call, dy, b->rows, db, b->room);
    return failed;
}

static int32_t KIT(backward)(const void *instance, const heed_grad_call *g)
{
    const kit_feedforward *self = instance;
    const heed_tensor *x = g->call->tensor[FEEDFORWARD_X];
    const int64_t rows = kit_rows(x), hidden = self->down.depth, columns = 16 * self->first.panels,
                  pitch = kit_middle_pitch(columns);
    float *z = g->call->workspace, *h = z + rows * pitch;
    kit_feedforward_backward b = {
        .self = self,
        .g = g,
        .x = x,
        .dy = g->gradient[self->gated ? (int)GATED_OUT : (int)FEEDFORWARD_OUT],
        .w = kit_feedforward_tensors(self, g->weight),
        .d = kit_feedforward_tensors(self, g->gradient),
        .z = kit_matrix(z, rows, columns, pitch),
        .h = kit_matrix(h, rows, hidden, kit_middle_pitch(hidden)),
        .rows = rows,
        .hidden = hidden,
        .width = HEED_AXIS(g->call->axis, 'M'),
        .room = h + rows * kit_middle_pitch(hidden)};
    int32_t failed = KIT(feedforward_middles)(&b);
    if (!failed)
        failed = KIT(feedforward_map)(&b, kit_all_columns(b.dy), &b.h, b.d.down, b.d.down_bias);
    if (!failed)
        failed = KIT(feedforward_map)(&b, kit_feedforward_columns(&b, 0), x, b.d.up, b.d.up_bias);
    if (!failed && b.w.gate)
        failed =
            KIT(feedforward_map)(&b, kit_feedforward_columns(&b, 1), x, b.d.gate, b.d.gate_bias);
    if (!failed && g->gradient[FEEDFORWARD_X])
        failed = KIT(feedforward_dx)(&b, g->gradient[FEEDFORWARD_X]);
    return failed;
}
#endif
