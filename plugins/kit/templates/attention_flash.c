/* SPDX-License-Identifier: MIT
 *
 * attention/@NAME@: out = softmax(scale q k^T) v, over the keys that the mask leaves
 *                                                                  arXiv 1706.03762, section 3.2.1
 */
#include <heed/kit.h>
#include <heed/kit/flash/flash.h> /* tells of the hooks, which stand in front of it */

#ifdef KIT_FIRST /* once; what stands outside is compiled for every path */
static const heed_param params[] = {FLASH_PARAMS}; /* yours follow, from FLASH_PARAM_COUNT on */

/* Yours follow: [FLASH_PORT_COUNT] = KIT_WEIGHT(...). */
static const heed_port ports[] = {FLASH_PORTS};

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
#endif

static int32_t KIT(forward)(const void *instance, const heed_call *call)
{
    return KIT(flash_forward)(instance, call);
}

/* The backward, which is right while hooks narrow what a row sees, or add to scores what depends on
 * no input; flash/backward.h has twins for others, and heed check holds it against the oracle's
 * slopes. Without one: KIT_PATHS_FORWARD. */
#include <heed/kit/flash/backward.h>
static const void *KIT(extension)(const char *id)
{
    static const heed_grad grad = KIT_FLASH_GRAD;
    return strcmp(id, HEED_GRAD_ID) == 0 ? &grad : NULL;
}

#include <heed/kit/next.h>
#ifdef KIT_AGAIN
#include __FILE_NAME__
#else
static const heed_path paths[] = {KIT_PATHS_BOTH};

static const heed_op ops[] = {{
    .size = sizeof(heed_op),
    .masks = HEED_MASK_CAUSAL | HEED_MASK_KEY_LENGTHS | HEED_MASK_WINDOW | HEED_MASK_PREFIX |
             HEED_MASK_SINKS | HEED_MASK_DOCUMENTS,
    .id = "attention/@NAME@",
    .version = "0.1",
    .summary = "scaled dot-product attention, to be changed",
    .formula = "out = softmax(scale * q k^T) v, over the keys that the mask leaves",
    .reference = "arXiv 1706.03762, section 3.2.1",
    .ports = KIT_TABLE(ports),
    .params = KIT_TABLE(params),
    .paths = KIT_TABLE(paths),
    .measure = measure,
    .init = init,
    .measure_call = kit_flash_measure_call,
    .measure_state = kit_flash_measure_state,
    .get_extension = get_extension,
}};

KIT_PLUGIN("attention_@NAME@", "MIT", ops)
#endif
