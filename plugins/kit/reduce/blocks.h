/* SPDX-License-Identifier: MIT
 *
 * heed/kit/reduce/blocks.h: the last step of a sum over many rows, the gradient of a vector of
 * weights: the sums of the blocks (kit/core/grad.h), added by a binary tree over their index, then
 * to what is there. A kernel file may include it several times.
 */
#include <heed/kit/core/grad.h>

#ifndef HEED_KIT_REDUCE_BLOCKS_ONCE
#define HEED_KIT_REDUCE_BLOCKS_ONCE
enum { KIT_BLOCKS_COLUMNS = 256 }; /* of a tile */
typedef struct kit_block_sums {
    float *part; /* [blocks], `pitch` floats apart, a multiple of 16; ends as rubbish */
    int64_t blocks, width, pitch;
    const heed_tensor *to; /* [width], is added to */
} kit_block_sums;
#endif

/* Its functions, once for each path. */
#undef KIT_BLOCKS_NEW
#if defined KIT_SCALAR && !defined KIT_BLOCKS_SCALAR
#define KIT_BLOCKS_SCALAR
#define KIT_BLOCKS_NEW
#elif defined KIT_AVX2 && !defined KIT_BLOCKS_AVX2
#define KIT_BLOCKS_AVX2
#define KIT_BLOCKS_NEW
#elif defined KIT_AVX512 && !defined KIT_BLOCKS_AVX512
#define KIT_BLOCKS_AVX512
#define KIT_BLOCKS_NEW
#elif defined KIT_NEON && !defined KIT_BLOCKS_NEON
#define KIT_BLOCKS_NEON
#define KIT_BLOCKS_NEW
#endif
#ifdef KIT_BLOCKS_NEW

static void KIT(kit_blocks_tile)(void *arg, int64_t tile, uint32_t lane)
{
    const kit_block_sums *s = arg;
    const int64_t from = tile * KIT_BLOCKS_COLUMNS, left = s->width - from,
                  stride = s->to->stride[0],
                  n = left < KIT_BLOCKS_COLUMNS ? left : KIT_BLOCKS_COLUMNS;
    (void)lane;
    for (int64_t step = 1; step < s->blocks; step *= 2)
        for (int64_t b = 0; b + step < s->blocks; b += 2 * step)
            for (int64_t i = from; i < from + n; i += 16) {
                float *at = s->part + b * s->pitch + i;
                v_store(at, v_add(v_load(at), v_load(at + step * s->pitch)));
            }
    for (int64_t i = from; i < from + n && s->blocks; i += 16) {
        const int m = from + n - i < 16 ? (int)(from + n - i) : 16;
        float *to = (float *)s->to->data + i * stride;
        v_write(to, HEED_F32, stride, v_add(v_read(to, HEED_F32, stride, m), v_load(s->part + i)),
                m);
    }
}

static __attribute__((unused)) int32_t KIT(kit_add_blocks)(const heed_call *call, kit_block_sums s)
{
    const int64_t tiles = (s.width + KIT_BLOCKS_COLUMNS - 1) / KIT_BLOCKS_COLUMNS;
    return call->host->parallel_for(call->host, tiles, KIT(kit_blocks_tile), &s);
}
#endif
