/* SPDX-License-Identifier: MIT
 *
 * compare/rows: how alike two rows are: the cosine of the angle between them, or how far they are
 * apart
 *
 * For who measures a network: the similarity of what flows between its layers, and what a change of
 * its text changes there. The maths is in rows_kernel.h.
 */
#include "rows_kernel.h"

static const heed_port ports[] = {
    [X] = KIT_IN("x", "... M", "a row each"),
    [Y] = KIT_IN("y", "... M", "the row that it is compared with"),
    [OUT] = KIT_OUT_OF("out", "...", HEED_BIT(HEED_F32), "one number for each pair"),
};

static const heed_param params[] = {
    [BY] = KIT_CHOICE("by", BY_COSINE, "cosine|distance", "what is told of a pair"),
};

static int32_t measure(const heed_open *open, uint64_t *bytes)
{
    (void)open;
    *bytes = sizeof(compare);
    return HEED_OK;
}

static int32_t init(void *memory, const heed_open *open)
{
    ((compare *)memory)->by = open->value[BY].i;
    return HEED_OK;
}

static const heed_path paths[] = {KIT_PATHS_FORWARD};

static const heed_op ops[] = {{
    .size = sizeof(heed_op),
    .id = "compare/rows",
    .version = "1.0",
    .summary = "how alike two rows are: the cosine between them, or their distance",
    .formula = "out = x.y / (|x| |y|), 0 where a row is; or |x - y|",
    .reference = "Salton and McGill 1983, section 4.1",
    .ports = KIT_TABLE(ports),
    .params = KIT_TABLE(params),
    .paths = KIT_TABLE(paths),
    .measure = measure,
    .init = init,
}};

KIT_PLUGIN("compare_rows", "MIT", ops)
