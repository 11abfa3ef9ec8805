/* SPDX-License-Identifier: MIT
 *
 * sample/categorical, the maths: weights e^((logit - maximum) / temperature) by the kit's
 * exponential, which all paths share bit for bit; then, one after another in index order and in
 * float64, their total and the first token at which the running sum passes draw * total. The order
 * is the definition: no path and no thread count can choose another.
 *
 * Tokens that top_k, top_p and min_p leave out have a weight below one threshold, which is found by
 * bisection over the bits of a weight: they have the order of the weights, since none is negative.
 *
 * Error: the weights are within 4 ulp (float32), so an edge between two tokens is off by at most
 * 2^-21 of the whole.
 */
#include <heed/kit.h>

#ifdef KIT_FIRST
enum { LOGITS, DRAW, TOKEN };
enum { TEMPERATURE, TOP_K, TOP_P, MIN_P };
enum { HAS_NAN = -1, HAS_NONE = -2, HAS_BAD_DRAW = -3 }; /* instead of a token */

typedef struct sample_call {
    const heed_call *call;
    float temperature;
    int64_t top_k;
    double top_p, min_p;
    int32_t *token; /* [B], in the workspace */
} sample_call;

/* The largest threshold whose tokens are `count` or more, and have `sum` or more. */
static float sample_threshold(const float *weight, int64_t n, float from, int64_t count, double sum)
{
    uint32_t low, high = 0x3F800000u; /* 1, the weight of the most likely one */
    memcpy(&low, &from, sizeof low);
    while (low < high) {
        const uint32_t middle = low + (high - low + 1) / 2;
        float least;
        int64_t found = 0;
        double total = 0;
        memcpy(&least, &middle, sizeof least);
        for (int64_t i = 0; i < n; i++) {
            const int is = weight[i] >= least;
            found += is;
            total += is ? (double)weight[i] : 0.0;
        }
        if (found >= count && total >= sum) low = middle;
        else high = middle - 1;
    }
    memcpy(&from, &low, sizeof from);
    return from;
}

/* The least weight that stays: first the top_k largest, then the fewest of these that have top_p of
 * their sum, then those of at least min_p of the largest, which is 1. Equal ones stay together. */
static float sample_least(const sample_call *c, const float *weight, int64_t n)
{
    float least = 0;
    if (c->top_k > 0 && c->top_k < n) least = sample_threshold(weight, n, 0, c->top_k, 0);
    if (c->top_p < 1) {
        double total = 0;
        for (int64_t i = 0; i < n; i++) total += weight[i] >= least ? (double)weight[i] : 0.0;
        least = sample_threshold(weight, n, least, 1, c->top_p * total);
    }
    return (double)least < c->min_p ? (float)c->min_p : least;
}
#endif

/* logits[n] become weights. */
static int32_t KIT(pick)(const sample_call *c, float *row, int64_t n, float draw)
{
    const float temperature = c->temperature;
    int64_t best = 0;
    for (int64_t i = 0; i < n; i++) {
        if (!(row[i] == row[i])) return HAS_NAN;
        if (row[i] > row[best]) best = i;
    }
    if (row[best] == -INFINITY) return HAS_NONE;
    if (!(temperature > 0.0f)) return (int32_t)best;
    if (!(draw >= 0.0f && draw < 1.0f)) return HAS_BAD_DRAW;
    vf most = v_set(row[best]), t = v_set(temperature);
    for (int64_t i = 0; i < n; i += 16) {
        int m = n - i < 16 ? (int)(n - i) : 16;
        vf x = m == 16 ? v_load(row + i) : v_load_n(row + i, m);
        vf d = v_select(v_eq(x, most), v_set(0.0f),
                        v_div(v_sub(x, most), t)); /* infinity - infinity too */
        v_store_n(row + i, v_exp(d), m);
    }
    const float least = sample_least(c, row, n);
    double total = 0, sum = 0;
    for (int64_t i = 0; i < n; i++) {
        if (row[i] < least) row[i] = 0;
        total += (double)row[i];
    }
    for (int64_t i = 0; i < n; i++) {
        sum += (double)row[i];
        if (sum > (double)draw * total) return (int32_t)i;
    }
    return (int32_t)best; /* not reached: the last sum is the total, and draw < 1 */
}

static void KIT(tile)(void *arg, int64_t b, uint32_t lane)
{
    const sample_call *c = arg;
    const heed_tensor *logits = c->call->tensor[LOGITS], *draw = c->call->tensor[DRAW];
    float *row = (float *)(c->call->scratch + lane * c->call->scratch_stride), d[16] = {0};
    kit_read_row(row, kit_at(logits, &b, 1), logits->dtype, logits->stride[1], logits->dim[1]);
    if (draw) kit_read_row(d, kit_at(draw, &b, 1), draw->dtype, 1, 1);
    c->token[b] = logits->dim[1] ? KIT(pick)(c, row, logits->dim[1], d[0]) : HAS_NONE;
}

static int32_t KIT(forward)(const void *instance, const heed_call *call)
{
    const heed_tensor *out = call->tensor[TOKEN];
    int64_t batch = out->dim[0];
    const heed_value *value = call->value;
    sample_call c = {call,           (float)value[TEMPERATURE].f,
                     value[TOP_K].i, value[TOP_P].f,
                     value[MIN_P].f, call->workspace};
    (void)instance;
    if (c.temperature > 0.0f && !call->tensor[DRAW])
        return kit_fail(
            call->sink, HEED_E_ARGUMENT,
            "draw is missing: a temperature above 0 needs a number in [0, 1) for each row");
    int32_t failed = call->host->parallel_for(call->host, batch, KIT(tile), &c);
    for (int64_t b = 0; b < batch && !failed; b++) {
        long long row = b;
        if (c.token[b] == HAS_NAN)
            failed = kit_fail(call->sink, HEED_E_DATA, "logits of row %lld have a NaN", row);
        if (c.token[b] == HAS_NONE)
            failed = kit_fail(call->sink, HEED_E_DATA, "no logit of row %lld is finite", row);
        if (c.token[b] == HAS_BAD_DRAW)
            failed =
                kit_fail(call->sink, HEED_E_ARGUMENT, "draw of row %lld is not in [0, 1)", row);
    }
    for (int64_t b = 0; b < batch && !failed; b++) *(int32_t *)kit_at(out, &b, 1) = c.token[b];
    return failed;
}

#include <heed/kit/next.h>
#ifdef KIT_AGAIN
#include __FILE_NAME__
#endif
