/* SPDX-License-Identifier: MIT
 *
 * rope_op.h: what position/rope, position/rope_scaled and position/longrope share besides the kernel:
 * their first params, and the instance, which is made of a rule for the frequencies.
 */
#ifndef ROPE_OP_H
#define ROPE_OP_H
#include "rope_kernel.h"

#define ROPE_PORTS                                                                                 \
    [X] = KIT_IN("x", "B T H D", "queries or keys"),                                               \
    [POSITIONS] = KIT_IN_INDEX("positions", "B T", HEED_PORT_OPTIONAL,                             \
                               "where each token stands; 0 to T-1 if absent"),                     \
    [OUT] = KIT_OUT_IN_PLACE("out", "B T H D", "the turned vectors")

/* All three ops begin with these; longrope has `listed` in the place of `width`. */
enum { BASE, PAIRS, WIDTH };
#define ROPE_PARAM_BASE                                                                            \
    KIT_FLOAT("base", 10000, 1, 1e18,                                                              \
              "the slowest pair turns about `base` times slower than the first")
#define ROPE_PARAM_PAIRS                                                                           \
    KIT_CHOICE("pairs", INTERLEAVED, "interleaved|half",                                           \
               "which channels turn together: (2k, 2k+1) or (k, k + width/2)")
#define ROPE_PARAM_WIDTH                                                                           \
    KIT_INT_AUTO("width", 0, 2, 1 << 24, "channels that turn, an even number; left alone, all of D")
#define ROPE_PARAM_ATTENTION_FACTOR(rule)                                                          \
    KIT_FLOAT_AUTO("attention_factor", 1e-3, 1e3,                                                  \
                   rule "cosines and sines are multiplied with it; the rule's own if absent")

KIT_INLINE double rope_number(const heed_value *value, double otherwise)
{
    return value->given ? value->f : otherwise;
}

KIT_INLINE int32_t rope_check_width(const heed_sink *sink, int64_t width, int64_t d, int64_t rule)
{
    if (width > d)
        return kit_fail(sink, HEED_E_ARGUMENT, "width is %lld, but D is only %lld",
                        (long long)width, (long long)d);
    if (width % 2)
        return kit_fail(sink, HEED_E_ARGUMENT, "width must be even: %lld channels have no pairs",
                        (long long)width);
    if (width < 4 && (rule == KIT_ROTARY_NTK || rule == KIT_ROTARY_DYNAMIC))
        return kit_fail(sink, HEED_E_ARGUMENT,
                        "ntk and dynamic need a width of 4 and more, not %lld", (long long)width);
    return HEED_OK;
}

/* Pairs, as far as known when opened. */
KIT_INLINE int64_t rope_count(const heed_open *open)
{
    int64_t d = HEED_AXIS(open->axis, 'D');
    return open->value[WIDTH].given ? open->value[WIDTH].i / 2 : d > 0 ? d / 2 : 0;
}

KIT_INLINE int32_t rope_measure(const heed_open *open, int64_t rule, uint64_t *bytes)
{
    int64_t d = HEED_AXIS(open->axis, 'D'),
            width = open->value[WIDTH].given ? open->value[WIDTH].i : d;
    *bytes = sizeof(rope) + (uint64_t)kit_lanes(rope_count(open)) * sizeof(double);
    return width < 0 ? HEED_OK : rope_check_width(open->sink, width, d < 0 ? width : d, rule);
}

KIT_INLINE int32_t rope_init(rope *self, const heed_open *open, const kit_rotary *rotary)
{
    self->rotary = *rotary;
    self->amplitude = (float)kit_rotary_amplitude(rotary);
    self->pairs = open->value[PAIRS].i;
    self->width = open->value[WIDTH].given ? open->value[WIDTH].i : 0;
    self->count = rope_count(open);
    if (self->count) kit_rotary_frequencies(&self->rotary, self->theta, 2 * self->count);
    return HEED_OK;
}

static int32_t rope_measure_call(const void *instance, const heed_call *call, heed_call_size *size)
{
    const rope *self = instance;
    int64_t d = HEED_AXIS(call->axis, 'D'), width = self->width ? self->width : d;
    if (self->count != width / 2) size->workspace = (uint64_t)kit_lanes(width / 2) * sizeof(double);
    size->scratch = (uint64_t)scratch_floats(width, d) * sizeof(float);
    return rope_check_width(call->sink, width, d, self->rotary.rule);
}
#endif
