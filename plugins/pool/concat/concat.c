/* SPDX-License-Identifier: MIT
 *
 * pool/concat: three rows of all rows of a text: the last, the largest number of each channel, and
 * the mean                                                    arXiv 1801.06146, section 3.3
 *
 * What a classifier of texts sees: the last row knows all that was read, and a word that decides may
 * stand anywhere. A text of no tokens gives zeros. The maths is in concat_kernel.h.
 */
#include "concat_kernel.h"

static const heed_port ports[] = {
    [X] = KIT_IN("x", "B T M", "a row for each token"),
    [KEY_LENGTHS] = KIT_IN_INDEX("key_lengths", "B", HEED_PORT_OPTIONAL,
                                 "tokens of each sequence that are valid; all if absent"),
    [OUT] = KIT_OUT("out", "B R M", "the last row, the largest numbers, the mean"),
};

static const heed_param params[] = {
    KIT_INT_AXIS("rows", ROWS, 'R', ROWS, ROWS, "how many they are"),
};

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
    .id = "pool/concat",
    .version = "1.0",
    .summary = "three rows of all tokens: the last, the largest numbers, and the mean",
    .formula = "out_0 = the last of x; out_1 = max over t of x_t; out_2 = mean over t of x_t",
    .reference = "arXiv 1801.06146, section 3.3",
    .ports = KIT_TABLE(ports),
    .params = KIT_TABLE(params),
    .paths = KIT_TABLE(paths),
    .measure = kit_no_measure,
    .init = kit_no_init,
    .measure_call = measure_call,
}};

KIT_PLUGIN("pool_concat", "MIT", ops)
