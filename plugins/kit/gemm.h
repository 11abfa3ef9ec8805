/* SPDX-License-Identifier: MIT
 *
 * heed/kit/gemm.h: y[r][n] = sum over k of x[r][k] * w[n][k], the product that projections and feed-forward nets share.
 * Include it in a kernel file.
 *
 * Weights are packed once, when an instance is made, into panels of 16 outputs: line k of panel p is
 * w[16 p .. 16 p + 15][k], zeros where there are no outputs. The panel's length is an odd number of lines, so that
 * panels side by side never meet in one set of a cache. All paths share this layout.
 *
 * The one invariant: an element is one chain, sum = fma(x[r][k], w[n][k], sum) for k = 0, 1, ... from 0. Tiles, blocks
 * of k, remainders and threads decide when a link is added, never the order: so a row has the same bits on every path
 * and in every company. Bias and activation come after, in `finish`, while the sums are in the first cache.
 *
 * Error: |y - exact| <= (K + 1) 2^-24 sum |x w|: one rounding a link, half of a naive loop's two.
 */
#ifndef HEED_KIT_GEMM_ONCE
#define HEED_KIT_GEMM_ONCE

/* A tile of the parallel work is at most KIT_GEMM_ROWS rows times KIT_GEMM_PANELS panels; it walks k in blocks, so that
 * a block of weights stays in the second cache while all rows of the tile pass by. */
enum {
    KIT_GEMM_ROWS = 96,
    KIT_GEMM_PANELS = 24,
    KIT_GEMM_BLOCK = 256,
    KIT_GEMM_LONG_BLOCK = 1024, /* where all rows are one register tile, and no weight is met twice */
    KIT_GEMM_TILES = 16,        /* at least so many, if there is work for them */
};

typedef struct kit_weights {
    const float *data;
    int64_t panels, depth, stride; /* panels of `depth` lines, `stride` floats apart */
} kit_weights;

/* The sums of one row, 16 for each of the panels [panel, panel + panels); `panel` is even, and `panels` too unless they
 * are the last: so two weights may share a product, interleaved panel by panel. [lane] */
typedef void kit_finish(const void *arg, int64_t row, int64_t panel, int64_t panels, const float *sums);

KIT_INLINE int64_t kit_panels(int64_t outputs) { return (outputs + 15) / 16; }
KIT_INLINE int64_t kit_panel_stride(int64_t depth) { return 16 * (depth | 1); }
KIT_INLINE uint64_t kit_weights_bytes(int64_t panels, int64_t depth)
{
    return (uint64_t)panels * (uint64_t)kit_panel_stride(depth) * sizeof(float);
}

/* A bias, or anything else that goes with the outputs, in whole panels; `to` is zeroed beforehand. */
static __attribute__((unused)) const float *kit_pack_bias(float *to, const heed_tensor *bias)
{
    if (!bias) return NULL;
    kit_read_row(to, bias->data, bias->dtype, bias->stride[0], bias->dim[0]);
    return to;
}

/* Packs w [N, K] into the panels first, first + step, ... of `data`. */
static __attribute__((unused)) void kit_pack(float *data, int64_t first, int64_t step, const heed_tensor *w)
{
    int64_t outputs = w->dim[0], depth = w->dim[1], stride = kit_panel_stride(depth), width = kit_width(w->dtype);
    for (int64_t p = 0; p < kit_panels(outputs); p++) {
        float *panel = data + (first + p * step) * stride, line[64];
        for (int64_t k = 0; k < depth; k += 64)
            for (int64_t l = 0, n = depth - k < 64 ? depth - k : 64; l < 16; l++) {
                int64_t at = (16 * p + l) * w->stride[0] + k * w->stride[1];
                if (16 * p + l < outputs) kit_read_row(line, (char *)w->data + at * width, w->dtype, w->stride[1], n);
                else memset(line, 0, sizeof line);
                for (int64_t i = 0; i < n; i++) panel[(k + i) * 16 + l] = line[i];
            }
    }
}

/* One product: rows [first, first + rows) of x, cut into tiles. */
typedef struct kit_gemm {
    const heed_call *call;
    const kit_weights *w;
    const heed_tensor *x;
    int64_t first, rows;
    kit_finish *finish;
    const void *arg;
    int64_t rows_per_tile, row_tiles, panels_per_tile;
} kit_gemm;

/* Rows of a middle layer `width` wide that a workspace holds at once: about 16 MiB, and at least a tile. Its rows are
 * kit_middle_pitch floats apart, never a multiple of 4096 bytes for common widths. */
KIT_INLINE int64_t kit_middle_pitch(int64_t width) { return kit_lanes(width) + 16; }
KIT_INLINE int64_t kit_middle_rows(int64_t rows, int64_t width)
{
    int64_t most = ((int64_t)1 << 22) / kit_middle_pitch(width) / KIT_GEMM_ROWS * KIT_GEMM_ROWS;
    if (most < KIT_GEMM_ROWS) most = KIT_GEMM_ROWS;
    return rows < most ? rows : most;
}

/* Scratch of a lane: the rows of one register tile, copied, and the sums of a tile. */
KIT_INLINE uint64_t kit_gemm_scratch(void)
{
    return (8 * (KIT_GEMM_LONG_BLOCK + 16) + KIT_GEMM_ROWS * KIT_GEMM_PANELS * 16) * sizeof(float);
}
#endif

/* Register tiles (rows, panels), and the tallest. A remainder of panels halves the width, rounding up. */
#if defined KIT_AVX512
#define KIT_GEMM_TALL 8
#define KIT_GEMM_SHAPES(S) S(8, 3) S(8, 2) S(8, 1) S(4, 6) S(4, 3) S(4, 2) S(4, 1)                                  \
    S(2, 8) S(2, 4) S(2, 2) S(2, 1) S(1, 8) S(1, 4) S(1, 2) S(1, 1)
#define KIT_GEMM_WIDEST(rows) ((rows) == 8 ? 3 : (rows) == 4 ? 6 : 8)
#elif defined KIT_AVX2
#define KIT_GEMM_TALL 6
#define KIT_GEMM_SHAPES(S) S(6, 1) S(4, 1) S(2, 2) S(2, 1) S(1, 4) S(1, 2) S(1, 1)
#define KIT_GEMM_WIDEST(rows) ((rows) >= 4 ? 1 : (rows) == 2 ? 2 : 4)
#elif defined KIT_NEON
#define KIT_GEMM_TALL 6
#define KIT_GEMM_SHAPES(S) S(6, 1) S(4, 1) S(2, 2) S(2, 1) S(1, 4) S(1, 2) S(1, 1)
#define KIT_GEMM_WIDEST(rows) ((rows) >= 4 ? 1 : (rows) == 2 ? 2 : 4)
#else
#define KIT_GEMM_TALL 1
#define KIT_GEMM_SHAPES(S) S(1, 1)
#define KIT_GEMM_WIDEST(rows) 1
#endif

/* sums[rows][16 panels] (rows `pitch` apart) goes on, or begins at 0, with `depth` links. */
KIT_INLINE void KIT(kit_gemm_links)(int rows, int panels, const float *const *x, const float *w, int64_t stride,
                                    int64_t depth, float *sums, int64_t pitch, int begin)
{
    vf a[24];
    const float *from[8];
    KIT_UNROLL for (int r = 0; r < rows; r++) {
        from[r] = x[r];
        KIT_UNROLL for (int p = 0; p < panels; p++)
            a[r * panels + p] = begin ? v_set(0.0f) : v_load(sums + r * pitch + 16 * p);
    }
    for (int64_t k = 0; k < depth; k++, w += 16) {
        vf b[8];
        KIT_UNROLL for (int p = 0; p < panels; p++) {
            b[p] = v_load(w + p * stride);
            if (rows > 1) b[p] = v_pin(b[p]); /* or the compiler loads it again for each row */
        }
        KIT_UNROLL for (int r = 0; r < rows; r++) {
            vf s = v_set(from[r][k]);
            KIT_UNROLL for (int p = 0; p < panels; p++) a[r * panels + p] = v_fma(s, b[p], a[r * panels + p]);
        }
    }
    KIT_UNROLL for (int r = 0; r < rows; r++)
        KIT_UNROLL for (int p = 0; p < panels; p++) v_store(sums + r * pitch + 16 * p, a[r * panels + p]);
}

KIT_KERNEL void KIT(kit_gemm_shape)(int rows, int panels, const float *const *x, const float *w, int64_t stride,
                                    int64_t depth, float *sums, int64_t pitch, int begin)
{
    switch (rows * 16 + panels) {
#define KIT_GEMM_CASE(R, P) case R * 16 + P: KIT(kit_gemm_links)(R, P, x, w, stride, depth, sums, pitch, begin); break;
        KIT_GEMM_SHAPES(KIT_GEMM_CASE)
#undef KIT_GEMM_CASE
    }
}

/* Addresses of x[row .. row + rows)[k ...]; the last is repeated up to `tall`. Rows that are not plain float32 are
 * copied, and so are rows a multiple of 4096 bytes apart: they would share one set of the first cache. */
KIT_INLINE void KIT(kit_gemm_rows)(const float **at, const kit_gemm *g, int64_t row, int64_t rows, int tall, int64_t k,
                                   int64_t depth, float *copy)
{
    const heed_tensor *x = g->x;
    int64_t stride = x->stride[x->rank - 1];
    char *from[8];
    for (int r = 0; r < tall; r++)
        from[r] = kit_row(x, row + (r < rows ? r : rows - 1)) + k * stride * kit_width(x->dtype);
    int plain = x->dtype == HEED_F32 && stride == 1 && (rows < 4 || (from[1] - from[0]) % 4096 != 0);
    for (int r = 0; r < tall; r++) {
        at[r] = plain ? (const float *)from[r] : copy + (r < rows ? r : rows - 1) * (KIT_GEMM_LONG_BLOCK + 16);
        if (!plain && r < rows) kit_read_row(copy + r * (KIT_GEMM_LONG_BLOCK + 16), from[r], x->dtype, stride, depth);
    }
}

static void KIT(kit_gemm_tile)(void *arg, int64_t tile, uint32_t lane)
{
    const kit_gemm *g = arg;
    const kit_weights *w = g->w;
    int64_t row0 = tile % g->row_tiles * g->rows_per_tile, panel0 = tile / g->row_tiles * g->panels_per_tile;
    int64_t rows = g->rows - row0 < g->rows_per_tile ? g->rows - row0 : g->rows_per_tile;
    int64_t panels = w->panels - panel0 < g->panels_per_tile ? w->panels - panel0 : g->panels_per_tile;
    int64_t block = rows <= KIT_GEMM_TALL ? KIT_GEMM_LONG_BLOCK : KIT_GEMM_BLOCK, pitch = panels * 16, k = 0;
    float *copy = (float *)(g->call->scratch + lane * g->call->scratch_stride);
    float *sums = copy + 8 * (KIT_GEMM_LONG_BLOCK + 16);
    do {
        int64_t depth = w->depth - k < block ? w->depth - k : block;
        for (int64_t r = 0; r < rows; r += KIT_GEMM_TALL) {
            int64_t left = rows - r < KIT_GEMM_TALL ? rows - r : KIT_GEMM_TALL;
            int tall = left > 4 ? KIT_GEMM_TALL : left == 3 ? 4 : (int)left;
            const float *x[8] = {0};
            if (depth > 0) KIT(kit_gemm_rows)(x, g, g->first + row0 + r, left, tall, k, depth, copy);
            float *here = w->depth > block ? sums + r * pitch : sums;
            for (int64_t p = 0; p < panels;) {
                int wide = KIT_GEMM_WIDEST(tall);
                while (wide > panels - p) wide = (wide + 1) / 2;
                KIT(kit_gemm_shape)(tall, wide, x, w->data + (panel0 + p) * w->stride + k * 16, w->stride, depth,
                                    here + p * 16, pitch, k == 0);
                p += wide;
            }
            if (k + depth == w->depth)
                for (int64_t i = 0; i < left; i++) g->finish(g->arg, row0 + r + i, panel0, panels, here + i * pitch);
        }
        k += depth;
    } while (k < w->depth);
}

/* Rows [first, first + rows) of x [..., K] times the weights; finish gets rows counted from 0. Every lane needs
 * kit_gemm_scratch() bytes. */
static int32_t KIT(kit_gemm_run)(const heed_call *call, const kit_weights *w, const heed_tensor *x, int64_t first,
                                 int64_t rows, kit_finish *finish, const void *arg)
{
    kit_gemm g = {call, w, x, first, rows, finish, arg, 0, 0, 0};
    if (rows == 0 || w->panels == 0) return HEED_OK;
    int64_t row_tiles = (rows + KIT_GEMM_ROWS - 1) / KIT_GEMM_ROWS;
    g.rows_per_tile = (rows + row_tiles - 1) / row_tiles;
    g.rows_per_tile += (KIT_GEMM_TALL - g.rows_per_tile % KIT_GEMM_TALL) % KIT_GEMM_TALL;
    g.row_tiles = (rows + g.rows_per_tile - 1) / g.rows_per_tile;
    /* as many panels as leave KIT_GEMM_TILES tiles, in steps that no register tile has to cut */
    int64_t step = rows <= 2 ? 8 : 6, panels = w->panels * g.row_tiles / KIT_GEMM_TILES / step * step;
    g.panels_per_tile = panels < step ? step : panels > KIT_GEMM_PANELS ? KIT_GEMM_PANELS : panels;
    int64_t column_tiles = (w->panels + g.panels_per_tile - 1) / g.panels_per_tile;
    return call->host->parallel_for(call->host, g.row_tiles * column_tiles, KIT(kit_gemm_tile), &g);
}

/* What most kinds of finish end with: the sums, and a bias of whole panels or NULL, to one row of out [..., N]. */
KIT_INLINE void KIT(kit_gemm_store)(const heed_tensor *out, int64_t row, int64_t panel, int64_t panels,
                                    const float *sums, const float *bias)
{
    int64_t stride = out->stride[out->rank - 1], step = 16 * stride * kit_width(out->dtype);
    char *to = kit_row(out, row) + panel * step;
    for (int64_t p = 0; p < panels; p++, to += step) {
        int64_t left = out->dim[out->rank - 1] - 16 * (panel + p);
        vf y = v_load(sums + 16 * p);
        if (bias) y = v_add(y, v_load(bias + 16 * (panel + p)));
        v_write(to, out->dtype, stride, y, left < 16 ? (int)left : 16);
    }
}

#undef KIT_GEMM_TALL
#undef KIT_GEMM_SHAPES
#undef KIT_GEMM_WIDEST
