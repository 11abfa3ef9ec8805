/* SPDX-License-Identifier: MIT
 *
 * codec.h: a codec of keys and values that is right in everything: numbers as they are, row by row.
 * SIN is what encode does besides, with a row at hand; DECODED what is made of a number; CODEC_ROTATE what
 * rotates queries.
 */
#ifndef HOSTILE_CODEC_H
#define HOSTILE_CODEC_H

#include <string.h>

#include <heed/abi/kv.h>

#include "hostile.h"

#ifndef SIN
#define SIN(data, row, width, first, count) (void)0
#endif
#ifndef DECODED
#define DECODED(x) (x)
#endif
#ifndef CODEC_ROTATE
#define CODEC_ROTATE NULL
#endif

static uint64_t codec_bytes(const void *instance, int64_t rows, int64_t width, uint32_t by_channels)
{
    (void)instance, (void)by_channels;
    return sizeof(float) * (uint64_t)(rows * width);
}

static void codec_encode(const void *instance, const heed_kv_block *to, int64_t first,
                         int64_t count, const float *from, int64_t step)
{
    (void)instance;
    for (int64_t i = 0; i < count; i++) {
        float *row = (float *)to->data + (first + i) * to->width;
        for (int64_t c = 0; c < to->width; c++) row[c] = from[i * step + c];
        SIN((float *)to->data, row, to->width, first, count);
    }
}

static void codec_decode(const void *instance, const heed_kv_block *from, int64_t count, float *to,
                         int64_t step)
{
    (void)instance;
    for (int64_t r = 0; r < count; r++)
        for (int64_t c = 0; c < from->width; c++)
            to[from->by_channels ? c * step + r : r * step + c] =
                DECODED(((const float *)from->data)[r * from->width + c]);
}

static const void *codec_extension(const char *id)
{
    static const heed_kv kv = {.size = sizeof kv,
                               .version = 1,
                               .format = "hostile",
                               .bytes = codec_bytes,
                               .encode = codec_encode,
                               .decode = codec_decode,
                               .rotate = CODEC_ROTATE};
    return strcmp(id, HEED_KV_ID) ? 0 : &kv;
}

#define HOSTILE_CODEC                                                                              \
    HOSTILE(reply->ops.count = 1; ops[0].id = "cache/hostile"; ops[0].measure_call = 0;            \
            ops[0].ports = (heed_table){0}; ops[0].params = (heed_table){0};                       \
            for (int i = 0; i < 2; i++) paths[i].forward = 0,                                      \
            paths[i].get_extension = codec_extension)

#endif
