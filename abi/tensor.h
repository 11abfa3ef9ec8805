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
#define HEED_BIT(dtype) (1u << (dtype)) /* for sets of dtypes */

typedef struct heed_tensor {
    uint32_t size;
    uint32_t dtype;
    int32_t rank;
    uint32_t flags; /* 0 */
    void *data;     /* element 0; NULL while only shapes are asked about */
    uint64_t bytes; /* valid bytes from data on */
    int64_t dim[HEED_MAX_RANK];
    int64_t stride[HEED_MAX_RANK]; /* in elements */
} heed_tensor;

#endif
