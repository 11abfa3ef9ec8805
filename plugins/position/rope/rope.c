/* SPDX-License-Identifier: MIT
 *
 * position/rope: the pair (a, b) number k of a vector at position p is turned by the angle p
 * base^(-2k/width):
 *   a' = a cos - b sin,  b' = a sin + b cos                 RoFormer, arXiv 2104.09864, section 3.2
 *
 * A pair is (2k, 2k+1), as in RoFormer, GPT-J and Mistral's reference, or (k, k + width/2), as in
 * NeoX and most LLaMA ports. Channels from `width` on stay as they are. The maths is in
 * rope_kernel.h.
 */
#include "rope_kernel.h"

static const heed_port ports[] = {
    [X] = KIT_IN("x", "B T H D", "queries or keys"),
    [POSITIONS] = KIT_IN_INDEX("positions", "B T", HEED_PORT_OPTIONAL,
                               "where each token stands; 0 to T-1 if absent"),
    [OUT] = KIT_OUT_IN_PLACE("out", "B T H D", "the turned vectors"),
};

static const heed_param params[] = {
    [BASE] = KIT_FLOAT("base", 10000, 1, 1e18,
                       "the slowest pair turns about `base` times slower than the first"),
    [PAIRS] = KIT_CHOICE("pairs", INTERLEAVED, "interleaved|half",
                         "which channels turn together: (2k, 2k+1) or (k, k + width/2)"),
    [WIDTH] = KIT_INT_AUTO("width", 0, 2, 1 << 24,
                           "channels that turn, an even number; left alone, all of D"),
};

static int32_t check(int64_t width, int64_t d, const heed_sink *sink)
{
    if (width > d)
        return kit_fail(sink, HEED_E_ARGUMENT, "width is %lld, but D is only %lld",
                        (long long)width, (long long)d);
    if (width % 2)
        return kit_fail(sink, HEED_E_ARGUMENT, "width must be even: %lld channels have no pairs",
                        (long long)width);
    return HEED_OK;
}

/* Pairs, as far as known when opened. */
static int64_t count(const heed_open *open)
{
    int64_t d = HEED_AXIS(open->axis, 'D');
    return open->value[WIDTH].given ? open->value[WIDTH].i / 2 : d > 0 ? d / 2 : 0;
}

static int32_t measure(const heed_open *open, uint64_t *bytes)
{
    int64_t d = HEED_AXIS(open->axis, 'D'),
            width = open->value[WIDTH].given ? open->value[WIDTH].i : d;
    *bytes = sizeof(rope) + (uint64_t)kit_lanes(count(open)) * sizeof(double);
    return width < 0 ? HEED_OK : check(width, d < 0 ? width : d, open->sink);
}

static int32_t init(void *memory, const heed_open *open)
{
    rope *self = memory;
    self->base = open->value[BASE].f;
    self->pairs = open->value[PAIRS].i;
    self->width = open->value[WIDTH].given ? open->value[WIDTH].i : 0;
    self->count = count(open);
    kit_frequencies(self->theta, self->count, self->base, 2, 2 * (double)self->count);
    return HEED_OK;
}

static int32_t measure_call(const void *instance, const heed_call *call, heed_call_size *size)
{
    const rope *self = instance;
    int64_t d = HEED_AXIS(call->axis, 'D'), width = self->width ? self->width : d;
    if (self->count != width / 2) size->workspace = (uint64_t)kit_lanes(width / 2) * sizeof(double);
    size->scratch = (uint64_t)scratch_floats(width, d) * sizeof(float);
    return check(width, d, call->sink);
}

static const heed_path paths[] = {KIT_PATHS_FORWARD};

static const heed_op ops[] = {{
    .size = sizeof(heed_op),
    .acts = HEED_ACTS_QK,
    .id = "position/rope",
    .version = "1.0",
    .summary = "rotary positions: pairs of channels turn with the position",
    .formula = "a' = a cos(p t_k) - b sin(p t_k), b' = a sin(p t_k) + b cos(p t_k), t_k = "
               "base^(-2k/width)",
    .reference = "arXiv 2104.09864, section 3.2",
    .ports = KIT_TABLE(ports),
    .params = KIT_TABLE(params),
    .paths = KIT_TABLE(paths),
    .measure = measure,
    .init = init,
    .measure_call = measure_call,
}};

KIT_PLUGIN("position_rope", "MIT", ops)
