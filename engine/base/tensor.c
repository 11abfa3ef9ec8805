/* SPDX-License-Identifier: MIT
 *
 * tensor.c: dtypes, and contiguous tensors made from a shape.
 *
 * A block of HEED_Q8_0 or HEED_Q4_0 has HEED_BLOCK elements of a row, so a row is whole blocks; strides count
 * elements all the same.
 *
 * Not for elements (plugins touch those) nor for checks against a port (bind.c). The invariant: a shape counts as one
 * only if its bytes fit int64_t even with each 0 taken as 1, so that every stride and offset in it fits too. For one
 * that does not, heed_tensor_of leaves bytes and strides 0, and heed_tensor_elements says -1.
 */
#include "base/error.h"
#include "base/tensor.h"

#include <stdlib.h>
#include <string.h>

static const struct {
    char name[5];
    uint8_t bytes;
} dtypes[HEED_DTYPES] = {
    [HEED_F32] = {"f32", 4}, [HEED_F16] = {"f16", 2}, [HEED_BF16] = {"bf16", 2}, [HEED_I8] = {"i8", 1},
    [HEED_U8] = {"u8", 1},   [HEED_I32] = {"i32", 4}, [HEED_I64] = {"i64", 8},   [HEED_F64] = {"f64", 8},
};

/* Those of blocks, from HEED_Q8_0 on: the bytes of one. */
static const struct {
    char name[5];
    uint8_t bytes;
} blocks[] = {[HEED_Q8_0 - HEED_Q8_0] = {"q8_0", 34}, [HEED_Q4_0 - HEED_Q8_0] = {"q4_0", 18}};

uint32_t tensor_block_bytes(uint32_t dtype)
{
    return dtype - HEED_Q8_0 < sizeof blocks / sizeof *blocks ? blocks[dtype - HEED_Q8_0].bytes : 0;
}

const char *heed_dtype_name(uint32_t dtype)
{
    return dtype < HEED_DTYPES         ? dtypes[dtype].name
           : tensor_block_bytes(dtype) ? blocks[dtype - HEED_Q8_0].name
                                       : "?";
}

uint32_t heed_dtype_bytes(uint32_t dtype)
{
    return dtype < HEED_DTYPES ? dtypes[dtype].bytes : 0;
}

int64_t heed_tensor_elements(const heed_tensor *tensor)
{
    const int is_block = tensor_block_bytes(tensor->dtype) > 0;
    if (tensor->rank < is_block || tensor->rank > HEED_MAX_RANK ||
        (tensor->dtype >= HEED_DTYPES && !is_block))
        return -1;
    if (is_block && tensor->dim[tensor->rank - 1] % HEED_BLOCK) return -1;
    int64_t span = is_block ? 2 : dtypes[tensor->dtype].bytes,
            elements = 1; /* span: in bytes, each 0 taken as 1 */
    for (int32_t i = 0; i < tensor->rank; i++) {
        int64_t dim = tensor->dim[i];
        if (dim < 0 || __builtin_mul_overflow(span, dim ? dim : 1, &span)) return -1;
        elements *= dim;
    }
    return elements;
}

heed_tensor heed_tensor_of(void *data, uint32_t dtype, int32_t rank, const int64_t *dim)
{
    heed_tensor t = {.size = sizeof t, .dtype = dtype, .rank = rank, .data = data};
    if (rank > 0 && rank <= HEED_MAX_RANK) memcpy(t.dim, dim, (size_t)rank * sizeof *dim);
    int64_t elements = heed_tensor_elements(&t);
    if (elements < 0) return t;
    t.bytes = dtype < HEED_DTYPES ? (uint64_t)elements * dtypes[dtype].bytes
                                  : (uint64_t)elements / HEED_BLOCK * tensor_block_bytes(dtype);
    int64_t stride = 1;
    for (int32_t i = rank - 1; i >= 0; i--) {
        t.stride[i] = stride;
        stride *= dim[i] ? dim[i] : 1;
    }
    return t;
}

int32_t heed_tensor_alloc(heed_tensor *tensor, heed_error *error)
{
    if (heed_tensor_elements(tensor) < 0)
        return error_set(error, HEED_E_SHAPE, "no memory can hold a tensor of this shape: rank %d, dtype %s",
                         (int)tensor->rank, heed_dtype_name(tensor->dtype));
    heed_tensor made = heed_tensor_of(NULL, tensor->dtype, tensor->rank, tensor->dim);
    uint64_t room = (made.bytes + !made.bytes + 63) & ~(uint64_t)63; /* never 0: NULL would mean "shapes only" */
    made.data = room <= SIZE_MAX ? aligned_alloc(64, (size_t)room) : NULL;
    if (!made.data) return error_memory(error);
    memset(made.data, 0, (size_t)room);
    *tensor = made;
    return HEED_OK;
}
