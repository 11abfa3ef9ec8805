/* SPDX-License-Identifier: MIT
 *
 * out = x + y
 */
static void OF(residual_add)(const oracle_call *c)
{
    const REAL *x = OF(get)(c, "x"), *y = OF(get)(c, "y");
    REAL *out = OF(get)(c, "out");
    for (int64_t i = 0; i < c->rows * AXIS('M'); i++) out[i] = x[i] + y[i];
}
