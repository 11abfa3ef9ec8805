/* SPDX-License-Identifier: MIT
 *
 * pool/tokens, the maths: a tile is a sequence. The mean is one chain of sums over the tokens for each
 * channel, and one division; the length is made in float64.
 *
 * Error: that of the sum, |y - exact| <= T 2^-24 mean |x|.
 */
#include <heed/kit.h>

#ifdef KIT_FIRST
enum { X, KEY_LENGTHS, OUT };
enum { BY, L2 };
enum { BY_MEAN, BY_FIRST, BY_LAST, BY_MAX };
typedef struct pool {
    int64_t by, l2;
} pool;

typedef struct pool_call {
    const pool *self;
    const heed_call *call;
} pool_call;

KIT_INLINE int64_t padded(int64_t n) { return (n + 15) / 16 * 16; }
#endif

/* The rows [first, end) of a sequence to one, 16 channels at a time. */
static void KIT(join)(const heed_tensor *x, int64_t b, int64_t first, int64_t end, int64_t by,
                      float *to)
{
    const int64_t width = x->dim[2];
    const vf count = v_set((float)(end - first));
    for (int64_t i = 0; i < width; i += 16) {
        const int n = width - i < 16 ? (int)(width - i) : 16;
        vf sum = v_set(0.0f);
        for (int64_t t = first; t < end; t++) {
            const int64_t at[] = {b, t, i};
            const vf v = v_read(kit_at(x, at, 3), x->dtype, x->stride[2], n);
            sum = t == first ? v : by == BY_MAX ? v_max(sum, v) : v_add(sum, v);
        }
        v_store(to + i, by == BY_MEAN && end > first ? v_div(sum, count) : sum);
    }
}

static void KIT(tile)(void *arg, int64_t b, uint32_t lane)
{
    const pool_call *c = arg;
    const heed_tensor *x = c->call->tensor[X], *out = c->call->tensor[OUT],
                      *lengths = c->call->tensor[KEY_LENGTHS];
    const int64_t by = c->self->by, width = x->dim[2], tokens = x->dim[1];
    float *row = (float *)c->call->workspace + b * padded(width);
    int64_t end = lengths ? kit_index(lengths, kit_element(lengths, b)) : tokens;
    (void)lane;
    end = end > tokens ? tokens : end < 0 ? 0 : end;
    const int64_t last = end > 0 ? end - 1 : 0;
    KIT(join)(x, b, by == BY_LAST ? last : 0, by == BY_FIRST && end > 1 ? 1 : end, by, row);
    double squares = 0;
    for (int64_t i = 0; c->self->l2 && i < width; i++) squares += (double)row[i] * (double)row[i];
    const double length = sqrt(squares) > 1e-12 || squares != squares ? sqrt(squares) : 1e-12;
    for (int64_t i = 0; c->self->l2 && i < width; i++) row[i] = (float)((double)row[i] / length);
    kit_write_row(kit_row(out, b), out->dtype, out->stride[1], row, width);
}

static int32_t KIT(forward)(const void *instance, const heed_call *call)
{
    pool_call c = {instance, call};
    return call->host->parallel_for(call->host, call->tensor[X]->dim[0], KIT(tile), &c);
}

#include <heed/kit/next.h>
#ifdef KIT_AGAIN
#include __FILE_NAME__
#endif
