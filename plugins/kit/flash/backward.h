/* SPDX-License-Identifier: MIT
 *
 * heed/kit/flash/backward.h: the backward of kit/flash/flash.h, from q, k, v, out, lse and the
 * gradients of out and lse, with scores and weights made again block by block (arXiv 2205.14135,
 * appendix B.4):
 *
 *     P = exp2(S - lse)      R_i = dO_i . O_i - dlse_i      dP = dO V^T      dS = P (dP - R)
 *     dV = P^T dO            dK = scale dS^T Q              dQ = scale dS K
 *
 * Include it behind flash.h. KIT(flash_backward) is the backward of an op with the ports of
 * flash/op.h whose hooks narrow ranges at most; others set up a kit_flash_backward themselves, define
 * the twins of their hooks before they include this file, and call KIT(flash_backward_run):
 *
 *     FLASH_BACK_BEGIN(w, t)    the rows of tile t are there, by rows and by columns, and may be changed
 *     FLASH_BACK_DOTS(w, t, x, X)    dO V^T of a block x of keys is there, and may be added to
 *     FLASH_BACK_ROWS(w, t, x, runs, P, X)    the weights and dS of a block x of keys, 0 where masked
 *     FLASH_BACK_END(w, t)      all keys have passed by
 *     FLASH_BACK_SQUARED_RELU   1: a weight is relu(score)^2, as in forward
 *     FLASH_BACK_TASKS(w)       what runs in the place of both schedules where w->relative is set
 *                               (flash/relative_backward.h)
 *
 * A block of keys and a tile of rows lie as in flash/many.h, rows in the lanes, and masks are its.
 *
 * An element of dQ is one chain over the keys, one of dK or dV one chain over the rows of its
 * group of heads, query by query and head by head; groups that share values are added in order.
 * Where queries, keys or scores belong to positions, as weights do, sequences are added in order
 * too. Two schedules give these chains, so the same bits, and which one a call takes follows from
 * its shape alone:
 *
 *     whole groups    one task a sequence and group: blocks of keys outside, tiles of rows inside; S and dP
 *                     are made once, five products in all. It has dQ of the group at hand, T D floats.
 *     two passes      tasks of a tile of rows, for dQ, then tasks of a block of keys, for dK and dV: seven
 *                     products, for calls with few sequences and heads.
 *
 * What is masked has no part in any sum: its weight is -1, as in forward, and is skipped by
 * select, so that NaNs behind a mask stay there.
 */
#ifndef KIT_HAS_FLASH_BACKWARD
#define KIT_HAS_FLASH_BACKWARD
#include <heed/kit/core/grad.h>
#include <heed/kit/flash/flash.h>
#include <heed/kit/reduce/blocks.h>

#ifndef HEED_KIT_FLASH_BACKWARD_ONCE
#define HEED_KIT_FLASH_BACKWARD_ONCE

enum { KIT_FLASH_WHOLE = 8 }; /* from so many groups on, whole ones are the tasks */

typedef struct kit_flash_backward {
    kit_flash f;
    const heed_tensor *d_out, *d_lse, *d_q, *d_k, *d_v;
    /* Of scores behind the soft cap, [B H T S], and is written; or, `by_position`, [H C C], and is
     * added to; or NULL. */
    const heed_tensor *d_scores;
    int by_position;
    const heed_tensor *d_keys; /* [heads, C]: sums of dS over the rows are added to it; or NULL */
    int rows_wanted;           /* FLASH_BACK_ROWS has something to do */
    /* Gradients of queries, or of keys and values, are added to what is there: to weights, whose
     * heads may be one; or by a pass over some of the keys and queries. */
    int adds_q, adds_k, adds_v, one_head;
    const heed_tensor *const *d_score; /* [ports] of the score op's weights; NULL: not wanted */
    float *score_sums;                 /* [tasks] what it wants for them, in the workspace */
    const struct kit_flash_back_relative *relative; /* tables by distance; or NULL */
    void *own;                                      /* the variant's */
    /* ---- kit_flash_back_sizes and the run set these ---- */
    int whole;
    int64_t sums; /* tasks of a sequence and group that have sums of their own */
    int64_t first_b, n_b, first_g, n_g;         /* what tasks are of */
    int64_t keys, tiles, blocks;                /* of a sequence; of a group's rows, and of keys */
    int64_t width_q, width_v, pitch_k, pitch_v; /* D and E in whole vectors; of dK and dV */
} kit_flash_backward;

/* A tile of rows: what forward has of it, and besides, the gradient of out, by columns and by
 * rows; q by rows; log-sum-exps in log2 units; and R. */
typedef struct kit_flash_back_rows {
    kit_flash_rows r;
    float lse[KIT_FLASH_ROWS], rest[KIT_FLASH_ROWS];
    float more[KIT_FLASH_ROWS]; /* for hooks: zeros when keys begin to pass by */
    float *columns, *gradients, *queries;
} kit_flash_back_rows;

/* What a lane works with. */
typedef struct kit_flash_back_room {
    float *P, *X, *slope, *spare, *K, *V, *dK, *dV, *dQ, *sums;
    char *tiles;
} kit_flash_back_room;

/* Bytes of a tile of rows, and floats of a lane besides. */
KIT_INLINE int64_t kit_flash_back_tile(const kit_flash *f)
{
    return (int64_t)sizeof(kit_flash_back_rows) +
           (2 * KIT_FLASH_ROWS * (kit_lanes(f->D) + kit_lanes(f->E)) + kit_lanes(f->own)) *
               (int64_t)sizeof(float);
}
KIT_INLINE int64_t kit_flash_back_floats(int64_t D, int64_t E)
{
    return 4 * KIT_FLASH_ROWS * KIT_FLASH_KEYS + KIT_FLASH_KEYS +
           2 * KIT_FLASH_KEYS * (kit_flash_pitch(D) + kit_flash_pitch(E));
}

/* What follows from sizes, and from what a pass picks. */
KIT_INLINE void kit_flash_back_sizes(kit_flash_backward *w)
{
    const kit_flash *f = &w->f;
    w->whole = f->B * f->G >= KIT_FLASH_WHOLE;
    w->keys = kit_flash_picked_before(&f->pick, f->S);
    w->tiles = (f->rows + KIT_FLASH_ROWS - 1) / KIT_FLASH_ROWS;
    w->blocks = (w->keys + KIT_FLASH_KEYS - 1) / KIT_FLASH_KEYS;
    w->width_q = kit_lanes(f->D), w->width_v = kit_lanes(f->E);
    w->pitch_k = kit_flash_pitch(f->D), w->pitch_v = kit_flash_pitch(f->E);
    w->sums = w->whole ? 1 : w->tiles;
    w->first_b = w->first_g = 0, w->n_b = f->B, w->n_g = f->G;
}

/* A lane's scratch, for a call whose tensors are set. */
static __attribute__((unused)) uint64_t kit_flash_back_scratch(kit_flash f)
{
    kit_flash_backward w = {.d_out = NULL};
    kit_flash_sizes(&f);
    w.f = f;
    kit_flash_back_sizes(&w);
    const int64_t kept = w.whole ? w.tiles : 1;
    return (uint64_t)(kit_flash_back_floats(f.D, f.E) + kept * KIT_FLASH_ROWS * kit_lanes(f.D)) *
               sizeof(float) +
           (uint64_t)(kept * kit_flash_back_tile(&f));
}

/* Floats of the sums of sink_logits' gradient, which lie behind the rest of the workspace. */
KIT_INLINE int64_t kit_flash_back_sinks(const heed_call *call)
{
    const int64_t *axis = call->axis;
    return kit_blocks(HEED_AXIS(axis, 'B') * HEED_AXIS(axis, 'T')) *
           kit_lanes(HEED_AXIS(axis, 'H'));
}

/* What a score op wants for its weights: floats of a task, and of the call. */
KIT_INLINE int64_t kit_flash_back_sum(const kit_flash *f)
{
    return f->score_grad ? kit_lanes(f->score_grad->floats(f->score_instance)) : 0;
}
KIT_INLINE int64_t kit_flash_back_scores(kit_flash f)
{
    kit_flash_sizes(&f);
    kit_flash_backward w = {.f = f};
    kit_flash_back_sizes(&w);
    return f.B * f.G * w.sums * kit_flash_back_sum(&f);
}

/* The workspace that every backward has: what forward has there, the sums of sink_logits and of a
 * score op, of which the total is the last; an op's own lies behind it. */
KIT_INLINE uint64_t kit_flash_back_scores_at(const kit_flash *f)
{
    const uint64_t sinks = f->sink_logits ? (uint64_t)kit_flash_back_sinks(f->call) : 0;
    return kit_line(kit_line(kit_flash_workspace(f->documents, HEED_AXIS(f->call->axis, 'B'))) +
                    sinks * sizeof(float));
}
KIT_INLINE uint64_t kit_flash_back_workspace(const kit_flash *f)
{
    return kit_flash_back_scores_at(f) +
           (uint64_t)(kit_flash_back_scores(*f) + kit_flash_back_sum(f)) * sizeof(float);
}

/* A call whose score op, of that param, has weights whose gradients are wanted. */
static __attribute__((unused)) void kit_flash_back_inner(kit_flash_backward *w,
                                                         const heed_grad_call *g, int param)
{
    const heed_tensor *const *const *inner = HEED_HAS(g, inner) ? g->inner : NULL;
    if (!inner || !inner[param] || !w->f.score_grad) return;
    w->d_score = inner[param];
    w->score_sums = (float *)(void *)((char *)g->call->workspace + kit_flash_back_scores_at(&w->f));
}

static __attribute__((unused)) int32_t
kit_flash_measure_backward(const void *instance, const heed_grad_call *g, heed_call_size *size)
{
    const kit_flash f = kit_flash_call(instance, g->call);
    size->scratch = kit_flash_back_scratch(f);
    size->workspace = kit_flash_back_workspace(&f);
    return HEED_OK;
}

/* What an op on it has as heed.grad/1, in its extension; `gives`: ports of its own. */
#define KIT_FLASH_GIVES                                                                            \
    (KIT_PORT(FLASH_Q) | KIT_PORT(FLASH_K) | KIT_PORT(FLASH_V) | KIT_PORT(FLASH_BIAS) |            \
     KIT_PORT(FLASH_SINK_LOGITS))
#define KIT_FLASH_TAKES (KIT_PORT(FLASH_OUT) | KIT_PORT(FLASH_LSE))
#define KIT_FLASH_GRAD                                                                             \
    {                                                                                              \
        sizeof(heed_grad), HEED_GRAD_INNER, KIT_FLASH_GIVES, KIT_FLASH_TAKES, KIT_FLASH_TAKES, 0,  \
            kit_flash_measure_backward, KIT(flash_backward)                                        \
    }

/* A position op may only add to scores what depends on no input. */
static __attribute__((unused)) int32_t kit_flash_back_child(const heed_grad_call *g, int param)
{
    const heed_child *child = &g->child[param];
    const heed_grad *grad =
        child->op && child->path->get_extension ? child->path->get_extension(HEED_GRAD_ID) : NULL;
    if (!child->op || (grad && grad->flags & HEED_GRAD_ADDS)) return HEED_OK;
    return kit_fail(g->call->sink, HEED_E_UNSUPPORTED,
                    "position=%s does not say that it only adds to scores, so there is no gradient "
                    "through it",
                    child->op->id);
}
#endif

#ifndef FLASH_BACK_BEGIN
#define FLASH_BACK_BEGIN(w, t) ((void)0)
#endif
#ifndef FLASH_BACK_DOTS
#define FLASH_BACK_DOTS(w, t, x, X) ((void)0)
#endif
#ifndef FLASH_BACK_ROWS
#define FLASH_BACK_ROWS(w, t, x, runs, P, X) ((void)0)
#endif
#ifndef FLASH_BACK_END
#define FLASH_BACK_END(w, t) ((void)0)
#endif
#ifndef FLASH_BACK_SQUARED_RELU
#define FLASH_BACK_SQUARED_RELU 0
#endif
#ifndef FLASH_BACK_TASKS
#define FLASH_BACK_TASKS(w) HEED_E_UNSUPPORTED
#endif

/* ---- products ---- */

/* acc[n][nv] += a[i][k] b[k], where `w`, as a or as b lies, is not below 0: C is FLASH_N lines of
 * nv registers. */
enum { KIT(FLASH_BACK_LANES), KIT(FLASH_BACK_LINES) };
KIT_INLINE void KIT(flash_back_product)(const int nv, const int by, const int masked, float *C,
                                        int64_t ldc, const float *a, int64_t a_row, int64_t a_step,
                                        const float *b, int64_t b_step, const float *w,
                                        int64_t depth)
{
    vr acc[FLASH_N][FLASH_WIDE];
    KIT_UNROLL for (int i = 0; i < FLASH_N; i++) KIT_UNROLL for (int j = 0; j < nv; j++) acc[i][j] =
        vr_load(C + i * ldc + j * VR_LANES);
    for (int64_t k = 0; k < depth; k++) {
        vr x[FLASH_WIDE], live[FLASH_WIDE];
        KIT_UNROLL for (int j = 0; j < nv; j++)
        {
            x[j] = vr_pin(vr_load(b + k * b_step + j * VR_LANES));
            live[j] = masked && by == KIT(FLASH_BACK_LANES)
                          ? vr_below_zero(vr_load(w + k * b_step + j * VR_LANES))
                          : x[j];
        }
        KIT_UNROLL for (int i = 0; i < FLASH_N; i++)
        {
            const vr s = vr_set(a[i * a_row + k * a_step]);
            const vr line = masked && by == KIT(FLASH_BACK_LINES)
                                ? vr_below_zero(vr_set(w[i * a_row + k * a_step]))
                                : s;
            KIT_UNROLL for (int j = 0; j < nv; j++) acc[i][j] =
                !masked ? vr_fma(s, x[j], acc[i][j])
                        : vr_fma_unless(by == KIT(FLASH_BACK_LANES) ? live[j] : line, s, x[j],
                                        acc[i][j]);
        }
    }
    KIT_UNROLL for (int i = 0; i < FLASH_N; i++) KIT_UNROLL for (int j = 0; j < nv; j++)
        vr_store(C + i * ldc + j * VR_LANES, acc[i][j]);
}

/* One function for each width and kind of masking, of rows in the lanes (dQ: a is K, b is dS) and
 * of channels in the lanes (dV: a is P, b is dO; dK: a is dS, b is Q). */
#define FLASH_BACK_EACH(nv, masked)                                                                \
    KIT_KERNEL void KIT(flash_back_rows_##nv##_##masked)(                                          \
        float *C, const float *K, int64_t ldk, const float *X, const float *P, int64_t depth)      \
    {                                                                                              \
        KIT(flash_back_product)                                                                    \
        (nv, KIT(FLASH_BACK_LANES), masked, C, KIT_FLASH_ROWS, K, 1, ldk, X, KIT_FLASH_ROWS, P,    \
         depth);                                                                                   \
    }                                                                                              \
    KIT_KERNEL void KIT(flash_back_keys_##nv##_##masked)(float *C, int64_t ldc, const float *X,    \
                                                         const float *P, const float *B,           \
                                                         int64_t ldb, int64_t depth)               \
    {                                                                                              \
        KIT(flash_back_product)                                                                    \
        (nv, KIT(FLASH_BACK_LINES), masked, C, ldc, X, KIT_FLASH_ROWS, 1, B, ldb, P, depth);       \
    }
FLASH_BACK_EACH(1, 0)
FLASH_BACK_EACH(1, 1)
#if FLASH_WIDE == 3
FLASH_BACK_EACH(2, 0)
FLASH_BACK_EACH(2, 1)
FLASH_BACK_EACH(3, 0)
FLASH_BACK_EACH(3, 1)
#define FLASH_BACK_TABLE(kind)                                                                     \
    {                                                                                              \
        {KIT(flash_back_##kind##_1_0), KIT(flash_back_##kind##_1_1)},                              \
            {KIT(flash_back_##kind##_2_0), KIT(flash_back_##kind##_2_1)},                          \
            {KIT(flash_back_##kind##_3_0), KIT(flash_back_##kind##_3_1)},                          \
    }
#else
#define FLASH_BACK_TABLE(kind)                                                                     \
    {                                                                                              \
        {KIT(flash_back_##kind##_1_0), KIT(flash_back_##kind##_1_1)},                              \
    }
#endif
typedef void KIT(flash_back_row_fn)(float *C, const float *K, int64_t ldk, const float *X,
                                    const float *P, int64_t depth);
typedef void KIT(flash_back_key_fn)(float *C, int64_t ldc, const float *X, const float *P,
                                    const float *B, int64_t ldb, int64_t depth);
static KIT(flash_back_row_fn) *const
    KIT(flash_back_row_table)[FLASH_WIDE][2] = FLASH_BACK_TABLE(rows);
static KIT(flash_back_key_fn) *const
    KIT(flash_back_key_table)[FLASH_WIDE][2] = FLASH_BACK_TABLE(keys);
#undef FLASH_BACK_EACH
#undef FLASH_BACK_TABLE

/* ---- a block of keys and a tile of rows ---- */

/* Another product of rows and keys, for the runs of the block: X[key][row] = V[key] .
 * columns[row]. */
static void KIT(flash_back_dots)(const KIT(flash_runs) * runs, const float *V, int64_t ldv,
                                 int64_t E, const float *columns, float *X)
{
    float unused[KIT_FLASH_ROWS] = {0};
    for (int n = 0; n < runs->n; n++) {
        const KIT(flash_strips) s = KIT(flash_strips_between)(runs->at[n].first, runs->at[n].last);
        for (int k = runs->at[n].from; k < runs->at[n].to; k += FLASH_N)
            for (int j = 0; j < s.n; j++) {
                KIT(flash_scorer) *const dots = KIT(flash_scorers)[s.wide[j]];
                dots(unused + s.row[j], V + k * ldv, ldv, 1, columns + s.row[j], E,
                     X + k * KIT_FLASH_ROWS + s.row[j], kit_flash_no_prefetch);
            }
    }
}

/* What the soft cap does to the slope of a score: 1 - tanh^2. */
static void KIT(flash_back_slopes)(const kit_flash *f, const float *S, float *slope)
{
    const vf inverse = v_set((float)(1 / ((double)f->softcap * KIT_LOG2E))), one = v_set(1.0f);
    for (int i = 0; i < KIT_FLASH_ROWS * KIT_FLASH_KEYS; i += 16) {
        const vf t = v_tanh(v_mul(v_load(S + i), inverse));
        v_store(slope + i, v_fma(v_sub(v_set(0.0f), t), t, one));
    }
}

/* Scores and dP become weights and dS: -1 and 0 where a key is masked. */
static void KIT(flash_back_weights)(const kit_flash_back_rows *t, const KIT(flash_runs) * runs,
                                    int holes, float *P, float *X)
{
    for (int n = 0; n < runs->n; n++)
        for (int row = runs->at[n].first * VR_LANES; row < runs->at[n].last * VR_LANES; row += 16) {
            const vf lse = v_load(t->lse + row), rest = v_load(t->rest + row);
            for (int k = runs->at[n].from; k < runs->at[n].to; k++) {
                const int at = k * KIT_FLASH_ROWS + row;
                const vf s = v_load(P + at), d = v_load(X + at), up = v_max(v_set(0.0f), s);
                const vf w = FLASH_BACK_SQUARED_RELU ? v_mul(up, up) : v_exp2(v_sub(s, lse));
                vf x = FLASH_BACK_SQUARED_RELU ? v_mul(v_add(up, up), d) : v_mul(w, v_sub(d, rest));
                vf weight = w;
                if (runs->at[n].masked) {
                    const vm live = KIT(flash_rows_live)(&t->r, row, k);
                    weight = v_select(live, w, v_set(-1.0f)), x = v_select(live, x, v_set(0.0f));
                }
                if (holes) {
                    const vm hole = KIT(flash_is_masked)(s);
                    weight = v_select(hole, v_set(-1.0f), weight);
                    x = v_select(hole, v_set(0.0f), x);
                }
                v_store(P + at, weight);
                v_store(X + at, x);
            }
        }
}

/* dS before the soft cap. */
static void KIT(flash_back_uncap)(const KIT(flash_runs) * runs, const float *slope, float *X)
{
    for (int n = 0; n < runs->n; n++)
        for (int row = runs->at[n].first * VR_LANES; row < runs->at[n].last * VR_LANES; row += 16)
            for (int k = runs->at[n].from; k < runs->at[n].to; k++) {
                float *x = X + k * KIT_FLASH_ROWS + row;
                v_store(x, v_mul(v_load(x), v_load(slope + k * KIT_FLASH_ROWS + row)));
            }
}

/* Where dS of a row and a key goes. */
KIT_INLINE float *KIT(flash_back_score)(const kit_flash_backward *w, const kit_flash_back_rows *t,
                                        int i, int64_t key)
{
    const kit_flash_rows *r = &t->r;
    const int64_t at[4] = {r->batch, r->head[i], r->query[i], key};
    const int64_t place[3] = {r->head[i], r->position[i], key};
    return (float *)(void *)(w->by_position ? kit_at(w->d_scores, place, 3)
                                            : kit_at(w->d_scores, at, 4));
}

/* dS of a block, cell by cell. */
static void KIT(flash_back_scores)(const kit_flash_backward *w, const kit_flash_back_rows *t,
                                   const KIT(flash_keys) * x, const KIT(flash_runs) * runs,
                                   const float *X)
{
    const int64_t stride = w->d_scores->stride[w->d_scores->rank - 1];
    for (int n = 0; n < runs->n; n++)
        for (int i = runs->at[n].first * VR_LANES; i < runs->at[n].last * VR_LANES; i += 16)
            for (int k = runs->at[n].from; k < runs->at[n].to && k < x->keys; k += 16) {
                const int m = x->keys - k < 16 ? x->keys - k : 16;
                vf y[16];
                KIT_UNROLL for (int l = 0; l < 16; l++) y[l] =
                    v_load(X + (k + l) * KIT_FLASH_ROWS + i);
                v_transpose(y);
                for (int l = 0; l < 16 && i + l < t->r.rows; l++) {
                    float *to = KIT(flash_back_score)(w, t, i + l, x->start + k);
                    if (w->by_position) y[l] = v_add(y[l], v_read(to, HEED_F32, stride, m));
                    v_write(to, HEED_F32, stride, y[l], m);
                }
            }
}

/* What a score op wants of dS, run by run. */
static void KIT(flash_back_inner)(const kit_flash_backward *w, const kit_flash_back_rows *t,
                                  const KIT(flash_keys) * x, const KIT(flash_runs) * runs, float *X)
{
    const kit_flash *f = &w->f;
    const int64_t pair = t->r.batch * f->G + t->r.head[0] / f->group,
                  task = w->sums > 1 ? t->r.row0 / KIT_FLASH_ROWS : 0;
    for (int n = 0; n < runs->n; n++) {
        const int to = runs->at[n].to < x->keys ? runs->at[n].to : x->keys,
                  row = runs->at[n].first * VR_LANES;
        heed_score_tile tile = KIT(flash_tile)(f, &t->r, x, X, KIT_FLASH_ROWS, 1, runs->at[n].from,
                                               to, row, runs->at[n].last * VR_LANES - row);
        tile.unit = 1;
        f->score_grad->tile(f->score_instance, &tile,
                            w->score_sums + (pair * w->sums + task) * kit_flash_back_sum(f));
    }
}

/* The sums of dS over a tile's rows, of each key. */
static void KIT(flash_back_key_sums)(const kit_flash_back_rows *t, const KIT(flash_runs) * runs,
                                     const float *X, float *sums)
{
    for (int n = 0; n < runs->n; n++)
        for (int k = runs->at[n].from; k < runs->at[n].to; k++) {
            vf sum = v_set(0.0f);
            for (int i = runs->at[n].first * VR_LANES; i < runs->at[n].last * VR_LANES; i += 16)
                sum = v_add(sum, i + 16 <= t->r.rows ? v_load(X + k * KIT_FLASH_ROWS + i)
                                                     : v_load_n(X + k * KIT_FLASH_ROWS + i,
                                                                i < t->r.rows ? t->r.rows - i : 0));
            sums[k] += v_sum(sum);
        }
}

/* dQ += dS K: keys in order, rows in the lanes. */
static void KIT(flash_back_queries)(const kit_flash_backward *w, const KIT(flash_runs) * runs,
                                    const KIT(flash_keys) * x, const float *P, const float *X,
                                    float *dQ)
{
    for (int n = 0; n < runs->n; n++) {
        const KIT(flash_strips) s = KIT(flash_strips_between)(runs->at[n].first, runs->at[n].last);
        const int from = runs->at[n].from, depth = runs->at[n].to - from,
                  at = from * KIT_FLASH_ROWS;
        for (int64_t d = 0; d < w->width_q; d += FLASH_N)
            for (int j = 0; j < s.n; j++) KIT(flash_back_row_table)
        [s.wide[j]][runs->at[n].masked](dQ + d * KIT_FLASH_ROWS + s.row[j],
                                        x->K + from * x->ldk + d, x->ldk, X + at + s.row[j],
                                        P + at + s.row[j], depth);
    }
}

/* C[key] += sum over rows of X[key][row] B[row], where P[key][row] is not below 0. */
static void KIT(flash_back_keys)(const kit_flash_back_rows *t, const KIT(flash_runs) * runs,
                                 const float *P, const float *X, const float *B, int64_t width,
                                 float *C, int64_t ldc)
{
    for (int n = 0; n < runs->n; n++) {
        const int row = runs->at[n].first * VR_LANES, end = runs->at[n].last * VR_LANES,
                  depth = (end < t->r.rows ? end : t->r.rows) - row;
        for (int k = runs->at[n].from; k < runs->at[n].to; k += FLASH_N)
            for (int64_t e = 0, wide; e < width; e += wide * VR_LANES) {
                wide = (width - e) / VR_LANES < FLASH_WIDE ? (width - e) / VR_LANES : FLASH_WIDE;
                KIT(flash_back_key_table)
                [wide - 1][runs->at[n].masked](C + k * ldc + e, ldc, X + k * KIT_FLASH_ROWS + row,
                                               P + k * KIT_FLASH_ROWS + row, B + row * width + e,
                                               width, depth);
            }
    }
}

/* What a block of keys and a tile of rows, which see some of them, add to dQ, and to dK and dV,
 * either of them NULL where it is not wanted. */
static void KIT(flash_back_block)(const kit_flash_backward *w, kit_flash_back_rows *t,
                                  const KIT(flash_keys) * x, const kit_flash_back_room *m,
                                  float *dQ, int rows, int keys)
{
    const kit_flash *f = &w->f;
    const int holes = kit_flash_has_holes(f, t->r.batch);
    const float *slope = f->softcap > 0 ? m->slope : NULL;
    float early[KIT_FLASH_ROWS] = {0};
    KIT(flash_runs) runs;
    kit_flash_block_ranges(&t->r, x->start);
    KIT(flash_find_runs)(&t->r, holes, &runs);
    KIT(flash_compute_scores)(f, &t->r, &runs, x, m->P, early, early);
    if (slope) KIT(flash_back_slopes)(f, m->P, m->slope);
    if (KIT(flash_changes_scores)(f, &t->r, x->start, x->keys)) KIT(flash_change_scores)
    (f, &t->r, m->P, KIT_FLASH_ROWS, 1, x->start, x->keys, KIT_FLASH_KEYS);
    KIT(flash_back_dots)(&runs, x->V, x->ldv, f->E, t->columns, m->X);
    FLASH_BACK_DOTS(w, t, x, m->X);
    KIT(flash_back_weights)(t, &runs, holes, m->P, m->X);
    if (rows && w->d_scores) KIT(flash_back_scores)(w, t, x, &runs, m->X);
    if (rows && w->score_sums) KIT(flash_back_inner)(w, t, x, &runs, m->X);
    if (rows && w->rows_wanted) FLASH_BACK_ROWS(w, t, x, &runs, m->P, m->X);
    if (slope) KIT(flash_back_uncap)(&runs, slope, m->X);
    if (keys && w->d_keys) KIT(flash_back_key_sums)(t, &runs, m->X, m->sums);
    if (dQ) KIT(flash_back_queries)(w, &runs, x, m->P, m->X, dQ);
    if (keys && w->d_k)
        KIT(flash_back_keys)(t, &runs, m->P, m->X, t->queries, w->width_q, m->dK, w->pitch_k);
    if (keys && w->d_v)
        KIT(flash_back_keys)(t, &runs, m->P, m->P, t->gradients, w->width_v, m->dV, w->pitch_v);
}

/* ---- rows ---- */

/* Rows to a matrix of whole vectors, float32, zeros behind each. */
static void KIT(flash_back_copy)(const char *const *from, uint32_t dtype, int64_t stride, int rows,
                                 int64_t n, int64_t width, float *to)
{
    for (int i = 0; i < rows; i++) {
        memset(to + i * width + width - 16 * (width > 0), 0, 16 * (width > 0) * sizeof(float));
        kit_read_row(to + i * width, from[i], dtype, stride, n);
    }
}

/* Which keys the rows of tile number `tile` see. */
static void KIT(flash_back_ranges)(const kit_flash *f, kit_flash_back_rows *t, int64_t b, int64_t g,
                                   int64_t tile)
{
    kit_flash_rows *r = &t->r;
    const int64_t origin = kit_flash_origin(f, b), left = f->rows - tile * KIT_FLASH_ROWS;
    kit_flash_document_range pages = {0, 0, 0};
    r->row0 = tile * KIT_FLASH_ROWS, r->batch = b, r->few = 0;
    r->rows = (int)(left < KIT_FLASH_ROWS ? left : KIT_FLASH_ROWS);
    r->groups = (r->rows + KIT_FLASH_CELL - 1) / KIT_FLASH_CELL;
    for (int i = 0; i < KIT_FLASH_CELL * r->groups; i++) {
        const int64_t row = r->row0 + (i < r->rows ? i : r->rows - 1), at = kit_flash_query(f, row),
                      h = g * f->group + row % f->group;
        r->query[i] = at, r->position[i] = origin + at, r->head[i] = (int32_t)h;
        kit_flash_see(f, r, i, b, at, h, origin + at, &pages);
    }
    for (int i = 0; i < r->groups; i++) kit_flash_group_ranges(r, i);
}

/* The dot product of two rows: four chains of vectors, as those of kit/reduce/reduce.h. */
static float KIT(flash_back_dot)(const float *a, int64_t a_stride, const char *b, uint32_t b_dtype,
                                 int64_t b_stride, int64_t n)
{
    vf sum[4] = {v_set(0.0f), v_set(0.0f), v_set(0.0f), v_set(0.0f)};
    for (int64_t i = 0; i < n; i += 16) {
        const int m = n - i < 16 ? (int)(n - i) : 16;
        sum[i / 16 % 4] = v_fma(v_read(a + i * a_stride, HEED_F32, a_stride, m),
                                v_read(b + i * b_stride * kit_width(b_dtype), b_dtype, b_stride, m),
                                sum[i / 16 % 4]);
    }
    return v_sum(v_add(v_add(sum[0], sum[1]), v_add(sum[2], sum[3])));
}

/* The rest of a tile whose ranges are known: queries, gradients, log-sum-exps. */
static void KIT(flash_back_load)(const kit_flash_backward *w, kit_flash_back_rows *t)
{
    const kit_flash *f = &w->f;
    kit_flash_rows *r = &t->r;
    const int lanes = KIT_FLASH_CELL * r->groups;
    const int64_t out_stride = f->out->stride[3];
    const char *q[KIT_FLASH_ROWS], *d[KIT_FLASH_ROWS];
    for (int i = 0; i < lanes; i++) {
        const int64_t at[3] = {r->batch, r->query[i], r->head[i]};
        const int64_t place[3] = {0, r->position[i], r->head[i]};
        q[i] = !f->q ? NULL : kit_at(f->q, f->q_by_position ? place : at, 3);
        d[i] = w->d_out ? kit_at(w->d_out, at, 3) : NULL;
        t->lse[i] = FLASH_BACK_SQUARED_RELU ? 0.0f : *(const float *)kit_at(f->lse, at, 3);
        t->more[i] = 0.0f;
        t->rest[i] =
            w->d_out && !FLASH_BACK_SQUARED_RELU
                ? KIT(flash_back_dot)((const float *)d[i], w->d_out->stride[3],
                                      kit_at(f->out, at, 3), f->out->dtype, out_stride, f->E)
                : 0.0f;
        if (w->d_lse) t->rest[i] -= *(const float *)kit_at(w->d_lse, at, 3);
    }
    for (int i = 0; i < lanes; i += 16)
        v_store(t->lse + i, v_in_units(v_load(t->lse + i), (float)KIT_LOG2E));
    if (f->q) {
        KIT(flash_load_columns)
        (q, f->q->dtype, f->q->stride[3], lanes, f->D, (float)((double)f->scale * KIT_LOG2E), r->Q);
        KIT(flash_back_copy)
        (q, f->q->dtype, f->q->stride[3], r->rows, f->D, w->width_q, t->queries);
    }
    if (w->d_out) {
        const int64_t stride = w->d_out->stride[3];
        KIT(flash_load_columns)(d, HEED_F32, stride, lanes, f->E, 1.0f, t->columns);
        KIT(flash_back_copy)(d, HEED_F32, stride, r->rows, f->E, w->width_v, t->gradients);
    } else {
        memset(t->columns, 0, sizeof(float) * (size_t)(KIT_FLASH_ROWS * w->width_v));
        memset(t->gradients, 0, sizeof(float) * (size_t)(KIT_FLASH_ROWS * w->width_v));
    }
    FLASH_BACK_BEGIN(w, t);
}

/* Scores of keys that a row does not see have gradients of 0. */
static void KIT(flash_back_clear)(const kit_flash_backward *w, const kit_flash_back_rows *t)
{
    if (!w->d_scores || w->by_position) return;
    const int64_t stride = w->d_scores->stride[3];
    for (int i = 0; i < t->r.rows; i++)
        for (int64_t s = 0; s < w->f.S; s += 16)
            v_write(KIT(flash_back_score)(w, t, i, s), HEED_F32, stride, v_set(0.0f),
                    w->f.S - s < 16 ? (int)(w->f.S - s) : 16);
}

/* The gradients of a tile's queries, scaled. */
static void KIT(flash_back_write_queries)(const kit_flash_backward *w, const kit_flash_back_rows *t,
                                          const float *dQ)
{
    const int64_t D = w->f.D, stride = w->d_q->stride[3];
    const vf scale = v_set(w->f.scale);
    for (int i = 0; i < t->r.rows; i += 16)
        for (int64_t d = 0; d < D; d += 16) {
            const int m = D - d < 16 ? (int)(D - d) : 16;
            vf y[16];
            KIT_UNROLL for (int l = 0; l < 16; l++) y[l] =
                v_mul(v_load(dQ + (d + l) * KIT_FLASH_ROWS + i), scale);
            v_transpose(y);
            for (int l = 0; l < 16 && i + l < t->r.rows; l++) {
                const int by = w->f.q_by_position;
                const int64_t at[4] = {by ? 0 : t->r.batch,
                                       by ? t->r.position[i + l] : t->r.query[i + l],
                                       t->r.head[i + l], d};
                char *to = kit_at(w->d_q, at, 4);
                if (w->adds_q) y[l] = v_add(v_read(to, HEED_F32, stride, m), y[l]);
                v_write(to, HEED_F32, stride, y[l], m);
            }
        }
}

/* Those of a block's keys or values, times a factor. */
static void KIT(flash_back_write_rows)(const kit_flash_pick *pick, const heed_tensor *to, int64_t b,
                                       int64_t g, int64_t start, int keys, const float *C,
                                       int64_t ldc, float factor, int adds)
{
    for (int k = 0; to && k < keys; k++)
        for (int64_t d = 0; d < to->dim[3]; d += 16) {
            const int64_t at[4] = {b, kit_flash_picked_position(pick, start + k), g, d};
            const int m = to->dim[3] - d < 16 ? (int)(to->dim[3] - d) : 16;
            char *p = kit_at(to, at, 4);
            vf y = v_mul(v_load(C + k * ldc + d), v_set(factor));
            if (adds) y = v_add(v_read(p, HEED_F32, to->stride[3], m), y);
            v_write(p, HEED_F32, to->stride[3], y, m);
        }
}

/* All that a block has got of a group's rows. */
static void KIT(flash_back_write_keys)(const kit_flash_backward *w, const kit_flash_back_room *m,
                                       int64_t b, int64_t g, int64_t start, int keys)
{
    const kit_flash *f = &w->f;
    const int64_t head = f->k_by_position ? g : g / f->share;
    KIT(flash_back_write_rows)
    (&f->pick, w->d_k, f->k_by_position ? 0 : b, head, start, keys, m->dK, w->pitch_k, f->scale,
     w->adds_k || (!f->k_by_position && g % f->share > 0));
    KIT(flash_back_write_rows)
    (&f->pick, w->d_v, b, g / f->share, start, keys, m->dV, w->pitch_v, 1.0f,
     w->adds_v || g % f->share > 0);
    for (int k = 0; w->d_keys && k < keys; k++) {
        const int64_t at[2] = {w->d_keys->dim[0] == 1 ? 0 : g, start + k};
        *(float *)(void *)kit_at(w->d_keys, at, 2) += m->sums[k];
    }
}

/* ---- tasks ---- */

static kit_flash_back_room KIT(flash_back_lane)(const kit_flash_backward *w, uint32_t lane,
                                                int64_t kept)
{
    const heed_call *call = w->f.call;
    const int64_t block = KIT_FLASH_ROWS * KIT_FLASH_KEYS;
    kit_flash_back_room m;
    char *room = call->scratch + lane * call->scratch_stride;
    m.tiles = room; /* first: their structs are aligned to 64 bytes */
    m.P = (float *)(void *)(room + kept * kit_flash_back_tile(&w->f));
    m.X = m.P + block, m.slope = m.X + block, m.spare = m.slope + block;
    m.K = m.spare + block;
    m.V = m.K + KIT_FLASH_KEYS * w->pitch_k, m.dK = m.V + KIT_FLASH_KEYS * w->pitch_v;
    m.dV = m.dK + KIT_FLASH_KEYS * w->pitch_k, m.sums = m.dV + KIT_FLASH_KEYS * w->pitch_v;
    m.dQ = m.sums + KIT_FLASH_KEYS;
    return m;
}

static kit_flash_back_rows *KIT(flash_back_tile)(const kit_flash_backward *w,
                                                 const kit_flash_back_room *m, int64_t n)
{
    char *at = m->tiles + n * kit_flash_back_tile(&w->f);
    kit_flash_back_rows *t = (kit_flash_back_rows *)(void *)at;
    t->r.Q = t->r.given = (float *)(void *)(t + 1);
    t->queries = t->r.Q + KIT_FLASH_ROWS * w->width_q;
    t->columns = t->queries + KIT_FLASH_ROWS * w->width_q;
    t->gradients = t->columns + KIT_FLASH_ROWS * w->width_v;
    t->r.own = t->gradients + KIT_FLASH_ROWS * w->width_v;
    t->r.spare = m->spare;
    return t;
}

static KIT(flash_keys) KIT(flash_back_keys_of)(const kit_flash_backward *w, int64_t b, int64_t g,
                                               int64_t start, const kit_flash_back_room *m)
{
    const int64_t left = w->keys - start;
    const int keys = (int)(left < KIT_FLASH_KEYS ? left : KIT_FLASH_KEYS);
    KIT(flash_keys)
    x = KIT(flash_load_block)(&w->f, b, g, start, keys, 0, FLASH_READ_OFTEN, m->K, m->V);
    x.next_K = x.next_V = (kit_flash_prefetch_block){{NULL, 0}, 0};
    return x;
}

/* The groups [*g, *end) of a task, which share values, and its sequence. A task is one of `parts` of
 * them. */
KIT_INLINE int64_t KIT(flash_back_place)(const kit_flash_backward *w, int64_t task, int64_t parts,
                                         int64_t *b, int64_t *g, int64_t *end)
{
    const int64_t per = w->n_g < w->f.G ? 1 : w->f.share, units = w->n_g / per, unit = task / parts;
    *b = w->first_b + unit / units, *g = w->first_g + unit % units * per, *end = *g + per;
    return task % parts;
}

/* A whole group: tiles' rows are loaded once, blocks of keys pass by. */
static void KIT(flash_back_group)(const kit_flash_backward *w, const kit_flash_back_room *m,
                                  int64_t b, int64_t g)
{
    const int64_t dq = KIT_FLASH_ROWS * w->width_q;
    for (int64_t i = 0; i < w->tiles; i++) {
        kit_flash_back_rows *t = KIT(flash_back_tile)(w, m, i);
        KIT(flash_back_ranges)(&w->f, t, b, g, i);
        KIT(flash_back_load)(w, t);
        KIT(flash_back_clear)(w, t);
    }
    memset(m->dQ, 0, sizeof(float) * (size_t)(w->tiles * dq));
    for (int64_t start = 0; start < w->keys; start += KIT_FLASH_KEYS) {
        const KIT(flash_keys) x = KIT(flash_back_keys_of)(w, b, g, start, m);
        memset(m->dK, 0, sizeof(float) * (size_t)(KIT_FLASH_KEYS * (w->pitch_k + w->pitch_v + 1)));
        for (int64_t i = 0; i < w->tiles; i++) {
            kit_flash_back_rows *t = KIT(flash_back_tile)(w, m, i);
            if (kit_flash_visible_cells(&t->r, start, x.keys))
                KIT(flash_back_block)(w, t, &x, m, w->d_q ? m->dQ + i * dq : NULL, 1, 1);
        }
        KIT(flash_back_write_keys)(w, m, b, g, start, x.keys);
    }
    for (int64_t i = 0; i < w->tiles; i++) {
        kit_flash_back_rows *t = KIT(flash_back_tile)(w, m, i);
        FLASH_BACK_END(w, t);
        if (w->d_q) KIT(flash_back_write_queries)(w, t, m->dQ + i * dq);
    }
}
static void KIT(flash_back_groups)(void *arg, int64_t task, uint32_t lane)
{
    const kit_flash_backward *w = arg;
    const kit_flash_back_room m = KIT(flash_back_lane)(w, lane, w->tiles);
    int64_t b, g, end;
    for (KIT(flash_back_place)(w, task, 1, &b, &g, &end); g < end; g++)
        KIT(flash_back_group)(w, &m, b, g);
}

/* A tile of rows, for dQ. */
static void KIT(flash_back_row_task)(void *arg, int64_t task, uint32_t lane)
{
    const kit_flash_backward *w = arg;
    const int64_t pair = task / w->tiles, b = w->first_b + pair / w->n_g,
                  g = w->first_g + pair % w->n_g;
    const kit_flash_back_room m = KIT(flash_back_lane)(w, lane, 1);
    kit_flash_back_rows *t = KIT(flash_back_tile)(w, &m, 0);
    KIT(flash_back_ranges)(&w->f, t, b, g, task % w->tiles);
    KIT(flash_back_load)(w, t);
    KIT(flash_back_clear)(w, t);
    memset(m.dQ, 0, sizeof(float) * (size_t)(KIT_FLASH_ROWS * w->width_q));
    for (int64_t start = 0; start < w->keys; start += KIT_FLASH_KEYS) {
        const int64_t left = w->keys - start;
        if (!kit_flash_visible_cells(&t->r, start,
                                     (int)(left < KIT_FLASH_KEYS ? left : KIT_FLASH_KEYS)))
            continue;
        const KIT(flash_keys) x = KIT(flash_back_keys_of)(w, b, g, start, &m);
        KIT(flash_back_block)(w, t, &x, &m, w->d_q ? m.dQ : NULL, 1, 0);
    }
    FLASH_BACK_END(w, t);
    if (w->d_q) KIT(flash_back_write_queries)(w, t, m.dQ);
}

/* A block of keys, for dK and dV. */
static void KIT(flash_back_key_task)(void *arg, int64_t task, uint32_t lane)
{
    const kit_flash_backward *w = arg;
    const kit_flash_back_room m = KIT(flash_back_lane)(w, lane, 1);
    kit_flash_back_rows *t = KIT(flash_back_tile)(w, &m, 0);
    int64_t b, g, end,
        start = KIT(flash_back_place)(w, task, w->blocks, &b, &g, &end) * KIT_FLASH_KEYS;
    for (; g < end; g++) {
        const KIT(flash_keys) x = KIT(flash_back_keys_of)(w, b, g, start, &m);
        memset(m.dK, 0, sizeof(float) * (size_t)(KIT_FLASH_KEYS * (w->pitch_k + w->pitch_v + 1)));
        for (int64_t i = 0; i < w->tiles; i++) {
            KIT(flash_back_ranges)(&w->f, t, b, g, i);
            if (!kit_flash_visible_cells(&t->r, start, x.keys)) continue;
            KIT(flash_back_load)(w, t);
            KIT(flash_back_block)(w, t, &x, &m, NULL, 0, 1);
        }
        KIT(flash_back_write_keys)(w, &m, b, g, start, x.keys);
    }
}

/* ---- sink_logits ---- */

typedef struct KIT(flash_back_sinks) {
    const kit_flash_backward *w;
    float *part; /* [blocks][H16] */
} KIT(flash_back_sinks);

/* dsink = - sum over rows of exp(sink - lse) R, of a block of tokens: a sink is a key whose value is
 * 0. */
static void KIT(flash_back_sink_task)(void *arg, int64_t block, uint32_t lane)
{
    const KIT(flash_back_sinks) *s = arg;
    const kit_flash_backward *w = s->w;
    const kit_flash *f = &w->f;
    float *part = s->part + block * kit_lanes(f->H);
    (void)lane;
    memset(part, 0, sizeof(float) * (size_t)kit_lanes(f->H));
    for (int64_t n = block * KIT_BLOCK_ROWS; n < kit_block_end(block, f->B * f->T); n++)
        for (int64_t h = 0; h < f->H; h += 16) {
            const heed_tensor *sinks = f->sink_logits;
            const int m = f->H - h < 16 ? (int)(f->H - h) : 16;
            float lse[16] = {0}, rest[16] = {0};
            for (int l = 0; l < m; l++) {
                const int64_t at[3] = {n / f->T, n % f->T, h + l};
                lse[l] = *(const float *)(void *)kit_at(f->lse, at, 3);
                if (w->d_out)
                    rest[l] = KIT(flash_back_dot)((const float *)(void *)kit_at(w->d_out, at, 3),
                                                  w->d_out->stride[3], kit_at(f->out, at, 3),
                                                  f->out->dtype, f->out->stride[3], f->E);
                if (w->d_lse) rest[l] -= *(const float *)(void *)kit_at(w->d_lse, at, 3);
            }
            const vf sink = v_read(kit_at(sinks, &h, 1), sinks->dtype, sinks->stride[0], m),
                     p = v_exp(v_sub(sink, v_load(lse)));
            v_store(part + h, v_fma(v_sub(v_set(0.0f), p), v_load(rest), v_load(part + h)));
        }
}
static int32_t KIT(flash_back_sink_run)(const kit_flash_backward *w, const heed_tensor *to,
                                        float *room)
{
    const heed_call *call = w->f.call;
    const int64_t blocks = kit_blocks(w->f.B * w->f.T);
    KIT(flash_back_sinks) s = {w, room};
    const int32_t failed =
        call->host->parallel_for(call->host, blocks, KIT(flash_back_sink_task), &s);
    return failed ? failed
                  : KIT(kit_add_blocks)(
                        call, (kit_block_sums){room, blocks, w->f.H, kit_lanes(w->f.H), to});
}

/* ---- the call ---- */

/* Some sequences and groups. */
static int32_t KIT(flash_back_part)(kit_flash_backward *w)
{
    const heed_host *host = w->f.call->host;
    const int64_t units = w->n_b * (w->n_g < w->f.G ? w->n_g : w->n_g / w->f.share);
    int32_t failed = HEED_OK;
    if (w->relative) return FLASH_BACK_TASKS(w);
    if (w->whole) return host->parallel_for(host, units, KIT(flash_back_groups), w);
    if (w->d_q || w->d_scores || w->score_sums || w->rows_wanted)
        failed = host->parallel_for(host, w->n_b * w->n_g * w->tiles, KIT(flash_back_row_task), w);
    if (!failed && (w->d_k || w->d_v || w->d_keys))
        failed = host->parallel_for(host, units * w->blocks, KIT(flash_back_key_task), w);
    return failed;
}

/* A backward that kit_flash_setup has taken. */
static __attribute__((unused)) int32_t KIT(flash_backward_run)(kit_flash_backward *w)
{
    const kit_flash *f = &w->f;
    const int shared =
        (f->q_by_position && w->d_q) || (f->k_by_position && w->d_k) || w->by_position || w->d_keys;
    int32_t failed = HEED_OK;
    kit_flash_back_sizes(w);
    if (f->B * f->G == 0) return HEED_OK;
    if (w->score_sums)
        memset(w->score_sums, 0,
               sizeof(float) * (size_t)((f->B * f->G * w->sums + 1) * kit_flash_back_sum(f)));
    const int64_t B = w->n_b, G = w->n_g;
    if (shared) w->n_b = 1;
    if (shared && w->one_head) w->n_g = 1;
    for (w->first_b = 0; w->first_b < B && !failed; w->first_b += w->n_b)
        for (w->first_g = 0; w->first_g < G && !failed; w->first_g += w->n_g)
            failed = KIT(flash_back_part)(w);
    return failed;
}

/* The sums of a score op, over all tasks, to the gradients of its weights. */
static __attribute__((unused)) int32_t KIT(flash_back_add_scores)(const kit_flash_backward *w)
{
    const kit_flash *f = &w->f;
    const int64_t n = w->score_sums ? kit_flash_back_sum(f) : 0, tasks = f->B * f->G * w->sums;
    if (n == 0 || tasks == 0) return HEED_OK;
    const heed_tensor to = {.size = sizeof to,
                            .dtype = HEED_F32,
                            .rank = 1,
                            .data = w->score_sums + tasks * n,
                            .dim = {n},
                            .stride = {1}};
    const int32_t failed =
        KIT(kit_add_blocks)(f->call, (kit_block_sums){w->score_sums, tasks, n, n, &to});
    if (!failed) f->score_grad->add(f->score_instance, to.data, w->d_score);
    return failed;
}

/* Of ports as those of flash/op.h: from its tensors, */
static __attribute__((unused)) kit_flash_backward KIT(flash_backward_call)(const void *instance,
                                                                           const heed_grad_call *g)
{
    const heed_tensor *const *d = g->gradient;
    kit_flash_backward w = {.f = kit_flash_call(instance, g->call),
                            .d_out = d[FLASH_OUT],
                            .d_lse = d[FLASH_LSE],
                            .d_q = d[FLASH_Q],
                            .d_k = d[FLASH_K],
                            .d_v = d[FLASH_V],
                            .d_scores = d[FLASH_BIAS]};
    kit_flash_back_inner(&w, g, FLASH_POSITION);
    return w;
}
/* to sink_logits and the weights of a score op, behind the run, */
static __attribute__((unused)) int32_t KIT(flash_backward_sinks)(const kit_flash_backward *w,
                                                                 const heed_grad_call *g)
{
    const heed_tensor *sinks = g->gradient[FLASH_SINK_LOGITS];
    char *room = (char *)g->call->workspace + kit_flash_spans_at(g->call);
    const int32_t failed = KIT(flash_back_add_scores)(w);
    if (failed || !sinks || w->f.B * w->f.G == 0) return failed;
    return KIT(flash_back_sink_run)(w, sinks, (float *)(void *)room);
}
/* and all of it. */
static __attribute__((unused)) int32_t KIT(flash_backward)(const void *instance,
                                                           const heed_grad_call *g)
{
    kit_flash_backward w = KIT(flash_backward_call)(instance, g);
    int32_t failed = kit_flash_back_child(g, FLASH_POSITION);
    if (!failed) failed = kit_flash_setup(&w.f);
    if (!failed) failed = KIT(flash_backward_run)(&w);
    return failed ? failed : KIT(flash_backward_sinks)(&w, g);
}
#undef FLASH_BACK_BEGIN
#undef FLASH_BACK_DOTS
#undef FLASH_BACK_ROWS
#undef FLASH_BACK_END
#undef FLASH_BACK_SQUARED_RELU
#undef FLASH_BACK_TASKS
#endif
