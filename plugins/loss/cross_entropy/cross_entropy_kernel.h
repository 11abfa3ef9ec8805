/* SPDX-License-Identifier: MIT
 *
 * loss/cross_entropy, the maths: two passes over a row of logits, in four vectors, element i in
 * vector i / 16 % 4; the maximum, then the sum of e^(logit - maximum), joined as (0 + 1) + (2 + 3)
 * and then the lanes by halves. Backward makes both again, and then softmax(logits) less 1 at the
 * target, times the gradient of the loss.
 *
 * Error: |nll - exact| <= 2^-21 (1 + |logit| + |maximum|) for V up to 2^20. A NaN in a row is that
 * row's loss.
 */
#include <heed/kit.h>
#include <heed/kit/core/grad.h>

#ifdef KIT_FIRST
enum { LOGITS, TARGETS, NLL };
enum { SKIPPED = -100 }; /* a target that says nothing: its loss is 0, as PyTorch has it */
typedef struct loss_call {
    const heed_tensor *logits, *targets, *nll;
    const heed_tensor *d_logits; /* of backward, whose nll is the gradient of that */
    int64_t rows, rows_per_tile;
} loss_call;
/* The largest of a row of logits, and the sum of e^(logit - largest). */
typedef struct loss_sum {
    float most, sum;
} loss_sum;
#endif

static loss_sum KIT(sum)(const char *row, uint32_t dtype, int64_t stride, int64_t n)
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
    v_store(tail, most);
    return (loss_sum){tail[0], v_sum(v_add(v_add(s[0], s[1]), v_add(s[2], s[3])))};
}

static float KIT(loss)(const char *row, uint32_t dtype, int64_t stride, int64_t n, int64_t target)
{
    const loss_sum of = KIT(sum)(row, dtype, stride, n);
    float lanes[16];
    vf behind = v_sub(v_set(of.most), v_read(row + target * stride * kit_width(dtype), dtype,
                                             stride, 1)); /* lane 0 */
    v_store(lanes, v_add(behind, v_log(v_set(of.sum))));
    return lanes[0];
}

static void KIT(tile)(void *arg, int64_t tile, uint32_t lane)
{
    const loss_call *c = arg;
    const heed_tensor *logits = c->logits;
    int64_t n = logits->dim[logits->rank - 1], stride = logits->stride[logits->rank - 1];
    int64_t end = (tile + 1) * c->rows_per_tile < c->rows ? (tile + 1) * c->rows_per_tile : c->rows;
    (void)lane;
    for (int64_t r = tile * c->rows_per_tile; r < end; r++) {
        const int64_t target = kit_index(c->targets, kit_element(c->targets, r));
        *(float *)kit_element(c->nll, r) =
            target == SKIPPED ? 0.0f
                              : KIT(loss)(kit_row(logits, r), logits->dtype, stride, n, target);
    }
}

/* All targets are checked before anything is written. */
static int32_t KIT(run)(const heed_call *call, loss_call c, heed_tile_fn tile)
{
    const int64_t n = c.logits->dim[c.logits->rank - 1];
    c.rows = kit_rows(c.logits), c.rows_per_tile = 16384 / (n + 1) + 1;
    for (int64_t r = 0; r < c.rows; r++) {
        int64_t target = kit_index(c.targets, kit_element(c.targets, r));
        if (target != SKIPPED && (target < 0 || target >= n))
            return kit_fail(call->sink, HEED_E_ARGUMENT,
                            "target %lld (number %lld) is not in the vocabulary of %lld",
                            (long long)target, (long long)r, (long long)n);
    }
    return call->host->parallel_for(call->host, (c.rows + c.rows_per_tile - 1) / c.rows_per_tile,
                                    tile, &c);
}

static int32_t KIT(forward)(const void *instance, const heed_call *call)
{
    const heed_tensor *const *t = call->tensor;
    (void)instance;
    return KIT(run)(call, (loss_call){.logits = t[LOGITS], .targets = t[TARGETS], .nll = t[NLL]},
                    KIT(tile));
}

/* d logits = (softmax(logits) - 1 at the target) d */
static void KIT(row_backward)(const loss_call *c, int64_t r, int64_t target, float d)
{
    const heed_tensor *logits = c->logits, *to = c->d_logits;
    const int64_t n = logits->dim[logits->rank - 1], stride = logits->stride[logits->rank - 1],
                  step = stride * kit_width(logits->dtype), ts = kit_gradient_stride(to);
    const char *row = kit_row(logits, r);
    float *out = kit_gradient_row(to, r);
    const int skipped = target == SKIPPED;
    const loss_sum of = skipped ? (loss_sum){0, 1} : KIT(sum)(row, logits->dtype, stride, n);
    const vf most = v_set(of.most), factor = v_set(1.0f / of.sum);
    for (int64_t i = 0; i < n; i += 16) {
        const int m = n - i < 16 ? (int)(n - i) : 16;
        vf p = v_set(0.0f);
        if (!skipped)
            p = v_mul(v_exp(v_sub(v_read(row + i * step, logits->dtype, stride, m), most)), factor);
        if (target >= i && target < i + m) {
            float lanes[16];
            v_store(lanes, p);
            lanes[target - i] -= 1.0f;
            p = v_load(lanes);
        }
        if (!skipped) p = v_mul(p, v_set(d));
        v_write(out + i * ts, HEED_F32, ts, p, m);
    }
}

static void KIT(tile_backward)(void *arg, int64_t tile, uint32_t lane)
{
    const loss_call *c = arg;
    int64_t end = (tile + 1) * c->rows_per_tile < c->rows ? (tile + 1) * c->rows_per_tile : c->rows;
    (void)lane;
    for (int64_t r = tile * c->rows_per_tile; r < end && c->d_logits; r++) {
        const int64_t target = kit_index(c->targets, kit_element(c->targets, r));
        KIT(row_backward)(c, r, target, *(float *)kit_element(c->nll, r));
    }
}

static int32_t KIT(backward)(const void *instance, const heed_grad_call *g)
{
    (void)instance;
    return KIT(run)(g->call,
                    (loss_call){.logits = g->call->tensor[LOGITS],
                                .targets = g->call->tensor[TARGETS],
                                .nll = g->gradient[NLL],
                                .d_logits = g->gradient[LOGITS]},
                    KIT(tile_backward));
}
KIT_BACKWARD(KIT_PORT(LOGITS), KIT_PORT(NLL), 0, NULL)

#include <heed/kit/next.h>
#ifdef KIT_AGAIN
#include __FILE_NAME__
#endif
