/* SPDX-License-Identifier: MIT
 *
 * loss/cross_entropy, the maths: two passes over a row of logits, in four vectors, element i in
 * vector i / 16 % 4; the maximum, then the sum of e^(logit - maximum), joined as (0 + 1) + (2 + 3)
 * and then the lanes by halves.
 *
 * Error: |nll - exact| <= 2^-21 (1 + |logit| + |maximum|) for V up to 2^20. A NaN in a row is that
 * row's loss.
 */
#include <heed/kit.h>

#ifdef KIT_FIRST
enum { LOGITS, TARGETS, NLL };
typedef struct loss_call {
    const heed_tensor *logits, *targets, *nll;
    int64_t rows, rows_per_tile;
} loss_call;
#endif

static float KIT(loss)(const char *row, uint32_t dtype, int64_t stride, int64_t n, int64_t target)
{
    int64_t step = 16 * stride * kit_width(dtype);
    vf m[4], s[4];
    for (int j = 0; j < 4; j++) m[j] = v_set(-FLT_MAX), s[j] = v_set(0.0f);
    for (int64_t i = 0; i < n / 16; i++)
        m[i % 4] = v_max(m[i % 4], v_read(row + i * step, dtype, stride, 16));
    float tail[16];
    int rest = (int)(n % 16);
    for (int l = 0; l < 16; l++) tail[l] = -INFINITY; /* adds nothing */
    v_store_n(tail, v_read(row + n / 16 * step, dtype, stride, rest), rest);
    m[0] = v_max(m[0], v_load(tail));
    vf most = v_set(v_hmax(v_max(v_max(m[0], m[1]), v_max(m[2], m[3]))));
    most = v_min(most, v_set(FLT_MAX)); /* infinite logits give an infinite sum, not a NaN */
    for (int64_t i = 0; i < n / 16; i++)
        s[i % 4] = v_add(s[i % 4], v_exp(v_sub(v_read(row + i * step, dtype, stride, 16), most)));
    s[n / 16 % 4] = v_add(s[n / 16 % 4], v_exp(v_sub(v_load(tail), most)));
    vf total = v_log(v_set(v_sum(v_add(v_add(s[0], s[1]), v_add(s[2], s[3])))));
    vf behind = v_sub(
        most, v_read(row + target * stride * kit_width(dtype), dtype, stride, 1)); /* lane 0 */
    v_store(tail, v_add(behind, total));
    return tail[0];
}

static void KIT(tile)(void *arg, int64_t tile, uint32_t lane)
{
    const loss_call *c = arg;
    const heed_tensor *logits = c->logits;
    int64_t n = logits->dim[logits->rank - 1], stride = logits->stride[logits->rank - 1];
    int64_t end = (tile + 1) * c->rows_per_tile < c->rows ? (tile + 1) * c->rows_per_tile : c->rows;
    (void)lane;
    for (int64_t r = tile * c->rows_per_tile; r < end; r++)
        *(float *)kit_element(c->nll, r) =
            KIT(loss)(kit_row(logits, r), logits->dtype, stride, n,
                      kit_index(c->targets, kit_element(c->targets, r)));
}

static int32_t KIT(forward)(const void *instance, const heed_call *call)
{
    const heed_tensor *logits = call->tensor[LOGITS], *targets = call->tensor[TARGETS];
    int64_t rows = kit_rows(logits), n = logits->dim[logits->rank - 1],
            per_tile = 16384 / (n + 1) + 1;
    for (int64_t r = 0; r < rows; r++) {
        int64_t target = kit_index(targets, kit_element(targets, r));
        if (target < 0 || target >= n)
            return kit_fail(call->sink, HEED_E_ARGUMENT,
                            "target %lld (number %lld) is not in the vocabulary of %lld",
                            (long long)target, (long long)r, (long long)n);
    }
    loss_call c = {logits, targets, call->tensor[NLL], rows, per_tile};
    (void)instance;
    return call->host->parallel_for(call->host, (rows + per_tile - 1) / per_tile, KIT(tile), &c);
}

#include <heed/kit/next.h>
#ifdef KIT_AGAIN
#include __FILE_NAME__
#endif
