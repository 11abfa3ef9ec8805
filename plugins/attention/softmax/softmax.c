/* SPDX-License-Identifier: MIT
 *
 * attention/softmax: out = softmax(scale q k^T) v                     scaled dot-product attention, arXiv 1706.03762, 3.2.1
 *
 * Many heads of queries may share one head of keys and values (grouped queries, arXiv 2305.13245): G divides H, and query
 * head h uses group h / (H / G). The cache keeps keys and values as float32.
 */
#include "softmax_kernel.h"

static const heed_port ports[] = {
    [Q] = KIT_IN("q", "B T H D", "queries"),
    [K] = KIT_IN("k", "B S G D", "keys; with a state, the new ones"),
    [V] = KIT_IN("v", "B S G E", "values"),
    [KEY_LENGTHS] =
        KIT_IN_INDEX("key_lengths", "B", HEED_PORT_OPTIONAL, "keys of each sequence that are valid; all if absent"),
    [DOCUMENTS] = KIT_IN_INDEX("documents", "B S", HEED_PORT_OPTIONAL,
                               "document of each key; a query sees its own document only"),
    [QUERY_DOCUMENTS] = KIT_IN_INDEX("query_documents", "B T", HEED_PORT_OPTIONAL,
                                     "document of each query; if absent, that of the key at its position"),
    [BIAS] = KIT_IN_REPEATS("bias", "B H T S", "added to the scores; -inf masks a key; axes of size 1 repeat"),
    [SINK_LOGITS] = KIT_WEIGHT_OPTIONAL("sink_logits", "H", HEED_INIT_ZEROS,
                                        "score of one more key of each head, which has no value"),
    [OUT] = KIT_OUT("out", "B T H E", "for each query and head, the mean of the values under its weights"),
    [LSE] =
        KIT_OUT_OPTIONAL("lse", "B T H", HEED_BIT(HEED_F32), "ln of the sum of exp(score), -inf where no key is left"),
};

static const heed_param params[] = {
    [SCALE] = KIT_FLOAT_AUTO("scale", -1e6, 1e6, "factor of q k; 1 / sqrt(D) if not given"),
    [SOFTCAP] =
        KIT_FLOAT("softcap", 0, 0, 1e6, "scores become softcap * tanh(score / softcap), before any bias; 0 = off"),
    [POSITION] = KIT_OP("position", "position", "a position op that acts on scores"),
};

static int32_t measure(const heed_open *open, uint64_t *bytes)
{
    const heed_child *child = &open->child[POSITION];
    if (child->op && (!child->path->get_extension || !child->path->get_extension(HEED_SCORE_ID)))
        return kit_fail(open->sink, HEED_E_UNSUPPORTED,
                        "position=%s does not act on scores; a stack applies it elsewhere", child->op->id);
    if (open->value[SCALE].given && open->value[SCALE].f == 0)
        return kit_fail(open->sink, HEED_E_ARGUMENT, "scale is 0, which makes all keys equal; give another number");
    *bytes = sizeof(softmax);
    return HEED_OK;
}

static int32_t init(void *memory, const heed_open *open)
{
    softmax *self = memory;
    const heed_child *child = &open->child[POSITION];
    self->scale = open->value[SCALE].given ? (float)open->value[SCALE].f : 0.0f;
    self->softcap = (float)open->value[SOFTCAP].f;
    self->score = child->op ? child->path->get_extension(HEED_SCORE_ID) : NULL;
    self->score_instance = child->instance;
    self->sink_logits = open->weight[SINK_LOGITS];
    return HEED_OK;
}

static int32_t measure_call(const void *instance, const heed_call *call, heed_call_size *size)
{
    (void)instance;
    size->scratch = kit_flash_scratch(HEED_AXIS(call->axis, 'D'), HEED_AXIS(call->axis, 'E'));
    size->workspace = kit_flash_workspace(call->tensor[DOCUMENTS], HEED_AXIS(call->axis, 'B'));
    return HEED_OK;
}

static int32_t measure_state(const void *instance, const int64_t *axis, heed_state_size *size)
{
    (void)instance;
    size->format = "kv/f32";
    size->version = 1;
    size->page_tokens = KIT_FLASH_KEYS;
    size->page_bytes =
        kit_flash_page(HEED_AXIS(axis, 'G'), HEED_AXIS(axis, 'D'), HEED_AXIS(axis, 'E')); /* 0: not known */
    return HEED_OK;
}

static int32_t cost(const void *instance, const heed_call *call, heed_cost *c)
{
    kit_flash f = softmax_call(instance, call);
    kit_flash_cost(&f, c);
    return HEED_OK;
}

KIT_COST(get_extension, cost)

static const heed_path paths[] = {
    KIT_PATHS_FORWARD,
#if defined __x86_64__
    {sizeof(heed_path), HEED_PATH_INEXACT, HEED_CPU_AVX2 | HEED_CPU_AVX512 | HEED_CPU_AVX512_BF16, "avx512_bf16",
     forward_avx512_bf16, NULL}, /* its error: kit/flash_bf16.h */
#endif
};

static const heed_op ops[] = {{
    .size = sizeof(heed_op),
    .masks = HEED_MASK_CAUSAL | HEED_MASK_KEY_LENGTHS | HEED_MASK_WINDOW | HEED_MASK_PREFIX | HEED_MASK_SINKS |
             HEED_MASK_DOCUMENTS,
    .id = "attention/softmax",
    .version = "1.0",
    .summary = "scaled dot-product attention, tiled and exact, with grouped queries and a cache",
    .formula = "out = softmax(scale * q k^T) v, over the keys that the mask leaves",
    .reference = "arXiv 1706.03762, section 3.2.1; tiling arXiv 2205.14135; groups arXiv 2305.13245",
    .ports = KIT_TABLE(ports),
    .params = KIT_TABLE(params),
    .paths = KIT_TABLE(paths),
    .measure = measure,
    .init = init,
    .measure_call = measure_call,
    .measure_state = measure_state,
    .get_extension = get_extension,
}};

KIT_PLUGIN("attention_softmax", "MIT", ops)
