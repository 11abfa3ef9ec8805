/* SPDX-License-Identifier: MIT
 *
 * linear/projection: y = W x + b                                  (arXiv 1706.03762, section 3.2.2)
 *
 * The weights are packed when the instance is made; the maths is in projection_kernel.h and
 * kit/gemm/gemm.h.
 */
#include "projection_kernel.h"

static const heed_port ports[] = {
    [X] = KIT_IN("x", "... M", "what is projected, over its last axis"),
    [WEIGHT] = KIT_MATRIX("weight", "N M", HEED_INIT_NORMAL, "one row for each output"),
    [BIAS] = KIT_WEIGHT_OPTIONAL("bias", "N", HEED_INIT_ZEROS, "added to each output; 0 if absent"),
    [OUT] = KIT_OUT("out", "... N", "the projection of x"),
};

static const heed_param params[] = {[WEIGHTS] = KIT_WEIGHTS_PARAM};

static int32_t measure(const heed_open *open, uint64_t *bytes)
{
    const heed_tensor *weight = open->weight[WEIGHT];
    const int64_t panels = kit_panels(weight->dim[0]);
    const uint32_t stored = kit_stored_as(open->value[WEIGHTS].i, weight, NULL);
    *bytes = sizeof(projection) +
             sizeof(float) * (uint64_t)kit_stored_floats(stored, panels, weight->dim[1]);
    if (open->weight[BIAS]) *bytes += (uint64_t)panels * 16 * sizeof(float);
    return HEED_OK;
}

static int32_t init(void *memory, const heed_open *open)
{
    projection *self = memory;
    const heed_tensor *weight = open->weight[WEIGHT], *bias = open->weight[BIAS];
    const int64_t panels = kit_panels(weight->dim[0]), depth = weight->dim[1];
    const uint32_t stored = kit_stored_as(open->value[WEIGHTS].i, weight, NULL);
    self->weight = kit_weights_at(stored, self->data, panels, depth);
    self->weight.bias = kit_pack_bias(self->data + kit_stored_floats(stored, panels, depth), bias);
    kit_weights_pack(&self->weight, 0, 1, weight);
    return HEED_OK;
}

static int32_t measure_call(const void *instance, const heed_call *call, heed_call_size *size)
{
    const projection *self = instance;
    (void)call;
    size->scratch = kit_gemm_scratch_of(&self->weight);
    return HEED_OK;
}

/* One product; inputs, packed weights and outputs moved once. */
static int32_t cost(const void *instance, const heed_call *call, heed_cost *c)
{
    const projection *self = instance;
    double rows = (double)kit_rows(call->tensor[X]), M = (double)HEED_AXIS(call->axis, 'M'),
           N = (double)HEED_AXIS(call->axis, 'N');
    c->flops = 2 * rows * M * N;
    if (HEED_HAS(c, executed))
        c->executed = 32 * rows * M * (double)kit_panels(HEED_AXIS(call->axis, 'N'));
    c->bytes = rows * M * (double)kit_width(call->tensor[X]->dtype) +
               M * N * (double)kit_stored_halves(self->weight.stored) / 2 + 4 * rows * N;
    return HEED_OK;
}

KIT_COST(get_extension, cost)

static const heed_path paths[] = {KIT_PATHS_BOTH};

static const heed_op ops[] = {{
    .size = sizeof(heed_op),
    .id = "linear/projection",
    .version = "1.0",
    .summary = "a linear map of the last axis, with an optional bias",
    .formula = "y = W x + b",
    .reference = "arXiv 1706.03762, section 3.2.2",
    .ports = KIT_TABLE(ports),
    .params = KIT_TABLE(params),
    .paths = KIT_TABLE(paths),
    .measure = measure,
    .init = init,
    .measure_call = measure_call,
    .get_extension = get_extension,
}};

KIT_PLUGIN("linear_projection", "MIT", ops)
