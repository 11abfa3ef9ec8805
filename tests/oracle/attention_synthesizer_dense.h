/* SPDX-License-Identifier: MIT
 *
 * Dense synthesizer, arXiv 2005.00743, section 3.1: B_i = W2 relu(q_i) + b2
 */
static REAL OF(dense_logit)(const oracle_call *c, int64_t b, int64_t t, int64_t at, int64_t h,
                            int64_t j)
{
    const REAL *offset = OF(get)(c, "offset");
    (void)at;
    return OF(of_query)(c, "matrix", AXIS('C'), b, t, h, j) +
           (offset ? offset[(AXIS('W') == 1 ? 0 : h) * AXIS('C') + j] : 0);
}
static void OF(attention_synthesizer_dense)(const oracle_call *c)
{
    OF(synthesize)(c, OF(dense_logit));
}
