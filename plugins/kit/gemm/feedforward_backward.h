/* SPDX-License-Identifier: MIT
 *
 * heed/kit/gemm/feedforward_backward.h: the backward of kit/gemm/feedforward.h,
 *
 *     dh = dy down,  dz = dh a'(z)                                          z = up x + up_bias
 *     dg = dh u a'(g),  du = dh a(g)                                        gated: g of the gate, u of up
 *
 * and of the two or three linear maps as kit/gemm/backward.h has it. An op defines
 * FEEDFORWARD_DERIVATIVE(self, z), a vector of a'(z), and includes this behind feedforward.h.
 * Middle values are computed again; they and their gradients are matrices in the workspace, of a part
 * of the rows that all products pass while it is in the caches.
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

/* How many floats z and h of a part of the rows have at most. Seven products read or write them, and
 * 4 MiB stay in the second caches of two cores meanwhile. */
enum { KIT_FEEDFORWARD_MIDDLE = 1 << 20 };

/* The rows in parts, and what the workspace has: z and h of a part, both weights packed the other way,
 * what one sum of a weight's gradient transposes and packs; for down, and for up with its gate, the stack
 * of that sum, and for each of the three the sums of the bias's gradient (kit/gemm/backward.h). */
typedef struct kit_feedforward_room {
    int64_t rows, part, parts; /* all rows; those of a part, and the parts */
    int64_t h, down, up, outer, stack[2], columns[3],
        floats; /* where they begin, z at 0, and all */
} kit_feedforward_room;

/* A part is a power of two of blocks. All rows are one where the stacks of the weights' gradients would
 * be larger than what the parts save. */
static kit_feedforward_room kit_feedforward_parts(const kit_feedforward *self, int64_t rows,
                                                  int64_t width)
{
    const int64_t hidden = self->down.depth, lines = 16 * self->first.panels,
                  z = kit_middle_pitch(lines), h = kit_middle_pitch(hidden);
    kit_feedforward_room r = {.rows = rows, .part = KIT_BLOCK_ROWS};
    while (2 * r.part * (z + h) <= KIT_FEEDFORWARD_MIDDLE) r.part *= 2;
    if (r.part >= rows || kit_outer_levels((rows + r.part - 1) / r.part) * width > rows)
        r.part = rows;
    r.parts = r.part ? (rows + r.part - 1) / r.part : 0;
    const int64_t down = kit_outer_floats(r.part, width, hidden),
                  up = kit_outer_floats(r.part, lines, width);
    r.h = r.part * z;
    r.down = r.h + r.part * h;
    r.up = r.down + kit_packed_floats(width, hidden);
    r.outer = r.up + kit_packed_floats(lines, width);
    r.stack[0] = r.outer + (down > up ? down : up);
    r.stack[1] = r.stack[0] + kit_outer_stack(r.parts, width, hidden);
    r.columns[0] = r.stack[1] + kit_outer_stack(r.parts, lines, width);
    r.columns[1] = r.columns[0] + kit_column_floats(rows, width);
    r.columns[2] = r.columns[1] + kit_column_floats(rows, hidden);
    r.floats = r.columns[2] + kit_column_floats(rows, hidden);
    return r;
}

/* A backward on its way. Matrices of the rows of a part: z, which becomes dz, its panels those of
 * self->first; and dh, which becomes a(z), or a(g) u. */
typedef struct kit_feedforward_backward {
    const kit_feedforward *self;
    const heed_grad_call *g;
    const heed_tensor *x, *dy;
    kit_feedforward_weights w, d; /* the weights, and their gradients where they are wanted */
    heed_tensor z, h;
    kit_feedforward_room at;
    float *room;
    int64_t row, rows, part, hidden, rows_per_tile; /* rows of this part, from `row` on */
} kit_feedforward_backward;

static int32_t kit_feedforward_measure_backward(const void *instance, const heed_grad_call *g,
                                                heed_call_size *size)
{
    const kit_feedforward *self = instance;
    const int64_t rows = kit_rows(g->call->tensor[FEEDFORWARD_X]);
    const kit_feedforward_room room =
        kit_feedforward_parts(self, rows, HEED_AXIS(g->call->axis, 'M'));
    const uint64_t gemm = kit_gemm_scratch_of(&self->first), outer = kit_outer_scratch(room.part);
    const int32_t failed = kit_check_given(&self->first, g->call->sink);
    if (failed) return failed;
    size->workspace = (uint64_t)room.floats * sizeof(float);
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
    return (kit_columns){&b->z, b->hidden, gated && !gate ? 16 : 0, gated ? 32 : 16, 0};
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
    const kit_weights back = kit_weights_at(KIT_STORED_F32, b->room + b->at.down,
                                            kit_panels(b->hidden), b->w.down->dim[0]);
    int32_t failed =
        KIT(kit_gemm_run)(call, &self->first, b->x, b->row, &b->z, 0, b->rows, NULL, NULL);
    if (!failed)
        failed = KIT(kit_gemm_run)(call, &back, b->dy, b->row, &b->h, 0, b->rows, NULL, NULL);
    b->rows_per_tile = 16384 / (b->hidden + 1) + 1;
    return failed ? failed
                  : call->host->parallel_for(call->host,
                                             (b->rows + b->rows_per_tile - 1) / b->rows_per_tile,
                                             KIT(feedforward_middle), b);
}

/* down, and all rows of gate and up as z has its columns, packed the other way. */
static int32_t KIT(feedforward_repack)(const kit_feedforward_backward *b)
{
    const heed_call *call = b->g->call;
    const int64_t lines = b->z.dim[1], step = b->w.gate ? 32 : 16;
    float *down = b->room + b->at.down, *up = b->room + b->at.up;
    int32_t failed =
        KIT(kit_repack_run)(call, (kit_repack){down, b->w.down->dim[0], 0, 16, b->w.down});
    if (!failed)
        failed =
            KIT(kit_repack_run)(call, (kit_repack){up, lines, b->w.gate ? 16 : 0, step, b->w.up});
    if (!failed && b->w.gate)
        failed = KIT(kit_repack_run)(call, (kit_repack){up, lines, 0, step, b->w.gate});
    return failed;
}

/* The weights' gradients of this part; up and gate have one sum. */
static int32_t KIT(feedforward_weights)(const kit_feedforward_backward *b, kit_columns dy,
                                        kit_columns x)
{
    const heed_call *call = b->g->call;
    const kit_feedforward_weights *d = &b->d;
    float *outer = b->room + b->at.outer;
    kit_outer_part part = {b->part, b->at.parts, b->room + b->at.stack[0], 0, NULL};
    int32_t failed = HEED_OK;
    if (d->down)
        failed =
            KIT(kit_outer_some)(call, dy, kit_all_columns(&b->h), b->rows, d->down, outer, part);
    part.stack = b->room + b->at.stack[1];
    part.two = b->w.gate != NULL, part.other = d->up;
    if (!failed && (d->up || d->gate))
        failed = KIT(kit_outer_some)(call, kit_all_columns(&b->z), x, b->rows,
                                     part.two ? d->gate : d->up, outer, part);
    return failed;
}

/* Blocks of the biases' gradients, where they are wanted. */
static int32_t KIT(feedforward_biases)(const kit_feedforward_backward *b, kit_columns dy)
{
    const kit_columns of[] = {dy, kit_feedforward_columns(b, 0), kit_feedforward_columns(b, 1)};
    const heed_tensor *const bias[] = {b->d.down_bias, b->d.up_bias, b->d.gate_bias};
    int32_t failed = HEED_OK;
    for (int m = 0; m < 3 && !failed; m++)
        if (bias[m])
            failed = KIT(kit_column_blocks)(b->g->call, of[m], b->rows,
                                            b->room + b->at.columns[m] +
                                                b->row / KIT_BLOCK_ROWS * kit_lanes(of[m].width));
    return failed;
}

static int32_t KIT(feedforward_part)(kit_feedforward_backward *b)
{
    const heed_tensor *dx = b->g->gradient[FEEDFORWARD_X];
    const kit_weights back = kit_weights_at(KIT_STORED_F32, b->room + b->at.up,
                                            kit_panels(b->w.up->dim[1]), b->z.dim[1]);
    kit_columns x = kit_all_columns(b->x), dy = kit_all_columns(b->dy);
    x.row = dy.row = b->row;
    int32_t failed = KIT(feedforward_middles)(b);
    if (!failed) failed = KIT(feedforward_weights)(b, dy, x);
    if (!failed) failed = KIT(feedforward_biases)(b, dy);
    if (!failed && dx)
        failed = KIT(kit_gemm_run)(b->g->call, &back, &b->z, 0, dx, b->row, b->rows, NULL, NULL);
    return failed;
}

static int32_t KIT(backward)(const void *instance, const heed_grad_call *g)
{
    const kit_feedforward *self = instance;
    const heed_tensor *x = g->call->tensor[FEEDFORWARD_X];
    const kit_feedforward_room at =
        kit_feedforward_parts(self, kit_rows(x), HEED_AXIS(g->call->axis, 'M'));
    const int64_t hidden = self->down.depth, columns = 16 * self->first.panels;
    float *room = g->call->workspace;
    kit_feedforward_backward b = {
        .self = self,
        .g = g,
        .x = x,
        .dy = g->gradient[self->gated ? (int)GATED_OUT : (int)FEEDFORWARD_OUT],
        .w = kit_feedforward_tensors(self, g->weight),
        .d = kit_feedforward_tensors(self, g->gradient),
        .z = kit_matrix(room, at.part, columns, kit_middle_pitch(columns)),
        .h = kit_matrix(room + at.h, at.part, hidden, kit_middle_pitch(hidden)),
        .at = at,
        .room = room,
        .hidden = hidden};
    int32_t failed = KIT(feedforward_repack)(&b);
    for (; b.row < at.rows && !failed; b.row += at.part, b.part++) {
        b.rows = at.rows - b.row < at.part ? at.rows - b.row : at.part;
        failed = KIT(feedforward_part)(&b);
    }
    const heed_tensor *const bias[] = {b.d.down_bias, b.d.up_bias, b.d.gate_bias};
    for (int m = 0; m < 3 && !failed; m++)
        if (bias[m])
            failed = KIT(kit_add_blocks)(
                g->call, (kit_block_sums){room + at.columns[m], kit_blocks(at.rows),
                                          bias[m]->dim[0], kit_lanes(bias[m]->dim[0]), bias[m]});
    return failed;
}
#endif
