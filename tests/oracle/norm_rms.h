/* SPDX-License-Identifier: MIT
 *
 * RMSNorm, arXiv 1910.07467, section 4: y = x / sqrt(mean(x^2) + eps) * gain
 */
static void OF(norm_rms)(const oracle_call *c)
{
    REAL *x = OF(norm_input)(c), *y = OF(get)(c, "out");
    const REAL *gain = OF(get)(c, "gain"), eps = (REAL)oracle_param(c, "eps", 0),
               offset = (REAL)oracle_param(c, "offset", 0);
    int64_t M = AXIS('M');
    for (int64_t r = 0; r < c->rows; r++) {
        REAL sum = 0;
        for (int64_t i = 0; i < M; i++) sum += x[r * M + i] * x[r * M + i];
        for (int64_t i = 0; i < M; i++)
            y[r * M + i] =
                x[r * M + i] / MATH(sqrt)(sum / (REAL)M + eps) * (gain ? gain[i] + offset : 1);
    }
    free(x);
}
