/* SPDX-License-Identifier: MIT
 *
 * activation/softcap: out = cap tanh(x / cap)                          Gemma 2, arXiv 2408.00118
 *
 * Logits that can not leave (-cap, cap). The maths is in softcap_kernel.h.
 */
#include "softcap_kernel.h"

static const heed_port ports[] = {
    [X] = KIT_IN("x", "... M", "each number on its own"),
    [OUT] = KIT_OUT_IN_PLACE("out", "... M", "between -cap and cap"),
};

static const heed_param params[] = {
    [CAP] = KIT_FLOAT("cap", 30, 1e-6, 1e6, "what the outputs stay below"),
};

static int32_t measure(const heed_open *open, uint64_t *bytes)
{
    (void)open;
    *bytes = sizeof(softcap);
    return HEED_OK;
}

static int32_t init(void *memory, const heed_open *open)
{
    ((softcap *)memory)->cap = (float)open->value[CAP].f;
    return HEED_OK;
}

static const heed_path paths[] = {KIT_PATHS_BOTH};

static const heed_op ops[] = {{
    .size = sizeof(heed_op),
    .id = "activation/softcap",
    .version = "1.0",
    .summary = "numbers bent so that they stay below a cap",
    .formula = "out = cap tanh(x / cap)",
    .reference = "arXiv 2408.00118, section 2",
    .ports = KIT_TABLE(ports),
    .params = KIT_TABLE(params),
    .paths = KIT_TABLE(paths),
    .measure = measure,
    .init = init,
}};

KIT_PLUGIN("activation_softcap", "MIT", ops)
