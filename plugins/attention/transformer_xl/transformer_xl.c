/* SPDX-License-Identifier: MIT
 *
 * attention/transformer_xl: relative encodings and segments that remember
 *                                                            arXiv 1901.02860, sections 3.2 and 3.3
 *
 *     A_ij = q_i k_j + q_i r_(i-j) + u k_j + v r_(i-j)
 *                                     r_p = W R_p, R_p the sinusoid of p   out = softmax(scale A) v
 *
 * A call's queries are one segment: they see what of it is not behind them, and the `memory` tokens
 * before it. A state keeps keys and values, which for fixed weights are what the paper's states,
 * the layer's inputs, are projected to.
 *
 * Where paper and code (kimiyoung/transformer-xl, pytorch) differ, the default is the code:
 *   encoding=half
 *                 all sines, then all cosines; the paper's is that of arXiv 1706.03762, interleaved
 *   scope of u and v
 *          one pair for all layers, but where a layer has its own (untie_r); the paper does not say
 *   clamp, same_length  only the code has them, for evaluation
 */
#include "transformer_xl_kernel.h"
#include <heed/kit/core/field.h>

#define XL_BIAS(name, doc)                                                                         \
    {                                                                                              \
        sizeof(heed_port), HEED_WEIGHT, 0, KIT_FLOATS, HEED_SCOPE_STACK, HEED_INIT_NORMAL, name,   \
            "H D", doc                                                                             \
    }

static const heed_port ports[] = {
    FLASH_PORTS,
    [RELATIVE_WEIGHT] = KIT_WEIGHT("relative_weight", "H D M", HEED_INIT_NORMAL,
                                   "W, from the encoding of a distance to r"),
    [CONTENT_BIAS] = XL_BIAS("content_bias", "u, added to queries that meet keys"),
    [POSITION_BIAS] = XL_BIAS("position_bias", "v, added to queries that meet distances"),
};

enum { MEMORY = FLASH_PARAM_COUNT, SAME_LENGTH, CLAMP, ENCODING };
static const heed_param params[] = {
    FLASH_PARAMS,
    [MEMORY] = KIT_INT("memory", 512, 1, 1 << 20,
                       "tokens before a segment that it sees; a segment is not longer"),
    [SAME_LENGTH] =
        KIT_BOOL("same_length", 0,
                 "each query sees `memory` tokens before itself, in segments of any length"),
    [CLAMP] = KIT_INT("clamp", 0, 0, 1 << 20, "distances beyond this one count as it; 0 = none do"),
    [ENCODING] = KIT_CHOICE(
        "encoding", 0, "half|interleaved",
        "half: all sines before all cosines, as in the authors' code; interleaved: in turn"),
};

/* Distances of the table: those that a live pair can have, of which the last stands for all that
 * are clamped. */
static int64_t distances(const heed_open *open)
{
    const int64_t memory = open->value[MEMORY].i, clamp = open->value[CLAMP].i;
    const int64_t all = open->value[SAME_LENGTH].i ? memory + 1 : 2 * memory;
    return clamp && clamp < all ? clamp + 1 : all;
}

/* Floats behind the instance, of each head but its table: u, v and a row of W. */
static int64_t head_room(int64_t D, int64_t M) { return 2 * kit_lanes(D) + kit_lanes(M); }
#define AT_HAND 64
/* Floats of the table, which is made when the op is opened, however short the calls are: 256 MiB. */
#define TABLE_MOST ((int64_t)1 << 26)

static int32_t measure(const heed_open *open, uint64_t *bytes)
{
    const heed_tensor *w = open->weight[RELATIVE_WEIGHT];
    const int64_t H = w->dim[0], D = w->dim[1], M = w->dim[2];
    int64_t floats;
    if (open->value[FLASH_SOFTCAP].f > 0)
        return kit_fail(open->sink, HEED_E_UNSUPPORTED,
                        "attention/transformer_xl has no softcap: it would cap q k alone");
    if (M % 2)
        return kit_fail(
            open->sink, HEED_E_SHAPE,
            "relative_weight has %lld columns (axis M), but sines and cosines come in pairs",
            (long long)M);
    if (H > 1 << 16 || D > 1 << 16 || M > 1 << 24 ||
        (floats = H * (head_room(D, M) + kit_flash_table_floats(distances(open), D))) > TABLE_MOST)
        return kit_fail(open->sink, HEED_E_UNSUPPORTED,
                        "encodings of %lld distances for %lld heads of %lld channels are too many, more than %d MiB; "
                        "a smaller memory has fewer, and clamp=N has N + 1, the last for all that are farther",
                        (long long)distances(open), (long long)H, (long long)D, (int)(TABLE_MOST >> 18));
    floats += AT_HAND * xl_encoding_room(M) + 2 * kit_lanes(M / 2);
    return kit_flash_measure(open, sizeof(xl) + sizeof(float) * (uint64_t)floats, bytes);
}

static float product(const float *x, const float *y, int64_t n)
{
    double sum[8] = {0};
    int64_t i = 0;
    for (; i + 8 <= n; i += 8)
        for (int j = 0; j < 8; j++) sum[j] += (double)x[i + j] * (double)y[i + j];
    for (int j = 0; i + j < n; j++) sum[j] += (double)x[i + j] * (double)y[i + j];
    return (float)(((sum[0] + sum[4]) + (sum[1] + sum[5])) +
                   ((sum[2] + sum[6]) + (sum[3] + sum[7])));
}

/* r of one head for the distances at hand: relative_weight times their sinusoids, in float64,
 * rounded once. */
static void project(void *arg, int64_t h, uint32_t lane)
{
    const xl *s = arg;
    const heed_tensor *t = s->relative_weight;
    const int64_t M = s->width, left = s->r.entries - s->first, n = left < AT_HAND ? left : AT_HAND;
    float *row = s->v + s->heads * s->ld + h * kit_lanes(M);
    (void)lane;
    for (int64_t d = 0; d < s->D; d++) {
        const int64_t at[2] = {h, d};
        const float *w = row;
        if (kit_is_plain(t)) w = (const float *)kit_at(t, at, 2);
        else kit_read_row_scalar(row, kit_at(t, at, 2), t->dtype, t->stride[2], M);
        for (int64_t i = 0; i < n; i++)
            s->r.columns[h * s->r.head + d * s->r.apart + s->first + i] =
                product(s->encodings + i * xl_encoding_room(M), w, M);
    }
    if (n == left) kit_flash_table_end(&s->r, h);
}

static int32_t init(void *memory, const heed_open *open)
{
    xl *self = kit_flash_init(memory, open);
    const heed_tensor *w = open->weight[RELATIVE_WEIGHT];
    const int64_t H = w->dim[0], D = w->dim[1], M = w->dim[2], all = distances(open);
    self->memory = open->value[MEMORY].i, self->same_length = open->value[SAME_LENGTH].i;
    self->interleaved = open->value[ENCODING].i == 1;
    self->D = D, self->width = M, self->ld = kit_lanes(D), self->relative_weight = w;
    self->heads = H, self->u = self->room, self->v = self->u + H * self->ld;
    for (int64_t h = 0; h < H; h++) {
        const heed_tensor *u = open->weight[CONTENT_BIAS], *v = open->weight[POSITION_BIAS];
        kit_read_row_scalar(self->u + h * self->ld, kit_at(u, &h, 1), u->dtype, u->stride[1], D);
        kit_read_row_scalar(self->v + h * self->ld, kit_at(v, &h, 1), v->dtype, v->stride[1], D);
    }
    self->r = kit_flash_table_in(self->room + H * head_room(D, M), 0, all, D);
    self->r.head = kit_flash_table_floats(all, D);
    self->encodings = self->room + H * (head_room(D, M) + self->r.head);
    self->theta = (double *)(void *)(self->encodings + AT_HAND * xl_encoding_room(M));
    ((kit_flash_op *)memory)->own = KIT_FLASH_ROWS * D;
    kit_frequencies(self->theta, M / 2, 10000, 2, (double)M);
    int32_t failed = HEED_OK;
    for (self->first = 0; self->first < all && !failed; self->first += AT_HAND) {
        const int64_t left = all - self->first;
        failed =
            open->host->parallel_for(open->host, left < AT_HAND ? left : AT_HAND, xl_encode, self);
        if (!failed) failed = open->host->parallel_for(open->host, H, project, self);
    }
    return failed;
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

/* A call is a segment: its queries see what of it is not behind them, and the memory before it. */
static int32_t field(const heed_open *open, const heed_mask *mask, int64_t begin, int64_t at,
                     heed_field *f)
{
    const int64_t memory = open->value[MEMORY].i, same = open->value[SAME_LENGTH].i;
    (void)mask;
    f->flags = same ? HEED_FIELD_MOVES : 0;
    f->longest = same ? 0 : memory;
    f->loose = memory;
    kit_field_add(f, (same ? at : begin) - memory, at + 1);
    return HEED_OK;
}

KIT_COST_FIELD(get_extension, cost, field)

static const heed_path paths[] = {KIT_PATHS_BOTH};

static const heed_op ops[] = {{
    .size = sizeof(heed_op),
    .acts = HEED_ACTS_SCORES,
    .masks = HEED_MASK_CAUSAL | HEED_MASK_KEY_LENGTHS | HEED_MASK_WINDOW | HEED_MASK_DOCUMENTS,
    .id = "attention/transformer_xl",
    .version = "1.0",
    .summary =
        "attention of segments with a memory, by content and by encoded distance, tiled and exact",
    .formula = "out = softmax(scale * ((q + u) k^T + (q + v) r^T)) v, r = W R[i - j],\n"
               "over a segment's past and the `memory` tokens before it",
    .reference =
        "arXiv 1901.02860, section 3.3\n"
        "as in the authors' PyTorch code: encoding=half, where the paper's is interleaved,\n"
        "and one u and one v for all layers that have no own; clamp and same_length are that "
        "code's alone",
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
