/* SPDX-License-Identifier: MIT
 *
 * heed/abi/tensor.h: a view of memory. It owns nothing.
 *
 * Any alignment of the element's own size and any stride >= 0 is legal for a caller's tensor and changes no bit of a
 * result; stride 0 repeats (inputs and weights only). Memory that the engine makes is aligned to 64 bytes.
 */
#ifndef HEED_ABI_TENSOR_H
#define HEED_ABI_TENSOR_H

#include "base.h"

#define HEED_MAX_RANK 8

#define HEED_F32 0u
#define HEED_F16 1u
#define HEED_BF16 2u
#define HEED_I8 3u
#define HEED_U8 4u
#define HEED_I32 5u
#define HEED_I64 6u
#define HEED_F64 7u
#define HEED_DTYPES 8u
/* Weights alone: rows of whole blocks, as files of GGUF have them. A block is 32 neighbours of a row: a float16 scale d
 * and 32 int8 q, which are d q; or d and 16 bytes, of which byte i has q of element i in its lower half and that of
 * i + 16 in its upper one, which are d (q - 8). Only a port whose dtypes have their bits takes them. */
#define HEED_Q8_0 16u
#define HEED_Q4_0 17u
#define HEED_BLOCK 32
#define HEED_BIT(dtype) (1u << (dtype)) /* for sets of dtypes */

typedef struct heed_tensor {
    uint32_t size;
    uint32_t dtype;
    int32_t rank;
    uint32_t flags; /* 0 */
    void *data;     /* element 0; NULL while only shapes are asked about */
    uint64_t bytes; /* valid bytes from data on */
    int64_t dim[HEED_MAX_RANK];
    int64_t stride
        [HEED_MAX_RANK]; /* in elements; of blocks 1 in the last axis, and multiples of 32 in the others */
} heed_tensor;

#endif
