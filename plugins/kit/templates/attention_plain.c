/* SPDX-License-Identifier: MIT
 *
 * attention/@NAME@: out = softmax(q k^T / sqrt(D)) v, over the keys that are seen
 *                                                                   arXiv 1706.03762, section 3.2.1
 */
#include <heed/kit.h>

#ifdef KIT_FIRST /* once; what stands outside is compiled for every path */
enum { Q, K, V, OUT };
static const heed_port ports[] = {
    [Q] = KIT_IN("q", "B T H D", "queries"),
    [K] = KIT_IN("k", "B S H D", "keys"),
    [V] = KIT_IN("v", "B S H E", "values"),
    [OUT] = KIT_OUT("out", "B T H E",
                    "for each query and head, the mean of the values under its weights"),
};

static int32_t measure_call(const void *memory, const heed_call *call, heed_call_size *size)
{
    (void)memory;
    size->scratch =
        sizeof(float) * (uint64_t)kit_lanes(HEED_AXIS(call->axis, 'S')); /* the scores of a row */
    return HEED_OK;
}
#endif

/* One query of one head. */
static void KIT(tile)(void *arg, int64_t tile, uint32_t lane)
{
    const heed_call *call = arg;
    const heed_tensor *q = call->tensor[Q], *k = call->tensor[K], *v = call->tensor[V],
                      *out = call->tensor[OUT];
    const int64_t T = q->dim[1], H = q->dim[2], D = q->dim[3], E = v->dim[3];
    const int64_t b = tile / H / T, t = tile / H % T, h = tile % H, n = kit_causal(call, t);
    float *s = (float *)(call->scratch + lane * call->scratch_stride), max = -FLT_MAX;
    vf sum = v_set(0.0f);
    for (int64_t j = 0; j < n; j++) {
        vf dot = v_set(0.0f);
        for (int64_t d = 0; d < D; d += 16)
            dot = v_fma(v_get(q, (int64_t[]){b, t, h, d}), v_get(k, (int64_t[]){b, j, h, d}), dot);
        s[j] = v_sum(dot) * (float)(1 / sqrt((double)(D ? D : 1)));
        max = max > s[j] ? max : s[j];
    }
    for (int64_t j = n; j < kit_lanes(n); j++) s[j] = -INFINITY; /* these weigh 0 */
    for (int64_t j = 0; j < n; j += 16) {
        v_store(s + j, v_exp(v_sub(v_load(s + j), v_set(max))));
        sum = v_add(sum, v_load(s + j));
    }
    const float total = v_sum(sum), share = total == 0.0f ? 0.0f : 1.0f / total; /* no key: zeros */
    for (int64_t e = 0; e < E; e += 16) {
        vf y = v_set(0.0f);
        for (int64_t j = 0; j < n; j++)
            y = v_fma(v_set(s[j] * share), v_get(v, (int64_t[]){b, j, h, e}), y);
        v_put(out, (int64_t[]){b, t, h, e}, y);
    }
}

static int32_t KIT(forward)(const void *memory, const heed_call *call)
{
    (void)memory;
    return call->host->parallel_for(call->host, kit_rows(call->tensor[Q]), KIT(tile),
                                    (void *)(uintptr_t)call);
}

#include <heed/kit/next.h>
#ifdef KIT_AGAIN
#include __FILE_NAME__
#else
/* It has no backward: docs/gradients.md tells how one is written. */
static const heed_path paths[] = {KIT_PATHS_FORWARD};

static const heed_op ops[] = {{
    .size = sizeof(heed_op),
    .masks = HEED_MASK_CAUSAL,
    .id = "attention/@NAME@",
    .version = "0.1",
    .summary = "scaled dot-product attention in plain loops, to be changed",
    .formula = "out = softmax(q k^T / sqrt(D)) v, over the keys that the mask leaves",
    .reference = "arXiv 1706.03762, section 3.2.1",
    .ports = KIT_TABLE(ports),
    .paths = KIT_TABLE(paths),
    .measure = kit_no_measure,
    .init = kit_no_init,
    .measure_call = measure_call,
}};

KIT_PLUGIN("attention_@NAME@", "MIT", ops)
#endif
