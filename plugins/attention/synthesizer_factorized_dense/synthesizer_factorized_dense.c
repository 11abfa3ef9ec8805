/* SPDX-License-Identifier: MIT
 *
 * attention/synthesizer_factorized_dense: out = softmax(B) v, B_ij = A_i[j mod a] C_i[j div a]
 *                                                                   arXiv 2005.00743, section 3.1.1
 *
 * A_i = inner relu(q_i) has a numbers, C_i = outer relu(q_i) has u, and a u is the longest
 * sequence; q is the first layer of both nets, which a stack makes as for any attention. The paper
 * repeats one factor and tiles the other; which is which is a name. The official code has no such
 * mode.
 */
#include "synthesizer_factorized_dense_kernel.h"

static const heed_port ports[] = {
    SYNTHESIZER_PORTS,
    [Q] = KIT_IN("q", "B T H D", "what the first layer gives, before its relu"),
    [INNER] = KIT_WEIGHT("inner", "W A D", HEED_INIT_NORMAL,
                         "of each head, or one for all: the factor of a key's place in its run"),
    [OUTER] =
        KIT_WEIGHT("outer", "W U D", HEED_INIT_NORMAL, "the same for the run that a key is in"),
};

static const heed_param params[] = {
    SYNTHESIZER_PARAMS,
    [RUN] = KIT_INT_AUTO("run", 'A', 1, 1 << 20, "positions of a run, a; the weights tell"),
    [RUNS] = KIT_INT_AUTO("runs", 'U', 1, 1 << 20,
                          "runs, so that run times runs is the longest sequence; the weights tell"),
    [MATRICES] = KIT_INT_AUTO("matrices", 'W', 1, 1 << 20,
                              "of each kind: one of each head, or 1 for all; the weights tell"),
};

static int32_t measure(const heed_open *open, uint64_t *bytes)
{
    const heed_tensor *inner = open->weight[INNER], *outer = open->weight[OUTER];
    const int64_t rows = kit_lanes(inner->dim[1]) + kit_lanes(outer->dim[1]);
    *bytes =
        sizeof(factorized_dense) + (uint64_t)(inner->dim[0] * rows * inner->dim[2]) * sizeof(float);
    return synthesizer_measure(open);
}

static int32_t init(void *memory, const heed_open *open)
{
    factorized_dense *self = memory;
    const heed_tensor *factor[] = {open->weight[INNER], open->weight[OUTER]};
    self->A = factor[0]->dim[1], self->U = factor[1]->dim[1];
    self->D = factor[0]->dim[2], self->heads = factor[0]->dim[0];
    self->common =
        synthesizer_init(open, self->A * self->U, self->heads == 1 ? -1 : self->heads, self->D, 0);
    self->inner = synthesizer_rows(factor[0]), self->outer = synthesizer_rows(factor[1]);
    for (int64_t h = 0; h < self->heads; h++)
        for (int w = 0; w < 2; w++)
            for (int64_t i = 0; i < factor[w]->dim[1]; i++) {
                const int64_t at[2] = {h, i}, row = h * factorized_dense_rows(self) +
                                                    (w ? kit_lanes(self->A) : 0) + i;
                kit_read_row_scalar(self->matrix + row * self->D, kit_at(factor[w], at, 2),
                                    factor[w]->dtype, factor[w]->stride[2], self->D);
            }
    return HEED_OK;
}

static int32_t measure_call(const void *instance, const heed_call *call, heed_call_size *size)
{
    const factorized_dense *self = instance;
    return synthesizer_size(call, self->D, KIT_FLASH_ROWS * factorized_dense_rows(self), size);
}

static int32_t cost(const void *instance, const heed_call *call, heed_cost *c)
{
    const factorized_dense *self = instance;
    kit_flash f = factorized_dense_call(self, call);
    const double matrix = (double)(self->A + self->U) * (double)self->D; /* numbers of each head */
    kit_flash_cost(&f, c);
    const double factors = 2 * matrix * (double)f.B * (double)f.T * (double)f.H;
    c->flops += factors;
    if (HEED_HAS(c, executed)) c->executed += factors;
    c->bytes += (double)self->heads * matrix * 4;
    return HEED_OK;
}

KIT_COST(get_extension, cost)

static const heed_path paths[] = {KIT_PATHS_BOTH};

static const heed_op ops[] = {{
    .size = sizeof(heed_op),
    .masks = SYNTHESIZER_MASKS,
    .id = "attention/synthesizer_factorized_dense",
    .version = "1.0",
    .summary = "attention whose logits a query makes alone, as products of two short factors",
    .formula = "out[i] = sum_j softmax_j(A[i, j mod a] C[i, j div a]) v[j], over the keys that the "
               "mask leaves\n"
               "A[i] = inner[h] relu(q[i]), C[i] = outer[h] relu(q[i]), a = run\n"
               "j is a position; no scale; q is the nets' first layer; without softmax's k",
    .reference = "arXiv 2005.00743, section 3.1.1",
    .ports = KIT_TABLE(ports),
    .params = KIT_TABLE(params),
    .paths = KIT_TABLE(paths),
    .measure = measure,
    .init = init,
    .measure_call = measure_call,
    .measure_state = synthesizer_state,
    .get_extension = get_extension,
}};

KIT_PLUGIN("attention_synthesizer_factorized_dense", "MIT", ops)
