/* SPDX-License-Identifier: MIT
 *
 * heed/kit/gemm/backward.h: the backward of y = x w^T + bias,
 *
 *     dx = dy w                     a product of kit/gemm/gemm.h with w packed the other way
 *     dw += dy^T x                  kit_outer_run
 *     dbias += sum over rows of dy  kit_column_sums
 *
 * Include it once in a kernel file, behind gemm.h.
 *
 * An element of dw is a chain of fused multiply-adds over the rows of a block, from 0, and the
 * blocks are added by a binary tree over their index (kit/core/grad.h): a tile of dw goes through
 * all blocks by itself, and keeps the sums of whole subtrees on a stack. dy is transposed and x
 * packed into panels before, in the workspace.
 *
 * The rows may come in parts, as an op makes them that keeps what lies between its products in the
 * caches. Each but the last has a power of two of blocks, the same for all, and is a subtree; the
 * stack of the parts' sums lies in the workspace:
 *
 *     blocks   0 1 2 3 | 4 5 6 7 | 8 9        parts of 4: the third one is the last
 *     sums     (0..3)    (4..7)    (8..9)     ((0..3) + (4..7)) + (8..9), as if they came at once
 *
 * Error: |dw - exact| <= (KIT_BLOCK_ROWS + log2 of the blocks + 1) 2^-24 sum |dy x|.
 */
#include <heed/kit/core/grad.h>
#include <heed/kit/gemm/gemm.h>
#include <heed/kit/reduce/blocks.h>

#ifndef HEED_KIT_GEMM_BACKWARD_ONCE
#define HEED_KIT_GEMM_BACKWARD_ONCE

/* A tile of dw, and rows that are transposed or packed at a time. */
enum {
    KIT_OUTER_ROWS = KIT_GEMM_ROWS,
    KIT_OUTER_PANELS = 2 * KIT_GEMM_STEP,
    KIT_OUTER_FLOATS = KIT_OUTER_ROWS * 16 * KIT_OUTER_PANELS,
    KIT_OUTER_PACKED = 64,
};

/* Columns of a matrix [..., width], by 16: column c is element first + c / 16 step + c % 16 of a
 * row. So one of two that are interleaved by 16 is taken (step 32); others have step 16. Row r is
 * row + r of the matrix. */
typedef struct kit_columns {
    const heed_tensor *t;
    int64_t width, first, step, row;
} kit_columns;
KIT_INLINE kit_columns kit_all_columns(const heed_tensor *t)
{
    return (kit_columns){t, t->dim[t->rank - 1], 0, 16, 0};
}
/* Rows of a matrix that is on its way, float32. */
KIT_INLINE heed_tensor kit_matrix(float *data, int64_t rows, int64_t width, int64_t pitch)
{
    return (heed_tensor){.size = sizeof(heed_tensor),
                         .dtype = HEED_F32,
                         .rank = 2,
                         .data = data,
                         .dim = {rows, width},
                         .stride = {pitch, 1}};
}

/* Floats of w [outputs, width], packed for dx: panels of `width`, lines for `lines` outputs. */
KIT_INLINE int64_t kit_packed_floats(int64_t lines, int64_t width)
{
    return kit_panels(width) * kit_panel_stride(lines);
}

/* Floats of dy [rows, n] and x [rows, k], transposed and packed for dw. */
KIT_INLINE int64_t kit_transposed_pitch(int64_t rows) { return kit_lanes(rows) + 16; }
KIT_INLINE int64_t kit_outer_floats(int64_t rows, int64_t n, int64_t k)
{
    return kit_lanes(n) * kit_transposed_pitch(rows) + kit_panels(k) * kit_panel_stride(rows);
}
/* Sums on a stack that adds so many in a binary tree: one for each bit of their number and one more. */
KIT_INLINE int64_t kit_outer_levels(int64_t sums)
{
    int64_t levels = 2;
    for (; sums > 1; sums /= 2) levels++;
    return levels;
}
/* Scratch of a lane: the stack of a tile. */
KIT_INLINE uint64_t kit_outer_scratch(int64_t rows)
{
    return (uint64_t)(kit_outer_levels(kit_blocks(rows)) * KIT_OUTER_FLOATS) * sizeof(float);
}
/* Rows of a tile of dw [n, k], whole register tiles: fewer than there may be, if else some lanes had
 * nothing to do. */
KIT_INLINE int64_t kit_outer_columns(int64_t k)
{
    return (kit_panels(k) + KIT_OUTER_PANELS - 1) / KIT_OUTER_PANELS;
}
KIT_INLINE int64_t kit_outer_rows(int64_t n, int64_t k)
{
    int64_t tiles = (n + KIT_OUTER_ROWS - 1) / KIT_OUTER_ROWS;
    while (tiles * kit_outer_columns(k) < KIT_GEMM_TILES && n / (tiles + 1) >= 12) tiles++;
    return tiles ? (n + 6 * tiles - 1) / (6 * tiles) * 6 : 6;
}
/* Floats of the stack of dw [n, k] for rows that come in so many parts. */
KIT_INLINE int64_t kit_outer_stack(int64_t parts, int64_t n, int64_t k)
{
    const int64_t rows = kit_outer_rows(n, k), tiles = (n + rows - 1) / rows * kit_outer_columns(k);
    return parts > 1 ? kit_outer_levels(parts) * tiles * rows * 16 * KIT_OUTER_PANELS : 0;
}
/* Floats of the sums of columns. */
KIT_INLINE int64_t kit_column_floats(int64_t rows, int64_t width)
{
    return kit_blocks(rows) * kit_lanes(width);
}

/* Which of so many parts the rows are; the stack has kit_outer_stack floats. Zeros: all at once.
 * `two`: the columns of dy belong to two weights, 16 of the one and 16 of the other in turn, as those
 * of a gate and of what it gates do. The second weight's gradient is added to `other`; of two
 * gradients the one that nobody wants is NULL. */
typedef struct kit_outer_part {
    int64_t part, parts;
    float *stack;
    int two;
    const heed_tensor *other;
} kit_outer_part;

typedef struct kit_outer {
    const heed_call *call;
    kit_columns a, b; /* dy and x */
    int64_t rows, rows_per_tile, row_tiles, tiles, pitch;
    float *transposed, *panels;
    const heed_tensor *to; /* [a.width, b.width]; of two, [half of it, b.width] */
    kit_outer_part part;
} kit_outer;

typedef struct kit_repack {
    float *data;
    int64_t depth, first, step; /* where in a panel the lines of w are, as in kit_columns */
    const heed_tensor *w;
} kit_repack;

typedef struct kit_column_part {
    kit_columns of;
    int64_t rows;
    float *part;
} kit_column_part;
#endif

/* 16 columns of a row from column c on, or what is left of them. */
KIT_INLINE vf KIT(kit_read_columns)(const kit_columns *of, int64_t r, int64_t c)
{
    const heed_tensor *t = of->t;
    const int64_t stride = t->stride[t->rank - 1], at = of->first + c / 16 * of->step;
    const int n = of->width - c < 16 ? (int)(of->width - c) : 16;
    return v_read(kit_row(t, of->row + r) + at * stride * kit_width(t->dtype), t->dtype, stride, n);
}

/* ---- w the other way ---- */

static void KIT(kit_repack_tile)(void *arg, int64_t p, uint32_t lane)
{
    const kit_repack *k = arg;
    const heed_tensor *w = k->w;
    float *panel = k->data + p * kit_panel_stride(k->depth);
    const int64_t skip = 16 * p * w->stride[1] * kit_width(w->dtype), left = w->dim[1] - 16 * p;
    (void)lane;
    for (int64_t n = 0; n < kit_lanes(w->dim[0]); n++) {
        const int64_t line = k->first + n / 16 * k->step + n % 16;
        if (line >= k->depth) continue;
        v_store(panel + 16 * line, n < w->dim[0] ? v_read(kit_at(w, &n, 1) + skip, w->dtype,
                                                          w->stride[1], left < 16 ? (int)left : 16)
                                                 : v_set(0.0f));
    }
}

/* Packs w [N, K] into `data` so that rows of N are multiplied to K: panels of `depth` lines, of
 * which output n is first + n / 16 step + n % 16. */
static __attribute__((unused)) int32_t KIT(kit_repack_run)(const heed_call *call, kit_repack k)
{
    return call->host->parallel_for(call->host, kit_panels(k.w->dim[1]), KIT(kit_repack_tile), &k);
}

/* ---- dw ---- */

/* Some rows of dy transposed, and of x packed. */
static void KIT(kit_outer_pack)(void *arg, int64_t tile, uint32_t lane)
{
    const kit_outer *o = arg;
    const int64_t from = tile * KIT_OUTER_PACKED, left = o->rows - from,
                  end = from + (left < KIT_OUTER_PACKED ? left : KIT_OUTER_PACKED),
                  stride = kit_panel_stride(o->rows);
    (void)lane;
    for (int64_t c = 0; c < o->a.width; c += 16)
        for (int64_t r = from; r < end; r += 16) {
            vf x[16];
            for (int64_t l = 0; l < 16; l++)
                x[l] = r + l < end ? KIT(kit_read_columns)(&o->a, r + l, c) : v_set(0.0f);
            v_transpose(x);
            for (int64_t l = 0; l < 16; l++) v_store(o->transposed + (c + l) * o->pitch + r, x[l]);
        }
    for (int64_t r = from; r < end; r++)
        for (int64_t p = 0; p < kit_panels(o->b.width); p++)
            v_store(o->panels + p * stride + 16 * r, KIT(kit_read_columns)(&o->b, r, 16 * p));
}

/* sums[rows][16 panels] of one block of rows, from 0. */
static void KIT(kit_outer_block)(const kit_outer *o, int64_t block, int64_t n, int64_t rows,
                                 int64_t panel, int64_t panels, float *sums)
{
#ifdef KIT_SCALAR
    const int64_t most = 1; /* the rows of a register tile */
#else
    const int64_t most = 6;
#endif
    const int64_t from = block * KIT_BLOCK_ROWS, pitch = 16 * KIT_OUTER_PANELS;
    const heed_tensor out = kit_matrix(sums, rows, pitch, pitch);
    const kit_weights w = {.data = o->panels + panel * kit_panel_stride(o->rows) + 16 * from,
                           .panels = panels,
                           .depth = kit_block_end(block, o->rows) - from,
                           .stride = kit_panel_stride(o->rows)};
    const kit_gemm g = {.w = &w, .out = &out, .in_place = 1};
    kit_gemm_part part = {.rows = rows, .panels = panels, .depth = w.depth};
    for (int64_t i = 0; i < rows; i++) {
        part.x[i] = o->transposed + (n + i) * o->pitch + from;
        part.to[i] = (char *)(sums + i * pitch);
    }
    for (int64_t p = 0; p < panels; p += KIT_GEMM_STEP)
        for (int64_t r = 0; r < rows; r += most) KIT(kit_gemm_strip)
    (&g, &part, r, rows - r < most ? rows - r : most, p,
     panels - p < KIT_GEMM_STEP ? panels - p : KIT_GEMM_STEP);
}

/* Sums of tiles, `step` floats apart. */
typedef struct KIT(kit_outer_sums) {
    float *at;
    int64_t step, height;
} KIT(kit_outer_sums);

/* The two last ones become one. */
static void KIT(kit_outer_add)(KIT(kit_outer_sums) * s, int64_t rows)
{
    float *from = s->at + --s->height * s->step, *to = from - s->step;
    for (int64_t i = 0; i < rows * 16 * KIT_OUTER_PANELS; i += 16)
        v_store(to + i, v_add(v_load(to + i), v_load(from + i)));
}
/* Sum number `index` has come on top: whole subtrees are added. */
static void KIT(kit_outer_push)(KIT(kit_outer_sums) * s, int64_t index, int64_t rows)
{
    s->height++;
    for (; index & 1; index /= 2) KIT(kit_outer_add)(s, rows);
}

/* A tile's sum over the blocks of a part, on top of the stack of the parts before it. */
static KIT(kit_outer_sums)
    KIT(kit_outer_join)(const kit_outer *o, int64_t tile, const float *sum, int64_t rows)
{
    const int64_t floats = o->rows_per_tile * 16 * KIT_OUTER_PANELS;
    KIT(kit_outer_sums)
    s = {o->part.stack + tile * floats, o->tiles * floats,
         __builtin_popcountll((uint64_t)o->part.part)};
    memcpy(s.at + s.height * s.step, sum, (size_t)(rows * 16 * KIT_OUTER_PANELS) * sizeof(float));
    KIT(kit_outer_push)(&s, o->part.part, rows);
    return s;
}

/* Adds sums to row n of the gradient, or of the one of two that it is of. */
static void KIT(kit_outer_write)(const kit_outer *o, int64_t n, int64_t panel, int64_t panels,
                                 const float *sums)
{
    const heed_tensor *t = o->part.two && n / 16 % 2 ? o->part.other : o->to;
    if (o->part.two) n = n / 32 * 16 + n % 16;
    if (!t || n >= t->dim[0]) return;
    for (int64_t c = 16 * panel; c < 16 * (panel + panels); c += 16) {
        const int m = o->b.width - c < 16 ? (int)(o->b.width - c) : 16;
        const int64_t at[2] = {n, c}, stride = t->stride[1];
        float *to = (float *)kit_at(t, at, 2);
        const vf sum = v_load(sums + c - 16 * panel);
        v_write(to, HEED_F32, stride, v_add(v_read(to, HEED_F32, stride, m), sum), m);
    }
}

/* A tile of dw, through all blocks of rows. */
static void KIT(kit_outer_tile)(void *arg, int64_t tile, uint32_t lane)
{
    const kit_outer *o = arg;
    const int64_t n = tile % o->row_tiles * o->rows_per_tile,
                  panel = tile / o->row_tiles * KIT_OUTER_PANELS,
                  rows = o->a.width - n < o->rows_per_tile ? o->a.width - n : o->rows_per_tile,
                  rest = kit_panels(o->b.width) - panel,
                  panels = rest < KIT_OUTER_PANELS ? rest : KIT_OUTER_PANELS;
    KIT(kit_outer_sums)
    s = {(float *)(o->call->scratch + lane * o->call->scratch_stride), KIT_OUTER_FLOATS, 0};
    for (int64_t b = 0; b < kit_blocks(o->rows); b++) {
        KIT(kit_outer_block)(o, b, n, rows, panel, panels, s.at + s.height * s.step);
        KIT(kit_outer_push)(&s, b, rows);
    }
    while (s.height > 1) KIT(kit_outer_add)(&s, rows);
    if (o->part.parts > 1) s = KIT(kit_outer_join)(o, tile, s.at, rows);
    if (o->part.part + 1 < o->part.parts) return;
    while (s.height > 1) KIT(kit_outer_add)(&s, rows);
    for (int64_t i = 0; i < rows && s.height; i++)
        KIT(kit_outer_write)(o, n + i, panel, panels, s.at + i * 16 * KIT_OUTER_PANELS);
}

/* to [a's columns, b's columns] += a^T b, over `rows` rows, which may be a part of all, and then `to`
 * changes with the last one; `room` has kit_outer_floats, a lane's scratch kit_outer_scratch. */
static __attribute__((unused)) int32_t KIT(kit_outer_some)(const heed_call *call, kit_columns a,
                                                           kit_columns b, int64_t rows,
                                                           const heed_tensor *to, float *room,
                                                           kit_outer_part part)
{
    const heed_host *host = call->host;
    const int64_t pitch = kit_transposed_pitch(rows);
    kit_outer o = {
        .call = call, .a = a, .b = b, .rows = rows, .pitch = pitch, .to = to, .part = part};
    o.transposed = room, o.panels = room + kit_lanes(a.width) * pitch;
    o.rows_per_tile = kit_outer_rows(a.width, b.width);
    o.row_tiles = (a.width + o.rows_per_tile - 1) / o.rows_per_tile;
    o.tiles = o.row_tiles * kit_outer_columns(b.width);
    const int32_t failed = host->parallel_for(
        host, (rows + KIT_OUTER_PACKED - 1) / KIT_OUTER_PACKED, KIT(kit_outer_pack), &o);
    return failed ? failed : host->parallel_for(host, o.tiles, KIT(kit_outer_tile), &o);
}
static __attribute__((unused)) int32_t KIT(kit_outer_run)(const heed_call *call, kit_columns a,
                                                          kit_columns b, int64_t rows,
                                                          const heed_tensor *to, float *room)
{
    return KIT(kit_outer_some)(call, a, b, rows, to, room, (kit_outer_part){0});
}

/* ---- dbias ---- */

static void KIT(kit_column_tile)(void *arg, int64_t block, uint32_t lane)
{
    const kit_column_part *s = arg;
    float *part = s->part + block * kit_lanes(s->of.width);
    (void)lane;
    memset(part, 0, (size_t)kit_lanes(s->of.width) * sizeof(float));
    for (int64_t r = block * KIT_BLOCK_ROWS; r < kit_block_end(block, s->rows); r++)
        for (int64_t c = 0; c < s->of.width; c += 16)
            v_store(part + c, v_add(v_load(part + c), KIT(kit_read_columns)(&s->of, r, c)));
}

/* Sums of the columns over each block of some rows, kit_lanes(width) floats apart. */
static __attribute__((unused)) int32_t KIT(kit_column_blocks)(const heed_call *call, kit_columns of,
                                                              int64_t rows, float *part)
{
    kit_column_part s = {of, rows, part};
    return call->host->parallel_for(call->host, kit_blocks(rows), KIT(kit_column_tile), &s);
}

/* to [columns] += their sums over the rows; `room` has kit_column_floats. */
static __attribute__((unused)) int32_t KIT(kit_column_sums)(const heed_call *call, kit_columns of,
                                                            int64_t rows, const heed_tensor *to,
                                                            float *room)
{
    const int32_t failed = KIT(kit_column_blocks)(call, of, rows, room);
    return failed ? failed
                  : KIT(kit_add_blocks)(call, (kit_block_sums){room, kit_blocks(rows), of.width,
                                                               kit_lanes(of.width), to});
}
