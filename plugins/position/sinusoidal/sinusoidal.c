/* SPDX-License-Identifier: MIT
 *
 * position/sinusoidal: out = x + p, p made of sin(position t_k) and cos(position t_k)
 *                                                                     arXiv 1706.03762, section 3.5
 *
 *   the paper  layout=interleaved, exponent=paper   sin, cos, sin, cos ...       t_k = base^(-2k/M)
 *   tensor2tensor, fairseq  layout=half, exponent=t2t
 *                                              all sines, then all cosines  t_k = base^(-k/(M/2-1))
 *   Transformer-XL        layout=half, exponent=paper
 *
 * With step=n the waves of position n are added as well: the Universal Transformer's coordinates, arXiv
 * 1807.03819, section 2.1, for which a list of positions has each layer's own number.
 *
 * An odd last channel is sin(position t_k) if interleaved, and 0 if half. The maths is in
 * sinusoidal_kernel.h.
 */
#include "sinusoidal_kernel.h"

static const heed_port ports[] = {
    [X] = KIT_IN("x", "B T M", "embeddings"),
    [POSITIONS] = KIT_IN_INDEX("positions", "B T", HEED_PORT_OPTIONAL,
                               "where each token stands; 0 to T-1 if absent"),
    [OUT] = KIT_OUT_IN_PLACE("out", "B T M", "embeddings with their positions"),
};

static const heed_param params[] = {
    [BASE] = KIT_FLOAT("base", 10000, 1, 1e18,
                       "the slowest wave is about `base` times longer than the first"),
    [LAYOUT] = KIT_CHOICE("layout", INTERLEAVED, "interleaved|half",
                          "sine and cosine in turn, or all sines before all cosines"),
    [EXPONENT] = KIT_CHOICE("exponent", PAPER, "paper|t2t",
                            "of base, for wave k: paper, -2k/M; t2t, -k/(M/2-1)"),
    [STEP] = KIT_INT("step", 0, 0, 1 << 24,
                     "the number of the layer, whose waves are added too; 0: they are not"),
};

static int32_t measure(const heed_open *open, uint64_t *bytes)
{
    int64_t m = HEED_AXIS(open->axis, 'M');
    *bytes = sizeof(sinusoidal) + (m > 0 ? (uint64_t)kit_lanes((m + 1) / 2) * sizeof(double) : 0);
    return HEED_OK;
}

static int32_t init(void *memory, const heed_open *open)
{
    sinusoidal *self = memory;
    self->base = open->value[BASE].f;
    self->layout = open->value[LAYOUT].i;
    self->exponent = open->value[EXPONENT].i;
    self->step = open->value[STEP].i;
    self->width = HEED_AXIS(open->axis, 'M');
    if (self->width > 0) make_theta(self, self->theta, self->width);
    return HEED_OK;
}

static int32_t measure_call(const void *instance, const heed_call *call, heed_call_size *size)
{
    const sinusoidal *self = instance;
    int64_t m = HEED_AXIS(call->axis, 'M');
    if (self->width != m) size->workspace = (uint64_t)kit_lanes((m + 1) / 2) * sizeof(double);
    size->scratch = (uint64_t)scratch_floats(m) * sizeof(float);
    return HEED_OK;
}

static const heed_path paths[] = {KIT_PATHS_BOTH};

static const heed_op ops[] = {{
    .size = sizeof(heed_op),
    .acts = HEED_ACTS_INPUT,
    .id = "position/sinusoidal",
    .version = "1.0",
    .summary = "fixed waves of many lengths, added to the input",
    .formula = "out = x + [sin(p t_k), cos(p t_k)], t_k = base^(-2k/M)",
    .reference = "arXiv 1706.03762, section 3.5",
    .ports = KIT_TABLE(ports),
    .params = KIT_TABLE(params),
    .paths = KIT_TABLE(paths),
    .measure = measure,
    .init = init,
    .measure_call = measure_call,
}};

KIT_PLUGIN("position_sinusoidal", "MIT", ops)
