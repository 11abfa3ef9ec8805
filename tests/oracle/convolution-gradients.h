/* SPDX-License-Identifier: MIT
 *
 * convolution-gradients.h: the backward of lightweight and dynamic convolution (convolution.h),
 * tap by tap. Part of gradients.h.
 */

/* dx of a token's channel goes on to v and gate. */
static void OF(convolved_back)(const oracle_call *c, REAL *const *g, int64_t b, int64_t token,
                               int64_t channel, REAL d)
{
    const REAL *v = OF(get)(c, "v"), *gate = OF(get)(c, "gate");
    REAL *dv = OF(gradient)(c, g, "v"), *dg = gate ? OF(gradient)(c, g, "gate") : NULL;
    const int64_t i = (b * AXIS('T') + token) * AXIS('H') * AXIS('E') + channel;
    const REAL s = gate ? OF(sigmoid)(gate[i]) : 1;
    if (dv) dv[i] += d * s;
    if (dg) dg[i] += d * v[i] * s * (1 - s);
}

/* Token i of head h, from the logits of its taps, which become the logits' gradients. */
static void OF(convolve_back)(const oracle_call *c, REAL *const *g, int64_t b, int64_t i, int64_t h,
                              REAL *taps)
{
    const REAL *lengths = OF(get)(c, "key_lengths");
    const int64_t T = AXIS('T'), H = AXIS('H'), E = AXIS('E'), K = AXIS('K');
    const int64_t valid = lengths ? (int64_t)lengths[b] : T;
    const int causal = (c->mask->kinds & HEED_MASK_CAUSAL) != 0,
              softmax = oracle_param(c, "softmax", 1) != 0;
    const int64_t at = causal ? oracle_position(c, valid, i) : i,
                  pad = causal ? K - 1 : (K - 1) / 2;
    const REAL *dy = OF(gradient)(c, g, "out") + ((b * T + i) * H + h) * E;
    REAL *offset = OF(gradient)(c, g, "offset"), max = -INFINITY, sum = 0, dot = 0;
    for (int64_t e = 0; e < E && offset && OF(get)(c, "offset"); e++) offset[h * E + e] += dy[e];
    if (!taps) return;
    for (int64_t t = 0; t < K && softmax; t++) max = taps[t] > max ? taps[t] : max;
    for (int64_t t = 0; t < K && softmax; t++) sum += taps[t] = MATH(exp)(taps[t] - max);
    for (int64_t t = 0; t < K && softmax; t++) taps[t] /= sum;
    REAL *d = calloc((size_t)K + 1, sizeof *d);
    for (int64_t t = 0; t < K; t++) {
        const int64_t row = at + t - pad;
        for (int64_t e = 0; e < E && row >= 0 && row < valid; e++) {
            d[t] += dy[e] * OF(convolved)(c, b, row, h * E + e);
            OF(convolved_back)(c, g, b, row, h * E + e, taps[t] * dy[e]);
        }
        dot += taps[t] * d[t];
    }
    for (int64_t t = 0; t < K; t++) taps[t] = softmax ? taps[t] * (d[t] - dot) : d[t];
    free(d);
}

static void OF(attention_lightweight_conv_gradient)(const oracle_call *c, REAL *const *g)
{
    const REAL *w = OF(get)(c, "w");
    REAL *dw = OF(gradient)(c, g, "w");
    const int64_t T = AXIS('T'), H = AXIS('H'), K = AXIS('K');
    REAL *taps = malloc((size_t)(K + 1) * sizeof *taps);
    for (int64_t row = 0; row < AXIS('B') * T * H; row++) {
        memcpy(taps, w + row % H * K, (size_t)K * sizeof *taps);
        OF(convolve_back)(c, g, row / H / T, row / H % T, row % H, taps);
        for (int64_t t = 0; t < K && dw; t++) dw[row % H * K + t] += taps[t];
    }
    free(taps);
}

static void OF(attention_dynamic_conv_gradient)(const oracle_call *c, REAL *const *g)
{
    const REAL *given = OF(get)(c, "taps"), *w = OF(get)(c, "generator"),
               *more = OF(get)(c, "generator_offset"), *lengths = OF(get)(c, "key_lengths");
    REAL *d_taps = OF(gradient)(c, g, "taps"), *dw = OF(gradient)(c, g, "generator"),
         *d_more = OF(gradient)(c, g, "generator_offset");
    const int64_t T = AXIS('T'), H = AXIS('H'), K = AXIS('K'), N = H * AXIS('E');
    REAL *taps = malloc((size_t)(K + 1) * sizeof *taps);
    for (int64_t row = 0; row < AXIS('B') * T * H; row++) {
        const int64_t b = row / H / T, i = row / H % T, h = row % H;
        const int generates = !given && i < (lengths ? (int64_t)lengths[b] : T);
        for (int64_t t = 0; t < K; t++) {
            taps[t] = given ? given[row * K + t] : more ? more[h * K + t] : 0;
            for (int64_t n = 0; generates && n < N; n++)
                taps[t] += w[(h * K + t) * N + n] * OF(convolved)(c, b, i, n);
        }
        OF(convolve_back)(c, g, b, i, h, given || generates ? taps : NULL);
        for (int64_t t = 0; t < K && (given || generates); t++) {
            if (d_taps && given) d_taps[row * K + t] += taps[t];
            if (d_more && more) d_more[h * K + t] += taps[t];
            for (int64_t n = 0; generates && n < N; n++) {
                if (dw) dw[(h * K + t) * N + n] += taps[t] * OF(convolved)(c, b, i, n);
                OF(convolved_back)(c, g, b, i, n, taps[t] * w[(h * K + t) * N + n]);
            }
        }
    }
    free(taps);
}
