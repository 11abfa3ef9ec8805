/* SPDX-License-Identifier: MIT
 *
 * cache/int4: integers of 4 bits with a scale for each 32 channels of a row: 4.5 bits a number. Keys
 * are rotated before, and queries with them. The maths is in int4_kernel.h.
 */
#include "int4_kernel.h"

static const heed_path paths[] = {KIT_PATHS_EXTENSION};

static const heed_op ops[] = {{
    .size = sizeof(heed_op),
    .id = "cache/int4",
    .version = "1.0",
    .summary = "keys and values of a cache as 4-bit integers, with a scale for each 32 channels; "
               "keys are rotated by a Hadamard matrix before",
    .formula = "q = round(x / scale) in -8 .. 7, scale = -1/8 of the number of the 32 that is "
               "farthest from 0; decoded, scale q; x is a value, or H k for the Hadamard matrix H",
    .reference = "arXiv 2404.00456, section 3; Q4_0 of GGUF",
    .paths = KIT_TABLE(paths),
    .measure = kit_no_measure,
    .init = kit_no_init,
}};

KIT_PLUGIN("cache_int4", "MIT", ops)
