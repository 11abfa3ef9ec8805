/* SPDX-License-Identifier: MIT
 *
 * heed/kit/flash/partial.h: heed.partial/1 for every op whose forward is KIT(flash_forward): what
 * rows have of a node of the tree of spans (flash/spans.h), how two nodes are merged, and how the
 * root becomes outputs. Include it behind kit/flash/flash.h:
 *
 *     static const heed_partial partial = KIT_FLASH_PARTIAL;
 *
 * The arithmetic is that of a tile that goes through all keys itself: the same blocks, the same
 * merges in the same order. Only what lies between them is written down, a row at a time:
 *
 *     max, sum, has, O[0] .. O[E - 1]              as in kit_flash_partial
 */
#include <heed/abi/partial.h>
#include <heed/kit/flash/flash.h>

#ifndef HEED_KIT_FLASH_PARTIAL_ONCE
#define HEED_KIT_FLASH_PARTIAL_ONCE

#define KIT_FLASH_HEAD 3 /* floats of a row before its outputs */

/* One compute or finish. */
typedef struct kit_flash_parts {
    kit_flash f;
    const heed_partial_call *x;
    heed_tensor k, v;
    int64_t per_node; /* tasks of a node */
    int64_t tiles;    /* of finish: of a sequence */
    int32_t again;    /* set by any lane */
} kit_flash_parts;

/* A tensor of the keys from `first` on, as if it had those before them, which nobody reads. */
KIT_INLINE heed_tensor kit_flash_moved(const heed_tensor *t, int64_t first)
{
    heed_tensor moved = *t;
    moved.data = (void *)((uintptr_t)t->data -
                          (uintptr_t)(first * t->stride[1] * kit_width(t->dtype)));
    return moved;
}

/* The call, with its keys and queries where they are in the text. */
KIT_INLINE void kit_flash_parts_call(kit_flash_parts *w, const void *instance,
                                     const heed_partial_call *x)
{
    const heed_call *call = x->call;
    *w = (kit_flash_parts){.f = kit_flash_call(instance, call), .x = x};
    w->f.earlier = x->first_query;
    w->f.later = x->queries - x->first_query - HEED_AXIS(call->axis, 'T');
    if (call->state) return;
    w->k = kit_flash_moved(w->f.k, x->first_key), w->f.k = &w->k;
    w->v = kit_flash_moved(w->f.v, x->first_key), w->f.v = &w->v;
}

KIT_INLINE int64_t kit_flash_floats(const void *instance, const heed_call *call)
{
    (void)instance;
    return KIT_FLASH_HEAD + HEED_AXIS(call->axis, 'E');
}

KIT_INLINE int32_t kit_flash_measure_partial(const void *instance, const heed_partial_call *x,
                                             heed_call_size *size)
{
    return kit_flash_measure_call(instance, x->call, size);
}

/* The number of a row: that of a query and a head. */
KIT_INLINE int64_t kit_flash_row_at(const kit_flash *f, int64_t b, int64_t t, int64_t h)
{
    return (b * f->T + t) * f->H + h;
}

/* Marks the spans of keys [first, last) of `keys`; `before` has those that were marked last: rows
 * that see the same come one behind the other. */
KIT_INLINE void kit_flash_mark(unsigned char *span, int64_t keys, int64_t first, int64_t last,
                               int64_t before[2])
{
    if (last > keys) last = keys;
    if (first >= last) return;
    const int64_t from = first / KIT_FLASH_SPAN, to = (last - 1) / KIT_FLASH_SPAN + 1;
    if (from == before[0] && to == before[1]) return;
    memset(span + from, 1, (size_t)(to - from));
    before[0] = from, before[1] = to;
}

KIT_INLINE void kit_flash_seen(const void *instance, const heed_partial_call *x,
                               unsigned char *span)
{
    kit_flash f = kit_flash_call(instance, x->call);
    int64_t keys[2] = {-1, -1}, sinks[2] = {-1, -1};
    kit_flash_sizes(&f);
    f.earlier = x->first_query, f.later = x->queries - x->first_query - f.T;
    for (int64_t b = 0; b < f.B; b++) {
        const uint8_t sorted = f.documents ? (uint8_t)kit_flash_documents_rise(&f, b) : 0;
        const int64_t origin = kit_flash_origin(&f, b), end = kit_flash_past(&f, b) + f.S;
        kit_flash_document_range pages = {0, 0, 0};
        f.sorted = &sorted, f.batch0 = b;
        for (int64_t t = 0; t < f.T; t++)
            for (int64_t h = 0; h < f.H; h++) {
                const kit_flash_live row = kit_flash_live_keys(&f, b, t, h, origin + t, &pages);
                kit_flash_mark(span, end, row.first, row.last, keys);
                kit_flash_mark(span, end, row.sink_first, row.sink_last, sinks);
            }
    }
}

/* A key of the text, or none behind which all are. */
KIT_INLINE int64_t kit_flash_node_key(int64_t index, int64_t level)
{
    const int64_t most = INT64_MAX / KIT_FLASH_SPAN;
    return level > 62 || index > most >> level ? INT64_MAX : (index << level) * KIT_FLASH_SPAN;
}
#endif

/* Writes down what the rows of a tile have. */
static void KIT(flash_write_partial)(const kit_flash *f, const kit_flash_rows *r, float *to)
{
    const int64_t E = f->E, floats = KIT_FLASH_HEAD + E;
    for (int i = 0; i < r->rows; i++) {
        float *row = to + kit_flash_row_at(f, r->batch, r->query[i], r->head[i]) * floats;
        row[0] = r->max[i], row[1] = r->sum[i], row[2] = r->has[i];
        row += KIT_FLASH_HEAD;
        if (r->few) memcpy(row, r->O + i * kit_lanes(E), sizeof(float) * (size_t)E);
        else
            for (int64_t e = 0; e < E; e++) row[e] = r->O[e * KIT_FLASH_ROWS + i];
    }
}

/* A task of KIT(flash_task), over the keys of one node. */
static void KIT(flash_node_task)(void *arg, int64_t task, uint32_t lane)
{
    const kit_flash_parts *w = arg;
    const kit_flash *f = &w->f;
    const int64_t *node = &w->x->node[2 * (task / w->per_node)],
                  from = kit_flash_node_key(node[1], node[0]),
                  to = kit_flash_node_key(node[1] + 1, node[0]);
    const int64_t inner = task % w->per_node, b = inner / f->tasks / f->G,
                  g = inner / f->tasks % f->G, turn = inner % f->tasks;
    const int few = f->few > 0 && turn == 0;
    const int64_t first = few ? f->rows / KIT_FLASH_ROWS : (f->tasks - 1 - turn) * f->per_task;
    const int64_t left = f->tiles - first, n = few ? 1 : left < f->per_task ? left : f->per_task;
    const KIT(flash_room) m = KIT(flash_lay_out)(f, lane, b, first, n, few);
    for (int i = 0; i < n; i++) {
        kit_flash_rows *r = &m.tile[i];
        KIT(flash_begin_tile)(f, r, g, 0);
        for (int row = 0; row < KIT_FLASH_CELL * r->groups; row++)
            r->lift[row] = w->x->lift[kit_flash_row_at(f, b, r->query[row], r->head[row])];
    }
    KIT(flash_task_blocks)(f, &m, b, g, from, to);
    for (int i = 0; i < n; i++) {
        kit_flash_rows *r = &m.tile[i];
        kit_flash_note_span(f, r);
        while (r->depth > 0) KIT(flash_merge)(f, &r->stack[--r->depth], r);
        KIT(flash_write_partial)(f, r, w->x->to[task / w->per_node]);
    }
}

static __attribute__((unused)) int32_t KIT(flash_compute_partial)(const void *instance,
                                                                  const heed_partial_call *x)
{
    const heed_host *host = x->call->host;
    kit_flash_parts w;
    kit_flash_parts_call(&w, instance, x);
    int32_t failed = kit_flash_setup(&w.f);
    if (!failed) failed = KIT(flash_update_cache)(&w.f);
    w.per_node = w.f.B * w.f.G * w.f.tasks;
    if (failed || w.per_node == 0) return failed;
    return host->parallel_for(host, w.per_node * x->nodes, KIT(flash_node_task), &w);
}

/* The arithmetic of KIT(flash_merge). */
static __attribute__((unused)) void KIT(flash_merge_partial)(float *left, const float *right,
                                                             int64_t rows, int64_t floats)
{
    for (int64_t r = 0; r < rows; r++, left += floats, right += floats) {
        if (right[2] == 0.0f) continue;
        if (left[2] == 0.0f) {
            memcpy(left, right, sizeof(float) * (size_t)floats);
            continue;
        }
        const vf ma = v_set(left[0]), mb = v_set(right[0]), m = v_max(ma, mb);
        const vf x = v_exp2(v_sub(ma, m)), y = v_exp2(v_sub(mb, m));
        v_store_n(left, m, 1);
        v_store_n(left + 1, v_fma(v_set(right[1]), y, v_mul(v_set(left[1]), x)), 1);
        for (int64_t e = KIT_FLASH_HEAD; e < floats; e += 16) {
            const int n = floats - e < 16 ? (int)(floats - e) : 16;
            v_store_n(left + e,
                      v_fma(v_load_n(right + e, n), y, v_mul(v_load_n(left + e, n), x)), n);
        }
    }
}

/* Up to 48 rows of the root: what a tile does with its rows when it has met all keys. */
static void KIT(flash_finish_task)(void *arg, int64_t task, uint32_t lane)
{
    kit_flash_parts *w = arg;
    const kit_flash *f = &w->f;
    const int64_t b = task / w->tiles, floats = KIT_FLASH_HEAD + f->E;
    const KIT(flash_room) m = KIT(flash_lay_out)(f, lane, b, 0, 1, 1);
    kit_flash_rows *r = m.tile;
    const int64_t first = task % w->tiles * KIT_FLASH_ROWS, left = f->T * f->H - first;
    r->row0 = first, r->rows = (int)(left < KIT_FLASH_ROWS ? left : KIT_FLASH_ROWS);
    r->groups = (r->rows + KIT_FLASH_CELL - 1) / KIT_FLASH_CELL;
    for (int i = 0; i < KIT_FLASH_CELL * r->groups; i++) {
        const int64_t n = first + (i < r->rows ? i : r->rows - 1), at = b * f->T * f->H + n;
        const float *row = w->x->rows + at * floats;
        r->query[i] = n / f->H, r->head[i] = (int32_t)(n % f->H);
        r->max[i] = row[0], r->sum[i] = row[1], r->has[i] = row[2], r->lift[i] = w->x->lift[at];
        if (i >= r->rows) continue;
        float *O = r->O + i * kit_lanes(f->E);
        memset(O, 0, sizeof(float) * (size_t)kit_lanes(f->E));
        memcpy(O, row + KIT_FLASH_HEAD, sizeof(float) * (size_t)f->E);
    }
    if (f->sink_logits) KIT(flash_merge_sinks)(f, r);
    if (w->x->round < 2 && KIT(flash_overflows)(f, r, (int)w->x->round))
        __atomic_store_n(&w->again, 1, __ATOMIC_RELAXED);
    for (int i = 0; i < r->rows; i++) w->x->lift[b * f->T * f->H + first + i] = r->lift[i];
    KIT(flash_finish_rows)(f, r);
}

static __attribute__((unused)) int32_t KIT(flash_finish_partial)(const void *instance,
                                                                 const heed_partial_call *x,
                                                                 int32_t *again)
{
    const heed_host *host = x->call->host;
    kit_flash_parts w;
    kit_flash_parts_call(&w, instance, x);
    int32_t failed = kit_flash_setup(&w.f);
    w.tiles = (w.f.T * w.f.H + KIT_FLASH_ROWS - 1) / KIT_FLASH_ROWS;
    if (!failed && w.tiles)
        failed = host->parallel_for(host, w.f.B * w.tiles, KIT(flash_finish_task), &w);
    *again = w.again;
    return failed;
}

#undef KIT_FLASH_PARTIAL
#define KIT_FLASH_PARTIAL                                                                          \
    {                                                                                              \
        sizeof(heed_partial), 0, KIT_FLASH_SPAN, kit_flash_floats, kit_flash_measure_partial,      \
            KIT(flash_compute_partial), KIT(flash_merge_partial), KIT(flash_finish_partial),       \
            kit_flash_seen                                                                         \
    }
