/* SPDX-License-Identifier: MIT
 *
 * attention/synthesizer_mixture: out = softmax(sum over m of alpha_m S_m) v
 *                                                                     arXiv 2005.00743, section 3.3
 *
 * The logits of two to four attentions are mixed, not what they give:
 * synthesizer_mixture(synthesizer_dense, softmax). The shares alpha, of each head or of all, are
 * the softmax of learned numbers. The official code has two members, one number a for a layer, and
 * 1 / (1 + e^-a) for the share of one: alpha_b = a. It can also add them as they are: combine=sum.
 */
#include "synthesizer_mixture_kernel.h"

static const heed_port ports[] = {
    SYNTHESIZER_PORTS,
    [Q] = KIT_IN_OPTIONAL("q", "B T H D", "queries, for members that take them"),
    [K] = KIT_IN_OPTIONAL("k", "B T G D",
                          "keys, for members that take them; with a state, the new ones"),
    [ALPHA] = KIT_WEIGHT_OPTIONAL(
        "alpha_a", "Q", HEED_INIT_ZEROS,
        "of each head, or one for all: the share of a is exp(alpha_a) / sum; 0 if absent"),
    [ALPHA + 1] = KIT_WEIGHT_OPTIONAL("alpha_b", "Q", HEED_INIT_ZEROS, "the same for b"),
    [ALPHA + 2] = KIT_WEIGHT_OPTIONAL("alpha_c", "Q", HEED_INIT_ZEROS, "the same for c"),
    [ALPHA + 3] = KIT_WEIGHT_OPTIONAL("alpha_d", "Q", HEED_INIT_ZEROS, "the same for d"),
};

#define MEMBER_REQUIRED(key, doc)                                                                  \
    {                                                                                              \
        sizeof(heed_param), HEED_PARAM_OP, HEED_PARAM_REQUIRED, 0, 0, 0, 0, key, "attention", doc  \
    }
static const heed_param params[] = {
    MEMBER_REQUIRED("a", "an attention that tells its scores: softmax, or a synthesizer"),
    MEMBER_REQUIRED("b", "another one"),
    KIT_OP("c", "attention", "one more"),
    KIT_OP("d", "attention", "one more"),
    [COMBINE] = KIT_CHOICE("combine", 0, "shares|sum",
                           "shares: by alpha; sum: scores are added as they are"),
};

static int32_t measure(const heed_open *open, uint64_t *bytes)
{
    int64_t heads = 1;
    for (int m = 0; m < MEMBERS; m++) {
        const heed_child *child = &open->child[m];
        const heed_tensor *alpha = open->weight[ALPHA + m];
        const int extended = child->op && child->path->get_extension;
        const heed_score *score = extended ? child->path->get_extension(HEED_SCORE_ID) : NULL;
        if (alpha && !child->op)
            return kit_fail(open->sink, HEED_E_ARGUMENT,
                            "the weight alpha_%c is for the member %c, and there is none", 'a' + m,
                            'a' + m);
        if (alpha && open->value[COMBINE].i)
            return kit_fail(open->sink, HEED_E_ARGUMENT,
                            "the weight alpha_%c is given, and combine=sum takes none", 'a' + m);
        if (alpha) heads = alpha->dim[0];
        if (!child->op) continue;
        if (!score || !score->fills || !HEED_HAS(score, fits) || !score->fits)
            return kit_fail(open->sink, HEED_E_UNSUPPORTED,
                            "%c=%s does not tell its scores; softmax and the synthesizers do",
                            'a' + m, child->op->id);
        const heed_score_fit fit = {.size = sizeof fit,
                                    .heads = HEED_AXIS(open->axis, 'H'),
                                    .query_width = -1,
                                    .key_width = -1,
                                    .sink = open->sink};
        int32_t failed = score->fits(child->instance, &fit);
        if (failed) return failed;
    }
    *bytes = sizeof(mixture) + (uint64_t)heads * MEMBERS * sizeof(float);
    return HEED_OK;
}

/* The shares of one head. */
static void shares(const heed_open *open, int64_t head, float *share)
{
    double e[MEMBERS], most = -INFINITY, sum = 0;
    for (int m = 0; m < MEMBERS; m++) {
        const heed_tensor *alpha = open->weight[ALPHA + m];
        float a = 0.0f;
        if (alpha) kit_read_row_scalar(&a, kit_at(alpha, &head, 1), alpha->dtype, 1, 1);
        e[m] = open->child[m].op ? (double)a : -INFINITY;
        if (!(e[m] <= most)) most = e[m];
    }
    for (int m = 0; m < MEMBERS; m++) sum += e[m] = open->child[m].op ? exp(e[m] - most) : 0;
    for (int m = 0; m < MEMBERS; m++)
        share[m] = open->value[COMBINE].i ? (float)(e[m] != 0) : (float)(e[m] / sum);
}

static int32_t init(void *memory, const heed_open *open)
{
    mixture *self = memory;
    self->heads = 1;
    for (int m = 0; m < MEMBERS; m++) {
        const heed_child *child = &open->child[m];
        self->member[m] = child->instance;
        self->score[m] = child->op ? child->path->get_extension(HEED_SCORE_ID) : NULL;
        if (open->weight[ALPHA + m]) self->heads = open->weight[ALPHA + m]->dim[0];
    }
    for (int64_t h = 0; h < self->heads; h++) shares(open, h, self->share + h * MEMBERS);
    return HEED_OK;
}

static int32_t measure_call(const void *instance, const heed_call *call, heed_call_size *size)
{
    (void)instance;
    return synthesizer_size(
        call, call->tensor[Q] || call->tensor[K] ? HEED_AXIS(call->axis, 'D') : 0, 0, size);
}

static int32_t measure_state(const void *instance, const int64_t *axis, heed_state_size *size)
{
    const int64_t D = HEED_AXIS(axis, 'D');
    int32_t failed = synthesizer_state(instance, axis, size);
    size->format = D < 0 ? "v/f32" : "kv/f32"; /* the width of keys is known where there are some */
    size->version = D < 0 ? 1 : 2;
    size->page_bytes = kit_flash_page(HEED_AXIS(axis, 'G'), D < 0 ? 0 : D, HEED_AXIS(axis, 'E'));
    return failed;
}

static int32_t cost(const void *instance, const heed_call *call, heed_cost *c)
{
    kit_flash f = mixture_call(instance, call);
    kit_flash_cost(&f, c);
    return HEED_OK;
}

KIT_COST(get_extension, cost)

static const heed_path paths[] = {KIT_PATHS_BOTH};

static const heed_op ops[] = {{
    .size = sizeof(heed_op),
    .masks = SYNTHESIZER_MASKS,
    .id = "attention/synthesizer_mixture",
    .version = "1.0",
    .summary = "attention by a mixture of the logits of others",
    .formula = "out[i] = sum_j softmax_j(sum_m share[m, h] S_m[h, i, j]) v[j], over the keys that "
               "the mask leaves\n"
               "share = softmax over the members of alpha[m, h]; S_m are the scores of member m, "
               "with its own scale",
    .reference =
        "arXiv 2005.00743, section 3.3; mesh transformer/attention.py, synthetic_attention, "
        "modes random_plus_alpha and dense_plus_alpha",
    .ports = KIT_TABLE(ports),
    .params = KIT_TABLE(params),
    .paths = KIT_TABLE(paths),
    .measure = measure,
    .init = init,
    .measure_call = measure_call,
    .measure_state = measure_state,
    .get_extension = get_extension,
}};

KIT_PLUGIN("attention_synthesizer_mixture", "MIT", ops)
