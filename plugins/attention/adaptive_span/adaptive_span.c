/* SPDX-License-Identifier: MIT
 *
 * attention/adaptive_span: attention to the past as far as each head has learned to look
 *                                                                       arXiv 1905.07799, section 2
 *
 *     a[t, r] = m(t - r) e^s[t, r] / sum over q of m(t - q) e^s[t, q],
 *                                                         m(x) = clamp((ramp + z - x) / ramp, 0, 1)
 *
 * over the keys r in [t - limit, t): a query never sees its own. z = limit * span[head]. What a
 * head does not reach costs nothing, nor does it stay in the cache. The authors' code differs in
 * what it counts (the key before has distance 0: distance=code), and it divides by the sum + 1e-8
 * and lets keys from before the text begin take part as zeros; these two are not offered. The
 * paper's position embeddings are the distance_table: a score is then scale q (k + p[t - r]). One
 * serves all heads and layers.
 */
#include "adaptive_span_kernel.h"
#include <heed/kit/flash/span_op.h>
#include <heed/kit/flash/span_field.h>

static const heed_port ports[] = {
    FLASH_PORTS,
    [SPAN] = KIT_WEIGHT("span", "H", HEED_INIT_ZEROS,
                        "how far each head looks, in parts of the limit, 0 .. 1"),
    [TABLE] = FLASH_SOFT_TABLE,
};

static const heed_param params[] = {FLASH_PARAMS, FLASH_SOFT_PARAMS};

static int32_t measure(const heed_open *open, uint64_t *bytes)
{
    const uint64_t heads = (uint64_t)kit_lanes(open->weight[SPAN]->dim[0]);
    return kit_flash_soft_measure(open, open->weight[TABLE],
                                  sizeof(adaptive_span) + heads * sizeof(float), bytes);
}

static int32_t init(void *memory, const heed_open *open)
{
    adaptive_span *s = kit_flash_init(memory, open);
    const heed_tensor *span = open->weight[SPAN];
    s->soft =
        kit_flash_soft_init(open, open->weight[TABLE], &s->table, s->z + kit_lanes(span->dim[0]));
    s->soft.z = s->z, s->soft.head = 1;
    kit_read_row_scalar(s->z, span->data, span->dtype, span->stride[0], span->dim[0]);
    for (int64_t h = 0; h < span->dim[0]; h++) {
        if (!(s->z[h] >= 0 && s->z[h] <= 1))
            return kit_fail(open->sink, HEED_E_ARGUMENT,
                            "span[%lld] is %g, but it lies in 0 .. 1, parts of the limit",
                            (long long)h, (double)s->z[h]);
        s->z[h] *= (float)s->soft.limit;
        kit_flash_live x = {0, INT64_MAX, 0, 0};
        kit_flash_soft_range(&s->soft, 0, 0, h, s->soft.limit, &x);
        if (s->soft.limit - x.first > s->most) s->most = s->soft.limit - x.first;
    }
    return HEED_OK;
}

static int32_t measure_state(const void *instance, const int64_t *axis, heed_state_size *size)
{
    const adaptive_span *s = kit_flash_variant(instance);
    size->recent = s->most ? s->most : 1;
    size->flags = HEED_STATE_CAUSAL;
    return kit_flash_measure_state(instance, axis, size);
}

KIT_COST_FIELD(get_extension, kit_flash_op_cost, kit_flash_soft_field)

static const heed_path paths[] = {KIT_PATHS_BOTH};

static const heed_op ops[] = {{
    .size = sizeof(heed_op),
    .masks = HEED_MASK_CAUSAL | HEED_MASK_KEY_LENGTHS | HEED_MASK_DOCUMENTS,
    .id = "attention/adaptive_span",
    .version = "1.0",
    .summary =
        "attention to the past as far as each head has learned to look, at a cost that follows it",
    .formula = "out = m e^(scale * q k^T) v / sum of m e^(scale * q k^T), over the limit keys "
               "before the query's own,\n"
               "m(distance) = clamp((ramp + z - distance) / ramp, 0, 1), z = limit * span[head];\n"
               "with a distance_table p, k is k + p[distance]",
    .reference = "arXiv 1905.07799, section 2\n"
                 "its code counts distances from 0: distance=code; it adds 1e-8 to the sum, and "
                 "lets zeros from before\n"
                 "the text take part: not here",
    .ports = KIT_TABLE(ports),
    .params = KIT_TABLE(params),
    .paths = KIT_TABLE(paths),
    .measure = measure,
    .init = init,
    .measure_call = kit_flash_measure_call,
    .measure_state = measure_state,
    .get_extension = get_extension,
}};

KIT_PLUGIN("attention_adaptive_span", "MIT", ops)
