/* SPDX-License-Identifier: MIT
 *
 * router/top_k, the maths: k passes over a row, each for the largest that is left; then the softmax, whose
 * sum is one chain in the order of the experts.
 *
 * Error: |out - exact| <= (N + 8) 2^-24 out.
 */
#include <heed/kit.h>

#ifdef KIT_FIRST
enum { X, OUT };
enum { K, OVER, EXPERTS };
enum { OVER_CHOSEN, OVER_ALL };
typedef struct router {
    int64_t k, over;
} router;

typedef struct router_call {
    const router *self;
    const heed_call *call;
    int64_t rows, rows_per_tile;
} router_call;

/* Marks the k largest of n: 1 in `chosen`, 0 elsewhere. */
static void choose(const float *x, float *chosen, int64_t n, int64_t k)
{
    for (int64_t i = 0; i < n; i++) chosen[i] = 0.0f;
    for (int64_t turn = 0; turn < k; turn++) {
        int64_t best = -1;
        for (int64_t i = 0; i < n; i++)
            if (chosen[i] == 0.0f &&
                (best < 0 || x[i] > x[best] || (x[i] != x[i] && x[best] == x[best])))
                best = i;
        chosen[best] = 1.0f;
    }
}
#endif

/* Shares of those that are marked, in place of the marks. `x` is used up. */
static void KIT(share)(float *x, float *chosen, int64_t n, int64_t over)
{
    float most = -FLT_MAX, sum = 0.0f;
    for (int64_t i = 0; i < n; i++)
        if (over == OVER_ALL || chosen[i] != 0.0f) most = most > x[i] ? most : x[i];
    for (int64_t i = 0; i < n; i += 16) v_store(x + i, v_exp(v_sub(v_load(x + i), v_set(most))));
    for (int64_t i = 0; i < n; i++)
        if (over == OVER_ALL || chosen[i] != 0.0f) sum += x[i];
    for (int64_t i = 0; i < n; i++) chosen[i] = chosen[i] != 0.0f ? x[i] / sum : 0.0f;
}

static void KIT(tile)(void *arg, int64_t tile, uint32_t lane)
{
    const router_call *c = arg;
    const heed_tensor *x = c->call->tensor[X], *out = c->call->tensor[OUT];
    const int64_t n = x->dim[x->rank - 1], last = (tile + 1) * c->rows_per_tile;
    float *row = (float *)(c->call->scratch + lane * c->call->scratch_stride),
          *shares = row + kit_lanes(n);
    for (int64_t r = tile * c->rows_per_tile; r < (last < c->rows ? last : c->rows); r++) {
        for (int64_t i = n / 16 * 16; i < kit_lanes(n); i++) row[i] = 0.0f;
        kit_read_row(row, kit_row(x, r), x->dtype, x->stride[x->rank - 1], n);
        choose(row, shares, n, c->self->k);
        KIT(share)(row, shares, n, c->self->over);
        kit_write_row(kit_row(out, r), out->dtype, out->stride[out->rank - 1], shares, n);
    }
}

static int32_t KIT(forward)(const void *instance, const heed_call *call)
{
    const heed_tensor *x = call->tensor[X];
    const int64_t rows = kit_rows(x), per_tile = 4096 / (x->dim[x->rank - 1] + 1) + 1;
    router_call c = {instance, call, rows, per_tile};
    return call->host->parallel_for(call->host, (rows + per_tile - 1) / per_tile, KIT(tile), &c);
}

#include <heed/kit/next.h>
#ifdef KIT_AGAIN
#include __FILE_NAME__
#endif
