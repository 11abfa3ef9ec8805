/* SPDX-License-Identifier: MIT
 *
 * position/learned, the work: a row of the table added to each token, 16 elements at a time. All
 * positions are checked before anything is written. The table stays where its owner has it.
 *
 * Error: half an ulp of the sum.
 */
#include <heed/kit.h>

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

static int32_t KIT(forward)(const void *instance, const heed_call *call)
{
    const learned *self = instance;
    const heed_tensor *x = call->tensor[X];
    const int64_t rows = self->table.dim[0] - self->offset, items = x->dim[0] * x->dim[1];
    const int64_t per_tile = 16384 / (x->dim[2] + 1) + 1;
    for (int64_t item = 0; item < items; item++) {
        const int64_t position = learned_position(call, item);
        if (position < 0 || position >= rows)
            return kit_fail(call->sink, HEED_E_ARGUMENT,
                            "position %lld (token %lld) has no row: the table has %lld, for "
                            "positions 0 to %lld",
                            (long long)position, (long long)(item % x->dim[1]),
                            (long long)self->table.dim[0], (long long)rows - 1);
    }
    learned_call c = {call, self, items, per_tile};
    return call->host->parallel_for(call->host, (items + per_tile - 1) / per_tile, KIT(tile), &c);
}

#include <heed/kit/next.h>
#ifdef KIT_AGAIN
#include __FILE_NAME__
#endif
