/* SPDX-License-Identifier: MIT
 *
 * heed/kit/conv/backward.h: the backward of kit/conv/conv.h, from dy, the gradient of out:
 *
 *     dx[j]        = sum over tokens i of taps[i][j - at_i + pad] dy[i]       at_i: the token's position
 *     dtaps[i][t]  = dy[i] . x[at_i + t - pad]
 *     dlogits[t]   = taps[t] (dtaps[t] - sum over s of taps[s] dtaps[s]), if they are a softmax
 *     dv = dx sigmoid(gate),   dgate = dx v sigmoid'(gate),   doffset = sum over tokens of dy
 *
 * Include it once in a kernel file, behind conv.h. Rows x and dx lie in the workspace, [B T][H E]
 * floats; rows behind the last valid one are zeros there.
 *
 * An element of dx is one chain over the tokens, one of dtaps a dot product of 16 chains. Taps that
 * all tokens share are summed over blocks of rows, and these by a tree (kit/core/grad.h).
 */
#include <heed/kit/conv/conv.h>
#include <heed/kit/core/grad.h>
#include <heed/kit/reduce/blocks.h>

#ifndef HEED_KIT_CONV_BACKWARD_ONCE
#define HEED_KIT_CONV_BACKWARD_ONCE
typedef struct kit_conv_backward {
    kit_conv c;                                         /* v and gate as they came */
    const heed_tensor *d_out, *d_v, *d_gate, *d_offset; /* what comes; what is wanted */
    float *x, *dx;                                      /* [B T][H E] */
    /* taps, behind their softmax: of token n = b T + i and head h: w[n token + h head + t tap] */
    const float *w;
    int64_t token, head, tap;
    /* of each token [B T][H][K], or, `shared`, of each block of rows [blocks][H][K16] */
    float *dw;
    int shared;
    float *offsets; /* of each block of rows, [blocks][H][E16] */
} kit_conv_backward;

KIT_INLINE int64_t kit_conv_matrix(const heed_call *call)
{
    const int64_t *axis = call->axis;
    return kit_lanes(HEED_AXIS(axis, 'B') * HEED_AXIS(axis, 'T') * HEED_AXIS(axis, 'H') *
                     HEED_AXIS(axis, 'E'));
}
/* Whether token i of sequence b has taps. */
KIT_INLINE int kit_conv_has_taps(const kit_conv *c, int64_t b, int64_t i)
{
    return !c->own_row || i < kit_conv_rows(c, b);
}
/* Tiles of tokens, and the first and last of one: rows of all sequences, one behind the other. */
KIT_INLINE int64_t kit_conv_blocks(const kit_conv *c) { return kit_blocks(c->B * c->T); }
/* Floats of the sums of doffset. */
KIT_INLINE int64_t kit_conv_offsets(const heed_call *call)
{
    const int64_t *axis = call->axis;
    return kit_blocks(HEED_AXIS(axis, 'B') * HEED_AXIS(axis, 'T')) * HEED_AXIS(axis, 'H') *
           kit_lanes(HEED_AXIS(axis, 'E'));
}
#endif

/* Rows x of a block. */
static void KIT(conv_back_rows)(void *arg, int64_t block, uint32_t lane)
{
    const kit_conv_backward *w = arg;
    const kit_conv *c = &w->c;
    (void)lane;
    for (int64_t n = block * KIT_BLOCK_ROWS; n < kit_block_end(block, c->B * c->T); n++) {
        float *row = w->x + n * c->H * c->E;
        if (n % c->T >= kit_conv_rows(c, n / c->T))
            memset(row, 0, (size_t)(c->H * c->E) * sizeof(float));
        else
            for (int64_t h = 0; h < c->H; h++)
                KIT(conv_make)(c, n / c->T, n % c->T, h, row + h * c->E, 0);
    }
}

/* dx of row n, one head: over the tokens whose taps meet it, in order. */
KIT_INLINE void KIT(conv_back_row)(const kit_conv_backward *w, int64_t n, int64_t h)
{
    const kit_conv *c = &w->c;
    const int64_t b = n / c->T, j = n % c->T, first = j - kit_conv_origin(c, b) + c->pad,
                  from = first - c->K + 1 > 0 ? first - c->K + 1 : 0,
                  to = first < c->T - 1 ? first : c->T - 1, stride = w->d_out->stride[3];
    float *dx = w->dx + (n * c->H + h) * c->E;
    for (int64_t e = 0; e < c->E; e += 64) {
        vf sum[4] = {v_set(0.0f), v_set(0.0f), v_set(0.0f), v_set(0.0f)};
        for (int64_t i = from; i <= to && j < kit_conv_rows(c, b); i++) {
            const int64_t at[] = {b, i, h, e}, token = b * c->T + i;
            const char *dy = kit_at(w->d_out, at, 4);
            const vf tap = v_set(w->w[token * w->token + h * w->head + (first - i) * w->tap]);
            if (!kit_conv_has_taps(c, b, i)) continue;
            KIT_UNROLL for (int k = 0; k < 4; k++)
            {
                const int64_t left = c->E - e - 16 * k;
                if (left > 0)
                    sum[k] = v_fma(
                        tap,
                        v_read(dy + 64 * k * stride, HEED_F32, stride, left < 16 ? (int)left : 16),
                        sum[k]);
            }
        }
        for (int k = 0; k < 4 && e + 16 * k < c->E; k++) {
            const int64_t left = c->E - e - 16 * k;
            v_store_n(dx + e + 16 * k, sum[k], left < 16 ? (int)left : 16);
        }
    }
}
static void KIT(conv_back_inputs)(void *arg, int64_t block, uint32_t lane)
{
    const kit_conv_backward *w = arg;
    (void)lane;
    for (int64_t n = block * KIT_BLOCK_ROWS; n < kit_block_end(block, w->c.B * w->c.T); n++)
        for (int64_t h = 0; h < w->c.H; h++) KIT(conv_back_row)(w, n, h);
}

/* dtaps of a block's tokens. */
static void KIT(conv_back_taps)(void *arg, int64_t block, uint32_t lane)
{
    const kit_conv_backward *w = arg;
    const kit_conv *c = &w->c;
    const int64_t stride = w->d_out->stride[3], K16 = kit_lanes(c->K);
    float *part = w->dw + block * c->H * K16;
    (void)lane;
    if (w->shared) memset(part, 0, (size_t)(c->H * K16) * sizeof(float));
    for (int64_t n = block * KIT_BLOCK_ROWS; n < kit_block_end(block, c->B * c->T); n++) {
        const int64_t b = n / c->T, row = kit_conv_origin(c, b) + n % c->T - c->pad;
        for (int64_t h = 0; h < c->H; h++)
            for (int64_t t = 0; t < c->K; t++) {
                const int64_t at[] = {b, n % c->T, h};
                const char *dy = kit_at(w->d_out, at, 3);
                const float *x = w->x + ((b * c->T + row + t) * c->H + h) * c->E;
                vf sum = v_set(0.0f);
                const int met = row + t >= 0 && row + t < kit_conv_rows(c, b) &&
                                kit_conv_has_taps(c, b, n % c->T);
                for (int64_t e = 0; met && e < c->E; e += 16) {
                    const int m = c->E - e < 16 ? (int)(c->E - e) : 16;
                    sum = v_fma(v_read(dy + 4 * e * stride, HEED_F32, stride, m),
                                v_load_n(x + e, m), sum);
                }
                if (w->shared) part[h * K16 + t] += v_sum(sum);
                else w->dw[(n * c->H + h) * c->K + t] = v_sum(sum);
            }
    }
}

/* K gradients of taps w, `tap` apart, become those of their logits. */
KIT_INLINE void KIT(conv_back_softmax)(const float *w, int64_t tap, int64_t K, float *d)
{
    float sum = 0;
    for (int64_t t = 0; t < K; t++) sum += w[t * tap] * d[t];
    for (int64_t t = 0; t < K; t++) d[t] = w[t * tap] * (d[t] - sum);
}

/* dv and dgate of a block. */
static void KIT(conv_back_write)(void *arg, int64_t block, uint32_t lane)
{
    const kit_conv_backward *w = arg;
    const kit_conv *c = &w->c;
    const vf one = v_set(1.0f);
    (void)lane;
    for (int64_t n = block * KIT_BLOCK_ROWS; n < kit_block_end(block, c->B * c->T); n++)
        for (int64_t h = 0; h < c->H; h++)
            for (int64_t e = 0; e < c->E; e += 16) {
                const int64_t at[] = {n / c->T, n % c->T, h, e};
                const int m = c->E - e < 16 ? (int)(c->E - e) : 16;
                const int live = n % c->T < kit_conv_rows(c, n / c->T);
                const vf d = v_load_n(w->dx + (n * c->H + h) * c->E + e, m);
                vf s = one, dv = d, dg = v_set(0.0f);
                if (live && c->gate) {
                    s = v_sigmoid(v_get(c->gate, at));
                    dv = v_mul(d, s);
                    dg = v_mul(v_mul(d, v_get(c->v, at)), v_mul(s, v_sub(one, s)));
                }
                if (w->d_v) v_put(w->d_v, at, dv);
                if (w->d_gate) v_put(w->d_gate, at, dg);
            }
}

/* doffset of a block. */
static void KIT(conv_back_offset)(void *arg, int64_t block, uint32_t lane)
{
    const kit_conv_backward *w = arg;
    const kit_conv *c = &w->c;
    const int64_t E16 = kit_lanes(c->E), stride = w->d_out->stride[3];
    float *part = w->offsets + block * c->H * E16;
    (void)lane;
    memset(part, 0, (size_t)(c->H * E16) * sizeof(float));
    for (int64_t n = block * KIT_BLOCK_ROWS; n < kit_block_end(block, c->B * c->T); n++)
        for (int64_t h = 0; h < c->H; h++)
            for (int64_t e = 0; e < c->E; e += 16) {
                const int64_t at[] = {n / c->T, n % c->T, h};
                const int m = c->E - e < 16 ? (int)(c->E - e) : 16;
                const char *dy = kit_at(w->d_out, at, 3) + 4 * e * stride;
                float *to = part + h * E16 + e;
                v_store(to, v_add(v_load(to), v_read(dy, HEED_F32, stride, m)));
            }
}

/* Blocks' sums [blocks][H][width16], head by head, to a gradient [H, width]. */
static int32_t KIT(conv_back_add)(const kit_conv *c, float *part, int64_t width,
                                  const heed_tensor *to)
{
    int32_t failed = HEED_OK;
    for (int64_t h = 0; h < c->H && !failed; h++) {
        heed_tensor row = *to;
        row.rank = 1, row.dim[0] = width, row.stride[0] = to->stride[1];
        row.data = kit_at(to, &h, 1);
        failed = KIT(kit_add_blocks)(c->call, (kit_block_sums){part + h * kit_lanes(width),
                                                               kit_conv_blocks(c), width,
                                                               c->H * kit_lanes(width), &row});
    }
    return failed;
}

/* Rows x, which all else needs. */
static int32_t KIT(conv_back_make)(const kit_conv_backward *w)
{
    const heed_host *host = w->c.call->host;
    return host->parallel_for(host, kit_conv_blocks(&w->c), KIT(conv_back_rows),
                              (void *)(uintptr_t)w);
}

/* dx, dtaps and doffset, from rows and taps. */
static int32_t KIT(conv_back_run)(const kit_conv_backward *w)
{
    const heed_host *host = w->c.call->host;
    const int64_t blocks = kit_conv_blocks(&w->c);
    void *arg = (void *)(uintptr_t)w;
    int32_t failed = host->parallel_for(host, blocks, KIT(conv_back_inputs), arg);
    if (!failed) failed = host->parallel_for(host, blocks, KIT(conv_back_taps), arg);
    if (!failed && w->d_offset)
        failed = host->parallel_for(host, blocks, KIT(conv_back_offset), arg);
    if (!failed && w->d_offset) failed = KIT(conv_back_add)(&w->c, w->offsets, w->c.E, w->d_offset);
    return failed;
}
static int32_t KIT(conv_back_end)(const kit_conv_backward *w)
{
    const heed_host *host = w->c.call->host;
    return host->parallel_for(host, kit_conv_blocks(&w->c), KIT(conv_back_write),
                              (void *)(uintptr_t)w);
}
