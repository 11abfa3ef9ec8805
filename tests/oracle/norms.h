/* SPDX-License-Identifier: MIT
 *
 * norms.h: what the oracles of norms with a residual share.
 */
/* What a norm sees: x + residual, which is its output "sum" too; free it. */
static REAL *OF(norm_input)(const oracle_call *c)
{
    const REAL *x = OF(get)(c, "x"), *residual = OF(get)(c, "residual");
    REAL *sum = OF(get)(c, "sum"), *seen = malloc(sizeof *seen * (size_t)(c->rows * AXIS('M') + 1));
    for (int64_t i = 0; i < c->rows * AXIS('M'); i++) {
        seen[i] = x[i] + (residual ? residual[i] : 0);
        if (sum) sum[i] = seen[i];
    }
    return seen;
}
