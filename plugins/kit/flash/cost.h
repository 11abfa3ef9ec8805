/* SPDX-License-Identifier: MIT
 *
 * heed/kit/flash/cost.h: what a call costs, and which algorithm takes it, from shapes and masks
 * (heed.cost/1). A part of kit/flash/flash.h.
 */
#ifndef HEED_KIT_FLASH_COST_ONCE
#define HEED_KIT_FLASH_COST_ONCE
#include <heed/kit/flash/shared.h>

/* Keys of `x` that the query t at position `at` sees, where documents come in any order. */
static int64_t kit_flash_count(const kit_flash *f, int64_t b, int64_t t, int64_t at,
                               const kit_flash_live *x)
{
    int64_t n = 0, id = 0;
    if (f->key_blocks && (!f->documents || kit_flash_sorted(f, b)))
        return kit_flash_listed_keys(f, kit_flash_list_of(f, b, at), x, 0);
    if (!f->documents || kit_flash_sorted(f, b))
        return x->last - x->first + x->sink_last - x->sink_first;
    if (!kit_flash_query_document(f, b, t, at, &id)) return 0;
    for (int64_t k = x->sink_first < x->sink_last ? x->sink_first : x->first; k < x->last;
         k = k + 1 == x->sink_last ? x->first : k + 1)
        n += kit_flash_document(f->documents, b, kit_flash_picked_position(&f->pick, k)) == id;
    return n;
}

/* Keys of whole cells around [first, last). */
KIT_INLINE int64_t kit_flash_around(int64_t first, int64_t last)
{
    return last > first ? (last + KIT_FLASH_CELL - 1) / KIT_FLASH_CELL * KIT_FLASH_CELL -
                              first / KIT_FLASH_CELL * KIT_FLASH_CELL
                        : 0;
}

/* Adds the live pairs of 16 rows or fewer, and widens `read` by the keys that they see; keys of the
 * cells that they look at are returned. */
static int64_t kit_flash_cost_rows(const kit_flash *f, int64_t b, int64_t g, int64_t row0,
                                   int64_t rows, kit_flash_tally *tally, kit_flash_live *read)
{
    const int64_t origin = kit_flash_origin(f, b);
    kit_flash_document_range pages = {0, 0, 0};
    kit_flash_rows r;
    for (int i = 0; i < KIT_FLASH_CELL; i++) {
        const int64_t row = row0 + (i < rows ? i : rows - 1), t = kit_flash_query(f, row),
                      at = origin + t;
        kit_flash_see(f, &r, i, b, t, g * f->group + row % f->group, at, &pages);
        if (i >= rows) continue;
        const double seen = (double)kit_flash_count(f, b, t, at, &r.live[i]);
        tally->pairs += seen;
        tally->most = seen > tally->most ? seen : tally->most;
        kit_flash_widen(read, &r.live[i]);
    }
    kit_flash_group_ranges(&r, 0);
    const kit_flash_live *any = &r.any[0];
    if (r.lists) return kit_flash_listed_keys(f, r.list[0], any, 1);
    return kit_flash_around(any->first, any->last) +
           kit_flash_around(any->sink_first, any->sink_last);
}

/* Adds what a pass of sequence b and a group of heads has. */
static void kit_flash_cost_pass(const kit_flash *f, int64_t b, int64_t g, kit_flash_tally *tally)
{
    kit_flash_live read = {INT64_MAX, 0, INT64_MAX, 0};
    for (int64_t row0 = 0; row0 < f->rows; row0 += KIT_FLASH_CELL) {
        const int64_t left = f->rows - row0, rows = left < KIT_FLASH_CELL ? left : KIT_FLASH_CELL;
        const int64_t lanes = f->few && row0 >= f->rows - f->few ? rows : KIT_FLASH_CELL;
        tally->cells += (double)(lanes * kit_flash_cost_rows(f, b, g, row0, rows, tally, &read));
    }
    if (read.last > read.first) tally->keys += (double)(read.last - read.first);
    if (read.sink_last > read.first) read.sink_last = read.first; /* counted already */
    if (read.sink_last > read.sink_first)
        tally->keys += (double)(read.sink_last - read.sink_first);
}

/* Two products of 2 flops for each live pair of a row and a key; queries, outputs, and the keys and
 * values that some query sees, moved once. The tensors are set as for a run; those of masks may lack their data, and are left
 * out then. */
static __attribute__((unused)) void kit_flash_cost(kit_flash *f, heed_cost *c)
{
    kit_flash_sizes(f);
    if (f->key_lengths && !f->key_lengths->data) f->key_lengths = NULL;
    if (f->documents && (!f->documents->data || (f->query_documents && !f->query_documents->data)))
        f->documents = NULL;
    if (f->key_blocks && !f->key_blocks->data) f->key_blocks = NULL;
    const int64_t groups = FLASH_PER_HEAD ? f->G : f->G > 0,
                  times = FLASH_PER_HEAD ? 1 : f->G; /* or all are alike */
    kit_flash_tally all = {0};
    double longest = 0; /* keys of one sequence that are read; all.keys: of all of them */
    kit_flash_set set = {0, 0, 0};
    for (int64_t b = 0; b < f->B; b++) {
        if (b >= set.first + set.count)
            set = kit_flash_joins(f) ? kit_flash_set_from(f, b) : (kit_flash_set){b, 1, 0};
        const int again = set.keys && (b - set.first) % kit_flash_per_tile(f) > 0;
        const uint8_t sorted = f->documents ? (uint8_t)kit_flash_documents_rise(f, b) : 0;
        f->sorted = &sorted, f->batch0 = b;
        double keys = 0, valid = (double)kit_flash_valid(f, b);
        for (int64_t g = 0; g < groups; g++) {
            kit_flash_tally own = {.most = all.most};
            FLASH_COST(f, b, g, &own);
            all.pairs += own.pairs, all.cells += own.cells, all.most = own.most;
            /* several passes may read a key, but its bytes come once */
            keys += (own.keys < valid ? own.keys : valid) / (double)groups;
        }
        if (again) keys = keys > (double)set.keys ? keys - (double)set.keys : 0;
        all.keys += keys;
        longest = keys > longest ? keys : longest;
        f->sorted = NULL;
    }
    all.pairs *= (double)times, all.cells *= (double)times;
    const double width = (double)((f->k ? f->D : 0) + f->E),
                 moved = (double)f->B * (double)f->T * (double)f->H;
    const double q = f->q ? (double)(f->D * kit_width(f->q->dtype)) : 0;
    const int cached = f->call->state != NULL;
    const double cached_k = (double)f->key_bytes / KIT_FLASH_KEYS,
                 cached_v =
                     (double)f->value_bytes / KIT_FLASH_KEYS; /* of a key, where it is kept */
    const double k = cached && !f->k_by_position ? cached_k
                     : f->k                      ? (double)(f->D * kit_width(f->k->dtype))
                                                 : 0;
    const double v = cached ? cached_v : (double)(f->E * kit_width(f->v->dtype));
    const double values = (double)(f->G / f->share),
                 key_heads = f->k_by_position ? (double)f->G : values;
    c->flops = 2 * all.pairs * width;
    c->bytes = moved * (q + (double)f->E * 4) +
               (f->k_by_position ? longest : all.keys) * key_heads * k + all.keys * values * v;
    c->state_bytes = values * (cached_k + cached_v);
    c->receptive_field = all.most;
    if (!HEED_HAS(c, algorithm)) return;
    c->executed = 2 * all.cells * width;
    c->algorithm = !f->few    ? "tiles of 48 rows in the lanes"
                   : f->tiles ? "tiles of 48 rows in the lanes, and the rest as few rows"
                              : "few rows: keys, then channels, in the lanes";
}
#endif
