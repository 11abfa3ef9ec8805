/* SPDX-License-Identifier: MIT
 *
 * attention/shaw: relative position representations        arXiv 1803.02155, equations 3 and 4
 *
 *     e_ij = q_i (k_j + aK[clip(j - i)]) scale
 *                                       out_i = sum over j of softmax(e)_ij (v_j + aV[clip(j - i)])
 *
 * clip keeps j - i within [-k, k]. The tables belong to a layer and are shared by its heads. The
 * paper and its code (tensor2tensor) agree. Without `relative_values` the second sum is over v
 * alone, which by the paper costs little.
 */
#include "shaw_kernel.h"

static const heed_port ports[] = {
    FLASH_PORTS,
    [RELATIVE_KEYS] =
        KIT_WEIGHT("relative_keys", "R D", HEED_INIT_NORMAL,
                   "aK, for j - i from -k to k; what is further away takes the first or last row"),
    [RELATIVE_VALUES] =
        KIT_WEIGHT_OPTIONAL("relative_values", "R E", HEED_INIT_NORMAL, "aV, in the same order"),
};

enum { DISTANCES = FLASH_PARAM_COUNT };
static const heed_param params[] = {
    FLASH_PARAMS,
    [DISTANCES] = KIT_INT_AUTO("distances", 'R', 3, 65537,
                               "rows of the tables, 2k + 1; what they have if not given"),
};

static int32_t measure(const heed_open *open, uint64_t *bytes)
{
    const heed_tensor *keys = open->weight[RELATIVE_KEYS], *values = open->weight[RELATIVE_VALUES];
    const int64_t rows = keys->dim[0], D = keys->dim[1], E = values ? values->dim[1] : 0,
                  most = 1 << 24;
    if (open->value[FLASH_SOFTCAP].f > 0)
        return kit_fail(open->sink, HEED_E_UNSUPPORTED,
                        "attention/shaw has no softcap: it would cap q k alone");
    if (rows % 2 == 0 || rows < 3 || rows > 65537)
        return kit_fail(open->sink, HEED_E_SHAPE,
                        "relative_keys has %lld rows; for j - i from -k to k they are 2k + 1: odd, "
                        "from 3 to 65537",
                        (long long)rows);
    if (D > most || E > most)
        return kit_fail(open->sink, HEED_E_UNSUPPORTED,
                        "tables of more than 2^24 columns are not offered");
    const int64_t floats =
        kit_flash_table_floats(rows, D) + (values ? kit_flash_table_value_floats(rows, E) : 0);
    return kit_flash_measure(open, sizeof(shaw) + sizeof(float) * (uint64_t)floats, bytes);
}

static int32_t init(void *memory, const heed_open *open)
{
    shaw *self = kit_flash_init(memory, open);
    const heed_tensor *keys = open->weight[RELATIVE_KEYS], *values = open->weight[RELATIVE_VALUES];
    const int64_t rows = keys->dim[0], D = keys->dim[1];
    self->keys = kit_flash_table_in(self->room, -(rows / 2), rows, D);
    kit_flash_table_pack(&self->keys, keys, 1);
    if (!values) return HEED_OK;
    self->values = kit_flash_table_in(self->room + kit_flash_table_floats(rows, D), -(rows / 2),
                                      rows, values->dim[1]);
    kit_flash_table_value_pack(&self->values, values, 1);
    return HEED_OK;
}

/* That of softmax; and each query's products with the tables, of which all are read once. */
static int32_t cost(const void *instance, const heed_call *call, heed_cost *c)
{
    kit_flash f = kit_flash_call(instance, call);
    const shaw *self = f.variant;
    kit_flash_cost(&f, c);
    const double table = (double)self->keys.entries * (double)(f.D + (self->values.rows ? f.E : 0));
    const double more = 2 * (double)(f.B * f.T * f.H) * table;
    c->flops += more;
    c->bytes += 4 * table;
    if (HEED_HAS(c, executed)) c->executed += more;
    return HEED_OK;
}

KIT_COST(get_extension, cost)

static const heed_path paths[] = {KIT_PATHS_BOTH};

static const heed_op ops[] = {{
    .size = sizeof(heed_op),
    .acts = HEED_ACTS_SCORES,
    .masks = HEED_MASK_CAUSAL | HEED_MASK_KEY_LENGTHS | HEED_MASK_WINDOW | HEED_MASK_PREFIX |
             HEED_MASK_SINKS | HEED_MASK_DOCUMENTS,
    .id = "attention/shaw",
    .version = "1.0",
    .summary = "attention with a learned key and value for each clipped distance, tiled and exact, "
               "with a cache",
    .formula =
        "out_i = sum_j softmax_j(scale * q_i (k_j + aK[clip(j - i)])) (v_j + aV[clip(j - i)])",
    .reference = "arXiv 1803.02155, equations 3 and 4",
    .ports = KIT_TABLE(ports),
    .params = KIT_TABLE(params),
    .paths = KIT_TABLE(paths),
    .measure = measure,
    .init = init,
    .measure_call = kit_flash_measure_call,
    .measure_state = kit_flash_measure_state,
    .get_extension = get_extension,
}};

KIT_PLUGIN("attention_shaw", "MIT", ops)
