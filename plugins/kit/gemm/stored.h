/* SPDX-License-Identifier: MIT
 *
 * heed/kit/gemm/stored.h: how packed weights are stored, and how 16 of them become float32. A part of
 * kit/gemm/gemm.h.
 *
 *     float32, float16, bfloat16   as they were given: nothing is lost, so the bits are those of float32;
 *                                  of 16 bits whose rows are long nothing is stored (kit/gemm/rows.h)
 *     int8                         w = scale q, one scale for each output, its largest weight / 127; the sum
 *                                  is made of q, and its scale comes after the last link
 *     int4                         w = scale q, q from -8 to 7, a float16 scale for each 32 weights of an
 *                                  output: the one that is farthest from 0 is -8 of them (as Q4_0 of
 *                                  GGUF). Here the product scale q, which float32 holds, is the weight
 *     Q8_0                         the same with q from -127 to 127, as Q8_0 of GGUF has it. Weights that
 *                                  are given as Q8_0 or Q4_0 are only laid out anew
 *
 * A panel has a line of 16 outputs for each k, as gemm.h says, and its length is an odd number of cache
 * lines, so that panels side by side do not meet in one set of a cache. An int4 panel is blocks of 32
 * lines, with the 16 scales of these lines in front of each block, and so is one of Q8_0. An int4 line has
 * 8 bytes, and byte l holds output l in its lower half and output l + 8 in its upper half:
 *
 *     | 16 scales | line 0 | line 1 | ... | line 31 | 16 scales | line 32 | ...
 */
#include <heed/kit.h>
#include <heed/kit/core/blocks.h>

#ifndef HEED_KIT_STORED_ONCE
#define HEED_KIT_STORED_ONCE

enum {
    KIT_STORED_F32,
    KIT_STORED_F16,
    KIT_STORED_BF16,
    KIT_STORED_I8,
    KIT_STORED_I4,
    KIT_STORED_Q8,
    /* not at all: they are read where they were given (kit/gemm/rows.h) */
    KIT_STORED_ROWS_F16,
    KIT_STORED_ROWS_BF16
};
enum { KIT_STORED_BLOCK = HEED_BLOCK, KIT_STORED_SCALES = 32 }; /* bytes of the scales of a block */

/* Links of a row that is read in place: 4 KiB, so that 16 rows side by side are 16 streams in as many
 * pages, which processors fetch ahead. Shorter rows are read a quarter to a half slower than packed ones. */
enum { KIT_STORED_ROWS_DEPTH = 2048 };

/* Whether a panel is blocks of lines; and whether there are no panels. */
KIT_INLINE int kit_stored_blocks(uint32_t stored)
{
    return stored == KIT_STORED_I4 || stored == KIT_STORED_Q8;
}
KIT_INLINE int kit_stored_in_place(uint32_t stored) { return stored >= KIT_STORED_ROWS_F16; }

#define KIT_WEIGHTS_PARAM                                                                          \
    KIT_CHOICE("weights", KIT_WEIGHTS_GIVEN, "given|int8|int4",                                    \
               "how they are stored: given: as they are; int8: a scale for each output; int4: "    \
               "one for each 32 of an output's weights")
enum { KIT_WEIGHTS_GIVEN, KIT_WEIGHTS_INT8, KIT_WEIGHTS_INT4 };

/* How weights of up to two tensors are stored together, for a choice of KIT_WEIGHTS_PARAM. */
KIT_INLINE uint32_t kit_stored_as(int64_t choice, const heed_tensor *a, const heed_tensor *b)
{
    if (choice == KIT_WEIGHTS_INT8) return KIT_STORED_I8;
    if (choice == KIT_WEIGHTS_INT4) return KIT_STORED_I4;
    if (b && b->dtype != a->dtype) return KIT_STORED_F32;
    const int whole =
        a->stride[1] == 1 && (!b || b->stride[1] == 1) && a->dim[1] >= KIT_STORED_ROWS_DEPTH;
    return a->dtype == HEED_F16    ? (whole ? KIT_STORED_ROWS_F16 : KIT_STORED_F16)
           : a->dtype == HEED_BF16 ? (whole ? KIT_STORED_ROWS_BF16 : KIT_STORED_BF16)
           : a->dtype == HEED_Q8_0 ? KIT_STORED_Q8
           : a->dtype == HEED_Q4_0 ? KIT_STORED_I4
                                   : KIT_STORED_F32;
}

/* Bytes of a weight, times 2; without scales. */
KIT_INLINE int64_t kit_stored_halves(uint32_t stored)
{
    return stored == KIT_STORED_F32                             ? 8
           : stored == KIT_STORED_I8 || stored == KIT_STORED_Q8 ? 2
           : stored == KIT_STORED_I4                            ? 1
                                                                : 4;
}
KIT_INLINE int64_t kit_stored_block_bytes(uint32_t stored)
{
    return KIT_STORED_SCALES + 8 * KIT_STORED_BLOCK * kit_stored_halves(stored);
}

/* Floats from panel to panel. */
KIT_INLINE int64_t kit_stored_stride(uint32_t stored, int64_t depth)
{
    if (kit_stored_in_place(stored)) return 0;
    const int64_t bytes =
        kit_stored_blocks(stored)
            ? (depth + KIT_STORED_BLOCK - 1) / KIT_STORED_BLOCK * kit_stored_block_bytes(stored)
            : 8 * depth * kit_stored_halves(stored);
    return 16 * (((bytes + 63) / 64) | 1);
}

/* Where line k of a panel is, or its block. */
KIT_INLINE const char *kit_stored_line(uint32_t stored, const float *panel, int64_t k)
{
    return (const char *)panel + (kit_stored_blocks(stored)
                                      ? k / KIT_STORED_BLOCK * kit_stored_block_bytes(stored)
                                      : 8 * k * kit_stored_halves(stored));
}

/* ---- packing ---- */

/* The weights of one output, where they were given. */
typedef struct kit_output {
    const char *at;
    uint32_t dtype;
    int64_t stride, depth;
} kit_output;

KIT_INLINE kit_output kit_output_of(const heed_tensor *w, int64_t n)
{
    const int64_t block = kit_block_bytes(w->dtype), at = n * w->stride[0];
    return (kit_output){(const char *)w->data +
                            (block ? at / HEED_BLOCK * block : at * kit_width(w->dtype)),
                        w->dtype, w->stride[1], w->dim[1]};
}

/* Some of them, from the k-th on, a multiple of KIT_STORED_BLOCK, as float32: how many, at most so many. */
static __attribute__((unused)) int64_t kit_output_read(const kit_output *w, int64_t k, float *to)
{
    const int64_t n = w->depth - k < KIT_STORED_BLOCK ? w->depth - k : KIT_STORED_BLOCK;
    if (kit_block_bytes(w->dtype)) kit_block_read(to, w->at, w->dtype, k, n);
    else kit_read_row(to, w->at + k * w->stride * kit_width(w->dtype), w->dtype, w->stride, n);
    return n;
}

/* The scale of numbers up to `most`, rounded so that 127 of it are a finite number. */
KIT_INLINE float kit_int8_scale(float most)
{
    const float scale = most / 127;
    return scale * 127 <= FLT_MAX ? scale : kit_float(kit_bits(scale) - 1);
}

/* To lane l of a panel, and the scale. What shares a scale with a weight that is no finite number is NaN. */
static __attribute__((unused)) void kit_store_int8(int8_t *panel, int l, const kit_output *w,
                                                   float *scale)
{
    float x[KIT_STORED_BLOCK], most = 0;
    int finite = 1;
    for (int64_t k = 0; k < w->depth; k += KIT_STORED_BLOCK)
        for (int64_t i = 0, n = kit_output_read(w, k, x); i < n; i++) {
            const float size = fabsf(x[i]);
            finite &= size <= FLT_MAX;
            if (size > most) most = size;
        }
    *scale = finite ? kit_int8_scale(most) : NAN;
    for (int64_t k = 0; finite && *scale > 0 && k < w->depth; k += KIT_STORED_BLOCK)
        for (int64_t i = 0, n = kit_output_read(w, k, x); i < n; i++) {
            const float q = rintf(x[i] / *scale); /* beyond 127 where the scale lost digits */
            panel[16 * (k + i) + l] = (int8_t)(q > 127 ? 127 : q < -127 ? -127 : q);
        }
}

static __attribute__((unused)) void kit_store_int4(char *panel, int l, const kit_output *w)
{
    float x[KIT_STORED_BLOCK];
    for (int64_t k = 0; k < w->depth; k += KIT_STORED_BLOCK) {
        const int64_t n = kit_output_read(w, k, x);
        uint16_t *scale = (uint16_t *)(void *)panel + l;
        uint8_t *lines = (uint8_t *)panel + 32 + (l & 7);
        float most = 0;
        int finite = 1;
        for (int64_t i = 0; i < n; i++) {
            finite &= fabsf(x[i]) <= FLT_MAX;
            if (fabsf(x[i]) > fabsf(most)) most = x[i];
        }
        if (fabsf(most) > 8 * 65504.0f) most = most < 0 ? -8 * 65504.0f : 8 * 65504.0f;
        *scale = finite ? kit_to_f16(most / -8) : 0x7e00; /* a NaN */
        const float unit = kit_from_f16(*scale);
        for (int64_t i = 0; i < n; i++) {
            float q = finite && unit != 0 ? rintf(x[i] / unit) : 0;
            q = q < -8 ? -8 : q > 7 ? 7 : q;
            lines[8 * i] = (uint8_t)(lines[8 * i] | (unsigned)((int)q + 8) << (l < 8 ? 0 : 4));
        }
        panel += kit_stored_block_bytes(KIT_STORED_I4);
    }
}

/* Q8_0 and Q4_0 as they are. */
static __attribute__((unused)) void kit_store_blocks(uint32_t stored, char *panel, int l,
                                                     const kit_output *w)
{
    const char *from = w->at;
    for (int64_t k = 0; k < w->depth; k += KIT_STORED_BLOCK) {
        const uint16_t scale = kit_block_scale(from);
        memcpy(panel + 2 * l, &scale, sizeof scale);
        uint8_t *lines = (uint8_t *)panel + KIT_STORED_SCALES;
        for (int i = 0; i < KIT_STORED_BLOCK; i++) {
            const int q = kit_block_number(from, w->dtype, i);
            if (stored == KIT_STORED_Q8) lines[16 * i + l] = (uint8_t)q;
            else lines[8 * i + (l & 7)] |= (uint8_t)((q + 8) << (l < 8 ? 0 : 4));
        }
        panel += kit_stored_block_bytes(stored), from += kit_block_bytes(w->dtype);
    }
}
#endif

/* 16 weights of a line as float32; of integers without their scale. */
KIT_INLINE vf KIT(kit_stored_load)(int stored, const char *line)
{
    const void *at = line;
    if (stored == KIT_STORED_F32) return v_load(at);
    if (stored == KIT_STORED_F16) return v_load_f16(at);
    if (stored == KIT_STORED_BF16) return v_load_bf16(at);
#if defined KIT_AVX512 || defined KIT_AVX2
    __m128i q;
    if (stored != KIT_STORED_I4) q = _mm_loadu_si128(at);
    else {
        const __m128i both = _mm_loadl_epi64(at), low = _mm_set1_epi8(15);
        q = _mm_unpacklo_epi64(_mm_and_si128(both, low),
                               _mm_and_si128(_mm_srli_epi16(both, 4), low));
        q = _mm_sub_epi8(q, _mm_set1_epi8(8));
    }
#if defined KIT_AVX512
    return _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(q));
#else
    return (vf){_mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(q)),
                _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_srli_si128(q, 8)))};
#endif
#elif defined KIT_NEON
    int8x16_t q;
    if (stored != KIT_STORED_I4) q = vld1q_s8(at);
    else {
        const uint8x8_t both = vld1_u8(at);
        q = vreinterpretq_s8_u8(vcombine_u8(vand_u8(both, vdup_n_u8(15)), vshr_n_u8(both, 4)));
        q = vsubq_s8(q, vdupq_n_s8(8));
    }
    const int16x8_t a = vmovl_s8(vget_low_s8(q)), b = vmovl_s8(vget_high_s8(q));
    vf x;
    x.val[0] = vcvtq_f32_s32(vmovl_s16(vget_low_s16(a)));
    x.val[1] = vcvtq_f32_s32(vmovl_s16(vget_high_s16(a)));
    x.val[2] = vcvtq_f32_s32(vmovl_s16(vget_low_s16(b)));
    x.val[3] = vcvtq_f32_s32(vmovl_s16(vget_high_s16(b)));
    return x;
#else
    const uint8_t *u = at;
    float x[16];
    for (int l = 0; l < 16; l++)
        x[l] = stored != KIT_STORED_I4 ? (float)((const int8_t *)at)[l]
                                       : (float)((u[l & 7] >> (l < 8 ? 0 : 4) & 15) - 8);
    return v_load(x);
#endif
}

/* Lines [k, k + n) of a panel, as a panel of float32; of int8 without their scale. */
static __attribute__((unused)) void KIT(kit_stored_unpack)(uint32_t stored, const float *panel,
                                                           int64_t k, int64_t n, float *to)
{
    for (int64_t i = k; i < k + n; i++, to += 16) {
        const char *line = kit_stored_line(stored, panel, i);
        if (!kit_stored_blocks(stored)) {
            v_store(to, KIT(kit_stored_load)((int)stored, line));
            continue;
        }
        const vf q = KIT(kit_stored_load)((int)stored,
                                          line + KIT_STORED_SCALES +
                                              i % KIT_STORED_BLOCK * 8 * kit_stored_halves(stored));
        v_store(to, v_mul(v_load_f16((const uint16_t *)(const void *)line), q));
    }
}
