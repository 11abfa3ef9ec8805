/* SPDX-License-Identifier: MIT
 *
 * sample/categorical: the first token at which the sum of softmax(logits / temperature), in index
 * order, passes `draw` (Devroye 1986, section III.2: inversion); at temperature 0 the largest
 * logit, the lowest index among equals. top_k, top_p (Holtzman et al. 2020) and min_p (Nguyen et al.
 * 2024) leave out the less likely ones, in this order, as transformers does.
 *
 * The caller draws the random numbers: the same draw gives the same token everywhere. The maths is
 * in categorical_kernel.h.
 */
#include "categorical_kernel.h"

static const heed_port ports[] = {
    [LOGITS] = KIT_IN("logits", "B V", "one row for each sequence"),
    [DRAW] =
        KIT_IN_OPTIONAL("draw", "B", "uniform in [0, 1); needed when the temperature is above 0"),
    [TOKEN] = KIT_OUT_OF("token", "B", HEED_BIT(HEED_I32), "the chosen tokens"),
};

static const heed_param params[] = {
    [TEMPERATURE] =
        KIT_FLOAT_RUNTIME("temperature", 1, 0, 1e6, "divides the logits; 0 takes the largest"),
    [TOP_K] = KIT_INT("top_k", 0, 0, INT32_MAX, "so many of the most likely; 0 is all"),
    [TOP_P] =
        KIT_FLOAT("top_p", 1, 0, 1, "then the fewest of the most likely whose sum is this or more"),
    [MIN_P] =
        KIT_FLOAT("min_p", 0, 0, 1, "then those at least so likely, against the most likely one"),
};

static int32_t measure_call(const void *instance, const heed_call *call, heed_call_size *size)
{
    const heed_tensor *logits = call->tensor[LOGITS];
    (void)instance;
    if (logits->dim[1] > INT32_MAX)
        return kit_fail(call->sink, HEED_E_UNSUPPORTED, "V is %lld: tokens are int32",
                        (long long)logits->dim[1]);
    size->workspace = (uint64_t)logits->dim[0] * sizeof(int32_t);
    size->scratch = kit_line((uint64_t)logits->dim[1] * sizeof(float));
    return HEED_OK;
}

static const heed_path paths[] = {KIT_PATHS_FORWARD};

static const heed_op ops[] = {{
    .size = sizeof(heed_op),
    .id = "sample/categorical",
    .version = "1.1",
    .summary = "a token drawn from the softmax of the logits",
    .formula = "token = min {i: sum_{v<=i} softmax(logits / temperature)[v] > draw}",
    .reference = "Devroye 1986, section III.2",
    .ports = KIT_TABLE(ports),
    .params = KIT_TABLE(params),
    .paths = KIT_TABLE(paths),
    .measure = kit_no_measure,
    .init = kit_no_init,
    .measure_call = measure_call,
}};

KIT_PLUGIN("sample_categorical", "MIT", ops)
