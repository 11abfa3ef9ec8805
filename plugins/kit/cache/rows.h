/* SPDX-License-Identifier: MIT
 *
 * heed/kit/cache/rows.h: the two products of a few rows with a block of a codec (heed/abi/kv.h),
 * decoded in registers: a block comes from memory once, and nothing of it is written. Include it in
 * a kernel file after defining
 *
 *     CACHE_KEYS(b, c, k)         16 keys from k on, of channel c, decoded; b is a heed_kv_block
 *     CACHE_CHANNELS(b, k, c)     16 channels from c on, of key k
 *
 * and, if CACHE_STEP numbers share what is loaded, CACHE_KEYS_AT(b, m, i, k) and CACHE_CHANNELS_AT(b,
 * m, i, c), the same of channel, or key, m CACHE_STEP + i: loops over i are unrolled.
 *
 * The chains are those of kit/flash/few.h.
 */
#ifndef KIT_HAS_CACHE_ROWS
#define KIT_HAS_CACHE_ROWS
#include <heed/kit.h>
#include <heed/abi/kv.h>

#ifndef CACHE_KEYS /* read alone */
#define CACHE_KEYS(b, c, k) v_load((const float *)(b)->data + (c) * (b)->rows + (k))
#define CACHE_CHANNELS(b, k, c) v_load((const float *)(b)->data + (k) * (b)->width + (c))
#endif
#ifndef CACHE_STEP
#define CACHE_STEP 1
#define CACHE_KEYS_AT(b, m, i, k) CACHE_KEYS(b, (m) + (i), k)
#define CACHE_CHANNELS_AT(b, m, i, c) CACHE_CHANNELS(b, (m) + (i), c)
#endif

/* Vectors side by side, for rows that go together: as many sums as fill the registers; the keys of a
 * block are 6 vectors. */
#undef CACHE_KEYS_WIDE
#undef CACHE_CHANNELS_WIDE
#if defined KIT_AVX512
#define CACHE_KEYS_WIDE(rows) 6
#define CACHE_CHANNELS_WIDE(rows) ((rows) == 4 ? 4 : 8)
#elif defined KIT_AVX2
#define CACHE_KEYS_WIDE(rows) ((rows) == 4 ? 1 : (rows) == 2 ? 3 : 6)
#define CACHE_CHANNELS_WIDE(rows) ((rows) == 4 ? 1 : (rows) == 2 ? 2 : 4)
#else
#define CACHE_KEYS_WIDE(rows) 1
#define CACHE_CHANNELS_WIDE(rows) 1
#endif

/* Lines of the next block, so many bytes for each of `steps` steps. */
KIT_INLINE void KIT(cache_prefetch)(const heed_kv_rows *x, int64_t step, int64_t bytes)
{
    if (x->next)
        for (int64_t at = step * bytes & ~(int64_t)63; at < (step + 1) * bytes; at += 64)
            __builtin_prefetch((const char *)x->next + at, 0, 2);
}

KIT_INLINE void KIT(cache_scores)(const int n, const int nv, const heed_kv_rows *x, int64_t row,
                                  int64_t k, int64_t bytes)
{
    const heed_kv_block *b = x->block;
    vf s[4][8];
    KIT_UNROLL for (int i = 0; i < n; i++) KIT_UNROLL for (int j = 0; j < nv; j++) s[i][j] =
        v_set(0.0f);
    for (int64_t m = 0; m * CACHE_STEP < b->width; m++) {
        if (bytes) KIT(cache_prefetch)(x, m, bytes * CACHE_STEP);
        KIT_UNROLL for (int l = 0; l < CACHE_STEP; l++)
        {
            const int64_t c = m * CACHE_STEP + l;
            if (CACHE_STEP > 1 && c >= b->width) break;
            KIT_UNROLL for (int j = 0; j < nv; j++)
            {
                const vf y = CACHE_KEYS_AT(b, m, l, k + 16 * j);
                KIT_UNROLL for (int i = 0; i < n; i++) s[i][j] =
                    v_fma(v_set(x->input[c * x->input_step + row + i]), y, s[i][j]);
            }
        }
    }
    KIT_UNROLL for (int i = 0; i < n; i++) KIT_UNROLL for (int j = 0; j < nv; j++)
        v_store(x->out + (row + i) * x->out_step + k + 16 * j, s[i][j]);
}

KIT_INLINE void KIT(cache_values)(const int n, const int nv, const int masked,
                                  const heed_kv_rows *x, int64_t row, int64_t c, int64_t bytes)
{
    const heed_kv_block *b = x->block;
    vf o[4][8];
    KIT_UNROLL for (int i = 0; i < n; i++) KIT_UNROLL for (int j = 0; j < nv; j++) o[i][j] =
        v_mul(v_set(x->alpha[row + i]), v_load(x->out + (row + i) * x->out_step + c + 16 * j));
    const int64_t end = x->first + x->count; /* the first key is a multiple of 16 */
    for (int64_t m = x->first / CACHE_STEP; m * CACHE_STEP < end; m++) {
        if (bytes) KIT(cache_prefetch)(x, m, bytes * CACHE_STEP);
        KIT_UNROLL for (int l = 0; l < CACHE_STEP; l++)
        {
            const int64_t k = m * CACHE_STEP + l;
            if (CACHE_STEP > 1 && k >= end) break;
            KIT_UNROLL for (int j = 0; j < nv; j++)
            {
                const vf y = CACHE_CHANNELS_AT(b, m, l, c + 16 * j);
                KIT_UNROLL for (int i = 0; i < n; i++)
                {
                    const vf w = v_set(x->input[(row + i) * x->input_step + k]);
                    const vf sum = v_fma(w, y, o[i][j]);
                    o[i][j] = masked ? v_select(v_lt(w, v_set(0.0f)), o[i][j], sum) : sum;
                }
            }
        }
    }
    KIT_UNROLL for (int i = 0; i < n; i++) KIT_UNROLL for (int j = 0; j < nv; j++)
        v_store(x->out + (row + i) * x->out_step + c + 16 * j, o[i][j]);
}

/* Of n rows: all keys or channels, wide pieces first; with the first, `bytes` of the next block are
 * prefetched a step. */
#define CACHE_ROWS(n)                                                                              \
    KIT_KERNEL void KIT(cache_scores_##n)(const heed_kv_rows *x, int64_t row, int64_t bytes)       \
    {                                                                                              \
        enum { WIDE = CACHE_KEYS_WIDE(n) };                                                        \
        const int64_t end = x->first + x->count;                                                   \
        int64_t k = x->first;                                                                      \
        for (; k + 16 * WIDE <= end; k += 16 * WIDE, bytes = 0)                                    \
            KIT(cache_scores)(n, WIDE, x, row, k, bytes);                                          \
        for (; k < end; k += 16, bytes = 0) KIT(cache_scores)(n, 1, x, row, k, bytes);             \
    }                                                                                              \
    KIT_KERNEL void KIT(cache_values_##n)(const heed_kv_rows *x, int64_t row, int64_t bytes)       \
    {                                                                                              \
        enum { WIDE = CACHE_CHANNELS_WIDE(n), HALF = WIDE > 1 ? WIDE / 2 : 1 };                    \
        const int64_t end = kit_lanes(x->block->width);                                            \
        int64_t c = 0;                                                                             \
        for (; c + 16 * WIDE <= end && !x->masked; c += 16 * WIDE, bytes = 0)                      \
            KIT(cache_values)(n, WIDE, 0, x, row, c, bytes);                                       \
        for (; c + 16 * HALF <= end; c += 16 * HALF, bytes = 0)                                    \
            KIT(cache_values)(n, HALF, 1, x, row, c, bytes);                                       \
        for (; c < end; c += 16, bytes = 0) KIT(cache_values)(n, 1, 1, x, row, c, bytes);          \
    }
CACHE_ROWS(4)
CACHE_ROWS(2)
CACHE_ROWS(1)
#undef CACHE_ROWS

/* `bytes` of a block; those of the next one are prefetched by the first rows. */
static void KIT(cache_score_rows)(const heed_kv_rows *x, int64_t bytes)
{
    const int64_t each = (bytes + x->block->width - 1) / x->block->width;
    int64_t row = 0;
    if (x->rows >= 4) KIT(cache_scores_4)(x, 0, each), row = 4;
    if (x->rows - row >= 2) KIT(cache_scores_2)(x, row, row ? 0 : each), row += 2;
    if (x->rows > row) KIT(cache_scores_1)(x, row, row ? 0 : each);
}
static void KIT(cache_sum_rows)(const heed_kv_rows *x, int64_t bytes)
{
    const int64_t each = (bytes + x->block->rows - 1) / x->block->rows;
    int64_t row = 0;
    if (x->rows >= 4) KIT(cache_values_4)(x, 0, each), row = 4;
    if (x->rows - row >= 2) KIT(cache_values_2)(x, row, row ? 0 : each), row += 2;
    if (x->rows > row) KIT(cache_values_1)(x, row, row ? 0 : each);
}

/* They as two functions of a heed_kv, whose `bytes` is bytes_of. */
#define CACHE_PRODUCTS(scores, values, bytes_of)                                                   \
    static void scores(const void *instance, const heed_kv_rows *x)                                \
    {                                                                                              \
        KIT(cache_score_rows)(x, (int64_t)bytes_of(instance, x->block->rows, x->block->width, 1)); \
    }                                                                                              \
    static void values(const void *instance, const heed_kv_rows *x)                                \
    {                                                                                              \
        KIT(cache_sum_rows)(x, (int64_t)bytes_of(instance, x->block->rows, x->block->width, 0));   \
    }
#endif
