/* SPDX-License-Identifier: MIT
 *
 * attention/dynamic_conv: out[i] = sum over t < K of softmax(G x[i])[t] x[i + t - pad]
 *                                                                      arXiv 1901.10430, section 4
 *
 * A convolution over time of each channel by itself, whose taps each token makes for itself and
 * each head, out of its own row. In front of it the paper has a gated linear unit, x = v *
 * sigmoid(gate), and what leaves it is both what is convolved and what the taps are made of: v and
 * gate are two projections of a layer's input, as a stack makes them.
 *
 * At the beginning of a sequence the official code normalises over all taps, and then leaves out
 * those that would meet nothing; so do we. Its option renorm_padding, which does it the other way
 * round, is not here.
 */
#include "dynamic_conv_kernel.h"
#include <heed/kit/conv/field.h>

static const heed_port ports[] = {
    CONV_PORTS,
    [TAPS] = KIT_IN_OPTIONAL(
        "taps", "B T H K",
        "taps of each token and head, before their softmax, if no weight makes them"),
    [GENERATOR] = KIT_WEIGHT_OPTIONAL(
        "generator", "H K H E", HEED_INIT_NORMAL,
        "makes the taps of a token, before their softmax, of its row of all heads"),
    [GENERATOR_OFFSET] = KIT_WEIGHT_OPTIONAL("generator_offset", "H K", HEED_INIT_ZEROS,
                                             "added to them; 0 if absent"),
};

static const heed_param params[] = {CONV_PARAMS};

static int32_t measure(const heed_open *open, uint64_t *bytes)
{
    const heed_tensor *w = open->weight[GENERATOR];
    *bytes = sizeof(dynamic_conv) + kit_conv_offset_bytes(open);
    if (!w && open->weight[GENERATOR_OFFSET])
        return kit_fail(open->sink, HEED_E_ARGUMENT,
                        "the weight generator_offset is given without a generator, to whose taps "
                        "it would be added");
    if (w) {
        const int64_t rows = w->dim[0] * w->dim[1], columns = w->dim[2] * w->dim[3];
        *bytes += kit_weights_bytes(kit_panels(rows), columns) +
                  sizeof(float) * (uint64_t)kit_lanes(rows);
    }
    return HEED_OK;
}

/* The generator [H, K, H, E] as kit_pack would pack the matrix [H K, H E] that it is. */
static void pack(float *data, const heed_tensor *w)
{
    const int64_t K = w->dim[1], H = w->dim[2], E = w->dim[3], stride = kit_panel_stride(H * E);
    for (int64_t n = 0; n < w->dim[0] * K; n++)
        for (int64_t m = 0; m < H * E; m++) {
            const int64_t at[4] = {n / K, n % K, m / E, m % E};
            float x;
            kit_read_row_scalar(&x, kit_at(w, at, 4), w->dtype, 1, 1);
            data[n / 16 * stride + m * 16 + n % 16] = x;
        }
}

static int32_t init(void *memory, const heed_open *open)
{
    dynamic_conv *self = memory;
    const heed_tensor *w = open->weight[GENERATOR], *more = open->weight[GENERATOR_OFFSET];
    float *room = self->data;
    self->softmax = (int)open->value[CONV_SOFTMAX].i;
    if (w) {
        const int64_t rows = w->dim[0] * w->dim[1], depth = w->dim[2] * w->dim[3],
                      stride = kit_panel_stride(depth);
        self->generator = kit_weights_at(KIT_STORED_F32, room, kit_panels(rows), depth);
        pack(room, w);
        room += kit_panels(rows) * stride;
        for (int64_t h = 0; more && h < w->dim[0]; h++)
            kit_read_row_scalar(room + h * w->dim[1], kit_at(more, &h, 1), more->dtype,
                                more->stride[1], w->dim[1]);
        self->generator.bias = more ? room : NULL;
        room += kit_lanes(rows);
    }
    self->offset = kit_conv_offset_scalar(room, open->weight[CONV_OFFSET]);
    return HEED_OK;
}

static int32_t measure_call(const void *instance, const heed_call *call, heed_call_size *size)
{
    const dynamic_conv *self = instance;
    const int64_t *axis = call->axis,
                  rows = HEED_AXIS(axis, 'B') * HEED_AXIS(axis, 'T') * HEED_AXIS(axis, 'H');
    const uint64_t gemm = kit_gemm_scratch();
    const int made = self->generator.data != NULL, given = call->tensor[TAPS] != NULL;
    if (made == given)
        return kit_fail(call->sink, HEED_E_ARGUMENT,
                        made ? "the input taps is given, and the weight generator would make them; "
                               "leave one out"
                             : "the weight generator is missing, and no input taps is given in its "
                               "place");
    size->scratch = kit_conv_scratch(call, HEED_AXIS(axis, 'K'));
    if (given) return HEED_OK;
    if (gemm > size->scratch) size->scratch = gemm;
    size->workspace = sizeof(float) * (uint64_t)kit_lanes(rows * HEED_AXIS(axis, 'K'));
    if (!dynamic_is_made(call))
        size->workspace += sizeof(float) * (uint64_t)kit_lanes(rows * HEED_AXIS(axis, 'E'));
    return HEED_OK;
}

static int32_t measure_state(const void *instance, const int64_t *axis, heed_state_size *size)
{
    (void)instance;
    return kit_conv_state(axis, HEED_AXIS(axis, 'K'), size);
}

/* The taps' product with it, and the weights that it reads. */
static int32_t cost(const void *instance, const heed_call *call, heed_cost *c)
{
    const dynamic_conv *self = instance;
    dynamic_call d = dynamic_begin(self, call);
    const int32_t failed = kit_conv_setup(&d.c, HEED_AXIS(call->axis, 'K'));
    if (failed) return failed;
    const double rows = (double)(d.c.B * d.c.T), taps = (double)(d.c.H * d.c.K),
                 width = (double)(d.c.H * d.c.E);
    kit_conv_cost(&d.c, c);
    if (d.c.own_row) c->flops += 2 * rows * taps * width, c->bytes += 4 * taps * width;
    else c->bytes += rows * taps * (double)kit_width(call->tensor[TAPS]->dtype);
    return HEED_OK;
}

KIT_COST_FIELD(get_extension, cost, kit_conv_field)

static const heed_path paths[] = {KIT_PATHS_BOTH};

static const heed_op ops[] = {{
    .size = sizeof(heed_op),
    .masks = HEED_MASK_CAUSAL | HEED_MASK_KEY_LENGTHS,
    .id = "attention/dynamic_conv",
    .version = "1.0",
    .summary = "dynamic convolution: each token makes the taps of each head, under a softmax, out "
               "of its own row",
    .formula =
        "out[i, h] = sum over t < K of softmax(logits[i, h])[t] x[i + t - pad, h] + offset[h], x = "
        "v * sigmoid(gate)\n"
        "logits[i, h, t] = generator[h, t] . x[i] + generator_offset[h, t], or the input taps\n"
        "causal: pad = K - 1, else (K - 1) / 2; taps that meet no row are left out behind the "
        "softmax\n"
        "a token behind key_lengths has no row, and so no taps that it would have to make of it",
    .reference = "arXiv 1901.10430, section 4; fairseq modules/dynamic_convolution.py",
    .ports = KIT_TABLE(ports),
    .params = KIT_TABLE(params),
    .paths = KIT_TABLE(paths),
    .measure = measure,
    .init = init,
    .measure_call = measure_call,
    .measure_state = measure_state,
    .get_extension = get_extension,
}};

KIT_PLUGIN("attention_dynamic_conv", "MIT", ops)
