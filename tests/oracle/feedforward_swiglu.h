/* SPDX-License-Identifier: MIT
 *
 * SwiGLU, arXiv 2002.05202, equation 6: (silu(x gate^T) * x up^T) down^T, and biases
 */
static void OF(feedforward_swiglu)(const oracle_call *c)
{
    int64_t M = AXIS('M'), F = AXIS('F');
    REAL *up = OF(stored)(c, "up", F, M), *down = OF(stored)(c, "down", M, F);
    REAL *gate = OF(stored)(c, "gate", F, M);
    size_t n = (size_t)(c->rows * F + 1);
    REAL *g = malloc(sizeof *g * n), *u = malloc(sizeof *u * n);
    OF(product)(g, OF(get)(c, "x"), gate, OF(get)(c, "gate_bias"), c->rows, F, M);
    OF(product)(u, OF(get)(c, "x"), up, OF(get)(c, "up_bias"), c->rows, F, M);
    for (int64_t i = 0; i < c->rows * F; i++) g[i] = g[i] / (1 + MATH(exp)(-g[i])) * u[i];
    OF(product)(OF(get)(c, "out"), g, down, OF(get)(c, "down_bias"), c->rows, M, F);
    free(g);
    free(u);
    free(gate);
    free(up);
    free(down);
}
