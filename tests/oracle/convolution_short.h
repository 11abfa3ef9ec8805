/* SPDX-License-Identifier: MIT
 *
 * A causal convolution of each channel with taps of its own, and silu; arXiv 2312.00752, section 3.4
 */
static void OF(convolution_short)(const oracle_call *c)
{
    const REAL *x = OF(get)(c, "x"), *taps = OF(get)(c, "taps"), *bias = OF(get)(c, "bias");
    REAL *out = OF(get)(c, "out");
    const int64_t T = AXIS('T'), N = AXIS('N'), K = AXIS('K');
    for (int64_t i = 0; i < AXIS('B') * T * N; i++) {
        const int64_t channel = i % N, t = i / N % T;
        REAL sum = 0;
        for (int64_t k = 0; k < K; k++)
            if (t - K + 1 + k >= 0) sum += taps[channel * K + k] * x[i + (k - K + 1) * N];
        if (bias) sum += bias[channel];
        out[i] = oracle_param(c, "activation", 1) != 0 ? sum / (1 + MATH(exp)(-sum)) : sum;
    }
}
