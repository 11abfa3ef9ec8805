/* SPDX-License-Identifier: MIT
 *
 * GELU, arXiv 1606.08415, section 2: x Phi(x), or its tanh form
 */
static void OF(feedforward_gelu)(const oracle_call *c)
{
    int64_t M = AXIS('M'), F = AXIS('F');
    REAL *up = OF(stored)(c, "up", F, M), *down = OF(stored)(c, "down", M, F);
    REAL *h = malloc(sizeof *h * (size_t)(c->rows * F + 1));
    OF(product)(h, OF(get)(c, "x"), up, OF(get)(c, "up_bias"), c->rows, F, M);
    int tanh_form = oracle_param(c, "approximate", 0) == 1;
    for (int64_t i = 0; i < c->rows * F; i++) h[i] = OF(gelu)(h[i], tanh_form);
    OF(product)(OF(get)(c, "out"), h, down, OF(get)(c, "down_bias"), c->rows, M, F);
    free(h);
    free(up);
    free(down);
}
