/* SPDX-License-Identifier: MIT
 *
 * heed/kit/flash/shared.h: how the rows of one tile go through many keys: the spans of a group of heads
 * are tasks of their own, and pages that sequences share are read once for all of them. A part of
 * kit/flash/flash.h.
 *
 * Forks of a text have the same pages as far as they are alike. Their rows are put into one tile,
 * which goes through these pages, and each row then goes on alone:
 *
 *                     span 0      span 1      span 2                 tasks
 *     sequence 0     =========== =========== ====+-------    = one for the set and a span
 *     sequence 1     =========== =========== ====+---        - one for the sequence and a span
 *     sequence 2     =========== =========== ====+--------     then one for the sequence, which merges
 *
 * A row's sums over a span are one chain (flash/spans.h): in the span in which the sequences part, a
 * row goes on with what the tile of the set has left it. So each has the bits that it has alone.
 */
#ifndef KIT_HAS_FLASH_SHARED
#define KIT_HAS_FLASH_SHARED
#include <heed/kit/flash/task.h>

#ifndef HEED_KIT_FLASH_SHARED_ONCE
#define HEED_KIT_FLASH_SHARED_ONCE

/* Sequences [first, first + count), which have the pages of the first `keys` keys in common. */
struct kit_flash_set {
    int64_t first, count, keys;
};

/* Keys, in whole pages that were full before the call, that two sequences have in common. */
KIT_INLINE int64_t kit_flash_common_keys(const kit_flash *f, int64_t a, int64_t b)
{
    const heed_state *x = f->call->state[a], *y = f->call->state[b];
    const int64_t most = (x->length < y->length ? x->length : y->length) / KIT_FLASH_KEYS;
    int64_t n = 0;
    while (x->page && y->page && n < most && x->page[n] == y->page[n]) n++;
    return n * KIT_FLASH_KEYS;
}

/* The set that begins with sequence b: the ones behind it that have half of what the set has so far in
 * common with it, and at least 4 pages. */
KIT_INLINE kit_flash_set kit_flash_set_from(const kit_flash *f, int64_t b)
{
    kit_flash_set s = {b, 1, INT64_MAX};
    for (; b + s.count < f->B; s.count++) {
        const int64_t keys = kit_flash_common_keys(f, b, b + s.count);
        if (keys < 4 * KIT_FLASH_KEYS || (s.count > 1 && keys < s.keys / 2)) break;
        if (keys < s.keys) s.keys = keys;
    }
    if (s.count == 1) s.keys = 0;
    return s;
}

/* Whether the rows of a group of heads are one tile, in the lanes or as few; and what its outputs take. */
KIT_INLINE int kit_flash_is_one_tile(const kit_flash *f) { return f->tiles + (f->few > 0) == 1; }
KIT_INLINE int64_t kit_flash_outputs(const kit_flash *f)
{
    return (f->few ? f->few : KIT_FLASH_ROWS) * kit_lanes(f->E);
}

/* Whether rows of several sequences may be in one tile. */
KIT_INLINE int kit_flash_joins(const kit_flash *f)
{
    return FLASH_JOINS && f->call->state && f->B > 1 && kit_flash_is_one_tile(f) &&
           2 * f->rows <= KIT_FLASH_ROWS && !f->score && !f->pick.step && !f->k_by_position;
}

/* The sets of the call, to f->set, which has room for one for each sequence, unless that is NULL. */
KIT_INLINE int64_t kit_flash_find_sets(const kit_flash *f)
{
    int64_t n = 0;
    for (int64_t b = 0; kit_flash_joins(f) && b < f->B;) {
        const kit_flash_set s = kit_flash_set_from(f, b);
        b += s.count;
        if (s.count == 1) continue;
        if (f->set) f->set[n] = s;
        n++;
    }
    return n;
}

/* Spans that are tasks of their own: where sequences share pages, or a group of heads has no other
 * tasks, and the groups are too few to share them among the lanes evenly. 0: none. (The bits are
 * the same.) */
KIT_INLINE int64_t kit_flash_split_spans(const kit_flash *f, int64_t sets)
{
    const int64_t spans = kit_flash_spans(kit_flash_most_keys(f->call));
    return sets || (kit_flash_is_one_tile(f) && spans > 1 && f->call->lanes > 1 &&
                    f->B * f->G < 4 * (int64_t)f->call->lanes)
               ? spans
               : 0;
}

/* Bytes of the workspace for the sets, and for what the spans have of the rows. */
KIT_INLINE uint64_t kit_flash_room_of_sets(const kit_flash *f, int64_t sets)
{
    return sets ? kit_line(sizeof(kit_flash_set) * (uint64_t)f->B) : 0;
}
KIT_INLINE uint64_t kit_flash_room_of_spans(const kit_flash *f)
{
    const int64_t sets = kit_flash_find_sets(f);
    const uint64_t n = (uint64_t)(f->B * f->G * kit_flash_split_spans(f, sets));
    return kit_flash_room_of_sets(f, sets) +
           n * (sizeof(kit_flash_partial) + sizeof(float) * (uint64_t)kit_flash_outputs(f));
}

/* Where these are, from `room` on. */
KIT_INLINE void kit_flash_place_spans(kit_flash *f, void *room)
{
    if (FLASH_SQUARED_RELU) return;
    f->sets = kit_flash_find_sets(f);
    f->spans = kit_flash_split_spans(f, f->sets);
    f->partial = (kit_flash_partial *)(void *)((char *)room + kit_flash_room_of_sets(f, f->sets));
    if (f->sets) f->set = room, kit_flash_find_sets(f);
    const int64_t n = f->B * f->G * f->spans;
    for (int64_t i = 0; i < n; i++)
        f->partial[i].O = (float *)(f->partial + n) + i * kit_flash_outputs(f);
}

/* Keys of sequence b that are those of a set. */
KIT_INLINE int64_t kit_flash_shared_keys(const kit_flash *f, int64_t b)
{
    for (int64_t i = 0; i < f->sets; i++)
        if (b >= f->set[i].first && b < f->set[i].first + f->set[i].count) return f->set[i].keys;
    return 0;
}

/* Sequences whose rows fit into a tile, and the tasks of a set. */
KIT_INLINE int64_t kit_flash_per_tile(const kit_flash *f) { return KIT_FLASH_ROWS / f->rows; }
KIT_INLINE int64_t kit_flash_tasks_of_set(const kit_flash *f, const kit_flash_set *s)
{
    const int64_t per = kit_flash_per_tile(f);
    return f->G * ((s->count + per - 1) / per) * kit_flash_spans(s->keys);
}
#endif

/* What the tile of a set has of a span becomes what its sequences have of it: outputs lie by rows
 * where rows are few, else by channels. */
static void KIT(flash_hand_out)(const kit_flash *f, const kit_flash_rows *r, int64_t g,
                                int64_t span)
{
    const int64_t ld = kit_lanes(f->E), step = f->few ? 1 : KIT_FLASH_ROWS,
                  from_step = r->few ? 1 : KIT_FLASH_ROWS;
    for (int i = 0; i < r->rows; i++) {
        const int64_t b = r->batch + i / f->rows, row = i % f->rows;
        kit_flash_partial *x = &f->partial[(b * f->G + g) * f->spans + span];
        float *O = x->O + row * (f->few ? ld : 1), *from = r->O + i * (r->few ? ld : 1);
        if (row == 0) {
            for (int l = 0; l < KIT_FLASH_ROWS; l++) x->max[l] = -FLT_MAX, x->sum[l] = 0.0f;
            memset(x->O, 0, sizeof(float) * (size_t)kit_flash_outputs(f));
        }
        x->span = r->span, x->max[row] = r->max[i], x->sum[row] = r->sum[i];
        for (int64_t e = 0; e < f->E; e++) O[e * step] = from[e * from_step];
    }
}

/* Rows of the sequences of a set, through the keys of a span that these share. */
static void KIT(flash_set_task)(void *arg, int64_t task, uint32_t lane)
{
    const kit_flash *own = arg;
    kit_flash f = *own;
    const kit_flash_set *s = f.set;
    for (; task >= kit_flash_tasks_of_set(&f, s); s++) task -= kit_flash_tasks_of_set(&f, s);
    const int64_t spans = kit_flash_spans(s->keys), span = task % spans,
                  per = kit_flash_per_tile(&f), g = task / spans % f.G, turn = task / spans / f.G,
                  b = s->first + turn * per, left = s->first + s->count - b,
                  rows = f.rows * (left < per ? left : per), from = span * KIT_FLASH_SPAN,
                  to = from + KIT_FLASH_SPAN;
    f.few = kit_flash_is_few(rows) ? rows : 0;
    const KIT(flash_room) m = KIT(flash_lay_out)(&f, lane, b, 0, 1, f.few > 0);
    m.tile->rows = (int)rows;
    KIT(flash_begin_tile)(&f, m.tile, g, 0);
    KIT(flash_task_blocks)(&f, &m, b, g, from, to < s->keys ? to : s->keys);
    KIT(flash_hand_out)(own, m.tile, g, span);
}

/* The rows of a sequence, through the keys of a span that it has alone. */
static void KIT(flash_span_task)(void *arg, int64_t task, uint32_t lane)
{
    const kit_flash *f = arg;
    const int64_t span = task % f->spans, b = task / f->spans / f->G, g = task / f->spans % f->G,
                  from = span * KIT_FLASH_SPAN, to = from + KIT_FLASH_SPAN,
                  shared = kit_flash_shared_keys(f, b);
    if (shared >= to) return;
    kit_flash_partial *x = &f->partial[task];
    const KIT(flash_room) m = KIT(flash_lay_out)(f, lane, b, 0, 1, f->few > 0);
    kit_flash_rows *r = m.tile;
    const int goes_on = shared > from && x->span >= 0;
    if (!goes_on) r->O = x->O;
    KIT(flash_begin_tile)(f, r, g, 0);
    if (goes_on) {
        r->O = x->O, r->span = span;
        memcpy(r->max, x->max, sizeof r->max), memcpy(r->sum, x->sum, sizeof r->sum);
    }
    KIT(flash_task_blocks)(f, &m, b, g, shared > from ? shared : from, to);
    memcpy(x->max, r->max, sizeof x->max), memcpy(x->sum, r->sum, sizeof x->sum);
    x->span = r->span;
}

/* Merges the spans' results of one group of heads, in the order in which a tile meets its spans that
 * goes through all keys itself: the same bits. If a sum has overflowed, the rows are computed once
 * more by such a tile, which knows how to lift them. */
static void KIT(flash_merge_task)(void *arg, int64_t task, uint32_t lane)
{
    const kit_flash *f = arg;
    const int64_t b = task / f->G, g = task % f->G;
    const KIT(flash_room) m = KIT(flash_lay_out)(f, lane, b, 0, 1, f->few > 0);
    kit_flash_rows *r = m.tile;
    KIT(flash_begin_tile)(f, r, g, 0);
    for (int64_t span = 0; span < f->spans; span++) {
        kit_flash_partial *x = &f->partial[task * f->spans + span];
        if (x->span < 0) continue;
        KIT(flash_next_span)(f, r, span);
        memcpy(r->max, x->max, sizeof x->max), memcpy(r->sum, x->sum, sizeof x->sum);
        memcpy(r->O, x->O, sizeof(float) * (size_t)kit_flash_outputs(f));
    }
    KIT(flash_end_spans)(f, r, m.before);
    if (KIT(flash_overflows)(f, r, 0)) KIT(flash_task)(arg, task, lane);
    else KIT(flash_finish_rows)(f, r);
}

static int32_t KIT(flash_run)(kit_flash *f)
{
    const heed_host *host = f->call->host;
    const int64_t groups = f->B * f->G;
    int64_t of_sets = 0;
    int32_t failed = KIT(flash_update_cache)(f);
    if (failed) return failed;
    if (f->spans == 0) return host->parallel_for(host, groups * f->tasks, KIT(flash_task), f);
    for (int64_t i = 0; i < f->sets; i++) of_sets += kit_flash_tasks_of_set(f, &f->set[i]);
    if (of_sets) failed = host->parallel_for(host, of_sets, KIT(flash_set_task), f);
    if (!failed) failed = host->parallel_for(host, groups * f->spans, KIT(flash_span_task), f);
    return failed ? failed : host->parallel_for(host, groups, KIT(flash_merge_task), f);
}
#endif
