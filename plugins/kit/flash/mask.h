/* SPDX-License-Identifier: MIT
 *
 * heed/kit/flash/mask.h: which keys each row of a call may see, as ranges, and which cells of a
 * block of keys that leaves. A part of kit/flash/flash.h.
 *
 * A mask is never a matrix. Causal masks, windows, prefixes, key lengths and documents in order
 * leave each row at most two ranges of keys: [first, last), and in front of it the sinks. A row's
 * cost is then the length of its ranges. Two kinds of mask make holes in a range: documents that do
 * not come in order, and a bias of -inf. Those are tested key by key (flash/scores.h).
 *
 * The scores of a block are cut into cells of 16 rows x 16 keys, and each is one of three kinds.
 * With a causal mask and a window, for one group of 16 rows:
 *
 *                  keys of the block ->
 *                  begin       unmasked       masked_from      end
 *       row  0   . . . . | . . # # | # # # # | # . . . | . . . .       . . . .  no row sees it: the
 *       row  1   . . . . | . . . # | # # # # | # # . . | . . . .                 cell is left out
 *       ...      . . . . | . . . . | # # # # | # # # . | . . . .       # # # #  all rows see all of
 *       row 15   . . . . | . . . . | # # # # | # # # # | . . . .                 it: no test
 *                          masked    unmasked   masked                  # # . .  tested key by key
 *
 * kit_flash_cells of a group holds these four borders. A variant may narrow the ranges of a row
 * (FLASH_RANGE), and a pass may take every n-th key only (kit_flash_pick): ranges count the keys
 * that the pass takes then.
 */
#ifndef HEED_KIT_FLASH_MASK_ONCE
#define HEED_KIT_FLASH_MASK_ONCE
#include <heed/kit/flash/lists.h>

/* Keys that sequence b remembers, keys it has in all that are valid, and the position of its query
 * 0. */
KIT_INLINE int64_t kit_flash_past(const kit_flash *f, int64_t b)
{
    return f->call->state ? f->call->state[b]->length : 0;
}
KIT_INLINE int64_t kit_flash_valid(const kit_flash *f, int64_t b)
{
    return f->key_lengths ? kit_index(f->key_lengths, kit_at(f->key_lengths, &b, 1))
                          : kit_flash_past(f, b) + f->S;
}
KIT_INLINE int64_t kit_flash_origin(const kit_flash *f, int64_t b)
{
    const heed_mask *m = f->call->mask;
    if (f->call->state) return kit_flash_past(f, b) + f->S - f->T - f->later;
    return m->align == HEED_ALIGN_BOTTOM_RIGHT ? kit_flash_valid(f, b) - f->T - f->later
           : m->align == HEED_ALIGN_OFFSET     ? m->offset + f->earlier
                                               : f->earlier;
}

KIT_INLINE int64_t kit_flash_document(const heed_tensor *ids, int64_t b, int64_t at)
{
    const int64_t place[2] = {b, at};
    return kit_index(ids, kit_at(ids, place, 2));
}

/* The document of the query t, which stands at position `at`; 0 if it has none. */
KIT_INLINE int kit_flash_query_document(const kit_flash *f, int64_t b, int64_t t, int64_t at,
                                        int64_t *id)
{
    if (!f->query_documents && (at < 0 || at >= f->S)) return 0;
    *id = f->query_documents ? kit_flash_document(f->query_documents, b, t)
                             : kit_flash_document(f->documents, b, at);
    return 1;
}

/* Whether the documents of sequence b come in rising order. */
static int kit_flash_documents_rise(const kit_flash *f, int64_t b)
{
    for (int64_t s = 1; s < f->S; s++)
        if (kit_flash_document(f->documents, b, s - 1) > kit_flash_document(f->documents, b, s))
            return 0;
    return 1;
}
KIT_INLINE int kit_flash_sorted(const kit_flash *f, int64_t b)
{
    return f->documents && f->sorted[b - f->batch0];
}

/* Whether sequence b has keys that no range can leave out. */
KIT_INLINE int kit_flash_has_holes(const kit_flash *f, int64_t b)
{
    return f->bias != NULL || (f->documents != NULL && !kit_flash_sorted(f, b));
}

/* Among sorted documents, the first key whose id is not below this one (after = 0), or is above it
 * (after = 1). */
KIT_INLINE int64_t kit_flash_document_bound(const kit_flash *f, int64_t b, int64_t id, int after)
{
    int64_t low = 0, high = f->S;
    while (low < high) {
        const int64_t middle = low + (high - low) / 2,
                      here = kit_flash_document(f->documents, b, middle);
        if (here < id || (after && here == id)) low = middle + 1; else high = middle;
    }
    return low;
}

/* The keys of a query's document, where they come in a row: none is [0, 0). Rows ask in order, so
 * the last answer is kept. */
typedef struct kit_flash_document_range { int64_t id, first, last; } kit_flash_document_range;
KIT_INLINE void kit_flash_find_document(const kit_flash *f, int64_t b, int64_t t, int64_t at,
                                        kit_flash_document_range *p)
{
    int64_t id;
    if (!kit_flash_query_document(f, b, t, at, &id)) { p->first = p->last = 0; return; }
    if (p->last > p->first && id == p->id) return;
    p->id = id, p->first = kit_flash_document_bound(f, b, id, 0),
    p->last = kit_flash_document_bound(f, b, id, 1);
}

/* Live keys of the query t of sequence b at position `at`, of head h. */
KIT_INLINE kit_flash_live kit_flash_live_keys(const kit_flash *f, int64_t b, int64_t t, int64_t h,
                                              int64_t at, kit_flash_document_range *p)
{
    const heed_mask *m = f->call->mask;
    kit_flash_live x = {0, kit_flash_valid(f, b), 0, 0};
    if (m->kinds & HEED_MASK_CAUSAL) {
        const int64_t seen = m->kinds & HEED_MASK_PREFIX && m->prefix > at + 1 ? m->prefix : at + 1;
        if (seen < x.last) x.last = seen;
    }
    if (m->kinds & HEED_MASK_WINDOW) {
        if (m->kinds & HEED_MASK_SINKS) x.sink_last = m->sinks < x.last ? m->sinks : x.last;
        if (at - m->left > 0) x.first = at - m->left;
        if (at + m->right + 1 < x.last) x.last = at + m->right + 1;
    }
    (void)h;
    FLASH_RANGE(f, b, t, h, at, &x);
    if (kit_flash_sorted(f, b)) {
        kit_flash_find_document(f, b, t, at, p);
        if (p->first > x.first) x.first = p->first;
        if (p->last < x.last) x.last = p->last;
        x.sink_first = p->first;
        if (p->last < x.sink_last) x.sink_last = p->last;
    }
    if (f->key_blocks) kit_flash_narrow(f, kit_flash_list_of(f, b, at), &x);
    if (f->pick.step) {
        x.first = kit_flash_picked_before(&f->pick, x.first),
        x.last = kit_flash_picked_before(&f->pick, x.last);
        x.sink_first = kit_flash_picked_before(&f->pick, x.sink_first),
        x.sink_last = kit_flash_picked_before(&f->pick, x.sink_last);
    }
    if (x.sink_first >= x.sink_last) x.sink_first = x.sink_last = 0;
    if (x.first >= x.last)
        x.first = x.sink_first, x.last = x.sink_last, x.sink_first = x.sink_last = 0;
    else if (x.sink_last > x.sink_first && x.first <= x.sink_last) { /* they touch */
        if (x.sink_first < x.first) x.first = x.sink_first;
        if (x.sink_last > x.last) x.last = x.sink_last;
        x.sink_first = x.sink_last = 0;
    }
    return x;
}

/* Widens `any`, which begins as {INT64_MAX, 0, INT64_MAX, 0}, by what one row sees. */
KIT_INLINE void kit_flash_widen(kit_flash_live *any, const kit_flash_live *x)
{
    if (x->first < x->last && x->first < any->first) any->first = x->first;
    if (x->first < x->last && x->last > any->last) any->last = x->last;
    if (x->sink_first < x->sink_last && x->sink_first < any->sink_first)
        any->sink_first = x->sink_first;
    if (x->sink_last > any->sink_last) any->sink_last = x->sink_last;
}

/* The same as those of row i. */
KIT_INLINE void kit_flash_see(const kit_flash *f, kit_flash_rows *r, int i, int64_t b, int64_t t,
                              int64_t h, int64_t at, kit_flash_document_range *p)
{
    r->live[i] = kit_flash_live_keys(f, b, t, h, at, p);
    r->lists = f->key_blocks ? f : NULL;
    if (r->lists) r->list[i] = kit_flash_list_of(f, b, at);
}

/* What some row of a group and what all of them see, out of `live` of its rows. */
KIT_INLINE void kit_flash_group_ranges(kit_flash_rows *r, int group)
{
    kit_flash_live any = {INT64_MAX, 0, INT64_MAX, 0}, all = {0, INT64_MAX, 0, INT64_MAX};
    for (int i = KIT_FLASH_CELL * group; i < KIT_FLASH_CELL * (group + 1); i++) {
        const kit_flash_live x = r->live[i];
        kit_flash_widen(&any, &x);
        if (x.first > all.first) all.first = x.first;
        if (x.last < all.last) all.last = x.last;
        if (x.sink_first > all.sink_first) all.sink_first = x.sink_first;
        if (x.sink_last < all.sink_last) all.sink_last = x.sink_last;
    }
    r->any[group] = any, r->all[group] = all;
}

/* The whole cells around keys [first, last), or inside of them, in a block of `keys` keys that
 * begins at key `start`. */
KIT_INLINE void kit_flash_cells_of(int64_t first, int64_t last, int64_t start, int keys, int inside,
                                   int *from, int *to)
{
    const int64_t cell = KIT_FLASH_CELL, lo = first > start ? first - start : 0, hi = last - start;
    *from = *to = 0;
    if (hi <= 0 || lo >= keys || lo >= hi) return;
    const int64_t end = hi < keys ? hi : keys;
    *from = (int)(inside ? (lo + cell - 1) / cell * cell : lo / cell * cell);
    *to = (int)(inside ? end / cell * cell : (end + cell - 1) / cell * cell);
    if (*to < *from) *to = *from;
}

/* Which cells of a block the rows see; 0: none. From group to group begin and end never fall, so
 * that the groups that see a key are neighbours; cells that this adds are masked key by key. */
KIT_INLINE int kit_flash_visible_cells(kit_flash_rows *r, int64_t start, int keys)
{
    int seen = 0;
    for (int g = 0; g < r->groups; g++) {
        const kit_flash_live *any = &r->any[g], *all = &r->all[g];
        kit_flash_cells *s = &r->cells[g];
        int from, to;
        if (r->lists) {
            kit_flash_run some, whole;
            kit_flash_list_ranges(r, g, start, keys, &some, &whole);
            kit_flash_cells_of(some.first, some.last, start, keys, 0, &s->begin, &s->end);
            kit_flash_cells_of(whole.first, whole.last, start, keys, 1, &s->unmasked,
                               &s->masked_from);
            if (s->masked_from == s->unmasked) s->unmasked = s->masked_from = 0;
            if (s->end == s->begin) s->begin = KIT_FLASH_KEYS, s->end = 0;
            seen |= s->end > 0;
            continue;
        }
        kit_flash_cells_of(any->first, any->last, start, keys, 0, &s->begin, &s->end);
        kit_flash_cells_of(any->sink_first, any->sink_last, start, keys, 0, &from, &to);
        if (to > from) { /* sinks come first */
            s->begin = s->end > s->begin && s->begin < from ? s->begin : from;
            s->end = s->end > to ? s->end : to;
        }
        kit_flash_cells_of(all->first, all->last, start, keys, 1, &s->unmasked, &s->masked_from);
        if (s->masked_from == s->unmasked)
            kit_flash_cells_of(all->sink_first, all->sink_last, start, keys, 1, &s->unmasked,
                               &s->masked_from);
        if (s->masked_from == s->unmasked) s->unmasked = s->masked_from = 0;
        if (s->end == s->begin) s->begin = KIT_FLASH_KEYS, s->end = 0;
        seen |= s->end > 0;
    }
    for (int g = r->groups - 2; g >= 0; g--)
        if (r->cells[g + 1].begin < r->cells[g].begin) r->cells[g].begin = r->cells[g + 1].begin;
    for (int g = 1; g < r->groups; g++)
        if (r->cells[g - 1].end > r->cells[g].end) r->cells[g].end = r->cells[g - 1].end;
    return seen;
}

/* Whether all rows of a group see all of the keys [from, to) of the block. */
KIT_INLINE int kit_flash_is_unmasked(const kit_flash_cells *s, int from, int to)
{
    return s->unmasked <= from && to <= s->masked_from;
}

/* Whether all rows see the whole block. */
KIT_INLINE int kit_flash_sees_all(const kit_flash_rows *r)
{
    int full = 1;
    for (int g = 0; g < r->groups; g++)
        full &= kit_flash_is_unmasked(&r->cells[g], 0, KIT_FLASH_KEYS);
    return full;
}

/* What a score op is told of a tile's rows. */
KIT_INLINE uint32_t kit_flash_tile_flags(const kit_flash *f)
{
    return f->group == 1 && f->pick.every <= 1 ? HEED_TILE_CONSECUTIVE : 0;
}

/* The rows' live keys, counted from the start of the block. */
KIT_INLINE void kit_flash_group_block_ranges(kit_flash_rows *r, int group, int64_t start)
{
    kit_flash_two_runs runs = {{{0, 0}, {0, 0}}};
    for (int i = KIT_FLASH_CELL * group; i < KIT_FLASH_CELL * (group + 1); i++) {
        kit_flash_live own = r->live[i], *x = &own;
        if (r->lists) {
            if (i % KIT_FLASH_CELL == 0 || r->list[i] != r->list[i - 1])
                runs = kit_flash_runs_of(r->lists, r->list[i], start, start + KIT_FLASH_KEYS);
            const kit_flash_run a = kit_flash_both(runs.at[0], own.first, own.last),
                                b = kit_flash_both(runs.at[1], own.first, own.last);
            own = (kit_flash_live){a.first, a.last, b.first, b.last};
        }
        r->low[i] = kit_flash_clamp_key(x->first - start),
        r->high[i] = kit_flash_clamp_key(x->last - start);
        r->sink_low[i] = kit_flash_clamp_key(x->sink_first - start),
        r->sink_high[i] = kit_flash_clamp_key(x->sink_last - start);
    }
}
KIT_INLINE void kit_flash_block_ranges(kit_flash_rows *r, int64_t start)
{
    for (int g = 0; g < r->groups; g++) kit_flash_group_block_ranges(r, g, start);
}
#endif
