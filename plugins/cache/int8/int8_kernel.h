/* SPDX-License-Identifier: MIT
 *
 * cache/int8, the maths. A block is a scale for each row, then the integers, by rows or by channels
 * as they are decoded:
 *
 *     scale [rows] float32       q [rows][width] or [width][rows] int8       x = scale q
 *
 * A row with an infinity or a NaN has the scale NaN, and is NaN as a whole.
 */
#include <heed/kit.h>
#include <heed/abi/kv.h>
#include <heed/kit/gemm/stored.h> /* 16 integers as float32 */

#ifdef KIT_FIRST
#define INT8_MOST 127.0f
#define INT8_SHIFTER 0x1.8p23f /* added and taken off, rounds to an integer, ties to even */

static uint64_t int8_bytes(const void *instance, int64_t rows, int64_t width, uint32_t by_channels)
{
    (void)instance, (void)by_channels;
    return sizeof(float) * (uint64_t)rows + (uint64_t)(rows * width + 16); /* read 16 at a time */
}
#endif

KIT_INLINE const float *KIT(int8_scale)(const heed_kv_block *b) { return b->data; }
KIT_INLINE const char *KIT(int8_at)(const heed_kv_block *b, int64_t line, int64_t wide, int64_t at)
{
    return (const char *)((const float *)b->data + b->rows) + line * wide + at;
}
#undef CACHE_KEYS
#undef CACHE_CHANNELS
#define CACHE_KEYS(b, c, k)                                                                        \
    v_mul(v_load(KIT(int8_scale)(b) + (k)),                                                        \
          KIT(kit_stored_load)(KIT_STORED_I8, KIT(int8_at)(b, c, (b)->rows, k)))
#define CACHE_CHANNELS(b, k, c)                                                                    \
    v_mul(v_set(KIT(int8_scale)(b)[k]),                                                            \
          KIT(kit_stored_load)(KIT_STORED_I8, KIT(int8_at)(b, k, (b)->width, c)))
#include <heed/kit/cache/rows.h>

static void KIT(encode)(const void *instance, const heed_kv_block *to, int64_t first, int64_t count,
                        const float *from, int64_t step)
{
    (void)instance;
    float *scale = to->data;
    int8_t *q = (int8_t *)(scale + to->rows);
    for (int64_t i = 0; i < count; i++) {
        const float *x = from + i * step;
        const int64_t row = first + i, at = to->by_channels ? row : row * to->width,
                      next = to->by_channels ? to->rows : 1;
        float most = 0;
        int finite = 1;
        for (int64_t c = 0; c < to->width; c++) {
            const float size = fabsf(x[c]);
            finite &= size <= FLT_MAX;
            most = size > most ? size : most;
        }
        scale[row] = finite ? kit_int8_scale(most) : NAN;
        for (int64_t c = 0; c < to->width; c++) {
            float y = finite && scale[row] > 0 ? x[c] / scale[row] : 0;
            y = y > INT8_MOST ? INT8_MOST : y < -INT8_MOST ? -INT8_MOST : y;
            q[at + c * next] = (int8_t)(int32_t)((y + INT8_SHIFTER) - INT8_SHIFTER);
        }
    }
}

static void KIT(decode)(const void *instance, const heed_kv_block *from, int64_t count, float *to,
                        int64_t step)
{
    (void)instance;
    if (from->by_channels)
        for (int64_t c = 0; c < from->width; c++)
            for (int64_t k = 0; k < count; k += 16)
                v_store(to + c * step + k, CACHE_KEYS(from, c, k));
    else
        for (int64_t k = 0; k < count; k++)
            for (int64_t c = 0; c < from->width; c += 16)
                v_store(to + k * step + c, CACHE_CHANNELS(from, k, c));
}

CACHE_PRODUCTS(KIT(scores), KIT(values), int8_bytes)

static const void *KIT(extension)(const char *id)
{
    static const heed_kv kv = {.size = sizeof kv,
                               .version = 1,
                               .format = "int8",
                               .bytes = int8_bytes,
                               .encode = KIT(encode),
                               .decode = KIT(decode),
                               .scores = KIT(scores),
                               .values = KIT(values)};
    return strcmp(id, HEED_KV_ID) == 0 ? &kv : NULL;
}

#include <heed/kit/next.h>
#ifdef KIT_AGAIN
#include __FILE_NAME__
#endif
