/* SPDX-License-Identifier: MIT
 *
 * attention/adaptive_span: attention to the past as far as each head has learned to look      arXiv 1905.07799, section 2
 *
 *     a[t, r] = m(t - r) e^s[t, r] / sum over q of m(t - q) e^s[t, q],    m(x) = clamp((ramp + z - x) / ramp, 0, 1)
 *
 * over the keys r in [t - limit, t): a query never sees its own. z = limit * span[head]. What a head does not reach
 * costs nothing, nor does it stay in the cache. The authors' code differs in what it counts (the key before has
 * distance 0: distance=code), and it divides by the sum + 1e-8 and lets keys from before the text begin take part as
 * zeros; these two are not offered. The paper's position embeddings are the distance_table: a score is then
 * scale q (k + p[t - r]). One serves all heads and layers; each layer's instance has it packed, twice.
 */
#include "adaptive_span_kernel.h"

enum { SPAN = FLASH_PORT_COUNT, TABLE };
static const heed_port ports[] = {
    FLASH_PORTS,
    [SPAN] = KIT_WEIGHT("span", "H", HEED_INIT_ZEROS, "how far each head looks, in parts of the limit, 0 .. 1"),
    [TABLE] = {sizeof(heed_port), HEED_WEIGHT, HEED_PORT_OPTIONAL, KIT_FLOATS, HEED_SCOPE_STACK, HEED_INIT_NORMAL,
               "distance_table", "P D", "p: a vector for each distance, the nearest first; scores get q p more"},
};

enum { LIMIT = FLASH_PARAM_COUNT, RAMP, DISTANCE, SELF };
static const heed_param params[] = {
    FLASH_PARAMS,
    [LIMIT] = KIT_INT_REQUIRED("limit", 'P', 1, 1 << 24, "the most keys before its own that a query can see"),
    [RAMP] = KIT_FLOAT("ramp", 32, 1e-3, 1e6, "keys over which the weight falls from 1 to 0"),
    [DISTANCE] = KIT_CHOICE("distance", 0, "paper|code", "of the key before: 1 in the paper, 0 in the authors' code"),
    [SELF] = KIT_BOOL("self", 0, "true: a query sees its own key too, at distance 0 in the paper's count"),
};

static int32_t measure(const heed_open *open, uint64_t *bytes)
{
    uint64_t table = 0;
    int32_t failed = kit_flash_table_measure(open, open->weight[TABLE], open->value[SELF].i != 0, &table);
    if (failed) return failed;
    const uint64_t heads = (uint64_t)kit_lanes(open->weight[SPAN]->dim[0]);
    return kit_flash_measure(open, sizeof(adaptive_span) + (heads + table) * sizeof(float), bytes);
}

static int32_t init(void *memory, const heed_open *open)
{
    adaptive_span *s = kit_flash_init(memory, open);
    const heed_tensor *span = open->weight[SPAN];
    s->soft = (kit_flash_soft){.z = s->z, .head = 1, .limit = open->value[LIMIT].i, .ramp = (float)open->value[RAMP].f,
                               .nearest = open->value[DISTANCE].i == 0, .self = open->value[SELF].i};
    if (open->weight[TABLE]) {
        kit_flash_table_pack(&s->table, open->weight[TABLE], s->z + kit_lanes(span->dim[0]));
        s->soft.table = &s->table;
    }
    kit_read_row_scalar(s->z, span->data, span->dtype, span->stride[0], span->dim[0]);
    for (int64_t h = 0; h < span->dim[0]; h++) {
        if (!(s->z[h] >= 0 && s->z[h] <= 1))
            return kit_fail(open->sink, HEED_E_ARGUMENT, "span[%lld] is %g, but it lies in 0 .. 1, parts of the limit",
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

KIT_COST(get_extension, kit_flash_op_cost)

static const heed_path paths[] = {KIT_PATHS_FORWARD};

static const heed_op ops[] = {{
    .size = sizeof(heed_op),
    .masks = HEED_MASK_CAUSAL | HEED_MASK_KEY_LENGTHS | HEED_MASK_DOCUMENTS,
    .id = "attention/adaptive_span",
    .version = "1.0",
    .summary = "attention to the past as far as each head has learned to look, at a cost that follows it",
    .formula = "out = m e^(scale * q k^T) v / sum of m e^(scale * q k^T), over the limit keys before the query's own,\n"
               "m(distance) = clamp((ramp + z - distance) / ramp, 0, 1), z = limit * span[head];\n"
               "with a distance_table p, k is k + p[distance]",
    .reference = "arXiv 1905.07799, section 2\n"
                 "its code counts distances from 0: distance=code; it adds 1e-8 to the sum, and lets zeros from before\n"
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
