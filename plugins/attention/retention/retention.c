/* SPDX-License-Identifier: MIT
 *
 * attention/retention: S <- gamma S + k v^T, out = scale q S    retentive network, arXiv 2307.08621
 *
 * gamma is 1 - 2^(-5 - g) for head g of the keys, or one number for all, or, with a gate, e^gate of
 * each token: scalar decays as in Mamba-2 (arXiv 2405.21060). The paper's rotation of queries and
 * keys is a position op in front, its norm of each head's output one behind.
 */
#include "retention_kernel.h"

static const heed_port ports[] = {
    LINEAR_PORTS,
    [GATE] = KIT_IN_OPTIONAL("gate", "B S G",
                             "log decay at each token, at most 0, in place of the head's"),
};

enum { DECAY, SCALE };
static const heed_param params[] = {
    [DECAY] = KIT_FLOAT_AUTO("decay", 1e-6, 1,
                             "gamma of all heads; 1 - 2^(-5 - g) for head g if not given"),
    [SCALE] = KIT_FLOAT_AUTO("scale", -1e6, 1e6, "factor of the outputs; 1 / sqrt(D) if not given"),
};

static int32_t measure(const heed_open *open, uint64_t *bytes)
{
    if (open->value[SCALE].given && open->value[SCALE].f == 0)
        return kit_fail(open->sink, HEED_E_ARGUMENT,
                        "scale is 0, which makes all outputs 0; give another number");
    *bytes = kit_linear_bytes(sizeof(retention));
    return HEED_OK;
}

static int32_t init(void *memory, const heed_open *open)
{
    kit_linear_op *op = memory;
    op->map = LINEAR_IDENTITY;
    op->decays = op->by_width = 1;
    op->scale = open->value[SCALE].given ? (float)open->value[SCALE].f : 0.0f;
    ((retention *)op->variant)->decay = open->value[DECAY].given ? open->value[DECAY].f : 0;
    return HEED_OK;
}

static int32_t measure_call(const void *instance, const heed_call *call, heed_call_size *size)
{
    kit_linear l = retention_call(instance, call);
    return kit_linear_size(&l, size);
}

static int32_t cost(const void *instance, const heed_call *call, heed_cost *c)
{
    kit_linear l = retention_call(instance, call);
    return kit_linear_cost(&l, c);
}
KIT_COST(get_extension, cost)

static const heed_path paths[] = {KIT_PATHS_FORWARD};

static const heed_op ops[] = {{
    .size = sizeof(heed_op),
    .masks = LINEAR_MASKS,
    .id = "attention/retention",
    .version = "1.0",
    .summary = "linear attention whose past decays by a number for each head, or for each token",
    .formula = "S <- gamma S + k v^T, out = scale q S\n"
               "gamma = 1 - 2^(-5 - g) for head g, or decay, or e^gate of the token",
    .reference =
        "arXiv 2307.08621, section 2.2; a decay from the input: arXiv 2405.21060, section 5",
    .ports = KIT_TABLE(ports),
    .params = KIT_TABLE(params),
    .paths = KIT_TABLE(paths),
    .measure = measure,
    .init = init,
    .measure_call = measure_call,
    .measure_state = kit_linear_measure_state,
    .get_extension = get_extension,
}};

KIT_PLUGIN("attention_retention", "MIT", ops)
