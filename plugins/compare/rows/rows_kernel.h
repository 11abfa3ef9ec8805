/* SPDX-License-Identifier: MIT
 *
 * compare/rows, the maths: sums over a pair of rows in float64, element i in chain i mod 16, and the
 * chains joined by halves. A product of two float32 is exact there and can not overflow, so rows of
 * any size are compared; what is told is rounded once, to float32.
 *
 * Error: one rounding, |out - exact| <= 2^-24 |out|, and for a cosine of rows that are nearly at right
 * angles 2^-50.
 */
#include <heed/kit.h>

#ifdef KIT_FIRST
enum { X, Y, OUT };
enum { BY };
enum { BY_COSINE, BY_DISTANCE };
typedef struct compare {
    int64_t by;
} compare;

typedef struct compare_call {
    const heed_tensor *x, *y, *out;
    int64_t by, rows, rows_per_tile;
} compare_call;

/* Adds up a, by halves. */
KIT_INLINE double joined(double *a)
{
    for (int half = 8; half; half /= 2)
        for (int l = 0; l < half; l++) a[l] += a[l + half];
    return a[0];
}
#endif

/* The next n elements of two rows, behind them zeros. */
KIT_INLINE void KIT(take)(float *to, const heed_tensor *t, const char *row, int64_t at, int n)
{
    const int64_t stride = t->stride[t->rank - 1];
    v_store(to, v_read(row + at * stride * kit_width(t->dtype), t->dtype, stride, n));
}

static float KIT(cosine)(const compare_call *c, const char *x, const char *y)
{
    const int64_t width = c->x->dim[c->x->rank - 1];
    double xx[16] = {0}, yy[16] = {0}, xy[16] = {0};
    float a[16], b[16];
    for (int64_t i = 0; i < width; i += 16) {
        const int n = width - i < 16 ? (int)(width - i) : 16;
        KIT(take)(a, c->x, x, i, n);
        KIT(take)(b, c->y, y, i, n);
        for (int l = 0; l < 16; l++) {
            xx[l] += (double)a[l] * (double)a[l];
            yy[l] += (double)b[l] * (double)b[l];
            xy[l] += (double)a[l] * (double)b[l];
        }
    }
    const double lengths = sqrt(joined(xx)) * sqrt(joined(yy));
    return lengths == 0 ? 0.0f : (float)(joined(xy) / lengths);
}

static float KIT(distance)(const compare_call *c, const char *x, const char *y)
{
    const int64_t width = c->x->dim[c->x->rank - 1];
    double squares[16] = {0};
    float a[16], b[16];
    for (int64_t i = 0; i < width; i += 16) {
        const int n = width - i < 16 ? (int)(width - i) : 16;
        KIT(take)(a, c->x, x, i, n);
        KIT(take)(b, c->y, y, i, n);
        for (int l = 0; l < 16; l++) {
            const double apart = (double)a[l] - (double)b[l];
            squares[l] += apart * apart;
        }
    }
    return (float)sqrt(joined(squares));
}

static void KIT(tile)(void *arg, int64_t tile, uint32_t lane)
{
    const compare_call *c = arg;
    const int64_t end = (tile + 1) * c->rows_per_tile;
    (void)lane;
    for (int64_t r = tile * c->rows_per_tile; r < end && r < c->rows; r++) {
        const char *x = kit_row(c->x, r), *y = kit_row(c->y, r);
        *(float *)kit_element(c->out, r) =
            c->by == BY_COSINE ? KIT(cosine)(c, x, y) : KIT(distance)(c, x, y);
    }
}

static int32_t KIT(forward)(const void *instance, const heed_call *call)
{
    const heed_tensor *x = call->tensor[X];
    const int64_t rows = kit_rows(x), per_tile = 16384 / (x->dim[x->rank - 1] + 1) + 1;
    compare_call c = {x,    call->tensor[Y], call->tensor[OUT], ((const compare *)instance)->by,
                      rows, per_tile};
    return call->host->parallel_for(call->host, (rows + per_tile - 1) / per_tile, KIT(tile), &c);
}

#include <heed/kit/next.h>
#ifdef KIT_AGAIN
#include __FILE_NAME__
#endif
