/* SPDX-License-Identifier: MIT
 *
 * merge/attention, the maths. Of two sides the one with the larger log-sum-exp is the great one;
 * with e = e^(less - great), at most 1, and s = 1 + e in [1, 2]:
 *
 *     out = (great + e small) / s     lse = great's + ln s
 *
 * 16 rows have their e, s and lse in the lanes; then each row is written. Nothing overflows, and a
 * and b may be exchanged: the bits are the same. A side without a key (-inf) is not touched, so the
 * other one passes with all its bits; with two such sides the row is zeros and -inf. A NaN in a
 * log-sum-exp is the whole row's, one in a or b its element's.
 *
 * Error: |out - exact| <= 2^-21 max(|a|, |b|), |lse - exact| <= 1 ulp + 2^-22. A side that weighs
 * less than e^-87 counts as 0.
 */
#include <heed/kit.h>

#ifdef KIT_FIRST
enum { A, LSE_A, OTHER, LSE_B, OUT, LSE }; /* OTHER: "b" */
enum { ROWS = 16 };
typedef struct merge_call {
    const heed_tensor *const *tensor;
    int64_t rows, groups, groups_per_tile; /* a group is 16 rows */
} merge_call;

KIT_INLINE float merge_lse(const heed_tensor *t, int64_t row)
{
    return *(const float *)kit_element(t, row);
}
KIT_INLINE int64_t merge_step(const heed_tensor *t)
{
    return t->stride[t->rank - 1] * kit_width(t->dtype);
}
#endif

/* y = (great + e small) / s, element by element; small NULL: great as it is; great NULL: zeros. */
static void KIT(merge_row)(const heed_tensor *const *tensor, const heed_tensor *great,
                           const heed_tensor *small, int64_t row, float e, float s)
{
    const heed_tensor *out = tensor[OUT];
    const int64_t E = out->dim[3], os = out->stride[3], step = merge_step(out);
    char *to = kit_row(out, row);
    const char *g = great ? kit_row(great, row) : NULL, *l = small ? kit_row(small, row) : NULL;
    for (int64_t i = 0; i < E; i += 16) {
        const int n = E - i < 16 ? (int)(E - i) : 16;
        vf y =
            g ? v_read(g + i * merge_step(great), great->dtype, great->stride[3], n) : v_set(0.0f);
        if (l) {
            const vf x = v_read(l + i * merge_step(small), small->dtype, small->stride[3], n);
            const vf sum = v_fma(v_set(e), x, y),
                     half = v_set(0.5f); /* memory is slower than the division */
            const vf halves =
                v_fma(v_set(e), v_mul(half, x), v_mul(half, y)); /* where the sum overflows */
            const vm fits = v_lt(v_abs(sum), v_set(INFINITY));
            y = v_div(v_select(fits, sum, halves), v_select(fits, v_set(s), v_set(0.5f * s)));
        }
        v_write(to + i * step, out->dtype, os, y, n);
    }
}

static void KIT(merge_group)(const merge_call *c, int64_t row0)
{
    const heed_tensor *const *t = c->tensor;
    const int rows = c->rows - row0 < ROWS ? (int)(c->rows - row0) : ROWS;
    float a[ROWS] = {0}, b[ROWS] = {0}, e[ROWS], s[ROWS], lse[ROWS];
    for (int i = 0; i < rows; i++)
        a[i] = merge_lse(t[LSE_A], row0 + i), b[i] = merge_lse(t[LSE_B], row0 + i);
    const vf la = v_load(a), lb = v_load(b);
    const vm first = v_ge(la, lb); /* a is the great side */
    const vf great = v_select(first, la, lb), less = v_select(first, lb, la);
    const vf weight = v_exp(v_sub(less, great)), sum = v_add(v_set(1.0f), weight);
    v_store(e, weight);
    v_store(s, sum);
    v_store(lse, v_add(great, v_log(sum)));
    for (int i = 0; i < rows; i++) {
        const int no_a = a[i] == -INFINITY, no_b = b[i] == -INFINITY;
        const heed_tensor *large = no_a ? NULL : t[A], *small = no_b ? NULL : t[OTHER];
        if (no_a || (!no_b && !(a[i] >= b[i]))) large = small, small = no_a ? NULL : t[A];
        KIT(merge_row)(t, large, small, row0 + i, e[i], s[i]);
        if (t[LSE]) *(float *)kit_element(t[LSE], row0 + i) = no_a ? b[i] : no_b ? a[i] : lse[i];
    }
}

static void KIT(tile)(void *arg, int64_t tile, uint32_t lane)
{
    const merge_call *c = arg;
    const int64_t first = tile * c->groups_per_tile, last = first + c->groups_per_tile;
    (void)lane;
    for (int64_t group = first; group < last && group < c->groups; group++)
        KIT(merge_group)(c, group * ROWS);
}

static int32_t KIT(forward)(const void *instance, const heed_call *call)
{
    const heed_tensor *out = call->tensor[OUT];
    const int64_t rows = kit_rows(out), groups = (rows + ROWS - 1) / ROWS,
                  per_tile = 1024 / (out->dim[3] + 1) + 1;
    merge_call c = {call->tensor, rows, groups, per_tile};
    (void)instance;
    return call->host->parallel_for(call->host, (groups + per_tile - 1) / per_tile, KIT(tile), &c);
}

#include <heed/kit/next.h>
#ifdef KIT_AGAIN
#include __FILE_NAME__
#endif
