/* SPDX-License-Identifier: MIT
 *
 * position/alibi, the maths: one multiply-add a score. The distance is formed in 64 bits per row
 * and is exact. Where no key of a tile is after a query, the sign of a distance is known, and both
 * forms give the same bits.
 */
#include <heed/kit.h>
#include <heed/abi/grad.h>

#ifdef KIT_FIRST
typedef struct alibi {
    int64_t heads;
    int symmetric;
    float slope[];
} alibi;
#endif

#undef SCORE_TERM
#define SCORE_TERM(symmetric, slope, distance, s)                                                  \
    v_fma(slope, symmetric ? v_sub(v_set(0.0f), v_abs(distance)) : distance, s)
#include <heed/kit/score/score.h>

static void KIT(tile)(const void *instance, const heed_score_tile *t)
{
    const alibi *self = instance;
    float slope[64];
    if (t->rows > 64) { /* more than any attention of ours has in a tile: in parts */
        heed_score_tile part = *t;
        for (int64_t row = 0; row < t->rows; row += part.rows) {
            part.rows = t->rows - row < 64 ? t->rows - row : 64;
            part.s = t->s + row * t->row_stride, part.position = t->position + row,
            part.head = t->head + row;
            KIT(tile)(instance, &part);
        }
        return;
    }
    int both = 0; /* directions are in this tile */
    for (int64_t r = 0; r < t->rows; r++) both |= t->first_key + t->keys - 1 > t->position[r];
    for (int64_t r = 0; r < kit_lanes(t->rows); r++)
        slope[r] = self->slope[t->head[r < t->rows ? r : t->rows - 1]] * t->unit;
    if (self->symmetric && both) KIT(score_walk)(1, slope, t);
    else KIT(score_walk)(0, slope, t);
}

static const void *KIT(extension)(const char *id)
{
    static const heed_score score = {sizeof score, 0, KIT(tile), NULL};
    static const heed_grad grad = {.size = sizeof grad, .flags = HEED_GRAD_ADDS};
    return strcmp(id, HEED_SCORE_ID) == 0  ? (const void *)&score
           : strcmp(id, HEED_GRAD_ID) == 0 ? (const void *)&grad
                                           : NULL;
}

#include <heed/kit/next.h>
#ifdef KIT_AGAIN
#include __FILE_NAME__
#endif
