/* SPDX-License-Identifier: MIT
 *
 * heed/kit/score/score.h: one walk over a score tile, for ops that change scores by something of
 * (row, key). Include it in a kernel file after defining
 *
 *     SCORE_TERM(way, slope, distance, s)
 *                               the new score, from the old one s, the row's slope and the distance
 *                                            key - query, both exact in float32 up to 2^24
 *
 * The walk keeps what belongs to the rows in registers and runs down the keys.
 */
#ifndef KIT_HAS_SCORE
#define KIT_HAS_SCORE
#include <heed/kit.h>

#ifndef SCORE_TERM /* read alone */
#define SCORE_TERM(way, slope, distance, s) ((void)(way), (void)(slope), (void)(distance), (s))
#endif

KIT_INLINE void KIT(score_rows)(const int way, const int nv, const float *slope,
                                const heed_score_tile *t, int64_t row)
{
    vf factor[3], distance[3];
    KIT_UNROLL for (int j = 0; j < nv; j++) {
        float d[16];
        for (int l = 0; l < 16; l++) d[l] = (float)(t->first_key - t->position[row + 16 * j + l]);
        distance[j] = v_load(d);
        factor[j] = v_load(slope + row + 16 * j);
    }
    for (int64_t k = 0; k < t->keys; k++) {
        vf step = v_set((float)k);
        KIT_UNROLL for (int j = 0; j < nv; j++) {
            float *s = t->s + k * t->key_stride + row + 16 * j;
            v_store(s, SCORE_TERM(way, factor[j], v_add(distance[j], step), v_load(s)));
        }
    }
}

/* One row whose keys are together in memory. The same steps: the same bits. */
KIT_INLINE void KIT(score_keys)(const int way, float slope, const heed_score_tile *t, int64_t row)
{
    static const float order[16] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
    const vf factor = v_set(slope), distance = v_set((float)(t->first_key - t->position[row]));
    for (int64_t k = 0; k < t->keys; k += 16) {
        float *s = t->s + row * t->row_stride + k;
        const vf step = v_add(v_load(order), v_set((float)k));
        v_store(s, SCORE_TERM(way, factor, v_add(distance, step), v_load(s)));
    }
}

/* A tile, with either of the two together in memory; slope [rows, padded to 16]. `way` is a
 * constant that chooses between forms of the term. */
KIT_INLINE void KIT(score_walk)(const int way, const float *slope, const heed_score_tile *t)
{
    if (t->row_stride != 1) {
        for (int64_t row = 0; row < t->rows; row++) KIT(score_keys)(way, slope[row], t, row);
        return;
    }
    int64_t row = 0;
    for (; row + 32 < t->rows; row += 48) KIT(score_rows)(way, 3, slope, t, row);
    for (; row < t->rows; row += 16) KIT(score_rows)(way, 1, slope, t, row);
}
#endif
