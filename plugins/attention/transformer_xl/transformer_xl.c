/* SPDX-License-Identifier: MIT
 *
 * attention/transformer_xl: relative encodings and segments that remember      arXiv 1901.02860, sections 3.2 and 3.3
 *
 *     A_ij = q_i k_j + q_i r_(i-j) + u k_j + v r_(i-j)    r_p = W R_p, R_p the sinusoid of p   out = softmax(scale A) v
 *
 * A call's queries are one segment: they see what of it is not behind them, and the `memory` tokens before it. A state
 * keeps keys and values, which for fixed weights are what the paper's states, the layer's inputs, are projected to.
 *
 * Where paper and code (kimiyoung/transformer-xl, pytorch) differ, the default is the code:
 *   encoding=half       all sines, then all cosines; the paper's is that of arXiv 1706.03762, interleaved
 *   scope of u and v    one pair for all layers; the paper does not say
 *   clamp, same_length  only the code has them, for evaluation
 */
#include "transformer_xl_kernel.h"

#define XL_BIAS(name, doc)                                                                                            \
    {sizeof(heed_port), HEED_WEIGHT, 0, KIT_FLOATS, HEED_SCOPE_STACK, HEED_INIT_NORMAL, name, "H D", doc}

static const heed_port ports[] = {
    FLASH_PORTS,
    [RELATIVE_WEIGHT] = KIT_WEIGHT("relative_weight", "H D M", HEED_INIT_NORMAL,
                                   "W, from the encoding of a distance to r"),
    [CONTENT_BIAS] = XL_BIAS("content_bias", "u, added to queries that meet keys"),
    [POSITION_BIAS] = XL_BIAS("position_bias", "v, added to queries that meet distances"),
};

static const heed_param params[] = {
    FLASH_PARAMS,
    [MEMORY] = KIT_INT("memory", 512, 1, 1 << 20, "tokens before a segment that it sees; a segment is not longer"),
    [SAME_LENGTH] = KIT_BOOL("same_length", 0,
                              "each query sees `memory` tokens before itself, in segments of any length"),
    [CLAMP] = KIT_INT("clamp", 0, 0, 1 << 20, "distances beyond this one count as it; 0 = none do"),
    [ENCODING] = KIT_CHOICE("encoding", 0, "half|interleaved",
                            "half: all sines before all cosines, as in the authors' code; interleaved: in turn"),
};

/* Floats behind the instance: frequencies, for each head a row of waves, of R and of W, and the table. */
static int64_t rooms(int64_t M) { return 3 * 2 * kit_lanes(M / 2 + 1) + kit_lanes(M); }

static int32_t measure(const heed_open *open, uint64_t *bytes)
{
    const heed_tensor *w = open->weight[RELATIVE_WEIGHT];
    const int64_t memory = open->value[MEMORY].i, distances = open->value[SAME_LENGTH].i ? memory + 1 : 2 * memory;
    int64_t floats;
    if (open->value[FLASH_SOFTCAP].f > 0)
        return kit_fail(open->sink, HEED_E_UNSUPPORTED,
                        "attention/transformer_xl has no softcap: it would cap q k alone");
    if (w->dim[2] % 2)
        return kit_fail(open->sink, HEED_E_SHAPE,
                        "relative_weight has %lld columns (axis M), but sines and cosines come in pairs",
                        (long long)w->dim[2]);
    if (w->dim[0] > 1 << 16 || w->dim[1] > 1 << 16 || w->dim[2] > 1 << 24 ||
        __builtin_mul_overflow(kit_lanes(w->dim[1]), distances + 2 * XL_BEYOND + 2, &floats) ||
        __builtin_mul_overflow(floats + rooms(w->dim[2]), w->dim[0], &floats) || floats > (int64_t)1 << 36)
        return kit_fail(open->sink, HEED_E_UNSUPPORTED,
                        "encodings of %lld distances for %lld heads of %lld channels are too many",
                        (long long)distances, (long long)w->dim[0], (long long)w->dim[1]);
    floats += 2 * kit_lanes(w->dim[2] / 2);
    return kit_flash_measure(open, sizeof(xl) + sizeof(float) * (uint64_t)floats, bytes);
}

static int32_t init(void *memory, const heed_open *open)
{
    xl *self = kit_flash_init(memory, open);
    const heed_tensor *w = open->weight[RELATIVE_WEIGHT];
    self->memory = open->value[MEMORY].i, self->same_length = open->value[SAME_LENGTH].i;
    self->clamp = open->value[CLAMP].i, self->interleaved = open->value[ENCODING].i;
    self->distances = self->same_length ? self->memory + 1 : 2 * self->memory;
    self->heads = w->dim[0], self->D = w->dim[1], self->width = w->dim[2], self->ld = kit_lanes(self->D);
    self->relative_weight = w;
    self->u = self->room + self->heads * rooms(self->width);
    self->v = xl_pack(open->weight[CONTENT_BIAS], self->u, self->ld);
    self->table = xl_pack(open->weight[POSITION_BIAS], self->v, self->ld);
    self->theta = (double *)(void *)(self->table + self->heads * (self->distances + 2 * XL_BEYOND) * self->ld);
    ((kit_flash_op *)memory)->own = xl_own(self->D);
    kit_frequencies(self->theta, self->width / 2, 10000, 2, (double)self->width);
    return open->host->parallel_for(open->host, self->heads, xl_project, self);
}

static int32_t measure_state(const void *instance, const int64_t *axis, heed_state_size *size)
{
    const xl *self = kit_flash_variant(instance);
    size->recent = self->memory;
    size->flags = HEED_STATE_CAUSAL;
    return kit_flash_measure_state(instance, axis, size);
}

/* That of softmax, with as many products with r as with k. */
static int32_t cost(const void *instance, const heed_call *call, heed_cost *c)
{
    kit_flash f = kit_flash_call(instance, call);
    kit_flash_cost(&f, c);
    const double more = (double)(2 * f.D + f.E) / (double)(f.D + f.E > 0 ? f.D + f.E : 1);
    c->flops *= more;
    if (HEED_HAS(c, executed)) c->executed *= more;
    return HEED_OK;
}

KIT_COST(get_extension, cost)

static const heed_path paths[] = {KIT_PATHS_FORWARD};

static const heed_op ops[] = {{
    .size = sizeof(heed_op),
    .masks = HEED_MASK_CAUSAL | HEED_MASK_KEY_LENGTHS | HEED_MASK_WINDOW | HEED_MASK_DOCUMENTS,
    .id = "attention/transformer_xl",
    .version = "1.0",
    .summary = "attention of segments with a memory, by content and by encoded distance, tiled and exact",
    .formula = "out = softmax(scale * ((q + u) k^T + (q + v) r^T)) v, r = W R[i - j],\n"
               "over a segment's past and the `memory` tokens before it",
    .reference = "arXiv 1901.02860, section 3.3\n"
                 "as in the authors' PyTorch code: encoding=half, where the paper's is interleaved,\n"
                 "and one u and one v for all layers; clamp and same_length are that code's alone",
    .ports = KIT_TABLE(ports),
    .params = KIT_TABLE(params),
    .paths = KIT_TABLE(paths),
    .measure = measure,
    .init = init,
    .measure_call = kit_flash_measure_call,
    .measure_state = measure_state,
    .get_extension = get_extension,
}};

KIT_PLUGIN("attention_transformer_xl", "MIT", ops)
