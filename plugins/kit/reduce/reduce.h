/* SPDX-License-Identifier: MIT
 *
 * heed/kit/reduce/reduce.h: sums over a row, and the walk over rows that every norm shares. Include
 * it in a kernel file.
 *
 * A sum of squares runs in 4 vectors, element i in vector i / 16 % 4, so 64 partial sums; then (0 +
 * 1) + (2 + 3), then the lanes by halves. A plain sum adds (0 + 1) + (2 + 3) of every 64 elements
 * to one vector. The order depends on the length alone. The error is a 64th of a plain loop's, plus
 * the tree's.
 */
#ifndef KIT_HAS_REDUCE
#define KIT_HAS_REDUCE
#include <heed/kit.h>

#ifndef HEED_KIT_REDUCE_ONCE
#define HEED_KIT_REDUCE_ONCE
#define kit_sums_about KIT(kit_sums_about)
#define kit_sum KIT(kit_sum)

typedef struct kit_sums { float first, second; } kit_sums; /* of d and of d^2 */

/* What a norm knows of a row before it writes it: an element becomes (power x - centre) scale.
 * `power` is 1, or, where squares of the row would overflow or vanish, the power of two that brings
 * its largest element near 1. */
typedef struct kit_moments { float centre, scale, power; } kit_moments;

/* Whether squares of a row have overflowed, or are so small that they have lost digits which eps
 * does not hide. */
KIT_INLINE int kit_sums_fail(kit_sums s, double eps)
{
    return !(s.second <= FLT_MAX) || (s.second < 0x1p-90f && eps < 0x1p-60);
}

/* The power of two that brings `most` near 1; 1 where that is 0 or not finite. */
static __attribute__((unused)) float kit_power_of(float most)
{
    if (!(most > 0.0f && most <= FLT_MAX)) return 1.0f;
    const int exponent = most < FLT_MIN ? 127 : 127 - (int)(kit_bits(most) >> 23);
    return exponent < -126 ? FLT_MIN : kit_float((uint32_t)(exponent + 127) << 23);
}

/* A call over the rows of x [..., M], or of x + residual, split into tiles of about 16 Ki elements.
 * Absent tensors are NULL. A row is read once from memory, and each output is written once; out or
 * sum may be x. */
typedef struct kit_rowwise {
    const heed_call *call;
    const void *instance;
    const heed_tensor *x,
        *residual; /* what is read, and what is added to it: the sum is rounded to float32 */
    const heed_tensor *out, *sum;    /* what apply gives; x + residual itself */
    kit_moments (*measure)(const void *instance, const float *row,
                           int64_t width); /* NULL: nothing to know */
    void (*apply)(const void *instance, kit_moments m, float *y, const float *x, int64_t at,
                  int64_t n);
    /* to elements [at, at + n) of a row; x and y point to the
     * first, y may be x */
    int64_t rows, rows_per_tile, width; /* kit_rowwise_run sets these */
    int out_streams, sum_streams;
} kit_rowwise;

/* The measure_call of such an op: a lane's scratch is one row. */
static __attribute__((unused)) int32_t
kit_rowwise_measure_call(const void *instance, const heed_call *call, heed_call_size *size)
{
    (void)instance;
    size->scratch = kit_line((uint64_t)HEED_AXIS(call->axis, 'M') * sizeof(float));
    return HEED_OK;
}
#endif

/* The sum of a row: `first` of kit_sums_about(x, n, 0), to the bit. */
KIT_INLINE float kit_sum(const float *x, int64_t n)
{
    vf sum = v_set(0.0f), d[4];
    for (int64_t i = 0; i < n; i += 64) {
        KIT_UNROLL for (int j = 0; j < 4; j++) {
            const int64_t left = n - i - 16 * j;
            d[j] = left >= 16 ? v_load(x + i + 16 * j)
                   : left > 0 ? v_load_n(x + i + 16 * j, (int)left)
                              : v_set(0.0f);
        }
        sum = v_add(sum, v_add(v_add(d[0], d[1]), v_add(d[2], d[3])));
    }
    return v_sum(sum);
}

/* That of the largest of |x|. */
KIT_KERNEL float KIT(kit_power)(const float *x, int64_t n)
{
    vf most = v_set(0.0f);
    for (int64_t i = 0; i < n; i += 16)
        most = v_max(v_abs(v_read(x + i, HEED_F32, 1, n - i < 16 ? (int)(n - i) : 16)), most);
    return kit_power_of(v_hmax(most));
}

/* What of a row is to be centred and scaled: x, or power x, which is put into y. */
KIT_INLINE const float *KIT(kit_rescale)(kit_moments m, float *y, const float *x, int64_t n)
{
    if (m.power == 1.0f) return x;
    for (int64_t i = 0; i < n; i += 16) {
        const int part = n - i < 16 ? (int)(n - i) : 16;
        v_write(y + i, HEED_F32, 1, v_mul(v_read(x + i, HEED_F32, 1, part), v_set(m.power)), part);
    }
    return y;
}

/* Sums of d = power x - shift over a row. */
KIT_INLINE kit_sums KIT(kit_sums_of)(const int scaled, const float *x, int64_t n, float shift,
                                     float power)
{
    static const float lanes[16] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
    const vf c = v_set(shift), zero = v_set(0.0f), p = v_set(power);
    vf first = zero, second[4] = {zero, zero, zero, zero}, d[4];
    for (int64_t i = 0; i < n; i += 64) {
        if (i + 64 <= n)
            KIT_UNROLL for (int j = 0; j < 4; j++) {
                const vf v = v_load(x + i + 16 * j);
                d[j] = v_sub(scaled ? v_mul(v, p) : v, c);
            }
        else
            KIT_UNROLL for (int j = 0; j < 4; j++) {
                int64_t left = n - i - 16 * j;
                int m = left < 0 ? 0 : left < 16 ? (int)left : 16;
                vf v = v_load_n(x + (m ? i + 16 * j : 0), m);
                d[j] = v_select(v_lt(v_load(lanes), v_set((float)m)),
                                v_sub(scaled ? v_mul(v, p) : v, c), zero);
            }
        KIT_UNROLL for (int j = 0; j < 4; j++) second[j] = v_fma(d[j], d[j], second[j]);
        first = v_add(first, v_add(v_add(d[0], d[1]), v_add(d[2], d[3])));
    }
    return (kit_sums){v_sum(first),
                      v_sum(v_add(v_add(second[0], second[1]), v_add(second[2], second[3])))};
}

KIT_INLINE kit_sums kit_sums_about(const float *x, int64_t n, float shift)
{
    return KIT(kit_sums_of)(0, x, n, shift, 1.0f);
}

/* The row after r, for [at, at + n) of which there is time now. */
KIT_INLINE void KIT(kit_rowwise_fetch)(const kit_rowwise *w, const heed_tensor *t, int64_t r,
                                       int64_t at, int64_t n)
{
    if (t && kit_is_plain(t) && w->out_streams && r + 1 < w->rows)
        kit_prefetch(kit_row(t, r + 1) + at * (int64_t)sizeof(float), n * (int64_t)sizeof(float));
}

/* x + residual to `room`, and to `sum` if it is not the same, piece by piece; the next row's x is
 * fetched meanwhile if the sum and out go around the caches, so that reads and writes are spread
 * over the whole row. */
static void KIT(kit_rowwise_add)(const kit_rowwise *w, float *room, char *sum, int64_t r)
{
    const heed_tensor *x = w->x, *y = w->residual;
    const int64_t xs = x->stride[x->rank - 1], ys = y->stride[y->rank - 1];
    const int64_t step = sum ? w->sum->stride[w->sum->rank - 1] * kit_width(w->sum->dtype) : 0;
    for (int64_t at = 0, n; at < w->width; at += n) {
        /* The next piece begins a line. */
        n = sum && w->sum_streams ? KIT_PIECE - kit_past_line(sum + at * step) : KIT_PIECE;
        if (n > w->width - at) n = w->width - at;
        if (w->sum_streams) KIT(kit_rowwise_fetch)(w, x, r, at, n);
        kit_add_row(room + at, kit_row(x, r) + at * xs * kit_width(x->dtype), x->dtype, xs,
                    kit_row(y, r) + at * ys * kit_width(y->dtype), y->dtype, ys, n);
        if (sum) kit_put_row(w->sum, sum + at * step, room + at, n, w->sum_streams);
    }
}

/* A row piece by piece: what it becomes goes to the first-level cache and then to `out`. */
static void KIT(kit_rowwise_put)(const kit_rowwise *w, kit_moments m, char *out, const float *x,
                                 int64_t r)
{
    _Alignas(64) float piece[KIT_PIECE];
    int64_t step = w->out->stride[w->out->rank - 1] * kit_width(w->out->dtype), n;
    for (int64_t at = 0; at < w->width; at += n, out += n * step) {
        n = w->out_streams ? KIT_PIECE - kit_past_line(out)
                           : KIT_PIECE; /* the next piece begins a line */
        if (n > w->width - at) n = w->width - at;
        if (!w->residual || !w->sum_streams) KIT(kit_rowwise_fetch)(w, w->x, r, at, n);
        KIT(kit_rowwise_fetch)(w, w->residual, r, at, n);
        w->apply(w->instance, m, piece, x + at, at, n);
        kit_put_row(w->out, out, piece, n, w->out_streams);
    }
}

/* Rows of float32 with unit stride are read in place, and written in place where they stay in the
 * caches. */
static void KIT(kit_rowwise_tile)(void *arg, int64_t tile, uint32_t lane)
{
    const kit_rowwise *w = arg;
    const heed_tensor *x = w->x, *residual = w->residual, *out = w->out, *sum = w->sum;
    float *scratch = (float *)(w->call->scratch + lane * w->call->scratch_stride);
    int64_t end = (tile + 1) * w->rows_per_tile < w->rows ? (tile + 1) * w->rows_per_tile : w->rows,
            n = w->width;
    int sum_in_place = sum && kit_is_plain(sum) && !w->sum_streams,
        in_place = kit_is_plain(out) && !w->out_streams;
    const int direct = !residual && kit_is_plain(x),
              ahead = direct && !w->out_streams && w->measure;
    kit_moments m = {0.0f, 1.0f, 1.0f};
    for (int64_t r = tile * w->rows_per_tile, first = r; r < end; r++) {
        const char *from = kit_row(x, r);
        char *to = kit_row(out, r), *sum_to = sum ? kit_row(sum, r) : NULL;
        float *room = sum_in_place ? (float *)sum_to : scratch;
        const float *row = room;
        if (residual) KIT(kit_rowwise_add)(w, room, sum_in_place ? NULL : sum_to, r);
        else if (direct) row = (const float *)from;
        else kit_read_row(room, from, x->dtype, x->stride[x->rank - 1], n);
        if (sum && !residual && row != (float *)sum_to)
            kit_put_row(sum, sum_to, row, n, w->sum_streams);
        /* A row is measured before the one in front of it is written: where x and out are a
         * multiple of 4096 bytes apart, its loads would wait for those stores. (Those around the
         * caches do not hold it up, and rows are on their way then.) */
        if (w->measure && (!ahead || r == first)) m = w->measure(w->instance, row, n);
        kit_moments next = m;
        if (ahead && r + 1 < end)
            next = w->measure(w->instance, (const float *)kit_row(x, r + 1), n);
        if (in_place) w->apply(w->instance, m, (float *)to, row, 0, n);
        else KIT(kit_rowwise_put)(w, m, to, row, r);
        m = next;
    }
    v_drain();
}

static __attribute__((unused)) int32_t KIT(kit_rowwise_run)(kit_rowwise w)
{
    w.width = w.x->dim[w.x->rank - 1];
    w.rows = kit_rows(w.x);
    w.rows_per_tile = 16384 / (w.width + 1) + 1;
    w.out_streams = kit_streams(w.out);
    w.sum_streams = w.sum && kit_streams(w.sum);
    int64_t tiles = (w.rows + w.rows_per_tile - 1) / w.rows_per_tile;
    return w.call->host->parallel_for(w.call->host, tiles, KIT(kit_rowwise_tile), &w);
}
#endif
