/* SPDX-License-Identifier: MIT
 *
 * norm/batch: y = gain (x - mean) / sqrt(variance + eps) + bias, by channel
 *                                                          BatchNorm, arXiv 1502.03167, algorithm 1
 *
 * The statistics are kept ones, weights, as in every use of a trained network (section 3.1); or
 * those of the tokens of this very call. The latter couple tokens: a row then depends on all
 * others, of the future and of other sequences too, and on how a text is cut into calls. So they
 * are no norm for a causal model, and are here to show it, and for calls that are fed as they were
 * trained.
 */
#include "batch_kernel.h"

static const heed_port ports[] = {
    [X] = KIT_IN("x", "... M", "what is normalised, channel by channel"),
    [GAIN] =
        KIT_WEIGHT_OPTIONAL("gain", "M", HEED_INIT_ONES, "factor of each channel; 1 if absent"),
    [BIAS] =
        KIT_WEIGHT_OPTIONAL("bias", "M", HEED_INIT_ZEROS, "added to each channel; 0 if absent"),
    [MEAN] = KIT_WEIGHT_OPTIONAL("mean", "M", HEED_INIT_ZEROS, "kept while training; 0 if absent"),
    [VARIANCE] = KIT_WEIGHT_OPTIONAL("variance", "M", HEED_INIT_ONES, "the same; 1 if absent"),
    [OUT] = KIT_OUT_IN_PLACE("out", "... M", "the normalised x"),
};

static const heed_param params[] = {
    [EPS] = KIT_FLOAT("eps", 1e-5, 0, 1, "added to the variance"),
    [STATISTICS] = KIT_CHOICE_COUPLES(
        "statistics", 0, "running|batch",
        "running: mean and variance are the weights; batch: those of all tokens of the call, "
        "which couples them: a token's output depends on every other, later ones too"),
};

static int32_t measure(const heed_open *open, uint64_t *bytes)
{
    const int64_t M = HEED_AXIS(open->axis, 'M');
    if (open->value[STATISTICS].i == 0 && !open->weight[MEAN] && !open->weight[VARIANCE])
        return kit_fail(open->sink, HEED_E_ARGUMENT,
                        "statistics=running takes the weights mean and variance, which were kept "
                        "while training, and "
                        "neither is given; statistics=batch takes those of the call");
    int64_t known = 0; /* without a weight there is nothing to keep */
    for (int w = GAIN; w <= VARIANCE; w++)
        if (open->weight[w]) known = M;
    *bytes = sizeof(batch) + (uint64_t)(4 * kit_lanes(known)) * sizeof(float);
    return HEED_OK;
}

static int32_t init(void *memory, const heed_open *open)
{
    batch *self = memory;
    self->eps = open->value[EPS].f;
    self->of_call = open->value[STATISTICS].i == 1;
    float *room = self->room;
    for (int w = GAIN; w <= VARIANCE; w++) {
        const heed_tensor *t = open->weight[w];
        if (!t) continue;
        kit_read_row_scalar(room, t->data, t->dtype, t->stride[0], t->dim[0]);
        self->weight[w] = room, room += kit_lanes(t->dim[0]);
    }
    return HEED_OK;
}

static int32_t measure_call(const void *instance, const heed_call *call, heed_call_size *size)
{
    size->workspace = batch_workspace(HEED_AXIS(call->axis, 'M'));
    return kit_rowwise_measure_call(instance, call, size);
}

static const heed_path paths[] = {KIT_PATHS_BOTH};

static const heed_op ops[] = {{
    .size = sizeof(heed_op),
    .id = "norm/batch",
    .version = "1.0",
    .summary = "batch normalisation: each channel by statistics that were kept, or by those of the "
               "call's tokens",
    .formula = "y = gain * (x - mean) / sqrt(variance + eps) + bias, mean and (biased) variance of "
               "each channel\n"
               "statistics=batch couples tokens: each output depends on all tokens of the call, on "
               "later ones too,\n"
               "so a causal model leaks, and chunks differ from the whole; and two tokens at least "
               "are needed",
    .reference = "arXiv 1502.03167, algorithms 1 and 2",
    .ports = KIT_TABLE(ports),
    .params = KIT_TABLE(params),
    .paths = KIT_TABLE(paths),
    .measure = measure,
    .init = init,
    .measure_call = measure_call,
}};

KIT_PLUGIN("norm_batch", "MIT", ops)
