/* SPDX-License-Identifier: MIT
 *
 * convolution.h: what the oracles of lightweight and dynamic convolution share, arXiv 1901.10430,
 * equations 3 to 5:
 *
 *     out[i, c] = sum_t softmax_t(taps)[t] x[i + t - pad, c] + offset[c]
 *
 * of x = v, or, behind a gated linear unit, x = v sigmoid(gate). pad is k - 1 where it is causal,
 * so that the last tap is the token's own, else (k - 1) / 2. Taps that meet no token are dropped
 * behind the softmax, as zero padding does. A head is a group of channels with the same taps.
 */

/* A token's input channel, counted over the heads. */
static REAL OF(convolved)(const oracle_call *c, int64_t b, int64_t token, int64_t channel)
{
    const REAL *v = OF(get)(c, "v"), *gate = OF(get)(c, "gate");
    const int64_t i = (b * AXIS('T') + token) * AXIS('H') * AXIS('E') + channel;
    return gate ? v[i] * OF(sigmoid)(gate[i]) : v[i];
}

/* out of token i and head h, from logits of taps, which are made weights in place; NULL: no taps.
 */
static void OF(convolve)(const oracle_call *c, int64_t b, int64_t i, int64_t h, REAL *taps)
{
    const REAL *lengths = OF(get)(c, "key_lengths"), *offset = OF(get)(c, "offset");
    const int64_t T = AXIS('T'), H = AXIS('H'), E = AXIS('E'), K = AXIS('K');
    const int64_t valid = lengths ? (int64_t)lengths[b] : T;
    const int causal = (c->mask->kinds & HEED_MASK_CAUSAL) != 0;
    const int64_t at = causal ? oracle_position(c, valid, i) : i,
                  pad = causal ? K - 1 : (K - 1) / 2;
    REAL *y = OF(get)(c, "out") + ((b * T + i) * H + h) * E, max = -INFINITY, sum = 0;
    if (taps && oracle_param(c, "softmax", 1) != 0) {
        for (int64_t t = 0; t < K; t++)
            if (taps[t] > max || taps[t] != taps[t]) max = taps[t];
        for (int64_t t = 0; t < K; t++) sum += taps[t] = MATH(exp)(taps[t] - max);
        for (int64_t t = 0; t < K; t++) taps[t] /= sum;
    }
    for (int64_t e = 0; e < E; e++) {
        y[e] = 0;
        for (int64_t t = 0; taps && t < K; t++)
            if (at + t - pad >= 0 && at + t - pad < valid)
                y[e] += taps[t] * OF(convolved)(c, b, at + t - pad, h * E + e);
        if (offset) y[e] += offset[h * E + e];
    }
}
