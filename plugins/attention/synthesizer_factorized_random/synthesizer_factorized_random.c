/* SPDX-License-Identifier: MIT
 *
 * attention/synthesizer_factorized_random: out = softmax(R1 R2^T) v, R1, R2 [C, J] of a head
 *                                                                           arXiv 2005.00743, 3.2.1
 *
 * The random synthesizer with a table of low rank: 2 H C J numbers instead of H C C.
 */
#include "synthesizer_factorized_random_kernel.h"

static const heed_port ports[] = {
    SYNTHESIZER_PORTS,
    [ROWS] = KIT_WEIGHT_OPTIONAL("rows", "H C J", HEED_INIT_NORMAL,
                                 "R1: a row of each head for each position of a query"),
    [COLUMNS] = KIT_WEIGHT_OPTIONAL("columns", "H C J", HEED_INIT_NORMAL,
                                    "R2: a row of each head for each position of a key"),
};

static const heed_param params[] = {
    SYNTHESIZER_PARAMS,
    [LONGEST] = SYNTHESIZER_LONGEST,
    [RANK] =
        KIT_INT_AUTO("rank", 'J', 1, 1 << 16,
                     "of the table, 16 in the official code, 8 in the paper; the weights tell"),
    [FIXED] = SYNTHESIZER_SEED("rows and columns are drawn"),
};

static int32_t measure(const heed_open *open, uint64_t *bytes)
{
    const int64_t longest = HEED_AXIS(open->axis, 'C'), rank = HEED_AXIS(open->axis, 'J');
    const int fixed = (int)open->value[FIXED].given;
    uint64_t rows = 0, columns = 0;
    int32_t failed = synthesizer_measure(open);
    if (!failed)
        failed = synthesizer_drawn(open, open->weight[ROWS], "rows", fixed, longest, rank, &rows);
    if (!failed)
        failed = synthesizer_drawn(open, open->weight[COLUMNS], "columns", fixed, longest, rank,
                                   &columns);
    *bytes = sizeof(factorized_random) + rows + columns;
    return failed;
}

static int32_t init(void *memory, const heed_open *open)
{
    factorized_random *self = memory;
    const int64_t longest = HEED_AXIS(open->axis, 'C'), rank = HEED_AXIS(open->axis, 'J');
    const uint64_t seed = (uint64_t)open->value[FIXED].i;
    const heed_tensor rows =
        synthesizer_weight(open->weight[ROWS], self->drawn, open, longest, rank, seed);
    float *behind =
        self->drawn + (open->weight[ROWS] ? 0 : kit_lanes(rows.dim[0] * longest * rank));
    const heed_tensor columns =
        synthesizer_weight(open->weight[COLUMNS], behind, open, longest, rank, ~seed);
    self->common = synthesizer_init(open, longest, rows.dim[0], -1, 1);
    self->rows = synthesizer_rows(&rows), self->columns = synthesizer_rows(&columns);
    return HEED_OK;
}

static int32_t measure_call(const void *instance, const heed_call *call, heed_call_size *size)
{
    return synthesizer_size(call, ((const factorized_random *)instance)->rows.dim[3], 0, size);
}

static int32_t cost(const void *instance, const heed_call *call, heed_cost *c)
{
    kit_flash f = factorized_random_call(instance, call);
    kit_flash_cost(&f, c);
    return HEED_OK;
}

KIT_COST(get_extension, cost)

static const heed_path paths[] = {KIT_PATHS_BOTH};

static const heed_op ops[] = {{
    .size = sizeof(heed_op),
    .masks = SYNTHESIZER_MASKS,
    .id = "attention/synthesizer_factorized_random",
    .version = "1.0",
    .summary = "attention by a table of logits of low rank: who attends to whom follows from "
               "positions alone",
    .formula = "out[i] = sum_j softmax_j(rows[h, i] . columns[h, j]) v[j], over the keys that the "
               "mask leaves\n"
               "i and j are positions; no scale; without softmax's q and k\n"
               "trainable: rows and columns are weights; fixed random: fixed=N",
    .reference = "arXiv 2005.00743, section 3.2.1; mesh transformer/attention.py, "
                 "synthetic_attention, mode factorized",
    .ports = KIT_TABLE(ports),
    .params = KIT_TABLE(params),
    .paths = KIT_TABLE(paths),
    .measure = measure,
    .init = init,
    .measure_call = measure_call,
    .measure_state = synthesizer_state,
    .get_extension = get_extension,
}};

KIT_PLUGIN("attention_synthesizer_factorized_random", "MIT", ops)
