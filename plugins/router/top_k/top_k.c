/* SPDX-License-Identifier: MIT
 *
 * router/top_k: which experts a token goes to, and their weights      arXiv 1701.06538, section 2.1
 *
 * The k largest of a token's logits; of equal ones the lower index is chosen, and a NaN is larger than
 * any number, as in PyTorch. The weights are the softmax over those that were chosen (Mixtral, arXiv
 * 2401.04088), or over all (Switch, arXiv 2101.03961), and 0 elsewhere. The maths is in top_k_kernel.h.
 */
#include "top_k_kernel.h"

static const heed_port ports[] = {
    [X] = KIT_IN("x", "... N", "a logit for each expert"),
    [OUT] = KIT_OUT("out", "... N", "its share in the sum; 0: it is not asked"),
};

static const heed_param params[] = {
    [K] = KIT_INT("k", 2, 1, 65536, "how many experts a token goes to"),
    [OVER] = KIT_CHOICE("over", OVER_CHOSEN, "chosen|all", "what the softmax is over"),
    [EXPERTS] =
        KIT_INT_AUTO("experts", 'N', 1, 65536, "how many there are; the weights tell if not given"),
};

static int32_t measure(const heed_open *open, uint64_t *bytes)
{
    const int64_t k = open->value[K].i, N = HEED_AXIS(open->axis, 'N');
    *bytes = sizeof(router);
    if (N < 0 || k <= N) return HEED_OK;
    return kit_fail(open->sink, HEED_E_ARGUMENT, "k is %lld, more than there are experts, %lld",
                    (long long)k, (long long)N);
}

static int32_t init(void *memory, const heed_open *open)
{
    *(router *)memory = (router){open->value[K].i, open->value[OVER].i};
    return HEED_OK;
}

/* A row of logits and one of shares, float32. */
static int32_t measure_call(const void *instance, const heed_call *call, heed_call_size *size)
{
    const int64_t k = ((const router *)instance)->k, N = HEED_AXIS(call->axis, 'N');
    size->scratch = 2 * (uint64_t)kit_lanes(N) * sizeof(float);
    if (k <= N) return HEED_OK;
    return kit_fail(call->sink, HEED_E_ARGUMENT, "k is %lld, more than there are experts, %lld",
                    (long long)k, (long long)N);
}

static const heed_path paths[] = {KIT_PATHS_FORWARD};

static const heed_op ops[] = {{
    .size = sizeof(heed_op),
    .id = "router/top_k",
    .version = "1.0",
    .summary = "the experts with the largest logits, and their weights",
    .formula = "out_i = softmax(x)_i for the k largest x, over these or over all; 0 for the others",
    .reference = "arXiv 1701.06538, section 2.1; arXiv 2401.04088, section 2.1",
    .ports = KIT_TABLE(ports),
    .params = KIT_TABLE(params),
    .paths = KIT_TABLE(paths),
    .measure = measure,
    .init = init,
    .measure_call = measure_call,
}};

KIT_PLUGIN("router_top_k", "MIT", ops)
