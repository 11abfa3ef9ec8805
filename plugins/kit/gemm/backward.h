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
 * row. So one of two that are interleaved by 16 is taken (step 32); others have step 16. */
typedef struct kit_columns {
    const heed_tensor *t;
    int64_t width, first, step;
} kit_columns;
KIT_INLINE kit_columns kit_all_columns(const heed_tensor *t)
{
    return (kit_columns){t, t->dim[t->rank - 1], 0, 16};
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
/* Scratch of a lane: the stack of a tile, one sum for each bit of the number of blocks and one
 * more. */
KIT_INLINE uint64_t kit_outer_scratch(int64_t rows)
{
    int64_t levels = 2;
    for (int64_t b = kit_blocks(rows); b > 1; b /= 2) levels++;
    return (uint64_t)(levels * KIT_OUTER_FLOATS) * sizeof(float);
}
/* Floats of the sums of columns. */
KIT_INLINE int64_t kit_column_floats(int64_t rows, int64_t width)
{
    return kit_blocks(rows) * kit_lanes(width);
}

typedef struct kit_outer {
    const heed_call *call;
    kit_columns a, b; /* dy and x */
    int64_t rows, row_tiles, pitch;
    float *transposed, *panels;
    const heed_tensor *to; /* [a.width, b.width] */
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
    return v_read(kit_row(t, r) + at * stride * kit_width(t->dtype), t->dtype, stride, n);
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

static void KIT(kit_outer_add)(float *to, const float *from, int64_t rows)
{
    for (int64_t i = 0; i < rows * 16 * KIT_OUTER_PANELS; i += 16)
        v_store(to + i, v_add(v_load(to + i), v_load(from + i)));
}

/* A tile of dw, through all blocks of rows. */
static void KIT(kit_outer_tile)(void *arg, int64_t tile, uint32_t lane)
{
    const kit_outer *o = arg;
    float *stack = (float *)(o->call->scratch + lane * o->call->scratch_stride);
    const int64_t n = tile % o->row_tiles * KIT_OUTER_ROWS, stride = o->to->stride[1],
                  panel = tile / o->row_tiles * KIT_OUTER_PANELS,
                  rows = o->a.width - n < KIT_OUTER_ROWS ? o->a.width - n : KIT_OUTER_ROWS,
                  rest = kit_panels(o->b.width) - panel,
                  panels = rest < KIT_OUTER_PANELS ? rest : KIT_OUTER_PANELS;
    int64_t height = 0;
    for (int64_t b = 0; b < kit_blocks(o->rows); b++) {
        KIT(kit_outer_block)(o, b, n, rows, panel, panels, stack + height++ * KIT_OUTER_FLOATS);
        for (int64_t whole = b; whole & 1; whole /= 2, height--) KIT(kit_outer_add)
        (stack + (height - 2) * KIT_OUTER_FLOATS, stack + (height - 1) * KIT_OUTER_FLOATS, rows);
    }
    for (; height > 1; height--) KIT(kit_outer_add)
    (stack + (height - 2) * KIT_OUTER_FLOATS, stack + (height - 1) * KIT_OUTER_FLOATS, rows);
    for (int64_t i = 0; i < rows && height; i++)
        for (int64_t c = 16 * panel; c < 16 * (panel + panels); c += 16) {
            const int m = o->b.width - c < 16 ? (int)(o->b.width - c) : 16;
            const int64_t at[2] = {n + i, c};
            float *to = (float *)kit_at(o->to, at, 2);
            const vf sum = v_load(stack + i * 16 * KIT_OUTER_PANELS + c - 16 * panel);
            v_write(to, HEED_F32, stride, v_add(v_read(to, HEED_F32, stride, m), sum), m);
        }
}

/* to [a's columns, b's columns] += a^T b, over `rows` rows; `room` has kit_outer_floats, a lane's
 * scratch kit_outer_scratch. */
static __attribute__((unused)) int32_t KIT(kit_outer_run)(const heed_call *call, kit_columns a,
                                                          kit_columns b, int64_t rows,
                                                          const heed_tensor *to, float *room)
{
    const heed_host *host = call->host;
    const int64_t pitch = kit_transposed_pitch(rows);
    kit_outer o = {.call = call, .a = a, .b = b, .rows = rows, .pitch = pitch, .to = to};
    o.transposed = room, o.panels = room + kit_lanes(a.width) * pitch;
    o.row_tiles = (a.width + KIT_OUTER_ROWS - 1) / KIT_OUTER_ROWS;
    const int64_t columns = (kit_panels(b.width) + KIT_OUTER_PANELS - 1) / KIT_OUTER_PANELS;
    const int32_t failed = host->parallel_for(
        host, (rows + KIT_OUTER_PACKED - 1) / KIT_OUTER_PACKED, KIT(kit_outer_pack), &o);
    return failed ? failed
                  : host->parallel_for(host, o.row_tiles * columns, KIT(kit_outer_tile), &o);
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

/* to [columns] += their sums over the rows; `room` has kit_column_floats. */
static __attribute__((unused)) int32_t KIT(kit_column_sums)(const heed_call *call, kit_columns of,
                                                            int64_t rows, const heed_tensor *to,
                                                            float *room)
{
    kit_column_part s = {of, rows, room};
    const int64_t blocks = kit_blocks(rows);
    const int32_t failed = call->host->parallel_for(call->host, blocks, KIT(kit_column_tile), &s);
    return failed ? failed
                  : KIT(kit_add_blocks)(
                        call, (kit_block_sums){room, blocks, of.width, kit_lanes(of.width), to});
}
