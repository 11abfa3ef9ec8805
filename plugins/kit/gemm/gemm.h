/* SPDX-License-Identifier: MIT
 *
 * heed/kit/gemm/gemm.h: y[r][n] = sum over k of x[r][k] * w[n][k], the product that projections and
 * feed-forward nets share. Include it in a kernel file.
 *
 * Weights are packed once, when an instance is made, into panels of 16 outputs: line k of panel p
 * is w[16 p .. 16 p + 15][k], zeros where there are no outputs. The panel's length is an odd number
 * of lines, so that panels side by side never meet in one set of a cache. All paths share this
 * layout. Lines are stored as kit/gemm/stored.h says: a call of few rows reads them so, one of many
 * makes them float32 for all of its rows, some panels at a time. Weights of 16 bits whose rows are
 * long are not packed at all: kit/gemm/rows.h makes lines of them as they are needed.
 *
 * The one invariant: an element is one chain, sum = fma(x[r][k], w[n][k], sum) for k = 0, 1, ...
 * from 0. Tiles, blocks of k, remainders and threads decide when a link is added, never the order:
 * so a row has the same bits on every path and in every company. A bias comes after the last link,
 * in the register; `finish`, an activation, while the sums are in the first cache.
 *
 * Error: |y - exact| <= (K + 1) 2^-24 sum |x w|: one rounding a link, half of a naive loop's two.
 */
#ifndef KIT_HAS_GEMM
#define KIT_HAS_GEMM
#include <heed/kit.h>
#include <heed/kit/gemm/rows.h>
#include <heed/kit/gemm/stored.h>

#ifndef HEED_KIT_GEMM_ONCE
#define HEED_KIT_GEMM_ONCE

/* A tile of the parallel work is at most KIT_GEMM_ROWS rows times KIT_GEMM_PANELS panels. It takes
 * KIT_GEMM_STEP panels at a time: their weights, 256 KiB a block of k, stay in the second cache
 * while all rows of the tile pass by. Rows are read where they are, and sums are made where they
 * go: copies of either cost more than the conflicts they avoid. */
enum {
    KIT_GEMM_ROWS = 96,
    KIT_GEMM_PANELS = 24,
    KIT_GEMM_STEP = 4,
    KIT_GEMM_BLOCK = 1024, /* so long that few sums are laid down and taken up again */
    KIT_GEMM_TILES = 16,   /* at least so many, if there is work for them */
    /* of weights that are read in place by a call of few rows: what of them is float32 at once stays in
       the first cache */
    KIT_GEMM_PLACE_STEP = 4,
    KIT_GEMM_PLACE_BLOCK = 64,
};

/* A linear map: w [N, K] and perhaps a bias [N], in whole panels. */
typedef struct kit_weights {
    const float *data, *bias;
    int64_t panels, depth, stride; /* panels of `depth` lines, `stride` floats apart */
    const float *scale;            /* of int8, of each output, in whole panels */
    uint32_t stored;               /* KIT_STORED_* */
    uint32_t places;               /* of weights that are read in place, panels in turn: 1 or 2 */
    kit_place place[2];
} kit_weights;

/* Takes the sums of one row, 16 for each of the panels [panel, panel + panels), to the row of out
 * that begins at `to`. `panel` is even, and `panels` too unless they are the last: so two weights
 * may share a product, interleaved panel by panel. */
typedef void kit_finish(const void *arg, char *to, int64_t panel, int64_t panels,
                        const float *sums);

/* Panels at a time: register tiles of few rows are wide. */
KIT_INLINE int64_t kit_gemm_step(int64_t rows)
{
    return rows > 2 ? KIT_GEMM_STEP : 2 * KIT_GEMM_STEP;
}

KIT_INLINE int64_t kit_panels(int64_t outputs) { return (outputs + 15) / 16; }
KIT_INLINE int64_t kit_panel_stride(int64_t depth) { return 16 * (depth | 1); }
KIT_INLINE uint64_t kit_weights_bytes(int64_t panels, int64_t depth)
{
    return (uint64_t)panels * (uint64_t)kit_panel_stride(depth) * sizeof(float);
}
/* Floats that packed weights take, with their scales. */
KIT_INLINE int64_t kit_stored_floats(uint32_t stored, int64_t panels, int64_t depth)
{
    return panels * (kit_stored_stride(stored, depth) + (stored == KIT_STORED_I8 ? 16 : 0));
}

/* A bias, or anything else that goes with the outputs, in whole panels; `to` is zeroed
 * beforehand. */
static __attribute__((unused)) const float *kit_pack_bias(float *to, const heed_tensor *bias)
{
    if (!bias) return NULL;
    kit_read_row(to, bias->data, bias->dtype, bias->stride[0], bias->dim[0]);
    return to;
}

/* Packs w [N, K] into the panels first, first + step, ... of `data`, which is zeroed. */
static __attribute__((unused)) void kit_pack(float *data, int64_t first, int64_t step,
                                             const heed_tensor *w)
{
    const int64_t outputs = w->dim[0], depth = w->dim[1], stride = kit_panel_stride(depth);
    for (int64_t p = 0; p < kit_panels(outputs); p++) {
        float *panel = data + (first + p * step) * stride, line[KIT_STORED_BLOCK];
        for (int64_t k = 0; k < depth; k += KIT_STORED_BLOCK)
            for (int64_t l = 0; l < 16 && 16 * p + l < outputs; l++) {
                const kit_output row = kit_output_of(w, 16 * p + l);
                const int64_t n = kit_output_read(&row, k, line);
                for (int64_t i = 0; i < n; i++) panel[(k + i) * 16 + l] = line[i];
            }
    }
}

/* 8 rows of 8 numbers of 16 bits as 8 lines of 8, which lie 16 numbers apart. */
static __attribute__((unused)) void kit_turn_halves(const char *at, int64_t pitch, uint16_t *to)
{
#if defined __SSE2__
    __m128i a[8], b[8];
    for (int r = 0; r < 8; r++) a[r] = _mm_loadu_si128((const void *)(at + r * pitch));
    for (int r = 0; r < 4; r++) {
        b[2 * r] = _mm_unpacklo_epi16(a[r], a[r + 4]);
        b[2 * r + 1] = _mm_unpackhi_epi16(a[r], a[r + 4]);
    }
    for (int r = 0; r < 4; r++) {
        a[2 * r] = _mm_unpacklo_epi16(b[r], b[r + 4]);
        a[2 * r + 1] = _mm_unpackhi_epi16(b[r], b[r + 4]);
    }
    for (int r = 0; r < 4; r++) {
        _mm_storeu_si128((void *)(to + 32 * r), _mm_unpacklo_epi16(a[r], a[r + 4]));
        _mm_storeu_si128((void *)(to + 32 * r + 16), _mm_unpackhi_epi16(a[r], a[r + 4]));
    }
#else
    for (int r = 0; r < 8; r++)
        for (int k = 0; k < 8; k++) memcpy(to + 16 * k + r, at + r * pitch + 2 * k, 2);
#endif
}

/* Links [0, returned) of 16-bit rows that lie side by side, 8 outputs from the n-th on at a time, which is a
 * multiple of 8; 0 where there are fewer, or where links are not neighbours. */
static __attribute__((unused)) int64_t kit_pack_halves(const heed_tensor *w, int64_t n,
                                                       uint16_t *to)
{
    const int64_t pitch = 2 * w->stride[0];
    int64_t k = 0;
    if (w->stride[1] != 1 || w->dim[0] - n < 8) return 0;
    for (; k + 8 <= w->dim[1]; k += 8)
        kit_turn_halves((const char *)w->data + n * pitch + 2 * k, pitch, to + 16 * k);
    return k;
}

/* The same of weights that are stored otherwise: 16-bit ones as they are, or as integers. */
static __attribute__((unused)) void kit_pack_stored(const kit_weights *to, int64_t first,
                                                    int64_t step, const heed_tensor *w)
{
    const int64_t depth = w->dim[1], width = kit_width(w->dtype);
    int64_t turned = 0;
    for (int64_t n = 0; n < w->dim[0]; n++) {
        const int64_t p = first + n / 16 * step;
        float *panel = (float *)(uintptr_t)to->data + p * to->stride;
        const kit_output row = kit_output_of(w, n);
        const int l = (int)(n % 16);
        if (to->stored <= KIT_STORED_BF16 && l % 8 == 0)
            turned = kit_pack_halves(w, n, (uint16_t *)panel + l);
        for (int64_t k = turned; to->stored <= KIT_STORED_BF16 && k < depth; k++)
            memcpy((uint16_t *)panel + 16 * k + l, row.at + k * w->stride[1] * width, 2);
        if (to->stored == KIT_STORED_I8)
            kit_store_int8((int8_t *)panel, l, &row, (float *)(uintptr_t)to->scale + 16 * p + l);
        if (kit_stored_blocks(to->stored) && (to->stored == KIT_STORED_Q8 || w->dtype == HEED_Q4_0))
            kit_store_blocks(to->stored, (char *)panel, l, &row);
        else if (to->stored == KIT_STORED_I4) kit_store_int4((char *)panel, l, &row);
    }
}

/* Describes weights that will lie at `data`, as kit_stored_floats says, which is zeroed. */
KIT_INLINE kit_weights kit_weights_at(uint32_t stored, float *data, int64_t panels, int64_t depth)
{
    const int64_t stride = kit_stored_stride(stored, depth);
    return (kit_weights){.data = data,
                         .panels = panels,
                         .depth = depth,
                         .stride = stride,
                         .scale = stored == KIT_STORED_I8 ? data + panels * stride : NULL,
                         .stored = stored};
}

/* Packs w into them: panels first, first + step, ...; or remembers where it is. */
static __attribute__((unused)) void kit_weights_pack(kit_weights *to, int64_t first, int64_t step,
                                                     const heed_tensor *w)
{
    if (kit_stored_in_place(to->stored)) {
        to->places = (uint32_t)step;
        to->place[first] = (kit_place){w->data, w->stride[0] * kit_width(w->dtype), w->dim[0]};
    } else if (to->stored == KIT_STORED_F32) kit_pack((float *)(uintptr_t)to->data, first, step, w);
    else kit_pack_stored(to, first, step, w);
}

/* A backward of a product has gradients of the weights that were given, which those of integers are not. */
static __attribute__((unused)) int32_t kit_check_given(const kit_weights *w, const heed_sink *sink)
{
    if (w->stored < KIT_STORED_I8 || kit_stored_in_place(w->stored)) return HEED_OK;
    return kit_fail(sink, HEED_E_UNSUPPORTED,
                    "weights that are stored as integers have no gradient: weights=given is right");
}

/* One product: `rows` rows of x, from x_row on, to as many of out, from out_row on. */
typedef struct kit_gemm {
    const heed_call *call;
    const kit_weights *w;
    const heed_tensor *x, *out;
    int64_t x_row, out_row, rows;
    kit_finish *finish;
    const void *arg;
    int in_place; /* out takes sums as they are, so whole panels are made there */
    int64_t rows_per_tile, row_tiles, panels_per_tile;
} kit_gemm;

/* A tile of it, in one block of k. */
typedef struct kit_gemm_part {
    int64_t row, rows, panel, panels, k, depth;
    const float *x[KIT_GEMM_ROWS];
    char *to[KIT_GEMM_ROWS];
    float *copy, *sums; /* scratch */
    float *unpacked;    /* the panels of a step from `step` on as float32, or NULL: they are read as
                           they are stored */
    int64_t step;
} kit_gemm_part;

/* Scratch of a lane: a block of the rows of a tile, copied, and the sums of a tile. */
enum { KIT_GEMM_COPY = KIT_GEMM_BLOCK + 16, KIT_GEMM_SUMS = 16 * KIT_GEMM_PANELS };
KIT_INLINE uint64_t kit_gemm_scratch(void)
{
    return KIT_GEMM_ROWS * (KIT_GEMM_COPY + KIT_GEMM_SUMS) * sizeof(float);
}
/* For weights that may be stored otherwise: then there is room for a step of panels as float32. */
KIT_INLINE uint64_t kit_gemm_scratch_of(const kit_weights *w)
{
    return kit_gemm_scratch() +
           (w->stored == KIT_STORED_F32
                ? 0
                : KIT_GEMM_STEP * (uint64_t)kit_panel_stride(KIT_GEMM_BLOCK) * sizeof(float));
}

/* Rows of a middle layer `width` wide that a workspace holds at once: about 16 MiB, and at least a
 * tile. Its rows are kit_middle_pitch floats apart, never a multiple of 4096 bytes for common
 * widths. */
KIT_INLINE int64_t kit_middle_pitch(int64_t width) { return kit_lanes(width) + 16; }
KIT_INLINE int64_t kit_middle_rows(int64_t rows, int64_t width)
{
    int64_t most = ((int64_t)1 << 22) / kit_middle_pitch(width) / KIT_GEMM_ROWS * KIT_GEMM_ROWS;
    if (most < KIT_GEMM_ROWS) most = KIT_GEMM_ROWS;
    return rows < most ? rows : most;
}
/* What a call with such a layer needs, for weights that are stored alike. */
KIT_INLINE void kit_middle_size(heed_call_size *size, int64_t rows, int64_t width,
                                const kit_weights *w)
{
    size->workspace =
        (uint64_t)(kit_middle_rows(rows, width) * kit_middle_pitch(width)) * sizeof(float);
    size->scratch = kit_gemm_scratch_of(w);
}
#endif

/* Register tiles (rows, panels), and how many panels at most. A remainder of panels halves the
 * width, rounding up. */
#if defined KIT_AVX512
#define KIT_GEMM_TALL 6
#define KIT_GEMM_SHAPES(S)                                                                         \
    S(6, 4)                                                                                        \
    S(6, 2) S(6, 1) S(5, 4) S(5, 2) S(5, 1) S(4, 4) S(4, 2) S(4, 1) S(3, 4) S(3, 2) S(3, 1)        \
        S(2, 8) S(2, 4) S(2, 2) S(2, 1) S(1, 8) S(1, 4) S(1, 2) S(1, 1)
#define KIT_GEMM_WIDEST(rows) ((rows) > 2 ? 4 : 8)
#elif defined KIT_AVX2 || defined KIT_NEON
#define KIT_GEMM_TALL 6
#define KIT_GEMM_SHAPES(S) S(6, 1) S(5, 1) S(4, 1) S(3, 1) S(2, 2) S(2, 1) S(1, 4) S(1, 2) S(1, 1)
#define KIT_GEMM_WIDEST(rows) ((rows) > 2 ? 1 : 4 / (rows))
#else
#define KIT_GEMM_TALL 1
#define KIT_GEMM_SHAPES(S) S(1, 1)
#define KIT_GEMM_WIDEST(rows) 1
#endif

/* A call of so few rows reads stored weights as they are, since it uses each of them once or twice; with
 * more rows it pays to make them float32 first. A tile of weights in blocks is narrower, because the scales
 * of its panels take registers too. */
#define KIT_GEMM_FEW 2
#if defined KIT_AVX512
#define KIT_GEMM_FEW_SHAPES(S) S(2, 4) S(2, 2) S(2, 1) S(1, 8) S(1, 4) S(1, 2) S(1, 1)
#define KIT_GEMM_FEW_WIDEST(rows, stored) ((rows) > 1 ? 4 : 8)
#elif defined KIT_AVX2 || defined KIT_NEON
#define KIT_GEMM_FEW_SHAPES(S) S(2, 2) S(2, 1) S(1, 4) S(1, 2) S(1, 1)
#define KIT_GEMM_FEW_WIDEST(rows, stored) ((kit_stored_blocks(stored) ? 2 : 4) / (rows))
#else
#define KIT_GEMM_FEW_SHAPES(S) S(1, 1)
#define KIT_GEMM_FEW_WIDEST(rows, stored) 1
#endif

/* The links of a register tile: panels of lines that lie `pitch` bytes apart. */
typedef struct KIT(kit_lines) {
    const char *at;
    int64_t pitch;
    int64_t k, depth;          /* the first link, and how many */
    const float *bias, *scale; /* what follows the last link, or NULL */
} KIT(kit_lines);

/* sums[rows][16 panels] goes on, or begins at 0, with the links [k, k + depth); a scale and the bias
 * follow the last one. */
KIT_INLINE void KIT(kit_gemm_links)(int rows, int panels, int stored, const float *const *x,
                                    const KIT(kit_lines) *lines, float *const *sums, int64_t at)
{
    vf a[24], scale[8];
    const float *from[6];
    const char *line = lines->at;
    const int64_t pitch = lines->pitch, depth = lines->depth,
                  step = 8 * kit_stored_halves((uint32_t)stored);
    const int blocks = kit_stored_blocks((uint32_t)stored);
    KIT_UNROLL for (int r = 0; r < rows; r++) {
        from[r] = x[r];
        KIT_UNROLL for (int p = 0; p < panels; p++) {
            a[r * panels + p] = lines->k == 0 ? v_set(0.0f) : v_load(sums[r] + at + 16 * p);
            __builtin_prefetch(sums[r] + at + 16 * p, 1); /* for the stores at the end */
        }
    }
    for (int64_t i = 0; i < depth;) {
        int64_t end = depth; /* or of a block */
        if (blocks) {
            end = i + KIT_STORED_BLOCK < depth ? i + KIT_STORED_BLOCK : depth;
            KIT_UNROLL for (int p = 0; p < panels; p++)
                scale[p] = v_load_f16((const uint16_t *)(const void *)(line + p * pitch));
            line += KIT_STORED_SCALES;
        }
        for (; i < end; i++, line += step) {
            vf b[8];
            KIT_UNROLL for (int p = 0; p < panels; p++) {
                b[p] = KIT(kit_stored_load)(stored, line + p * pitch);
                if (blocks) b[p] = v_mul(scale[p], b[p]);
                if (rows > 1) b[p] = v_pin(b[p]); /* or the compiler loads it again for each row */
            }
            KIT_UNROLL for (int r = 0; r < rows; r++) {
                vf s = v_set(from[r][i]);
                KIT_UNROLL for (int p = 0; p < panels; p++)
                    a[r * panels + p] = v_fma(s, b[p], a[r * panels + p]);
            }
        }
    }
    KIT_UNROLL for (int r = 0; r < rows; r++)
        KIT_UNROLL for (int p = 0; p < panels; p++) {
            vf sum = a[r * panels + p];
            if (lines->scale) sum = v_mul(sum, v_load(lines->scale + 16 * p));
            if (lines->bias) sum = v_add(sum, v_load(lines->bias + 16 * p));
            v_store(sums[r] + at + 16 * p, sum);
        }
}

KIT_KERNEL void KIT(kit_gemm_shape)(int rows, int panels, const float *const *x,
                                    const KIT(kit_lines) *lines, float *const *sums, int64_t at)
{
    switch (rows * 16 + panels) {
#define KIT_GEMM_CASE(R, P)                                                                        \
    case R * 16 + P: KIT(kit_gemm_links)(R, P, KIT_STORED_F32, x, lines, sums, at); break;
        KIT_GEMM_SHAPES(KIT_GEMM_CASE)
#undef KIT_GEMM_CASE
    }
}

#define KIT_GEMM_CASE(R, P)                                                                        \
    case R * 16 + P: KIT(kit_gemm_links)(R, P, KIT_GEMM_STORED, x, lines, sums, at); break;
#define KIT_GEMM_FEW_OF(name)                                                                      \
    KIT_KERNEL void KIT(name)(int rows, int panels, const float *const *x,                         \
                              const KIT(kit_lines) *lines, float *const *sums, int64_t at)         \
    {                                                                                              \
        switch (rows * 16 + panels) { KIT_GEMM_FEW_SHAPES(KIT_GEMM_CASE) }                         \
    }
#define KIT_GEMM_STORED KIT_STORED_F16
KIT_GEMM_FEW_OF(kit_gemm_few_f16)
#undef KIT_GEMM_STORED
#define KIT_GEMM_STORED KIT_STORED_BF16
KIT_GEMM_FEW_OF(kit_gemm_few_bf16)
#undef KIT_GEMM_STORED
#define KIT_GEMM_STORED KIT_STORED_I8
KIT_GEMM_FEW_OF(kit_gemm_few_i8)
#undef KIT_GEMM_STORED
#define KIT_GEMM_STORED KIT_STORED_I4
KIT_GEMM_FEW_OF(kit_gemm_few_i4)
#undef KIT_GEMM_STORED
#define KIT_GEMM_STORED KIT_STORED_Q8
KIT_GEMM_FEW_OF(kit_gemm_few_q8)
#undef KIT_GEMM_STORED
#undef KIT_GEMM_FEW_OF
#undef KIT_GEMM_CASE

/* A register tile, `wide` panels from panel p of the part's on. */
KIT_INLINE void KIT(kit_gemm_register)(const kit_gemm *g, const kit_gemm_part *part, int rows,
                                       int wide, int64_t p, const float *const *x,
                                       float *const *sums, int64_t at)
{
    const kit_weights *w = g->w;
    const int64_t panel = part->panel + p;
    const int last = part->k + part->depth == w->depth;
    KIT(kit_lines) lines = {
        .k = part->k,
        .depth = part->depth,
        .bias = last && w->bias ? w->bias + 16 * panel : NULL,
        .scale = last && w->scale ? w->scale + 16 * panel : NULL};
    if (w->stored != KIT_STORED_F32 && part->unpacked) {
        lines.pitch = kit_panel_stride(part->depth) * (int64_t)sizeof(float);
        lines.at = (const char *)part->unpacked + (p - part->step) * lines.pitch;
        KIT(kit_gemm_shape)(rows, wide, x, &lines, sums, at);
        return;
    }
    lines.pitch = w->stride * (int64_t)sizeof(float);
    lines.at = kit_stored_line(w->stored, w->data + panel * w->stride, part->k);
    switch (w->stored) {
    case KIT_STORED_F32: KIT(kit_gemm_shape)(rows, wide, x, &lines, sums, at); break;
    case KIT_STORED_F16: KIT(kit_gemm_few_f16)(rows, wide, x, &lines, sums, at); break;
    case KIT_STORED_BF16: KIT(kit_gemm_few_bf16)(rows, wide, x, &lines, sums, at); break;
    case KIT_STORED_I8: KIT(kit_gemm_few_i8)(rows, wide, x, &lines, sums, at); break;
    case KIT_STORED_I4: KIT(kit_gemm_few_i4)(rows, wide, x, &lines, sums, at); break;
    default: KIT(kit_gemm_few_q8)(rows, wide, x, &lines, sums, at); break;
    }
}

/* The finish where none is given, for an out that is not plain float32 or ends within a panel. */
static void KIT(kit_gemm_store)(const void *arg, char *to, int64_t panel, int64_t panels,
                                const float *sums)
{
    const heed_tensor *out = arg;
    int64_t stride = out->stride[out->rank - 1], step = 16 * stride * kit_width(out->dtype);
    int64_t left = out->dim[out->rank - 1] - 16 * panel;
    to += panel * step;
    for (int64_t p = 0; p < panels; p++, to += step, left -= 16)
        v_write(to, out->dtype, stride, v_load(sums + 16 * p), left < 16 ? (int)left : 16);
}

/* Rows [r, r + tall) times the panels [p, p + n): register tiles side by side, and in the end the
 * finish. */
KIT_INLINE void KIT(kit_gemm_strip)(const kit_gemm *g, const kit_gemm_part *part, int64_t r,
                                    int64_t tall, int64_t p, int64_t n)
{
    const kit_weights *w = g->w;
    int64_t panel = part->panel + p, first = w->depth > KIT_GEMM_BLOCK ? r : 0;
    int in_place = g->in_place && 16 * (panel + n) <= g->out->dim[g->out->rank - 1];
    float *sums[6];
    for (int64_t i = 0; i < tall; i++)
        sums[i] = in_place ? (float *)part->to[r + i] + 16 * panel
                           : part->sums + (first + i) * KIT_GEMM_SUMS + 16 * p;
    for (int64_t at = 0, wide; at < n; at += wide) {
        wide = w->stored != KIT_STORED_F32 && !part->unpacked
                   ? KIT_GEMM_FEW_WIDEST(tall, w->stored)
                   : KIT_GEMM_WIDEST(tall);
        while (wide > n - at) wide = (wide + 1) / 2;
        KIT(kit_gemm_register)(g, part, (int)tall, (int)wide, p + at, part->x + r, sums, 16 * at);
    }
    if (in_place || part->k + part->depth < w->depth) return;
    for (int64_t i = 0; i < tall; i++) g->finish(g->arg, part->to[r + i], panel, n, sums[i]);
}

/* The links of a part, of a panel that is read in place; those of another from link k on come next. */
KIT_KERNEL void KIT(kit_gemm_turn)(const kit_weights *w, const kit_gemm_part *part, int64_t panel,
                                   int64_t next, int64_t k, float *to)
{
    const kit_place *at = &w->place[panel % w->places], *then = &w->place[next % w->places];
    const char *ahead = then->at + next / w->places * 16 * then->pitch + 2 * k;
    const int64_t row = panel / w->places * 16;
    if (w->stored == KIT_STORED_ROWS_F16)
        KIT(kit_rows_unpack)(1, at, row, part->k, part->depth, ahead, to);
    else KIT(kit_rows_unpack)(0, at, row, part->k, part->depth, ahead, to);
}

/* Panels of a step as float32, if they are stored otherwise and many rows are to read them. */
KIT_INLINE void KIT(kit_gemm_unpack)(const kit_gemm *g, kit_gemm_part *part, int64_t p, int64_t n,
                                     float *room)
{
    const kit_weights *w = g->w;
    part->unpacked = NULL, part->step = p;
    if (w->stored == KIT_STORED_F32 || part->rows <= KIT_GEMM_FEW) return;
    part->unpacked = room;
    for (int64_t i = 0; i < n; i++, room += kit_panel_stride(part->depth)) {
        const int64_t panel = part->panel + p + i;
        if (kit_stored_in_place(w->stored))
            KIT(kit_gemm_turn)
            (w, part, panel, panel + 1 < w->panels ? panel + 1 : panel, part->k, room);
        else
            KIT(kit_stored_unpack)
            (w->stored, w->data + panel * w->stride, part->k, part->depth, room);
    }
}

/* The rows of x: where they are, or copied if they are not plain float32. */
KIT_INLINE void KIT(kit_gemm_rows)(const kit_gemm *g, kit_gemm_part *part)
{
    const heed_tensor *x = g->x;
    int64_t stride = x->stride[x->rank - 1], skip = part->k * stride * kit_width(x->dtype);
    int64_t pitch = kit_lanes(part->depth) + 16;
    for (int64_t r = 0; r < part->rows; r++) {
        const char *from = kit_row(x, g->x_row + part->row + r) + skip;
        part->x[r] = (const float *)from;
        if (x->dtype == HEED_F32 && stride == 1) continue;
        float *copy = part->copy + r * pitch;
        part->x[r] = copy;
        kit_read_row(copy, from, x->dtype, stride, part->depth);
    }
}

/* A tile of few rows whose weights are read in place: some panels from the first link to the last, so that
 * each row is read from its beginning to its end. */
static void KIT(kit_gemm_place)(const kit_gemm *g, kit_gemm_part *part)
{
    const kit_weights *w = g->w;
    float *room = part->sums + KIT_GEMM_ROWS * KIT_GEMM_SUMS;
    part->unpacked = room;
    for (int64_t p = 0; p < part->panels; p += KIT_GEMM_PLACE_STEP) {
        const int64_t left = part->panels - p,
                      n = left < KIT_GEMM_PLACE_STEP ? left : KIT_GEMM_PLACE_STEP;
        part->step = p;
        for (part->k = 0; part->k < w->depth; part->k += KIT_GEMM_PLACE_BLOCK) {
            const int64_t rest = w->depth - part->k, later = part->k + KIT_GEMM_PLACE_BLOCK;
            part->depth = rest < KIT_GEMM_PLACE_BLOCK ? rest : KIT_GEMM_PLACE_BLOCK;
            KIT(kit_gemm_rows)(g, part);
            for (int64_t i = 0; i < n; i++) {
                const int64_t panel = part->panel + p + i;
                const int ends = later >= w->depth && panel + n < w->panels;
                KIT(kit_gemm_turn)
                (w, part, panel, ends ? panel + n : panel, ends ? 0 : later,
                 room + i * kit_panel_stride(part->depth));
            }
            for (int64_t r = 0, tall; r < part->rows; r += tall) {
                tall = part->rows - r < KIT_GEMM_TALL ? part->rows - r : KIT_GEMM_TALL;
                KIT(kit_gemm_strip)(g, part, r, tall, p, n);
            }
        }
    }
}

static void KIT(kit_gemm_tile)(void *arg, int64_t tile, uint32_t lane)
{
    const kit_gemm *g = arg;
    const kit_weights *w = g->w;
    kit_gemm_part part;
    part.row = tile % g->row_tiles * g->rows_per_tile;
    part.rows = g->rows - part.row < g->rows_per_tile ? g->rows - part.row : g->rows_per_tile;
    part.panel = tile / g->row_tiles * g->panels_per_tile;
    part.panels =
        w->panels - part.panel < g->panels_per_tile ? w->panels - part.panel : g->panels_per_tile;
    part.copy = (float *)(g->call->scratch + lane * g->call->scratch_stride);
    part.sums = part.copy + KIT_GEMM_ROWS * KIT_GEMM_COPY;
    for (int64_t r = 0; r < part.rows; r++) part.to[r] = kit_row(g->out, g->out_row + part.row + r);
    if (kit_stored_in_place(w->stored) && part.rows <= KIT_GEMM_FEW && w->depth) {
        KIT(kit_gemm_place)(g, &part);
        return;
    }
    part.k = 0;
    do {
        part.depth = w->depth - part.k < KIT_GEMM_BLOCK ? w->depth - part.k : KIT_GEMM_BLOCK;
        KIT(kit_gemm_rows)(g, &part);
        int64_t step = kit_gemm_step(part.rows);
        for (int64_t p = 0; p < part.panels; p += step) {
            const int64_t n = part.panels - p < step ? part.panels - p : step;
            KIT(kit_gemm_unpack)(g, &part, p, n, part.sums + KIT_GEMM_ROWS * KIT_GEMM_SUMS);
            for (int64_t r = 0, tall; r < part.rows; r += tall) {
                tall = part.rows - r < KIT_GEMM_TALL ? part.rows - r : KIT_GEMM_TALL;
                KIT(kit_gemm_strip)(g, &part, r, tall, p, n);
            }
        }
        part.k += part.depth;
    } while (part.k < w->depth);
}

/* Rows of x [..., K] times the weights: `rows` of them from x_row on, to those of out [...,
 * N] from out_row on, by `finish`, or as they are if it is NULL. Every lane needs
 * kit_gemm_scratch_of(w) bytes, which is kit_gemm_scratch() for float32. */
static int32_t KIT(kit_gemm_run)(const heed_call *call, const kit_weights *w, const heed_tensor *x,
                                 int64_t x_row, const heed_tensor *out, int64_t out_row,
                                 int64_t rows, kit_finish *finish, const void *arg)
{
    int in_place = !finish && out->dtype == HEED_F32 && out->stride[out->rank - 1] == 1;
    if (!finish) finish = KIT(kit_gemm_store), arg = out;
    kit_gemm g = {call, w, x, out, x_row, out_row, rows, finish, arg, in_place, 0, 0, 0};
    if (rows == 0 || w->panels == 0) return HEED_OK;
    int64_t row_tiles = (rows + KIT_GEMM_ROWS - 1) / KIT_GEMM_ROWS;
    g.rows_per_tile = (rows + row_tiles - 1) / row_tiles;
    g.rows_per_tile += (KIT_GEMM_TALL - g.rows_per_tile % KIT_GEMM_TALL) % KIT_GEMM_TALL;
    g.row_tiles = (rows + g.rows_per_tile - 1) / g.rows_per_tile;
    /* as many panels as leave KIT_GEMM_TILES tiles, in whole steps */
    int64_t step = kit_gemm_step(rows),
            panels = w->panels * g.row_tiles / KIT_GEMM_TILES / step * step;
    g.panels_per_tile = panels < step ? step : panels > KIT_GEMM_PANELS ? KIT_GEMM_PANELS : panels;
    int64_t column_tiles = (w->panels + g.panels_per_tile - 1) / g.panels_per_tile;
    return call->host->parallel_for(call->host, g.row_tiles * column_tiles, KIT(kit_gemm_tile), &g);
}

/* Two products with a middle layer between them, which lies in the workspace, float32, some rows at
 * a time: what `finish` makes of x and the weights `up` is multiplied with `down`. */
KIT_KERNEL int32_t KIT(kit_gemm_two)(const heed_call *call, const heed_tensor *x,
                                     const kit_weights *up, kit_finish *finish, const void *arg,
                                     const kit_weights *down, const heed_tensor *out)
{
    int64_t rows = kit_rows(x), width = down->depth, step = kit_middle_rows(rows, width);
    heed_tensor middle = {.size = sizeof middle,
                          .dtype = HEED_F32,
                          .rank = 2,
                          .data = call->workspace,
                          .dim = {step, width},
                          .stride = {kit_middle_pitch(width), 1}};
    int32_t failed = HEED_OK;
    for (int64_t row = 0; row < rows && !failed; row += step) {
        int64_t n = rows - row < step ? rows - row : step;
        failed = KIT(kit_gemm_run)(call, up, x, row, &middle, 0, n, finish, arg);
        if (!failed) failed = KIT(kit_gemm_run)(call, down, &middle, 0, out, row, n, NULL, NULL);
    }
    return failed;
}

#undef KIT_GEMM_TALL
#undef KIT_GEMM_SHAPES
#undef KIT_GEMM_WIDEST
#undef KIT_GEMM_FEW
#undef KIT_GEMM_FEW_SHAPES
#undef KIT_GEMM_FEW_WIDEST
#endif
