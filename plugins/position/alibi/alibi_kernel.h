/* SPDX-License-Identifier: MIT
 *
 * position/alibi, the maths: one multiply-add a score. The distance is formed in 64 bits per row and is exact.
 */
#include <heed/kit.h>

#ifdef KIT_FIRST
typedef struct alibi {
    int64_t heads;
    float slope[];
} alibi;
#endif

#undef SCORE_TERM
#define SCORE_TERM(slope, distance, s) v_fma(slope, distance, s)
#include <heed/kit/score.h>

static void KIT(tile)(const void *instance, const heed_score_tile *t)
{
    const alibi *self = instance;
    if (t->row_stride != 1 || t->rows > 64) { /* a layout that no attention of ours uses */
        for (int64_t r = 0; r < t->rows; r++)
            for (int64_t k = 0; k < t->keys; k++) {
                float *s = t->s + k * t->key_stride + r * t->row_stride;
                *s = fmaf(self->slope[t->head[r]] * t->unit, (float)(t->first_key + k - t->position[r]), *s);
            }
        return;
    }
    float slope[64];
    for (int64_t r = 0; r < kit_lanes(t->rows); r++) slope[r] = self->slope[t->head[r]] * t->unit;
    KIT(score_walk)(slope, t);
}

static const void *KIT(extension)(const char *id)
{
    static const heed_score score = {sizeof score, 0, KIT(tile)};
    return strcmp(id, HEED_SCORE_ID) == 0 ? &score : NULL;
}

#include <heed/kit/next.h>
#ifdef KIT_AGAIN
#include __FILE_NAME__
#endif
