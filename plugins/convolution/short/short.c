/* SPDX-License-Identifier: MIT
 *
 * convolution/short: out[t, c] = silu(sum over i < K of taps[c, i] x[t - K + 1 + i, c] + bias[c])
 *                     Mamba, arXiv 2312.00752, section 3.4; gated delta networks, arXiv 2412.06464
 *
 * A causal convolution over time with few taps, each channel with its own. It stands between the
 * projections of queries, keys and values and a rule that is linear in them, and lets it compare
 * neighbours. What attention/lightweight_conv has for a head stands here for a channel, and no
 * softmax. The maths is in short_kernel.h.
 */
#include "short_kernel.h"

static const heed_port ports[] = {
    [X] = KIT_IN("x", "B T N", "rows of channels"),
    [TAPS] = KIT_WEIGHT("taps", "N K", HEED_INIT_NORMAL,
                        "of each channel, from the oldest row to the token's own"),
    [BIAS] = KIT_WEIGHT_OPTIONAL("bias", "N", HEED_INIT_ZEROS, "added to each channel"),
    [OUT] = KIT_OUT("out", "B T N", "for each token, its neighbours' rows under the taps"),
};

static const heed_param params[] = {
    [KERNEL] = KIT_INT_AUTO("kernel", 'K', 1, SHORT_TAPS, "taps of a channel, K; the weights tell"),
    [ACTIVATION] = KIT_CHOICE("activation", 1, "none|silu", "what the sums go through"),
};

static int32_t measure(const heed_open *open, uint64_t *bytes)
{
    const heed_tensor *taps = open->weight[TAPS];
    const int64_t N = taps->dim[0], K = taps->dim[1];
    if (K < 1 || K > SHORT_TAPS)
        return kit_fail(open->sink, HEED_E_SHAPE, "there are %lld taps; 1 to %d is right",
                        (long long)K, SHORT_TAPS);
    *bytes = sizeof(short_conv) + sizeof(float) * (uint64_t)(kit_lanes(N) * (K + 1));
    return HEED_OK;
}

/* Taps lie tap by tap, so that neighbouring channels are neighbours; behind them the bias. */
static int32_t init(void *memory, const heed_open *open)
{
    short_conv *self = memory;
    const heed_tensor *taps = open->weight[TAPS], *bias = open->weight[BIAS];
    const int64_t N = self->N = taps->dim[0], K = self->K = taps->dim[1];
    self->silu = open->value[ACTIVATION].i == 1;
    self->biased = bias != NULL;
    memset(self->table, 0, sizeof(float) * (size_t)(kit_lanes(N) * (K + 1)));
    for (int64_t c = 0; c < N; c++)
        for (int64_t i = 0; i < K; i++)
            kit_read_row_scalar(self->table + i * kit_lanes(N) + c,
                                kit_at(taps, (const int64_t[]){c, i}, 2), taps->dtype, 1, 1);
    if (bias)
        kit_read_row_scalar(self->table + K * kit_lanes(N), bias->data, bias->dtype,
                            bias->stride[0], N);
    return HEED_OK;
}

/* A ring of rows as they came. A call looks at the last K - 1; the others are there so that 32 to 63
 * tokens can be taken back. */
static int32_t measure_state(const void *instance, const int64_t *axis, heed_state_size *size)
{
    const short_conv *self = instance;
    (void)axis;
    size->format = "rows/f32";
    size->version = 1;
    size->flags = HEED_STATE_CAUSAL;
    size->recent = SHORT_BACK;
    size->page_bytes = sizeof(float) * (uint64_t)(short_ring(self) * (self->N ? self->N : 1));
    return HEED_OK;
}

static int32_t cost(const void *instance, const heed_call *call, heed_cost *c)
{
    const short_conv *self = instance;
    const double rows = (double)(HEED_AXIS(call->axis, 'B') * HEED_AXIS(call->axis, 'T')),
                 N = (double)self->N;
    c->flops = 2 * rows * N * (double)self->K;
    c->bytes = rows * N * (double)(kit_width(call->tensor[X]->dtype) + 4);
    c->receptive_field = (double)self->K;
    return HEED_OK;
}

KIT_COST(get_extension, cost)

static const heed_path paths[] = {KIT_PATHS_FORWARD};

static const heed_op ops[] = {{
    .size = sizeof(heed_op),
    .id = "convolution/short",
    .version = "1.0",
    .summary = "each channel's last few rows, under taps of its own",
    .formula = "out[t, c] = silu(sum over i < K of taps[c, i] x[t - K + 1 + i, c] + bias[c])\n"
               "rows in front of the first are 0; activation=none: without silu",
    .reference = "arXiv 2312.00752, section 3.4; arXiv 2412.06464, section 3.4",
    .ports = KIT_TABLE(ports),
    .params = KIT_TABLE(params),
    .paths = KIT_TABLE(paths),
    .measure = measure,
    .init = init,
    .measure_state = measure_state,
    .get_extension = get_extension,
}};

KIT_PLUGIN("convolution_short", "MIT", ops)
