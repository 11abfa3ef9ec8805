/* SPDX-License-Identifier: MIT
 *
 * heed/kit/flash/relative_backward.h: the backward of kit/flash/relative.h and
 * flash/relative_values.h: tables p and z of a vector for each distance from a query back to a key.
 * With dS and the weights P of a row summed over the keys of each distance e,
 *
 *     X_ie = sum of dS_ij over keys j at e      W_ie = sum of P_ij over them
 *     dQ += scale X p      dp += scale X^T Q      dz += W^T dO      and dP += dO z, along diagonals
 *
 * X and W of a tile of rows lie as a block of keys does, with distances in the place of keys, so
 * that the products are those of dQ, dK and dV. A tile meets all its keys before the next one: in
 * whole groups a lane has dK and dV of all keys at hand instead of the queries' side, with five
 * products besides those of the tables; where groups are few, some tiles are a task, and blocks of
 * keys are the tasks of another pass, as in flash/backward.h.
 *
 * What a chunk of tiles adds to a table is one chain, row by row; chunks are added by a binary tree
 * over their index: sequences within a head of the table, or groups and sequences where one table
 * serves all heads. A row that sees no key at a distance has no part in that distance's sum.
 *
 * Include it in a kernel file behind flash.h, in the place of flash/backward.h. An op places a
 * kit_flash_back_relative, for its measure_backward too, and calls KIT(flash_back_relative_run), then
 * KIT(flash_back_table) for each table. A variant whose
 * FLASH_BEGIN or FLASH_RELATIVE_QUERY change queries has a twin:
 *
 *     FLASH_BACK_RELATIVE_BEGIN(w, t, to)    changes the queries of tile t, by rows and by columns,
 *                                            and writes those of the table to `to`, by rows
 *     FLASH_BACK_RELATIVE_END(w, t)          what FLASH_BACK_END is there
 *     FLASH_BACK_NO_TABLES                   defined: lines are of what FLASH_BACK_ROWS says alone
 */
#include <heed/kit/core/grad.h>
#ifndef FLASH_BACK_NO_TABLES
#include <heed/kit/flash/relative.h>
#endif
#include <heed/kit/flash/flash.h>

struct kit_flash_backward;
struct kit_flash_back_rows;
static void KIT(flash_back_relative_begin)(const struct kit_flash_backward *w,
                                           struct kit_flash_back_rows *t);
static void KIT(flash_back_relative_dots)(const struct kit_flash_backward *w,
                                          struct kit_flash_back_rows *t, const KIT(flash_keys) * x,
                                          float *X);
static __attribute__((unused)) void KIT(flash_back_by_distance)(const struct kit_flash_backward *w,
                                                                const struct kit_flash_back_rows *t,
                                                                const KIT(flash_keys) * x,
                                                                const KIT(flash_runs) * runs,
                                                                const float *P, const float *X);
static int32_t KIT(flash_back_relative_tasks)(struct kit_flash_backward *w);
#define FLASH_BACK_BEGIN(w, t) KIT(flash_back_relative_begin)(w, t)
#define FLASH_BACK_DOTS(w, t, x, X) KIT(flash_back_relative_dots)(w, t, x, X)
#define FLASH_BACK_TASKS(w) KIT(flash_back_relative_tasks)(w)
#ifndef FLASH_BACK_ROWS
#define FLASH_BACK_ROWS(w, t, x, runs, P, X) KIT(flash_back_by_distance)(w, t, x, runs, P, X)
#endif
#ifndef FLASH_BACK_RELATIVE_BEGIN
#define FLASH_BACK_RELATIVE_BEGIN(w, t, to) ((void)0)
#endif
#ifndef FLASH_BACK_RELATIVE_END
#define FLASH_BACK_RELATIVE_END(w, t) ((void)0)
#endif
#include <heed/kit/flash/backward.h>

#ifndef HEED_KIT_FLASH_RELATIVE_BACKWARD_ONCE
#define HEED_KIT_FLASH_RELATIVE_BACKWARD_ONCE

enum {
    KIT_FLASH_CHUNK = 6,  /* tiles whose sums are one chain, at least */
    KIT_FLASH_CHUNKS = 8, /* of a group, at most */
    KIT_FLASH_BIASES = 2, /* lines behind those of a table of keys */
};

/* A call's tables and sums. A line is of a distance, nearest first, D or E in whole vectors wide;
 * those behind the last, of keys, are the sums over the rows of dQ without scale: what keys give, and
 * what the table does. The op sets the first five. */
typedef struct kit_flash_back_relative {
    /* Of the same distances; values NULL: none. keys NULL: lines are of what the op says, which fills
     * `rows`, and adds to X in FLASH_BACK_ROWS. */
    const kit_flash_table *keys, *values;
    int64_t heads;   /* tables: 1, or one a head */
    int64_t lines;   /* of a table; in whole cells then */
    int own_queries; /* those of the table are others than those of the keys */
    int64_t width, value_width;
    int64_t own;               /* floats of a tile that are the variant's in forward */
    int64_t window;            /* lines that a tile can have, in whole cells */
    int64_t per_chunk, chunks; /* tiles of a chunk, and chunks of a group */
    float *rows;               /* [heads][lines][width]: the keys' table by rows */
    float *part,
        *value_part;        /* [G][B][chunks] sums, [lines + biases][width], [lines][value_width] */
    float *sum, *value_sum; /* [heads], the same */
} kit_flash_back_relative;

/* What a tile has of distances: those from `base` on, `from` to `to` of them seen, [window][48]. */
typedef struct kit_flash_back_distances {
    int64_t base, from, to;
    float *W, *X, *dQ, *queries;
    kit_flash_carried *of_keys, *of_values;
} kit_flash_back_distances;

KIT_INLINE int64_t kit_flash_back_chunk_floats(const kit_flash_back_relative *r)
{
    return (r->lines + KIT_FLASH_BIASES) * r->width;
}

/* Places what a call needs, whose tensors are set, in the workspace from `room` on, which may be
 * NULL. Returns the floats. Changes the call: each head has tiles of its own, which have more
 * floats. */
static __attribute__((unused)) int64_t
kit_flash_back_relative_place(kit_flash *f, kit_flash_back_relative *r, float *room)
{
    f->per_head = 1;
    kit_flash_sizes(f);
    const int64_t tiles = (f->rows + KIT_FLASH_ROWS - 1) / KIT_FLASH_ROWS,
                  most = (tiles + KIT_FLASH_CHUNKS - 1) / KIT_FLASH_CHUNKS;
    r->own = f->own, r->lines = kit_lanes(r->lines);
    r->width = kit_lanes(f->D), r->value_width = r->values ? kit_lanes(f->E) : 0;
    r->window = kit_lanes(f->S + KIT_FLASH_ROWS + KIT_FLASH_CELL);
    if (r->window > r->lines || !r->keys) r->window = r->lines;
    r->per_chunk = most > KIT_FLASH_CHUNK ? most : KIT_FLASH_CHUNK;
    r->chunks = (tiles + r->per_chunk - 1) / r->per_chunk;
    f->own = kit_lanes(r->own) + kit_lanes(sizeof(kit_flash_back_distances) / sizeof(float)) +
             KIT_FLASH_ROWS * (2 * r->window + 2 * r->width) +
             2 * kit_lanes(sizeof(kit_flash_carried) / sizeof(float));
    const int64_t parts = f->B * f->G * r->chunks, chunk = kit_flash_back_chunk_floats(r);
    const int64_t size[] = {r->heads * r->lines * r->width, parts * chunk,
                            parts * r->lines * r->value_width, r->heads * chunk,
                            r->heads * r->lines * r->value_width};
    float **to[] = {&r->rows, &r->part, &r->value_part, &r->sum, &r->value_sum};
    int64_t floats = 0;
    for (uint32_t i = 0; i < KIT_COUNT(size); floats += size[i++])
        *to[i] = room ? room + floats : NULL;
    return floats;
}

/* A lane's scratch, for a call of the function above. */
static __attribute__((unused)) uint64_t kit_flash_back_relative_scratch(const kit_flash *f)
{
    kit_flash_backward w = {.f = *f};
    kit_flash_back_sizes(&w);
    int64_t floats = kit_flash_back_floats(f->D, f->E) + KIT_FLASH_ROWS * w.width_q;
    if (w.whole) floats += w.blocks * KIT_FLASH_KEYS * (w.pitch_k + w.pitch_v + 1);
    return (uint64_t)floats * sizeof(float) + (uint64_t)kit_flash_back_tile(f);
}

/* What a tile has of distances lies behind the variant's floats. */
KIT_INLINE kit_flash_back_distances *kit_flash_back_distances_of(const kit_flash_back_relative *r,
                                                                 const kit_flash_back_rows *t)
{
    return (kit_flash_back_distances *)(void *)(t->r.own + kit_lanes(r->own));
}
KIT_INLINE int64_t kit_flash_back_entry(const kit_flash_table *t, int64_t distance)
{
    const int64_t e = distance - t->first;
    return e < 0 ? 0 : e >= t->entries ? t->entries - 1 : e;
}
#endif

/* ---- a tile and a block of keys ---- */

/* The tile's rows are there: places what it has of distances. */
static void KIT(flash_back_relative_begin)(const kit_flash_backward *w, kit_flash_back_rows *t)
{
    const kit_flash_back_relative *r = w->relative;
    if (!r) return;
    const int64_t carried = kit_lanes(sizeof(kit_flash_carried) / sizeof(float));
    kit_flash_back_distances *s = kit_flash_back_distances_of(r, t);
    float *at = (float *)(void *)s + kit_lanes(sizeof *s / sizeof(float));
    s->of_keys = (kit_flash_carried *)(void *)at, at += carried;
    s->of_values = (kit_flash_carried *)(void *)at, at += carried;
    s->W = at, s->X = s->W + KIT_FLASH_ROWS * r->window;
    s->dQ = s->X + KIT_FLASH_ROWS * r->window;
    s->queries = r->own_queries ? s->dQ + KIT_FLASH_ROWS * r->width : t->queries;
    t->r.carried = s->of_keys, s->of_keys->start = s->of_values->start = -1;
    FLASH_BACK_RELATIVE_BEGIN(w, t, s->queries);
}

/* What values by distance are for dO V^T. */
static void KIT(flash_back_relative_dots)(const kit_flash_backward *w, kit_flash_back_rows *t,
                                          const KIT(flash_keys) * x, float *X)
{
    const kit_flash_back_relative *r = w->relative;
    if (!r || !r->values) return;
#ifdef FLASH_BACK_NO_TABLES
    (void)t, (void)x, (void)X;
#else
    kit_flash_back_distances *s = kit_flash_back_distances_of(r, t);
    kit_flash f = w->f;
    f.D = f.E, t->r.carried = s->of_values;
    KIT(flash_relative_many)(&f, &t->r, t->columns, X, x->start, r->values);
    t->r.carried = s->of_keys;
#endif
}

/* Adds dS and the weights of a block to those of distances. Between the ends of the table a
 * distance has one key. */
static void KIT(flash_back_by_distance)(const kit_flash_backward *w, const kit_flash_back_rows *t,
                                        const KIT(flash_keys) * x, const KIT(flash_runs) * runs,
                                        const float *P, const float *X)
{
    const kit_flash_table *table = w->relative->keys;
    kit_flash_back_distances *s = kit_flash_back_distances_of(w->relative, t);
    const int64_t last = table->entries - 1;
    for (int n = 0; n < runs->n; n++) {
        const int first = runs->at[n].first * VR_LANES, all = runs->at[n].last * VR_LANES,
                  end = all < t->r.rows ? all : t->r.rows;
        if (first >= end) continue;
        for (int k = runs->at[n].from; k < runs->at[n].to; k++) {
            const int64_t *position = t->r.position, key = x->start + k + table->first;
            for (int i = first; i < end; i++) {
                const int64_t e = position[i] - key,
                              inside = e < 0      ? 0
                                       : e > last ? last
                                                  : e,
                              at = (inside - s->base) * KIT_FLASH_ROWS + i;
                const float p = P[k * KIT_FLASH_ROWS + i], d = X[k * KIT_FLASH_ROWS + i];
                if (p < 0) continue;
                const int more = (e <= 0 || e >= last) && !(s->W[at] < 0);
                s->W[at] = more ? s->W[at] + p : p;
                s->X[at] = more ? s->X[at] + d : d;
            }
            const int64_t near = kit_flash_back_entry(table, position[first] - x->start - k),
                          far = kit_flash_back_entry(table, position[end - 1] - x->start - k);
            if (x->start + k >= w->f.S) break;
            if (near < s->from) s->from = near;
            if (far >= s->to) s->to = far + 1;
        }
    }
}

/* ---- a tile behind its keys ---- */

/* No distance is seen yet. */
static void KIT(flash_back_no_distance)(const kit_flash_backward *w, const kit_flash_back_rows *t)
{
    const kit_flash_back_relative *r = w->relative;
    kit_flash_back_distances *s = kit_flash_back_distances_of(r, t);
    s->base = s->from = 0, s->to = r->lines;
    if (r->keys) {
        s->base = kit_flash_back_entry(r->keys, t->r.position[0] - w->f.S + 1) / KIT_FLASH_CELL *
                  KIT_FLASH_CELL;
        s->from = INT64_MAX, s->to = 0;
    }
    for (int64_t i = 0; i < KIT_FLASH_ROWS * r->window; i += 16)
        v_store(s->W + i, v_set(-1.0f)), v_store(s->X + i, v_set(0.0f));
}

/* to[d] += the sums over the tile's rows of dQ [d][48]. */
static void KIT(flash_back_row_sums)(const kit_flash_back_rows *t, const float *dQ, int64_t D,
                                     float *to)
{
    for (int64_t d = 0; d < D; d++) {
        vf sum = v_set(0.0f);
        for (int i = 0; i < t->r.rows; i += 16) {
            const int left = t->r.rows - i;
            sum = v_add(sum, v_load_n(dQ + d * KIT_FLASH_ROWS + i, left < 16 ? left : 16));
        }
        to[d] += v_sum(sum);
    }
}

/* What the distances give to dQ, and to the sums of a chunk. */
static void KIT(flash_back_distances_end)(const kit_flash_backward *w, const kit_flash_back_rows *t,
                                          float *part, float *value_part, float *dQ)
{
    const kit_flash_back_relative *r = w->relative;
    const kit_flash_back_distances *s = kit_flash_back_distances_of(r, t);
    float *biases = part + r->lines * r->width;
    KIT(flash_back_row_sums)(t, dQ, w->f.D, biases);
    if (s->from >= s->to) return;
    const int64_t from = (s->from - s->base) / KIT_FLASH_CELL * KIT_FLASH_CELL,
                  to = kit_lanes(s->to - s->base);
    const int64_t head = r->heads > 1 ? t->r.head[0] : 0;
    const KIT(flash_keys)
        x = {.K = r->rows + (head * r->lines + s->base) * r->width, .ldk = r->width};
    KIT(flash_runs) all = {.n = 1};
    all.at[0].from = (int)from, all.at[0].to = (int)to, all.at[0].masked = 1;
    all.at[0].first = 0, all.at[0].last = KIT_FLASH_CELL / VR_LANES * t->r.groups;
    memset(s->dQ, 0, sizeof(float) * (size_t)(KIT_FLASH_ROWS * r->width));
    KIT(flash_back_queries)(w, &all, &x, s->W, s->X, s->dQ);
    KIT(flash_back_keys)
    (t, &all, s->W, s->X, s->queries, r->width, part + s->base * r->width, r->width);
    if (r->values) KIT(flash_back_keys)
    (t, &all, s->W, s->W, t->gradients, r->value_width, value_part + s->base * r->value_width,
     r->value_width);
    KIT(flash_back_row_sums)(t, s->dQ, w->f.D, biases + r->width);
    for (int64_t i = 0; i < KIT_FLASH_ROWS * r->width; i += 16)
        v_store(dQ + i, v_add(v_load(dQ + i), v_load(s->dQ + i)));
}

/* ---- tasks ---- */

/* A chunk of tiles of a group. `keys`: all blocks' dK, dV and sums, [blocks], are added to; or
 * NULL. */
static void KIT(flash_back_chunk)(const kit_flash_backward *w, const kit_flash_back_room *m,
                                  int64_t b, int64_t g, int64_t chunk, float *keys)
{
    const kit_flash_back_relative *r = w->relative;
    const int64_t n = (g * w->f.B + b) * r->chunks + chunk,
                  apart = KIT_FLASH_KEYS * (w->pitch_k + w->pitch_v + 1);
    float *part = r->part + n * kit_flash_back_chunk_floats(r),
          *value_part = r->value_part + n * r->lines * r->value_width;
    kit_flash_back_rows *t = KIT(flash_back_tile)(w, m, 0);
    memset(part, 0, sizeof(float) * (size_t)kit_flash_back_chunk_floats(r));
    memset(value_part, 0, sizeof(float) * (size_t)(r->lines * r->value_width));
    for (int64_t i = chunk * r->per_chunk; i < (chunk + 1) * r->per_chunk && i < w->tiles; i++) {
        KIT(flash_back_ranges)(&w->f, t, b, g, i);
        KIT(flash_back_load)(w, t);
        KIT(flash_back_clear)(w, t);
        KIT(flash_back_no_distance)(w, t);
        memset(m->dQ, 0, sizeof(float) * (size_t)(KIT_FLASH_ROWS * w->width_q));
        for (int64_t start = 0; start < w->keys; start += KIT_FLASH_KEYS) {
            const int64_t left = w->keys - start;
            kit_flash_back_room of = *m;
            if (!kit_flash_visible_cells(&t->r, start,
                                         (int)(left < KIT_FLASH_KEYS ? left : KIT_FLASH_KEYS)))
                continue;
            const KIT(flash_keys) x = KIT(flash_back_keys_of)(w, b, g, start, m);
            if (keys) {
                of.dK = keys + start / KIT_FLASH_KEYS * apart;
                of.dV = of.dK + KIT_FLASH_KEYS * w->pitch_k;
            }
            KIT(flash_back_block)(w, t, &x, &of, w->f.k ? m->dQ : NULL, 1, keys != NULL);
        }
        KIT(flash_back_distances_end)(w, t, part, value_part, m->dQ);
        FLASH_BACK_RELATIVE_END(w, t);
        if (w->d_q) KIT(flash_back_write_queries)(w, t, m->dQ);
    }
}

/* Whole groups: all chunks, and dK and dV. */
static void KIT(flash_back_whole_chunks)(void *arg, int64_t task, uint32_t lane)
{
    const kit_flash_backward *w = arg;
    const kit_flash_back_room m = KIT(flash_back_lane)(w, lane, 1);
    const int64_t apart = KIT_FLASH_KEYS * (w->pitch_k + w->pitch_v + 1);
    float *keys = m.dQ + KIT_FLASH_ROWS * w->width_q;
    int64_t b, g, end;
    for (KIT(flash_back_place)(w, task, 1, &b, &g, &end); g < end; g++) {
        memset(keys, 0, sizeof(float) * (size_t)(w->blocks * apart));
        for (int64_t n = 0; n < w->relative->chunks; n++)
            KIT(flash_back_chunk)(w, &m, b, g, n, keys);
        for (int64_t n = 0; n < w->blocks; n++) {
            const int64_t start = n * KIT_FLASH_KEYS, left = w->keys - start;
            kit_flash_back_room of = m;
            of.dK = keys + n * apart, of.dV = of.dK + KIT_FLASH_KEYS * w->pitch_k;
            KIT(flash_back_write_keys)
            (w, &of, b, g, start, (int)(left < KIT_FLASH_KEYS ? left : KIT_FLASH_KEYS));
        }
    }
}

static void KIT(flash_back_chunk_task)(void *arg, int64_t task, uint32_t lane)
{
    const kit_flash_backward *w = arg;
    const kit_flash_back_room m = KIT(flash_back_lane)(w, lane, 1);
    const int64_t chunks = w->relative->chunks, pair = task / chunks;
    KIT(flash_back_chunk)(w, &m, pair / w->f.G, pair % w->f.G, task % chunks, NULL);
}

/* A cell of the keys' table by rows. */
static void KIT(flash_back_table_rows)(void *arg, int64_t task, uint32_t lane)
{
    const kit_flash_back_relative *r = arg;
    const int64_t cells = r->lines / KIT_FLASH_CELL, head = task / cells,
                  e = task % cells * KIT_FLASH_CELL;
    const float *from = r->keys->columns + head * r->keys->head + e;
    float *to = r->rows + (head * r->lines + e) * r->width;
    (void)lane;
    for (int64_t d = 0; d < r->width; d += 16) {
        vf x[16];
        for (int l = 0; l < 16; l++) x[l] = v_load(from + (d + l) * r->keys->apart);
        v_transpose(x);
        for (int l = 0; l < 16; l++) v_store(to + l * r->width + d, x[l]);
    }
}

static int32_t KIT(flash_back_relative_tasks)(kit_flash_backward *w)
{
    const heed_host *host = w->f.call->host;
    const int64_t units = w->f.B * (w->f.G / w->f.share), pairs = w->f.B * w->f.G;
    if (w->whole) return host->parallel_for(host, units, KIT(flash_back_whole_chunks), w);
    const int32_t failed =
        host->parallel_for(host, pairs * w->relative->chunks, KIT(flash_back_chunk_task), w);
    return failed || !(w->d_k || w->d_v)
               ? failed
               : host->parallel_for(host, units * w->blocks, KIT(flash_back_key_task), w);
}

/* sum [heads][floats] of the chunks' parts. */
static int32_t KIT(flash_back_add_chunks)(const kit_flash_backward *w, float *part, int64_t floats,
                                          float *sum)
{
    const int64_t heads = w->relative->heads, parts = w->f.B * w->f.G / heads * w->relative->chunks;
    int32_t failed = HEED_OK;
    memset(sum, 0, sizeof(float) * (size_t)(heads * floats));
    for (int64_t h = 0; h < heads && !failed && floats; h++) {
        const heed_tensor to = {.size = sizeof to,
                                .dtype = HEED_F32,
                                .rank = 1,
                                .data = sum + h * floats,
                                .dim = {floats},
                                .stride = {1}};
        failed = KIT(kit_add_blocks)(
            w->f.call, (kit_block_sums){part + h * parts * floats, parts, floats, floats, &to});
    }
    return failed;
}

/* A backward that kit_flash_setup has taken, with the sums over its rows. */
static __attribute__((unused)) int32_t KIT(flash_back_relative_run)(kit_flash_backward *w)
{
    kit_flash_back_relative *r = (kit_flash_back_relative *)(uintptr_t)w->relative;
    const heed_call *call = w->f.call;
    int32_t failed = HEED_OK;
    w->rows_wanted = 1;
    if (r->keys)
        failed = call->host->parallel_for(call->host, r->heads * (r->lines / KIT_FLASH_CELL),
                                          KIT(flash_back_table_rows), r);
    if (!failed) failed = KIT(flash_backward_run)(w);
    if (!failed)
        failed = KIT(flash_back_add_chunks)(w, r->part, kit_flash_back_chunk_floats(r), r->sum);
    return failed ? failed
                  : KIT(flash_back_add_chunks)(w, r->value_part, r->lines * r->value_width,
                                               r->value_sum);
}

/* Adds lines, times a factor, to a gradient [entries, width], nearest first or, if `backwards`,
 * last. */
static __attribute__((unused)) void KIT(flash_back_table)(const heed_tensor *to, const float *lines,
                                                          int64_t apart, float factor,
                                                          int backwards)
{
    for (int64_t e = 0; to && e < to->dim[0]; e++)
        for (int64_t d = 0; d < to->dim[1]; d += 16) {
            const int64_t at[2] = {backwards ? to->dim[0] - 1 - e : e, d}, stride = to->stride[1];
            const int m = to->dim[1] - d < 16 ? (int)(to->dim[1] - d) : 16;
            char *p = kit_at(to, at, 2);
            v_write(
                p, HEED_F32, stride,
                v_fma(v_load(lines + e * apart + d), v_set(factor), v_read(p, HEED_F32, stride, m)),
                m);
        }
}
#undef FLASH_BACK_RELATIVE_BEGIN
#undef FLASH_BACK_RELATIVE_END
#undef FLASH_BACK_NO_TABLES
