/* SPDX-License-Identifier: MIT
 *
 * cache/@NAME@: keys and values as integers of 8 bits with a scale for each row: softmax(cache=@NAME@)
 *
 *     a block: scale [rows] float32, then q [rows][width] int8                    x = scale q
 */
#include <heed/kit.h>
#include <heed/abi/kv.h>

#ifdef KIT_FIRST /* once; what stands outside is compiled for every path */
static uint64_t bytes(const void *self, int64_t rows, int64_t width, uint32_t by_channels)
{
    (void)self, (void)by_channels;
    return sizeof(float) * (uint64_t)rows + (uint64_t)(rows * width);
}
#endif

/* Rows [first, first + count) of the block; what is made of a row must follow from it alone. */
static void KIT(encode)(const void *self, const heed_kv_block *to, int64_t first, int64_t count,
                        const float *from, int64_t step)
{
    (void)self;
    for (int64_t i = 0; i < count; i++) {
        const float *x = from + i * step;
        float most = 0, *scale = (float *)to->data + first + i;
        int8_t *q = (int8_t *)((float *)to->data + to->rows) + (first + i) * to->width;
        for (int64_t c = 0; c < to->width; c++) most = fabsf(x[c]) <= most ? most : fabsf(x[c]);
        *scale = most / 128 <= FLT_MAX / 128 ? most / 128 : NAN; /* an infinity spoils its row */
        for (int64_t c = 0; c < to->width; c++) {
            const float y = *scale > 0 ? x[c] / *scale : 0;
            q[c] = (int8_t)(y >= 127 ? 127 : y <= -128 ? -128 : rintf(y));
        }
    }
}

/* All rows from 0 on: row r's channel c to to[r * step + c], or, by channels, to[c * step + r]. */
static void KIT(decode)(const void *self, const heed_kv_block *from, int64_t count, float *to,
                        int64_t step)
{
    (void)self;
    const int64_t row = from->by_channels ? 1 : step, channel = from->by_channels ? step : 1;
    for (int64_t r = 0; r < count; r++) {
        const float scale = ((const float *)from->data)[r];
        const int8_t *q =
            (const int8_t *)((const float *)from->data + from->rows) + r * from->width;
        for (int64_t c = 0; c < from->width; c++) to[r * row + c * channel] = scale * (float)q[c];
    }
}

static const void *KIT(extension)(const char *id)
{
    static const heed_kv kv = {.size = sizeof kv,
                               .version = 1,
                               .format = "@NAME@",
                               .bytes = bytes,
                               .encode = KIT(encode),
                               .decode = KIT(decode)};
    return strcmp(id, HEED_KV_ID) == 0 ? &kv : NULL;
}

#include <heed/kit/next.h>
#ifdef KIT_AGAIN
#include __FILE_NAME__
#else
static const heed_path paths[] = {KIT_PATHS_EXTENSION};
static const heed_op ops[] = {{
    .size = sizeof(heed_op),
    .id = "cache/@NAME@",
    .version = "0.1",
    .summary = "keys and values as 8-bit integers, with a scale for each row and head",
    .formula = "q = round(x / scale), scale = max |x| / 128 of the row; decoded, scale q",
    .reference = "one's own",
    .paths = KIT_TABLE(paths),
    .measure = kit_no_measure,
    .init = kit_no_init,
}};
KIT_PLUGIN("@NAME@", "MIT", ops)
#endif
