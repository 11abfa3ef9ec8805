/* SPDX-License-Identifier: MIT
 *
 * attention/dynamic_span: attention to the past as far as each token asks for
 *                                                                       arXiv 1905.07799, section 2
 *
 *     z[t, head] = limit sigmoid(span_weight[head] . x[t] + span_bias[head])
 *
 * and then as attention/adaptive_span with that z; distance, ramp, self and distance_table are its
 * too. A bias of -4 is what the authors begin training with.
 */
#include "dynamic_span_kernel.h"
#include <heed/kit/flash/span_op.h>
#include <heed/kit/flash/span_field.h>

static const heed_port ports[] = {
    FLASH_PORTS,
    [X] = KIT_IN("x", "B T M", "the layer's input, from which each token's reach follows"),
    [WEIGHT] = KIT_WEIGHT("span_weight", "H M", HEED_INIT_NORMAL,
                          "how far a token looks: its input's part"),
    [BIAS] = KIT_WEIGHT("span_bias", "H", HEED_INIT_ZEROS, "how far every token looks"),
    [TABLE] = FLASH_SOFT_TABLE,
    [REACH] = KIT_OUT_OPTIONAL("reach", "B T H", HEED_BIT(HEED_F32),
                               "how far each token looks, z, in tokens"),
};

static const heed_param params[] = {FLASH_PARAMS, FLASH_SOFT_PARAMS};

static int32_t measure(const heed_open *open, uint64_t *bytes)
{
    return kit_flash_soft_measure(open, open->weight[TABLE], sizeof(dynamic_span), bytes);
}

static int32_t init(void *memory, const heed_open *open)
{
    dynamic_span *s = kit_flash_init(memory, open);
    s->soft = kit_flash_soft_init(open, open->weight[TABLE], &s->table, s->room);
    s->weight = open->weight[WEIGHT];
    s->bias = open->weight[BIAS];
    return HEED_OK;
}

static int32_t measure_call(const void *instance, const heed_call *call, heed_call_size *size)
{
    const int64_t *axis = call->axis;
    int32_t failed = kit_flash_measure_call(instance, call, size);
    size->workspace = dynamic_before(call) +
                      sizeof(float) * (uint64_t)(HEED_AXIS(axis, 'B') * HEED_AXIS(axis, 'T') *
                                                 HEED_AXIS(axis, 'H'));
    return failed;
}

static int32_t measure_state(const void *instance, const int64_t *axis, heed_state_size *size)
{
    const dynamic_span *s = kit_flash_variant(instance);
    size->recent = s->soft.limit;
    size->flags = HEED_STATE_CAUSAL;
    return kit_flash_measure_state(instance, axis, size);
}

/* The cost knows no x: as if every token looked to the limit. */
KIT_COST_FIELD(get_extension, kit_flash_op_cost, kit_flash_soft_field)

static const heed_path paths[] = {KIT_PATHS_BOTH};

static const heed_op ops[] = {{
    .size = sizeof(heed_op),
    .masks = HEED_MASK_CAUSAL | HEED_MASK_KEY_LENGTHS | HEED_MASK_DOCUMENTS,
    .id = "attention/dynamic_span",
    .version = "1.0",
    .summary =
        "attention to the past as far as each token asks for, by a soft mask on the distance",
    .formula = "z = limit * sigmoid(span_weight x + span_bias) of each token and head; then as "
               "attention/adaptive_span",
    .reference = "arXiv 1905.07799, section 2, dynamic attention span; distance=code counts as the "
                 "authors' code does",
    .ports = KIT_TABLE(ports),
    .params = KIT_TABLE(params),
    .paths = KIT_TABLE(paths),
    .measure = measure,
    .init = init,
    .measure_call = measure_call,
    .measure_state = measure_state,
    .get_extension = get_extension,
}};

KIT_PLUGIN("attention_dynamic_span", "MIT", ops)
