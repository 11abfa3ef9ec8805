/* SPDX-License-Identifier: MIT
 *
 * heed/kit/conv/conv.h: a convolution over time of each channel by itself, whose taps belong to
 * heads: what lightweight and dynamic convolution share (arXiv 1901.10430). Include it in a kernel
 * file.
 *
 *     x = v * sigmoid(gate), or v;    out[p] = sum over t of taps[t] x[p + t - pad] + offset
 *
 * pad is K - 1 under a causal mask, so that tap K - 1 meets the token itself, else (K - 1) / 2.
 * Taps that would meet a row in front of the first or behind the last are left out, after the
 * softmax, not before it.
 *
 * A tile is a run of tokens of some heads. Its rows are made first, in scratch, or read in place
 * where they are plain and the taps are few; then several tokens go through the registers together,
 * so that a tap is broadcast once for all of them, or, where each token has its own taps, for 64
 * channels. Taps lie tap by tap, tokens or heads side by side: so a softmax has 16 of them in its
 * lanes.
 *
 * The one invariant: an output is one chain, sum = fma(taps[t], x[p + t - pad], sum) for t = 0, 1,
 * ... from 0, over the taps that meet a row; and so the same bits on every path, whole and in
 * parts.
 *
 * Error: (K + 1) 2^-24 sum |taps x|; taps of a softmax are within 4 ulp and the length of their
 * sum.
 */
#ifndef KIT_HAS_CONV
#define KIT_HAS_CONV
#include <heed/kit.h>

#ifndef HEED_KIT_CONV_ONCE
#define HEED_KIT_CONV_ONCE

enum {
    KIT_CONV_HEADS = 16,    /* of a tile, at most */
    KIT_CONV_TOKENS = 64,   /* of a tile, or twice its taps if that is more */
    KIT_CONV_WIDTH = 256,   /* channels of a tile, at least, if there are so many */
    KIT_CONV_IN_PLACE = 8,  /* taps: with more, rows far apart would be fetched again for each */
    KIT_CONV_PAGE = 144,    /* tokens of a page: a cut leads back by so many, at least */
};

/* The ports and params that such ops have; an op's own ports stand behind these. */
enum { CONV_V, CONV_GATE, CONV_KEY_LENGTHS, CONV_OFFSET, CONV_OUT, CONV_PORT_COUNT };
enum { CONV_KERNEL, CONV_SOFTMAX };
#define CONV_PORTS                                                                                 \
    [CONV_V] = KIT_IN("v", "B T H E", "the rows that are convolved, before their gate"),           \
    [CONV_GATE] = KIT_IN_OPTIONAL("gate", "B T H E",                                               \
                                  "rows are multiplied with its sigmoid first; not if absent"),    \
    [CONV_KEY_LENGTHS] = KIT_IN_INDEX("key_lengths", "B", HEED_PORT_OPTIONAL,                      \
                                      "rows of each sequence that are valid; all if absent"),      \
    [CONV_OFFSET] = KIT_WEIGHT_OPTIONAL("offset", "H E", HEED_INIT_ZEROS,                          \
                                        "added to each channel of out; 0 if absent"),              \
    [CONV_OUT] = KIT_OUT("out", "B T H E",                                                         \
                         "for each token, the sum of its neighbours' rows under the taps")
#define CONV_PARAMS                                                                                \
    [CONV_KERNEL] =                                                                                \
        KIT_INT_AUTO("kernel", 'K', 1, 1 << 16, "taps of a head, K; the weights tell"),            \
    [CONV_SOFTMAX] = KIT_BOOL("softmax", 1, "false: the taps as they are")

typedef struct kit_conv {
    const heed_call *call;
    const heed_tensor *v, *gate, *key_lengths, *out; /* [B T H E] */
    const float *offset;       /* [H][E padded], or NULL */
    const float
        *table; /* taps [K][H padded] of all tokens; NULL: each has its own, of the logits */
    const heed_tensor *logits; /* [B T H K] */
    int own_row; /* logits are made of a token's row: who has none of it has no taps */
    int softmax;               /* of the logits, over all K */
    int64_t B, T, H, E, K, pad;
    int64_t tokens, heads;     /* of a tile; kit_conv_setup sets these and the sizes */
} kit_conv;

KIT_INLINE kit_conv kit_conv_call(const heed_call *call, const float *offset)
{
    const heed_tensor *const *t = call->tensor;
    return (kit_conv){.call = call,
                      .v = t[CONV_V],
                      .gate = t[CONV_GATE],
                      .key_lengths = t[CONV_KEY_LENGTHS],
                      .out = t[CONV_OUT],
                      .offset = offset};
}

/* Bytes of an instance that the offset takes, as kit_conv_offset writes it. */
KIT_INLINE uint64_t kit_conv_offset_bytes(const heed_open *open)
{
    const heed_tensor *offset = open->weight[CONV_OFFSET];
    return offset ? sizeof(float) * (uint64_t)(offset->dim[0] * kit_lanes(offset->dim[1])) : 0;
}

/* Tokens that were remembered, rows that there are, and the position of token 0 of a sequence. */
KIT_INLINE int64_t kit_conv_past(const kit_conv *c, int64_t b)
{
    return c->call->state ? c->call->state[b]->length : 0;
}
KIT_INLINE int64_t kit_conv_rows(const kit_conv *c, int64_t b)
{
    const heed_tensor *lengths = c->key_lengths;
    return lengths ? kit_index(lengths, kit_at(lengths, &b, 1)) : kit_conv_past(c, b) + c->T;
}
KIT_INLINE int64_t kit_conv_origin(const kit_conv *c, int64_t b)
{
    const heed_mask *m = c->call->mask;
    if (c->call->state) return kit_conv_past(c, b);
    return m->align == HEED_ALIGN_BOTTOM_RIGHT ? kit_conv_rows(c, b) - c->T
           : m->align == HEED_ALIGN_OFFSET     ? m->offset
                                               : 0;
}

/* Fills the sizes, for K taps, and checks what the engine can not. */
static __attribute__((unused)) int32_t kit_conv_setup(kit_conv *c, int64_t K)
{
    const int64_t *axis = c->call->axis;
    c->B = HEED_AXIS(axis, 'B'), c->T = HEED_AXIS(axis, 'T'), c->H = HEED_AXIS(axis, 'H');
    c->E = HEED_AXIS(axis, 'E'), c->K = K;
    c->pad = c->call->mask->kinds & HEED_MASK_CAUSAL ? K - 1 : (K - 1) / 2;
    c->tokens = kit_lanes(2 * K) > KIT_CONV_TOKENS ? kit_lanes(2 * K) : KIT_CONV_TOKENS;
    c->heads = KIT_CONV_WIDTH / (c->E + 1) + 1;
    if (c->heads > KIT_CONV_HEADS) c->heads = KIT_CONV_HEADS;
    if (K < 1)
        return kit_fail(c->call->sink, HEED_E_SHAPE,
                        "there are no taps: axis K is 0, and at least 1 is needed");
    for (int64_t b = 0; c->key_lengths && c->key_lengths->data && b < c->B; b++)
        if (kit_conv_rows(c, b) < 0 || kit_conv_rows(c, b) > c->T)
            return kit_fail(c->call->sink, HEED_E_ARGUMENT,
                            "key_lengths[%lld] is %lld, but v has %lld rows", (long long)b,
                            (long long)kit_conv_rows(c, b), (long long)c->T);
    return HEED_OK;
}

/* Floats from row to row of scratch: an odd number of lines. */
KIT_INLINE int64_t kit_conv_pitch(int64_t E) { return 16 * (kit_lanes(E) / 16 | 1); }

/* A lane's scratch, for K taps: the rows of a tile, one head of them, and its taps. */
KIT_INLINE uint64_t kit_conv_scratch(const heed_call *call, int64_t K)
{
    const int64_t most = kit_lanes(2 * K) > KIT_CONV_TOKENS ? kit_lanes(2 * K) : KIT_CONV_TOKENS;
    const int64_t T = HEED_AXIS(call->axis, 'T'), tokens = T < most ? T : most;
    return sizeof(float) *
           (uint64_t)((tokens + K - 1) * kit_conv_pitch(HEED_AXIS(call->axis, 'E')) +
                      kit_lanes(tokens) * K);
}

/* Pages of rows x [tokens][H][E]: a later call looks at the last K - 1. */
static __attribute__((unused)) int32_t kit_conv_state(const int64_t *axis, int64_t K,
                                                      heed_state_size *size)
{
    const int64_t H = HEED_AXIS(axis, 'H'), E = HEED_AXIS(axis, 'E');
    int64_t bytes;
    size->format = "conv/f32";
    size->version = 1;
    size->page_tokens = KIT_CONV_PAGE;
    size->recent = K > 2 ? K - 1 : 1;
    size->page_bytes =
        H < 0 || E < 0 || K < 1 || __builtin_mul_overflow(H, E, &bytes) ||
                __builtin_mul_overflow(bytes, (int64_t)(KIT_CONV_PAGE * sizeof(float)), &bytes)
            ? 0
            : (uint64_t)bytes; /* 0: not known */
    return HEED_OK;
}

/* Products of the taps; rows, gates and outputs moved once. */
KIT_INLINE void kit_conv_cost(const kit_conv *c, heed_cost *cost)
{
    const double rows = (double)kit_rows(c->v), E = (double)c->E, K = (double)c->K;
    cost->flops = 2 * rows * E * K;
    cost->bytes =
        rows * E * (double)(kit_width(c->v->dtype) + (c->gate ? kit_width(c->gate->dtype) : 0) + 4);
    cost->receptive_field = K;
    cost->state_bytes = 0; /* of each token: none that stays */
}
#endif

/* A run of tokens of one head: where its rows, taps and outputs are. */
#ifndef HEED_KIT_CONV_RUN
#define HEED_KIT_CONV_RUN
typedef struct kit_conv_run {
    const kit_conv *c;
    const float *x; /* its row 0 is the sequence's row `first`; rows are `pitch` floats apart */
    const float *w, *offset;    /* tap t of token k of the run: w[t * tap + k * token] */
    char *to;
    int64_t pitch, first, tap, token;
    int64_t rows, tokens, at; /* of the sequence; of the run, whose first stands at that position */
} kit_conv_run;
#endif

#undef CONV_REGISTERS /* of 16 channels */
#undef CONV_WIDE      /* tokens at once, by 64 channels */
#undef CONV_NARROW    /* by 16 */
#define CONV_REGISTERS (16 / VR_LANES)
#if defined KIT_AVX512
#define CONV_WIDE 2
#define CONV_NARROW 8
#else
#define CONV_WIDE 1
#define CONV_NARROW 4
#endif

/* n channels of x, where v and the gate (or NULL) are. */
KIT_INLINE vf KIT(conv_gated)(const kit_conv *c, const char *v, const char *gate, int64_t e, int n)
{
    const int64_t vs = c->v->stride[3], gs = gate ? c->gate->stride[3] : 0;
    const vf x = v_read(v + e * vs * kit_width(c->v->dtype), c->v->dtype, vs, n);
    if (!gate) return x;
    return v_mul(
        x, v_sigmoid(v_read(gate + e * gs * kit_width(c->gate->dtype), c->gate->dtype, gs, n)));
}

/* One head of the row of token i: whole vectors, or no more than there are. */
KIT_INLINE void KIT(conv_make)(const kit_conv *c, int64_t b, int64_t i, int64_t h, float *to,
                               const int whole)
{
    const int64_t at[3] = {b, i, h};
    const char *v = kit_at(c->v, at, 3), *gate = c->gate ? kit_at(c->gate, at, 3) : NULL;
    int64_t e = 0;
    for (; e + 16 <= c->E; e += 16) v_store(to + e, KIT(conv_gated)(c, v, gate, e, 16));
    if (e == c->E) return;
    const vf x = KIT(conv_gated)(c, v, gate, e, (int)(c->E - e));
    if (whole) v_store(to + e, x); else v_store_n(to + e, x, (int)(c->E - e));
}

/* The same of the row at position p, where a state remembers it. */
KIT_INLINE void KIT(conv_row)(const kit_conv *c, int64_t b, int64_t p, int64_t h, float *to)
{
    if (!c->call->state) { KIT(conv_make)(c, b, p, h, to, 1); return; }
    const float *row = (const float *)c->call->state[b]->page[p / KIT_CONV_PAGE] +
                       (p % KIT_CONV_PAGE * c->H + h) * c->E;
    for (int64_t e = 0; e < c->E; e += 16)
        v_store(to + e, v_read(row + e, HEED_F32, 1, c->E - e < 16 ? (int)(c->E - e) : 16));
}

/* New rows into the pages. */
static void KIT(conv_append)(void *arg, int64_t tile, uint32_t lane)
{
    const kit_conv *c = arg;
    const int64_t tiles = (c->T + c->tokens - 1) / c->tokens, b = tile / tiles,
                  past = kit_conv_past(c, b);
    (void)lane;
    for (int64_t i = tile % tiles * c->tokens, end = i + c->tokens; i < end && i < c->T; i++) {
        float *page = c->call->state[b]->page[(past + i) / KIT_CONV_PAGE];
        for (int64_t h = 0; h < c->H; h++)
            KIT(conv_make)(c, b, i, h, page + ((past + i) % KIT_CONV_PAGE * c->H + h) * c->E, 0);
    }
}

/* 16 columns of K taps, `step` floats apart: e^(logit - max) / sum. A NaN makes its column NaN. */
static __attribute__((unused)) void KIT(conv_softmax)(float *w, int64_t K, int64_t step)
{
    vf max = v_load(w), sum = v_set(0.0f);
    for (int64_t t = 1; t < K; t++) max = v_max(max, v_load(w + t * step));
    for (int64_t t = 0; t < K; t++) {
        const vf x = v_exp(v_sub(v_load(w + t * step), max));
        v_store(w + t * step, x);
        sum = v_add(sum, x);
    }
    for (int64_t t = 0; t < K; t++) v_store(w + t * step, v_div(v_load(w + t * step), sum));
}

/* An offset [H E] of whole vectors for each head, into `room`; NULL if there is none. */
static __attribute__((unused)) const float *KIT(kit_conv_offset)(float *room,
                                                                 const heed_tensor *offset)
{
    for (int64_t h = 0; offset && h < offset->dim[0]; h++)
        kit_read_row(room + h * kit_lanes(offset->dim[1]), kit_at(offset, &h, 1), offset->dtype,
                     offset->stride[1], offset->dim[1]);
    return offset ? room : NULL;
}

/* Taps [from, to) of one token, whose tap t meets row `row` + t of x. */
KIT_INLINE void KIT(conv_link)(const int wide, vr *acc, const kit_conv_run *r, const float *w,
                               const float *x, int64_t row, int64_t from, int64_t to)
{
    for (int64_t t = from; t < to; t++)
        KIT_UNROLL for (int j = 0; j < wide; j++) {
            const vr row_t = vr_load(x + (row + t) * r->pitch + j * VR_LANES);
            acc[j] = vr_fma(vr_set(w[t * r->tap]), row_t, acc[j]);
        }
}

/* Those of n tokens, the first at row `row` of the sequence, on `wide` registers: the taps that
 * meet a row for all of them together, those before and behind for each. */
KIT_INLINE void KIT(conv_links)(const int n, const int wide, const int shared, vr (*acc)[8],
                                const kit_conv_run *r, const float *w, const float *x, int64_t row)
{
    const int64_t K = r->c->K, far = r->rows - row, missing = -row, pitch = r->pitch;
    const int64_t from = missing < 0 ? 0 : missing < K ? missing : K;
    const int64_t last = far - n + 1 < K ? far - n + 1 : K;
    const int64_t to = last > from ? last : from;
    row -= r->first;
    KIT_UNROLL for (int i = 0; i < n; i++)
        KIT_UNROLL for (int j = 0; j < wide; j++) acc[i][j] = vr_set(0.0f);
    for (int64_t i = 1; i < n && from > 0; i++) {
        const int64_t first = missing - i < 0 ? 0 : missing - i < K ? missing - i : K;
        KIT(conv_link)(wide, acc[i], r, w + i * r->token, x, row + i, first,
                       from < far - i ? from : far - i);
    }
    const float *p = x + (row + from) * pitch;
    for (int64_t t = from; t < to; t++, p += pitch) {
        vr s = vr_set(w[t * r->tap]);
        KIT_UNROLL for (int i = 0; i < n; i++) {
            if (!shared && i) s = vr_set(w[i * r->token + t * r->tap]);
            KIT_UNROLL for (int j = 0; j < wide; j++)
                acc[i][j] = vr_fma(s, vr_load(p + i * pitch + j * VR_LANES), acc[i][j]);
        }
    }
    for (int i = 0; i < n && to < K; i++)
        KIT(conv_link)(wide, acc[i], r, w + i * r->token, x, row + i, to,
                       far - i < K ? far - i : K);
}

/* n tokens from token i of the run on, channels from e on. */
KIT_INLINE void KIT(conv_block)(const int n, const int wide, const int shared,
                                const kit_conv_run *r, int64_t i, int64_t e)
{
    const heed_tensor *out = r->c->out;
    const int64_t step = out->stride[3] * kit_width(out->dtype), left = r->c->E - e;
    const int64_t pitch = out->stride[1] * kit_width(out->dtype);
    const int plain = out->dtype == HEED_F32 && out->stride[3] == 1 && left >= wide * VR_LANES;
    vr acc[8][8];
    char *y = r->to + i * pitch + e * step;
    KIT(conv_links)(n, wide, shared, acc, r, r->w + i * r->token, r->x + e, r->at + i - r->c->pad);
    if (r->offset)
        KIT_UNROLL for (int k = 0; k < n; k++)
            KIT_UNROLL for (int j = 0; j < wide; j++)
                acc[k][j] = vr_add(acc[k][j], vr_load(r->offset + e + j * VR_LANES));
    if (plain) {
        KIT_UNROLL for (int k = 0; k < n; k++)
            KIT_UNROLL for (int j = 0; j < wide; j++)
                vr_store((float *)(void *)(y + k * pitch) + j * VR_LANES, acc[k][j]);
        return;
    }
    KIT_UNROLL for (int k = 0; k < n; k++) {
        float part[64];
        KIT_UNROLL for (int j = 0; j < wide; j++) vr_store(part + j * VR_LANES, acc[k][j]);
        for (int64_t l = 0; l < wide * VR_LANES && l < left; l += 16)
            v_write(y + k * pitch + l * step, out->dtype, out->stride[3], v_load(part + l),
                    left - l < 16 ? (int)(left - l) : 16);
    }
}

/* n tokens from token i of a run on whose taps all meet a row, the first 64 `blocks` channels, to
 * plain rows. */
KIT_INLINE void KIT(conv_inside)(const int n, const int shared, const kit_conv_run *r, int64_t i,
                                 int64_t blocks)
{
    enum { WIDE = 4 * CONV_REGISTERS };
    const int64_t pitch = r->pitch, tap = r->tap, token = r->token, step = r->c->out->stride[1];
    const float *x = r->x + (r->at + i - r->c->pad - r->first) * pitch, *offset = r->offset;
    float *y = (float *)(void *)r->to + i * step;
    for (int64_t e = 0; e < blocks; e++, x += 64, y += 64) {
        const float *p = x, *w = r->w + i * token;
        vr acc[CONV_WIDE][WIDE];
        KIT_UNROLL for (int k = 0; k < n; k++)
            KIT_UNROLL for (int j = 0; j < WIDE; j++) acc[k][j] = vr_set(0.0f);
        for (int64_t t = r->c->K; t > 0; t--, p += pitch, w += tap) {
            vr s = vr_set(w[0]);
            KIT_UNROLL for (int k = 0; k < n; k++) {
                if (!shared && k) s = vr_set(w[k * token]);
                KIT_UNROLL for (int j = 0; j < WIDE; j++)
                    acc[k][j] = vr_fma(s, vr_load(p + k * pitch + j * VR_LANES), acc[k][j]);
            }
        }
        if (offset)
            KIT_UNROLL for (int k = 0; k < n; k++)
                KIT_UNROLL for (int j = 0; j < WIDE; j++)
                    acc[k][j] = vr_add(acc[k][j], vr_load(offset + 64 * e + j * VR_LANES));
        KIT_UNROLL for (int k = 0; k < n; k++)
            KIT_UNROLL for (int j = 0; j < WIDE; j++)
                vr_store(y + k * step + j * VR_LANES, acc[k][j]);
    }
}

/* Runs of some heads beside each other: a token's channels in one go, as they lie, 64 at a time
 * where there are so many. `n`: tokens at once. */
KIT_INLINE void KIT(conv_tokens)(const int n, const int shared, const kit_conv_run *r,
                                 int64_t heads)
{
    const int64_t E = r->c->E, wide = E / 64 * 64, row = r->at - r->c->pad;
    const int plain = kit_is_plain(r->c->out);
    for (int64_t i = 0, count; wide > 0 && i < r->tokens; i += count) {
        const int inside = plain && row + i >= 0 && row + i + n - 1 + r->c->K <= r->rows;
        count = i + n <= r->tokens ? n : 1;
        for (int64_t h = 0; h < heads; h++)
            if (inside && count == n) KIT(conv_inside)(n, shared, r + h, i, wide / 64);
            else for (int64_t e = 0; e < wide; e += 64)
                for (int64_t k = i; k < i + count; k++)
                    KIT(conv_block)(1, 4 * CONV_REGISTERS, shared, r + h, k, e);
    }
    for (int64_t i = 0, count; wide < E && i < r->tokens; i += count) {
        count = i + CONV_NARROW <= r->tokens ? CONV_NARROW : 1;
        for (int64_t h = 0; h < heads; h++)
            for (int64_t e = wide; e < E; e += 16)
                if (count == 1) KIT(conv_block)(1, CONV_REGISTERS, shared, r + h, i, e);
                else KIT(conv_block)(CONV_NARROW, CONV_REGISTERS, shared, r + h, i, e);
    }
}
KIT_KERNEL void KIT(conv_beside)(const kit_conv_run *r, int64_t heads)
{
    KIT(conv_tokens)(CONV_WIDE, 1, r, heads);
}
KIT_KERNEL void KIT(conv_shared)(const kit_conv_run *r) { KIT(conv_tokens)(CONV_WIDE, 1, r, 1); }
KIT_KERNEL void KIT(conv_own)(const kit_conv_run *r) { KIT(conv_tokens)(CONV_WIDE, 0, r, 1); }

/* The taps of the run's tokens, out of their logits. */
static void KIT(conv_taps)(const kit_conv *c, kit_conv_run *r, int64_t b, int64_t i, int64_t h,
                           float *room)
{
    const heed_tensor *l = c->logits;
    const int64_t at[3] = {b, i, h}, step = l->stride[3] * kit_width(l->dtype),
                  pitch = l->stride[1] * kit_width(l->dtype);
    const char *from = kit_at(l, at, 3);
    r->w = room, r->tap = kit_lanes(r->tokens), r->token = 1;
    for (int64_t k = 0; k < r->tokens; k += 16) {
        for (int64_t t = 0; t < c->K; t += 16) {
            const int n = c->K - t < 16 ? (int)(c->K - t) : 16;
            vf x[16];
            for (int64_t j = 0; j < 16; j++)
                x[j] = v_read(from + (k + j < r->tokens ? k + j : k) * pitch + t * step, l->dtype,
                              l->stride[3], n);
            v_transpose(x);
            KIT_UNROLL for (int j = 0; j < 16; j++) if (j < n)
                v_store(room + (t + j) * r->tap + k, x[j]);
        }
        if (c->softmax) KIT(conv_softmax)(room + k, c->K, r->tap);
    }
}

static void KIT(conv_tile)(void *arg, int64_t tile, uint32_t lane)
{
    const kit_conv *c = arg;
    const int64_t groups = (c->H + c->heads - 1) / c->heads,
                  runs = (c->T + c->tokens - 1) / c->tokens;
    const int64_t b = tile / groups / runs, i = tile / groups % runs * c->tokens,
                  first = tile % groups * c->heads;
    const int64_t most = c->T < c->tokens ? c->T : c->tokens, pitch = kit_conv_pitch(c->E);
    float *room = (float *)(void *)(c->call->scratch + lane * c->call->scratch_stride);
    kit_conv_run r = {.c = c,
                      .at = kit_conv_origin(c, b) + i,
                      .rows = kit_conv_rows(c, b),
                      .x = room,
                      .pitch = pitch};
    kit_conv_run beside[KIT_CONV_HEADS];
    r.tokens = c->T - i < c->tokens ? c->T - i : c->tokens;
    r.first = r.at - c->pad > 0 ? r.at - c->pad : 0;
    const int64_t last = r.at - c->pad + r.tokens + c->K - 1, end = last < r.rows ? last : r.rows;
    const int in_place = kit_is_plain(c->v) && !c->gate && c->E % 16 == 0 &&
                         c->K <= KIT_CONV_IN_PLACE && kit_conv_past(c, b) == 0;
    for (int64_t h = first; h < first + c->heads && h < c->H; h++) {
        const int64_t from[3] = {b, 0, h}, to[3] = {b, i, h};
        kit_conv_run *run = &beside[h - first];
        *run = r;
        if (in_place)
            run->x = (const float *)(void *)kit_at(c->v, from, 3), run->pitch = c->v->stride[1],
            run->first = 0;
        else
            for (int64_t p = r.first; p < end; p++)
                KIT(conv_row)(c, b, p, h, room + (p - r.first) * pitch);
        run->offset = c->offset ? c->offset + h * kit_lanes(c->E) : NULL;
        run->to = kit_at(c->out, to, 3);
        if (c->table) run->w = c->table + h, run->tap = kit_lanes(c->H), run->token = 0;
        else KIT(conv_taps)(c, run, b, i, h, room + (most + c->K - 1) * pitch);
        if (c->own_row && i + r.tokens > r.rows) { /* tokens behind the last row */
            kit_conv_run behind = *run;
            run->tokens = r.rows > i ? r.rows - i : 0;
            behind.tokens -= run->tokens, behind.rows = behind.first = 0;
            behind.to += run->tokens * c->out->stride[1] * kit_width(c->out->dtype);
            KIT(conv_own)(&behind);
        }
        if (!c->table) KIT(conv_own)(run);
        else if (!in_place) KIT(conv_shared)(run);
    }
    if (in_place && c->table)
        KIT(conv_beside)(beside, first + c->heads < c->H ? c->heads : c->H - first);
}

static __attribute__((unused)) int32_t KIT(conv_run)(kit_conv *c)
{
    const heed_host *host = c->call->host;
    const int64_t runs = (c->T + c->tokens - 1) / c->tokens,
                  groups = (c->H + c->heads - 1) / c->heads;
    int32_t failed =
        c->call->state ? host->parallel_for(host, c->B * runs, KIT(conv_append), c) : HEED_OK;
    return failed ? failed : host->parallel_for(host, c->B * runs * groups, KIT(conv_tile), c);
}
#endif
