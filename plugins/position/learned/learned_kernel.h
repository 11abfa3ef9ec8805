/* SPDX-License-Identifier: MIT
 *
 * position/learned, the work: a row of the table added to each token, 16 elements at a time. All
 * positions are checked before anything is written. The table stays where its owner has it.
 *
 * Backward copies what comes for x, and adds each row to that of its position, in the order of the
 * tokens: tiles are columns of the table, so that an element is one chain.
 *
 * Error: half an ulp of the sum.
 */
#include <heed/kit.h>
#include <heed/kit/core/grad.h>

#ifdef KIT_FIRST
enum { X, POSITIONS, TABLE, OUT };
typedef struct learned {
    heed_tensor table;
    int64_t offset;
} learned;

typedef struct learned_call {
    const heed_call *call;
    const learned *self;
    int64_t items, items_per_tile; /* item = token t of sequence b, b T + t */
} learned_call;

enum { COLUMNS = 64 }; /* of a tile of backward */
typedef struct learned_backward {
    learned_call c;
    const heed_tensor *d, *d_x, *d_table; /* what comes, and what is wanted */
} learned_backward;

/* Where a token stands. */
KIT_INLINE int64_t learned_position(const heed_call *call, int64_t item)
{
    const heed_tensor *positions = call->tensor[POSITIONS];
    const int64_t T = call->tensor[X]->dim[1], index[2] = {item / T, item % T};
    return positions ? kit_index(positions, kit_at(positions, index, 2)) : index[1];
}
#endif

static void KIT(tile)(void *arg, int64_t tile, uint32_t lane)
{
    const learned_call *c = arg;
    const heed_tensor *x = c->call->tensor[X], *out = c->call->tensor[OUT],
                      *table = &c->self->table;
    const int64_t M = x->dim[2], xs = x->stride[2], ts = table->stride[1], os = out->stride[2];
    const int64_t end =
        (tile + 1) * c->items_per_tile < c->items ? (tile + 1) * c->items_per_tile : c->items;
    (void)lane;
    for (int64_t item = tile * c->items_per_tile; item < end; item++) {
        const int64_t index[2] = {item / x->dim[1], item % x->dim[1]};
        const int64_t row = learned_position(c->call, item) + c->self->offset;
        const char *from = kit_at(x, index, 2), *add = kit_at(table, &row, 1);
        char *to = kit_at(out, index, 2);
        for (int64_t i = 0; i < M; i += 16) {
            const int n = M - i < 16 ? (int)(M - i) : 16;
            const vf a = v_read(from + i * xs * kit_width(x->dtype), x->dtype, xs, n);
            const vf b = v_read(add + i * ts * kit_width(table->dtype), table->dtype, ts, n);
            v_write(to + i * os * kit_width(out->dtype), out->dtype, os, v_add(a, b), n);
        }
    }
}

static int32_t KIT(check)(const learned *self, const heed_call *call)
{
    const heed_tensor *x = call->tensor[X];
    const int64_t rows = self->table.dim[0] - self->offset, items = x->dim[0] * x->dim[1];
    for (int64_t item = 0; item < items; item++) {
        const int64_t position = learned_position(call, item);
        if (position < 0 || position >= rows)
            return kit_fail(call->sink, HEED_E_ARGUMENT,
                            "position %lld (token %lld) has no row: the table has %lld, for "
                            "positions 0 to %lld",
                            (long long)position, (long long)(item % x->dim[1]),
                            (long long)self->table.dim[0], (long long)rows - 1);
    }
    return HEED_OK;
}

static int32_t KIT(forward)(const void *instance, const heed_call *call)
{
    const learned *self = instance;
    const heed_tensor *x = call->tensor[X];
    const int64_t items = x->dim[0] * x->dim[1], per_tile = 16384 / (x->dim[2] + 1) + 1;
    const int32_t failed = KIT(check)(self, call);
    if (failed) return failed;
    learned_call c = {call, self, items, per_tile};
    return call->host->parallel_for(call->host, (items + per_tile - 1) / per_tile, KIT(tile), &c);
}

/* ---- backward ---- */

static void KIT(tile_backward)(void *arg, int64_t tile, uint32_t lane)
{
    const learned_backward *w = arg;
    const learned_call *c = &w->c;
    const int64_t M = w->d->dim[2], from = tile * COLUMNS,
                  end = from + COLUMNS < M ? from + COLUMNS : M, ds = w->d->stride[2];
    (void)lane;
    for (int64_t item = 0; item < c->items; item++) {
        const int64_t row = learned_position(c->call, item) + c->self->offset;
        const float *d = kit_gradient_row(w->d, item);
        float *dx = kit_gradient_row(w->d_x, item),
              *to = w->d_table ? (float *)(void *)kit_at(w->d_table, &row, 1) : NULL;
        const int64_t xs = kit_gradient_stride(w->d_x), ts = kit_gradient_stride(w->d_table);
        for (int64_t i = from; i < end; i += 16) {
            const int n = end - i < 16 ? (int)(end - i) : 16;
            const vf y = v_read(d + i * ds, HEED_F32, ds, n);
            if (dx) v_write(dx + i * xs, HEED_F32, xs, y, n);
            if (to)
                v_write(to + i * ts, HEED_F32, ts, v_add(v_read(to + i * ts, HEED_F32, ts, n), y),
                        n);
        }
    }
}

static int32_t KIT(backward)(const void *instance, const heed_grad_call *g)
{
    const learned *self = instance;
    const heed_tensor *d = g->gradient[OUT];
    learned_backward w = {
        {g->call, self, d->dim[0] * d->dim[1], 0}, d, g->gradient[X], g->gradient[TABLE]};
    const int32_t failed = KIT(check)(self, g->call);
    return failed ? failed
                  : g->call->host->parallel_for(g->call->host, (d->dim[2] + COLUMNS - 1) / COLUMNS,
                                                KIT(tile_backward), &w);
}
KIT_BACKWARD(KIT_PORT(X) | KIT_PORT(TABLE), KIT_PORT(OUT), 0, NULL)

#include <heed/kit/next.h>
#ifdef KIT_AGAIN
#include __FILE_NAME__
#endif
