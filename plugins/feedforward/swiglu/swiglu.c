/* SPDX-License-Identifier: MIT
 *
 * feedforward/swiglu: out = W_down (silu(W_gate x) * W_up x), silu(z) = z / (1 + e^-z)
 *                                                                          SwiGLU, arXiv 2002.05202
 *
 * The maths is in swiglu_kernel.h.
 */
#include "swiglu_kernel.h"

static const heed_port ports[] = {
    [X] = KIT_IN("x", "... M", "each token on its own, over the last axis"),
    [GATE] = KIT_WEIGHT("gate", "F M", HEED_INIT_NORMAL, "W_gate: one row for each hidden channel"),
    [UP] = KIT_WEIGHT("up", "F M", HEED_INIT_NORMAL, "W_up: one row for each hidden channel"),
    [DOWN] = KIT_WEIGHT("down", "M F", HEED_INIT_NORMAL, "W_down: one row for each output"),
    [OUT] = KIT_OUT("out", "... M", "what the layer adds to x's stream"),
};

static const heed_param params[] = {
    [HIDDEN] =
        KIT_INT_AUTO("hidden", 'F', 1, 1 << 24, "hidden channels; left alone, the weights tell"),
};

static int32_t measure(const heed_open *open, uint64_t *bytes)
{
    int64_t hidden = open->weight[UP]->dim[0], width = open->weight[UP]->dim[1];
    *bytes = sizeof(swiglu) + kit_weights_bytes(2 * kit_panels(hidden), width) +
             kit_weights_bytes(kit_panels(width), hidden);
    return HEED_OK;
}

static int32_t init(void *memory, const heed_open *open)
{
    swiglu *self = memory;
    int64_t hidden = open->weight[UP]->dim[0], width = open->weight[UP]->dim[1];
    float *at = self->data;
    self->both = (kit_weights){at, NULL, 2 * kit_panels(hidden), width, kit_panel_stride(width)};
    kit_pack(at, 0, 2, open->weight[GATE]);
    kit_pack(at, 1, 2, open->weight[UP]);
    at += self->both.panels * self->both.stride;
    self->down = (kit_weights){at, NULL, kit_panels(width), hidden, kit_panel_stride(hidden)};
    kit_pack(at, 0, 1, open->weight[DOWN]);
    return HEED_OK;
}

static int32_t measure_call(const void *instance, const heed_call *call, heed_call_size *size)
{
    const swiglu *self = instance;
    kit_middle_size(size, kit_rows(call->tensor[X]), self->down.depth);
    return HEED_OK;
}

/* Three products; inputs, packed weights (float32) and outputs moved once. */
static int32_t cost(const void *instance, const heed_call *call, heed_cost *c)
{
    (void)instance;
    double rows = (double)kit_rows(call->tensor[X]), M = (double)HEED_AXIS(call->axis, 'M'),
           F = (double)HEED_AXIS(call->axis, 'F');
    c->flops = 6 * rows * M * F;
    if (HEED_HAS(c, executed))
        c->executed = 32 * rows *
                      (M * 2 * (double)kit_panels((int64_t)F) + F * (double)kit_panels((int64_t)M));
    c->bytes = rows * M * (double)(kit_width(call->tensor[X]->dtype) + 4) + 12 * M * F;
    return HEED_OK;
}

KIT_COST(get_extension, cost)

static const heed_path paths[] = {KIT_PATHS_FORWARD};

static const heed_op ops[] = {{
    .size = sizeof(heed_op),
    .id = "feedforward/swiglu",
    .version = "1.0",
    .summary = "a gated feed-forward net: the gate goes through a SiLU",
    .formula = "out = W_down (silu(W_gate x) * W_up x), silu(z) = z / (1 + e^-z)",
    .reference = "arXiv 2002.05202",
    .ports = KIT_TABLE(ports),
    .params = KIT_TABLE(params),
    .paths = KIT_TABLE(paths),
    .measure = measure,
    .init = init,
    .measure_call = measure_call,
    .get_extension = get_extension,
}};

KIT_PLUGIN("feedforward_swiglu", "MIT", ops)
