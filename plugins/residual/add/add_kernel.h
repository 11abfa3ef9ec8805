/* SPDX-License-Identifier: MIT
 *
 * residual/add, the maths: one addition an element, rounded once.
 */
#include <heed/kit.h>

#ifdef KIT_FIRST
enum { X, Y, OUT };
typedef struct add_call {
    const heed_tensor *x, *y, *out;
    int64_t rows, rows_per_tile;
} add_call;

KIT_INLINE int64_t step_of(const heed_tensor *t) { return t->stride[t->rank - 1] * kit_width(t->dtype); }
#endif

static void KIT(tile)(void *arg, int64_t tile, uint32_t lane)
{
    const add_call *c = arg;
    const heed_tensor *x = c->x, *y = c->y, *out = c->out;
    int64_t width = x->dim[x->rank - 1], xs = step_of(x), ys = step_of(y), os = step_of(out);
    int64_t end = (tile + 1) * c->rows_per_tile < c->rows ? (tile + 1) * c->rows_per_tile : c->rows;
    (void)lane;
    for (int64_t r = tile * c->rows_per_tile; r < end; r++) {
        const char *a = kit_row(x, r), *b = kit_row(y, r);
        char *to = kit_row(out, r);
        for (int64_t i = 0; i < width; i += 16) {
            int n = width - i < 16 ? (int)(width - i) : 16;
            vf sum = v_add(v_read(a + i * xs, x->dtype, x->stride[x->rank - 1], n),
                           v_read(b + i * ys, y->dtype, y->stride[y->rank - 1], n));
            v_write(to + i * os, out->dtype, out->stride[out->rank - 1], sum, n);
        }
    }
}

static int32_t KIT(forward)(const void *instance, const heed_call *call)
{
    const heed_tensor *x = call->tensor[X];
    int64_t rows = kit_rows(x), per_tile = 16384 / (x->dim[x->rank - 1] + 1) + 1;
    add_call c = {x, call->tensor[Y], call->tensor[OUT], rows, per_tile};
    (void)instance;
    return call->host->parallel_for(call->host, (rows + per_tile - 1) / per_tile, KIT(tile), &c);
}

#include <heed/kit/next.h>
#ifdef KIT_AGAIN
#include __FILE_NAME__
#endif
