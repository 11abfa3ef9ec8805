/* SPDX-License-Identifier: MIT
 *
 * heed/kit/linear/op.h: what every op on kit/linear/linear.h has: ports, the functions between them
 * and a call, and what they are to its descriptor. A part of it; an op's own ports stand behind
 * these in its table, and its init says which of them are strength and gate:
 *
 *     enum { BETA = LINEAR_PORT_COUNT };
 *     static const heed_port ports[] = {LINEAR_PORTS, [BETA] = LINEAR_BETA};     op->beta = BETA;
 *     static const heed_op ops[] = {{LINEAR_OP, .id = "attention/mine", ...}};
 *
 * An instance is a kit_linear_op, and behind it what the variant keeps, which hooks get as
 * l->variant.
 */
#ifndef KIT_HAS_LINEAR_OP
#define KIT_HAS_LINEAR_OP
#include <heed/kit/linear/run.h>
#ifndef HEED_KIT_LINEAR_OP_ONCE
#define HEED_KIT_LINEAR_OP_ONCE
#include <heed/kit/linear/run.h>

#include <heed/abi/network.h>

#define LINEAR_PORTS                                                                               \
    [LINEAR_Q] = KIT_IN("q", "B T H D", "queries"),                                                \
    [LINEAR_K] = KIT_IN("k", "B S G D", "keys; with a state, the new ones"),                       \
    [LINEAR_V] = KIT_IN("v", "B S G E", "values"),                                                 \
    [LINEAR_KEY_LENGTHS] = KIT_IN_INDEX("key_lengths", "B", HEED_PORT_OPTIONAL,                    \
                                        "keys of each sequence that are valid; all if absent"),    \
    [LINEAR_OUT] = KIT_OUT("out", "B T H E", "for each query and head, what it reads")
#define LINEAR_MASKS (HEED_MASK_CAUSAL | HEED_MASK_KEY_LENGTHS)

/* Of a descriptor all but its texts, from the tables ports, params and paths, and the functions
 * measure and init. An op that needs more for a call writes out its own. */
#define LINEAR_OP LINEAR_OP_WITH(kit_linear_extension)
#define LINEAR_OP_WITH(extension)                                                                  \
    .size = sizeof(heed_op), .masks = LINEAR_MASKS, .ports = KIT_TABLE(ports),                     \
    .params = KIT_TABLE(params), .paths = KIT_TABLE(paths), .measure = measure, .init = init,      \
    .measure_call = kit_linear_measure_call, .measure_state = kit_linear_measure_state,            \
    .get_extension = extension

/* Of an op with a strength or a gate that may not be any number: the function `extension` that says,
 * with rows {LINEAR_MADE, port, param, choices}, what a network may make. */
#define LINEAR_MADE sizeof(heed_network_input), 0
#define LINEAR_NETWORK(extension, ...)                                                             \
    static const void *extension(const char *id)                                                   \
    {                                                                                              \
        static const heed_network_input made[] = {__VA_ARGS__};                                    \
        static const heed_network network = {sizeof network, 0, KIT_TABLE(made)};                  \
        return strcmp(id, HEED_NETWORK_ID) ? kit_linear_extension(id) : &network;                  \
    }

/* A port of strengths and what it has; the factor of the outputs, where it is 1 / sqrt(D) if nobody
 * says: rows of tables. */
#define LINEAR_BETA                                                                                \
    KIT_IN_OPTIONAL("beta", "B S G", "strength of each write, or its logit; strength 1 if absent")
#define LINEAR_BETA_IS                                                                             \
    KIT_CHOICE("beta", 0, "sigmoid|given",                                                         \
               "what the port has: the strength's logit, or the strength")
#define LINEAR_SCALE                                                                               \
    KIT_FLOAT_AUTO("scale", -1e6, 1e6, "factor of the outputs; 1 / sqrt(D) if not given")

/* Refuses a factor that was given as 0. */
static __attribute__((unused)) int32_t kit_linear_factor(const heed_open *open, int param,
                                                         const char *key)
{
    if (!open->value[param].given || open->value[param].f != 0) return HEED_OK;
    return kit_fail(open->sink, HEED_E_ARGUMENT,
                    "%s is 0, which makes all outputs 0; give another number", key);
}

/* Bytes of an instance whose variant keeps that many. */
KIT_INLINE uint64_t kit_linear_bytes(uint64_t variant) { return sizeof(kit_linear_op) + variant; }

KIT_INLINE kit_linear kit_linear_call(const void *instance, const heed_call *call)
{
    const kit_linear_op *op = instance;
    const heed_tensor *const *t = call->tensor;
    return (kit_linear){.call = call,
                        .op = op,
                        .variant = op->variant,
                        .q = t[LINEAR_Q],
                        .k = t[LINEAR_K],
                        .v = t[LINEAR_V],
                        .key_lengths = t[LINEAR_KEY_LENGTHS],
                        .beta = op->beta ? t[op->beta] : NULL,
                        .gate = op->gate ? t[op->gate] : NULL,
                        .out = t[LINEAR_OUT]};
}

/* What a call needs. */
static __attribute__((unused)) int32_t kit_linear_size(kit_linear *l, heed_call_size *size)
{
    const int32_t failed = kit_linear_setup(l);
    if (failed) return failed;
    kit_linear_work w;
    size->scratch = (uint64_t)kit_linear_scratch(l, &w, NULL) * sizeof(float);
    if (l->blocks)
        size->workspace = (uint64_t)(l->B * l->G * l->blocks * kit_linear_block(l)) * sizeof(float);
    else if (l->call->state && l->S > KIT_LINEAR_CHUNK)
        size->workspace = (uint64_t)l->B * kit_linear_slot(l->G, l->F, l->E);
    return HEED_OK;
}

static __attribute__((unused)) int32_t
kit_linear_measure_call(const void *instance, const heed_call *call, heed_call_size *size)
{
    kit_linear l = kit_linear_call(instance, call);
    return kit_linear_size(&l, size);
}

/* The state: two records of each head of keys. Only what is at most 32 to 63 tokens back can be
 * gone back to. */
static __attribute__((unused)) int32_t
kit_linear_measure_state(const void *instance, const int64_t *axis, heed_state_size *size)
{
    const int64_t G = HEED_AXIS(axis, 'G'), D = HEED_AXIS(axis, 'D'), E = HEED_AXIS(axis, 'E');
    size->format = "linear/f32/c32";
    size->version = 1;
    size->recent = KIT_LINEAR_CHUNK;
    size->page_bytes =
        G <= 0 || D < 0 || E < 0 ? 0 : 2 * kit_linear_slot(G, kit_linear_features(instance, D), E);
    return HEED_OK;
}

/* Multiply-adds of the rule, from shapes: each key is written, each query reads, and a delta rule
 * reads for each key. `executed` has besides what rows of a chunk have to do with each other. */
static __attribute__((unused)) int32_t kit_linear_cost(kit_linear *l, heed_cost *c)
{
    const int32_t failed = kit_linear_setup(l);
    if (failed) return failed;
    double keys = 0;
    for (int64_t b = 0; b < l->B; b++)
        keys += (double)(l->call->state || (l->key_lengths && !l->key_lengths->data)
                             ? l->S
                             : kit_linear_keys(l, b));
    const double F = (double)l->F, E = (double)l->E, C = KIT_LINEAR_CHUNK,
                 queries = (double)(l->B * l->T * l->H);
    const double writes = keys * (double)l->G, all = queries + (l->op->delta ? 2 : 1) * writes;
    c->flops = 2 * F * E * all + (l->op->normalise ? 2 * F * (queries + writes) : 0);
    c->bytes = queries * (double)(l->D * kit_width(l->q->dtype) + l->E * 4) +
               writes * (double)(l->D * kit_width(l->k->dtype) + l->E * kit_width(l->v->dtype));
    if (l->call->state) { /* S is read by each chunk, and the rows that are open; half of them on
                             average */
        const double sequences = (double)(l->B * l->G);
        c->bytes += sequences * 4 * (F * (double)l->E16 + C / 2 * (F + E));
    }
    c->receptive_field = (double)l->S;
    if (!HEED_HAS(c, algorithm)) return HEED_OK;
    const double inside = queries + (l->op->delta ? writes : 0);
    c->executed = c->flops + (l->causal ? 2 * (C + 1) / 2 * (F + E) * inside : 0);
    c->algorithm = l->causal ? "chunks of 32 tokens, panels of 32 channels"
                             : "one sum over all keys, then the queries";
    return HEED_OK;
}

static __attribute__((unused)) int32_t kit_linear_op_cost(const void *instance,
                                                          const heed_call *call, heed_cost *c)
{
    kit_linear l = kit_linear_call(instance, call);
    return kit_linear_cost(&l, c);
}
__attribute__((unused)) KIT_COST(kit_linear_extension, kit_linear_op_cost)
#endif

#endif
