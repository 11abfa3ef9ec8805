/* SPDX-License-Identifier: MIT
 *
 * s = spent + sigmoid(x + offset), and 1 where s is at least 1 - epsilon; arXiv 1603.08983, equations 6 to 8
 */
static void OF(halting_act)(const oracle_call *c)
{
    const REAL *x = OF(get)(c, "x"), *spent = OF(get)(c, "spent");
    REAL *out = OF(get)(c, "out");
    const REAL enough = (REAL)(float)(1 - oracle_param(c, "epsilon", 0.01));
    const REAL offset = (REAL)(float)oracle_param(c, "offset", 0);
    for (int64_t i = 0; i < c->rows; i++) {
        const REAL s = spent[i] + OF(sigmoid)(x[i] + offset);
        out[i] = s >= enough ? 1 : s;
    }
}
