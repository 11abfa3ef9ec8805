/* SPDX-License-Identifier: MIT
 *
 * position/t5, the maths: the bias of a head is a table over key - query, which saturates on both
 * sides; a row of a score tile is a stretch of it. Stretches of 16 keys are read row by row, and
 * turned where the tile has its rows together.
 */
#include <heed/kit.h>
#include <heed/kit/core/grad.h>

#ifdef KIT_FIRST
enum { TABLE };
typedef struct t5 {
    int64_t heads, reach; /* beyond this distance the bias stays as it is */
    int64_t width;        /* of a head's table: distances from -reach - 16 to reach + 16 */
    int64_t buckets, bidirectional;
    float bias[]; /* [H][width] */
} t5;

/* The bucket of a key at distance n = query - key. */
static int64_t t5_bucket(const t5 *self, int64_t n)
{
    int64_t buckets = self->buckets, first = 0;
    if (self->bidirectional) buckets /= 2, first = n < 0 ? buckets : 0, n = n < 0 ? -n : n;
    else if (n < 0) n = 0;
    const int64_t exact = buckets / 2;
    if (n < exact) return first + n;
    const double wide = log((double)n / (double)exact) / log((double)self->reach / (double)exact);
    const int64_t bucket = exact + (int64_t)(wide * (double)(buckets - exact));
    return first + (bucket < buckets ? bucket : buckets - 1);
}

/* 16 biases of head h, from the distance key - query = d on. */
KIT_INLINE const float *t5_stretch(const t5 *self, int64_t h, int64_t d)
{
    const int64_t low = -self->reach - 16, high = self->reach + 1;
    return self->bias + h * self->width + (d < low ? low : d > high ? high : d) - low;
}
#endif

#ifdef KIT_FIRST
/* ---- backward: the gradients of the scores, summed by head and distance ---- */

static int64_t t5_floats(const void *instance)
{
    const t5 *self = instance;
    return self->heads * self->width;
}

static void t5_sum(const void *instance, const heed_score_tile *t, float *sums)
{
    const t5 *self = instance;
    for (int64_t row = 0; row < t->rows; row++) {
        float *of = sums + t->head[row] * self->width + self->reach + 16;
        const float *d = t->s + row * t->row_stride;
        const int64_t first = t->first_key - t->position[row];
        for (int64_t k = 0; k < t->keys; k++) {
            const int64_t n = first + k;
            of[n < -self->reach  ? -self->reach
               : n > self->reach ? self->reach
                                 : n] += d[k * t->key_stride];
        }
    }
}

static void t5_add(const void *instance, const float *sums, const heed_tensor *const *gradient)
{
    const t5 *self = instance;
    for (int64_t h = 0; gradient[TABLE] && h < self->heads; h++)
        for (int64_t n = -self->reach; n <= self->reach; n++) {
            const int64_t at[2] = {t5_bucket(self, -n), h};
            float *to = (float *)(void *)kit_at(gradient[TABLE], at, 2);
            *to += sums[h * self->width + self->reach + 16 + n];
        }
}
#endif

static void KIT(tile)(const void *instance, const heed_score_tile *t)
{
    const t5 *self = instance;
    for (int64_t row = 0; row < t->rows; row += 16)
        for (int64_t k = 0; k < t->keys; k += 16) {
            const int together = t->row_stride == 1;
            const int64_t n = together ? t->keys - k : t->rows - row;
            vf x[16];
            for (int l = 0; l < 16; l++) {
                const int64_t r = row + l < t->rows ? row + l : t->rows - 1;
                x[l] = v_in_units(
                    v_load(t5_stretch(self, t->head[r], t->first_key + k - t->position[r])),
                    t->unit);
            }
            if (together) v_transpose(x);
            for (int l = 0; l < 16 && l < n; l++) {
                float *s = t->s + (together ? (k + l) * t->key_stride + row
                                            : (row + l) * t->row_stride + k);
                v_store(s, v_add(v_load(s), x[l]));
            }
        }
}

static const void *KIT(extension)(const char *id)
{
    static const heed_score score = {sizeof score, 0, KIT(tile), NULL};
    static const heed_grad grad = {
        .size = sizeof grad, .flags = HEED_GRAD_ADDS, .gives = KIT_PORT(TABLE)};
    static const heed_score_grad sums = {sizeof sums, 0, t5_floats, t5_sum, t5_add};
    return strcmp(id, HEED_SCORE_ID) == 0        ? (const void *)&score
           : strcmp(id, HEED_GRAD_ID) == 0       ? (const void *)&grad
           : strcmp(id, HEED_SCORE_GRAD_ID) == 0 ? (const void *)&sums
                                                 : NULL;
}

#include <heed/kit/next.h>
#ifdef KIT_AGAIN
#include __FILE_NAME__
#endif
