/* SPDX-License-Identifier: MIT
 *
 * attention/transformer_xl, the maths: kit/flash.h with one product more. The projected encodings r are a table by
 * distance, made when the op is opened; for 16 rows from position p on and 16 keys from j on, all that is asked for is
 *
 *     W[x][row] = (q + v) r[p + 15 - j - x], x in [0, 32)      a product as that with keys: 32 distances, 16 x 16 pairs
 *     S[key][row] += W[key + 15 - row][row]                        the relative shift
 *
 * and the half that the next 16 keys ask for again is kept, so that a row pays once for each distance. The shift turns
 * a cell of 16 x 16, lane `row` by row + 1, in four steps of 1, 2, 4 and 8; no pair is looked up by itself. A tile of
 * one to three rows brings 96 distances into the lanes instead, as it does keys: the same chains, the same bits.
 */
#include <heed/kit.h>
#include <heed/kit/flash_type.h>
#include <heed/kit/sleef.h>

#ifdef KIT_FIRST
enum { XL_BEYOND = 128 }; /* rows around the table: distances that only masked pairs have */
typedef struct xl {
    int64_t memory, clamp, same_length, interleaved;
    int64_t distances, width, heads, D, ld; /* of the table [heads][beyond + distances + beyond][ld]; width: M */
    const heed_tensor *relative_weight;
    float *u, *v; /* [heads][ld] */
    float *table;
    double *theta; /* [width / 2] */
    float room[] __attribute__((aligned(64)));
} xl;

/* A tile's own floats: q + v as Q lies; of each group the shifted cell that keys from `next` on need; 96 rows of the
 * table, turned. */
enum { XL_KEPT = KIT_FLASH_CELL * KIT_FLASH_CELL, XL_NEXT = 16 };
KIT_INLINE int64_t xl_own(int64_t D)
{
    return (KIT_FLASH_ROWS + KIT_FLASH_KEYS) * D + KIT_FLASH_GROUPS * XL_KEPT + XL_NEXT;
}
KIT_INLINE float *xl_kept(const kit_flash_rows *r, int64_t D) { return r->own + KIT_FLASH_ROWS * D; }
KIT_INLINE int64_t *xl_next(const kit_flash_rows *r, int64_t D)
{
    return (int64_t *)(void *)(xl_kept(r, D) + KIT_FLASH_GROUPS * XL_KEPT);
}
KIT_INLINE float *xl_turned(const kit_flash_rows *r, int64_t D) { return (float *)(xl_next(r, D)) + XL_NEXT; }

/* The encoding of distance 0 and head h: further ones stand behind, ld floats each. */
KIT_INLINE float *xl_row(const xl *s, int64_t h)
{
    return s->table + (h * (s->distances + 2 * XL_BEYOND) + XL_BEYOND) * s->ld;
}

/* A segment's queries see `memory` tokens before the segment, or each before itself, and nothing behind themselves. */
KIT_INLINE void xl_range(const kit_flash *f, int64_t t, int64_t at, kit_flash_live *x)
{
    const xl *s = f->variant;
    const int64_t first = (s->same_length ? at : at - t) - s->memory;
    if (first > x->first) x->first = first;
    if (at + 1 < x->last) x->last = at + 1;
}
#endif

static void KIT(xl_begin)(const kit_flash *f, kit_flash_rows *r);
static void KIT(xl_scores)(const kit_flash *f, const kit_flash_rows *r, float *P, int rs, int64_t start);
#define FLASH_RANGE(f, b, t, h, at, x) xl_range(f, t, at, x)
#define FLASH_BEGIN(f, r) KIT(xl_begin)(f, r)
#define FLASH_SCORES(f, r, P, ks, rs, start, keys, padded) KIT(xl_scores)(f, r, P, rs, start)
#include <heed/kit/flash.h>

#ifdef KIT_FIRST
enum { RELATIVE_WEIGHT = FLASH_PORT_COUNT, CONTENT_BIAS, POSITION_BIAS };
enum { MEMORY = FLASH_PARAM_COUNT, SAME_LENGTH, CLAMP, ENCODING };

KIT_INLINE float *xl_pack(const heed_tensor *from, float *to, int64_t ld)
{
    for (int64_t h = 0; h < from->dim[0]; h++)
        kit_read_row(to + h * ld, kit_at(from, &h, 1), from->dtype, from->stride[1], from->dim[1]);
    return to + from->dim[0] * ld;
}

/* r of one head: relative_weight times the sinusoid of each distance, in float64, rounded once. */
static void xl_project(void *arg, int64_t h, uint32_t lane)
{
    const xl *s = arg;
    const int64_t M = s->width, n = M / 2, room = 2 * kit_lanes(n + 1);
    float *wave = (float *)s->room + h * (3 * room + kit_lanes(M)), *R = wave + room, *w = R + room;
    (void)lane;
    for (int64_t p = 0; p < s->distances; p++) {
        float *to = xl_row(s, h) + p * s->ld;
        if (s->clamp && p > s->clamp) {
            memcpy(to, to - s->ld, sizeof(float) * (size_t)s->ld);
            continue;
        }
        KIT(kit_angles)(wave, wave + room / 2, s->theta, n, p);
        for (int64_t k = 0; k < n; k++)
            R[s->interleaved ? 2 * k : k] = wave[k], R[s->interleaved ? 2 * k + 1 : n + k] = wave[room / 2 + k];
        for (int64_t d = 0; d < s->D; d++) {
            const int64_t at[2] = {h, d};
            const heed_tensor *t = s->relative_weight;
            const float *x = w;
            double sum[8] = {0};
            if (kit_is_plain(t)) x = (const float *)kit_at(t, at, 2);
            else kit_read_row(w, kit_at(t, at, 2), t->dtype, t->stride[2], M);
            for (int64_t m = 0; m < 2 * n; m++) sum[m % 8] += (double)R[m] * (double)x[m];
            to[d] = (float)(((sum[0] + sum[4]) + (sum[1] + sum[5])) + ((sum[2] + sum[6]) + (sum[3] + sum[7])));
        }
    }
}
#endif

/* q + u in the place of q, and q + v. */
static void KIT(xl_begin)(const kit_flash *f, kit_flash_rows *r)
{
    const xl *s = f->variant;
    const vf scale = v_set((float)((double)f->scale * KIT_LOG2E));
    for (int g = 0; g < r->groups; g++) xl_next(r, f->D)[g] = -1;
    for (int64_t d = 0; d < f->D; d++) {
        const vf u = v_set(s->u[r->head[0] * s->ld + d]), v = v_set(s->v[r->head[0] * s->ld + d]);
        for (int i = 0; i < KIT_FLASH_CELL * r->groups; i += 16) {
            float *q = r->Q + d * KIT_FLASH_ROWS + i;
            v_store(r->own + d * KIT_FLASH_ROWS + i, v_fma(v, scale, v_load(q)));
            v_store(q, v_fma(u, scale, v_load(q)));
        }
    }
}

/* y[t][lane] = y[(t - 1 - lane) mod 16][lane] */
KIT_INLINE void KIT(xl_shift)(vf y[KIT_FLASH_CELL])
{
    static const float lanes[16] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
    vf z[KIT_FLASH_CELL], left = v_load(lanes);
    KIT_UNROLL for (int t = 0; t < 16; t++) z[t] = y[(t + 15) % 16];
    KIT_UNROLL for (int step = 8; step > 0; step /= 2) {
        const vm on = v_ge(left, v_set((float)step));
        left = v_select(on, v_sub(left, v_set((float)step)), left);
        KIT_UNROLL for (int t = 0; t < 16; t++) y[t] = v_select(on, z[(t + 16 - step) % 16], z[t]);
        KIT_UNROLL for (int t = 0; t < 16; t++) z[t] = y[t];
    }
}

/* Adds to the scores of group g and the 16 keys from k on what the shifted cells of their distances have. */
KIT_INLINE void KIT(xl_add)(const kit_flash_rows *r, int g, int k, const float *far, const vf *near, float *P, int rs)
{
    static const float lanes[16] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
    vf y[KIT_FLASH_CELL];
    KIT_UNROLL for (int t = 0; t < 16; t++)
        y[t] = v_select(v_ge(v_load(lanes), v_set((float)t)), v_load(far + 16 * t), near[t]);
    if (rs != 1) v_transpose(y);
    for (int t = 0; t < 16; t++) {
        float *p = rs == 1 ? P + (k + t) * KIT_FLASH_ROWS + KIT_FLASH_CELL * g : P + (KIT_FLASH_CELL * g + t) * rs + k;
        if (rs == 1 || KIT_FLASH_CELL * g + t < r->rows) v_store(p, v_add(v_load(p), y[t]));
    }
}

/* A few rows: of each the 96 distances of its own. */
static void KIT(xl_alone)(const kit_flash *f, const kit_flash_rows *r, float *P, int64_t start)
{
    const xl *s = f->variant;
    float W[KIT_FLASH_KEYS] __attribute__((aligned(64))), *turned = xl_turned(r, f->D);
    for (int row = 0; row < r->rows; row++) {
        const float *R = xl_row(s, r->head[row]) + (r->position[row] - start) * s->ld;
        KIT(flash_turn)((const char *)R, -s->ld * (int64_t)sizeof(float), HEED_F32, 1, KIT_FLASH_KEYS, f->D, turned);
        for (int k = 0; k < KIT_FLASH_KEYS; k += FLASH_WIDE * VR_LANES)
            KIT(flash_few_scorers)[FLASH_N == 8 ? 3 : 2](r->own + row, turned + k, f->D, W + k, kit_flash_nothing);
        for (float *p = P + row * KIT_FLASH_KEYS, *w = W; w < W + KIT_FLASH_KEYS; p += 16, w += 16)
            v_store(p, v_add(v_load(p), v_load(w)));
    }
}

/* Distances in cells of 16, from far to near. Cell m is the far one of group g and the keys from 16 c on, and the near
 * one of those before, with c = m - 2 + g. */
static void KIT(xl_scores)(const kit_flash *f, const kit_flash_rows *r, float *P, int rs, int64_t start)
{
    const xl *s = f->variant;
    const float *R = xl_row(s, r->head[0]) + (r->position[0] + KIT_FLASH_ROWS - 1 - start) * s->ld;
    float W[KIT_FLASH_CELL * KIT_FLASH_ROWS] __attribute__((aligned(64))), max[KIT_FLASH_ROWS] = {0};
    const int per = KIT_FLASH_CELL / VR_LANES;
    int64_t *next = xl_next(r, f->D);
    if (rs != 1 && r->rows < 4) {
        KIT(xl_alone)(f, r, P, start);
        return;
    }
    for (int m = 0; m < KIT_FLASH_CELLS + KIT_FLASH_GROUPS; m++, R -= KIT_FLASH_CELL * s->ld) {
        int first = r->groups, last = 0;
        for (int g = 0; g < r->groups; g++) {
            const int key = KIT_FLASH_CELL * (m - 2 + g);
            if (key < r->span[g].begin || key > r->span[g].end || r->span[g].begin >= r->span[g].end) continue;
            if (next[g] == start + key) continue; /* the block before has left it */
            if (g < first) first = g;
            last = g + 1;
        }
        const KIT(flash_strips) strips = KIT(flash_strips_of)(first * per, last * per);
        for (int x = 0; x < KIT_FLASH_CELL; x += FLASH_N)
            for (int j = 0; j < strips.n; j++)
                KIT(flash_scorers)[strips.wide[j]](max + strips.row[j], R - x * s->ld, -s->ld, r->own + strips.row[j],
                                                   f->D, W + x * KIT_FLASH_ROWS + strips.row[j], kit_flash_nothing);
        for (int g = first; g < last; g++) {
            const int key = KIT_FLASH_CELL * (m - 3 + g);
            float *far = xl_kept(r, f->D) + g * XL_KEPT;
            vf y[KIT_FLASH_CELL];
            KIT_UNROLL for (int x = 0; x < 16; x++) y[x] = v_load(W + x * KIT_FLASH_ROWS + KIT_FLASH_CELL * g);
            KIT(xl_shift)(y);
            if (key >= r->span[g].begin && key < r->span[g].end) KIT(xl_add)(r, g, key, far, y, P, rs);
            KIT_UNROLL for (int x = 0; x < 16; x++) v_store(far + 16 * x, y[x]);
            next[g] = start + key + KIT_FLASH_CELL;
        }
    }
}

static int32_t KIT(forward)(const void *instance, const heed_call *call)
{
    kit_flash f = kit_flash_call(instance, call);
    const xl *s = f.variant;
    int32_t failed = kit_flash_setup(&f);
    if (failed) return failed;
    if (f.G != f.H)
        return kit_fail(call->sink, HEED_E_UNSUPPORTED,
                        "q has %lld heads and k has %lld: each head here has keys of its own",
                        (long long)f.H, (long long)f.G);
    if (f.T > s->memory && !s->same_length)
        return kit_fail(call->sink, HEED_E_ARGUMENT,
                        "a segment of %lld tokens is longer than the memory of %lld; give at most that many at a time, "
                        "a larger memory, or same_length=true", (long long)f.T, (long long)s->memory);
    return KIT(flash_run)(&f);
}

#include <heed/kit/next.h>
#ifdef KIT_AGAIN
#include __FILE_NAME__
#endif
