/* SPDX-License-Identifier: MIT
 *
 * Factorized dense synthesizer, arXiv 2005.00743, section 3.1.1: B_ij = A_i[j mod a] C_i[j div a]
 */
static REAL OF(factorized_dense_logit)(const oracle_call *c, int64_t b, int64_t t, int64_t at,
                                       int64_t h, int64_t j)
{
    const int64_t A = AXIS('A'), U = AXIS('U');
    (void)at;
    return OF(of_query)(c, "inner", A, b, t, h, j % A) *
           OF(of_query)(c, "outer", U, b, t, h, j / A);
}
static void OF(attention_synthesizer_factorized_dense)(const oracle_call *c)
{
    OF(synthesize)(c, OF(factorized_dense_logit));
}
