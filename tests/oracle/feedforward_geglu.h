/* SPDX-License-Identifier: MIT
 *
 * GEGLU, arXiv 2002.05202, equation 6: (gelu(x gate^T) * x up^T) down^T, and biases
 */
static void OF(feedforward_geglu)(const oracle_call *c)
{
    int64_t M = AXIS('M'), F = AXIS('F');
    REAL *up = OF(stored)(c, "up", F, M), *down = OF(stored)(c, "down", M, F);
    REAL *gate = OF(stored)(c, "gate", F, M);
    size_t n = (size_t)(c->rows * F + 1);
    REAL *g = malloc(sizeof *g * n), *u = malloc(sizeof *u * n);
    OF(product)(g, OF(get)(c, "x"), gate, OF(get)(c, "gate_bias"), c->rows, F, M);
    OF(product)(u, OF(get)(c, "x"), up, OF(get)(c, "up_bias"), c->rows, F, M);
    const int tanh_form = oracle_param(c, "approximate", 0) == 1;
    for (int64_t i = 0; i < c->rows * F; i++) g[i] = OF(gelu)(g[i], tanh_form) * u[i];
    OF(product)(OF(get)(c, "out"), g, down, OF(get)(c, "down_bias"), c->rows, M, F);
    free(g);
    free(u);
    free(gate);
    free(up);
    free(down);
}
