/* SPDX-License-Identifier: MIT
 *
 * norm/rms: y = gain * s / sqrt(mean(s^2) + eps), s = x + residual
 *                                                              RMSNorm, arXiv 1910.07467, section 4
 *
 * s is rounded to float32 once, and the norm is that of the rounded sum, whatever the dtypes. `out`
 * or `sum` (not both) may be the memory of x: a stream that is summed in place, and normalised
 * beside it, passes memory once.
 *
 * The smallest op, and the one to read first. This file has its tables, in the order that every
 * plugin keeps: ports, params, instance, descriptor. The maths is in rms_kernel.h, written once and
 * compiled for every path.
 */
#include "rms_kernel.h"

static const heed_port ports[] = {
    [X] = KIT_IN("x", "... M", "what is normalised, over its last axis"),
    [RESIDUAL] = KIT_IN_OPTIONAL("residual", "... M", "added to x first; 0 if absent"),
    [GAIN] =
        KIT_WEIGHT_OPTIONAL("gain", "M", HEED_INIT_ONES, "factor of each channel; 1 if absent"),
    [OUT] = KIT_OUT_IN_PLACE("out", "... M", "the normalised x + residual"),
    [SUM] = KIT_OUT_OPTIONAL_IN_PLACE("sum", "... M", "x + residual, which out is the norm of"),
};

static const heed_param params[] = {
    [EPS] = KIT_FLOAT("eps", 1e-6, 0, 1, "added to the mean square"),
    [OFFSET] = KIT_FLOAT("offset", 0, -1000, 1000,
                         "added to the gain: 1 where a file has gains less 1, as Gemma's"),
};

static int32_t measure(const heed_open *open, uint64_t *bytes)
{
    const heed_tensor *gain = open->weight[GAIN];
    *bytes = sizeof(rms) + (gain ? (uint64_t)gain->dim[0] * sizeof(float) : 0);
    return HEED_OK;
}

static int32_t init(void *memory, const heed_open *open)
{
    rms *self = memory;
    const heed_tensor *gain = open->weight[GAIN];
    self->eps = open->value[EPS].f;
    self->has_gain = gain != NULL;
    if (gain)
        kit_read_row_scalar(self->gain, gain->data, gain->dtype, gain->stride[0], gain->dim[0]);
    for (int64_t i = 0; gain && open->value[OFFSET].f != 0 && i < gain->dim[0]; i++)
        self->gain[i] = (float)((double)self->gain[i] + open->value[OFFSET].f);
    return HEED_OK;
}

static const heed_path paths[] = {KIT_PATHS_BOTH};

static const heed_op ops[] = {{
    .size = sizeof(heed_op),
    .id = "norm/rms",
    .version = "1.0",
    .summary = "root mean square normalisation, without centring",
    .formula = "y = gain * s / sqrt(mean(s^2) + eps), s = x + residual",
    .reference = "arXiv 1910.07467, section 4",
    .ports = KIT_TABLE(ports),
    .params = KIT_TABLE(params),
    .paths = KIT_TABLE(paths),
    .measure = measure,
    .init = init,
    .measure_call = kit_rowwise_measure_call,
}};

KIT_PLUGIN("norm_rms", "MIT", ops)
