/* SPDX-License-Identifier: MIT
 *
 * position/longrope: position/rope with a speed for each pair               arXiv 2402.13753, 3.2
 *
 * Two lists of factors, for texts up to `original` tokens and for longer ones, are weights; they say
 * how many channels turn. Which of them counts is said by `length`, once and for all: cached keys are
 * turned already.
 */
#include "rope_op.h"

enum { SHORT_FACTORS = OUT + 1, LONG_FACTORS };
static const heed_port ports[] = {
    ROPE_PORTS,
    [SHORT_FACTORS] = KIT_WEIGHT("short_factors", "R", HEED_INIT_ONES,
                                 "how much slower each pair turns, up to `original` tokens"),
    [LONG_FACTORS] = KIT_WEIGHT("long_factors", "R", HEED_INIT_ONES, "the same beyond them"),
};

enum { LISTED = WIDTH, FACTOR, ORIGINAL, LENGTH, ATTENTION_FACTOR };
static const heed_param params[] = {
    [BASE] = ROPE_PARAM_BASE,
    [PAIRS] = ROPE_PARAM_PAIRS,
    [LISTED] = KIT_INT_AUTO("listed", 'R', 1, 1 << 23,
                            "pairs that turn, the first ones; as many as the lists are long"),
    [FACTOR] =
        KIT_FLOAT("factor", 1, 1, 1e6, "how many times longer texts may be than those trained on"),
    [ORIGINAL] = KIT_INT("original", 4096, 2, 1 << 30, "tokens trained on"),
    [LENGTH] = KIT_INT("length", 1, 1, 1 << 30,
                       "tokens that it is used for: above `original` the long list counts"),
    [ATTENTION_FACTOR] = ROPE_PARAM_ATTENTION_FACTOR(""),
};

static kit_rotary longrope_of(const heed_value *value)
{
    return (kit_rotary){
        .rule = KIT_ROTARY_LONGROPE,
        .base = value[BASE].f,
        .factor = value[FACTOR].f,
        .original = value[ORIGINAL].f,
        .length = value[LENGTH].f,
        .attention_factor = rope_number(&value[ATTENTION_FACTOR], 0),
    };
}

/* Factor k of the list that counts for this length. */
static double listed(const heed_open *open, int64_t k)
{
    const kit_rotary r = longrope_of(open->value);
    const heed_tensor *list = open->weight[r.length > r.original ? LONG_FACTORS : SHORT_FACTORS];
    float factor = 1;
    if (list->data) kit_read_row_scalar(&factor, kit_at(list, &k, 1), list->dtype, 1, 1);
    return (double)factor;
}

static int32_t measure(const heed_open *open, uint64_t *bytes)
{
    const int64_t n = open->weight[SHORT_FACTORS]->dim[0], d = HEED_AXIS(open->axis, 'D');
    for (int64_t k = 0; k < n; k++)
        if (!(listed(open, k) > 0 && listed(open, k) <= (double)FLT_MAX))
            return kit_fail(open->sink, HEED_E_ARGUMENT,
                            "factor %lld of the list is %g, but it must be above 0 and finite",
                            (long long)k, listed(open, k));
    *bytes = sizeof(rope) + (uint64_t)(kit_lanes(n) + n) * sizeof(double);
    return d < 0 ? HEED_OK : rope_check_width(open->sink, 2 * n, d, KIT_ROTARY_LONGROPE);
}

static int32_t init(void *memory, const heed_open *open)
{
    rope *self = memory;
    self->rotary = longrope_of(open->value);
    self->amplitude = (float)kit_rotary_amplitude(&self->rotary);
    self->pairs = open->value[PAIRS].i;
    self->count = open->weight[SHORT_FACTORS]->dim[0];
    self->width = 2 * self->count;
    double *factors = self->theta + kit_lanes(self->count);
    for (int64_t k = 0; k < self->count; k++) factors[k] = listed(open, k);
    self->rotary.list = factors;
    kit_rotary_frequencies(&self->rotary, self->theta, self->width);
    return HEED_OK;
}

static const heed_path paths[] = {KIT_PATHS_BOTH};

static const heed_op ops[] = {{
    .size = sizeof(heed_op),
    .acts = HEED_ACTS_QK,
    .id = "position/longrope",
    .version = "1.0",
    .summary = "rotary positions, each pair slowed by a factor of its own",
    .formula = "as position/rope with t_k = base^(-2k/width) / list[k], width = 2 R, times\n"
               "sqrt(1 + ln(factor) / ln(original)); the list is that for `length` tokens",
    .reference = "arXiv 2402.13753, section 3.2, and its code",
    .ports = KIT_TABLE(ports),
    .params = KIT_TABLE(params),
    .paths = KIT_TABLE(paths),
    .measure = measure,
    .init = init,
    .measure_call = rope_measure_call,
}};

KIT_PLUGIN("position_longrope", "MIT", ops)
