/* SPDX-License-Identifier: MIT
 *
 * heed/kit/flash/span.h: hooks of kit/flash/flash.h for a soft mask on the distance, whose reach z
 * belongs to a row (arXiv 1905.07799, section 2): the weight of a key at distance x is multiplied
 * by
 *
 *     m(x) = clamp((R + z - x) / R, 0, 1)
 *
 * and the weights are divided by their sum then. A factor of a weight is log2 m more in its score;
 * where m is 0 the key is out of the row's range and costs nothing, and where m is 1 the score is
 * as it was. Each distance may have a vector besides, whose product with the query is added to the
 * score. Include it before flash.h, flash/relative.h after.
 */
#ifndef KIT_HAS_FLASH_SPAN
#define KIT_HAS_FLASH_SPAN
#include <heed/kit/flash/type.h>

#ifndef HEED_KIT_FLASH_SPAN_ONCE
#define HEED_KIT_FLASH_SPAN_ONCE

typedef struct kit_flash_soft {
    const float *z; /* of row (sequence, query, head), by the strides below; NULL: the limit */
    int64_t batch, query, head; /* strides */
    int64_t limit;              /* keys before its own that a query can ever see */
    int64_t nearest;            /* distance of the key before: 1, or 0 */
    int64_t self;               /* 1: it sees its own too */
    float ramp;
    const kit_flash_table *table; /* of the distances, or NULL */
} kit_flash_soft;

/* Where the ramp of a row begins, going back: keys below are at distances above z. */
KIT_INLINE double kit_flash_edge(const kit_flash_soft *s, int64_t b, int64_t t, int64_t h,
                                 int64_t at)
{
    const double z =
        s->z ? (double)s->z[b * s->batch + t * s->query + h * s->head] : (double)s->limit;
    return (double)(at - 1 + s->nearest) - z;
}

KIT_INLINE void kit_flash_soft_range(const kit_flash_soft *s, int64_t b, int64_t t, int64_t h,
                                     int64_t at, kit_flash_live *x)
{
    const int64_t first = (int64_t)floor(kit_flash_edge(s, b, t, h, at) - (double)s->ramp) +
                          1; /* m > 0 from here on */
    if (first > x->first) x->first = first;
    if (at - s->limit > x->first) x->first = at - s->limit;
    if (at + s->self < x->last) x->last = at + s->self;
}

/* Whether keys of the block are on the ramp of some row. */
KIT_INLINE int kit_flash_soft_changes(const kit_flash *f, const kit_flash_rows *r, int64_t start,
                                      int keys)
{
    for (int i = 0; i < r->rows; i++)
        if (r->live[i].first < start + keys &&
            kit_flash_edge(f->variant, r->batch, r->query[i], r->head[i], r->position[i]) >
                (double)start)
            return 1;
    return 0;
}
#endif

/* 16 scores of keys, numbered as the edges of their rows are. An edge is a whole number and what is
 * over it, so that the way from a key to it is as exact as it is short. */
KIT_INLINE vf KIT(flash_soften)(vf score, vf key, vf whole, vf over, vf slope)
{
    const vf way = v_sub(v_sub(key, whole), over), m = v_fma(way, slope, v_set(1.0f));
    return v_select(v_lt(way, v_set(0.0f)), v_add(score, v_log2(v_max(v_set(0x1p-24f), m))), score);
}

static __attribute__((unused)) void KIT(flash_soft_scores)(const kit_flash *f,
                                                           const kit_flash_rows *r, float *P,
                                                           int ks, int rs, int64_t start)
{
    static const float order[16] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
    const kit_flash_soft *s = f->variant;
    const vf slope = v_set(1 / s->ramp);
    for (int i = 0; i < r->rows; i += KIT_FLASH_CELL) {
        const kit_flash_cells *span = &r->cells[i / KIT_FLASH_CELL];
        float whole[KIT_FLASH_CELL], over[KIT_FLASH_CELL];
        double most = 0;
        for (int l = 0; l < KIT_FLASH_CELL; l++) {
            const int n = i + l;
            const double e = kit_flash_edge(s, r->batch, r->query[n], r->head[n], r->position[n]) -
                             (double)start;
            whole[l] = (float)floor(e), over[l] = (float)(e - floor(e));
            if (e > most) most = e;
        }
        const int end = most < span->end ? (int)ceil(most) : span->end;
        for (int k = span->begin; rs == 1 && k < end; k++) {
            float *p = P + k * ks + i;
            v_store(p, KIT(flash_soften)(v_load(p), v_set((float)k), v_load(whole), v_load(over),
                                         slope));
        }
        for (int l = 0; rs != 1 && l < KIT_FLASH_CELL && i + l < r->rows; l++)
            for (int k = span->begin; k < end; k += 16) {
                float *p = P + (i + l) * rs + k;
                const vf key = v_add(v_load(order), v_set((float)k));
                v_store(p,
                        KIT(flash_soften)(v_load(p), key, v_set(whole[l]), v_set(over[l]), slope));
            }
    }
}

#define FLASH_PER_HEAD 1
#define FLASH_RELATIVE(f) ((const kit_flash_soft *)(f)->variant)->table
#define FLASH_RANGE(f, b, t, h, at, x) kit_flash_soft_range((f)->variant, b, t, h, at, x)
#define FLASH_CHANGES(f, r, start, keys) kit_flash_soft_changes(f, r, start, keys)
#define FLASH_SCORES(f, r, P, ks, rs, start, keys, padded)                                         \
    KIT(flash_soft_scores)(f, r, P, ks, rs, start)
#endif
