/* SPDX-License-Identifier: MIT
 *
 * residual/add: out = alpha x + y           arXiv 1512.03385, section 3.2; alpha: arXiv 2203.00555
 *
 * The work is in add_kernel.h. Pre-norm, post-norm and the rest are wirings of the stack around it.
 */
#include "add_kernel.h"

static const heed_port ports[] = {
    [X] = KIT_IN("x", "... M", "the stream"),
    [Y] = KIT_IN("y", "... M", "what a layer adds to it"),
    [OUT] = KIT_OUT_IN_PLACE("out", "... M", "the sum"),
};

static const heed_param params[] = {
    [ALPHA] = KIT_FLOAT("alpha", 1, -1e6, 1e6, "factor of the stream, as in DeepNorm"),
};

static int32_t measure(const heed_open *open, uint64_t *bytes)
{
    (void)open;
    *bytes = sizeof(add);
    return HEED_OK;
}

static int32_t init(void *memory, const heed_open *open)
{
    ((add *)memory)->alpha = (float)open->value[ALPHA].f;
    return HEED_OK;
}

static const heed_path paths[] = {KIT_PATHS_BOTH};

static const heed_op ops[] = {{
    .size = sizeof(heed_op),
    .id = "residual/add",
    .version = "1.0",
    .summary = "the sum of a stream and what a layer adds to it",
    .formula = "out = alpha x + y",
    .reference = "arXiv 1512.03385, section 3.2; alpha: arXiv 2203.00555",
    .ports = KIT_TABLE(ports),
    .params = KIT_TABLE(params),
    .paths = KIT_TABLE(paths),
    .measure = measure,
    .init = init,
}};

KIT_PLUGIN("residual_add", "MIT", ops)
