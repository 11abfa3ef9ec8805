/* SPDX-License-Identifier: MIT
 *
 * heed/kit/flash/lists.h: the lists of blocks of keys that blocks of queries see
 * (HEED_MASK_BLOCKS), as the live ranges of rows. A part of kit/flash/flash.h.
 *
 *     key_blocks[b][n]    4  5  9  -1        blocks of keys that the n-th block of queries sees
 *
 *                 0                          96                        192     block of the kernel
 *     keys        |..........####|####..........####|####..............|
 *                            4    5             9           <- runs of listed blocks
 *
 * A row's range is from the first key to the last that its list leaves of it. Blocks of the kernel
 * in which it names none are not read; in one of them a list has at most two runs, since a block has
 * 32 keys or more (KIT_FLASH_LEAST), and these are the two ranges that a row may have anyway. So no
 * key is tested against a list, and a row has the bits that any other mask with the same live keys
 * would give it.
 */
#ifndef HEED_KIT_FLASH_LISTS_ONCE
#define HEED_KIT_FLASH_LISTS_ONCE
#include <heed/kit/flash/hooks.h>

#define KIT_FLASH_LEAST 32 /* keys of a listed block: a third of the kernel's */

/* Keys [first, last). */
typedef struct kit_flash_run {
    int64_t first, last;
} kit_flash_run;

/* The list of a query of sequence b at position `at`, counted over all sequences; -1: it has none. */
KIT_INLINE int64_t kit_flash_list_of(const kit_flash *f, int64_t b, int64_t at)
{
    const int64_t lists = f->key_blocks->dim[1], own = at / f->call->mask->block_queries;
    return at < 0 || own >= lists ? -1 : b * lists + own;
}

/* The i-th block of a list; none, or one out of reach, is like one behind all keys. */
KIT_INLINE int64_t kit_flash_listed(const kit_flash *f, int64_t list, int64_t i)
{
    const int64_t lists = f->key_blocks->dim[1], at[3] = {list / lists, list % lists, i};
    if (i >= f->key_blocks->dim[2]) return INT64_MAX;
    const int64_t block = kit_index(f->key_blocks, kit_at(f->key_blocks, at, 3));
    return block < 0 || block > ((int64_t)1 << 60) / f->call->mask->block_keys ? INT64_MAX : block;
}

/* How many blocks of a list come before this one. */
KIT_INLINE int64_t kit_flash_listed_before(const kit_flash *f, int64_t list, int64_t block)
{
    int64_t low = 0, high = f->key_blocks->dim[2];
    while (low < high) {
        const int64_t middle = low + (high - low) / 2;
        if (kit_flash_listed(f, list, middle) < block) low = middle + 1;
        else high = middle;
    }
    return low;
}

/* The first run of neighbouring listed blocks, as far as it lies in [from, to); empty if there is
 * none. */
static kit_flash_run kit_flash_next_run(const kit_flash *f, int64_t list, int64_t from, int64_t to)
{
    const int64_t keys = f->call->mask->block_keys;
    if (list < 0 || from >= to) return (kit_flash_run){0, 0};
    int64_t i = kit_flash_listed_before(f, list, from / keys), block = kit_flash_listed(f, list, i);
    if (block == INT64_MAX || block * keys >= to) return (kit_flash_run){0, 0};
    const int64_t first = block * keys > from ? block * keys : from;
    while ((block + 1) * keys < to && kit_flash_listed(f, list, i + 1) == block + 1) i++, block++;
    return (kit_flash_run){first, (block + 1) * keys < to ? (block + 1) * keys : to};
}

/* What a list leaves of a row's range, from its first key to its last. */
static void kit_flash_narrow(const kit_flash *f, int64_t list, kit_flash_live *x)
{
    const int64_t keys = f->call->mask->block_keys;
    const kit_flash_run run = kit_flash_next_run(f, list, x->first, x->last);
    if (run.first == run.last) {
        *x = (kit_flash_live){0, 0, 0, 0};
        return;
    }
    const int64_t n = kit_flash_listed_before(f, list, (x->last + keys - 1) / keys),
                  end = n ? (kit_flash_listed(f, list, n - 1) + 1) * keys : 0;
    x->first = run.first;
    if (end < x->last) x->last = end;
}

/* The two runs that a list has in a block of the kernel; either may be empty. */
typedef struct kit_flash_two_runs {
    kit_flash_run at[2];
} kit_flash_two_runs;
KIT_INLINE kit_flash_two_runs kit_flash_runs_of(const kit_flash *f, int64_t list, int64_t start,
                                                int64_t end)
{
    kit_flash_two_runs x = {{kit_flash_next_run(f, list, start, end), {0, 0}}};
    if (x.at[0].last > 0) x.at[1] = kit_flash_next_run(f, list, x.at[0].last, end);
    return x;
}

KIT_INLINE kit_flash_run kit_flash_both(kit_flash_run a, int64_t first, int64_t last)
{
    if (first > a.first) a.first = first;
    if (last < a.last) a.last = last;
    return a.first < a.last ? a : (kit_flash_run){0, 0};
}

/* Out of what some row and what all rows of a group see: in this block of the kernel, from the first
 * to the last key that its lists leave, and the longest run that they leave whole. */
static void kit_flash_list_ranges(const kit_flash_rows *r, int group, int64_t start, int keys,
                                  kit_flash_run *some, kit_flash_run *whole)
{
    const kit_flash_live *any = &r->any[group], *all = &r->all[group];
    const int first = KIT_FLASH_CELL * group;
    *some = *whole = (kit_flash_run){0, 0};
    for (int i = first; i < first + KIT_FLASH_CELL; i++) {
        if (i > first && r->list[i] == r->list[i - 1]) continue;
        const kit_flash_two_runs x = kit_flash_runs_of(r->lists, r->list[i], start, start + keys);
        for (int n = 0; n < 2; n++) {
            const kit_flash_run a = kit_flash_both(x.at[n], any->first, any->last),
                                b = kit_flash_both(x.at[n], all->first, all->last);
            if (a.last > 0 && (some->last == 0 || a.first < some->first)) some->first = a.first;
            if (a.last > some->last) some->last = a.last;
            if (b.last - b.first > whole->last - whole->first) *whole = b;
        }
    }
    for (int i = first; i < first + KIT_FLASH_CELL; i++)
        if (r->list[i] != r->list[first]) *whole = (kit_flash_run){0, 0};
}

/* Live keys of a range that a list leaves; `around`: in whole cells. */
static int64_t kit_flash_listed_keys(const kit_flash *f, int64_t list, const kit_flash_live *x,
                                     int around)
{
    const int64_t cell = around ? KIT_FLASH_CELL : 1;
    int64_t n = 0;
    for (int64_t from = x->first;;) {
        const kit_flash_run run = kit_flash_next_run(f, list, from, x->last);
        if (run.first == run.last) return n;
        n += (run.last + cell - 1) / cell * cell - run.first / cell * cell;
        from = run.last;
    }
}

/* Fails at the first entry that is out of order or out of range. */
static int32_t kit_flash_check_lists(const kit_flash *f)
{
    const heed_mask *m = f->call->mask;
    const heed_tensor *t = f->key_blocks;
    const heed_sink *sink = f->call->sink;
    const int64_t blocks = (f->S + m->block_keys - 1) / m->block_keys;
    if (m->kinds & HEED_MASK_SINKS)
        return kit_fail(sink, HEED_E_UNSUPPORTED,
                        "blocks and sinks exclude each other: list the blocks of the first keys");
    if (m->block_keys < KIT_FLASH_LEAST)
        return kit_fail(sink, HEED_E_UNSUPPORTED,
                        "blocks of %lld keys are too small: they need %d or more",
                        (long long)m->block_keys, KIT_FLASH_LEAST);
    for (int64_t n = 0; n < t->dim[0] * t->dim[1] * t->dim[2]; n++) {
        const int64_t at[3] = {n / t->dim[2] / t->dim[1], n / t->dim[2] % t->dim[1], n % t->dim[2]},
                      before[3] = {at[0], at[1], at[2] - 1};
        const int64_t block = kit_index(t, kit_at(t, at, 3)),
                      last = at[2] ? kit_index(t, kit_at(t, before, 3)) : -2;
        const long long b = at[0], r = at[1], i = at[2];
        if (block < -1 || (!f->call->state && block >= blocks))
            return kit_fail(
                sink, HEED_E_ARGUMENT,
                "key_blocks[%lld][%lld][%lld] is %lld, but %lld keys are %lld blocks of "
                "%lld: they are 0 to %lld, and -1 behind a list's end",
                b, r, i, (long long)block, (long long)f->S, (long long)blocks,
                (long long)m->block_keys, (long long)blocks - 1);
        if (block >= 0 && at[2] && block <= last)
            return kit_fail(sink, HEED_E_ARGUMENT,
                            "key_blocks[%lld][%lld][%lld] is %lld behind %lld: a list names its "
                            "blocks in rising order, each once",
                            b, r, i, (long long)block, (long long)last);
        if (block >= 0 && last == -1)
            return kit_fail(sink, HEED_E_ARGUMENT,
                            "key_blocks[%lld][%lld][%lld] is %lld behind -1, the end of the list",
                            b, r, i, (long long)block);
    }
    return HEED_OK;
}
#endif
