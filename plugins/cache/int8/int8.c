/* SPDX-License-Identifier: MIT
 *
 * cache/int8: integers of 8 bits with a scale for each row of each head: a number is off by half a
 * 127th of its row's largest at most. The maths is in int8_kernel.h.
 */
#include "int8_kernel.h"

static const heed_path paths[] = {KIT_PATHS_EXTENSION};

static const heed_op ops[] = {{
    .size = sizeof(heed_op),
    .id = "cache/int8",
    .version = "1.0",
    .summary = "keys and values of a cache as 8-bit integers, with a scale for each row and head",
    .formula = "q = round(x / scale), scale = max |x| / 127 of the row; decoded, scale q",
    .reference = "arXiv 2402.02750, section 3.1, of tokens",
    .paths = KIT_TABLE(paths),
    .measure = kit_no_measure,
    .init = kit_no_init,
}};

KIT_PLUGIN("cache_int8", "MIT", ops)
