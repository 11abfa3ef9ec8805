/* SPDX-License-Identifier: MIT
 *
 * attention/softmax: out = softmax(scale q k^T) v
 *                                             scaled dot-product attention, arXiv 1706.03762, 3.2.1
 *
 * Many heads of queries may share one head of keys and values (grouped queries, arXiv 2305.13245):
 * G divides H, and query head h uses group h / (H / G). The cache keeps keys and values as float32.
 */
#include "softmax_kernel.h"

static const heed_port ports[] = {FLASH_PORTS, FLASH_BLOCKS};
static const heed_param params[] = {FLASH_PARAMS};

static int32_t measure(const heed_open *open, uint64_t *bytes)
{
    return kit_flash_measure(open, 0, bytes);
}

static int32_t init(void *memory, const heed_open *open)
{
    kit_flash_init(memory, open);
    return HEED_OK;
}

KIT_COST(get_extension, kit_flash_op_cost)

static const heed_path paths[] = {
    KIT_PATHS_BOTH,
#if defined __x86_64__
    {sizeof(heed_path), HEED_PATH_INEXACT, HEED_CPU_AVX2 | HEED_CPU_AVX512 | HEED_CPU_AVX512_BF16,
     "avx512_bf16", forward_avx512_bf16, extension_avx512}, /* its error: kit/flash/bf16.h */
#elif defined __aarch64__ && !defined __clang__
    {sizeof(heed_path), HEED_PATH_INEXACT, HEED_CPU_NEON | HEED_CPU_NEON_BF16, "neon_bf16",
     forward_neon_bf16, extension_neon},
#endif
};

static const heed_op ops[] = {{
    .size = sizeof(heed_op),
    .masks = HEED_MASK_CAUSAL | HEED_MASK_KEY_LENGTHS | HEED_MASK_WINDOW | HEED_MASK_PREFIX |
             HEED_MASK_SINKS | HEED_MASK_DOCUMENTS | HEED_MASK_BLOCKS,
    .id = "attention/softmax",
    .version = "1.0",
    .summary = "scaled dot-product attention, tiled and exact, with grouped queries and a cache",
    .formula = "out = softmax(scale * q k^T) v, over the keys that the mask leaves",
    .reference =
        "arXiv 1706.03762, section 3.2.1; tiling arXiv 2205.14135; groups arXiv 2305.13245",
    .ports = KIT_TABLE(ports),
    .params = KIT_TABLE(params),
    .paths = KIT_TABLE(paths),
    .measure = measure,
    .init = init,
    .measure_call = kit_flash_measure_call,
    .measure_state = kit_flash_measure_state,
    .get_extension = get_extension,
}};

KIT_PLUGIN("attention_softmax", "MIT", ops)
