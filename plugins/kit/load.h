/* SPDX-License-Identifier: MIT
 *
 * heed/kit/load.h: rows of f32, f16 and bf16 to lanes and back.
 */
#if (defined KIT_SCALAR && !defined HEED_KIT_LOAD_SCALAR) || (defined KIT_AVX2 && !defined HEED_KIT_LOAD_AVX2) ||        \
    (defined KIT_AVX512 && !defined HEED_KIT_LOAD_AVX512) || (defined KIT_NEON && !defined HEED_KIT_LOAD_NEON)
#if defined KIT_SCALAR
#define HEED_KIT_LOAD_SCALAR
#elif defined KIT_AVX2
#define HEED_KIT_LOAD_AVX2
#elif defined KIT_AVX512
#define HEED_KIT_LOAD_AVX512
#else
#define HEED_KIT_LOAD_NEON
#endif

KIT_INLINE vf v_load_bf16(const uint16_t *p)
{
    float f[16];
    for (int l = 0; l < 16; l++) f[l] = kit_from_bf16(p[l]);
    return v_load(f);
}
KIT_INLINE void v_store_bf16(uint16_t *p, vf x)
{
    float f[16];
    v_store(f, x);
    for (int l = 0; l < 16; l++) p[l] = kit_to_bf16(f[l]);
}

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
    if (stride == 1 && dtype == HEED_F32) { if (n == 16) v_store(p, x); else v_store_n(p, x, n); return; }
    if (stride == 1 && n == 16) { if (dtype == HEED_F16) v_store_f16(p, x); else v_store_bf16(p, x); return; }
    float f[16];
    v_store(f, x);
    for (int l = 0; l < n; l++) {
        if (dtype == HEED_F32) ((float *)p)[l * stride] = f[l];
        else ((uint16_t *)p)[l * stride] = dtype == HEED_F16 ? kit_to_f16(f[l]) : kit_to_bf16(f[l]);
    }
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
KIT_INLINE void kit_write_row(void *dst, uint32_t dtype, int64_t stride, const float *src, int64_t n)
{
    int64_t step = stride * kit_width(dtype);
    for (int64_t i = 0; i < n; i += 16) {
        int m = n - i < 16 ? (int)(n - i) : 16;
        v_write((char *)dst + i * step, dtype, stride, m == 16 ? v_load(src + i) : v_load_n(src + i, m), m);
    }
}

#endif
