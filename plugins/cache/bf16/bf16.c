/* SPDX-License-Identifier: MIT
 *
 * cache/bf16: 8 bits of precision, and the range of float32, rounded to the nearest. A finite number beyond the range
 * becomes the largest of its sign. The maths is in bf16_kernel.h.
 */
#include "bf16_kernel.h"

static const heed_path paths[] = {KIT_PATHS_EXTENSION};

static const heed_op ops[] = {{
    .size = sizeof(heed_op),
    .id = "cache/bf16",
    .version = "1.0",
    .summary = "keys and values of a cache as bfloat16: 2 bytes for each number",
    .formula = "each number becomes the nearest of 8 bits of precision, and the range of float32",
    .reference = "arXiv 1905.12322",
    .paths = KIT_TABLE(paths),
    .measure = kit_no_measure,
    .init = kit_no_init,
}};

KIT_PLUGIN("cache_bf16", "MIT", ops)
