/* SPDX-License-Identifier: MIT
 *
 * heed/kit/flash/op.h: what every op on kit/flash/flash.h has: ports, params, and the functions
 * between them and a call. A part of kit/flash/flash.h; an op's own ports and params stand behind
 * these in its tables:
 *
 *     static const heed_port ports[] = {FLASH_PORTS, [SPAN] = KIT_WEIGHT(...)};
 *                                                                 enum { SPAN = FLASH_PORT_COUNT };
 *
 * An instance is a kit_flash_op, and behind it what the variant keeps, which hooks get as
 * f->variant.
 */
#ifndef KIT_HAS_FLASH_OP
#define KIT_HAS_FLASH_OP
#include <heed/kit/flash/shared.h>
#include <heed/kit/flash/cost.h>

#ifndef HEED_KIT_FLASH_OP_ONCE
#define HEED_KIT_FLASH_OP_ONCE

#define FLASH_PORTS                                                                                \
    [FLASH_Q] = KIT_IN("q", "B T H D", "queries"),                                                 \
    [FLASH_K] = KIT_IN("k", "B S G D", "keys; with a state, the new ones"),                        \
    [FLASH_V] = KIT_IN("v", "B S G E", "values"),                                                  \
    [FLASH_KEY_LENGTHS] = KIT_IN_INDEX("key_lengths", "B", HEED_PORT_OPTIONAL,                     \
                                       "keys of each sequence that are valid; all if absent"),     \
    [FLASH_DOCUMENTS] = KIT_IN_INDEX("documents", "B S", HEED_PORT_OPTIONAL,                       \
                                     "document of each key; a query sees its own document only"),  \
    [FLASH_QUERY_DOCUMENTS] =                                                                      \
        KIT_IN_INDEX("query_documents", "B T", HEED_PORT_OPTIONAL,                                 \
                     "document of each query; if absent, that of the key at its position"),        \
    [FLASH_BIAS] = KIT_IN_REPEATS("bias", "B H T S",                                               \
                                  "added to the scores; -inf masks a key; axes of size 1 repeat"), \
    [FLASH_SINK_LOGITS] =                                                                          \
        KIT_WEIGHT_OPTIONAL("sink_logits", "H", HEED_INIT_ZEROS,                                   \
                            "score of one more key of each head, which has no value"),             \
    [FLASH_OUT] = KIT_OUT("out", "B T H E",                                                        \
                          "for each query and head, the mean of the values under its weights"),    \
    [FLASH_LSE] = KIT_OUT_OPTIONAL("lse", "B T H", HEED_BIT(HEED_F32),                             \
                                   "ln of the sum of exp(score), -inf where no key is left")

/* The port of an op that honours HEED_MASK_BLOCKS: the first behind FLASH_PORTS. */
#define FLASH_KEY_BLOCKS FLASH_PORT_COUNT
#define FLASH_BLOCKS                                                                               \
    [FLASH_KEY_BLOCKS] =                                                                           \
        KIT_IN_INDEX("key_blocks", "B I Y", HEED_PORT_OPTIONAL,                                    \
                     "blocks of keys that each block of queries sees, rising, then -1")

#define FLASH_PARAMS                                                                               \
    [FLASH_SCALE] = KIT_FLOAT_AUTO("scale", -1e6, 1e6, "factor of q k; 1 / sqrt(D) if not given"), \
    [FLASH_SOFTCAP] =                                                                              \
        KIT_FLOAT("softcap", 0, 0, 1e6,                                                            \
                  "scores become softcap * tanh(score / softcap), before any bias; 0 = off"),      \
    [FLASH_POSITION] = KIT_OP("position", "position", "a position op that acts on scores"),        \
    [FLASH_CACHE] =                                                                                \
        KIT_OP("cache", "cache", "how keys and values are remembered; as float32 if not given"),   \
    [FLASH_VALUE_CACHE] = KIT_OP("value_cache", "cache", "how values are, if not as keys")

typedef struct kit_flash_op {
    float scale; /* 0: 1 / sqrt(D) */
    float softcap;
    const heed_score *score;
    const void *score_instance;
    const heed_score_grad *score_grad;
    const heed_tensor *sink_logits;
    kit_flash_codec k_codec, v_codec;
    char format[40]; /* of its states */
    int64_t own; /* floats of each tile that the variant wants; set by its init */
    char variant[] __attribute__((aligned(64)));
} kit_flash_op;

KIT_INLINE kit_flash_codec kit_flash_codec_of(const heed_open *open, int param)
{
    const heed_child *child = &open->child[param];
    if (!child->op || !child->path->get_extension) return (kit_flash_codec){NULL, NULL};
    return (kit_flash_codec){child->path->get_extension(HEED_KV_ID), child->instance};
}

/* Bytes of an instance whose variant keeps that many, and what no such op takes. */
KIT_INLINE int32_t kit_flash_measure(const heed_open *open, uint64_t variant, uint64_t *bytes)
{
    const int32_t failed = kit_score_child(open, FLASH_POSITION);
    if (failed) return failed;
    for (int p = FLASH_CACHE; p <= FLASH_VALUE_CACHE; p++)
        if (open->child[p].op && !kit_flash_codec_of(open, p).kv)
            return kit_fail(open->sink, HEED_E_UNSUPPORTED,
                            "%s=%s has no heed.kv/1, so it can not store keys and values",
                            p == FLASH_CACHE ? "cache" : "value_cache", open->child[p].op->id);
    if (open->value[FLASH_SCALE].given && open->value[FLASH_SCALE].f == 0)
        return kit_fail(open->sink, HEED_E_ARGUMENT,
                        "scale is 0, which makes all keys equal; give another number");
    *bytes = sizeof(kit_flash_op) + variant;
    return HEED_OK;
}

/* "kv/f32", "kv/f16", or, where they differ, "kv/int8 f16". */
KIT_INLINE void kit_flash_name_format(kit_flash_op *self)
{
    const char *name[2] = {self->k_codec.kv ? self->k_codec.kv->format : "f32",
                           self->v_codec.kv ? self->v_codec.kv->format : "f32"};
    char *to = self->format;
    memcpy(to, "kv/", 3), to += 3;
    for (int i = 0; i < (strcmp(name[0], name[1]) ? 2 : 1); i++) {
        const size_t n = strlen(name[i]) < 15 ? strlen(name[i]) : 15;
        if (i) *to++ = ' ';
        memcpy(to, name[i], n), to += n;
    }
    *to = 0;
}

/* Returns where the variant keeps what it does. */
KIT_INLINE void *kit_flash_init(void *memory, const heed_open *open)
{
    kit_flash_op *self = memory;
    const heed_child *child = &open->child[FLASH_POSITION];
    self->scale = open->value[FLASH_SCALE].given ? (float)open->value[FLASH_SCALE].f : 0.0f;
    self->softcap = (float)open->value[FLASH_SOFTCAP].f;
    self->score = child->op ? child->path->get_extension(HEED_SCORE_ID) : NULL;
    self->score_instance = child->instance;
    self->score_grad = child->op ? child->path->get_extension(HEED_SCORE_GRAD_ID) : NULL;
    self->sink_logits = open->weight[FLASH_SINK_LOGITS];
    self->k_codec = self->v_codec = kit_flash_codec_of(open, FLASH_CACHE);
    if (open->child[FLASH_VALUE_CACHE].op)
        self->v_codec = kit_flash_codec_of(open, FLASH_VALUE_CACHE);
    kit_flash_name_format(self);
    return self->variant;
}

KIT_INLINE const void *kit_flash_variant(const void *instance)
{
    return ((const kit_flash_op *)instance)->variant;
}

KIT_INLINE kit_flash kit_flash_call(const void *instance, const heed_call *call)
{
    const kit_flash_op *self = instance;
    const heed_tensor *const *t = call->tensor;
    const int64_t D = HEED_AXIS(call->axis, 'D');
    return (kit_flash){
        .call = call,
        .q = t[FLASH_Q],
        .k = t[FLASH_K],
        .v = t[FLASH_V],
        .out = t[FLASH_OUT],
        .lse = t[FLASH_LSE],
        .key_lengths = t[FLASH_KEY_LENGTHS],
        .documents = t[FLASH_DOCUMENTS],
        .query_documents = t[FLASH_QUERY_DOCUMENTS],
        .key_blocks = call->mask->kinds & HEED_MASK_BLOCKS ? t[FLASH_KEY_BLOCKS] : NULL,
        .bias = t[FLASH_BIAS],
        .sink_logits = self->sink_logits,
        .score = self->score,
        .score_instance = self->score_instance,
        .score_grad = self->score_grad,
        .variant = self->variant,
        .own = self->own,
        .k_codec = self->k_codec,
        .v_codec = self->v_codec,
        .softcap = self->softcap,
        .scale = self->scale != 0.0f ? self->scale : (float)(1 / sqrt((double)(D > 0 ? D : 1)))};
}

/* Bytes of the workspace before the results of spans. */
KIT_INLINE uint64_t kit_flash_spans_at(const heed_call *call)
{
    return kit_line(kit_flash_workspace(call->tensor[FLASH_DOCUMENTS], HEED_AXIS(call->axis, 'B')));
}

KIT_INLINE int32_t kit_flash_measure_call(const void *instance, const heed_call *call,
                                          heed_call_size *size)
{
    const kit_flash_op *self = instance;
    const int64_t D = HEED_AXIS(call->axis, 'D'), E = HEED_AXIS(call->axis, 'E');
    const int64_t given = kit_flash_rotates(&self->k_codec) ? KIT_FLASH_ROWS * kit_lanes(D) : 0;
    size->scratch = kit_flash_scratch(D, E, kit_flash_most_keys(call)) +
                    kit_flash_own(D, E, kit_lanes(self->own) + FLASH_CARRIED + given);
    kit_flash f = kit_flash_call(instance, call);
    kit_flash_sizes(&f);
    size->workspace = kit_flash_spans_at(call) + kit_flash_room_of_spans(&f);
    return HEED_OK;
}

/* The version is that of the page's layout, and of the codecs'. */
KIT_INLINE int32_t kit_flash_measure_state(const void *instance, const int64_t *axis,
                                           heed_state_size *size)
{
    const kit_flash_op *self = instance;
    const int64_t D = HEED_AXIS(axis, 'D'), E = HEED_AXIS(axis, 'E');
    const uint32_t k = self->k_codec.kv ? self->k_codec.kv->version : 0,
                   v = self->v_codec.kv ? self->v_codec.kv->version : 0;
    size->format = self->format;
    size->version = 2 + (k << 8) + (v << 16);
    size->page_tokens = KIT_FLASH_KEYS;
    if (D >= 0 && E >= 0)
        size->page_bytes =
            kit_flash_page_of(HEED_AXIS(axis, 'G'), kit_flash_block_bytes(&self->k_codec, D, 1),
                              kit_flash_block_bytes(&self->v_codec, E, 0));
    return HEED_OK;
}

static __attribute__((unused)) int32_t kit_flash_op_cost(const void *instance,
                                                         const heed_call *call, heed_cost *c)
{
    kit_flash f = kit_flash_call(instance, call);
    kit_flash_cost(&f, c);
    return HEED_OK;
}
#endif

/* A call from its tensors to its end: the forward of an op that has nothing to do before. */
static __attribute__((unused)) int32_t KIT(flash_forward)(const void *instance,
                                                          const heed_call *call)
{
    kit_flash f = kit_flash_call(instance, call);
    const int32_t failed = kit_flash_setup(&f);
    if (failed) return failed;
    kit_flash_place_spans(&f, (char *)call->workspace + kit_flash_spans_at(call));
    return KIT(flash_run)(&f);
}
#endif
