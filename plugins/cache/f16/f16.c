/* SPDX-License-Identifier: MIT
 *
 * cache/f16: 11 bits of precision, up to 65504, rounded to the nearest. A finite number beyond the range
 * becomes the largest of its sign. The maths is in f16_kernel.h.
 */
#include "f16_kernel.h"

static const heed_path paths[] = {KIT_PATHS_EXTENSION};

static const heed_op ops[] = {{
    .size = sizeof(heed_op),
    .id = "cache/f16",
    .version = "1.0",
    .summary = "keys and values of a cache as IEEE half precision: 2 bytes for each number",
    .formula = "each number becomes the nearest of 11 bits of precision, up to 65504",
    .reference = "IEEE 754-2008, binary16",
    .paths = KIT_TABLE(paths),
    .measure = kit_no_measure,
    .init = kit_no_init,
}};

KIT_PLUGIN("cache_f16", "MIT", ops)
