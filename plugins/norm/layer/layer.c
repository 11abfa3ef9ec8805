/* SPDX-License-Identifier: MIT
 *
 * norm/layer: y = gain * (s - mean(s)) / sqrt(var(s) + eps) + bias, s = x + residual
 *                                                     LayerNorm, arXiv 1607.06450, section 3
 *
 * s is rounded to float32 once, and the norm is that of the rounded sum, whatever the dtypes. `out`
 * or `sum` (not both) may be the memory of x. The maths is in layer_kernel.h.
 */
#include "layer_kernel.h"

static const heed_port ports[] = {
    [X] = KIT_IN("x", "... M", "what is normalised, over its last axis"),
    [RESIDUAL] = KIT_IN_OPTIONAL("residual", "... M", "added to x first; 0 if absent"),
    [GAIN] =
        KIT_WEIGHT_OPTIONAL("gain", "M", HEED_INIT_ONES, "factor of each channel; 1 if absent"),
    [BIAS] =
        KIT_WEIGHT_OPTIONAL("bias", "M", HEED_INIT_ZEROS, "added to each channel; 0 if absent"),
    [OUT] = KIT_OUT_IN_PLACE("out", "... M", "the normalised x + residual"),
    [SUM] = KIT_OUT_OPTIONAL_IN_PLACE("sum", "... M", "x + residual, which out is the norm of"),
};

static const heed_param params[] = {
    [EPS] = KIT_FLOAT("eps", 1e-5, 0, 1, "added to the variance"),
    [OFFSET] = KIT_FLOAT("offset", 0, -1000, 1000,
                         "added to the gain: 1 where a file has gains less 1, as Gemma's"),
};

static int32_t measure(const heed_open *open, uint64_t *bytes)
{
    *bytes = sizeof(layer);
    for (int port = GAIN; port <= BIAS; port++)
        if (open->weight[port]) *bytes += (uint64_t)open->weight[port]->dim[0] * sizeof(float);
    return HEED_OK;
}

static int32_t init(void *memory, const heed_open *open)
{
    layer *self = memory;
    float *to = self->weight;
    self->eps = open->value[EPS].f;
    self->has_gain = open->weight[GAIN] != NULL;
    self->has_bias = open->weight[BIAS] != NULL;
    for (int port = GAIN; port <= BIAS; port++) {
        const heed_tensor *w = open->weight[port];
        if (!w) continue;
        self->width = w->dim[0];
        kit_read_row_scalar(to, w->data, w->dtype, w->stride[0], w->dim[0]);
        const double offset = port == GAIN ? open->value[OFFSET].f : 0;
        for (int64_t i = 0; offset != 0 && i < w->dim[0]; i++)
            to[i] = (float)((double)to[i] + offset);
        to += w->dim[0];
    }
    return HEED_OK;
}

static const heed_path paths[] = {KIT_PATHS_BOTH};

static const heed_op ops[] = {{
    .size = sizeof(heed_op),
    .id = "norm/layer",
    .version = "1.0",
    .summary = "layer normalisation: mean 0, variance 1, then gain and bias",
    .formula = "y = gain * (s - mean(s)) / sqrt(var(s) + eps) + bias, s = x + residual",
    .reference = "arXiv 1607.06450, section 3",
    .ports = KIT_TABLE(ports),
    .params = KIT_TABLE(params),
    .paths = KIT_TABLE(paths),
    .measure = measure,
    .init = init,
    .measure_call = kit_rowwise_measure_call,
}};

KIT_PLUGIN("norm_layer", "MIT", ops)
