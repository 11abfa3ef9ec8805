/* SPDX-License-Identifier: MIT
 *
 * heed/kit/cache/halves.h: a codec of keys and values (heed/abi/kv.h) that stores 16 bits for each
 * number. Include it in a kernel file after defining
 *
 *     HALVES_LOAD(p)        16 of them, as float32           HALVES_STORE(p, x)     the reverse
 *     HALVES_MOST           the largest finite one
 *
 * A block lies as it is decoded, by rows or by channels, so that decoding is one sweep over it.
 */
#ifndef KIT_HAS_HALVES
#define KIT_HAS_HALVES
#include <heed/kit.h>
#include <heed/abi/kv.h>

#ifndef HALVES_LOAD /* read alone */
#define HALVES_LOAD(p) v_load_f16(p)
#define HALVES_STORE(p, x) v_store_f16(p, x)
#define HALVES_MOST 65504.0f
#endif

#undef CACHE_KEYS
#undef CACHE_CHANNELS
#define CACHE_KEYS(b, c, k) HALVES_LOAD((const uint16_t *)(b)->data + (c) * (b)->rows + (k))
#define CACHE_CHANNELS(b, k, c) HALVES_LOAD((const uint16_t *)(b)->data + (k) * (b)->width + (c))
#include <heed/kit/cache/rows.h>

#ifndef HEED_KIT_HALVES_ONCE
#define HEED_KIT_HALVES_ONCE
/* The last row may be read 16 numbers at a time. */
KIT_INLINE uint64_t kit_halves_bytes(const void *instance, int64_t rows, int64_t width,
                                     uint32_t by_channels)
{
    (void)instance, (void)by_channels;
    return sizeof(uint16_t) * (uint64_t)(rows * width + 16);
}
#endif

/* A finite number stays finite. */
KIT_INLINE vf KIT(halves_bound)(vf x)
{
    const vf most = v_set(HALVES_MOST), least = v_set(-HALVES_MOST);
    const vf y = v_select(v_lt(most, x), most, v_select(v_lt(x, least), least, x));
    return v_select(v_eq(v_abs(x), v_set(INFINITY)), x, y);
}

static void KIT(halves_encode)(const void *instance, const heed_kv_block *to, int64_t first,
                               int64_t count, const float *from, int64_t step)
{
    (void)instance;
    uint16_t *data = to->data, made[16];
    for (int64_t i = 0; i < count; i++)
        for (int64_t c = 0; c < to->width; c += 16) {
            const int n = to->width - c < 16 ? (int)(to->width - c) : 16;
            const float *x = from + i * step + c;
            HALVES_STORE(made, KIT(halves_bound)(n == 16 ? v_load(x) : v_load_n(x, n)));
            if (!to->by_channels)
                memcpy(data + (first + i) * to->width + c, made, sizeof *made * (size_t)n);
            else
                for (int l = 0; l < n; l++) data[(c + l) * to->rows + first + i] = made[l];
        }
}

static void KIT(halves_decode)(const void *instance, const heed_kv_block *from, int64_t count,
                               float *to, int64_t step)
{
    (void)instance;
    const uint16_t *data = from->data;
    const int64_t lines = from->by_channels ? from->width : count,
                  wide = from->by_channels ? count : from->width,
                  apart = from->by_channels ? from->rows : from->width;
    for (int64_t i = 0; i < lines; i++)
        for (int64_t c = 0; c < wide; c += 16)
            v_store(to + i * step + c, HALVES_LOAD(data + i * apart + c));
}

CACHE_PRODUCTS(KIT(halves_scores), KIT(halves_values), kit_halves_bytes)
#endif
