/* SPDX-License-Identifier: MIT
 *
 * feedforward/gelu: out = W2 gelu(W1 x + b1) + b2                            GELU, arXiv 1606.08415
 *
 *     gelu(z) = z (1 + erf(z / sqrt 2)) / 2, or its approximation
 *               z (1 + tanh(sqrt(2/pi) (z + 0.044715 z^3))) / 2
 *
 * The maths is in gelu_kernel.h.
 */
#include "gelu_kernel.h"

static const heed_port ports[] = {
    [X] = KIT_IN("x", "... M", "each token on its own, over the last axis"),
    [UP] = KIT_WEIGHT("up", "F M", HEED_INIT_NORMAL, "W1: one row for each hidden channel"),
    [UP_BIAS] = KIT_WEIGHT_OPTIONAL("up_bias", "F", HEED_INIT_ZEROS, "b1; 0 if absent"),
    [DOWN] = KIT_WEIGHT("down", "M F", HEED_INIT_NORMAL, "W2: one row for each output"),
    [DOWN_BIAS] = KIT_WEIGHT_OPTIONAL("down_bias", "M", HEED_INIT_ZEROS, "b2; 0 if absent"),
    [OUT] = KIT_OUT("out", "... M", "what the layer adds to x's stream"),
};

static const heed_param params[] = {
    [HIDDEN] =
        KIT_INT_AUTO("hidden", 'F', 1, 1 << 24, "hidden channels; left alone, the weights tell"),
    [APPROXIMATE] = KIT_CHOICE("approximate", APPROXIMATE_NONE, "none|tanh",
                               "none: exact, with erf; tanh: GPT-2's approximation"),
};

static int32_t measure(const heed_open *open, uint64_t *bytes)
{
    int64_t hidden = open->weight[UP]->dim[0], width = open->weight[UP]->dim[1];
    int64_t up = kit_panels(hidden), down = kit_panels(width);
    *bytes = sizeof(gelu) + kit_weights_bytes(up, width) + kit_weights_bytes(down, hidden) +
             (uint64_t)(up + down) * 16 * sizeof(float);
    return HEED_OK;
}

static int32_t init(void *memory, const heed_open *open)
{
    gelu *self = memory;
    const heed_tensor *const *weight = open->weight;
    int64_t hidden = weight[UP]->dim[0], width = weight[UP]->dim[1];
    int64_t up = kit_panels(hidden), down = kit_panels(width);
    float *up_data = self->data, *down_data = up_data + up * kit_panel_stride(width);
    float *up_bias = down_data + down * kit_panel_stride(hidden), *down_bias = up_bias + 16 * up;
    self->approximate = open->value[APPROXIMATE].i;
    kit_pack(up_data, 0, 1, weight[UP]);
    kit_pack(down_data, 0, 1, weight[DOWN]);
    self->up = (kit_weights){up_data, kit_pack_bias(up_bias, weight[UP_BIAS]), up, width,
                             kit_panel_stride(width)};
    self->down = (kit_weights){down_data, kit_pack_bias(down_bias, weight[DOWN_BIAS]), down, hidden,
                               kit_panel_stride(hidden)};
    return HEED_OK;
}

static int32_t measure_call(const void *instance, const heed_call *call, heed_call_size *size)
{
    const gelu *self = instance;
    kit_middle_size(size, kit_rows(call->tensor[X]), self->down.depth);
    return HEED_OK;
}

/* Two products; inputs, packed weights (float32) and outputs moved once. */
static int32_t cost(const void *instance, const heed_call *call, heed_cost *c)
{
    (void)instance;
    double rows = (double)kit_rows(call->tensor[X]), M = (double)HEED_AXIS(call->axis, 'M'),
           F = (double)HEED_AXIS(call->axis, 'F');
    c->flops = 4 * rows * M * F;
    if (HEED_HAS(c, executed))
        c->executed =
            32 * rows * (M * (double)kit_panels((int64_t)F) + F * (double)kit_panels((int64_t)M));
    c->bytes = rows * M * (double)(kit_width(call->tensor[X]->dtype) + 4) + 8 * M * F;
    return HEED_OK;
}

KIT_COST(get_extension, cost)

static const heed_path paths[] = {KIT_PATHS_FORWARD};

static const heed_op ops[] = {{
    .size = sizeof(heed_op),
    .id = "feedforward/gelu",
    .version = "1.0",
    .summary = "two linear maps with a GELU between them",
    .formula = "out = W2 gelu(W1 x + b1) + b2",
    .reference = "arXiv 1606.08415",
    .ports = KIT_TABLE(ports),
    .params = KIT_TABLE(params),
    .paths = KIT_TABLE(paths),
    .measure = measure,
    .init = init,
    .measure_call = measure_call,
    .get_extension = get_extension,
}};

KIT_PLUGIN("feedforward_gelu", "MIT", ops)
