/* SPDX-License-Identifier: MIT
 *
 * heed/kit/flash/task.h: a call cut into tasks, and a task from queries to outputs. A part of
 * kit/flash/flash.h.
 *
 * Heads that share keys and values are a group; its rows, query by query and head by head, are cut
 * into tiles of 48 and these into tasks of up to 16 tiles, which threads take in any order:
 *
 *       sequence b, group of heads g                        one task:
 *       rows  0.. 47  tile 0 \                                begin the rows of its tiles
 *            48.. 95  tile 1  > task                     for each block of 96 keys that a row sees:
 *            96..143  tile 2 /                                   load the block, once for all tiles
 *           144..190  tile 3   task                               for each tile that sees it:
 *           191..197  "few"    task (7 rows)                         scores, weights, sum of values
 *                                                             finish the rows: divide, write
 *
 * Why several tiles a task: keys and values come from memory, or have to be packed, once for all of
 * them, and while one tile works the next block is prefetched. Why not more: Q and O of all tiles
 * must stay in the second-level cache (kit_flash_most). Rows that do not fill a tile's lanes are
 * the last task, "few", which has an algorithm of its own (flash/few.h).
 *
 * All memory of a task lies in the scratch of its lane: nothing large is on the stack.
 */
#ifndef KIT_HAS_FLASH_TASK
#define KIT_HAS_FLASH_TASK
#include <heed/kit/flash/many.h>
#include <heed/kit/flash/few.h>
#include <heed/kit/flash/bf16.h>
#include <heed/kit/flash/spans.h>

#ifndef HEED_KIT_FLASH_TASK_ONCE
#define HEED_KIT_FLASH_TASK_ONCE

/* Whether the rows behind the last whole tile go to flash/few.h: unless they fill nearly all lanes.
 * That algorithm transposes K, which costs what some 3 rows do. */
KIT_INLINE int kit_flash_is_few(int64_t rows) { return kit_lanes(rows) - rows > 3; }

/* Tiles of a task. Few tiles are two tasks or three, for more cores, though each reads the keys that
 * the others read: fewer where many groups of heads are tasks of their own. */
KIT_INLINE int64_t kit_flash_per_task(const kit_flash *f)
{
    const int64_t most = kit_flash_most(f->D, f->E), groups = f->B * f->G,
                  parts = groups >= 64 ? 1 : groups >= 16 ? 2 : 3, per = f->tiles / parts + 1;
    return per < most ? per : most;
}

/* How f->rows are cut into tiles, and these into tasks. */
KIT_INLINE void kit_flash_split_tasks(kit_flash *f)
{
    const int64_t rest = f->rows % KIT_FLASH_ROWS, most = kit_flash_most(f->D, f->E);
    f->few = rest && kit_flash_is_few(rest) ? rest : 0;
    f->tiles = f->rows / KIT_FLASH_ROWS + (rest && !f->few);
    f->per_task = kit_flash_per_task(f);
    if (f->pick.every > 1 && f->tiles <= most)
        f->per_task = most; /* other passes are tasks enough */
    f->tasks = (f->tiles + f->per_task - 1) / f->per_task + (f->few > 0);
}

/* Floats of a key in the cache; 0 where keys are not remembered. */
KIT_INLINE int64_t kit_flash_cached_width(const kit_flash *f)
{
    return f->k && !f->k_by_position ? f->D : 0;
}

static void kit_flash_sizes(kit_flash *f)
{
    const int64_t *axis = f->call->axis;
    const kit_flash_table *relative = FLASH_RELATIVE(f);
    f->B = HEED_AXIS(axis, 'B'), f->T = HEED_AXIS(axis, 'T'), f->S = HEED_AXIS(axis, 'S'),
    f->H = HEED_AXIS(axis, 'H');
    f->G = HEED_AXIS(axis, 'G'), f->D = f->q ? f->q->dim[3] : 0, f->E = HEED_AXIS(axis, 'E');
    if (f->S < 0) f->S = f->T; /* an op for which they are one axis */
    if (f->G < 0) f->G = f->H;
    f->share = f->per_head && f->G > 0 && f->G <= f->H ? f->H / f->G : 1, f->G *= f->share;
    f->group = f->G ? f->H / f->G : 1;
    f->rows = f->T * f->group;
    f->key_bytes = kit_flash_block_bytes(&f->k_codec, kit_flash_cached_width(f), 1);
    f->value_bytes = kit_flash_block_bytes(&f->v_codec, f->E, 0);
    kit_flash_split_tasks(f);
    if (relative && f->tiles && f->group > 1) { /* its tiles have rows of consecutive positions */
        f->per_head = 1;
        kit_flash_sizes(f);
    }
}

/* A pass of f over some of its keys and queries; f is set up. */
KIT_INLINE kit_flash kit_flash_picked(const kit_flash *f, kit_flash_pick pick)
{
    kit_flash x = *f;
    x.pick = pick;
    x.rows = pick.query < f->T ? (f->T - pick.query + pick.every - 1) / pick.every * f->group : 0;
    kit_flash_split_tasks(&x);
    return x;
}

/* The query of a row. */
KIT_INLINE int64_t kit_flash_query(const kit_flash *f, int64_t row)
{
    return f->pick.step ? f->pick.query + row / f->group * f->pick.every : row / f->group;
}

/* The first key that the row sees, of any group of heads, in a page that was taken back; -1: none
 * is missing. */
static int64_t kit_flash_missing_page(const kit_flash *f, int64_t b, int64_t row)
{
    const int64_t t = row / f->group, at = kit_flash_origin(f, b) + t;
    void *const *page = f->call->state[b]->page;
    kit_flash_document_range pages = {0, 0, 0};
    for (int64_t g = 0; g < (FLASH_PER_HEAD ? f->G : 1); g++) {
        const kit_flash_live x =
            kit_flash_live_keys(f, b, t, g * f->group + row % f->group, at, &pages);
        for (int64_t k = x.first; k < x.last; k += KIT_FLASH_KEYS - k % KIT_FLASH_KEYS)
            if (!page[k / KIT_FLASH_KEYS]) return k;
    }
    return -1;
}

/* Fills in the sizes, and checks what the engine can not. To be called when the tensors and the
 * scale are set. */
static int32_t kit_flash_setup(kit_flash *f)
{
    const heed_sink *sink = f->call->sink;
    kit_flash_sizes(f);
    if (f->H > 0 && (f->G == 0 || f->H % f->G != 0))
        return kit_fail(
            sink, HEED_E_SHAPE,
            "there are %lld heads (axis H), which is no multiple of the values' %lld (axis G)",
            (long long)f->H, (long long)(f->G / f->share));
    for (int64_t b = 0; f->key_lengths && b < f->B; b++)
        if (kit_flash_valid(f, b) < 0 || kit_flash_valid(f, b) > f->S)
            return kit_fail(sink, HEED_E_ARGUMENT,
                            "key_lengths[%lld] is %lld, but %s has %lld keys", (long long)b,
                            (long long)kit_flash_valid(f, b), f->k && !f->k_by_position ? "k" : "v",
                            (long long)f->S);
    if (f->call->state && (f->documents || f->bias))
        return kit_fail(sink, HEED_E_UNSUPPORTED,
                        "%s can not go with a sequence: it says nothing of the keys remembered",
                        f->documents ? "documents" : "a bias");
    const int32_t bad_list = f->key_blocks ? kit_flash_check_lists(f) : HEED_OK;
    if (bad_list) return bad_list;
    for (int64_t b = 0; f->call->state && f->T > f->S && b < f->B; b++)
        for (int64_t row = 0; row < f->rows; row++) {
            const int64_t key = kit_flash_missing_page(f, b, row);
            if (key >= 0)
                return kit_fail(sink, HEED_E_UNSUPPORTED,
                                "query %lld of sequence %lld looks at key %lld, which is no longer "
                                "remembered; of more "
                                "queries than new keys the first are too far back",
                                (long long)(row / f->group), (long long)b, (long long)key);
        }
    uint8_t *sorted = f->call->workspace;
    for (int64_t b = 0; f->documents && b < f->B; b++)
        sorted[b] = (uint8_t)kit_flash_documents_rise(f, b);
    f->sorted = sorted;
    return HEED_OK;
}

/* Who reads the rows of a block: several tiles, one or two, or one that packs them for itself. */
enum { FLASH_READ_OFTEN, FLASH_READ_ONCE, FLASH_PACKED_LATER };

/* A head's block of keys or values in a page of sequence b, as its codec gets it. */
KIT_INLINE heed_kv_block kit_flash_block_of(const kit_flash *f, int64_t b, int64_t at, int64_t head,
                                            int of_values)
{
    void *page = f->call->state[b]->page[at / KIT_FLASH_KEYS];
    return (heed_kv_block){.size = sizeof(heed_kv_block),
                           .by_channels = !of_values,
                           .data = page ? kit_flash_block_at(page, f->key_bytes, f->value_bytes,
                                                             f->G / f->share, head, of_values)
                                        : NULL,
                           .rows = KIT_FLASH_KEYS,
                           .width = of_values ? f->E : kit_flash_cached_width(f)};
}

/* Whether rows of k or v follow each other in memory. */
KIT_INLINE int kit_flash_is_dense(const heed_tensor *t, int64_t width)
{
    return t->stride[1] <= width;
}
#endif

/* ---- keys and values of a block ---- */

/* `count` rows of `width` elements, row i at row[i] or, if there is no such list, at p + i * bytes:
 * as float32, zeros behind each and up to whole cells of rows. */
static const float *KIT(flash_copy_rows)(const char *p, int64_t bytes, const char *const *row,
                                         uint32_t dtype, int64_t stride, int count, int64_t width,
                                         float *room, int64_t *ld)
{
    const int plain = dtype == HEED_F32 && (stride == 1 || width == 1) && width % 16 == 0;
    *ld = kit_flash_pitch(width);
    for (int i = 0; i < count; i++) {
        const char *from = row ? row[i] : p + i * bytes;
        float *to = room + i * *ld;
        if (!plain) kit_read_row(to, from, dtype, stride, width);
        else
            for (int64_t d = 0; d < width; d += 16)
                v_store(to + d, v_load((const float *)from + d));
        for (int64_t d = width; d < kit_lanes(width); d++) to[d] = 0.0f;
    }
    for (int i = count; i % KIT_FLASH_CELL; i++)
        memset(room + i * *ld, 0, sizeof(float) * (size_t)kit_lanes(width));
    return room;
}

/* Keys [first, first + count) of a strided k or v, as float32 with unit stride and whole cells of
 * rows. They are read where they lie if they are close together, or if two tiles at most read them;
 * else they are packed into `room`, since rows far apart would crowd a few sets of the first-level
 * cache. For a reader that packs them itself they stay in place wherever they are float32, and
 * there may be nothing behind them. */
static const float *KIT(flash_pack_rows)(const heed_tensor *t, int64_t b, int64_t g, int64_t first,
                                         int count, int64_t width, int how, float *room,
                                         int64_t *ld)
{
    const int64_t at[3] = {b, first, g}, step = t->stride[1];
    const char *p = kit_at(t, at, 3);
    const int plain = t->dtype == HEED_F32 && (t->stride[3] == 1 || width == 1);
    const int whole = count % KIT_FLASH_CELL == 0 && width % 16 == 0;
    if (plain && (how == FLASH_PACKED_LATER ||
                  (whole && (how == FLASH_READ_ONCE || kit_flash_is_dense(t, width))))) {
        *ld = step;
        return (const float *)p;
    }
    return KIT(flash_copy_rows)(p, step * kit_width(t->dtype), NULL, t->dtype, t->stride[3], count,
                                width, room, ld);
}

/* Zeros behind the last of `count` transposed keys of a block that lies in a lane's own room (behind those
 * of a page of the cache stand others). A few rows are multiplied with all 96 columns of a block, and what was left
 * there by others may be subnormal numbers, of which each product takes some 100 cycles. */
static void KIT(flash_clear_columns)(int count, int64_t width, float *room)
{
    for (int k = (count + 15) / 16 * 16; k < KIT_FLASH_KEYS; k += 16)
        for (int64_t d = 0; d < width; d++) v_store(room + d * KIT_FLASH_KEYS + k, v_set(0.0f));
}

/* Keys transposed to [width][96]; the arguments are those of flash_copy_rows. Rows `ahead` bytes
 * further are prefetched; 0: none are. */
static const float *KIT(flash_transpose_listed)(const char *p, int64_t bytes,
                                                const char *const *row, uint32_t dtype,
                                                int64_t stride, int count, int64_t width,
                                                int64_t ahead, float *room)
{
    const int64_t step = stride * kit_width(dtype);
    for (int k = 0; k < count; k += 16)
        for (int64_t d = 0; d < width; d += 16) {
            const int n = width - d < 16 ? (int)(width - d) : 16;
            vf x[16];
            for (int l = 0; l < 16 && ahead; l++)
                __builtin_prefetch(p + (k + l) * bytes + d * step + ahead, 0, 2);
            if (!row && dtype == HEED_F32 && stride == 1 && n == 16 && k + 16 <= count)
                KIT_UNROLL for (int l = 0; l < 16; l++)
                    x[l] = v_load((const float *)(p + (k + l) * bytes) + d);
            else for (int l = 0; l < 16; l++)
                    x[l] = k + l < count
                               ? v_read((row ? row[k + l] : p + (k + l) * bytes) + d * step, dtype,
                                        stride, n)
                               : v_set(0.0f);
            v_transpose(x);
            KIT_UNROLL for (int l = 0; l < 16; l++)
                if (l < n) v_store(room + (d + l) * KIT_FLASH_KEYS + k, x[l]);
        }
    return room;
}

static const float *KIT(flash_transpose_keys)(const char *p, int64_t bytes, uint32_t dtype,
                                              int64_t stride, int count, int64_t width,
                                              int64_t ahead, float *room)
{
    return KIT(flash_transpose_listed)(p, bytes, NULL, dtype, stride, count, width, ahead, room);
}

/* A block of picked keys, from wherever they are. (There is no k by position to pick from.) */
static KIT(flash_keys) KIT(flash_load_picked)(const kit_flash *f, int64_t b, int64_t g,
                                              int64_t start, int keys, int few, float *KR,
                                              float *VR)
{
    const int64_t D = f->D, E = f->E, G = f->G / f->share, head = g / f->share;
    const heed_tensor paged = {.dtype = HEED_F32, .stride = {0, 0, 0, 1}};
    const heed_tensor *k = f->call->state ? &paged : f->k, *v = f->call->state ? &paged : f->v;
    const char *K[KIT_FLASH_KEYS], *V[KIT_FLASH_KEYS];
    for (int i = 0; i < keys; i++) {
        const int64_t place = kit_flash_picked_position(&f->pick, start + i),
                      at[3] = {b, place, head};
        const int64_t row = head * KIT_FLASH_KEYS + place % KIT_FLASH_KEYS;
        const float *page = f->call->state ? f->call->state[b]->page[place / KIT_FLASH_KEYS] : NULL;
        K[i] = page ? (const char *)(page + row * D) : kit_at(f->k, at, 3);
        V[i] = page ? (const char *)(page + G * KIT_FLASH_KEYS * D + row * E) : kit_at(f->v, at, 3);
        for (int64_t ahead = 0; ahead < D * kit_width(k->dtype); ahead += 64)
            __builtin_prefetch(K[i] + ahead);
        for (int64_t ahead = 0; ahead < E * kit_width(v->dtype); ahead += 64)
            __builtin_prefetch(V[i] + ahead);
    }
    KIT(flash_keys)
    x = {.ldk = few ? 1 : D, .ldc = few ? KIT_FLASH_KEYS : 1, .start = start, .keys = keys};
    if (few) {
        x.K = KIT(flash_transpose_listed)(NULL, 0, K, k->dtype, k->stride[3], keys, D, 0, KR);
        KIT(flash_clear_columns)(keys, D, KR);
    } else x.K = KIT(flash_copy_rows)(NULL, 0, K, k->dtype, k->stride[3], keys, D, KR, &x.ldk);
    x.V = KIT(flash_copy_rows)(NULL, 0, V, v->dtype, v->stride[3], keys, E, VR, &x.ldv);
    return x;
}

/* Whether a codec multiplies its blocks itself with rows so few. */
KIT_INLINE int KIT(flash_is_read_coded)(const kit_flash *f, const kit_flash_codec *codec, int few)
{
    return few && f->few <= HEED_KV_ROWS && codec->kv && codec->kv->scores;
}

/* A block out of a page of the cache. What a codec has is decoded, keys by channels too, but for a
 * few rows. */
static KIT(flash_keys) KIT(flash_load_page)(const kit_flash *f, int64_t b, int64_t g, int64_t start,
                                            int keys, int few, int how, float *KR, float *VR)
{
    const int64_t D = kit_flash_cached_width(f), head = g / f->share;
    const heed_kv_block k = kit_flash_block_of(f, b, start, head, 0),
                        v = kit_flash_block_of(f, b, start, head, 1);
    KIT(flash_keys)
    x = {.K = k.data,
         .ldk = 1,
         .ldc = KIT_FLASH_KEYS,
         .V = v.data,
         .ldv = f->E,
         .start = start,
         .keys = keys,
         .turned = !f->rows_in_pages};
    if (f->k_codec.kv && D && KIT(flash_is_read_coded)(f, &f->k_codec, few)) x.K_block = k;
    else if (f->k_codec.kv && D) {
        f->k_codec.kv->decode(f->k_codec.instance, &k, keys, KR, KIT_FLASH_KEYS), x.K = KR;
        if (few) KIT(flash_clear_columns)(keys, D, KR);
    } else if (f->rows_in_pages && few) {
        x.K = KIT(flash_transpose_keys)(k.data, D * (int64_t)sizeof(float), HEED_F32, 1, keys, D, 0,
                                        KR);
        KIT(flash_clear_columns)(keys, D, KR);
    } else if (f->rows_in_pages) x.ldk = D, x.ldc = 1;
    if (KIT(flash_is_read_coded)(f, &f->v_codec, few)) x.V_block = v;
    else if (f->v_codec.kv) {
        x.ldv = kit_flash_pitch(f->E), x.V = VR;
        f->v_codec.kv->decode(f->v_codec.instance, &v, keys, VR, x.ldv);
        for (int i = keys; i % KIT_FLASH_CELL; i++)
            memset(VR + i * x.ldv, 0, sizeof(float) * (size_t)kit_lanes(f->E));
    } else if (few && f->E % 16) {
        const heed_tensor rows = {.dtype = HEED_F32,
                                  .rank = 4,
                                  .data = v.data,
                                  .dim = {1, keys, 1, f->E},
                                  .stride = {0, f->E, 0, 1}};
        x.V = KIT(flash_pack_rows)(&rows, 0, 0, 0, keys, f->E, how, VR, &x.ldv);
    }
    return x;
}

static KIT(flash_keys) KIT(flash_load_block)(const kit_flash *f, int64_t b, int64_t g,
                                             int64_t start, int keys, int few, int how, float *KR,
                                             float *VR)
{
    KIT(flash_keys) x = {.ldv = f->E, .start = start, .keys = keys};
    if (f->pick.step) return KIT(flash_load_picked)(f, b, g, start, keys, few, KR, VR);
    if (f->call->state) {
        x = KIT(flash_load_page)(f, b, g, start, keys, few, how, KR, VR);
        if (!f->k_by_position) return x;
        x.turned = 0;
    }
    const int64_t at[3] = {f->k_by_position ? 0 : b, start, f->k_by_position ? g : g / f->share};
    const int how_V = how == FLASH_READ_ONCE && FLASH_N < 8
                          ? FLASH_READ_OFTEN
                          : how; /* it reads a line four times or more */
    x.ldk = few ? 1 : f->D, x.ldc = few ? KIT_FLASH_KEYS : 1;
    if (f->k && few) {
        const int64_t row = f->k->stride[1] * kit_width(f->k->dtype);
        x.K = KIT(flash_transpose_keys)(
            kit_at(f->k, at, 3), row, f->k->dtype, f->k->stride[3], keys, f->D,
            start + 2 * KIT_FLASH_KEYS <= f->S ? row * KIT_FLASH_KEYS : 0, KR);
        KIT(flash_clear_columns)(keys, f->D, KR);
    } else if (f->k)
        x.K = KIT(flash_pack_rows)(f->k, at[0], at[2], start, keys, f->D, how, KR, &x.ldk);
    if (!f->call->state)
        x.V = KIT(flash_pack_rows)(f->v, b, g / f->share, start, keys, f->E, how_V, VR, &x.ldv);
    return x;
}

/* What to prefetch of rows of so many bytes, and of rows of `width` elements. */
KIT_INLINE kit_flash_prefetch_block KIT(flash_prefetch_bytes)(const void *at, int64_t bytes)
{
    return (kit_flash_prefetch_block){{at, bytes}, (bytes + 63) / 64};
}
KIT_INLINE kit_flash_prefetch_block KIT(flash_prefetch_rows)(const char *at, int64_t stride,
                                                             int64_t width, uint32_t dtype)
{
    return (kit_flash_prefetch_block){{at, stride * kit_width(dtype)},
                                      (width * kit_width(dtype) + 63) / 64};
}

/* Has x say what to prefetch: the block that begins at `start`, if there is one. Of the last block
 * as many keys as of any, so that no read is behind the tensor. */
static void KIT(flash_prefetch_next)(const kit_flash *f, int64_t b, int64_t g, int64_t start,
                                     int64_t end, KIT(flash_keys) *x)
{
    const int64_t last = f->S - KIT_FLASH_KEYS, from = start < last ? start : last > 0 ? last : 0;
    const int64_t D = kit_flash_cached_width(f), v = g / f->share, at[3] = {b, from, v};
    x->next_K = x->next_V = (kit_flash_prefetch_block){{NULL, 0}, 0};
    x->next_turned = kit_flash_no_prefetch;
    x->next_K_block = x->next_V_block = NULL;
    if (start >= end || f->pick.step) return;
    if (f->call->state) {
        const heed_kv_block k = kit_flash_block_of(f, b, start, v, 0),
                            w = kit_flash_block_of(f, b, start, v, 1);
        if (!k.data) return; /* no page: between the sinks and a window */
        if (D) {
            x->next_K = KIT(flash_prefetch_bytes)(k.data, (int64_t)f->key_bytes / KIT_FLASH_KEYS);
            x->next_turned = (kit_flash_prefetch){k.data, (int64_t)f->key_bytes / D};
        }
        x->next_V = KIT(flash_prefetch_bytes)(w.data, (int64_t)f->value_bytes / KIT_FLASH_KEYS);
        x->next_K_block = k.data, x->next_V_block = w.data;
    } else {
        if (D)
            x->next_K =
                KIT(flash_prefetch_rows)(kit_at(f->k, at, 3), f->k->stride[1], D, f->k->dtype);
        x->next_V =
            KIT(flash_prefetch_rows)(kit_at(f->v, at, 3), f->v->stride[1], f->E, f->v->dtype);
    }
}

/* ---- rows ---- */

/* Begins a tile: its live keys, its queries transposed, empty sums. r->rows, r->row0, r->batch,
 * r->few, r->lift, r->Q and r->O are set. Behind the last row of a sequence come those of the next
 * (flash/shared.h). */
static void KIT(flash_begin_rows)(const kit_flash *f, kit_flash_rows *r, int64_t g)
{
    const char *from[KIT_FLASH_ROWS];
    const heed_tensor *q = f->q;
    const int64_t D = f->D, line = q ? q->stride[3] * kit_width(q->dtype) : 0;
    const int lanes =
        KIT_FLASH_CELL * (r->groups = (r->rows + KIT_FLASH_CELL - 1) / KIT_FLASH_CELL);
    kit_flash_document_range pages = {0, 0, 0};
    int64_t b = r->batch, t = kit_flash_query(f, r->row0), inner = r->row0 % f->group;
    int64_t origin = kit_flash_origin(f, b);
    for (int i = 0, same = 0; i < lanes; i++) {
        const int64_t h = g * f->group + inner;
        const int64_t place[3] = {f->q_by_position ? 0 : b, f->q_by_position ? origin + t : t, h};
        from[i] = q ? kit_at(q, place, 3) : NULL;
        for (int64_t ahead = 0; ahead < D * line && q->stride[3] == 1; ahead += 64)
            __builtin_prefetch(from[i] + ahead);
        r->query[i] = t, r->position[i] = origin + t, r->head[i] = (int32_t)h;
        if (!FLASH_PER_HEAD && same) r->live[i] = r->live[i - 1], r->list[i] = r->list[i - 1];
        else kit_flash_see(f, r, i, b, t, h, origin + t, &pages);
        same = 1; /* the next row is of this query, or is this one once more */
        if (i + 1 >= r->rows || ++inner < f->group) continue;
        inner = 0, t += f->pick.step ? f->pick.every : 1, same = 0;
        if (t == f->T) t = 0, origin = kit_flash_origin(f, ++b);
    }
    for (int i = 0; i < r->groups; i++) kit_flash_group_ranges(r, i);
    r->span = -1, r->depth = 0;
    KIT(flash_clear)(f, r);
    if (q)
        KIT(flash_load_columns)(from, q->dtype, q->stride[3], lanes, D,
                                (float)((double)f->scale * KIT_LOG2E), r->Q);
}

/* Whether n numbers are all finite. */
KIT_INLINE int KIT(flash_is_finite)(const float *x, int64_t n)
{
    const vf zero = v_set(0.0f);
    vf sum[2] = {zero, zero};
    for (int64_t i = 0; i < n; i += 32)
        for (int j = 0; j < 2 && i + 16 * j < n; j++)
            sum[j] = v_fma(v_load(x + i + 16 * j), zero, sum[j]);
    return v_sum(v_add(sum[0], sum[1])) == 0.0f;
}

/* Decides which rows of a tile are computed once more; returns whether any is.
 *
 * Outputs are sums of weights times values, divided by the sum of the weights at the end. A weight
 * is at most 1, so the sum of many values near FLT_MAX can overflow where their mean, the output, is
 * finite. Such a row is lifted: with a maximum that is 32 too large, all its weights are 2^-32 of
 * what they were, and so is the divisor.
 *
 * Lifting changes the last bits of a row, so it may only happen for that reason. An infinity may
 * come from an overflow or from an infinite value, and a NaN from such an infinity times a weight
 * of 0, or from a NaN: what is still there after lifting is an input's own, and the row goes back. */
static int KIT(flash_overflows)(const kit_flash *f, kit_flash_rows *r, int again)
{
    const vf zero = v_set(0.0f), one = v_set(1.0f), infinite = v_set(INFINITY);
    const int64_t ld = kit_lanes(f->E);
    int any = 0;
    if (!again && KIT(flash_is_finite)(r->O, (r->few ? r->rows : KIT_FLASH_ROWS) * ld)) return 0;
    for (int i = 0; i < KIT_FLASH_CELL * r->groups; i += 16) {
        float over[16] = {0}; /* 0: all finite; 1: an infinity and no NaN; more: a NaN */
        vf large = zero, nan = zero;
        if (r->few) for (int l = 0; l < 16 && i + l < r->rows; l++) {
            const float *row = r->O + (i + l) * ld;
            int is_large = 0, is_nan = 0;
            for (int64_t e = 0; e < f->E; e++) {
                is_large |= row[e] > FLT_MAX || row[e] < -FLT_MAX;
                is_nan |= row[e] != row[e];
            }
            over[l] = is_nan ? 2.0f : is_large ? 1.0f : 0.0f;
        }
        else {
            for (int64_t e = 0; e < f->E; e++) {
                const vf o = v_load(r->O + e * KIT_FLASH_ROWS + i);
                large = v_select(v_eq(v_abs(o), infinite), one, large);
                nan = v_select(v_eq(o, o), nan, one);
            }
            v_store(over, v_add(large, v_add(nan, nan)));
        }
        for (int l = 0; l < 16; l++) {
            float lift = r->lift[i + l];
            if (!again && over[l] != 0.0f) lift = 32.0f;
            if (again && over[l] != 0.0f) lift = 0.0f;
            any |= i + l < r->rows && lift != r->lift[i + l];
            r->lift[i + l] = lift;
        }
    }
    return any;
}

/* Finishes a tile: divides by the sums, and writes the rows. */
static void KIT(flash_finish_rows)(const kit_flash *f, const kit_flash_rows *r)
{
    const int64_t E = f->E, step = f->out->stride[3] * kit_width(f->out->dtype);
    const int plain = f->out->dtype == HEED_F32 && f->out->stride[3] == 1;
    float inverse[KIT_FLASH_ROWS], lse[KIT_FLASH_ROWS];
    char *to[KIT_FLASH_ROWS];
    for (int i = 0; i < KIT_FLASH_CELL * r->groups; i += 16) {
        const vf sum = v_load(r->sum + i), none = v_set(0.0f);
        const vm empty = v_eq(sum, none);
        v_store(inverse + i, v_select(empty, none, v_div(v_set(1.0f), sum)));
        if (!f->lse) continue;
        const vf ln = v_fma(v_load(r->max + i), v_set((float)KIT_LN2), v_log(sum));
        const vf natural = v_out_of_units(v_load(r->max + i), (float)KIT_LOG2E, ln);
        v_store(lse + i, v_select(empty, v_set(-INFINITY), natural));
    }
    FLASH_FACTORS(f, r, inverse);
    for (int i = 0; i < r->rows; i++) {
        const int64_t at[3] = {r->batch, r->query[i], r->head[i]};
        to[i] = kit_at(f->out, at, 3);
        for (int64_t e = 0; plain && e < E; e += 16) __builtin_prefetch((float *)to[i] + e, 1);
        if (f->lse) *(float *)kit_at(f->lse, at, 3) = lse[i];
    }
    for (int i = 0; i < r->rows; i += 16)
        for (int64_t e = 0; e < E; e += 16) {
            const int m = E - e < 16 ? (int)(E - e) : 16;
            vf y[16];
            if (r->few) for (int l = 0; l < 16; l++) {
                const int row = i + l < r->rows ? i + l : r->rows - 1;
                y[l] = v_mul(v_load(r->O + row * kit_lanes(E) + e), v_set(inverse[row]));
            }
            else {
                KIT_UNROLL for (int l = 0; l < 16; l++)
                    y[l] = v_mul(v_load(r->O + (e + (l < m ? l : 0)) * KIT_FLASH_ROWS + i),
                                 v_load(inverse + i));
                v_transpose(y);
            }
            FLASH_OUTPUT(f, r, i, e, y, m);
            if (plain && m == 16 && i + 16 <= r->rows)
                KIT_UNROLL for (int l = 0; l < 16; l++) v_store((float *)to[i + l] + e, y[l]);
            else for (int l = 0; l < 16 && i + l < r->rows; l++)
                v_write(to[i + l] + e * step, f->out->dtype, f->out->stride[3], y[l], m);
        }
}

/* ---- a task ---- */

/* The memory of a task, in its lane's scratch. */
typedef struct KIT(flash_room) {
    float *P, *K, *V;     /* weights of a block; keys and values, packed */
    uint32_t *packed;     /* the same in pairs, for flash/bf16.h; or NULL */
    kit_flash_rows *tile; /* of n */
    float *before;        /* outputs of an earlier pass */
    int n;
} KIT(flash_room);

/* Whether the keys that this call looks at are decoded in other axes than they came in. */
KIT_INLINE int KIT(flash_rotates_queries)(const kit_flash *f)
{
    return f->call->state && kit_flash_cached_width(f) > 0 && kit_flash_rotates(&f->k_codec);
}

/* Lays out the memory of a tile from `room` on; what is behind it comes back. */
static float *KIT(flash_lay_out_tile)(const kit_flash *f, kit_flash_rows *r, int64_t waiting,
                                      float *room)
{
    const int64_t outputs = KIT_FLASH_ROWS * kit_lanes(f->E);
    r->Q = room, room += KIT_FLASH_ROWS * kit_lanes(f->D);
    r->O = room, room += outputs;
    r->own = room, room += kit_lanes(f->own);
    r->given = r->Q;
    if (KIT(flash_rotates_queries)(f)) r->given = room, room += KIT_FLASH_ROWS * kit_lanes(f->D);
    if (FLASH_RELATIVES) r->carried = (kit_flash_carried *)(void *)room, room += FLASH_CARRIED;
    r->stack = (kit_flash_partial *)(void *)room;
    room = (float *)(r->stack + waiting);
    for (int64_t i = 0; i < waiting; i++) r->stack[i].O = room, room += outputs;
    return room;
}

/* The same of a task of n tiles from tile `first` of sequence b on. */
static KIT(flash_room) KIT(flash_lay_out)(const kit_flash *f, uint32_t lane, int64_t b,
                                          int64_t first, int64_t n, int few)
{
    const int64_t D = f->D, E = f->E, waiting = kit_flash_waiting(kit_flash_past(f, b) + f->S);
    float *P = (float *)(f->call->scratch + lane * f->call->scratch_stride);
    KIT(flash_room) m = {.P = P, .n = (int)n};
    m.K = P + KIT_FLASH_ROWS * KIT_FLASH_KEYS, m.V = m.K + KIT_FLASH_KEYS * kit_flash_pitch(D);
    float *room = m.V + KIT_FLASH_KEYS * kit_flash_pitch(E);
    if (f->bf16 && !few) m.packed = (uint32_t *)room, room += kit_flash_block_pairs(D, E);
    m.tile = (kit_flash_rows *)(void *)room;
    float *spare = (float *)(m.tile + n);
    m.before = spare + KIT_FLASH_ROWS * KIT_FLASH_KEYS;
    room = m.before + KIT_FLASH_ROWS * kit_lanes(E);
    for (int64_t i = 0; i < n; i++) {
        kit_flash_rows *r = &m.tile[i];
        r->row0 = (first + i) * KIT_FLASH_ROWS;
        r->rows = (int)(f->rows - r->row0 < KIT_FLASH_ROWS ? f->rows - r->row0 : KIT_FLASH_ROWS);
        r->batch = b, r->few = few, r->spare = spare;
        memset(r->lift, 0, sizeof r->lift);
        room = KIT(flash_lay_out_tile)(f, r, waiting, room);
        if (m.packed) r->pairs = (uint32_t *)room, room += kit_flash_query_pairs(D);
    }
    return m;
}

static void KIT(flash_begin_tile)(const kit_flash *f, kit_flash_rows *r, int64_t g, int bf16)
{
    if (FLASH_RELATIVES) r->carried->start = -1;
    KIT(flash_begin_rows)(f, r, g);
    FLASH_BEGIN(f, r);
    if (r->given != r->Q) {
        memcpy(r->given, r->Q, sizeof(float) * (size_t)(KIT_FLASH_ROWS * f->D));
        f->k_codec.kv->rotate(f->k_codec.instance, f->D, r->Q, KIT_FLASH_CELL * r->groups,
                              KIT_FLASH_ROWS);
    }
    if (bf16) KIT(flash_bf16_queries)(r, f->D, r->pairs);
}

/* All blocks of keys from `from` to `to` that the tiles of a task see; each is loaded once for all
 * of them. */
static void KIT(flash_task_blocks)(const kit_flash *f, const KIT(flash_room) * m, int64_t b,
                                   int64_t g, int64_t from, int64_t to)
{
    kit_flash_rows *tile = m->tile;
    const int few = tile[0].few, bf16 = m->packed != NULL, n = m->n;
    int64_t begin = INT64_MAX, end = 0, sinks = 0;
    for (int t = 0; t < n; t++)
        for (int i = 0; i < tile[t].groups; i++) {
            const kit_flash_live *any = &tile[t].any[i];
            if (any->first < begin) begin = any->first;
            if (any->last > end) end = any->last;
            if (any->sink_last > sinks) sinks = any->sink_last;
        }
    if (end > to) end = to;
    for (int64_t start = from; start < end; start += KIT_FLASH_KEYS) {
        if (start >= sinks && start < begin / KIT_FLASH_KEYS * KIT_FLASH_KEYS)
            start = begin / KIT_FLASH_KEYS * KIT_FLASH_KEYS;
        if (start >= end) break;
        const int keys = (int)(end - start < KIT_FLASH_KEYS ? end - start : KIT_FLASH_KEYS);
        int seen[KIT_FLASH_TILES], readers = 0;
        for (int i = 0; i < n; i++)
            readers += seen[i] = kit_flash_visible_cells(&tile[i], start, keys);
        if (!readers) continue;
        const int how = bf16           ? FLASH_PACKED_LATER
                        : readers <= 2 ? FLASH_READ_ONCE
                                       : FLASH_READ_OFTEN;
        KIT(flash_keys) x = KIT(flash_load_block)(f, b, g, start, keys, few, how, m->K, m->V);
        if (bf16) KIT(flash_bf16_keys)(f, &x, m->packed);
        for (int i = 0; i < n; i++) {
            if (!seen[i]) continue;
            if (tile[i].span != start / KIT_FLASH_SPAN)
                KIT(flash_next_span)(f, &tile[i], start / KIT_FLASH_SPAN);
            KIT(flash_prefetch_next)(f, b, g, --readers ? end : start + KIT_FLASH_KEYS, end, &x);
            if (bf16) KIT(flash_bf16)(f, &tile[i], &x, m->P);
            else if (few) KIT(flash_few)(f, &tile[i], &x, m->P);
            else KIT(flash_many)(f, &tile[i], &x, m->P);
        }
    }
}

/* Tasks of a group of heads go from late rows, which see most keys under a causal mask, to early
 * ones, so that no long task comes last; the few rows behind the last tile are the first task. */
static void KIT(flash_task)(void *arg, int64_t task, uint32_t lane)
{
    const kit_flash *f = arg;
    const int64_t b = task / f->tasks / f->G, g = task / f->tasks % f->G, turn = task % f->tasks;
    const int few = f->few > 0 && turn == 0, bf16 = f->bf16 && !few;
    const int64_t first = few ? f->rows / KIT_FLASH_ROWS : (f->tasks - 1 - turn) * f->per_task;
    const int64_t left = f->tiles - first, n = few ? 1 : left < f->per_task ? left : f->per_task;
    const KIT(flash_room) m = KIT(flash_lay_out)(f, lane, b, first, n, few);
    for (int again = 0, overflows = 1; again < 3 && overflows; again++) {
        for (int i = 0; i < n; i++) KIT(flash_begin_tile)(f, &m.tile[i], g, bf16);
        KIT(flash_task_blocks)(f, &m, b, g, 0, INT64_MAX);
        overflows = 0;
        for (int i = 0; i < n; i++) {
            KIT(flash_end_spans)(f, &m.tile[i], m.before);
            if (again < 2 && !FLASH_SQUARED_RELU)
                overflows |= KIT(flash_overflows)(f, &m.tile[i], again);
        }
    }
    for (int i = 0; i < n; i++) KIT(flash_finish_rows)(f, &m.tile[i]);
}

/* ---- the cache ---- */

/* New keys [s, s + count) of sequence b go to slots [slot, slot + count) of a page, whose keys lie by
 * channels: 16 whole slots at a time, or one. (Slots behind the new keys have no meaning yet.) */
static void KIT(flash_append_turned)(const kit_flash *f, int64_t b, int64_t g, int64_t s,
                                     int64_t slot, int64_t count, float *page)
{
    const int64_t D = f->D, row = f->k->stride[1] * kit_width(f->k->dtype);
    for (int64_t i = 0, n; i < count; i += n) {
        const int64_t at[3] = {b, s + i, g};
        float *to = page + slot + i, line[16];
        const char *from = kit_at(f->k, at, 3);
        n = count - i >= 16 ? 16 : 1;
        if (n == 16)
            KIT(flash_transpose_keys)(from, row, f->k->dtype, f->k->stride[3], 16, D, 0, to);
        else
            for (int64_t d = 0; d < D; d += 16) {
                const int m = D - d < 16 ? (int)(D - d) : 16;
                v_store(line, v_read(from + d * f->k->stride[3] * kit_width(f->k->dtype),
                                     f->k->dtype, f->k->stride[3], m));
                for (int l = 0; l < m; l++) to[(d + l) * KIT_FLASH_KEYS] = line[l];
            }
    }
}

/* New rows [s, s + count) of a tensor go to a block's slots from `slot` on, by its codec; `room` has
 * them as float32 before. */
static void KIT(flash_append_encoded)(const kit_flash_codec *codec, const heed_kv_block *to,
                                      const heed_tensor *from, int64_t b, int64_t g, int64_t s,
                                      int64_t slot, int64_t count, float *room)
{
    const int64_t step = kit_lanes(to->width);
    for (int64_t i = 0; i < count; i++) {
        const int64_t at[3] = {b, s + i, g};
        kit_read_row(room + i * step, kit_at(from, at, 3), from->dtype, from->stride[3], to->width);
    }
    codec->kv->encode(codec->instance, to, slot, count, room, step);
}

/* The same without a codec, row by row. */
static void KIT(flash_append_rows)(const heed_tensor *from, int64_t b, int64_t g, int64_t s,
                                   int64_t count, int64_t width, float *to)
{
    for (int64_t i = 0; i < count; i++) {
        const int64_t at[3] = {b, s + i, g};
        kit_read_row(to + i * width, kit_at(from, at, 3), from->dtype, from->stride[3], width);
    }
}

/* Stores the new keys, if keys are remembered, and values in their pages: a tile of the parallel
 * work is a sequence and a head of values. */
static void KIT(flash_append_keys)(void *arg, int64_t tile, uint32_t lane)
{
    const kit_flash *f = arg;
    const int64_t G = f->G / f->share, b = tile / G, g = tile % G, past = kit_flash_past(f, b),
                  D = kit_flash_cached_width(f);
    float *room = (float *)(f->call->scratch + lane * f->call->scratch_stride);
    for (int64_t s = 0, n; s < f->S; s += n) {
        const int64_t slot = (past + s) % KIT_FLASH_KEYS, left = KIT_FLASH_KEYS - slot;
        const heed_kv_block k = kit_flash_block_of(f, b, past + s, g, 0),
                            v = kit_flash_block_of(f, b, past + s, g, 1);
        float *keys = k.data, *values = v.data;
        n = f->S - s < left ? f->S - s : left;
        if (!values) continue; /* another rank has this page */
        if (D && f->k_codec.kv)
            KIT(flash_append_encoded)(&f->k_codec, &k, f->k, b, g, s, slot, n, room);
        else if (D && f->rows_in_pages)
            KIT(flash_append_rows)(f->k, b, g, s, n, D, keys + slot * D);
        else if (D) KIT(flash_append_turned)(f, b, g, s, slot, n, keys);
        if (f->v_codec.kv) KIT(flash_append_encoded)(&f->v_codec, &v, f->v, b, g, s, slot, n, room);
        else KIT(flash_append_rows)(f->v, b, g, s, n, f->E, values + slot * f->E);
    }
}

static int32_t KIT(flash_update_cache)(kit_flash *f)
{
    const heed_host *host = f->call->host;
    if (!f->call->state || f->S == 0) return HEED_OK;
    return host->parallel_for(host, f->B * f->G / f->share, KIT(flash_append_keys), f);
}
#endif
