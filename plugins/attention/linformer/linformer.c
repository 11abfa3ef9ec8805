/* SPDX-License-Identifier: MIT
 *
 * attention/linformer: out = softmax(scale q (E k)^T) (F v), E and F [J, C]
 *                                                                      arXiv 2006.04768, section 4
 *
 * The keys of a sequence are mixed into J slots by a learned table, and its values by another, so
 * that attention costs T J in place of T S. A table has a column for each position up to a longest
 * one; a shorter sequence uses the first. The tables may be of each head, or one for all
 * (matrices=1); F may be E (leave f out); and all layers of a network may share them: "stack.e",
 * "stack.f". These are the paper's ways of sharing, and go together.
 *
 * A slot holds something of every position, also of those that come after a query: there is no
 * causal form.
 */
#include "linformer_kernel.h"

static const heed_port ports[] = {
    [Q] = KIT_IN("q", "B T H D", "queries"),
    [K] = KIT_IN("k", "B S G D", "keys"),
    [V] = KIT_IN("v", "B S G E", "values"),
    [KEY_LENGTHS] = KIT_IN_INDEX("key_lengths", "B", HEED_PORT_OPTIONAL,
                                 "keys of each sequence that are valid; all if absent"),
    [TABLE_K] =
        {sizeof(heed_port), HEED_WEIGHT, 0, KIT_FLOATS, HEED_SCOPE_STACK, HEED_INIT_NORMAL, "e",
         "W J C",
         "E of each head of keys, or one for all: a slot's share of the key at each position"},
    [TABLE_V] = {sizeof(heed_port), HEED_WEIGHT, HEED_PORT_OPTIONAL, KIT_FLOATS, HEED_SCOPE_STACK,
                 HEED_INIT_NORMAL, "f", "W J C", "F, the same for values; E if absent"},
    [OUT] = KIT_OUT("out", "B T H E",
                    "for each query and head, the mean of the slots' values under its weights"),
};

static const heed_param params[] = {
    [SLOTS] = KIT_INT_AUTO("slots", 'J', 1, 1 << 20,
                           "J, that a sequence is mixed into; the weights tell"),
    [LONGEST] = KIT_INT_AUTO("longest", 'C', 1, 1 << 24,
                             "positions that the tables have; the weights tell"),
    [MATRICES] =
        KIT_INT_AUTO("matrices", 'W', 1, 1 << 20, "tables of each head of keys; 1: one for all"),
    [SCALE] = KIT_FLOAT_AUTO("scale", -1e6, 1e6, "factor of q (E k); 1 / sqrt(D) if not given"),
    [CAUSAL] = KIT_BOOL("causal", 0,
                        "true is refused: a slot holds something of what comes after a query"),
};

static int32_t measure(const heed_open *open, uint64_t *bytes)
{
    if (open->value[CAUSAL].i)
        return kit_fail(open->sink, HEED_E_UNSUPPORTED,
                        "causal=true can not be: every slot mixes all positions, so a query would "
                        "see what comes after "
                        "it; attention/linear is linear and causal");
    if (open->value[SCALE].given && open->value[SCALE].f == 0)
        return kit_fail(open->sink, HEED_E_ARGUMENT,
                        "scale is 0, which makes all slots equal; give another number");
    if (open->weight[TABLE_K]->dim[1] < 1)
        return kit_fail(open->sink, HEED_E_SHAPE,
                        "the table e has no slots (axis J is 0), and at least 1 is needed");
    *bytes = sizeof(linformer);
    return HEED_OK;
}

static int32_t init(void *memory, const heed_open *open)
{
    linformer *self = memory;
    self->table[0] = open->weight[TABLE_K];
    self->table[1] = open->weight[TABLE_V] ? open->weight[TABLE_V] : open->weight[TABLE_K];
    self->scale = open->value[SCALE].given ? (float)open->value[SCALE].f : 0.0f;
    return HEED_OK;
}

static int32_t measure_call(const void *instance, const heed_call *call, heed_call_size *size)
{
    const linformer *self = instance;
    const int64_t *axis = call->axis, S = HEED_AXIS(axis, 'S'), G = HEED_AXIS(axis, 'G');
    const int64_t D = HEED_AXIS(axis, 'D'), E = HEED_AXIS(axis, 'E'), W = self->table[0]->dim[0];
    const int64_t J = self->table[0]->dim[1], C = self->table[0]->dim[2];
    if (S > C)
        return kit_fail(call->sink, HEED_E_SHAPE,
                        "there are %lld keys (axis S), and the tables have positions for %lld "
                        "(longest)",
                        (long long)S, (long long)C);
    if (W != 1 && W != G)
        return kit_fail(call->sink, HEED_E_SHAPE,
                        "there are tables for %lld heads, and k has %lld; one would be for all "
                        "(matrices=1)",
                        (long long)W, (long long)G);
    size->scratch = kit_flash_scratch(D, E, J);
    if (linformer_scratch() > size->scratch) size->scratch = linformer_scratch();
    size->workspace =
        sizeof(float) * (uint64_t)(HEED_AXIS(axis, 'B') * G * J * (kit_lanes(D) + kit_lanes(E)));
    return HEED_OK;
}

/* Both projections and both products of attention; tensors and tables moved once. */
static int32_t cost(const void *instance, const heed_call *call, heed_cost *c)
{
    const linformer *self = instance;
    const int64_t *axis = call->axis;
    const double B = (double)HEED_AXIS(axis, 'B'), T = (double)HEED_AXIS(axis, 'T'),
                 S = (double)HEED_AXIS(axis, 'S');
    const double H = (double)HEED_AXIS(axis, 'H'), G = (double)HEED_AXIS(axis, 'G'),
                 J = (double)self->table[0]->dim[1];
    const double D = (double)HEED_AXIS(axis, 'D'), E = (double)HEED_AXIS(axis, 'E'),
                 W = (double)self->table[0]->dim[0];
    const heed_tensor *const *t = call->tensor;
    c->flops = 2 * B * J * (D + E) * (G * S + H * T);
    c->bytes =
        B * S * G * (D * (double)kit_width(t[K]->dtype) + E * (double)kit_width(t[V]->dtype)) +
        B * T * H * (D * (double)kit_width(t[Q]->dtype) + E * 4) +
        W * J * S * (double)kit_width(self->table[0]->dtype) *
            (self->table[0] == self->table[1] ? 1 : 2);
    c->receptive_field = S;
    return HEED_OK;
}

KIT_COST(get_extension, cost)

static const heed_path paths[] = {KIT_PATHS_BOTH};

static const heed_op ops[] = {{
    .size = sizeof(heed_op),
    .masks = HEED_MASK_KEY_LENGTHS,
    .id = "attention/linformer",
    .version = "1.0",
    .summary = "Linformer: attention over a fixed number of slots, into which learned tables mix "
               "keys and values",
    .formula = "out = softmax(scale * q (E k)^T) (F v), over the J slots; no causal form\n"
               "E k: slot j of head g is the sum over positions n of e[g or 0, j, n] k[n, g]; F v "
               "the same with f\n"
               "the official code projects a layer's input before its keys and values are made of "
               "it, which is the\n"
               "same but for their bias",
    .reference =
        "arXiv 2006.04768, section 4; fairseq examples/linformer, multihead_linear_attention.py",
    .ports = KIT_TABLE(ports),
    .params = KIT_TABLE(params),
    .paths = KIT_TABLE(paths),
    .measure = measure,
    .init = init,
    .measure_call = measure_call,
    .get_extension = get_extension,
}};

KIT_PLUGIN("attention_linformer", "MIT", ops)
