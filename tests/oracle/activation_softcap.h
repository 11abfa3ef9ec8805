/* SPDX-License-Identifier: MIT
 *
 * cap tanh(x / cap), arXiv 2408.00118, section 2
 */
static void OF(activation_softcap)(const oracle_call *c)
{
    const REAL *x = OF(get)(c, "x"), cap = (REAL)(float)oracle_param(c, "cap", 30);
    REAL *out = OF(get)(c, "out");
    for (int64_t i = 0; i < c->rows * AXIS('M'); i++) out[i] = cap * MATH(tanh)(x[i] / cap);
}
