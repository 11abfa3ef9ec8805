/* SPDX-License-Identifier: MIT
 *
 * attention/synthesizer_random, the maths: a block of scores is read from the table. Keys lie
 * together in it, so a tile with rows in the lanes is turned, 16 x 16 at a time. The table is read
 * once, and bounds the speed of short heads.
 *
 * Error: that of kit/flash/flash.h without the products: a logit is rounded once, for its factor
 * log2 e.
 */
#include <heed/kit.h>
#include <heed/kit/flash/flash.h>
#include <heed/kit/score/synthesizer.h>
#include <heed/kit/score/synthesizer_backward.h>

#ifdef KIT_FIRST
enum { TABLE = SYNTHESIZER_FIRST };
enum { LONGEST = SYNTHESIZER_OWN, FIXED };
typedef struct synthesizer_random {
    synthesizer common;
    heed_tensor table; /* [H, C, C] */
    _Alignas(64) float drawn[];
} synthesizer_random;

static int32_t measure_backward(const void *instance, const heed_grad_call *g, heed_call_size *size)
{
    const synthesizer_random *self = instance;
    return synthesizer_backward_size(synthesizer_call(&self->common, g->call), size);
}
#endif

/* Scores of a tile's row and 16 keys from `key` on; those of the next block are asked for. */
KIT_INLINE vf KIT(logits)(const heed_tensor *table, const heed_score_tile *t, int64_t row,
                          int64_t key)
{
    const int64_t at[3] = {t->head[row], t->position[row], t->first_key + key};
    const int n = t->keys - key < 16 ? (int)(t->keys - key) : 16;
    const char *p = kit_at(table, at, 3);
    kit_prefetch(p + KIT_FLASH_KEYS * table->stride[2] * kit_width(table->dtype), 64);
    return v_in_units(v_read(p, table->dtype, table->stride[2], n), t->unit);
}

static void KIT(fill)(const void *instance, const heed_score_tile *t)
{
    const heed_tensor *table = &((const synthesizer_random *)instance)->table;
    for (int64_t row = 0; row < t->rows && t->row_stride != 1; row++)
        for (int64_t key = 0; key < t->keys; key += 16)
            v_store(t->s + row * t->row_stride + key, KIT(logits)(table, t, row, key));
    for (int64_t row = 0; row < t->rows && t->row_stride == 1; row += 16)
        for (int64_t key = 0; key < t->keys; key += 16) {
            vf x[16];
            for (int l = 0; l < 16; l++) x[l] = KIT(logits)(table, t, row + l, key);
            v_transpose(x);
            for (int l = 0; l < 16 && key + l < t->keys; l++)
                v_store(t->s + (key + l) * t->key_stride + row, x[l]);
        }
}

/* For another attention, which asks for all that belongs to the scores. */
static void KIT(tile)(const void *instance, const heed_score_tile *t)
{
    KIT(fill)(instance, t);
    synthesizer_position(instance, t);
}

static int32_t KIT(forward)(const void *instance, const heed_call *call)
{
    static const heed_score fill = {sizeof fill, 1, KIT(fill), NULL};
    const synthesizer_random *self = instance;
    kit_flash f = synthesizer_call(&self->common, call);
    f.fill = &fill, f.fill_instance = self;
    int32_t failed = synthesizer_setup(&f, &self->common);
    return failed ? failed : KIT(flash_run)(&f);
}

/* The table's gradient is dS, summed over the sequences. */
static int32_t KIT(backward)(const void *instance, const heed_grad_call *g)
{
    static const heed_score fill = {sizeof fill, 1, KIT(fill), NULL};
    const synthesizer_random *self = instance;
    kit_flash f = synthesizer_call(&self->common, g->call);
    f.fill = &fill, f.fill_instance = self;
    kit_flash_backward w = synthesizer_backward_call(f, g);
    w.d_scores = g->gradient[TABLE], w.by_position = w.d_scores != NULL;
    return KIT(synthesizer_backward)(&w, &self->common, g);
}

/* For another attention. */
static void KIT(tile_back)(const void *instance, const heed_fill_tile *x)
{
    const heed_tensor *to = x->gradient ? x->gradient[TABLE] : NULL;
    const heed_score_tile *t = x->tile;
    (void)instance;
    for (int64_t row = 0; to && row < t->rows; row += 16)
        for (int64_t key = 0; key < t->keys; key += 16) {
            const int n = t->keys - key < 16 ? (int)(t->keys - key) : 16;
            vf g[16];
            for (int l = 0; l < 16; l++) {
                const int64_t at = (key + (l < n ? l : 0)) * t->key_stride + row;
                const vm masked = v_lt(v_load(x->weight + at), v_set(0.0f));
                g[l] = v_select(masked, v_set(0.0f), v_load(t->s + at));
            }
            v_transpose(g);
            for (int l = 0; l < 16 && row + l < t->rows; l++) {
                const int64_t at[3] = {t->head[row + l], t->position[row + l], t->first_key + key};
                char *sum = kit_at(to, at, 3);
                v_write(sum, HEED_F32, to->stride[2],
                        v_add(v_read(sum, HEED_F32, to->stride[2], n), g[l]), n);
            }
        }
}
SYNTHESIZER_EXTENSIONS(KIT(extension), KIT(tile), KIT(tile_back), KIT_PORT(TABLE), measure_backward,
                       KIT(backward))

#include <heed/kit/next.h>
#ifdef KIT_AGAIN
#include __FILE_NAME__
#endif
