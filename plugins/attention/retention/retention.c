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
    [SCALE] = LINEAR_SCALE,
};

static int32_t measure(const heed_open *open, uint64_t *bytes)
{
    *bytes = kit_linear_bytes(sizeof(retention));
    return kit_linear_factor(open, SCALE, "scale");
}

static int32_t init(void *memory, const heed_open *open)
{
    kit_linear_op *op = memory;
    op->gate = GATE;
    op->map = LINEAR_IDENTITY;
    op->decays = op->by_width = 1;
    op->scale = open->value[SCALE].given ? (float)open->value[SCALE].f : 0.0f;
    ((retention *)op->variant)->decay = open->value[DECAY].given ? open->value[DECAY].f : 0;
    return HEED_OK;
}

static const heed_path paths[] = {KIT_PATHS_FORWARD};

static const heed_op ops[] = {{
    LINEAR_OP,
    .id = "attention/retention",
    .version = "1.0",
    .summary = "linear attention whose past decays by a number for each head, or for each token",
    .formula = "S <- gamma S + k v^T, out = scale q S\n"
               "gamma = 1 - 2^(-5 - g) for head g, or decay, or e^gate of the token",
    .reference =
        "arXiv 2307.08621, section 2.2; a decay from the input: arXiv 2405.21060, section 5",
}};

KIT_PLUGIN("attention_retention", "MIT", ops)
