/* SPDX-License-Identifier: MIT
 *
 * Two softmax attentions over different keys: their weighted mean, arXiv 2205.14135, section 3.1
 */
static void OF(merge_attention)(const oracle_call *c)
{
    const REAL *a = OF(get)(c, "a"), *b = OF(get)(c, "b"), *la = OF(get)(c, "lse_a"),
               *lb = OF(get)(c, "lse_b");
    REAL *out = OF(get)(c, "out"), *lse = OF(get)(c, "lse");
    int64_t rows = AXIS('B') * AXIS('T') * AXIS('H'), E = AXIS('E');
    for (int64_t r = 0; r < rows; r++) {
        REAL max = la[r] > lb[r] ? la[r] : lb[r], wa = MATH(exp)(la[r] - max),
             wb = MATH(exp)(lb[r] - max);
        int none = la[r] == -INFINITY && lb[r] == -INFINITY;
        if (lse) lse[r] = none ? -INFINITY : max + MATH(log)(wa + wb);
        for (int64_t e = 0; e < E; e++)
            out[r * E + e] = none ? 0 : (wa * a[r * E + e] + wb * b[r * E + e]) / (wa + wb);
    }
}
