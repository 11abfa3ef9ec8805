/* SPDX-License-Identifier: MIT
 *
 * Lightweight convolution, arXiv 1901.10430, section 3: each head has taps of its own, the same at
 * each token.
 */
static void OF(attention_lightweight_conv)(const oracle_call *c)
{
    const REAL *w = OF(get)(c, "w");
    const int64_t T = AXIS('T'), H = AXIS('H'), K = AXIS('K');
    REAL *taps = malloc((size_t)(K + 1) * sizeof *taps);
    for (int64_t row = 0; row < AXIS('B') * T * H; row++) {
        memcpy(taps, w + row % H * K, (size_t)K * sizeof *taps);
        OF(convolve)(c, row / H / T, row / H % T, row % H, taps);
    }
    free(taps);
}
