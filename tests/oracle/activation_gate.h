/* SPDX-License-Identifier: MIT
 *
 * x sigmoid(gate) or x silu(gate), arXiv 2505.06708, section 2.2; x = 1 if absent
 */
static void OF(activation_gate)(const oracle_call *c)
{
    const REAL *x = OF(get)(c, "x"), *gate = OF(get)(c, "gate");
    REAL *out = OF(get)(c, "out");
    const int silu = oracle_param(c, "function", 0) != 0;
    for (int64_t i = 0; i < c->rows * AXIS('M'); i++)
        out[i] = (x ? x[i] : 1) * (silu ? gate[i] : 1) / (1 + MATH(exp)(-gate[i]));
}
