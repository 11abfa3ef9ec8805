/* SPDX-License-Identifier: MIT
 *
 * position/rope: the pair (a, b) number k of a vector at position p is turned by the angle p
 * base^(-2k/width):
 *   a' = a cos - b sin,  b' = a sin + b cos                 RoFormer, arXiv 2104.09864, section 3.2
 *
 * A pair is (2k, 2k+1), as in RoFormer, GPT-J and Mistral's reference, or (k, k + width/2), as in
 * NeoX and most LLaMA ports. Channels from `width` on stay as they are. The frequencies are in
 * kit/position/rotary.h, what this op shares with position/rope_scaled and position/longrope in
 * rope_op.h, and the maths in rope_kernel.h.
 */
#include "rope_op.h"

static const heed_port ports[] = {ROPE_PORTS};

static const heed_param params[] = {
    [BASE] = ROPE_PARAM_BASE,
    [PAIRS] = ROPE_PARAM_PAIRS,
    [WIDTH] = ROPE_PARAM_WIDTH,
};

static int32_t measure(const heed_open *open, uint64_t *bytes)
{
    return rope_measure(open, KIT_ROTARY_NONE, bytes);
}

static int32_t init(void *memory, const heed_open *open)
{
    return rope_init(memory, open, &(kit_rotary){.base = open->value[BASE].f});
}

static const heed_path paths[] = {KIT_PATHS_BOTH};

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
    .measure_call = rope_measure_call,
}};

KIT_PLUGIN("position_rope", "MIT", ops)
