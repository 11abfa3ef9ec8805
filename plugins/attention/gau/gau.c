/* SPDX-License-Identifier: MIT
 *
 * attention/gau: out = silu(u) * (A silu(v)), A = relu(q k^T / n)^2
 *                                                         gated attention unit, arXiv 2202.10447, 3
 *
 * q and k are made of one base z = silu(x W_z): an own gain and offset of each channel. u, v and
 * the base come as projections of x, before their silu, as a stack makes them; what is behind `out`
 * is its output projection. One head is meant; several are units side by side, with the same gains
 * and offsets.
 *
 * n is the number of keys that a query sees, so that forms of a call and lengths agree: i + 1 of a
 * causal token i. The official code divides a causal sequence by its whole length too (length=N),
 * which no step of a generation can know.
 */
#include "gau_kernel.h"

static const heed_port ports[] = {
    [Q] = KIT_IN("q", "B T H D", "the base of queries and keys, before its silu"),
    [V] = KIT_IN("v", "B T H E", "values, before their silu"),
    [GATE] = KIT_IN("gate", "B T H E", "what the outputs are multiplied with, before its silu"),
    [KEY_LENGTHS] = KIT_IN_INDEX("key_lengths", "B", HEED_PORT_OPTIONAL,
                                 "keys of each sequence that are valid; all if absent"),
    [DOCUMENTS] = KIT_IN_INDEX("documents", "B T", HEED_PORT_OPTIONAL,
                               "document of each token; a query sees its own document only"),
    [Q_GAIN] = KIT_WEIGHT_OPTIONAL("q_gain", "D", HEED_INIT_ONES,
                                   "factor of each channel of the base, for queries; 1 if absent"),
    [Q_OFFSET] = KIT_WEIGHT_OPTIONAL("q_offset", "D", HEED_INIT_ZEROS, "added then; 0 if absent"),
    [K_GAIN] = KIT_WEIGHT_OPTIONAL("k_gain", "D", HEED_INIT_ONES, "the same for keys"),
    [K_OFFSET] = KIT_WEIGHT_OPTIONAL("k_offset", "D", HEED_INIT_ZEROS, "the same for keys"),
    [OUT] =
        KIT_OUT("out", "B T H E", "for each token, its gate times the weighted sum of the values"),
};

static const heed_param params[] = {
    [BASE] = KIT_INT_AUTO(
        "base", 'D', 1, 1 << 16,
        "width of the base, s, 128 in the paper; as wide as a stack's heads if not given"),
    [WIDTH] = KIT_INT_AUTO("width", 'E', 1, 1 << 20,
                           "of values and gate, e, twice the model's in the paper; the same"),
    [SCALE] = KIT_CHOICE("scale", 0, "length|width",
                         "length: relu(q k / n)^2, the official code; width: relu(q k)^2 / (n s)"),
    [LENGTH] = KIT_INT_AUTO("length", 0, 1, 1 << 30,
                            "n; if not given, the number of keys that a query sees"),
};

static int32_t measure(const heed_open *open, uint64_t *bytes)
{
    *bytes = sizeof(gau);
    for (int w = 0; w < GAU_WEIGHTS; w++)
        if (open->weight[Q_GAIN + w])
            *bytes += (uint64_t)kit_lanes(open->weight[Q_GAIN + w]->dim[0]) * sizeof(float);
    return HEED_OK;
}

static int32_t init(void *memory, const heed_open *open)
{
    gau *self = memory;
    float *room = self->room;
    self->length = open->value[LENGTH].given ? open->value[LENGTH].i : 0;
    self->by_width = open->value[SCALE].i == 1;
    for (int w = 0; w < GAU_WEIGHTS; w++) {
        const heed_tensor *t = open->weight[Q_GAIN + w];
        if (!t) continue;
        kit_read_row_scalar(room, t->data, t->dtype, t->stride[0], t->dim[0]);
        self->weight[w] = room, room += kit_lanes(t->dim[0]);
    }
    return HEED_OK;
}

static int32_t measure_call(const void *instance, const heed_call *call, heed_call_size *size)
{
    const int64_t D = HEED_AXIS(call->axis, 'D'), E = HEED_AXIS(call->axis, 'E'),
                  B = HEED_AXIS(call->axis, 'B');
    const int64_t rows = B * HEED_AXIS(call->axis, 'T') * HEED_AXIS(call->axis, 'H');
    (void)instance;
    size->scratch = kit_flash_scratch(D, E, kit_flash_most_keys(call));
    size->workspace = kit_line(kit_flash_workspace(call->tensor[DOCUMENTS], B)) +
                      (uint64_t)(2 * kit_lanes(rows * D) + kit_lanes(rows * E)) * sizeof(float);
    return HEED_OK;
}

static int32_t measure_state(const void *instance, const int64_t *axis, heed_state_size *size)
{
    (void)instance;
    size->format = "kv/f32";
    size->version = 2;
    size->page_tokens = KIT_FLASH_KEYS;
    size->page_bytes = kit_flash_page(HEED_AXIS(axis, 'H'), HEED_AXIS(axis, 'D'),
                                      HEED_AXIS(axis, 'E')); /* 0: not known */
    return HEED_OK;
}

static int32_t cost(const void *instance, const heed_call *call, heed_cost *c)
{
    gau_call g = gau_begin(instance, call);
    g.f.q = g.f.k = g.base, g.f.v = g.v;
    kit_flash_cost(&g.f, c);
    c->bytes += (double)kit_rows(g.gate) * (double)(g.gate->dim[3] * kit_width(g.gate->dtype)) -
                (double)kit_rows(g.base) *
                    (double)(g.base->dim[3] * kit_width(g.base->dtype)); /* q and k are one */
    return HEED_OK;
}

KIT_COST(get_extension, cost)

static const heed_path paths[] = {KIT_PATHS_BOTH};

static const heed_op ops[] = {{
    .size = sizeof(heed_op),
    .masks = HEED_MASK_CAUSAL | HEED_MASK_KEY_LENGTHS | HEED_MASK_WINDOW | HEED_MASK_PREFIX |
             HEED_MASK_SINKS | HEED_MASK_DOCUMENTS,
    .id = "attention/gau",
    .version = "1.0",
    .summary = "gated attention unit: one base for queries and keys, squared ReLU in place of "
               "softmax, a gate behind",
    .formula =
        "out[i] = silu(gate[i]) * sum_j relu(q'[i] . k'[j] / n)^2 silu(v[j]), over keys that the "
        "mask leaves\n"
        "q' = silu(q) * q_gain + q_offset, k' = silu(q) * k_gain + k_offset, n = those keys of i, "
        "or length=N\n"
        "the official code divides by the sequence's length under a causal mask too: length=N\n"
        "scale=width: relu(q'[i] . k'[j])^2 / (n s)",
    .reference = "arXiv 2202.10447, section 3",
    .ports = KIT_TABLE(ports),
    .params = KIT_TABLE(params),
    .paths = KIT_TABLE(paths),
    .measure = measure,
    .init = init,
    .measure_call = measure_call,
    .measure_state = measure_state,
    .get_extension = get_extension,
}};

KIT_PLUGIN("attention_gau", "MIT", ops)
