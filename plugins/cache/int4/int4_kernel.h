/* SPDX-License-Identifier: MIT
 *
 * cache/int4, the maths. 32 channels of a row, a group, have one scale, in bfloat16, which has the
 * range of float32: the number of the group that is farthest from 0 is -8 scale, and
 *
 *     x = scale q,   q an integer from -8 to 7, kept as q + 8
 *
 * 8 numbers are a word, and 16 words side by side are one vector, from which every path takes 16
 * numbers by a shift. In a block of keys the lanes are rows, and the 8 numbers of a word are
 * channels; in one of values the lanes are channels, and the 8 are rows:
 *
 *     keys      scale [groups of 32 channels][rows]     word [channels / 8][rows]
 *     values    scale [rows][groups of 32 channels]     word [rows / 8][channels, up to a multiple of 16]
 *
 * A few channels of keys are often far larger than the others, and would make the scale of all.
 * So keys are rotated, which spreads what is large: in runs of n channels, the largest power of two
 * that divides the width, they are multiplied with the Hadamard matrix of -1s and 1s. H H = n, so
 * that (H q) . (H k / n) is q . k: queries are rotated too (`rotate`), and nothing is rotated back.
 *
 * A group with an infinity or a NaN is NaN as a whole.
 */
#include <heed/kit.h>
#include <heed/abi/kv.h>

#ifdef KIT_FIRST
#define INT4_GROUP 32
#define INT4_SHIFTER 0x1.8p23f /* added and taken off, rounds to an integer, ties to even */
#define INT4_RUN_MOST 256      /* channels of a run; a multiple of a group */

KIT_INLINE int64_t int4_groups(int64_t width) { return (width + INT4_GROUP - 1) / INT4_GROUP; }

static uint64_t int4_bytes(const void *instance, int64_t rows, int64_t width, uint32_t by_channels)
{
    (void)instance;
    const int64_t words = by_channels ? (width + 7) / 8 * rows : (rows + 7) / 8 * kit_lanes(width);
    return sizeof(uint16_t) * (uint64_t)(rows * int4_groups(width)) +
           sizeof(uint32_t) * (uint64_t)words;
}

/* The channels that are rotated together. */
KIT_INLINE int64_t int4_run(int64_t width)
{
    const int64_t n = width & -width;
    return n < INT4_RUN_MOST ? n : INT4_RUN_MOST;
}

/* H x / n of n numbers. Each step halves, so that nothing overflows. */
static void int4_rotate_row(float *x, int64_t n)
{
    for (int64_t half = 1; half < n; half *= 2)
        for (int64_t i = 0; i < n; i += 2 * half)
            for (int64_t j = i; j < i + half; j++) {
                const float a = 0.5f * x[j], b = 0.5f * x[j + half];
                x[j] = a + b, x[j + half] = a - b;
            }
}

/* The scale of up to 32 numbers, rounded so that 8 of it are a finite number. */
static uint16_t int4_scale(const float *x, int64_t n)
{
    float most = 0;
    for (int64_t i = 0; i < n; i++) {
        if (!(fabsf(x[i]) <= FLT_MAX)) return kit_to_bf16(NAN);
        if (fabsf(x[i]) > fabsf(most)) most = x[i];
    }
    const uint16_t scale = kit_to_bf16(most / -8);
    return (uint16_t)(fabsf(8 * kit_from_bf16(scale)) <= FLT_MAX ? scale : scale - 1);
}

/* q + 8. */
KIT_INLINE uint32_t int4_code(float x, float scale)
{
    float q = scale != 0 && scale == scale ? x / scale : 0;
    q = q < -8 ? -8 : q > 7 ? 7 : q;
    return (uint32_t)(int32_t)((q + INT4_SHIFTER) - INT4_SHIFTER + 8);
}

/* A row of a block, of which x has the channels [c, c + n), as they are stored. */
static void int4_store(const heed_kv_block *to, int64_t row, int64_t c, int64_t n, const float *x)
{
    const int64_t groups = int4_groups(to->width), lanes = kit_lanes(to->width);
    uint16_t *scales = to->data;
    uint32_t *words = (uint32_t *)(void *)(scales + to->rows * groups);
    for (int64_t i = 0; i < n; i += INT4_GROUP) {
        const int64_t group = (c + i) / INT4_GROUP, count = n - i < INT4_GROUP ? n - i : INT4_GROUP;
        uint16_t *scale =
            scales + (to->by_channels ? group * to->rows + row : row * groups + group);
        *scale = int4_scale(x + i, count);
        for (int64_t j = i; j < i + count; j++) {
            const int64_t at = c + j, shift = 4 * ((to->by_channels ? at : row) & 7);
            uint32_t *word =
                words + (to->by_channels ? at / 8 * to->rows + row : row / 8 * lanes + at);
            *word = (*word & ~((uint32_t)15 << shift)) | int4_code(x[j], kit_from_bf16(*scale))
                                                             << shift;
        }
    }
}

static void int4_encode(const void *instance, const heed_kv_block *to, int64_t first, int64_t count,
                        const float *from, int64_t step)
{
    (void)instance;
    const int64_t run = int4_run(to->width);
    float x[INT4_RUN_MOST];
    for (int64_t i = 0; i < count; i++)
        for (int64_t c = 0; c < to->width; c += INT4_RUN_MOST) {
            const int64_t left = to->width - c, n = left < INT4_RUN_MOST ? left : INT4_RUN_MOST;
            memcpy(x, from + i * step + c, sizeof *x * (size_t)n);
            for (int64_t at = 0; at < n && to->by_channels; at += run) int4_rotate_row(x + at, run);
            int4_store(to, first + i, c, n, x);
        }
}
#endif

#ifdef KIT_AVX2
KIT_INLINE __m256 KIT(int4_half)(const uint32_t *word, int at)
{
    const __m256i w = _mm256_loadu_si256((const __m256i *)(const void *)word),
                  q = _mm256_and_si256(_mm256_srl_epi32(w, _mm_cvtsi32_si128(at)),
                                       _mm256_set1_epi32(15));
    return _mm256_cvtepi32_ps(_mm256_sub_epi32(q, _mm256_set1_epi32(8)));
}
#endif
#ifdef KIT_AVX512
/* Of 16 words the numbers that begin at bit `at`, looked up. */
KIT_INLINE vf KIT(int4_find)(const uint32_t *word, int at, vf of)
{
    return _mm512_permutexvar_ps(_mm512_srlv_epi32(_mm512_loadu_si512(word), _mm512_set1_epi32(at)),
                                 of);
}
KIT_INLINE vf KIT(int4_all)(void)
{
    return _mm512_setr_ps(-8, -7, -6, -5, -4, -3, -2, -1, 0, 1, 2, 3, 4, 5, 6, 7);
}
#endif
/* Of 16 words the numbers that begin at bit `at`, as float32. */
KIT_INLINE vf KIT(int4_numbers)(const uint32_t *word, int at)
{
#if defined KIT_AVX512
    return KIT(int4_find)(word, at, KIT(int4_all)());
#elif defined KIT_AVX2
    return (vf){KIT(int4_half)(word, at), KIT(int4_half)(word + 8, at)};
#elif defined KIT_NEON
    vf x;
    KIT_UNROLL for (int i = 0; i < 4; i++)
    {
        const uint32x4_t w = vshlq_u32(vld1q_u32(word + 4 * i), vdupq_n_s32(-at));
        x.val[i] = vcvtq_f32_s32(
            vsubq_s32(vreinterpretq_s32_u32(vandq_u32(w, vdupq_n_u32(15))), vdupq_n_s32(8)));
    }
    return x;
#else
    float x[16];
    for (int l = 0; l < 16; l++) x[l] = (float)((int)(word[l] >> at & 15) - 8);
    return v_load(x);
#endif
}

/* The same times one scale. A product of 8 bits and 4 is exact, so it may come first. */
KIT_INLINE vf KIT(int4_scaled)(const uint32_t *word, int at, vf scale)
{
#if defined KIT_AVX512
    return KIT(int4_find)(word, at, v_mul(scale, KIT(int4_all)()));
#else
    return v_mul(scale, KIT(int4_numbers)(word, at));
#endif
}

/* 16 keys from the k-th on, of channel 8 m + i; and 16 channels from the c-th on, of key 8 m + i. */
KIT_INLINE vf KIT(int4_keys)(const heed_kv_block *b, int64_t m, int i, int64_t k)
{
    const uint16_t *scale = b->data;
    const uint32_t *word =
        (const uint32_t *)(const void *)(scale + b->rows * int4_groups(b->width));
    return v_mul(v_load_bf16(scale + m / (INT4_GROUP / 8) * b->rows + k),
                 KIT(int4_numbers)(word + m * b->rows + k, 4 * i));
}
KIT_INLINE vf KIT(int4_channels)(const heed_kv_block *b, int64_t m, int i, int64_t c)
{
    const int64_t groups = int4_groups(b->width);
    const uint16_t *scale = b->data;
    const uint32_t *word = (const uint32_t *)(const void *)(scale + b->rows * groups);
    return KIT(int4_scaled)(word + m * kit_lanes(b->width) + c, 4 * i,
                            v_set(kit_from_bf16(scale[(8 * m + i) * groups + c / INT4_GROUP])));
}
#undef CACHE_KEYS
#undef CACHE_CHANNELS
#undef CACHE_STEP
#undef CACHE_KEYS_AT
#undef CACHE_CHANNELS_AT
#define CACHE_STEP 8
#define CACHE_KEYS_AT(b, m, i, k) KIT(int4_keys)(b, m, i, k)
#define CACHE_CHANNELS_AT(b, m, i, c) KIT(int4_channels)(b, m, i, c)
#define CACHE_KEYS(b, c, k) KIT(int4_keys)(b, (c) / 8, (int)((c) % 8), k)
#define CACHE_CHANNELS(b, k, c) KIT(int4_channels)(b, (k) / 8, (int)((k) % 8), c)
#include <heed/kit/cache/rows.h>

static void KIT(decode)(const void *instance, const heed_kv_block *from, int64_t count, float *to,
                        int64_t step)
{
    (void)instance;
    if (from->by_channels)
        for (int64_t c = 0; c < from->width; c++)
            for (int64_t k = 0; k < count; k += 16)
                v_store(to + c * step + k, CACHE_KEYS(from, c, k));
    else
        for (int64_t k = 0; k < count; k++)
            for (int64_t c = 0; c < from->width; c += 16)
                v_store(to + k * step + c, CACHE_CHANNELS(from, k, c));
}

/* H q of each run, 16 queries in the lanes. */
static void KIT(rotate)(const void *instance, int64_t width, float *queries, int64_t count,
                        int64_t step)
{
    (void)instance;
    const int64_t run = int4_run(width);
    for (int64_t half = 1; half < run; half *= 2)
        for (int64_t i = 0; i < width; i += 2 * half)
            for (int64_t c = i; c < i + half; c++)
                for (int64_t q = 0; q < count; q += 16) {
                    float *x = queries + c * step + q, *y = x + half * step;
                    const vf a = v_load(x), b = v_load(y);
                    v_store(x, v_add(a, b)), v_store(y, v_sub(a, b));
                }
}

CACHE_PRODUCTS(KIT(scores), KIT(values), int4_bytes)

static const void *KIT(extension)(const char *id)
{
    static const heed_kv kv = {.size = sizeof kv,
                               .version = 1,
                               .format = "int4",
                               .bytes = int4_bytes,
                               .encode = int4_encode,
                               .decode = KIT(decode),
                               .scores = KIT(scores),
                               .values = KIT(values),
                               .rotate = KIT(rotate)};
    return strcmp(id, HEED_KV_ID) == 0 ? &kv : NULL;
}

#include <heed/kit/next.h>
#ifdef KIT_AGAIN
#include __FILE_NAME__
#endif
