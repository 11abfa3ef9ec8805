/* SPDX-License-Identifier: MIT
 *
 * BatchNorm, arXiv 1502.03167, algorithms 1 (statistics of the call's tokens) and 2 (kept ones)
 */
static void OF(norm_batch)(const oracle_call *c)
{
    const REAL *x = OF(get)(c, "x"), *gain = OF(get)(c, "gain"), *bias = OF(get)(c, "bias");
    const REAL *kept_mean = OF(get)(c, "mean"), *kept = OF(get)(c, "variance"),
               eps = (REAL)oracle_param(c, "eps", 0);
    const int of_call = oracle_param(c, "statistics", 0) == 1;
    REAL *y = OF(get)(c, "out");
    const int64_t M = AXIS('M'), n = c->rows;
    for (int64_t i = 0; i < M; i++) {
        REAL mean = 0, variance = 0;
        for (int64_t r = 0; r < n; r++) mean += x[r * M + i] / (REAL)n;
        for (int64_t r = 0; r < n; r++)
            variance += (x[r * M + i] - mean) * (x[r * M + i] - mean) / (REAL)n;
        if (!of_call) mean = kept_mean ? kept_mean[i] : 0, variance = kept ? kept[i] : 1;
        for (int64_t r = 0; r < n; r++)
            y[r * M + i] =
                (x[r * M + i] - mean) / MATH(sqrt)(variance + eps) * (gain ? gain[i] : 1) +
                (bias ? bias[i] : 0);
    }
}
