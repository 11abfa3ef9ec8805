/* SPDX-License-Identifier: MIT
 *
 * heed/kit/conv/conv.h: a convolution over time of each channel by itself, whose taps belong to heads: what lightweight and
 * dynamic convolution share (arXiv 1901.10430). Include it in a kernel file.
 *
 *     x = v * sigmoid(gate), or v;    out[p] = sum over t of taps[t] x[p + t - pad] + offset
 *
 * pad is K - 1 under a causal mask, so that tap K - 1 meets the token itself, else (K - 1) / 2. Taps that would meet a
 * row in front of the first or behind the last are left out, after the softmax, not before it.
 *
 * A tile is a run of tokens of some heads. Its rows are made first, 64-byte aligned in scratch, or read in place where
 * they are plain and the taps are few; then several tokens go through the registers together, so that a tap is
 * broadcast once for all of them, or, where each token has its own taps, for 64 channels.
 *
 * The one invariant: an output is one chain, sum = fma(taps[t], x[p + t - pad], sum) for t = 0, 1, ... from 0, over the
 * taps that meet a row; and so the same bits on every path, whole and in parts.
 *
 * Error: (K + 1) 2^-24 sum |taps x|; taps of a softmax are within 4 ulp and the length of their sum.
 */
#ifndef KIT_HAS_CONV
#define KIT_HAS_CONV
#include <heed/kit.h>

#ifndef HEED_KIT_CONV_ONCE
#define HEED_KIT_CONV_ONCE

enum {
    KIT_CONV_TOKENS = 64,   /* of a tile, or twice its taps if that is more */
    KIT_CONV_WIDTH = 256,   /* channels of a tile, at least, if there are so many */
    KIT_CONV_IN_PLACE = 8,  /* taps: with more, rows far apart would be fetched again for each */
    KIT_CONV_PAGE = 144,    /* tokens of a page: a cut leads back by so many, at least */
};

typedef struct kit_conv {
    const heed_call *call;
    const heed_tensor *v, *gate, *key_lengths, *out; /* [B T H E] */
    const float *offset;       /* [H][E padded], or NULL */
    const float *table;        /* taps [H][K] of all tokens; NULL: each has its own, of the logits */
    const heed_tensor *logits; /* [B T H K] */
    int own_row;               /* logits are made of a token's row: who has none of it has no taps */
    int softmax;               /* of the logits, over all K */
    int64_t B, T, H, E, K, pad;
    int64_t tokens, heads;     /* of a tile; kit_conv_setup sets these and the sizes */
} kit_conv;

/* Tokens that were remembered, rows that there are, and the position of token 0 of a sequence. */
KIT_INLINE int64_t kit_conv_past(const kit_conv *c, int64_t b) { return c->call->state ? c->call->state[b]->length : 0; }
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
    c->heads = (KIT_CONV_WIDTH + c->E) / (c->E + 1);
    if (K < 1) return kit_fail(c->call->sink, HEED_E_SHAPE, "there are no taps: axis K is 0, and at least 1 is needed");
    for (int64_t b = 0; c->key_lengths && c->key_lengths->data && b < c->B; b++)
        if (kit_conv_rows(c, b) < 0 || kit_conv_rows(c, b) > c->T)
            return kit_fail(c->call->sink, HEED_E_ARGUMENT, "key_lengths[%lld] is %lld, but v has %lld rows",
                            (long long)b, (long long)kit_conv_rows(c, b), (long long)c->T);
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
           (uint64_t)((tokens + K - 1) * kit_conv_pitch(HEED_AXIS(call->axis, 'E')) + tokens * kit_lanes(K));
}

/* Pages of rows x [tokens][H][E]: a later call looks at the last K - 1. */
static __attribute__((unused)) int32_t kit_conv_state(const int64_t *axis, int64_t K, heed_state_size *size)
{
    const int64_t H = HEED_AXIS(axis, 'H'), E = HEED_AXIS(axis, 'E');
    int64_t bytes;
    size->format = "conv/f32";
    size->version = 1;
    size->page_tokens = KIT_CONV_PAGE;
    size->recent = K > 2 ? K - 1 : 1;
    size->page_bytes = H < 0 || E < 0 || K < 1 || __builtin_mul_overflow(H, E, &bytes) ||
                               __builtin_mul_overflow(bytes, (int64_t)(KIT_CONV_PAGE * sizeof(float)), &bytes)
                           ? 0 : (uint64_t)bytes; /* 0: not known */
    return HEED_OK;
}

/* Products of the taps; rows, gates and outputs moved once. */
KIT_INLINE void kit_conv_cost(const kit_conv *c, heed_cost *cost)
{
    const double rows = (double)kit_rows(c->v), E = (double)c->E, K = (double)c->K;
    cost->flops = 2 * rows * E * K;
    cost->bytes = rows * E * (double)(kit_width(c->v->dtype) + (c->gate ? kit_width(c->gate->dtype) : 0) + 4);
    cost->receptive_field = K;
    cost->state_bytes = 0; /* of each token: none that stays */
}
#endif

#undef CONV_REGISTERS /* of 16 channels */
#undef CONV_SHARED    /* tokens at once that share their taps, by 16 channels */
#undef CONV_OWN       /* tokens at once with taps of their own, by 64 channels */
#define CONV_REGISTERS (16 / VR_LANES)
#if defined KIT_AVX512
#define CONV_SHARED 8
#define CONV_OWN 2
#else
#define CONV_SHARED 4
#define CONV_OWN 1
#endif

/* x of n channels from e on. */
KIT_INLINE vf KIT(conv_gated)(const kit_conv *c, const int64_t *at, int64_t e, int n)
{
    const heed_tensor *v = c->v, *g = c->gate;
    const vf x = v_read(kit_at(v, at, 3) + e * v->stride[3] * kit_width(v->dtype), v->dtype, v->stride[3], n);
    if (!g) return x;
    return v_mul(x, v_sigmoid(v_read(kit_at(g, at, 3) + e * g->stride[3] * kit_width(g->dtype), g->dtype,
                                     g->stride[3], n)));
}

/* One head of the row of token i, or of that which is remembered at position p. */
KIT_INLINE void KIT(conv_row)(const kit_conv *c, int64_t b, int64_t p, int64_t h, float *to)
{
    const int64_t at[3] = {b, p - kit_conv_past(c, b), h}, E = c->E;
    const float *page = c->call->state ? c->call->state[b]->page[p / KIT_CONV_PAGE] : NULL;
    const float *row = page ? page + (p % KIT_CONV_PAGE * c->H + h) * E : NULL;
    for (int64_t e = 0; e < E; e += 16) {
        const int n = E - e < 16 ? (int)(E - e) : 16;
        v_store(to + e, row ? v_read(row + e, HEED_F32, 1, n) : KIT(conv_gated)(c, at, e, n));
    }
}

/* New rows to rows of float32, [H][E], `to` that of token i: of a page, or of a workspace. */
KIT_INLINE void KIT(conv_make)(const kit_conv *c, int64_t b, int64_t i, float *to)
{
    for (int64_t h = 0; h < c->H; h++)
        for (int64_t e = 0, at[3] = {b, i, h}; e < c->E; e += 16) {
            const int n = c->E - e < 16 ? (int)(c->E - e) : 16;
            v_store_n(to + h * c->E + e, KIT(conv_gated)(c, at, e, n), n);
        }
}
static void KIT(conv_append)(void *arg, int64_t tile, uint32_t lane)
{
    const kit_conv *c = arg;
    const int64_t tiles = (c->T + c->tokens - 1) / c->tokens, b = tile / tiles, past = kit_conv_past(c, b);
    (void)lane;
    for (int64_t i = tile % tiles * c->tokens, end = i + c->tokens; i < end && i < c->T; i++) {
        float *page = c->call->state[b]->page[(past + i) / KIT_CONV_PAGE];
        KIT(conv_make)(c, b, i, page + (past + i) % KIT_CONV_PAGE * c->H * c->E);
    }
}

/* n taps, in whole vectors: e^(logit - max) / sum. A NaN makes all of them NaN. */
static __attribute__((unused)) void KIT(conv_softmax)(float *w, int64_t n)
{
    static const float lanes[16] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
    vf max = v_set(-INFINITY), sum = v_set(0.0f);
    for (int64_t t = 0; t < n; t += 16) {
        const vf x = v_select(v_lt(v_load(lanes), v_set((float)(n - t < 16 ? n - t : 16))), v_load(w + t),
                              v_set(-INFINITY));
        v_store(w + t, x);
        max = v_max(max, x);
    }
    max = v_set(v_hmax(max));
    for (int64_t t = 0; t < n; t += 16) {
        const vf x = v_exp(v_sub(v_load(w + t), max));
        v_store(w + t, x);
        sum = v_add(sum, x);
    }
    sum = v_set(v_sum(sum));
    for (int64_t t = 0; t < n; t += 16) v_store(w + t, v_div(v_load(w + t), sum));
}

/* An offset [H E] of whole vectors for each head, into `room`; NULL if there is none. */
static __attribute__((unused)) const float *KIT(kit_conv_offset)(float *room, const heed_tensor *offset)
{
    for (int64_t h = 0; offset && h < offset->dim[0]; h++)
        kit_read_row(room + h * kit_lanes(offset->dim[1]), kit_at(offset, &h, 1), offset->dtype, offset->stride[1],
                     offset->dim[1]);
    return offset ? room : NULL;
}

/* Taps [from, to) of n tokens, which stand at rows row, row + 1, ... of x, on `wide` registers of channels. */
KIT_INLINE void KIT(conv_links)(const int n, const int wide, const int shared, vr (*acc)[8], const float *w,
                                int64_t step, const float *x, int64_t pitch, int64_t row, int64_t from, int64_t to)
{
    KIT_UNROLL for (int i = 0; i < n; i++)
        KIT_UNROLL for (int j = 0; j < wide; j++) acc[i][j] = vr_set(0.0f);
    for (int64_t t = from; t < to; t++) {
        vr s = vr_set(w[t]);
        KIT_UNROLL for (int i = 0; i < n; i++) {
            if (!shared && i) s = vr_set(w[i * step + t]);
            KIT_UNROLL for (int j = 0; j < wide; j++)
                acc[i][j] = vr_fma(s, vr_load(x + (row + i + t) * pitch + j * VR_LANES), acc[i][j]);
        }
    }
}

/* A run of tokens of one head: where its rows, taps and outputs are. */
#ifndef HEED_KIT_CONV_RUN
#define HEED_KIT_CONV_RUN
typedef struct kit_conv_run {
    const kit_conv *c;
    const float *x, *w, *offset; /* x: its row 0 is the sequence's row `first`; w: of the run's first token */
    char *to;
    int64_t pitch, first, step;  /* step: floats from one token's taps to the next's, 0 if they share them */
    int64_t rows, tokens, at;    /* of the sequence; of the run, the first at that position */
} kit_conv_run;
#endif

/* n tokens from token i of the run on, channels from e on. */
KIT_INLINE void KIT(conv_block)(const int n, const int wide, const int shared, const kit_conv_run *r, int64_t i,
                                int64_t e, int64_t from, int64_t to)
{
    const heed_tensor *out = r->c->out;
    const int64_t step = out->stride[3] * kit_width(out->dtype), left = r->c->E - e;
    const int plain = out->dtype == HEED_F32 && out->stride[3] == 1 && left >= wide * VR_LANES;
    vr acc[8][8];
    KIT(conv_links)(n, wide, shared, acc, r->w + i * r->step, r->step, r->x + e, r->pitch,
                    r->at + i - r->c->pad - r->first, from, to);
    KIT_UNROLL for (int k = 0; k < n; k++) {
        char *y = r->to + (i + k) * out->stride[1] * kit_width(out->dtype) + e * step;
        float part[64];
        if (r->offset) KIT_UNROLL for (int j = 0; j < wide; j++)
            acc[k][j] = vr_add(acc[k][j], vr_load(r->offset + e + j * VR_LANES));
        KIT_UNROLL for (int j = 0; j < wide; j++)
            vr_store(plain ? (float *)(void *)y + j * VR_LANES : part + j * VR_LANES, acc[k][j]);
        for (int64_t l = 0; !plain && l < wide * VR_LANES && l < left; l += 16)
            v_write(y + l * step, out->dtype, out->stride[3], v_load(part + l), left - l < 16 ? (int)(left - l) : 16);
    }
}

/* All tokens of a run, on `wide` registers from channel e on. Those whose taps all meet a row go n at a time. */
KIT_INLINE void KIT(conv_strip)(const int n, const int wide, const int shared, const kit_conv_run *r, int64_t e)
{
    const int64_t K = r->c->K;
    for (int64_t i = 0, count; i < r->tokens; i += count) {
        const int64_t row = r->at + i - r->c->pad;
        const int64_t from = row < 0 ? -row : 0, to = r->rows - row < K ? r->rows - row : K;
        const int inside = from == 0 && i + n <= r->tokens && row + n - 1 + K <= r->rows;
        count = inside ? n : 1;
        if (inside) KIT(conv_block)(n, wide, shared, r, i, e, 0, K);
        else KIT(conv_block)(1, wide, shared, r, i, e, from, from < to ? to : from);
    }
}
KIT_KERNEL void KIT(conv_shared)(const kit_conv_run *r)
{
    for (int64_t e = 0; e < r->c->E; e += 16) KIT(conv_strip)(CONV_SHARED, CONV_REGISTERS, 1, r, e);
}
KIT_KERNEL void KIT(conv_own)(const kit_conv_run *r)
{
    int64_t e = 0;
    for (; e + 64 <= kit_lanes(r->c->E); e += 64) KIT(conv_strip)(CONV_OWN, 4 * CONV_REGISTERS, 0, r, e);
    for (; e < r->c->E; e += 16) KIT(conv_strip)(CONV_SHARED, CONV_REGISTERS, 0, r, e);
}

/* The taps of the run's tokens: of all, or of each. Tokens without a row of their own have none. */
static void KIT(conv_taps)(const kit_conv *c, kit_conv_run *r, int64_t b, int64_t i, int64_t h, float *room)
{
    const heed_tensor *l = c->logits;
    r->w = c->table + h * c->K, r->step = 0;
    if (c->table) return;
    r->w = room, r->step = kit_lanes(c->K);
    for (int64_t k = 0; k < r->tokens; k++, room += r->step) {
        const int64_t at[3] = {b, i + k, h};
        kit_read_row(room, kit_at(l, at, 3), l->dtype, l->stride[3], c->K);
        if (c->softmax) KIT(conv_softmax)(room, c->K);
    }
}

static void KIT(conv_tile)(void *arg, int64_t tile, uint32_t lane)
{
    const kit_conv *c = arg;
    const int64_t groups = (c->H + c->heads - 1) / c->heads, runs = (c->T + c->tokens - 1) / c->tokens;
    const int64_t b = tile / groups / runs, i = tile / groups % runs * c->tokens, h0 = tile % groups * c->heads;
    const int64_t past = kit_conv_past(c, b), most = c->T < c->tokens ? c->T : c->tokens;
    const int64_t pitch = kit_conv_pitch(c->E);
    float *room = (float *)(void *)(c->call->scratch + lane * c->call->scratch_stride);
    kit_conv_run r = {.c = c, .at = kit_conv_origin(c, b) + i, .rows = kit_conv_rows(c, b)};
    r.tokens = c->T - i < c->tokens ? c->T - i : c->tokens;
    const int64_t seen = r.at - c->pad > 0 ? r.at - c->pad : 0;
    const int64_t last = r.at - c->pad + r.tokens + c->K - 1, end = last < r.rows ? last : r.rows;
    const int in_place = kit_is_plain(c->v) && !c->gate && c->E % 16 == 0 && c->K <= KIT_CONV_IN_PLACE && past == 0;
    for (int64_t h = h0; h < h0 + c->heads && h < c->H; h++) {
        const int64_t from[3] = {b, 0, h}, to[3] = {b, i, h};
        r.x = room, r.pitch = pitch, r.first = seen;
        if (in_place) r.x = (const float *)(void *)kit_at(c->v, from, 3), r.pitch = c->v->stride[1], r.first = 0;
        else for (int64_t p = seen; p < end; p++) KIT(conv_row)(c, b, p, h, room + (p - seen) * pitch);
        r.offset = c->offset ? c->offset + h * kit_lanes(c->E) : NULL;
        r.to = kit_at(c->out, to, 3);
        KIT(conv_taps)(c, &r, b, i, h, room + (most + c->K - 1) * pitch);
        if (c->own_row && i + r.tokens > r.rows) { /* behind the last row */
            kit_conv_run behind = r;
            const int64_t with = r.rows > i ? r.rows - i : 0;
            behind.tokens = r.tokens - with, behind.rows = 0;
            behind.to += with * c->out->stride[1] * kit_width(c->out->dtype), r.tokens = with;
            KIT(conv_own)(&behind);
        }
        if (c->table) KIT(conv_shared)(&r); else KIT(conv_own)(&r);
        r.tokens = c->T - i < c->tokens ? c->T - i : c->tokens;
    }
}

static __attribute__((unused)) int32_t KIT(conv_run)(kit_conv *c)
{
    const heed_host *host = c->call->host;
    const int64_t runs = (c->T + c->tokens - 1) / c->tokens, groups = (c->H + c->heads - 1) / c->heads;
    int32_t failed = c->call->state ? host->parallel_for(host, c->B * runs, KIT(conv_append), c) : HEED_OK;
    return failed ? failed : host->parallel_for(host, c->B * runs * groups, KIT(conv_tile), c);
}
#endif
