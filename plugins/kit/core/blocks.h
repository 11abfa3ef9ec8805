/* SPDX-License-Identifier: MIT
 *
 * heed/kit/core/blocks.h: weights in blocks of 32 with a scale, as abi/tensor.h has them (HEED_Q8_0,
 * HEED_Q4_0), one row of a matrix at a time. A weight is the scale times a small whole number, which
 * float32 holds exactly.
 */
#ifndef HEED_KIT_BLOCKS_H
#define HEED_KIT_BLOCKS_H
#include <heed/kit/core/half.h>

/* Bytes of a block; 0: weights of this dtype stand alone. */
KIT_INLINE int64_t kit_block_bytes(uint32_t dtype)
{
    return dtype == HEED_Q8_0 ? 34 : dtype == HEED_Q4_0 ? 18 : 0;
}

/* The whole number of element i of the block at `b`. */
KIT_INLINE int kit_block_number(const char *b, uint32_t dtype, int i)
{
    const int byte = b[2 + (dtype == HEED_Q8_0 ? i : i % 16)];
    if (dtype == HEED_Q8_0) return (int8_t)byte;
    return ((i < 16 ? byte : byte >> 4) & 15) - 8;
}
KIT_INLINE uint16_t kit_block_scale(const char *b)
{
    uint16_t scale;
    memcpy(&scale, b, sizeof scale);
    return scale;
}

/* Elements [i, i + n) of a row, all in one block. */
KIT_INLINE void kit_block_read(float *to, const char *row, uint32_t dtype, int64_t i, int64_t n)
{
    const char *b = row + i / HEED_BLOCK * kit_block_bytes(dtype);
    const float scale = kit_from_f16(kit_block_scale(b));
    for (int64_t k = 0; k < n; k++)
        to[k] = scale * (float)kit_block_number(b, dtype, (int)(i % HEED_BLOCK + k));
}

#endif
