/* SPDX-License-Identifier: MIT
 *
 * dlpack.c: tensors to and from DLPack without a copy, since that is what PyTorch, NumPy and JAX speak. The layouts are
 * those of DLPack's C header (dmlc/dlpack, version 0.8 and, for the versioned struct, 1.0).
 */
#include <stdlib.h>
#include <string.h>

#include "base/error.h"

enum { DEVICE_CPU = 1 };
enum { CODE_INT = 0, CODE_UINT = 1, CODE_FLOAT = 2, CODE_BFLOAT = 4 };

typedef struct dl_tensor {
    void *data;
    struct { int32_t type, id; } device;
    int32_t ndim;
    struct { uint8_t code, bits; uint16_t lanes; } dtype;
    int64_t *shape, *strides; /* strides NULL: contiguous */
    uint64_t byte_offset;
} dl_tensor;

typedef struct dl_managed {
    dl_tensor tensor;
    void *context;
    void (*deleter)(struct dl_managed *self);
} dl_managed;

static const struct { uint8_t code, bits;
} dtypes[HEED_DTYPES] = {
    [HEED_F32] = {CODE_FLOAT, 32}, [HEED_F16] = {CODE_FLOAT, 16}, [HEED_BF16] = {CODE_BFLOAT, 16},
    [HEED_I8] = {CODE_INT, 8},     [HEED_U8] = {CODE_UINT, 8},    [HEED_I32] = {CODE_INT, 32},
    [HEED_I64] = {CODE_INT, 64},   [HEED_F64] = {CODE_FLOAT, 64},
};

int32_t heed_dlpack_view(const void *dltensor, heed_tensor *tensor, heed_error *error)
{
    const dl_tensor *d = dltensor;
    if (d->device.type != DEVICE_CPU)
        return error_set(error, HEED_E_UNSUPPORTED, "DLPack: the tensor is on device type %d, not on the CPU (1)",
                         d->device.type);
    if (d->ndim < 0 || d->ndim > HEED_MAX_RANK)
        return error_set(error, HEED_E_UNSUPPORTED, "DLPack: the tensor has %d axes; up to %d are taken", d->ndim,
                         HEED_MAX_RANK);
    uint32_t dtype = 0;
    while (dtype < HEED_DTYPES && (dtypes[dtype].code != d->dtype.code || dtypes[dtype].bits != d->dtype.bits)) dtype++;
    if (dtype == HEED_DTYPES || d->dtype.lanes != 1)
        return error_set(error, HEED_E_UNSUPPORTED, "DLPack: dtype code %u of %u bits and %u lanes is not taken",
                         d->dtype.code, d->dtype.bits, d->dtype.lanes);
    heed_tensor t = heed_tensor_of((char *)d->data + d->byte_offset, dtype, d->ndim, d->shape);
    if (heed_tensor_elements(&t) < 0)
        return error_set(error, HEED_E_SHAPE, "DLPack: a size is negative, or the sizes overflow");
    int64_t last = 0;
    for (int i = 0; d->strides && i < d->ndim; i++) {
        int64_t reach;
        t.stride[i] = d->strides[i];
        if (d->strides[i] < 0)
            return error_set(error, HEED_E_UNSUPPORTED,
                             "DLPack: stride %lld of axis %d is negative; strides are 0 or more",
                             (long long)d->strides[i], i);
        if (d->shape[i] > 0 && (__builtin_mul_overflow(d->shape[i] - 1, d->strides[i], &reach) ||
                                __builtin_add_overflow(last, reach, &last) || last > INT64_MAX / 8 - 1))
            return error_set(error, HEED_E_SHAPE, "DLPack: sizes times strides overflow");
    }
    if (d->strides && heed_tensor_elements(&t) > 0)
        t.bytes = (uint64_t)(last + 1) * heed_dtype_bytes(dtype); /* DLPack does not say; its maker vouches */
    *tensor = t;
    return HEED_OK;
}

/* What a managed tensor owns besides the data. */
typedef struct exported {
    dl_managed managed;
    int64_t shape[HEED_MAX_RANK], strides[HEED_MAX_RANK];
    void (*release)(void *owner);
} exported;

static void delete_exported(dl_managed *self)
{
    exported *e = (exported *)self;
    if (e->release) e->release(e->managed.context);
    free(e);
}

void *heed_dlpack_export(const heed_tensor *t, void *owner, void (*release)(void *owner), heed_error *error)
{
    exported *e = calloc(1, sizeof *e);
    if (!e) { error_memory(error); return NULL; }
    memcpy(e->shape, t->dim, sizeof e->shape);
    memcpy(e->strides, t->stride, sizeof e->strides);
    e->release = release;
    e->managed.context = owner;
    e->managed.deleter = delete_exported;
    e->managed.tensor = (dl_tensor){
        .data = t->data, .device = {DEVICE_CPU, 0}, .ndim = t->rank, .shape = e->shape, .strides = e->strides};
    e->managed.tensor.dtype.code = dtypes[t->dtype].code;
    e->managed.tensor.dtype.bits = dtypes[t->dtype].bits;
    e->managed.tensor.dtype.lanes = 1;
    return &e->managed;
}
