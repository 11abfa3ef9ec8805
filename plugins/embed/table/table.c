/* SPDX-License-Identifier: MIT
 *
 * embed/table: out = scale table[token]                               arXiv 1706.03762, section 3.4
 *
 * The work is in table_kernel.h.
 */
#include "table_kernel.h"

static const heed_port ports[] = {
    [TOKENS] = KIT_IN_INDEX("tokens", "...", 0, "which row of the table, from 0"),
    [TABLE] =
        KIT_MATRIX("table", "V M", HEED_INIT_NORMAL, "one row for each token of the vocabulary"),
    [OUT] = KIT_OUT("out", "... M", "the rows"),
};

static const heed_param params[] = {
    [SCALE] = KIT_FLOAT("scale", 1, -1e6, 1e6, "factor of the rows, as the square root of M"),
};

static int32_t measure(const heed_open *open, uint64_t *bytes)
{
    (void)open;
    *bytes = sizeof(embed);
    return HEED_OK;
}

static int32_t init(void *memory, const heed_open *open)
{
    ((embed *)memory)->table = *open->weight[TABLE];
    ((embed *)memory)->scale = (float)open->value[SCALE].f;
    return HEED_OK;
}

/* The rows that are asked for, not the whole table. */
static int32_t cost(const void *instance, const heed_call *call, heed_cost *c)
{
    const embed *self = instance;
    const heed_tensor *tokens = call->tensor[TOKENS];
    double rows = 1, M = (double)HEED_AXIS(call->axis, 'M');
    for (int i = 0; i < tokens->rank; i++) rows *= (double)tokens->dim[i];
    c->bytes =
        rows * (M * (double)(kit_width(self->table.dtype) + 4) + (double)kit_width(tokens->dtype));
    return HEED_OK;
}

KIT_COST(get_extension, cost)

static const heed_path paths[] = {KIT_PATHS_BOTH};

static const heed_op ops[] = {{
    .size = sizeof(heed_op),
    .id = "embed/table",
    .version = "1.0",
    .summary = "rows of a table, one for each token",
    .formula = "out = scale table[token]",
    .reference = "arXiv 1706.03762, section 3.4",
    .ports = KIT_TABLE(ports),
    .params = KIT_TABLE(params),
    .paths = KIT_TABLE(paths),
    .measure = measure,
    .init = init,
    .get_extension = get_extension,
}};

KIT_PLUGIN("embed_table", "MIT", ops)
