/* SPDX-License-Identifier: MIT
 *
 * Factorized random synthesizer, arXiv 2005.00743, section 3.2.1: R = rows columns^T
 */
static REAL OF(factorized_random_logit)(const oracle_call *c, int64_t b, int64_t t, int64_t at,
                                        int64_t h, int64_t j)
{
    const int64_t C = AXIS('C'), R = AXIS('J'), row = (h * C + at) * R, column = (h * C + j) * R;
    const REAL *rows = OF(get)(c, "rows"), *columns = OF(get)(c, "columns");
    const uint64_t seed = OF(seed)(c);
    REAL sum = 0;
    (void)b, (void)t;
    for (int64_t r = 0; r < R; r++)
        sum += (rows ? rows[row + r] : OF(drawn)(seed, row + r, R)) *
               (columns ? columns[column + r] : OF(drawn)(~seed, column + r, R));
    return sum;
}
static void OF(attention_synthesizer_factorized_random)(const oracle_call *c)
{
    OF(synthesize)(c, OF(factorized_random_logit));
}
