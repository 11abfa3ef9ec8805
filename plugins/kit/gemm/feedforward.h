/* SPDX-License-Identifier: MIT
 *
 * heed/kit/gemm/feedforward.h: a feed-forward net but for its activation,
 *
 *     out = down a(up x + up_bias) + down_bias
 *     out = down (a(gate x + gate_bias) * (up x + up_bias)) + down_bias                      gated
 *
 * An op defines FEEDFORWARD_ACTIVATION(self, z), a vector of a(z), before its kernel includes this, once
 * for each path; `self` is the kit_feedforward, whose `choice` is the op's own. Gate and up are packed as one weight,
 * panels in turn, so that both halves leave the first product together; the middle layer lies in the
 * workspace, float32, some rows at a time.
 *
 * Error: gemm.h's of the second product, over middle values with that of the first and of a.
 */
#include <heed/kit/gemm/gemm.h>

#ifndef HEED_KIT_FEEDFORWARD_ONCE
#define HEED_KIT_FEEDFORWARD_ONCE

enum {
    FEEDFORWARD_X,
    FEEDFORWARD_UP,
    FEEDFORWARD_UP_BIAS,
    FEEDFORWARD_DOWN,
    FEEDFORWARD_DOWN_BIAS,
    FEEDFORWARD_OUT
};
enum {
    GATED_X,
    GATED_GATE,
    GATED_UP,
    GATED_DOWN,
    GATED_GATE_BIAS,
    GATED_UP_BIAS,
    GATED_DOWN_BIAS,
    GATED_OUT
};

#define FEEDFORWARD_PORTS                                                                          \
    [FEEDFORWARD_X] = KIT_IN("x", "... M", "each token on its own, over the last axis"),           \
    [FEEDFORWARD_UP] =                                                                             \
        KIT_MATRIX("up", "F M", HEED_INIT_NORMAL, "W1: one row for each hidden channel"),          \
    [FEEDFORWARD_UP_BIAS] =                                                                        \
        KIT_WEIGHT_OPTIONAL("up_bias", "F", HEED_INIT_ZEROS, "b1; 0 if absent"),                   \
    [FEEDFORWARD_DOWN] =                                                                           \
        KIT_MATRIX("down", "M F", HEED_INIT_NORMAL, "W2: one row for each output"),                \
    [FEEDFORWARD_DOWN_BIAS] =                                                                      \
        KIT_WEIGHT_OPTIONAL("down_bias", "M", HEED_INIT_ZEROS, "b2; 0 if absent"),                 \
    [FEEDFORWARD_OUT] = KIT_OUT("out", "... M", "what the layer adds to x's stream")

#define GATED_PORTS                                                                                \
    [GATED_X] = KIT_IN("x", "... M", "each token on its own, over the last axis"),                 \
    [GATED_GATE] =                                                                                 \
        KIT_MATRIX("gate", "F M", HEED_INIT_NORMAL, "W_gate: one row for each hidden channel"),    \
    [GATED_UP] =                                                                                   \
        KIT_MATRIX("up", "F M", HEED_INIT_NORMAL, "W_up: one row for each hidden channel"),        \
    [GATED_DOWN] = KIT_MATRIX("down", "M F", HEED_INIT_NORMAL, "W_down: one row for each output"), \
    [GATED_GATE_BIAS] =                                                                            \
        KIT_WEIGHT_OPTIONAL("gate_bias", "F", HEED_INIT_ZEROS, "of the gate; 0 if absent"),        \
    [GATED_UP_BIAS] = KIT_WEIGHT_OPTIONAL("up_bias", "F", HEED_INIT_ZEROS, "of up; 0 if absent"),  \
    [GATED_DOWN_BIAS] =                                                                            \
        KIT_WEIGHT_OPTIONAL("down_bias", "M", HEED_INIT_ZEROS, "of down; 0 if absent"),            \
    [GATED_OUT] = KIT_OUT("out", "... M", "what the layer adds to x's stream")

#define FEEDFORWARD_HIDDEN                                                                         \
    KIT_INT_AUTO("hidden", 'F', 1, 1 << 24, "hidden channels; left alone, the weights tell")

typedef struct kit_feedforward {
    kit_weights first, down; /* first: of a gated one, panel 2 p of the gate, 2 p + 1 of up */
    int64_t gated, choice;
    float data[] __attribute__((aligned(64)));
} kit_feedforward;

/* Weights of an op, by what they are; gate NULL: it is not gated. */
typedef struct kit_feedforward_weights {
    const heed_tensor *gate, *gate_bias, *up, *up_bias, *down, *down_bias;
} kit_feedforward_weights;

static __attribute__((unused)) kit_feedforward_weights kit_plain_weights(const heed_open *open)
{
    const heed_tensor *const *w = open->weight;
    return (kit_feedforward_weights){.up = w[FEEDFORWARD_UP],
                                     .up_bias = w[FEEDFORWARD_UP_BIAS],
                                     .down = w[FEEDFORWARD_DOWN],
                                     .down_bias = w[FEEDFORWARD_DOWN_BIAS]};
}

static __attribute__((unused)) kit_feedforward_weights kit_gated_weights(const heed_open *open)
{
    const heed_tensor *const *w = open->weight;
    return (kit_feedforward_weights){w[GATED_GATE],    w[GATED_GATE_BIAS], w[GATED_UP],
                                     w[GATED_UP_BIAS], w[GATED_DOWN],      w[GATED_DOWN_BIAS]};
}

/* The sizes of both packed weights; `weights` is the choice of KIT_WEIGHTS_PARAM. */
typedef struct kit_feedforward_sizes {
    uint32_t first_stored, down_stored;
    int64_t first, down; /* panels */
    int64_t first_floats, down_floats;
} kit_feedforward_sizes;

static __attribute__((unused)) kit_feedforward_sizes
kit_feedforward_measure(kit_feedforward_weights w, int64_t weights)
{
    const int64_t hidden = w.up->dim[0], width = w.up->dim[1];
    kit_feedforward_sizes s = {.first_stored = kit_stored_as(weights, w.up, w.gate),
                               .down_stored = kit_stored_as(weights, w.down, NULL),
                               .first = (w.gate ? 2 : 1) * kit_panels(hidden),
                               .down = kit_panels(width)};
    s.first_floats = kit_stored_floats(s.first_stored, s.first, width);
    s.down_floats = kit_stored_floats(s.down_stored, s.down, hidden);
    return s;
}

static __attribute__((unused)) uint64_t kit_feedforward_bytes(kit_feedforward_weights w,
                                                              int64_t weights)
{
    const kit_feedforward_sizes s = kit_feedforward_measure(w, weights);
    return sizeof(kit_feedforward) +
           (uint64_t)(s.first_floats + s.down_floats + 16 * (s.first + s.down)) * sizeof(float);
}

/* A bias to the panels first, first + step, ... */
static __attribute__((unused)) void kit_feedforward_bias(float *to, int64_t first, int64_t step,
                                                         const heed_tensor *bias)
{
    for (int64_t p = 0; bias && p < kit_panels(bias->dim[0]); p++) {
        const int64_t left = bias->dim[0] - 16 * p;
        kit_read_row_scalar(to + 16 * (first + p * step),
                            (const char *)bias->data +
                                16 * p * bias->stride[0] * kit_width(bias->dtype),
                            bias->dtype, bias->stride[0], left < 16 ? left : 16);
    }
}

/* Into memory that is zeroed, of the bytes above. */
static __attribute__((unused)) void kit_feedforward_init(kit_feedforward *self,
                                                         kit_feedforward_weights w, int64_t weights,
                                                         int64_t choice)
{
    const kit_feedforward_sizes s = kit_feedforward_measure(w, weights);
    const int64_t step = w.gate ? 2 : 1;
    float *down_data = self->data + s.first_floats, *first_bias = down_data + s.down_floats,
          *down_bias = first_bias + 16 * s.first;
    self->first = kit_weights_at(s.first_stored, self->data, s.first, w.up->dim[1]);
    self->down = kit_weights_at(s.down_stored, down_data, s.down, w.up->dim[0]);
    if (w.gate) kit_weights_pack(&self->first, 0, 2, w.gate);
    kit_weights_pack(&self->first, step - 1, step, w.up);
    kit_weights_pack(&self->down, 0, 1, w.down);
    kit_feedforward_bias(first_bias, 0, 2, w.gate_bias);
    kit_feedforward_bias(first_bias, step - 1, step, w.up_bias);
    kit_feedforward_bias(down_bias, 0, 1, w.down_bias);
    if (w.up_bias || w.gate_bias) self->first.bias = first_bias;
    if (w.down_bias) self->down.bias = down_bias;
    self->gated = w.gate != NULL, self->choice = choice;
}

static __attribute__((unused)) int32_t
kit_feedforward_measure_call(const void *instance, const heed_call *call, heed_call_size *size)
{
    const kit_feedforward *self = instance;
    kit_middle_size(size, kit_rows(call->tensor[FEEDFORWARD_X]), self->down.depth,
                    self->down.stored ? &self->down : &self->first);
    return HEED_OK;
}

/* Two or three products; inputs, packed weights and outputs moved once. */
static __attribute__((unused)) int32_t kit_feedforward_cost(const void *instance,
                                                            const heed_call *call, heed_cost *c)
{
    const kit_feedforward *self = instance;
    const heed_tensor *x = call->tensor[FEEDFORWARD_X];
    const double rows = (double)kit_rows(x), M = (double)HEED_AXIS(call->axis, 'M'),
                 F = (double)HEED_AXIS(call->axis, 'F'), maps = self->gated ? 3 : 2;
    c->flops = 2 * maps * rows * M * F;
    if (HEED_HAS(c, executed))
        c->executed = 32 * rows * (M * (double)self->first.panels + F * (double)self->down.panels);
    c->bytes = rows * M * (double)(kit_width(x->dtype) + 4) +
               M * F / 2 * ((maps - 1) * (double)kit_stored_halves(self->first.stored) +
                            (double)kit_stored_halves(self->down.stored));
    return HEED_OK;
}
#endif

#ifdef FEEDFORWARD_ACTIVATION
static void KIT(feedforward_plain)(const void *arg, char *to, int64_t panel, int64_t panels,
                                   const float *sums)
{
    const kit_feedforward *self = arg;
    float *middle = (float *)to + 16 * panel;
    (void)self;
    for (int64_t i = 0; i < 16 * panels; i += 16)
        v_store(middle + i, FEEDFORWARD_ACTIVATION(self, v_load(sums + i)));
}

static void KIT(feedforward_gated)(const void *arg, char *to, int64_t panel, int64_t panels,
                                   const float *sums)
{
    const kit_feedforward *self = arg;
    float *middle = (float *)to + 8 * panel;
    (void)self;
    for (int64_t i = 0; i < 8 * panels; i += 16) {
        const vf g = v_load(sums + 2 * i), u = v_load(sums + 2 * i + 16);
        v_store(middle + i, v_mul(FEEDFORWARD_ACTIVATION(self, g), u));
    }
}

static int32_t KIT(feedforward_run)(const void *instance, const heed_call *call,
                                    const heed_tensor *out)
{
    const kit_feedforward *self = instance;
    return KIT(kit_gemm_two)(call, call->tensor[FEEDFORWARD_X], &self->first,
                             self->gated ? KIT(feedforward_gated) : KIT(feedforward_plain), self,
                             &self->down, out);
}
#endif
