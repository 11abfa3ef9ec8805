/* SPDX-License-Identifier: MIT
 *
 * attention/flash_linear: out = silu(u) * (inside + linear)
 *                              FLASH's mixed chunk attention, arXiv 2202.10447, section 3.2
 *
 *     inside = sum of relu(q k^T / c)^2 silu(v): the gated attention unit, in a chunk of c tokens
 *     linear = q_l (sum of k_l^T silu(v)) / m: the chunks before, at once; m counts their tokens
 *
 * Not causal, `inside` is of the whole chunk and `linear` of all tokens, m = n. All four of q, k,
 * q_l, k_l are made of one base z = silu(x W_z): an own gain and offset of each channel. u, v and
 * the base come as projections of x, before their silu, as a stack makes them: the ports are those
 * of attention/gau. One head is meant; several are units side by side, with the same gains and
 * offsets.
 *
 * m is the number of tokens that are summed, so that a text may be of any length; the official code
 * divides by the whole length, which no step of a generation can know.
 */
#include "flash_linear_kernel.h"

static const heed_port ports[] = {
    [Q] = KIT_IN("q", "B T H D", "the base of queries and keys, before its silu"),
    [V] = KIT_IN("v", "B T H E", "values, before their silu"),
    [GATE] = KIT_IN("gate", "B T H E", "what the outputs are multiplied with, before its silu"),
    [KEY_LENGTHS] = KIT_IN_INDEX("key_lengths", "B", HEED_PORT_OPTIONAL,
                                 "keys of each sequence that are valid; all if absent"),
    [Q_GAIN] = KIT_WEIGHT_OPTIONAL(
        "q_gain", "D", HEED_INIT_ONES,
        "factor of each channel of the base, for queries within a chunk; 1 if absent"),
    [Q_OFFSET] = KIT_WEIGHT_OPTIONAL("q_offset", "D", HEED_INIT_ZEROS, "added then; 0 if absent"),
    [K_GAIN] =
        KIT_WEIGHT_OPTIONAL("k_gain", "D", HEED_INIT_ONES, "the same for keys within a chunk"),
    [K_OFFSET] =
        KIT_WEIGHT_OPTIONAL("k_offset", "D", HEED_INIT_ZEROS, "the same for keys within a chunk"),
    [LINEAR_Q_GAIN] = KIT_WEIGHT_OPTIONAL("linear_q_gain", "D", HEED_INIT_ONES,
                                          "the same for queries of the sums"),
    [LINEAR_Q_OFFSET] = KIT_WEIGHT_OPTIONAL("linear_q_offset", "D", HEED_INIT_ZEROS,
                                            "the same for queries of the sums"),
    [LINEAR_K_GAIN] =
        KIT_WEIGHT_OPTIONAL("linear_k_gain", "D", HEED_INIT_ONES, "the same for keys of the sums"),
    [LINEAR_K_OFFSET] = KIT_WEIGHT_OPTIONAL("linear_k_offset", "D", HEED_INIT_ZEROS,
                                            "the same for keys of the sums"),
    [OUT] = KIT_OUT("out", "B T H E",
                    "for each token, its gate times what its chunk and the sums give"),
};

static const heed_param params[] = {
    [BASE] = KIT_INT_AUTO(
        "base", 'D', 1, 1 << 16,
        "width of the base, s, 128 in the paper; as wide as a stack's heads if not given"),
    [WIDTH] = KIT_INT_AUTO("width", 'E', 1, 1 << 20,
                           "of values and gate, e, twice the model's in the paper; the same"),
    [CHUNK] = KIT_INT("chunk", 256, 1, 1 << 16, "tokens of a chunk, c"),
};

static int32_t measure(const heed_open *open, uint64_t *bytes)
{
    *bytes = sizeof(flash_linear);
    for (int w = 0; w < FLASH_LINEAR_WEIGHTS; w++)
        if (open->weight[Q_GAIN + w])
            *bytes += (uint64_t)kit_lanes(open->weight[Q_GAIN + w]->dim[0]) * sizeof(float);
    return HEED_OK;
}

static int32_t init(void *memory, const heed_open *open)
{
    flash_linear *self = memory;
    float *room = self->room;
    self->chunk = open->value[CHUNK].i;
    for (int w = 0; w < FLASH_LINEAR_WEIGHTS; w++) {
        const heed_tensor *t = open->weight[Q_GAIN + w];
        if (!t) continue;
        kit_read_row_scalar(room, t->data, t->dtype, t->stride[0], t->dim[0]);
        self->weight[w] = room, room += kit_lanes(t->dim[0]);
    }
    return HEED_OK;
}

/* Pages of whole chunks; a later call looks at the open one, and at the last full one when it
 * begins the next. */
static int32_t measure_state(const void *instance, const int64_t *axis, heed_state_size *size)
{
    const int64_t chunk = ((const flash_linear *)instance)->chunk, H = HEED_AXIS(axis, 'H');
    const int64_t D = HEED_AXIS(axis, 'D'), E = HEED_AXIS(axis, 'E'),
                  chunks = flash_linear_page_chunks(chunk);
    const int64_t block = H < 0 || D < 0 || E < 0 ? -1 : flash_linear_block_floats(H, D, E, chunk);
    size->format = "chunks/f32";
    size->version = 1;
    size->page_tokens = chunks * chunk;
    size->recent = chunk;
    size->page_bytes =
        block < 0 ? 0 : sizeof(float) * (uint64_t)(chunks * block); /* 0: not known */
    return HEED_OK;
}

/* Two products a pair inside of a chunk, two a token with the sums; tensors and the sums of a state
 * moved once. */
static int32_t cost(const void *instance, const heed_call *call, heed_cost *cost)
{
    flash_linear_call c;
    flash_linear_begin(&c, instance, call);
    const double D = (double)c.D, E = (double)c.E, rows = (double)(c.B * c.T * c.H);
    const int causal = flash_linear_is_causal(&c);
    double pairs = 0, linear = 0;
    for (int64_t b = 0; b < c.B; b++) {
        const int64_t past = flash_linear_past(&c, b), all = past + c.T;
        for (int64_t p = past, n; p < all; p += n) { /* a chunk */
            const int64_t from = p / c.chunk * c.chunk,
                          end = from + c.chunk < all ? from + c.chunk : all;
            n = end - p;
            pairs += causal ? (double)n * (double)(p - from + 1 + end - from) / 2
                            : (double)n * (double)(end - from);
            linear += (double)n *
                      ((!causal || from > 0 ? 1 : 0) + (!causal || from + c.chunk < all ? 1 : 0));
        }
    }
    cost->flops = 2 * (double)c.H * (pairs * (D + E) + linear * D * E);
    cost->bytes = rows * (D * (double)kit_width(c.base->dtype) + E * (double)kit_width(c.v->dtype) +
                          E * (double)kit_width(c.gate->dtype) + 4 * E);
    for (int64_t b = 0; call->state && b < c.B; b++)
        cost->bytes +=
            4 * (double)c.H * (D * E + (double)(flash_linear_past(&c, b) % c.chunk) * (D + E));
    cost->receptive_field = (double)c.T;
    return HEED_OK;
}

KIT_COST(get_extension, cost)

static const heed_path paths[] = {KIT_PATHS_BOTH};

static const heed_op ops[] = {{
    .size = sizeof(heed_op),
    .masks = HEED_MASK_CAUSAL | HEED_MASK_KEY_LENGTHS,
    .id = "attention/flash_linear",
    .version = "1.0",
    .summary = "FLASH: the gated attention unit within chunks, linear attention across them",
    .formula =
        "out[i] = silu(gate[i]) * (inside[i] + linear[i]), over keys of the sequence\n"
        "inside = sum_j relu(q'[i] . k'[j] / c)^2 silu(v[j]), j in the chunk of i; causal: j <= i\n"
        "linear = sum_j (ql[i] . kl[j]) silu(v[j]) / m; causal: the m tokens of complete chunks "
        "before it; else all\n"
        "q' = silu(q) * q_gain + q_offset, and so k', ql, kl with their own gains and offsets, all "
        "of q\n"
        "the official code divides by the sequence's length under a causal mask too",
    .reference = "arXiv 2202.10447, section 3.2",
    .ports = KIT_TABLE(ports),
    .params = KIT_TABLE(params),
    .paths = KIT_TABLE(paths),
    .measure = measure,
    .init = init,
    .measure_call = flash_linear_measure,
    .measure_state = measure_state,
    .get_extension = get_extension,
}};

KIT_PLUGIN("attention_flash_linear", "MIT", ops)
