/* SPDX-License-Identifier: MIT
 *
 * attention/synthesizer_dense: out = softmax(B) v, B_i = W2 relu(q_i) + b2
 *                                                                     arXiv 2005.00743, section 3.1
 *
 * q is the first layer of a net of two, W1 x + b1, which a stack makes as for any attention; W2
 * gives a query's logits for all positions, whatever the keys are. The paper has a W2 for each
 * head; the official code has one for all, and no biases.
 */
#include "synthesizer_dense_kernel.h"

static const heed_port ports[] = {
    SYNTHESIZER_PORTS,
    [Q] = KIT_IN("q", "B T H D", "what the first layer gives, before its relu"),
    [MATRIX] = KIT_WEIGHT("matrix", "W C D", HEED_INIT_NORMAL,
                          "W2 of each head, or one for all: a row for each position of a key"),
    [OFFSET] = KIT_WEIGHT_OPTIONAL("offset", "W C", HEED_INIT_ZEROS, "b2; 0 if absent"),
};

static const heed_param params[] = {
    SYNTHESIZER_PARAMS,
    [LONGEST] = SYNTHESIZER_LONGEST,
    [MATRICES] =
        KIT_INT_AUTO("matrices", 'W', 1, 1 << 20,
                     "one of each head, as in the paper; 1: one for all, as in the official code"),
};

static int32_t measure(const heed_open *open, uint64_t *bytes)
{
    *bytes = sizeof(dense);
    return synthesizer_measure(open);
}

static int32_t init(void *memory, const heed_open *open)
{
    dense *self = memory;
    const heed_tensor *w = open->weight[MATRIX];
    self->common = synthesizer_init(open, w->dim[1], w->dim[0] == 1 ? -1 : w->dim[0], w->dim[2], 0);
    self->rows = synthesizer_rows(w);
    self->offset = open->weight[OFFSET];
    return HEED_OK;
}

static int32_t measure_call(const void *instance, const heed_call *call, heed_call_size *size)
{
    (void)instance;
    return synthesizer_size(call, HEED_AXIS(call->axis, 'D'), 0, size);
}

static int32_t cost(const void *instance, const heed_call *call, heed_cost *c)
{
    kit_flash f = dense_call(instance, call);
    kit_flash_cost(&f, c);
    return HEED_OK;
}

KIT_COST(get_extension, cost)

static const heed_path paths[] = {KIT_PATHS_BOTH};

static const heed_op ops[] = {{
    .size = sizeof(heed_op),
    .masks = SYNTHESIZER_MASKS,
    .id = "attention/synthesizer_dense",
    .version = "1.0",
    .summary = "attention whose logits a query makes alone, by a net of two layers, for all "
               "positions of keys",
    .formula =
        "out[i] = sum_j softmax_j(matrix[h, j] . relu(q[i]) + offset[h, j]) v[j], over keys that "
        "the mask leaves\n"
        "j is a position; no scale; q is the net's first layer; without softmax's k\n"
        "matrices=1 without offset: the official code, one matrix for all heads; else the paper's",
    .reference = "arXiv 2005.00743, section 3.1; mesh transformer/attention.py, "
                 "synthetic_attention, mode dense_minus",
    .ports = KIT_TABLE(ports),
    .params = KIT_TABLE(params),
    .paths = KIT_TABLE(paths),
    .measure = measure,
    .init = init,
    .measure_call = measure_call,
    .measure_state = synthesizer_state,
    .get_extension = get_extension,
}};

KIT_PLUGIN("attention_synthesizer_dense", "MIT", ops)
