/* SPDX-License-Identifier: MIT
 *
 * out = alpha x + y
 */
static void OF(residual_add)(const oracle_call *c)
{
    const REAL *x = OF(get)(c, "x"), *y = OF(get)(c, "y");
    REAL *out = OF(get)(c, "out");
    const REAL alpha = (REAL)(float)oracle_param(c, "alpha", 1);
    for (int64_t i = 0; i < c->rows * AXIS('M'); i++) out[i] = alpha * x[i] + y[i];
}
