/* SPDX-License-Identifier: MIT
 *
 * pool/tokens: one row of all rows of a text: their mean, the first, the last, or the largest number
 * of each channel                                                              arXiv 1908.10084, section 3
 *
 * With l2 the row is divided by its length, or by 1e-12 where that is larger. A text of no tokens
 * gives zeros. The maths is in tokens_kernel.h.
 */
#include "tokens_kernel.h"

static const heed_port ports[] = {
    [X] = KIT_IN("x", "B T M", "a row for each token"),
    [KEY_LENGTHS] = KIT_IN_INDEX("key_lengths", "B", HEED_PORT_OPTIONAL,
                                 "tokens of each sequence that are valid; all if absent"),
    [OUT] = KIT_OUT("out", "B M", "one row for each sequence"),
};

static const heed_param params[] = {
    [BY] = KIT_CHOICE("by", KIT_POOL_MEAN, "mean|first|last|max", "which row it is"),
    [L2] = KIT_BOOL("l2", 0, "the row is divided by its length"),
};

static int32_t measure(const heed_open *open, uint64_t *bytes)
{
    (void)open;
    *bytes = sizeof(pool);
    return HEED_OK;
}

static int32_t init(void *memory, const heed_open *open)
{
    *(pool *)memory = (pool){open->value[BY].i, open->value[L2].i};
    return HEED_OK;
}

static int32_t measure_call(const void *instance, const heed_call *call, heed_call_size *size)
{
    (void)instance;
    size->workspace =
        (uint64_t)(call->tensor[X]->dim[0] * kit_lanes(call->tensor[X]->dim[2])) * sizeof(float);
    return HEED_OK;
}

static const heed_path paths[] = {KIT_PATHS_BOTH};

static const heed_op ops[] = {{
    .size = sizeof(heed_op),
    .masks = HEED_MASK_KEY_LENGTHS,
    .id = "pool/tokens",
    .version = "1.0",
    .summary = "one row of all tokens: the mean, the first, the last, or the largest",
    .formula = "out = mean, or max, over t of x_t, or x_0, or the last; with l2: out / |out|",
    .reference = "arXiv 1908.10084, section 3",
    .ports = KIT_TABLE(ports),
    .params = KIT_TABLE(params),
    .paths = KIT_TABLE(paths),
    .measure = measure,
    .init = init,
    .measure_call = measure_call,
}};

KIT_PLUGIN("pool_tokens", "MIT", ops)
