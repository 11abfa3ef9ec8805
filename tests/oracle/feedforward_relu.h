/* SPDX-License-Identifier: MIT
 *
 * relu(x up^T + b1) down^T + b2, arXiv 1706.03762, equation 2; or with the square of relu
 */
static void OF(feedforward_relu)(const oracle_call *c)
{
    int64_t M = AXIS('M'), F = AXIS('F');
    REAL *up = OF(stored)(c, "up", F, M), *down = OF(stored)(c, "down", M, F);
    REAL *h = malloc(sizeof *h * (size_t)(c->rows * F + 1));
    OF(product)(h, OF(get)(c, "x"), up, OF(get)(c, "up_bias"), c->rows, F, M);
    for (int64_t i = 0; i < c->rows * F; i++) {
        h[i] = OF(relu)(h[i]);
        if (oracle_param(c, "squared", 0) != 0) h[i] *= h[i];
    }
    OF(product)(OF(get)(c, "out"), h, down, OF(get)(c, "down_bias"), c->rows, M, F);
    free(h);
    free(up);
    free(down);
}
