/* SPDX-License-Identifier: MIT
 *
 * heed/kit/core/grad.h: what an op with a backward (heed.grad/1) writes, and what all of them
 * share. Include it in a kernel file, which defines KIT(backward) and then names its ports:
 *
 *     KIT_BACKWARD(KIT_PORT(X) | KIT_PORT(GAIN), KIT_PORT(OUT), 0, measure_backward)
 *
 * That is KIT(extension), for KIT_PATHS_BOTH. Gradients are float32 of any stride.
 */
#ifndef HEED_KIT_CORE_GRAD_H
#define HEED_KIT_CORE_GRAD_H
#include <heed/abi/grad.h>
#include <heed/kit.h>

#define KIT_PORT(port) (1u << (port))
#define KIT_BACKWARD(gives, takes, reads, measure)                                                 \
    KIT_BACKWARD_WITH(0, gives, takes, reads, measure)
/* With flags, HEED_GRAD_INNER. */
#define KIT_BACKWARD_WITH(flags, gives, takes, reads, measure)                                     \
    static const void *KIT(extension)(const char *id)                                              \
    {                                                                                              \
        static const heed_grad grad = {sizeof grad, flags, gives,   takes,                         \
                                       reads,       0,     measure, KIT(backward)};                \
        return strcmp(id, HEED_GRAD_ID) == 0 ? &grad : NULL;                                       \
    }

/* Rows of a block. A sum over rows, the gradient of a weight, is one chain for each block, and the
 * blocks are added by a binary tree over their index: so the bits do not depend on who adds what.
 * */
#define KIT_BLOCK_ROWS 256
KIT_INLINE int64_t kit_blocks(int64_t rows) { return (rows + KIT_BLOCK_ROWS - 1) / KIT_BLOCK_ROWS; }
KIT_INLINE int64_t kit_block_end(int64_t block, int64_t rows)
{
    return (block + 1) * KIT_BLOCK_ROWS < rows ? (block + 1) * KIT_BLOCK_ROWS : rows;
}

/* Element i of row r of a gradient, or NULL of none. */
KIT_INLINE float *kit_gradient_row(const heed_tensor *t, int64_t r)
{
    return t ? (float *)kit_row(t, r) : NULL;
}
KIT_INLINE int64_t kit_gradient_stride(const heed_tensor *t)
{
    return t ? t->stride[t->rank - 1] : 0;
}
#endif
