/* SPDX-License-Identifier: MIT
 *
 * heed/kit/linear/run.h: a call from its tensors to its end. A part of kit/linear/linear.h.
 *
 * Causal: a tile is some channels of one head of keys, chunk after chunk. Not causal: the sums over
 * blocks of 1024 keys, a tile each; these added up in order; then the queries, which all read the
 * same S. A rule that is no plain sum has one block. Queries behind the last key read in that way
 * in a causal call too.
 *
 * A state has the records of two chunks: that of chunk c lies in slot c % 2. A call writes to them
 * at once where that leaves alone what the open chunk needs, and otherwise when all its tiles have
 * ended.
 */
#ifndef KIT_HAS_LINEAR_RUN
#define KIT_HAS_LINEAR_RUN
#include <heed/kit/linear/chunk.h>

/* The tile's sizes and its scratch. */
KIT_INLINE kit_linear_work KIT(linear_begin)(const kit_linear *l, int64_t row, int64_t split,
                                             uint32_t lane)
{
    kit_linear_work w = {.l = l,
                         .b = row / l->G,
                         .g = row % l->G,
                         .e = split * l->columns,
                         .whole = split == 0,
                         .in_place = 1};
    w.columns = l->E16 - w.e < l->columns ? l->E16 - w.e : l->columns;
    kit_linear_scratch(l, &w, (float *)(l->call->scratch + lane * l->call->scratch_stride));
    return w;
}

/* The record of a chunk in memory that is one slot. */
KIT_INLINE kit_linear_place KIT(linear_place)(const kit_linear_work *w, char *slot)
{
    const kit_linear *l = w->l;
    const kit_linear_record at = kit_linear_layout(l->F, l->E);
    float *r = (float *)slot + w->g * at.floats;
    return (kit_linear_place){(double *)(void *)r, r + at.z, r + at.k,
                              r + at.u + w->e * KIT_LINEAR_CHUNK, r + at.s + w->e * l->F};
}

/* The same of a unit's carry, whose records have its channels alone. */
KIT_INLINE kit_linear_place KIT(linear_carried)(const kit_linear_work *w, int64_t slot)
{
    const kit_linear *l = w->l;
    const kit_linear_record at = kit_linear_layout(l->F, l->columns);
    float *r = (float *)(void *)w->carry + slot * at.floats;
    return (kit_linear_place){(double *)(void *)r, r + at.z, r + at.k, r + at.u, r + at.s};
}

/* Where the record of chunk i goes, in a call from chunk `first` to chunk `last`: {NULL} if
 * nowhere. */
KIT_INLINE kit_linear_place KIT(linear_kept)(const kit_linear_work *w, int64_t i, int64_t first,
                                             int64_t last)
{
    const kit_linear *l = w->l;
    if (!l->call->state || (i != first && i < last - 1)) return (kit_linear_place){0};
    const uint64_t slot = kit_linear_slot(l->G, l->F, l->E);
    const int aside = i != first && i % 2 == first % 2;
    if (w->carry) return KIT(linear_carried)(w, aside ? 2 : i % 2);
    if (aside) return KIT(linear_place)(w, l->commit + (uint64_t)w->b * slot);
    return KIT(linear_place)(w, (char *)l->call->state[w->b]->page[0] + (uint64_t)(i % 2) * slot);
}

/* Queries [from, to) that read S as it is. */
static void KIT(linear_behind)(kit_linear_work *w, int64_t from, int64_t to, int past,
                               const float *s, const float *z)
{
    kit_linear_chunk c = {.past = past, .s = s, .z = z};
    for (c.query = from; c.query < to; c.query += KIT_LINEAR_CHUNK) {
        c.to = to - c.query < KIT_LINEAR_CHUNK ? (int)(to - c.query) : KIT_LINEAR_CHUNK;
        KIT(linear_chunk)(w, &c);
    }
}

/* Queries [from, to) before the first key: zeros. */
static void KIT(linear_before)(const kit_linear_work *w, int64_t from, int64_t to)
{
    const kit_linear *l = w->l;
    const int64_t n = l->E - w->e < w->columns ? l->E - w->e : w->columns;
    for (int64_t t = from; t < to; t++)
        for (int64_t h = w->g * l->heads; h < (w->g + 1) * l->heads; h++)
            for (int64_t e = w->e; e < w->e + n; e += 16) {
                const int64_t at[] = {w->b, t, h, e}, left = w->e + n - e;
                v_write(kit_at(l->out, at, 4), l->out->dtype, l->out->stride[3], v_set(0.0f),
                        left < 16 ? (int)left : 16);
            }
}

/* Chunks of keys [from, to), which stand at positions of the same numbers, with the queries in
 * them. Where the last one ends S, z and the level are what *c has then, if `wanted`; with a state
 * also if nothing came. */
static void KIT(linear_chunks)(kit_linear_work *w, kit_linear_chunk *c, int64_t from, int64_t to,
                               int64_t shift, int64_t queries, int wanted)
{
    const kit_linear *l = w->l;
    const int64_t C = KIT_LINEAR_CHUNK, kept = kit_linear_length(l, w->b), first = from / C,
                  last = to / C;
    const int64_t origin = l->call->state ? 0 : first * C; /* there is no past */
    kit_linear_place place = KIT(linear_kept)(w, first, first, last);
    if (place.s) c->s = place.s, c->z = place.z, c->start = place.decay[0];
    for (int64_t i = first, at = first * C; at < to; i++, at += C) {
        c->token = at - kept;
        c->query = at - shift;
        c->kept = kept > at ? (int)(kept - at) : 0;
        c->keys = to - at < C ? (int)(to - at) : (int)C;
        c->from = shift > at ? (shift - at < C ? (int)(shift - at) : (int)C) : 0;
        c->to = queries + shift - at < c->keys ? (int)(queries + shift - at) : c->keys;
        if (c->to < c->from) c->to = c->from;
        c->past = at > origin;
        c->place = place;
        const int full = c->keys == C, more = at + C < to || wanted || (l->call->state && full);
        place = more && full ? KIT(linear_kept)(w, i + 1, first, last) : (kit_linear_place){0};
        c->s_next = !more ? NULL : place.s ? place.s : w->s;
        c->z_next = w->z;
        const double level = KIT(linear_chunk)(w, c);
        c->start = l->op->keeps_level ? level : 0;
        c->s = c->s_next, c->z = w->z;
        if (!place.s || !w->whole) continue;
        place.decay[0] = c->start;
        memcpy(place.z, w->z, (size_t)(l->op->normalise ? l->F16 : 0) * sizeof(float));
    }
}

static void KIT(linear_tile)(kit_linear_work *w)
{
    const kit_linear *l = w->l;
    kit_linear_chunk c = {.s = w->s, .z = w->z};
    const int64_t n = kit_linear_keys(l, w->b), kept = kit_linear_length(l, w->b),
                  shift = kit_linear_shift(l, w->b);
    const int64_t before = !l->causal || shift > 0 ? 0
                           : -shift < l->T         ? -shift
                                                   : l->T; /* queries without a key */
    const int64_t within = !l->causal || n - shift < before ? before
                           : n - shift < l->T               ? n - shift
                                                            : l->T;
    const int behind = within < l->T;
    KIT(linear_before)(w, 0, before);
    const int64_t to = behind || l->call->state ? n : within + shift;
    if (to > 0) KIT(linear_chunks)(w, &c, kept, to, shift, within, behind);
    if (behind) KIT(linear_behind)(w, within, l->T, n > 0, c.s, c.z);
    if (kit_streams(l->out)) v_drain();
}

static void KIT(linear_ordered)(void *arg, int64_t tile, uint32_t lane)
{
    const kit_linear *l = arg;
    kit_linear_work w = KIT(linear_begin)(l, tile / l->splits, tile % l->splits, lane);
    KIT(linear_tile)(&w);
}

/* ---- every query sees every key ---- */

/* S, z and the level of a block in the workspace. */
KIT_INLINE float *KIT(linear_block)(const kit_linear *l, int64_t row, int64_t block)
{
    return l->sums + (row * l->blocks + block) * kit_linear_block(l);
}

static void KIT(linear_sum)(void *arg, int64_t tile, uint32_t lane)
{
    const kit_linear *l = arg;
    const int64_t block = tile % l->blocks, row = tile / l->blocks / l->splits;
    kit_linear_work w = KIT(linear_begin)(l, row, tile / l->blocks % l->splits, lane);
    float *to = KIT(linear_block)(l, row, block), *z = to + l->F * l->E16;
    const int64_t n = kit_linear_keys(l, w.b), from = block * l->block_keys;
    const int64_t end = n - from < l->block_keys ? n : from + l->block_keys;
    if (from >= end) return;
    w.s = to + w.e * l->F;
    kit_linear_chunk c = {.s = w.s, .z = w.z};
    KIT(linear_chunks)(&w, &c, from, end, 0, 0, 1);
    if (!w.whole) return;
    memcpy(z, w.z, (size_t)(l->op->normalise ? l->F16 : 0) * sizeof(float));
    memcpy(z + l->F16, &c.start, sizeof c.start);
}

/* The blocks of a head, added to the first of them in order, some channels a tile. Where there are
 * levels the lowest is that of the sum. */
static void KIT(linear_total)(void *arg, int64_t tile, uint32_t lane)
{
    const kit_linear *l = arg;
    const int64_t row = tile / l->splits, n = kit_linear_keys(l, row / l->G);
    const kit_linear_work w = KIT(linear_begin)(l, row, tile % l->splits, lane);
    const int64_t S = l->F * l->E16, blocks = (n + l->block_keys - 1) / l->block_keys;
    float *sum = KIT(linear_block)(l, row, 0);
    double low = 0, level[2];
    for (int64_t i = 0; i < blocks; i++) {
        memcpy(level, KIT(linear_block)(l, row, i) + S + l->F16, sizeof *level);
        low = i == 0 || level[0] < low ? level[0] : low;
    }
    for (int64_t i = 0; i < blocks; i++) {
        const float *from = KIT(linear_block)(l, row, i);
        memcpy(level, from + S + l->F16, sizeof *level);
        const vf factor = v_exp(v_set((float)(low - level[0])));
        const int64_t part[2][2] = {{w.e * l->F, (w.e + w.columns) * l->F},
                                    {S, w.whole && l->op->normalise ? S + l->F16 : S}};
        for (int k = 0; k < 2; k++)
            for (int64_t at = part[k][0]; at < part[k][1]; at += 16) {
                const vf x = v_mul(v_load(from + at), factor);
                v_store(sum + at, i ? v_add(v_load(sum + at), x) : x);
            }
    }
}

static void KIT(linear_ask)(void *arg, int64_t tile, uint32_t lane)
{
    const kit_linear *l = arg;
    const int64_t tiles = (l->T + KIT_LINEAR_QUERIES - 1) / KIT_LINEAR_QUERIES,
                  from = tile % tiles * KIT_LINEAR_QUERIES;
    const int64_t row = tile / tiles / l->splits, end = from + KIT_LINEAR_QUERIES;
    kit_linear_work w = KIT(linear_begin)(l, row, tile / tiles % l->splits, lane);
    const float *s = KIT(linear_block)(l, row, 0);
    KIT(linear_behind)(&w, from, end < l->T ? end : l->T, kit_linear_keys(l, w.b) > 0,
                       s + w.e * l->F, s + l->F * l->E16);
    if (kit_streams(l->out)) v_drain();
}

/* ---- the call ---- */

/* What was kept aside takes its place, when all tiles have ended. */
static void KIT(linear_commit)(const kit_linear *l)
{
    const uint64_t slot = kit_linear_slot(l->G, l->F, l->E);
    for (int64_t b = 0; b < l->B; b++) {
        const int64_t first = kit_linear_length(l, b) / KIT_LINEAR_CHUNK,
                      last = kit_linear_keys(l, b) / KIT_LINEAR_CHUNK;
        char *page = l->call->state[b]->page[0];
        if (last - first > 1)
            memcpy(page + (uint64_t)(first % 2) * slot, l->commit + (uint64_t)b * slot, slot);
    }
}

/* A call that kit_linear_setup has taken: shapes and mask are right. */
static __attribute__((unused)) int32_t KIT(linear_run)(kit_linear *l)
{
    const heed_call *call = l->call;
    const heed_host *host = call->host;
    const int64_t tiles = l->B * l->G * l->splits,
                  asks = (l->T + KIT_LINEAR_QUERIES - 1) / KIT_LINEAR_QUERIES;
    int32_t failed = HEED_OK;
    if (l->causal || call->state) {
        l->commit = call->workspace;
        failed = host->parallel_for(host, l->T || call->state ? tiles : 0, KIT(linear_ordered), l);
        if (!failed && call->state) KIT(linear_commit)(l);
        return failed;
    }
    l->sums = call->workspace;
    if (l->T) failed = host->parallel_for(host, tiles * l->blocks, KIT(linear_sum), l);
    if (!failed && l->T && l->blocks > 1)
        failed = host->parallel_for(host, tiles, KIT(linear_total), l);
    return failed ? failed : host->parallel_for(host, tiles * asks, KIT(linear_ask), l);
}

#endif
