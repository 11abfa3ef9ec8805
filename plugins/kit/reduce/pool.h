/* SPDX-License-Identifier: MIT
 *
 * heed/kit/reduce/pool.h: one row of all rows of a sequence, 16 channels at a time: the mean, the
 * first, the last, or the largest number of each channel; and what a gradient of that row becomes.
 * The mean is one chain of sums over the tokens for each channel, and one division. Of equal largest
 * numbers the first token's has the gradient.
 */
#include <heed/kit/core/grad.h>

#ifndef HEED_KIT_REDUCE_POOL_ONCE
#define HEED_KIT_REDUCE_POOL_ONCE
enum { KIT_POOL_MEAN, KIT_POOL_FIRST, KIT_POOL_LAST, KIT_POOL_MAX };

/* What of a gradient goes to which tokens of a sequence; NULL: nothing. */
typedef struct kit_pool_gradient {
    const float *every, *first, *last, *most; /* [M] */
    const float *at;                          /* [M], with `most`: the token that has it */
} kit_pool_gradient;

/* How many tokens a sequence has. */
KIT_INLINE int64_t kit_pool_end(const heed_tensor *x, const heed_tensor *lengths, int64_t b)
{
    const int64_t tokens = x->dim[1],
                  end = lengths ? kit_index(lengths, kit_element(lengths, b)) : tokens;
    return end > tokens ? tokens : end < 0 ? 0 : end;
}
#endif

/* Its functions, once for each path. */
#undef KIT_POOL_NEW
#if defined KIT_SCALAR && !defined KIT_POOL_SCALAR
#define KIT_POOL_SCALAR
#define KIT_POOL_NEW
#elif defined KIT_AVX2 && !defined KIT_POOL_AVX2
#define KIT_POOL_AVX2
#define KIT_POOL_NEW
#elif defined KIT_AVX512 && !defined KIT_POOL_AVX512
#define KIT_POOL_AVX512
#define KIT_POOL_NEW
#elif defined KIT_NEON && !defined KIT_POOL_NEON
#define KIT_POOL_NEON
#define KIT_POOL_NEW
#endif
#ifdef KIT_POOL_NEW

/* The first `end` rows of a sequence to one. */
static void KIT(kit_pool_join)(const heed_tensor *x, int64_t b, int64_t end, int64_t by, float *to)
{
    const int64_t width = x->dim[2], last = end > 0 ? end - 1 : 0,
                  from = by == KIT_POOL_LAST ? last : 0;
    const vf count = v_set((float)end);
    if (by == KIT_POOL_FIRST && end > 1) end = 1;
    for (int64_t i = 0; i < width; i += 16) {
        const int n = width - i < 16 ? (int)(width - i) : 16;
        vf sum = v_set(0.0f);
        for (int64_t t = from; t < end; t++) {
            const int64_t at[] = {b, t, i};
            const vf v = v_read(kit_at(x, at, 3), x->dtype, x->stride[2], n);
            sum = t == from ? v : by == KIT_POOL_MAX ? v_max(sum, v) : v_add(sum, v);
        }
        v_store(to + i, by == KIT_POOL_MEAN && end > 0 ? v_div(sum, count) : sum);
    }
}

/* Which token has the largest number of each channel. */
static void KIT(kit_pool_find)(const heed_tensor *x, int64_t b, int64_t end, float *to)
{
    const int64_t width = x->dim[2];
    for (int64_t i = 0; i < width; i += 16) {
        const int n = width - i < 16 ? (int)(width - i) : 16;
        vf most = v_set(0.0f), place = v_set(0.0f);
        for (int64_t t = 0; t < end; t++) {
            const int64_t at[] = {b, t, i};
            const vf v = v_read(kit_at(x, at, 3), x->dtype, x->stride[2], n);
            const vm more = v_lt(most, v);
            place = t ? v_select(more, v_set((float)t), place) : place;
            most = t ? v_select(more, v, most) : v;
        }
        v_store(to + i, place);
    }
}

/* The gradients of all rows of a sequence; behind its end they are 0. */
static void KIT(kit_pool_hand_back)(const heed_tensor *to, int64_t b, int64_t end,
                                    const kit_pool_gradient *g)
{
    const int64_t width = to->dim[2];
    for (int64_t t = 0; t < to->dim[1]; t++)
        for (int64_t i = 0; i < width; i += 16) {
            const int n = width - i < 16 ? (int)(width - i) : 16;
            const int64_t at[] = {b, t, i};
            const vf zero = v_set(0.0f);
            vf d = g->every && t < end ? v_load(g->every + i) : zero;
            if (g->first && t == 0 && t < end) d = v_add(d, v_load(g->first + i));
            if (g->last && t == end - 1) d = v_add(d, v_load(g->last + i));
            if (g->most && t < end)
                d = v_add(d, v_select(v_eq(v_load(g->at + i), v_set((float)t)), v_load(g->most + i),
                                      zero));
            v_write(kit_at(to, at, 3), HEED_F32, to->stride[2], d, n);
        }
}
#endif
