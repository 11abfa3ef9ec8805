/* SPDX-License-Identifier: MIT
 *
 * out = x + (share - less) y, a share for each row
 */
static void OF(residual_share)(const oracle_call *c)
{
    const REAL *x = OF(get)(c, "x"), *y = OF(get)(c, "y"), *share = OF(get)(c, "share"),
               *less = OF(get)(c, "less");
    REAL *out = OF(get)(c, "out");
    const int64_t M = AXIS('M');
    for (int64_t i = 0; i < c->rows * M; i++)
        out[i] = x[i] + (share[i / M] - (less ? less[i / M] : 0)) * y[i];
}
