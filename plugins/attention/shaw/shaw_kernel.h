/* SPDX-License-Identifier: MIT
 *
 * attention/shaw, the maths: kit/flash.h with two sums by table row instead of any by pair. With c = clip(j - i) + k:
 *
 *     a tile begins    C[c][row] = q aK[c]              one product with the table, as if its rows were keys
 *     scores           S[j][row] += C[c][row]           past and future by lanes, the 2k - 1 keys between one by one
 *     weights          W[c][row] += P[j][row]           rescaled from block to block as O is
 *     a tile ends      O[e][row] += sum over c of W[c][row] aV[c][e]      as if W were weights of one more block
 *
 * The past (c = 0) and the future (c = 2k) are summed by cells of 16 keys, each by halves; a key that is not of them
 * adds 0 there, so that a row's sums do not depend on its neighbours. W is -1, as a masked weight is, where a row sees
 * no key: what aV has there does not reach it. A tile's own floats are the position of each row after that of the
 * first, C, and W.
 */
#include <heed/kit.h>

#include <heed/kit/flash_type.h>

static void KIT(shaw_begin)(const kit_flash *f, kit_flash_rows *r);
static void KIT(shaw_scores)(const kit_flash *f, const kit_flash_rows *r, float *P, int ks, int rs, int64_t start);
static void KIT(shaw_weights)(const kit_flash *f, kit_flash_rows *r, const float *P, int ks, int rs, int64_t start);
static void KIT(shaw_end)(const kit_flash *f, kit_flash_rows *r);
#define FLASH_BEGIN(f, r) KIT(shaw_begin)(f, r)
#define FLASH_SCORES(f, r, P, ks, rs, start, keys, padded) KIT(shaw_scores)(f, r, P, ks, rs, start)
#define FLASH_WEIGHTS(f, r, P, ks, rs, start, keys, padded) KIT(shaw_weights)(f, r, P, ks, rs, start)
#define FLASH_END(f, r) KIT(shaw_end)(f, r)
#include <heed/kit/flash.h>

#ifdef KIT_FIRST
enum { RELATIVE_KEYS = FLASH_PORT_COUNT, RELATIVE_VALUES };
enum { DISTANCES = FLASH_PARAM_COUNT };
typedef struct shaw {
    int64_t clip, rows;  /* k; 2k + 1 */
    int64_t ldk, ldv;
    const float *keys;   /* [rows, to whole cells][ldk] */
    const float *values; /* [rows][ldv], or NULL */
    float room[] __attribute__((aligned(64)));
} shaw;

/* Where a table ends that begins at `to`; written if `from` is there. */
KIT_INLINE float *shaw_pack(const heed_tensor *from, float *to, int64_t rows, int64_t width)
{
    for (int64_t r = 0; from && r < rows; r++)
        kit_read_row(to + r * kit_lanes(width), kit_at(from, &r, 1), from->dtype, from->stride[1], width);
    return to + kit_lanes(rows) * kit_lanes(width);
}
#endif

static void KIT(shaw_begin)(const kit_flash *f, kit_flash_rows *r)
{
    const shaw *s = f->variant;
    const KIT(flash_keys) x = {.K = s->keys, .ldk = s->ldk};
    const int rows = (int)kit_lanes(s->rows);
    const KIT(flash_runs) all = {.at[0] = {.to = rows, .last = r->groups * KIT_FLASH_CELL / VR_LANES}, .n = 1};
    float max[KIT_FLASH_ROWS] = {0};
    for (int i = 0; i < KIT_FLASH_ROWS; i++) r->own[i] = i < r->rows ? (float)(r->position[i] - r->position[0]) : 0.0f;
    KIT(flash_score)(f, r, &all, &x, r->own + KIT_FLASH_ROWS, max);
    for (int64_t i = 0; i < KIT_FLASH_ROWS * s->rows; i++) r->own[KIT_FLASH_ROWS * (1 + rows) + i] = -1.0f;
}

/* j - i of 16 rows and a key, or of a row and 16 keys from it on; exact where it is near. */
KIT_INLINE vf KIT(shaw_relative)(const kit_flash_rows *r, int row, int64_t key, int rs)
{
    static const float order[16] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
    return rs == 1 ? v_sub(v_set((float)(key - r->position[0])), v_load(r->own + row))
                   : v_add(v_set((float)(key - r->position[row])), v_load(order));
}

/* Keys of a block at a relative position between the ends of the table, for one row: [from, to). */
KIT_INLINE void KIT(shaw_near)(const shaw *s, const kit_flash_rows *r, int row, int64_t start, int64_t *from,
                               int64_t *to)
{
    *from = r->position[row] - s->clip + 1 > start ? r->position[row] - s->clip + 1 : start;
    *to = r->position[row] + s->clip < start + KIT_FLASH_KEYS ? r->position[row] + s->clip : start + KIT_FLASH_KEYS;
}

static void KIT(shaw_scores)(const kit_flash *f, const kit_flash_rows *r, float *P, int ks, int rs, int64_t start)
{
    const shaw *s = f->variant;
    const float *C = r->own + KIT_FLASH_ROWS, *last = C + (s->rows - 1) * KIT_FLASH_ROWS;
    const vf low = v_set(-(float)s->clip), high = v_set((float)s->clip);
    for (int g = 0; g < r->groups; g++)
        for (int k = r->span[g].begin; k < r->span[g].end; k += KIT_FLASH_CELL)
            for (int l = 0; l < KIT_FLASH_CELL; l++) {
                const int row = KIT_FLASH_CELL * g + (rs == 1 ? 0 : l), key = k + (rs == 1 ? l : 0);
                if (row >= r->rows) break;
                float *p = P + key * ks + row * rs;
                const vf x = v_load(p), at = KIT(shaw_relative)(r, row, start + key, rs);
                const vf past = rs == 1 ? v_load(C + row) : v_set(C[row]);
                const vf future = rs == 1 ? v_load(last + row) : v_set(last[row]);
                v_store(p, v_select(v_ge(low, at), v_add(x, past), v_select(v_ge(at, high), v_add(x, future), x)));
            }
    for (int i = 0; i < r->rows; i++) {
        int64_t from, to;
        KIT(shaw_near)(s, r, i, start, &from, &to);
        for (int64_t j = from; j < to; j++)
            P[(j - start) * ks + i * rs] += C[(j - r->position[i] + s->clip) * KIT_FLASH_ROWS + i];
    }
}

/* `more` onto a sum of weights that nothing may have been added to yet. */
KIT_INLINE void KIT(shaw_add)(float *w, float more) { *w = (*w < 0 ? 0 : *w) + more; }

/* What weights w of 16 pairs add to one end of the table, -1 for pairs that are not of it; *seen is 1 where one is. */
KIT_INLINE vf KIT(shaw_seen)(vf w, vf *seen)
{
    *seen = v_select(v_lt(w, v_set(0.0f)), *seen, v_set(1.0f));
    return v_max(v_set(0.0f), w); /* a NaN stays */
}

/* 16 weights, summed by halves, onto the sums of 16 rows that have some. */
KIT_INLINE void KIT(shaw_add_each)(float *w, vf *x, vf seen)
{
    for (int half = KIT_FLASH_CELL / 2; half > 0; half /= 2)
        for (int i = 0; i < half; i++) x[i] = v_add(x[i], x[i + half]);
    const vf before = v_load(w);
    v_store(w, v_select(v_lt(v_set(0.0f), seen), v_add(v_max(v_set(0.0f), before), x[0]), before));
}

static void KIT(shaw_weights)(const kit_flash *f, kit_flash_rows *r, const float *P, int ks, int rs, int64_t start)
{
    const shaw *s = f->variant;
    float *W = r->own + KIT_FLASH_ROWS * (1 + kit_lanes(s->rows)), *last = W + (s->rows - 1) * KIT_FLASH_ROWS;
    const vf low = v_set(-(float)s->clip), high = v_set((float)s->clip), none = v_set(-1.0f);
    if (!s->values) return;
    for (int64_t c = 0; c < s->rows; c++)
        for (int i = 0; i < KIT_FLASH_CELL * r->groups; i += 16) {
            const vf w = v_load(W + c * KIT_FLASH_ROWS + i);
            v_store(W + c * KIT_FLASH_ROWS + i, v_select(v_lt(w, v_set(0.0f)), w, v_mul(v_load(r->alpha + i), w)));
        }
    for (int g = 0; g < r->groups; g++)
        for (int k = r->span[g].begin, row = KIT_FLASH_CELL * g; k < r->span[g].end; k += KIT_FLASH_CELL) {
            vf past[KIT_FLASH_CELL], future[KIT_FLASH_CELL], seen_past = v_set(0.0f), seen_future = v_set(0.0f);
            for (int l = 0; l < KIT_FLASH_CELL; l++) {
                const int at_row = row + (rs == 1 ? 0 : l), key = k + (rs == 1 ? l : 0);
                if (at_row >= r->rows) break;
                if (rs != 1) seen_past = seen_future = v_set(0.0f);
                const vf w = v_load(P + key * ks + at_row * rs);
                const vf at = KIT(shaw_relative)(r, at_row, start + key, rs);
                past[l] = KIT(shaw_seen)(v_select(v_ge(low, at), w, none), &seen_past);
                future[l] = KIT(shaw_seen)(v_select(v_ge(at, high), w, none), &seen_future);
                if (rs != 1 && v_sum(seen_past) > 0) KIT(shaw_add)(W + at_row, v_sum(past[l]));
                if (rs != 1 && v_sum(seen_future) > 0) KIT(shaw_add)(last + at_row, v_sum(future[l]));
            }
            if (rs != 1) continue;
            KIT(shaw_add_each)(W + row, past, seen_past);
            KIT(shaw_add_each)(last + row, future, seen_future);
        }
    for (int i = 0; i < r->rows; i++) {
        int64_t from, to;
        KIT(shaw_near)(s, r, i, start, &from, &to);
        for (int64_t j = from; j < to; j++) {
            const float w = P[(j - start) * ks + i * rs];
            const int k = (int)(j - start), g = i / KIT_FLASH_CELL;
            if (k >= r->span[g].begin && k < r->span[g].end && !(w < 0))
                KIT(shaw_add)(W + (j - r->position[i] + s->clip) * KIT_FLASH_ROWS + i, w);
        }
    }
}

static void KIT(shaw_end)(const kit_flash *f, kit_flash_rows *r)
{
    const shaw *s = f->variant;
    const float *W = r->own + KIT_FLASH_ROWS * (1 + kit_lanes(s->rows));
    const KIT(flash_keys) x = {.V = s->values, .ldv = s->ldv};
    const KIT(flash_runs) all = {.at[0] = {.to = (int)s->rows, .last = r->groups * KIT_FLASH_CELL / VR_LANES,
                                         .masked = 1}, .n = 1};
    if (!s->values) return;
    memcpy(r->alpha, kit_flash_ones, sizeof r->alpha);
    if (!r->few) KIT(flash_value)(f, r, &all, &x, W);
    for (int i = 0; r->few && i < r->rows; i++)
        for (int64_t e = 0; e < f->E; e += 16) {
            float *o = r->O + i * kit_lanes(f->E) + e;
            vf y = v_load(o);
            for (int64_t c = 0; c < s->rows; c++)
                if (!(W[c * KIT_FLASH_ROWS + i] < 0))
                    y = v_fma(v_set(W[c * KIT_FLASH_ROWS + i]), v_load(s->values + c * s->ldv + e), y);
            v_store(o, y);
        }
}

static int32_t KIT(forward)(const void *instance, const heed_call *call) { return KIT(flash_forward)(instance, call); }

#include <heed/kit/next.h>
#ifdef KIT_AGAIN
#include __FILE_NAME__
#endif
