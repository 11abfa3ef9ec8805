/* SPDX-License-Identifier: MIT
 *
 * attention/lightweight_conv: out[i] = sum over t < K of softmax(w)[t] x[i + t - pad]
 *                                                                      arXiv 1901.10430, section 3
 *
 * A convolution over time of each channel by itself. The channels of a head share their taps, which
 * a softmax makes positive and of sum 1. In front of it the paper has a gated linear unit, x = v *
 * sigmoid(gate): v and gate are two projections of a layer's input, as a stack makes them; what is
 * behind `out` is its output projection.
 *
 * At the beginning of a sequence the official code normalises over all taps, and then leaves out
 * those that would meet nothing; so do we.
 */
#include "lightweight_conv_kernel.h"
#include <heed/kit/conv/field.h>

static const heed_port ports[] = {
    CONV_PORTS,
    [W] = KIT_WEIGHT("w", "H K", HEED_INIT_NORMAL,
                     "taps of each head, before their softmax; under a causal mask the last one is "
                     "the token's own"),
};

static const heed_param params[] = {CONV_PARAMS};

static int32_t measure(const heed_open *open, uint64_t *bytes)
{
    const heed_tensor *w = open->weight[W];
    *bytes = sizeof(lightweight_conv) + kit_conv_offset_bytes(open) +
             sizeof(float) * (uint64_t)(kit_lanes(w->dim[0]) * w->dim[1]);
    return HEED_OK;
}

static int32_t init(void *memory, const heed_open *open)
{
    lightweight_conv *self = memory;
    const heed_tensor *w = open->weight[W];
    const int64_t H = w->dim[0], K = self->K = w->dim[1], step = kit_lanes(H);
    for (int64_t n = 0; n < H * K; n++) {
        const int64_t at[2] = {n % H, n / H};
        kit_read_row_scalar(self->table + n / H * step + n % H, kit_at(w, at, 2), w->dtype, 1, 1);
    }
    self->softmax = (int)open->value[CONV_SOFTMAX].i;
    for (int64_t h = 0; h < H && K > 0 && self->softmax; h += 16)
        conv_softmax_scalar(self->table + h, K, step);
    self->offset = kit_conv_offset_scalar(self->table + step * K, open->weight[CONV_OFFSET]);
    return HEED_OK;
}

static int32_t measure_call(const void *instance, const heed_call *call, heed_call_size *size)
{
    size->scratch = kit_conv_scratch(call, ((const lightweight_conv *)instance)->K);
    return HEED_OK;
}

static int32_t measure_state(const void *instance, const int64_t *axis, heed_state_size *size)
{
    return kit_conv_state(axis, ((const lightweight_conv *)instance)->K, size);
}

static int32_t cost(const void *instance, const heed_call *call, heed_cost *c)
{
    const lightweight_conv *self = instance;
    kit_conv conv = conv_begin(self, call);
    const int32_t failed = kit_conv_setup(&conv, self->K);
    if (!failed) kit_conv_cost(&conv, c);
    return failed;
}

KIT_COST_FIELD(get_extension, cost, kit_conv_field)

static const heed_path paths[] = {KIT_PATHS_BOTH};

static const heed_op ops[] = {{
    .size = sizeof(heed_op),
    .masks = HEED_MASK_CAUSAL | HEED_MASK_KEY_LENGTHS,
    .id = "attention/lightweight_conv",
    .version = "1.0",
    .summary = "lightweight convolution: taps of each head, under a softmax, over neighbouring "
               "tokens; a gate in front",
    .formula = "out[i, h] = sum over t < K of softmax(w[h])[t] x[i + t - pad, h] + offset[h], x = "
               "v * sigmoid(gate)\n"
               "causal: pad = K - 1, else (K - 1) / 2; taps that meet no row are left out behind "
               "the softmax\n"
               "LightweightConv1d of the official code has the taps of channel c in row c mod H; "
               "here, and in the\n"
               "paper, the channels of a head follow each other",
    .reference = "arXiv 1901.10430, section 3; fairseq modules/lightweight_convolution.py, "
                 "LightweightConv1dTBC",
    .ports = KIT_TABLE(ports),
    .params = KIT_TABLE(params),
    .paths = KIT_TABLE(paths),
    .measure = measure,
    .init = init,
    .measure_call = measure_call,
    .measure_state = measure_state,
    .get_extension = get_extension,
}};

KIT_PLUGIN("attention_lightweight_conv", "MIT", ops)
