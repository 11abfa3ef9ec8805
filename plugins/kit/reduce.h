/* SPDX-License-Identifier: MIT
 *
 * heed/kit/reduce.h: sums over a row, and the walk over rows that every norm shares. Include it in a kernel file.
 *
 * A sum runs in 4 vectors, element i in vector i / 16 % 4, so 64 partial sums; then (0 + 1) + (2 + 3), then the lanes by
 * halves. The order depends on the length alone. Its error is a 64th of a plain loop's, plus the tree's.
 */
#define kit_sum KIT(kit_sum)
#define kit_sum_squares KIT(kit_sum_squares)

#define KIT_REDUCE(name, step)                                                                                        \
    KIT_INLINE float name(const float *x, int64_t n, float shift)                                                     \
    {                                                                                                                 \
        vf s[4] = {v_set(0.0f), v_set(0.0f), v_set(0.0f), v_set(0.0f)}, c = v_set(shift);                             \
        int64_t i = 0;                                                                                                \
        for (; i + 64 <= n; i += 64)                                                                                  \
            KIT_UNROLL for (int j = 0; j < 4; j++) { vf d = v_sub(v_load(x + i + 16 * j), c); s[j] = step; }          \
        for (int j = 0; i < n; i += 16, j++) {                                                                        \
            int m = n - i < 16 ? (int)(n - i) : 16;                                                                   \
            float d16[16] = {0};                                                                                      \
            v_store_n(d16, v_sub(v_load_n(x + i, m), c), m);                                                          \
            vf d = v_load(d16);                                                                                       \
            s[j] = step;                                                                                              \
        }                                                                                                             \
        return v_sum(v_add(v_add(s[0], s[1]), v_add(s[2], s[3])));                                                    \
    }
KIT_REDUCE(kit_sum, v_add(s[j], d))                /* sum of x - shift          */
KIT_REDUCE(kit_sum_squares, v_fma(d, d, s[j]))     /* sum of (x - shift) ^ 2    */
#undef KIT_REDUCE

/* x / d for a whole row, at the price of three products an element: the quotient by 1 / d, corrected by what it leaves
 * over, is the rounded one. Where 1 / d or d has no such room (0, infinite), it divides. */
#define kit_divisor KIT(kit_divisor)
#define kit_divide KIT(kit_divide)
typedef struct kit_divisor { vf d, inverse; int plain; } kit_divisor;
KIT_INLINE kit_divisor KIT(kit_by)(float d)
{
    const float inverse = 1.0f / d;
    return (kit_divisor){v_set(d), v_set(inverse), inverse >= FLT_MIN && inverse <= 1 / FLT_MIN && d <= 1 / FLT_MIN};
}
KIT_INLINE vf kit_divide(vf x, kit_divisor by)
{
    if (!by.plain) return v_div(x, by.d);
    vf y = v_mul(x, by.inverse), rest = v_fma(v_sub(v_set(0.0f), y), by.d, x);
    return v_fma(rest, by.inverse, y);
}

#ifndef HEED_KIT_REDUCE_ONCE
#define HEED_KIT_REDUCE_ONCE

/* A call over the rows of x [..., M], split into tiles of about 16 Ki elements. */
typedef struct kit_rowwise {
    const heed_call *call;
    const void *instance;
    const heed_tensor *x, *out;
    int64_t rows, rows_per_tile, width;
    void (*row)(const void *instance, float *y, const float *x, int64_t width); /* y may be x */
} kit_rowwise;

/* Scratch of a lane: one row. */
KIT_INLINE uint64_t kit_rowwise_scratch(int64_t width) { return kit_line((uint64_t)width * sizeof(float)); }
#endif

/* Rows of float32 with unit stride are read and written in place; others go through the lane's scratch. */
static void KIT(kit_rowwise_tile)(void *arg, int64_t tile, uint32_t lane)
{
    const kit_rowwise *w = arg;
    const heed_tensor *x = w->x, *out = w->out;
    int64_t xs = x->stride[x->rank - 1], os = out->stride[out->rank - 1];
    float *scratch = (float *)(w->call->scratch + lane * w->call->scratch_stride);
    int64_t end = (tile + 1) * w->rows_per_tile < w->rows ? (tile + 1) * w->rows_per_tile : w->rows;
    for (int64_t r = tile * w->rows_per_tile; r < end; r++) {
        const float *from = (const float *)kit_row(x, r);
        float *to = (float *)kit_row(out, r);
        if (x->dtype != HEED_F32 || xs != 1) {
            kit_read_row(scratch, from, x->dtype, xs, w->width);
            from = scratch;
        }
        if (out->dtype == HEED_F32 && os == 1) {
            w->row(w->instance, to, from, w->width);
        } else {
            w->row(w->instance, scratch, from, w->width);
            kit_write_row(to, out->dtype, os, scratch, w->width);
        }
    }
}

static int32_t KIT(kit_rowwise_run)(const heed_call *call, const void *instance, const heed_tensor *x,
                                    const heed_tensor *out, void (*row)(const void *, float *, const float *, int64_t))
{
    int64_t width = x->dim[x->rank - 1], rows = kit_rows(x), per_tile = 16384 / (width + 1) + 1;
    kit_rowwise w = {call, instance, x, out, rows, per_tile, width, row};
    return call->host->parallel_for(call->host, (rows + per_tile - 1) / per_tile, KIT(kit_rowwise_tile), &w);
}
