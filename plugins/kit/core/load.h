/* SPDX-License-Identifier: MIT
 *
 * heed/kit/core/load.h: rows of f32, f16 and bf16 to lanes and back.
 *
 * A row of a large output goes around the caches (kit_streams, kit_put_row): an ordinary store
 * reads the line first, which is a third of the traffic, and throws out another. A kernel computes
 * up to KIT_PIECE floats into memory that stays in the first-level cache, and kit_put_row writes
 * them where they belong.
 */
#ifndef KIT_HAS_LOAD
#define KIT_HAS_LOAD
#include <heed/kit/core/plugin.h>
#include <heed/kit/core/vec.h>

/* The n <= 16 elements p, p + stride, ... of a float dtype; the other lanes are 0. */
KIT_INLINE vf v_read(const void *p, uint32_t dtype, int64_t stride, int n)
{
    if (stride == 1 && dtype == HEED_F32) return n == 16 ? v_load(p) : v_load_n(p, n);
    if (stride == 1 && n == 16) return dtype == HEED_F16 ? v_load_f16(p) : v_load_bf16(p);
    float f[16] = {0};
    for (int l = 0; l < n; l++)
        f[l] = dtype == HEED_F32   ? ((const float *)p)[l * stride]
               : dtype == HEED_F16 ? kit_from_f16(((const uint16_t *)p)[l * stride])
                                   : kit_from_bf16(((const uint16_t *)p)[l * stride]);
    return v_load(f);
}
KIT_INLINE void v_write(void *p, uint32_t dtype, int64_t stride, vf x, int n)
{
    if (stride == 1 && dtype == HEED_F32) {
        if (n == 16) v_store(p, x);
        else v_store_n(p, x, n);
        return;
    }
    if (stride == 1 && n == 16) {
        if (dtype == HEED_F16) v_store_f16(p, x);
        else v_store_bf16(p, x);
        return;
    }
    float f[16];
    v_store(f, x);
    for (int l = 0; l < n; l++) {
        if (dtype == HEED_F32) ((float *)p)[l * stride] = f[l];
        else ((uint16_t *)p)[l * stride] = dtype == HEED_F16 ? kit_to_f16(f[l]) : kit_to_bf16(f[l]);
    }
}

/* The elements of a tensor from `index` (of all axes) on, along its last axis, 16 at most; the
 * other lanes are 0. */
KIT_INLINE vf v_get(const heed_tensor *t, const int64_t *index)
{
    const int64_t n = t->dim[t->rank - 1] - index[t->rank - 1];
    return v_read(kit_at(t, index, t->rank), t->dtype, t->stride[t->rank - 1],
                  n < 16 ? (int)n : 16);
}
KIT_INLINE void v_put(const heed_tensor *t, const int64_t *index, vf x)
{
    const int64_t n = t->dim[t->rank - 1] - index[t->rank - 1];
    v_write(kit_at(t, index, t->rank), t->dtype, t->stride[t->rank - 1], x, n < 16 ? (int)n : 16);
}

/* Whole rows, of any length. */
KIT_INLINE void kit_read_row(float *dst, const void *src, uint32_t dtype, int64_t stride, int64_t n)
{
    int64_t step = stride * kit_width(dtype), i = 0;
    if (stride == 1 && dtype == HEED_F16)
        for (; i + 16 <= n; i += 16) v_store(dst + i, v_load_f16((const uint16_t *)src + i));
    if (stride == 1 && dtype == HEED_BF16)
        for (; i + 16 <= n; i += 16) v_store(dst + i, v_load_bf16((const uint16_t *)src + i));
    for (; i < n; i += 16) {
        int m = n - i < 16 ? (int)(n - i) : 16;
        vf x = v_read((const char *)src + i * step, dtype, stride, m);
        if (m == 16) v_store(dst + i, x); else v_store_n(dst + i, x, m);
    }
}
KIT_INLINE void kit_write_row(void *dst, uint32_t dtype, int64_t stride, const float *src,
                              int64_t n)
{
    int64_t step = stride * kit_width(dtype);
    for (int64_t i = 0; i < n; i += 16) {
        int m = n - i < 16 ? (int)(n - i) : 16;
        v_write((char *)dst + i * step, dtype, stride,
                m == 16 ? v_load(src + i) : v_load_n(src + i, m), m);
    }
}

/* A row and another one, summed in float32. */
KIT_INLINE void kit_add_row(float *dst, const void *x, uint32_t x_dtype, int64_t x_stride,
                            const void *y, uint32_t y_dtype, int64_t y_stride, int64_t n)
{
    int64_t xs = x_stride * kit_width(x_dtype), ys = y_stride * kit_width(y_dtype), i = 0;
    if (x_dtype == HEED_F32 && x_stride == 1 && y_dtype == HEED_F32 && y_stride == 1)
        for (; i + 16 <= n; i += 16)
            v_store(dst + i, v_add(v_load((const float *)x + i), v_load((const float *)y + i)));
    for (; i < n; i += 16) {
        int m = n - i < 16 ? (int)(n - i) : 16;
        v_write(dst + i, HEED_F32, 1,
                v_add(v_read((const char *)x + i * xs, x_dtype, x_stride, m),
                      v_read((const char *)y + i * ys, y_dtype, y_stride, m)),
                m);
    }
}

/* Around the caches: whole lines; what stands before the first and after the last of them by
 * ordinary stores. */
KIT_INLINE void kit_stream_row(float *dst, const float *src, int64_t n)
{
    int64_t i = (16 - kit_past_line(dst)) % 16;
    if (i > n) i = n;
    if (i)
        v_store_n(dst, v_load_n(src, (int)i),
                  (int)i); /* not of 0 floats: that too would fetch the line */
    for (; i + 16 <= n; i += 16) v_stream(dst + i, v_load(src + i));
    if (i < n) v_store_n(dst + i, v_load_n(src + i, (int)(n - i)), (int)(n - i));
}

/* A row, or a piece of one, to a tensor: `streams` is kit_streams(t). */
KIT_INLINE void kit_put_row(const heed_tensor *t, void *dst, const float *src, int64_t n,
                            int streams)
{
    if (streams) kit_stream_row(dst, src, n);
    else kit_write_row(dst, t->dtype, t->stride[t->rank - 1], src, n);
}

#endif
