/* SPDX-License-Identifier: MIT
 *
 * LayerNorm, arXiv 1607.06450, equation 4 with eps under the root: biased variance
 */
static void OF(norm_layer)(const oracle_call *c)
{
    REAL *x = OF(norm_input)(c), *y = OF(get)(c, "out");
    const REAL *gain = OF(get)(c, "gain"), *bias = OF(get)(c, "bias"),
               eps = (REAL)oracle_param(c, "eps", 0), offset = (REAL)oracle_param(c, "offset", 0);
    int64_t M = AXIS('M');
    for (int64_t r = 0; r < c->rows; r++) {
        REAL mean = 0, variance = 0;
        for (int64_t i = 0; i < M; i++) mean += x[r * M + i];
        mean /= (REAL)M;
        for (int64_t i = 0; i < M; i++) variance += (x[r * M + i] - mean) * (x[r * M + i] - mean);
        variance /= (REAL)M;
        for (int64_t i = 0; i < M; i++)
            y[r * M + i] =
                (x[r * M + i] - mean) / MATH(sqrt)(variance + eps) * (gain ? gain[i] + offset : 1) +
                (bias ? bias[i] : 0);
    }
    free(x);
}
