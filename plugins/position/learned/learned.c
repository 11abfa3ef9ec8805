/* SPDX-License-Identifier: MIT
 *
 * position/learned: out = x + table[position + offset]                arXiv 1705.03122, section 3.1
 *
 * A row that was learned for each position, as GPT-2 and BERT have it. OPT and BART begin with the
 * third row, which is offset=2: the first two stood for padding. A position that has no row is
 * refused. The work is in learned_kernel.h.
 */
#include "learned_kernel.h"

static const heed_port ports[] = {
    [X] = KIT_IN("x", "B T M", "embeddings"),
    [POSITIONS] = KIT_IN_INDEX("positions", "B T", HEED_PORT_OPTIONAL,
                               "where each token stands; 0 to T-1 if absent"),
    [TABLE] = KIT_WEIGHT("table", "C M", HEED_INIT_NORMAL, "one row for each position"),
    [OUT] = KIT_OUT_IN_PLACE("out", "B T M", "embeddings with their positions"),
};

enum { ROWS, OFFSET };
static const heed_param params[] = {
    [ROWS] = KIT_INT_AUTO("rows", 'C', 1, 1 << 30, "rows of the table; what it has if not given"),
    [OFFSET] = KIT_INT("offset", 0, 0, 1 << 20, "the row of position 0: 2 in OPT and BART"),
};

static int32_t measure(const heed_open *open, uint64_t *bytes)
{
    const int64_t rows = open->weight[TABLE]->dim[0], offset = open->value[OFFSET].i;
    if (offset && offset >= rows)
        return kit_fail(open->sink, HEED_E_ARGUMENT,
                        "offset is %lld, but the table has only %lld rows", (long long)offset,
                        (long long)rows);
    *bytes = sizeof(learned);
    return HEED_OK;
}

static int32_t init(void *memory, const heed_open *open)
{
    learned *self = memory;
    self->table = *open->weight[TABLE];
    self->offset = open->value[OFFSET].i;
    return HEED_OK;
}

/* The rows that are asked for, not the whole table. */
static int32_t cost(const void *instance, const heed_call *call, heed_cost *c)
{
    const learned *self = instance;
    const heed_tensor *x = call->tensor[X];
    const double elements = (double)x->dim[0] * (double)x->dim[1] * (double)x->dim[2];
    c->flops = elements;
    c->bytes = elements * (double)(kit_width(self->table.dtype) + 2 * kit_width(x->dtype));
    return HEED_OK;
}

KIT_COST(get_extension, cost)

static const heed_path paths[] = {KIT_PATHS_BOTH};

static const heed_op ops[] = {{
    .size = sizeof(heed_op),
    .acts = HEED_ACTS_INPUT,
    .id = "position/learned",
    .version = "1.0",
    .summary = "a learned row for each position, added to the input",
    .formula = "out = x + table[position + offset]",
    .reference = "arXiv 1705.03122, section 3.1",
    .ports = KIT_TABLE(ports),
    .params = KIT_TABLE(params),
    .paths = KIT_TABLE(paths),
    .measure = measure,
    .init = init,
    .get_extension = get_extension,
}};

KIT_PLUGIN("position_learned", "MIT", ops)
