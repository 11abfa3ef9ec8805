/* SPDX-License-Identifier: MIT
 *
 * attention/sparse, the maths: two passes of kit/flash/flash.h, each over keys that follow each
 * other or are picked, so that no tile has more than the pattern has. The first is over far keys,
 * the second goes on from it over near ones:
 *
 *               far, before the near ones                                     near
 *     strided   every stride-th key, for every stride-th query: a class
 *                                                                    the last stride + 1, or stride
 *     fixed     runs of `columns` keys, for every query                      the block of the query
 */
#include <heed/kit.h>
#include <heed/kit/flash/type.h>

#ifdef KIT_FIRST
enum { SPARSE_MERGED, SPARSE_LOCAL, SPARSE_COLUMNS, SPARSE_HEADS };
typedef struct sparse {
    int64_t stride, columns, sets;
    int64_t near; /* strided: keys of the near pass, the query's own among them */
    int fixed, factor;
    int far;      /* of a pass */
} sparse;

/* Positions that a head sees in this pass; of the far one those that are picked. */
KIT_INLINE void sparse_range(const sparse *s, int64_t h, int64_t at, kit_flash_live *x)
{
    const int only = s->factor == SPARSE_HEADS ? h % 2 ? SPARSE_COLUMNS : SPARSE_LOCAL : s->factor;
    const int64_t near = only == SPARSE_COLUMNS ? at + 1
                         : s->fixed             ? at - at % s->stride
                                                : at - s->near + 1;
    const int64_t first = s->far ? 0 : near,
                  last = s->far ? only == SPARSE_LOCAL ? 0 : near : at + 1;
    if (first > x->first) x->first = first;
    if (last < x->last) x->last = last;
}

/* Which set of columns is head h's: its turn among the heads that have columns, which with
 * factor=heads are every second one. */
KIT_INLINE int64_t sparse_set(const sparse *s, int64_t h)
{
    return (s->factor == SPARSE_HEADS ? h / 2 : h) % s->sets;
}

/* What a class of queries sees of far keys, or head h. */
KIT_INLINE kit_flash_pick sparse_pick(const sparse *s, int64_t h, int64_t first_query,
                                      int64_t class)
{
    const int64_t rest = (first_query + class) % s->stride;
    if (s->fixed)
        return (kit_flash_pick){s->stride - s->columns * (1 + sparse_set(s, h)), s->columns,
                                s->stride, 0, 1};
    return (kit_flash_pick){rest < 0 ? rest + s->stride : rest, 1, s->stride, class, s->stride};
}
KIT_INLINE int64_t sparse_classes(const sparse *s, int64_t T)
{
    return s->fixed ? 1 : s->stride < T ? s->stride : T;
}

KIT_INLINE int sparse_has(const sparse *s, int far)
{
    return s->factor != (far ? SPARSE_LOCAL : SPARSE_COLUMNS);
}

/* The workspace: that of any call, and what the far pass has found, where the near one goes on. */
KIT_INLINE uint64_t sparse_found(const heed_call *call, int64_t *outs, int64_t *rows)
{
    const int64_t *axis = call->axis;
    *rows = HEED_AXIS(axis, 'B') * HEED_AXIS(axis, 'T') * HEED_AXIS(axis, 'H'),
    *outs = *rows * HEED_AXIS(axis, 'E');
    return kit_line(kit_flash_workspace(call->tensor[FLASH_DOCUMENTS], HEED_AXIS(axis, 'B')));
}

static void sparse_cost(const kit_flash *f, int64_t b, int64_t g, kit_flash_tally *tally);
#endif

#define FLASH_PER_HEAD 1
#define FLASH_RANGE(f, b, t, h, at, x) sparse_range((f)->variant, h, at, x)
#define FLASH_COST(f, b, g, tally) sparse_cost(f, b, g, tally)
#include <heed/kit/flash/flash.h>

#ifdef KIT_FIRST
static kit_flash sparse_call(const void *instance, const heed_call *call)
{
    kit_flash f = kit_flash_call(instance, call);
    f.per_head = ((const sparse *)f.variant)->sets > 1;
    f.rows_in_pages = 1;
    return f;
}

static void sparse_cost(const kit_flash *f, int64_t b, int64_t g, kit_flash_tally *tally)
{
    const sparse *s = f->variant;
    sparse pass = *s;
    kit_flash x = *f;
    kit_flash_tally near = {0}, columns = {0};
    x.variant = &pass;
    if (sparse_has(s, 0)) kit_flash_cost_pass(&x, b, g, &near);
    pass.far = 1;
    for (int64_t c = 0; sparse_has(s, 1) && c < sparse_classes(s, f->T); c++) {
        const kit_flash far =
            kit_flash_picked(&x, sparse_pick(s, g * f->group, kit_flash_origin(f, b), c));
        kit_flash_cost_pass(&far, b, g, &columns);
    }
    const double either = near.most > columns.most ? near.most : columns.most;
    const double most = s->factor == SPARSE_HEADS ? either
                                                  : near.most + columns.most; /* one set, or both */
    tally->pairs += near.pairs + columns.pairs;
    tally->cells += near.cells + columns.cells;
    tally->keys += near.keys + columns.keys;
    if (most > tally->most) tally->most = most;
}
#endif

/* Task (sequence, group of heads, class, part). */
static void KIT(sparse_far)(void *arg, int64_t task, uint32_t lane)
{
    const kit_flash *f = arg;
    const sparse *s = f->variant;
    const int64_t classes = sparse_classes(s, f->T), part = task % f->tasks,
                  class = task / f->tasks % classes;
    const int64_t place = task / f->tasks / classes, b = place / f->G, g = place % f->G;
    kit_flash x = kit_flash_picked(f, sparse_pick(s, g * f->group, kit_flash_origin(f, b), class));
    if (part < x.tasks) KIT(flash_task)(&x, place * x.tasks + part, lane);
}

static int32_t KIT(forward)(const void *instance, const heed_call *call)
{
    kit_flash near = sparse_call(instance, call), far;
    const sparse *s = near.variant;
    sparse pass = *s;
    const heed_host *host = call->host;
    int64_t outs, rows;
    float *found = (float *)((char *)call->workspace + sparse_found(call, &outs, &rows));
    int32_t failed = kit_flash_setup(&near);
    if (!failed) failed = KIT(flash_update_cache)(&near);
    if (failed) return failed;
    const int64_t B = near.B, T = near.T, H = near.H, E = near.E;
    heed_tensor out = {.dtype = HEED_F32,
                       .rank = 4,
                       .dim = {B, T, H, E},
                       .stride = {T * H * E, H * E, E, 1},
                       .data = found};
    heed_tensor lse = {.dtype = HEED_F32,
                       .rank = 3,
                       .dim = {B, T, H},
                       .stride = {T * H, H, 1},
                       .data = found + outs};
    far = near, far.variant = &pass, pass.far = 1;
    if (sparse_has(s, 0)) far.out = &out, far.lse = &lse;
    if (sparse_has(s, 1)) {
        const int64_t classes = sparse_classes(s, T),
                      a = kit_flash_picked(&far, sparse_pick(s, 0, 0, 0)).tasks;
        /* A class has a query more or less. */
        const int64_t z = kit_flash_picked(&far, sparse_pick(s, 0, 0, classes - 1)).tasks;
        far.tasks = a > z ? a : z;
        failed = host->parallel_for(host, B * near.G * classes * far.tasks, KIT(sparse_far), &far);
        near.before = &out, near.before_lse = &lse, near.sink_logits = NULL;
    }
    if (failed || !sparse_has(s, 0)) return failed;
    return host->parallel_for(host, B * near.G * near.tasks, KIT(flash_task), &near);
}

/* ---- backward ---- */

struct kit_flash_backward;
struct kit_flash_back_rows;
static void KIT(sparse_sums)(const struct kit_flash_backward *w,
                             const struct kit_flash_back_rows *t, const KIT(flash_keys) * x,
                             const KIT(flash_runs) * runs, float *X);
#define FLASH_BACK_ROWS(w, t, x, runs, P, X) KIT(sparse_sums)(w, t, x, runs, X)
#include <heed/kit/flash/backward.h>

#ifdef KIT_FIRST
/* Where all passes of a call add what a score op wants of dS, in the places of the near one. */
typedef struct sparse_scores {
    float *sums;
    int64_t parts; /* of a sequence and group */
} sparse_scores;

static int32_t measure_backward(const void *instance, const heed_grad_call *g, heed_call_size *size)
{
    const kit_flash f = sparse_call(instance, g->call);
    size->scratch = kit_flash_back_scratch(f);
    size->workspace = kit_flash_back_workspace(&f);
    return HEED_OK;
}
#endif

static void KIT(clear)(const heed_tensor *t)
{
    const int64_t n = t ? t->dim[0] * t->dim[1] * t->dim[2] : 0, stride = t ? t->stride[3] : 0;
    for (int64_t r = 0; r < n; r++)
        for (int64_t d = 0; d < t->dim[3]; d += 16)
            v_write(kit_row(t, r) + 4 * d * stride, HEED_F32, stride, v_set(0.0f),
                    t->dim[3] - d < 16 ? (int)(t->dim[3] - d) : 16);
}

/* What a score op wants of dS, for keys that follow each other. */
static void KIT(sparse_sums)(const kit_flash_backward *w, const kit_flash_back_rows *t,
                             const KIT(flash_keys) * x, const KIT(flash_runs) * runs, float *X)
{
    const kit_flash *f = &w->f;
    const sparse_scores *s = w->own;
    const int64_t pair = t->r.batch * f->G + t->r.head[0] / f->group,
                  part = s->parts > 1 ? t->r.row0 / KIT_FLASH_ROWS : 0;
    float *sums = s->sums + (pair * s->parts + part) * kit_flash_back_sum(f);
    for (int n = 0; n < runs->n; n++) {
        const int row = runs->at[n].first * VR_LANES, rows = runs->at[n].last * VR_LANES - row,
                  to = runs->at[n].to < x->keys ? runs->at[n].to : x->keys;
        for (int k = runs->at[n].from, end; k < to; k = end) {
            const int64_t key = x->start + k,
                          left = f->pick.step ? f->pick.run - key % f->pick.run : to - k;
            end = left < to - k ? k + (int)left : to;
            heed_score_tile tile =
                KIT(flash_tile)(f, &t->r, x, X, KIT_FLASH_ROWS, 1, k, end, row, rows);
            tile.first_key = kit_flash_picked_position(&f->pick, key), tile.unit = 1;
            f->score_grad->tile(f->score_instance, &tile, sums);
        }
    }
}

/* What near keys give, and then class by class, or head by head, what far ones do. */
static int32_t KIT(backward)(const void *instance, const heed_grad_call *g)
{
    kit_flash_backward w = KIT(flash_backward_call)(instance, g);
    w.f = sparse_call(instance, g->call), w.d_scores = NULL;
    const sparse *s = w.f.variant;
    sparse pass = *s;
    int32_t failed = kit_flash_back_child(g, FLASH_POSITION);
    if (!failed && g->call->tensor[FLASH_BIAS])
        failed =
            kit_fail(g->call->sink, HEED_E_UNSUPPORTED, "with a bias there is no backward yet");
    if (!failed) failed = kit_flash_setup(&w.f);
    if (failed) return failed;
    const kit_flash near = w.f;
    kit_flash_back_sizes(&w);
    const sparse_scores scores = {w.score_sums, w.sums};
    if (scores.sums)
        memset(scores.sums, 0,
               sizeof(float) *
                   (size_t)((near.B * near.G * scores.parts + 1) * kit_flash_back_sum(&near)));
    w.own = (void *)(uintptr_t)&scores;
    w.score_sums = NULL, w.rows_wanted = scores.sums != NULL;
    KIT(clear)(w.d_q), KIT(clear)(w.d_k), KIT(clear)(w.d_v);
    w.adds_q = w.adds_k = w.adds_v = 1;
    if (sparse_has(s, 0)) failed = KIT(flash_backward_run)(&w);
    pass.far = 1, w.f.variant = &pass;
    kit_flash far = w.f;
    for (int64_t b = 0; b < near.B && sparse_has(s, 1); b++)
        for (int64_t g0 = 0; g0 < near.G; g0 += near.per_head ? 1 : near.G)
            for (int64_t c = 0; c < sparse_classes(s, near.T) && !failed; c++) {
                w.f = kit_flash_picked(
                    &far, sparse_pick(s, g0 * near.group, kit_flash_origin(&near, b), c));
                kit_flash_back_sizes(&w);
                w.first_b = b, w.n_b = 1, w.first_g = g0;
                if (near.per_head) w.n_g = 1;
                failed = KIT(flash_back_part)(&w);
            }
    w.f = near, w.score_sums = scores.sums, w.sums = scores.parts;
    return failed ? failed : KIT(flash_backward_sinks)(&w, g);
}
KIT_BACKWARD_WITH(HEED_GRAD_INNER,
                  KIT_PORT(FLASH_Q) | KIT_PORT(FLASH_K) | KIT_PORT(FLASH_V) |
                      KIT_PORT(FLASH_SINK_LOGITS),
                  KIT_FLASH_TAKES, KIT_FLASH_TAKES, measure_backward)

#include <heed/kit/next.h>
#ifdef KIT_AGAIN
#include __FILE_NAME__
#endif
