/* SPDX-License-Identifier: MIT
 *
 * attention/synthesizer_random: out = softmax(R) v, R [C, C] of each head a table
 *                                                                     arXiv 2005.00743, section 3.2
 *
 * Who attends to whom follows from positions alone: row i of the table is the query at position i,
 * column j the key at j; a shorter sequence sees the table's first rows and columns. R is a weight;
 * or drawn, once for all, from a number.
 */
#include "synthesizer_random_kernel.h"

static const heed_port ports[] = {
    SYNTHESIZER_PORTS,
    [TABLE] = KIT_WEIGHT_OPTIONAL("table", "H C C", HEED_INIT_NORMAL,
                                  "logits by head, position of the query, position of the key"),
};

static const heed_param params[] = {
    SYNTHESIZER_PARAMS,
    [LONGEST] = SYNTHESIZER_LONGEST,
    [FIXED] = SYNTHESIZER_SEED("the table is drawn"),
};

static int32_t measure(const heed_open *open, uint64_t *bytes)
{
    const int64_t longest = HEED_AXIS(open->axis, 'C');
    int32_t failed = synthesizer_measure(open);
    const int fixed = (int)open->value[FIXED].given;
    if (!failed)
        failed =
            synthesizer_drawn(open, open->weight[TABLE], "table", fixed, longest, longest, bytes);
    *bytes += sizeof(synthesizer_random);
    return failed;
}

static int32_t init(void *memory, const heed_open *open)
{
    synthesizer_random *self = memory;
    const int64_t longest = HEED_AXIS(open->axis, 'C');
    self->table = synthesizer_weight(open->weight[TABLE], self->drawn, open, longest, longest,
                                     (uint64_t)open->value[FIXED].i);
    self->common = synthesizer_init(open, longest, self->table.dim[0], -1, 1);
    return HEED_OK;
}

static int32_t measure_call(const void *instance, const heed_call *call, heed_call_size *size)
{
    (void)instance;
    return synthesizer_size(call, 0, 0, size);
}

static int32_t cost(const void *instance, const heed_call *call, heed_cost *c)
{
    const synthesizer_random *self = instance;
    kit_flash f = synthesizer_call(&self->common, call);
    kit_flash_cost(&f, c);
    if (f.E > 0 && f.B > 0) /* two flops a value and pair; the table is read once, however many
                               sequences there are */
        c->bytes +=
            c->flops / (2 * (double)f.E) / (double)f.B * (double)kit_width(self->table.dtype);
    return HEED_OK;
}

KIT_COST(get_extension, cost)

static const heed_path paths[] = {KIT_PATHS_BOTH};

static const heed_op ops[] = {{
    .size = sizeof(heed_op),
    .masks = SYNTHESIZER_MASKS,
    .id = "attention/synthesizer_random",
    .version = "1.0",
    .summary = "attention by a table of logits: who attends to whom follows from positions alone",
    .formula = "out[i] = sum_j softmax_j(table[h, i, j]) v[j], over the keys that the mask leaves\n"
               "i and j are positions; no scale; without softmax's q and k\n"
               "random synthesizer: table is a weight; fixed random synthesizer: fixed=N",
    .reference = "arXiv 2005.00743, section 3.2; mesh transformer/attention.py, "
                 "synthetic_attention, mode random",
    .ports = KIT_TABLE(ports),
    .params = KIT_TABLE(params),
    .paths = KIT_TABLE(paths),
    .measure = measure,
    .init = init,
    .measure_call = measure_call,
    .measure_state = synthesizer_state,
    .get_extension = get_extension,
}};

KIT_PLUGIN("attention_synthesizer_random", "MIT", ops)
